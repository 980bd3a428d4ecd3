"""Measures against the plain tools and adds what it finds, good or bad, to docs/benchmarks.md.

    python tests/bench/run.py [NAME ...] [--keep]

A bench is a file beside this one with a function `report()`, which returns the lines of its section. Figures are ratios within one run,
because machines are noisy; date and machine size stand above them. The images are those that `make demo` or `make test` built on this machine.
"""

from __future__ import annotations

import argparse
import datetime
import importlib
import os

import common

BENCHES = ("database", "sites", "declare", "no_change", "front_page", "backup")
PAGE = common.ROOT / "docs/benchmarks.md"


def add(lines: list[str]) -> None:
    """Add a section at the end of the page, below today's heading. What stands there already stays."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    heading = f"## {datetime.date.today()}, {os.cpu_count()} cores, {memory:.0f} GiB"
    page = PAGE.read_text(encoding="utf-8").rstrip()
    last = [line for line in page.splitlines() if line.startswith("## ")][-1:]
    parts = [page, *([] if last == [heading] else [heading]), "\n".join(lines)]
    PAGE.write_text("\n\n".join(parts) + "\n", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the sandbox of the benches standing")
    parser.add_argument("benches", nargs="*", help=f"of {', '.join(BENCHES)}; all of them when none is named")
    arguments = parser.parse_args()
    if unknown := set(arguments.benches) - set(BENCHES):
        parser.error(f"there is no bench {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    try:
        for name in arguments.benches or BENCHES:
            print(f"=== {name}", flush=True)
            lines = importlib.import_module(name).report()
            print("\n".join(lines), flush=True)
            add(lines)
    finally:
        if not arguments.keep:
            common.remove_sandbox()


if __name__ == "__main__":
    main()
