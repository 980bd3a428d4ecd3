# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Writes what a check run would change into a file, for the audit report."""

from __future__ import annotations

DOCUMENTATION = r"""
name: drift
type: aggregate
short_description: What a run changed, or would change, as a file
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Collects for every host the names of the tasks that changed something (in check mode, would change something) or failed, and writes them as
    JSON into the file that the environment variable E(DOCKPRESS_DRIFT_FILE) names. Without that variable it does nothing.
requirements:
  - It has to be enabled, with E(ANSIBLE_CALLBACKS_ENABLED).
"""

import json
import os
from pathlib import Path

from ansible.plugins.callback import CallbackBase


class CallbackModule(CallbackBase):
    """Ansible's entry point."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "dockpress.hosting.drift"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        self.hosts: dict[str, dict[str, list[str]]] = {}

    def note(self, result, kind: str) -> None:
        name = result.host.get_name()
        host = self.hosts.setdefault(name, {"changed": [], "failed": [], "unreachable": []})
        host[kind].append(result.task.get_name().strip())

    def v2_runner_on_ok(self, result) -> None:
        if result.result.get("changed"):
            self.note(result, "changed")

    def v2_runner_on_failed(self, result, ignore_errors: bool = False) -> None:
        if not ignore_errors:
            self.note(result, "failed")

    def v2_runner_on_unreachable(self, result) -> None:
        self.note(result, "unreachable")

    def v2_playbook_on_stats(self, stats) -> None:
        path = os.environ.get("DOCKPRESS_DRIFT_FILE")
        if path:
            Path(path).write_text(json.dumps(self.hosts), encoding="utf-8")
