#!/usr/bin/python
# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
from __future__ import annotations

DOCUMENTATION = r"""
module: docker_daemon
short_description: Declare a Docker engine's daemon.json, and apply it with the least disturbance
version_added: 0.1.0
description:
  - Writes the engine's configuration file after C(dockerd --validate), called with the flags of the engine's own unit, has
    accepted it, and says whether the running engine needs nothing, a reload or a restart to run with it.
  - Nothing is applied before O(apply) is set, so that a play can say what is going to happen.
  - What the running engine was started with is remembered, so a run that was interrupted between writing and applying
    is finished by the next one.
  - An engine that does not come up with the new configuration gets the old one back, and the module fails.
options:
  config:
    description:
      - The whole configuration. A key whose value is null is left out.
      - Values of V(log-opts), V(exec-opts), V(default-network-opts) and V(proxies) become strings, as the engine wants them.
    type: dict
    required: true
  path:
    description: The configuration file.
    type: path
    default: /etc/docker/daemon.json
  unit:
    description: The systemd unit of the engine.
    type: str
    default: docker.service
  apply:
    description: Reload or restart the engine where the configuration that it runs with is not the one on disk.
    type: bool
    default: false
author:
  - The dockpress engineers (@dockpress)
attributes:
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying the target.
    support: full
    details:
      - Without an engine on the host the configuration cannot be validated, only what the module itself knows of it.
  diff_mode:
    description: Returns details on what has changed (or possibly needs changing in C(check_mode)), when in diff mode.
    support: full
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
"""

EXAMPLES = r"""
- name: Declare the engine's configuration
  dockpress.hosting.docker_daemon:
    config:
      live-restore: true
      log-driver: local
      log-opts: {max-size: 10m, max-file: 3}
  register: daemon

- name: Say what happens to the engine
  ansible.builtin.debug:
    msg: "{{ daemon.explanation }}"
  when: daemon.action != 'none'

- name: Apply it
  dockpress.hosting.docker_daemon:
    config: "{{ daemon.config }}"
    apply: true
  when: daemon.action != 'none'
"""

RETURN = r"""
action:
  description: What the running engine needs (or got) to run with the configuration, V(none), V(reload) or V(restart).
  type: str
  returned: always
differing:
  description: The top-level keys in which the running engine's configuration differs.
  type: list
  elements: str
  returned: always
explanation:
  description: The same as one sentence for people.
  type: str
  returned: always
engine:
  description: Whether the host has an engine at all. Before the first run, in check mode, it has none.
  type: bool
  returned: always
config:
  description: The configuration as it is written.
  type: dict
  returned: always
"""

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils import _docker_daemon as daemon_json

# What the engine runs with, and which start of the engine that was. On tmpfs: a boot starts with the file on disk.
MEMORY = Path("/run/dockpress/docker-daemon.json")


class Engine:
    """The engine's systemd unit and what it runs with."""

    def __init__(self, module: AnsibleModule, unit: str, path: Path) -> None:
        self.module, self.unit, self.path = module, unit, path
        properties = "LoadState,ActiveState,ExecMainStartTimestampMonotonic,MainPID,ExecStart"
        _rc, output, _err = module.run_command(["systemctl", "show", unit, f"--property={properties}"])
        self.properties = dict(line.split("=", 1) for line in output.splitlines() if "=" in line)

    @property
    def installed(self) -> bool:
        return self.properties.get("LoadState") == "loaded"

    @property
    def running(self) -> bool:
        return self.properties.get("ActiveState") == "active"

    @property
    def start(self) -> str:
        """Identifies one start of the engine."""
        return f"{self.properties.get('MainPID')}@{self.properties.get('ExecMainStartTimestampMonotonic')}"

    def started_at(self) -> float:
        """Seconds since the epoch at which the main process began; 0.0 when that is unknown."""
        try:
            since_boot = int(self.properties["ExecMainStartTimestampMonotonic"]) / 1e6
        except (KeyError, ValueError):
            return 0.0
        return time.time() - time.monotonic() + since_boot

    def runs_with(self, on_disk: dict, written: float) -> dict | None:
        """The configuration of the running engine; V(None) where it cannot be known.

        :param on_disk: content of the file as it lies there now.
        :param written: when that file was last modified, seconds since the epoch.
        """
        memory = self.memory()
        if "config" in memory:
            return memory["config"]
        return on_disk if written <= self.started_at() else None

    def memory(self) -> dict:
        """What was kept about this start of the engine."""
        try:
            memory = json.loads(MEMORY.read_text(encoding="utf-8"))
            return memory if memory["start"] == self.start else {}
        except (OSError, ValueError, KeyError):
            return {}

    def remember(self, config: dict | None, replaced: str = "") -> None:
        """Keep what the engine runs with, and the text of the file that something else replaces meanwhile."""
        MEMORY.parent.mkdir(mode=0o755, exist_ok=True)
        memory = {"start": self.start, "config": config, "replaced": replaced}
        MEMORY.write_text(json.dumps(memory), encoding="utf-8")

    def keeps_containers(self, wanted: dict) -> bool:
        """Whether containers go on through a restart: the engine that stops has to leave them, and the one that starts to take them."""
        _rc, answer, _err = self.module.run_command(["docker", "info", "--format", "{{.LiveRestoreEnabled}}"])
        return answer.strip() == "true" and wanted.get("live-restore", False)

    def tell(self, verb: str) -> bool:
        """Reload or restart, and wait until the engine answers. True when it does."""
        if verb == "restart":
            # Its drop-ins may have changed along with the file.
            self.module.run_command(["systemctl", "daemon-reload"])
            self.module.run_command(["systemctl", "reset-failed", self.unit])
        rc, _out, _err = self.module.run_command(["systemctl", verb, self.unit])
        for _attempt in range(60):
            if rc == 0 and self.module.run_command(["docker", "version", "--format", "{{.Server.Version}}"])[0] == 0:
                return True
            if rc != 0:
                break
            time.sleep(0.5)
        return False


