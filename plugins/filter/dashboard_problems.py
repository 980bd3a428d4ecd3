# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds what would keep Grafana from showing provisioned dashboards."""

from __future__ import annotations

import json
import pathlib

DOCUMENTATION = r"""
name: dashboard_problems
short_description: What would keep Grafana from showing dashboards
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Looks for what Grafana's file provisioning refuses, or takes and then shows empty - two dashboards with one uid or title
    freeze each other's updates, an export for sharing carries data sources to be filled in by hand, the newer schemas are
    not read from files.
options:
  _input:
    description: Paths of JSON files on the control node.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Look at dashboards of one's own
  ansible.builtin.assert:
    that: "['files/shop.json'] | dockpress.hosting.dashboard_problems | length == 0"
"""

RETURN = r"""
_value:
  description: One sentence a problem, with the file's name.
  type: list
  elements: str
"""

NEWEST_CLASSIC_SCHEMA = 42


def problems_of(path: pathlib.Path, content: object, text: str) -> list[str]:
    """What is wrong with one dashboard by itself."""
    if not isinstance(content, dict) or "panels" not in content:
        return [f"{path}: this is no classic dashboard (it has no panels); export it without the new layout"]
    found = []
    if "__inputs" in content or "${DS_" in text:
        found.append(f"{path}: its data source is to be filled in by hand; export it without 'share externally'")
    for key in ("uid", "title"):
        if not content.get(key):
            found.append(f"{path}: it has no {key}; write one that no other dashboard has")
    if content.get("id") is not None:
        found.append(f"{path}: its id is that of another Grafana's database; write null")
    if not isinstance(content.get("schemaVersion"), int) or content["schemaVersion"] > NEWEST_CLASSIC_SCHEMA:
        found.append(f"{path}: schemaVersion must be a number up to {NEWEST_CLASSIC_SCHEMA}")
    return found


def dashboard_problems(paths: list[str]) -> list[str]:
    """One sentence a problem, none where all is well."""
    problems: list[str] = []
    seen: dict[tuple[str, str], pathlib.Path] = {}
    for path in map(pathlib.Path, paths):
        try:
            text = path.read_text(encoding="utf-8")
            content = json.loads(text)
        except (OSError, ValueError) as error:
            problems.append(f"{path}: {error}")
            continue
        problems += problems_of(path, content, text)
        keys = {(key, str(content[key])) for key in ("uid", "title") if isinstance(content, dict) and content.get(key)}
        keys.add(("file name", path.name))
        for key in sorted(keys):
            if key in seen:
                problems.append(f"{path} and {seen[key]} have the same {key[0]}, {key[1]}")
            seen[key] = path
    return problems


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"dashboard_problems": dashboard_problems}
