"""Asking the running fleet, and running playbooks against it."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time
from urllib.parse import urlencode

import engine

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAME = os.environ["SANDBOX_NAME"]
# The role's own durations (group_vars/monitoring.yml): a scrape comes every 30 s, a message about a group every 5 minutes.
LONG = bool(os.environ.get("DOCKPRESS_LONG"))
PATIENCE = 12 if LONG else 1
PLAIN = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}

# Asks Prometheus or Alertmanager on the host, where their closed network can be reached.
ASK = """
import json, subprocess, sys, urllib.parse, urllib.request
service, port, paths = sys.argv[1], sys.argv[2], json.load(sys.stdin)
network = json.loads(subprocess.check_output(["docker", "inspect", f"monitoring-{service}-1"]))[0]["NetworkSettings"]["Networks"]
address = network["monitoring_back"]["IPAddress"]
answers = []
for path in paths:
    try:
        answers.append(json.load(urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=10)))
    except OSError as error:
        answers.append({"status": "error", "error": str(error), "data": {"result": []}})
print(json.dumps(answers))
"""


def on(host: str, *command: str, text: str | None = None, check: bool = True) -> str:
    """Run a command on a host of the sandbox and return what it prints."""
    interactive = ["--interactive"] if text is not None else []
    done = engine.run(["docker", "exec", *interactive, f"{NAME}-{host}", *command], input=text, text=True)
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def ask(service: str, port: int, *paths: str) -> list:
    return json.loads(on("web1", "python3", "-c", ASK, service, str(port), text=json.dumps(paths)))


def queries(*expressions: str) -> list[list[dict]]:
    answers = ask("prometheus", 9090, *("/api/v1/query?" + urlencode({"query": each}) for each in expressions))
    for expression, answer in zip(expressions, answers, strict=True):
        assert answer["status"] == "success", f"{expression}: {answer}"
    return [answer["data"]["result"] for answer in answers]


def query(expression: str) -> list[dict]:
    return queries(expression)[0]


def wait(what: str, seconds: float, good, pause: float = 2, seen=None):
    """Ask again until ``good`` returns something true. ``seconds`` is for short durations; ``seen`` tells what was there instead."""
    seconds *= PATIENCE
    end = time.monotonic() + seconds
    while not (result := good()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}" + (f"; instead: {seen()}" if seen else "")
        time.sleep(pause)
    return result


def play(*arguments: str, good: bool = True) -> str:
    """Run playbooks against the scenario's inventory, to a good end or a bad one. Returns the output in one line.

    Ansible wraps its messages, and colours every line by itself, so a sentence could not be found in it otherwise.
    """
    done = subprocess.run(
        ["ansible-playbook", "-i", "molecule/shared/inventory", "-i", "molecule/monitoring/inventory", *arguments],
        cwd=ROOT, env=os.environ | PLAIN, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (done.returncode == 0) == good, done.stdout + done.stderr
    return " ".join((done.stdout + done.stderr).split())


def received(kind: str) -> list[dict]:
    lines = on("web1", "cat", "/var/tmp/received.jsonl", check=False).splitlines()
    return [line["content"] for line in map(json.loads, lines) if line["kind"] == kind]


def process(container: str) -> int:
    """Number of a container's process on web1; 0 while there is none."""
    return int(on("web1", "docker", "inspect", "--format", "{{.State.Pid}}", container))


def started(container: str) -> str | None:
    """When a container of web1 was started, as Prometheus knows it; None while it knows of none."""
    series = query(f'container_start_time_seconds{{host="web1",name="{container}"}}')
    return series[0]["value"][1] if series else None
