"""Measures against the plain tools and writes what it finds into docs/benchmarks.md, good or bad.

    python tests/bench/run.py [--megabytes 500]

Figures are ratios within one run, because machines are noisy; date and machine size stand beside them. The images are those that
`make demo` or `make test` built on this machine.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs/benchmarks.md"


def image(name: str) -> str:
    """The newest image of this name that was built here."""
    command = ["docker", "image", "ls", "--filter", f"reference=dockpress/{name}", "--format", "{{.ID}}"]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    if not found:
        sys.exit(f"There is no image of {name} on this machine. Run make demo first.")
    return found[0]


def database(megabytes: int) -> list[str]:
    command = [sys.executable, ROOT / "tests/bench/database.py", "--megabytes", str(megabytes)]
    command += ["--mariadb", image("mariadb"), "--cli", image("wordpress_cli"), "--wordpress", image("wordpress")]
    found = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)
    seconds = found["seconds"]
    return [
        f"Database of {found['sql_megabytes']} MB of SQL, medians of three rounds:",
        "",
        "| | seconds | ratio | peak memory of our process |",
        "|---|---|---|---|",
        f"| `mariadb-dump \\| zstd` by hand | {seconds['raw_export']} | 1 | |",
        f"| `wp_db_export` | {seconds['export']} | {found['export_speed_against_raw']} x its speed | {found['peak_mib']['export']} MiB |",
        f"| `wp db import` | {seconds['wp_db_import']} | 1 | |",
        f"| `wp_db_import` (check, load beside the site, compare, swap) | {seconds['import']} "
        f"| {found['import_speed_against_wp']} x its speed | {found['peak_mib']['import']} MiB |",
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=int, default=500)
    arguments = parser.parse_args()
    lines = database(arguments.megabytes)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    head = f"## {datetime.date.today()}, {os.cpu_count()} cores, {memory:.0f} GiB"
    PAGE.write_text(PAGE.read_text().rstrip() + "\n\n" + "\n".join([head, "", *lines]) + "\n")
    print(f"Written to {PAGE}")


if __name__ == "__main__":
    main()
