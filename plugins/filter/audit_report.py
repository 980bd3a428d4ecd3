# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen on every Docker host, judged: one report for the fleet. A pure function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

DOCUMENTATION = r"""
name: audit_report
short_description: One report out of what was seen on every Docker host
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Joins what the role C(docker_host) left in RV(ignore:docker_host_audit) on every host with what a check run would change, and judges.
positional: _groups
options:
  _input:
    description: Ansible's C(hostvars).
    type: dict
    required: true
  _groups:
    description: Ansible's C(groups); hosts are the members of C(docker_hosts).
    type: dict
    required: true
  drift:
    description: What a check run would change, as the callback P(dockpress.hosting.drift#callback) writes it.
    type: dict
    default: {}
  now:
    description: The time, for the report.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Whether all is well
  ansible.builtin.debug:
    msg: "{{ (hostvars | dockpress.hosting.audit_report(groups)).well }}"
"""

RETURN = r"""
_value:
  description: C(well), C(problems) as sentences, C(time), C(hosts) with all that was seen.
  type: dict
"""

SECTIONS = {
    "1": "Host",
    "2": "Engine",
    "3": "Files of the engine",
    "4": "Images",
    "5": "Containers",
    "6": "Order",
}
FULL = 90


def judged(name: str, seen: Mapping | None, drift: Mapping) -> dict:
    """One host: its problems as sentences, and the figures that the report shows."""
    if seen is None:
        return {
            "name": name,
            "reached": False,
            "problems": [f"{name} could not be reached, or could not be looked at."],
        }
    drifted = dict(drift.get(name, {}))
    failed = [control for control in seen["controls"] if control["result"] == "fail"]
    problems = [f"{name}: CIS {control['id']} {control['title']}: {control['detail']}" for control in failed]
    problems += [
        f"{name}: {one['exe'] or one['name'] or one['unit']} does not belong on a Docker host: {one['why']}"
        for one in seen["violations"]
    ]
    problems += [f"{name}: nobody declared the container {container}" for container in seen["undeclared"]]
    problems += [f"{name}: a run would change: {task}" for task in drifted.get("changed", [])]
    problems += [
        f"{name}: a check run fails at: {task}" for task in drifted.get("failed", []) + drifted.get("unreachable", [])
    ]
    if seen["firewall"] == "not in force":
        problems.append(f"{name}: the firewall's rules are not in force")
    disks: list[dict] = []
    for target, size, free, percent in seen["disks"]:
        same = next((disk for disk in disks if (disk["bytes"], disk["free"]) == (int(size), int(free))), None)
        if same:
            same["paths"].append(target)
        else:
            disks.append({"paths": [target], "bytes": int(size), "free": int(free), "used": int(percent.rstrip("%"))})
    problems += [f"{name}: {disk['paths'][0]} is {disk['used']} % full" for disk in disks if disk["used"] >= FULL]
    sections = [
        {
            "number": number,
            "title": title,
            "controls": [control for control in seen["controls"] if control["id"].split(".")[0] == number],
            "counts": dict(
                Counter(control["result"] for control in seen["controls"] if control["id"].split(".")[0] == number)
            ),
        }
        for number, title in SECTIONS.items()
    ]
    return {
        **{key: value for key, value in seen.items() if key != "controls"},
        "name": name,
        "reached": True,
        "problems": problems,
        "counts": dict(Counter(control["result"] for control in seen["controls"])),
        "sections": sections,
        "drift": drifted,
        "disks": disks,
    }


def audit_report(hostvars: Mapping, groups: Mapping, drift: Mapping | None = None, now: str = "") -> dict:
    """See DOCUMENTATION."""
    changes = drift or {}
    names = sorted(groups.get("docker_hosts", []))
    hosts = [judged(name, hostvars[name].get("docker_host_audit"), changes) for name in names]
    # Sites are inventory hosts of their own, and so their drift is.
    others = {
        name: found
        for name, found in changes.items()
        if name not in names and name != "localhost" and any(found.values())
    }
    problems = [problem for host in hosts for problem in host["problems"]]
    for name, found in sorted(others.items()):
        problems += [f"{name}: a run would change: {task}" for task in found.get("changed", [])]
        problems += [
            f"{name}: a check run fails at: {task}" for task in found.get("failed", []) + found.get("unreachable", [])
        ]
    return {"well": not problems and bool(hosts), "problems": problems, "time": now, "hosts": hosts, "drift": others}


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"audit_report": audit_report}
