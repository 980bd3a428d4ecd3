#!/usr/bin/python
# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: dedicated_host_info
short_description: What runs on a Docker host besides Docker
version_added: 0.1.0
description:
  - Joins every process and every listening socket of the host with the control groups of the running containers, and names all that is
    neither a container's nor the engine's nor the operating system's.
  - Works with control groups of version 1 and 2 and with every cgroup driver and parent, because it compares paths with those of the
    containers' first processes instead of matching names.
  - The processes that Ansible itself started to run this module are left out, by their process ids.
options:
  allowed_units:
    description:
      - Further systemd units whose processes belong on the host, as shell patterns, for example an agent's V(zabbix-agent.service).
      - By unit and not by program, because a program can call itself anything.
    type: list
    elements: str
    default: []
  engine_sockets:
    description:
      - Addresses on which the engine itself may listen on the network, as V(tcp://10.0.0.5:2376), or a shell pattern as V(udp://*:7946).
      - Ports that containers publish need not be named.
    type: list
    elements: str
    default: []
author:
  - The dockpress engineers (@dockpress)
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - This module changes nothing.
  diff_mode:
    description: Returns details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: N/A
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
"""

EXAMPLES = r"""
- name: What runs here besides Docker
  dockpress.hosting.dedicated_host_info:
    allowed_units: [zabbix-agent2.service]
  register: host

- name: Nothing else may
  ansible.builtin.assert:
    that: host.violations | length == 0
"""

RETURN = r"""
violations:
  description: What does not belong on a Docker host.
  type: list
  elements: dict
  returned: always
  contains:
    kind:
      description:
        - V(process) for a process, V(unit) for a unit that does not run, but is enabled or listened for, V(engine) for a network socket
          of the engine itself.
      type: str
    why:
      description: Why it does not belong here.
      type: str
    pid:
      description: Process id; V(0) for a unit that does not run.
      type: int
    name:
      description: The process' name.
      type: str
    exe:
      description: Its program.
      type: str
    unit:
      description: Its systemd unit, empty outside of units.
      type: str
    sockets:
      description: What it listens on, as V(tcp/0.0.0.0:80).
      type: list
      elements: str
counts:
  description: How many processes are containers', the engine's, the system's, the kernel's.
  type: dict
  returned: always
containers:
  description: Names of the running containers.
  type: list
  elements: str
  returned: always
kernel_sockets:
  description: Listening sockets without a process, as those of WireGuard or VXLAN.
  type: list
  elements: str
  returned: always
"""

import json
import os
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils import _processes


def containers_of(module: AnsibleModule, proc: Path = Path("/proc")) -> list[_processes.Container]:
    """The running containers. A host without an engine has none; an engine that does not answer is an error."""
    if module.get_bin_path("docker") is None:
        return []
    rc, out, err = module.run_command(["docker", "ps", "--quiet", "--no-trunc"])
    if rc != 0:
        module.fail_json(
            msg="The engine does not answer, so nothing can be said about what is a container's.", rc=rc, stderr=err
        )
    names = out.split()
    if not names:
        return []
    # One that ended since makes the call fail, and the others are printed all the same.
    _rc, out, _err = module.run_command(["docker", "inspect", "--type=container", *names])
    result = []
    for inspected in json.loads(out or "[]"):
        try:
            text = (proc / str(inspected["State"]["Pid"]) / "cgroup").read_text(encoding="utf-8")
        except OSError:
            continue
        ports = [
            f"{key.partition('/')[2]}/{binding['HostPort']}"
            for key, bindings in (inspected["NetworkSettings"].get("Ports") or {}).items()
            for binding in bindings or []
        ]
        result.append(_processes.Container(inspected["Name"].lstrip("/"), _processes.cgroup_path(text), ports))
    return result


def enabled_units_of(module: AnsibleModule) -> list[str]:
    """Services that start at boot."""
    _rc, out, _err = module.run_command(
        ["systemctl", "list-unit-files", "--type=service", "--state=enabled", "--no-legend", "--plain", "--no-pager"]
    )
    return [line.split()[0] for line in out.splitlines() if line.strip()]


def activated_by_systemd(module: AnsibleModule) -> list[tuple[str, str]]:
    """Sockets that systemd listens on in place of units."""
    _rc, out, _err = module.run_command(["systemctl", "list-sockets", "--no-legend", "--plain", "--no-pager"])
    return _processes.parse_sockets(out)


def look(module: AnsibleModule) -> dict:
    """Read everything once, and join it."""
    containers = containers_of(module)
    rc, sockets, err = module.run_command(["ss", "-H", "-lntup"])
    if rc != 0:
        module.fail_json(msg="ss (package iproute2) does not list the sockets.", rc=rc, stderr=err)
    return _processes.examine(
        _processes.read_processes(),
        _processes.parse_ss(sockets),
        containers,
        own_pid=os.getpid(),
        allowed=module.params["allowed_units"],
        engine_sockets=module.params["engine_sockets"],
        enabled_units=enabled_units_of(module),
        activated=activated_by_systemd(module),
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "allowed_units": {"type": "list", "elements": "str", "default": []},
            "engine_sockets": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    result = look(module)
    if any(violation["kind"] == "process" for violation in result["violations"]):
        # What is being started is for a moment in nobody's control group, and what is being looked at may have ended: only what is
        # still there at a second look counts.
        first = {violation["pid"] for violation in result["violations"]}
        time.sleep(1)
        result = look(module)
        result["violations"] = [one for one in result["violations"] if one["kind"] != "process" or one["pid"] in first]
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
