"""A site from nothing (configuration and installation): by our modules and by the chapter's commands, on the same stack."""

from __future__ import annotations

import time

import chapter
import common

ROUNDS = 5


def by_hand() -> float:
    start = time.monotonic()
    common.on_host(chapter.IN_ITS_FOLDER + chapter.INSTALL.format(url="http://chapter.localhost"))
    return time.monotonic() - start


def report() -> list[str]:
    common.sandbox(chapter.SITE.replace("-", "."))
    chapter.start()
    hand: list[float] = []
    tasks: dict[str, list[float]] = {"one": [], "two": []}
    whole: dict[str, list[float]] = {"one": [], "two": []}
    for _round in range(ROUNDS):
        chapter.empty()
        hand.append(by_hand())
        for way, spent in tasks.items():
            chapter.empty()
            run = common.play("tests/bench/declare.yml", "--tags", way)
            spent.append(sum(task[2] for task in run["tasks"]))
            whole[way].append(run["seconds"])
    base = common.median(hand)
    lines = [
        f"A site from nothing (configuration and installation), on the chapter's stack, medians of {ROUNDS} interleaved rounds. Ratios are seconds",
        "against the chapter's commands; the tasks run over Ansible's connection, the commands in a shell on the host:",
        "",
        "| | seconds | ratio | with the start of `ansible-playbook` |",
        "|---|---|---|---|",
        f"| `docker compose run wp core config`, then `core install` | {base} | 1 | |",
    ]
    for way, name in (("two", "`wp_config`, then `wp_core`"), ("one", "`wp_site`")):
        seconds, all_ = common.median(tasks[way]), common.median(whole[way])
        lines.append(f"| {name} | {seconds} | {seconds / base:.2f} | {all_} ({all_ / base:.2f}) |")
    return lines
