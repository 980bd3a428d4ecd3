#!/usr/bin/python
# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: docker_cis_info
short_description: How a Docker host stands against the CIS Docker Benchmark 1.6
version_added: 0.1.0
description:
  - Checks every control of the benchmark's sections 1 to 7 on the host's effective state, the engine's own answers, the modes of
    files, the settings of running containers.
  - Controls that no program can decide are reported as V(manual).
options:
  waivers:
    description:
      - Controls that need not hold here, by id, each with C(reason).
      - C(who) limits a waiver to containers or images by shell pattern (one, or a list), C(where) with V(container) to hosts that are containers themselves.
    type: dict
    default: {}
  group_members:
    description: Who is meant to be in the group C(docker). Without it, whoever is there is left to people to judge.
    type: list
    elements: str
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
- name: How this host stands
  dockpress.hosting.docker_cis_info:
    waivers:
      "2.12": {reason: Only root reaches the engine.}
  register: cis

- name: What fails
  ansible.builtin.debug:
    msg: "{{ cis.controls | selectattr('result', 'eq', 'fail') }}"
"""

RETURN = r"""
controls:
  description: Every control, in the benchmark's order.
  type: list
  elements: dict
  returned: always
  contains:
    id:
      description: Its id in the benchmark.
      type: str
    title:
      description: What it asks for.
      type: str
    result:
      description: V(pass), V(fail), V(waived), V(manual), or V(absent) where there is nothing to check.
      type: str
    detail:
      description: What was found.
      type: str
    reason:
      description: The waiver's reason.
      type: str
    who:
      description: Containers or images that it fails for.
      type: list
      elements: str
engine:
  description: Versions of the engine and of what it uses, storage driver, cgroup version.
  type: dict
  returned: always
running:
  description: The running containers, each with C(name), C(image), C(project) and C(service) of Compose.
  type: list
  elements: dict
  returned: always
past_firewall:
  description:
    - Running containers that no firewall of the host sees, because they have an address of their own on a network of the host's
      (drivers V(macvlan) and V(ipvlan)).
  type: list
  elements: str
  returned: always
in_container:
  description: Whether the host is a container itself.
  type: bool
  returned: always
"""

import grp
import json
import pwd
import stat
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils import _cis
from ansible_collections.dockpress.hosting.plugins.module_utils._docker_daemon import ENVIRONMENT_FILE, unit_flags


def ask(module: AnsibleModule, *arguments: str) -> str:
    """Standard output of a docker command; an engine that does not answer ends the module."""
    rc, out, err = module.run_command(["docker", *arguments])
    if rc != 0 and not out.strip():
        module.fail_json(msg="The engine does not answer.", cmd=["docker", *arguments], rc=rc, stderr=err)
    return out


def described(module: AnsibleModule, kind: str, names: list[str]) -> list[dict]:
    return json.loads(ask(module, "inspect", f"--type={kind}", *names)) if names else []


def name_of(function, number: int) -> str:
    try:
        return function(number)[0]
    except KeyError:
        return str(number)


def files_of(daemon: dict) -> dict[str, tuple[str, str, str]]:
    """Owner, group and mode of every file that a control names and that exists."""
    paths = {path for _what, paths in _cis.AUDITED.values() for path in paths}
    paths |= {*_cis.unit_paths("docker.service"), *_cis.unit_paths("docker.socket")}
    paths |= {path for sockets in _cis.SOCKETS.values() for path in sockets}
    paths |= {str(daemon[key]) for key in ("tlscacert", "tlscert", "tlskey") if daemon.get(key)}
    paths |= {str(path) for path in Path("/etc/docker/certs.d").glob("*/*")}
    result = {}
    for path in paths:
        try:
            found = Path(path).stat()
        except OSError:
            continue
        result[path] = (
            name_of(pwd.getpwuid, found.st_uid),
            name_of(grp.getgrgid, found.st_gid),
            f"{stat.S_IMODE(found.st_mode):04o}",
        )
    return result


def read(module: AnsibleModule) -> _cis.Facts:
    try:
        daemon = json.loads(Path("/etc/docker/daemon.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        daemon = {}
    _rc, exec_start, _err = module.run_command(["systemctl", "show", "docker.service", "--property=ExecStart"])
    rules = None
    if module.get_bin_path("auditctl"):
        rc, out, _err = module.run_command(["auditctl", "-l"])
        rules = out if rc == 0 else None
    try:
        members = grp.getgrnam("docker").gr_mem
    except KeyError:
        members = []
    mounts = {line.split()[1] for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines()}
    environment = Path("/etc/environment")
    options = Path(ENVIRONMENT_FILE)
    return _cis.Facts(
        info=json.loads(ask(module, "info", "--format={{json .}}")),
        daemon=daemon,
        flags=unit_flags(exec_start, options.read_text(encoding="utf-8") if options.exists() else ""),
        files=files_of(daemon),
        containers=described(module, "container", ask(module, "ps", "--quiet", "--no-trunc").split()),
        images=described(module, "image", sorted(set(ask(module, "images", "--quiet", "--no-trunc").split()))),
        mounts=mounts,
        audit_rules=rules,
        docker_group=members,
        declared_group=module.params["group_members"],
        content_trust=environment.exists() and "DOCKER_CONTENT_TRUST=1" in environment.read_text(encoding="utf-8"),
    )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "waivers": {"type": "dict", "default": {}},
            "group_members": {"type": "list", "elements": "str"},
        },
        supports_check_mode=True,
    )
    in_container = module.run_command(["systemd-detect-virt", "--container", "--quiet"])[0] == 0
    if module.get_bin_path("docker") is None:
        module.fail_json(msg="This host has no engine; run playbooks/provision.yml.")
    facts = read(module)
    try:
        controls = _cis.examine(facts, module.params["waivers"], in_container)
    except ValueError as error:
        module.fail_json(msg=str(error))
    engine = {
        "version": facts.info.get("ServerVersion"),
        "containerd": (facts.info.get("ContainerdCommit") or {}).get("ID"),
        "runc": (facts.info.get("RuncCommit") or {}).get("ID"),
        "storage": facts.info.get("Driver"),
        "cgroup": facts.info.get("CgroupVersion"),
        "kernel": facts.info.get("KernelVersion"),
        "system": facts.info.get("OperatingSystem"),
        "root": facts.info.get("DockerRootDir"),
    }
    running = []
    for container in facts.containers:
        labels = container["Config"].get("Labels") or {}
        running.append(
            {
                "name": _cis.name_of(container),
                "image": container["Config"].get("Image"),
                "project": labels.get("com.docker.compose.project", ""),
                "service": labels.get("com.docker.compose.service", ""),
            }
        )
    rows = [line.split() for line in ask(module, "network", "ls", "--format={{.Name}} {{.Driver}}").splitlines()]
    bridged = {name for name, driver in rows if driver in ("macvlan", "ipvlan")}
    module.exit_json(
        changed=False,
        controls=controls,
        engine=engine,
        running=running,
        past_firewall=sorted(
            _cis.name_of(one) for one in facts.containers if bridged & set(one["NetworkSettings"].get("Networks") or {})
        ),
        in_container=in_container,
    )


if __name__ == "__main__":
    main()
