"""A declaration of 20 plugins, 30 options and 3 users that finds nothing to do: by the modules, and by one command an item."""

from __future__ import annotations

import sys
import time

import common

ROUNDS = 3
PLUGINS, OPTIONS, USERS = 20, 30, 3
SITE = "site01-localhost"
# What an operator types without the modules. Standard input is closed: `run` would eat the rest of the script.
COMMANDS = [
    *(f"plugin activate bench-{number}" for number in range(PLUGINS)),
    *(f"option update bench_{number} 'value {number}'" for number in range(OPTIONS)),
    *(f"user get bench-{number} --field=roles" for number in range(USERS)),
]


def plugins() -> None:
    """The files of the plugins, in the site's web root."""
    common.on_host(
        f"cd /srv/dockpress/{SITE}/web/wp-content/plugins\n"
        f"for number in $(seq 0 {PLUGINS - 1}); do\n"
        "mkdir -p bench-$number\n"
        'printf "<?php\\n/* Plugin Name: Bench $number\\nVersion: 1.0 */\\n" >bench-$number/bench-$number.php\n'
        "done\n"
        "chown -R 33:33 .\n"
    )


def by_hand() -> float:
    start = time.monotonic()
    lines = [f"docker compose run --rm wp {command} </dev/null >/dev/null 2>&1" for command in COMMANDS]
    common.on_host("\n".join([f"cd /srv/dockpress/{SITE}", *lines]))
    return time.monotonic() - start


def declared(way: str) -> float:
    """Seconds of the tasks of one run that finds nothing to do."""
    found = common.play("tests/bench/no_change.yml", "--tags", way)
    if found["changed"]:
        sys.exit(f"Nothing should have changed: {found['tasks']}")
    return sum(task[2] for task in found["tasks"])


def report() -> list[str]:
    common.sandbox(SITE.replace("-", "."))
    plugins()
    common.play("tests/bench/no_change.yml", "--tags", "one")
    hand: list[float] = []
    tasks: dict[str, list[float]] = {"one": [], "three": []}
    for _round in range(ROUNDS):
        hand.append(by_hand())
        for way, spent in tasks.items():
            spent.append(declared(way))
    base = common.median(hand)
    lines = [
        f"Nothing to do for {PLUGINS} plugins, {OPTIONS} options and {USERS} users, medians of {ROUNDS} interleaved rounds. The tasks run over",
        "Ansible's connection, the commands in a shell on the host:",
        "",
        "| | seconds | times as fast |",
        "|---|---|---|",
        f"| {len(COMMANDS)} times `docker compose run wp` | {base} | 1 |",
    ]
    for way, name in (("three", "`wp_plugin`, `wp_option` and `wp_user`"), ("one", "`wp_site`")):
        seconds = common.median(tasks[way])
        lines.append(f"| {name} | {seconds} | {base / seconds:.1f} |")
    return lines
