"""What the benches share: a sandbox of their own, playbooks that tell what each task cost, commands on its host."""

from __future__ import annotations

import datetime
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
NAME = os.environ.get("BENCH_SANDBOX_NAME", "dockpress-bench")
PORT = int(os.environ.get("BENCH_SANDBOX_PORT_BASE", "28080"))
HOST = f"{NAME}-web1"
INVENTORIES = ["-i", "inventories/sandbox", "-i", "tests/bench/inventory"]
ENVIRONMENT = os.environ | {
    "SANDBOX_NAME": NAME,
    "SANDBOX_DIR": os.environ.get("BENCH_SANDBOX_DIR", str(ROOT / ".sandbox-bench")),
    "SANDBOX_PORT_BASE": str(PORT),
    "SANDBOX_SUBNET": os.environ.get("BENCH_SANDBOX_SUBNET", "10.215"),
}


def image(name: str) -> str:
    """The newest image of this name that was built here."""
    command = ["docker", "image", "ls", "--filter", f"reference=dockpress/{name}", "--format", "{{.ID}}"]
    found = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.split()
    if not found:
        sys.exit(f"There is no image of {name} on this machine. Run make demo first.")
    return found[0]


def play(playbook: str, *arguments: str, limit: str | None = None) -> dict:
    """Run a playbook. Returns seconds in all, `tasks` (name, host, seconds, changed) and whether anything changed."""
    command = ["ansible-playbook", playbook, *INVENTORIES, *(["--limit", limit] if limit else []), *arguments]
    environment = ENVIRONMENT | {
        "ANSIBLE_STDOUT_CALLBACK": "ansible.posix.json",
        "ANSIBLE_CALLBACK_RESULT_FORMAT": "json",
    }
    start = time.monotonic()
    done = subprocess.run(
        command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    seconds = time.monotonic() - start
    if done.returncode:
        sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-4000:]}")
    tasks = []
    for part in json.loads(done.stdout[done.stdout.index("{") :])["plays"]:
        for task in part["tasks"]:
            ran = [result for result in task["hosts"].values() if not result.get("skipped")]
            if ran:
                begin, end = (
                    datetime.datetime.fromisoformat(task["task"]["duration"][word]) for word in ("start", "end")
                )
                changed = sum(bool(result.get("changed")) for result in ran)
                tasks.append((task["task"]["name"], len(ran), (end - begin).total_seconds(), changed))
    return {"seconds": seconds, "tasks": tasks, "changed": sum(task[3] for task in tasks)}


def sandbox(limit: str) -> None:
    """Make the host of the benches, and the sites that `limit` names on it. What is there stays."""
    print(f"Making the sandbox {NAME} ...", flush=True)
    play("playbooks/sandbox.yml")
    play("playbooks/provision.yml")
    play("playbooks/wordpress.yml", limit=limit)


def need(program: str) -> None:
    """A program from Debian on this machine. Stops where it is missing and cannot be installed."""
    if shutil.which(program):
        return
    if os.geteuid() or not shutil.which("apt-get"):
        sys.exit(f"{program} is missing on this machine. Install it (Debian: apt-get install {program}) and run again.")
    subprocess.run(
        ["apt-get", "install", "-y", "-qq", "--no-install-recommends", program], check=True, stdout=subprocess.DEVNULL
    )


def on_host(script: str, check: bool = True) -> str:
    """Run a shell script on the Docker host, as an operator there would. Returns its standard output."""
    command = ["docker", "exec", "-i", HOST, "bash", "-euo", "pipefail", "-s"]
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=False)
    if check and done.returncode:
        sys.exit(f"On {HOST}: {script}\nended with {done.returncode}:\n{done.stdout}{done.stderr}")
    return done.stdout


def median(values: list[float]) -> float:
    return round(statistics.median(values), 2)


def remove_sandbox() -> None:
    play("playbooks/sandbox.yml", "-e", "sandbox_state=absent")
