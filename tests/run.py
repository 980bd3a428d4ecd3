"""Runs the test suite phase by phase, shows what each phase costs against its budget, and always clears the sandbox away.

Every phase is a command of its own; the log of a phase lies in ``.cache/logs/<phase>.log``.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import time
import typing
from xml.etree import ElementTree

ROOT = pathlib.Path(__file__).resolve().parent.parent
LOGS = ROOT / ".cache" / "logs"

# Minutes on two cores, from nothing. CI kills a run at 90.
BUDGET = {
    "lint": 2,
    "sanity": 4,
    "unit": 1,
    "sandbox": 8,
    "images": 2,
    "default": 8,
    "wp_modules": 12,
    "docker_host": 12,
    "monitoring": 12,
    "backup": 14,
    "dev": 9,
    "sandbox-down": 1,
}

# Molecule warns and goes on where a playbook or a verifier finds nothing: for us that is a failure.
NOTHING_DONE = ("Missing playbook", "collected 0 items", "no tests ran", "No inventory was parsed", "skipping, missing")

# As they are, and as pytest's report has them.
COLOUR = re.compile(r"(\x1b|#x1B)\[[0-9;]*m")
FAILED_TASK = re.compile(r"fatal: \[.*")
REASONS_SHOWN = 12


def reasons(phase: str) -> list[str]:
    """What went wrong in a phase, a line each: its failed tests, or its failed tasks, or its last words.

    The end of the whole output is often all that is kept.
    """
    found = []
    with contextlib.suppress(OSError, ElementTree.ParseError):
        for case in ElementTree.parse(report(phase)).iter("testcase"):
            for problem in (*case.iter("failure"), *case.iter("error")):
                found.append(
                    f"{case.get('classname')}::{case.get('name')}: {' '.join(problem.get('message', '').split())}"
                )
    if not found:
        said = (LOGS / f"{phase}.log").read_text(encoding="utf-8", errors="replace")
        found = FAILED_TASK.findall(said) or said.splitlines()[-REASONS_SHOWN:]
    return [COLOUR.sub("", one)[:400] for one in found[:REASONS_SHOWN]]


def report(phase: str) -> pathlib.Path:
    """Where pytest writes what it saw in a phase."""
    return LOGS / f"{phase}.xml"


class Result(typing.NamedTuple):
    """How a phase went, in minutes, and what went wrong."""

    phase: str
    good: bool
    minutes: float
    reasons: typing.Sequence[str] = ()


def timed(phase: str, command: list[str], environment: dict[str, str]) -> Result:
    started = time.monotonic()
    good = run(phase, command, environment)
    return Result(phase, good, (time.monotonic() - started) / 60, () if good else reasons(phase))


def run(phase: str, command: list[str], environment: dict[str, str]) -> bool:
    """Run one phase, its output on the screen and in its log. True when it went well and did something."""
    log = LOGS / f"{phase}.log"
    report(phase).unlink(missing_ok=True)
    options = f"{environment.get('PYTEST_ADDOPTS', '')} --junitxml={report(phase)}"
    environment = environment | {"PYTEST_ADDOPTS": options}
    if command[0] == "molecule":
        # Molecule remembers that it prepared a scenario, also when its hosts have gone since.
        subprocess.run(["molecule", "reset", "--scenario-name", phase], cwd=ROOT, env=environment, check=True)
    print(f"\n=== {phase}: {' '.join(command)}", flush=True)
    output = ""
    with (
        log.open("w", encoding="utf-8", errors="replace") as sink,
        subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as process,
    ):
        for line in process.stdout:
            sys.stdout.write(line)
            sys.stdout.flush()
            sink.write(line)
            output += line
    if process.returncode:
        print(f"=== {phase} FAILED with {process.returncode}", flush=True)
        return False
    if command[0] == "molecule" and any(words in output for words in NOTHING_DONE):
        print(f"=== {phase} FAILED: a part of it did nothing; see {log}", flush=True)
        return False
    return True


def left_behind(name: str) -> list[str]:
    """Containers, networks and volumes of the sandbox `name` that are still there."""
    found = []
    for kind, shown in (("ps --all", "Names"), ("network ls", "Name"), ("volume ls", "Name")):
        command = ["docker", *kind.split(), "--filter", f"name={name}", "--format", f"{{{{.{shown}}}}}"]
        found += subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True).stdout.split()
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only-scenarios", action="store_true", help="leave lint, sanity and unit tests out")
    parser.add_argument("--keep", action="store_true", help="leave the sandbox standing, to look around")
    parser.add_argument("scenarios", nargs="*")
    arguments = parser.parse_args()

    # The tests' sandbox stands beside the demo's and does not touch it.
    environment = os.environ | {
        "SANDBOX_NAME": os.environ.get("TEST_SANDBOX_NAME", "dockpress-test"),
        "SANDBOX_DIR": os.environ.get("TEST_SANDBOX_DIR", str(ROOT / ".sandbox-test")),
        "SANDBOX_PORT_BASE": os.environ.get("TEST_SANDBOX_PORT_BASE", "18080"),
        "SANDBOX_SUBNET": os.environ.get("TEST_SANDBOX_SUBNET", "10.214"),
    }
    sandbox = ["ansible-playbook", "playbooks/sandbox.yml", "-i", "molecule/shared/inventory"]
    phases: list[tuple[str, list[str]]] = []
    if not arguments.only_scenarios:
        phases += [(name, ["make", "--no-print-directory", name]) for name in ("lint", "unit", "sanity")]
    if arguments.scenarios:
        phases.append(("sandbox", sandbox))
        # Otherwise a scenario that fails clears its hosts at once, and there is nothing to look at.
        kept = ["--destroy=never"] if arguments.keep else []
        phases += [(name, ["molecule", "test", "--scenario-name", name, *kept]) for name in arguments.scenarios]

    LOGS.mkdir(parents=True, exist_ok=True)
    results: list[Result] = []
    try:
        for phase, command in phases:
            results.append(timed(phase, command, environment))
            if phase == "sandbox" and not results[-1].good:
                break
    finally:
        if arguments.scenarios and not arguments.keep:
            results.append(timed("sandbox-down", [*sandbox, "-e", "sandbox_state=absent"], environment))
            left = left_behind(environment["SANDBOX_NAME"])
            if left:
                results.append(Result("sandbox-down", False, 0, [f"It left {', '.join(left)}"]))

    print("\nphase           result   minutes   budget")
    for phase, good, minutes, _reasons in results:
        print(f"{phase:<15} {'ok' if good else 'FAILED':<8} {minutes:7.1f}   {BUDGET.get(phase, 0):6}")
    print(f"{'in all':<24} {sum(result.minutes for result in results):7.1f}")
    for result in results:
        if not result.good:
            print("\n".join([f"\n{result.phase} FAILED; the logs: {LOGS}", *result.reasons]))
    return 0 if results and all(result.good for result in results) else 1


if __name__ == "__main__":
    sys.exit(main())
