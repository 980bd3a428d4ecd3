# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What was seen on every Docker host, judged: one report for the fleet. A pure function."""

from __future__ import annotations

import re
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
  drift_unknown:
    description: Why there is no O(drift) though it was asked for; a problem of the report.
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
  description: C(well), C(problems) as sentences, C(time), C(hosts) with all that was seen, C(sites) with those that have drifted.
  type: dict
"""

SECTIONS = {
    "1": "Host",
    "2": "Engine",
    "3": "Files of the engine",
    "4": "Images",
    "5": "Containers",
    "6": "Order",
    "7": "Swarm",
}
RESULTS = ("pass", "waived", "manual", "fail", "absent")
FULL = 90


def count(controls: list[dict]) -> dict[str, int]:
    """How many controls ended in each result, also where none did."""
    found = Counter(control["result"] for control in controls)
    return {result: found[result] for result in RESULTS}


def by_number(name: str) -> list[str | int]:
    """A key to sort by: web2 before web10."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def drifted(found: Mapping) -> list[str]:
    """What a check run would change on one host or site, as sentences."""
    return [f"a run would change: {task}" for task in found.get("changed", [])] + [
        f"a check run fails at: {task}" for task in [*found.get("failed", []), *found.get("unreachable", [])]
    ]


def disks_of(rows: list[list[str]]) -> list[dict]:
    """Disks out of the lines of C(df); two mount points of the same size and room are one disk."""
    disks: list[dict] = []
    for target, size, free, percent in rows:
        same = next((disk for disk in disks if (disk["bytes"], disk["free"]) == (int(size), int(free))), None)
        if same:
            same["paths"].append(target)
        else:
            disks.append({"paths": [target], "bytes": int(size), "free": int(free), "used": int(percent.rstrip("%"))})
    return disks


def judged(name: str, seen: Mapping | None, drift: Mapping, obstacle: str = "") -> dict:
    """One host: its problems as sentences, and the figures that the report shows.

    :param obstacle: what kept it from being looked at.
    """
    if seen is None:
        problem = f"could not be looked at: {obstacle}" if obstacle else "could not be reached, or was not looked at"
        return {"name": name, "reached": False, "problems": [problem]}
    disks = disks_of(seen["disks"])
    problems = [
        f"CIS {control['id']} {control['title']}: {control['detail']}"
        for control in seen["controls"]
        if control["result"] == "fail"
    ]
    problems += [
        f"{one['exe'] or one['name'] or one['unit']} does not belong on a Docker host: {one['why']}"
        for one in seen["violations"]
    ]
    problems += [f"nobody declared the container {container}" for container in seen["undeclared"]]
    problems += [
        f"the container {container} has an address on a network of the host's (macvlan or ipvlan), past the firewall"
        for container in seen["past_firewall"]
    ]
    problems += drifted(drift)
    if seen["firewall"] == "not in force":
        problems.append("the firewall's rules are not in force")
    problems += [f"{disk['paths'][0]} is {disk['used']} % full" for disk in disks if disk["used"] >= FULL]
    sections = []
    for number, title in SECTIONS.items():
        controls = [control for control in seen["controls"] if control["id"].split(".")[0] == number]
        sections.append({"number": number, "title": title, "controls": controls, "counts": count(controls)})
    return {
        **{key: value for key, value in seen.items() if key != "controls"},
        "name": name,
        "reached": True,
        "problems": problems,
        "counts": count(seen["controls"]),
        "sections": sections,
        "drift": drifted(drift),
        # As docker-bench-security wants to be told (-e).
        "docker_bench": ",".join(
            f"check_{control['id'].replace('.', '_')}" for control in seen["controls"] if control["result"] == "waived"
        ),
        "disks": disks,
    }


def audit_report(
    hostvars: Mapping, groups: Mapping, drift: Mapping | None = None, now: str = "", drift_unknown: str = ""
) -> dict:
    """See DOCUMENTATION."""
    changes = drift or {}
    names = sorted(groups.get("docker_hosts", []), key=by_number)
    hosts = [
        judged(
            name,
            hostvars[name].get("docker_host_audit"),
            changes.get(name, {}),
            hostvars[name].get("docker_host_audit_obstacle", ""),
        )
        for name in names
    ]
    # Sites are inventory hosts of their own, and so their drift is.
    sites = [
        {"name": name, "problems": drifted(changes[name])}
        for name in sorted(changes, key=by_number)
        if name not in names and name != "localhost" and drifted(changes[name])
    ]
    if drift_unknown:
        sites.insert(0, {"name": "check run", "problems": [f"what a run would change is not known: {drift_unknown}"]})
    problems = [f"{one['name']}: {problem}" for one in hosts + sites for problem in one["problems"]]
    return {"well": not problems and bool(hosts), "problems": problems, "time": now, "hosts": hosts, "sites": sites}


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"audit_report": audit_report}
