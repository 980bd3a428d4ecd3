"""A run that changes nothing: tasks and seconds a site, at one site and at ten."""

from __future__ import annotations

import sys

import common

ROUNDS = 3
ONE, TEN = "site01.localhost", "site*.localhost"


def unchanged(limit: str) -> dict:
    """The median round of `wordpress.yml` over sites that are as declared."""
    rounds = sorted(
        (common.play("playbooks/wordpress.yml", limit=limit) for _round in range(ROUNDS)), key=lambda r: r["seconds"]
    )
    if any(found["changed"] for found in rounds):
        sys.exit(f"A run over {limit} that should change nothing changed something: {rounds[-1]['tasks']}")
    return rounds[ROUNDS // 2]


def report() -> list[str]:
    common.sandbox(TEN)
    found = {1: unchanged(ONE), 10: unchanged(TEN)}
    lines = [
        f"`wordpress.yml` over sites that are as declared, one host, medians of {ROUNDS} rounds. A second and a half of each is Ansible's own start:",
        "",
        "| sites | tasks a site | seconds in all | seconds a site |",
        "|---|---|---|---|",
    ]
    for sites, run in found.items():
        tasks = sum(task[1] for task in run["tasks"]) / sites
        lines.append(f"| {sites} | {tasks:.0f} | {run['seconds']:.1f} | {run['seconds'] / sites:.2f} |")
    lines += ["", "What costs, at 10 sites:", "", "| task | seconds in all | a site |", "|---|---|---|"]
    lines += [
        f"| {name} | {seconds:.1f} | {seconds / hosts:.2f} |" for name, hosts, seconds, _changed in found[10]["tasks"]
    ]
    return lines