def put(path: Path, text: str) -> None:
    """Replace the file atomically, root's, readable by all."""
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=".daemon.json.")
    with os.fdopen(handle, "w", encoding="utf-8") as stream:
        stream.write(text)
        os.fchmod(stream.fileno(), 0o644)
        os.fsync(stream.fileno())
    Path(name).replace(path)


def validate(module: AnsibleModule, text: str, flags: list[str]) -> None:
    """Ask dockerd, with its unit's flags, whether it would start with this; stop the play if not."""
    if shutil.which("dockerd") is None:
        return
    with tempfile.NamedTemporaryFile("w", suffix=".json", dir=module.tmpdir, encoding="utf-8") as candidate:
        candidate.write(text)
        candidate.flush()
        command = ["dockerd", "--validate", f"--config-file={candidate.name}", *flags]
        rc, out, err = module.run_command(command)
    if rc != 0:
        module.fail_json(
            msg=f"dockerd refuses this configuration; nothing was changed: {(err or out).strip()}",
            cmd=command,
            rc=rc,
            stdout=out,
            stderr=err,
        )


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "config": {"type": "dict", "required": True},
            "path": {"type": "path", "default": "/etc/docker/daemon.json"},
            "unit": {"type": "str", "default": "docker.service"},
            "apply": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    path = Path(module.params["path"])
    try:
        wanted = daemon_json.normalise(module.params["config"])
    except ValueError as error:
        module.fail_json(msg=f"{error} Nothing was changed.")
    text = daemon_json.render(wanted)
    before = path.read_text(encoding="utf-8") if path.exists() else ""
    try:
        on_disk = json.loads(before or "{}")
    except ValueError:
        # Somebody broke the file by hand while the engine went on; what it runs with is then unknown.
        on_disk = {}
    if not isinstance(on_disk, dict):
        module.fail_json(
            msg=f"{path} holds no mapping of keys to values, and the engine takes nothing else. Mend it or move it away; nothing was changed."
        )

    engine = Engine(module, module.params["unit"], path)
    if before != text:
        environment = Path(daemon_json.ENVIRONMENT_FILE)
        flags = daemon_json.unit_flags(
            engine.properties.get("ExecStart", ""),
            environment.read_text(encoding="utf-8") if environment.exists() else "",
        )
        if "hosts" in wanted:
            # The role's drop-in takes the sockets out of the unit in this case.
            flags = [flag for flag in flags if flag not in ("-H", "fd://") and not flag.startswith("--host")]
        validate(module, text, flags)

    running = engine.runs_with(on_disk, path.stat().st_mtime if before else 0.0) if engine.running else wanted
    if running is None:
        keys, action = [], "restart"
    else:
        keys = daemon_json.differing(running, wanted)
        action = daemon_json.action_for(keys, wanted)
    changed = before != text
    if changed and not module.check_mode:
        if engine.running:
            # The first text that was replaced since the engine started is the one to go back to.
            engine.remember(running, engine.memory().get("replaced") or before)
        put(path, text)

    keeps_containers = action == "restart" and engine.keeps_containers(wanted)
    if module.params["apply"] and action != "none":
        changed = True
        if not module.check_mode:
            # Of an engine whose configuration is not known, the text that it had on disk.
            one_before = engine.memory().get("replaced", "") if running is None else ""
            if not engine.tell(action):
                put(path, one_before or daemon_json.render(running or {}))
                back = engine.tell("restart")
                module.fail_json(
                    msg=f"The engine did not come up with this configuration. The one before is back and the engine "
                    f"{'runs' if back else 'does not run with it either'}; see journalctl -u {engine.unit}.",
                    differing=keys,
                )
            Engine(module, module.params["unit"], path).remember(wanted)

    what = ", ".join(keys) or "the configuration"
    explanation = {
        "none": "The engine already runs with this configuration.",
        "reload": f"The engine takes over {what} by a reload; no container and no connection notices.",
        "restart": f"The engine restarts, for {what}. "
        + (
            "Containers go on running (live-restore); new connections to published ports may be refused for up to a second."
            if keeps_containers
            else "It runs or comes up without live-restore: ALL CONTAINERS OF THIS HOST STOP and start again."
        ),
    }[action]
    module.exit_json(
        changed=changed,
        action=action,
        differing=keys,
        explanation=explanation,
        config=wanted,
        engine=engine.installed,
        diff={"before": before, "after": text, "before_header": str(path), "after_header": str(path)},
    )


if __name__ == "__main__":
    main()
