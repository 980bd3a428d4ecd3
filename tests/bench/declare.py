"""A site from nothing (configuration and installation): by our modules and by the chapter's commands, on the same stack."""

from __future__ import annotations

import time

import chapter
import common

ROUNDS = 5
OURS = chapter.SITE.replace("-", ".")
EMPTY_OURS = f"""cd /srv/dockpress/{chapter.SITE}
docker compose exec -T database sh -c '
  MYSQL_PWD=$(cat /run/secrets/db_root_password) mariadb -uroot -e "DROP DATABASE wordpress; CREATE DATABASE wordpress"' </dev/null
rm web/wp-config.php
"""


def by_hand() -> float:
    start = time.monotonic()
    common.on_host(chapter.IN_ITS_FOLDER + chapter.INSTALL.format(url="http://chapter.localhost"))
    return time.monotonic() - start


def by_role() -> dict:
    """The role's own stack, where WP-CLI runs in a container that is there already."""
    common.on_host(EMPTY_OURS)
    return common.play("playbooks/wordpress.yml", limit=OURS)


def by_module(way: str) -> dict:
    chapter.empty()
    return common.play("tests/bench/declare.yml", "--tags", way)


WAYS = {
    "`wp_config`, then `wp_core`, on the same stack": lambda: by_module("two"),
    "`wp_site`, on the same stack": lambda: by_module("one"),
    "`wp_site`, as role `wordpress` calls it on its own stack": by_role,
}


def report() -> list[str]:
    common.sandbox(OURS)
    chapter.start()
    hand: list[float] = []
    tasks: dict[str, list[float]] = {name: [] for name in WAYS}
    whole: dict[str, list[float]] = {name: [] for name in WAYS}
    for _round in range(ROUNDS):
        chapter.empty()
        hand.append(by_hand())
        for name, way in WAYS.items():
            run = way()
            # Of the role, the task that calls the module: the others compare files and containers.
            tasks[name].append(run["tasks"][-1][2] if way is by_role else sum(task[2] for task in run["tasks"]))
            whole[name].append(run["seconds"])
    base = common.median(hand)
    lines = [
        f"A site from nothing (configuration and installation) on the chapter's stack, medians of {ROUNDS} interleaved rounds. Ratios are seconds",
        "against the chapter's commands; the tasks run over Ansible's connection, the commands in a shell on the host:",
        "",
        "| | seconds | ratio | the whole `ansible-playbook` |",
        "|---|---|---|---|",
        f"| `docker compose run wp core config`, then `core install` | {base} | 1 | |",
    ]
    for name in WAYS:
        seconds, all_ = common.median(tasks[name]), common.median(whole[name])
        lines.append(f"| {name} | {seconds} | {seconds / base:.2f} | {all_} ({all_ / base:.2f}) |")
    return lines
