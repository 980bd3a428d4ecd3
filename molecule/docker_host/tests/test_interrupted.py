"""A bare machine loses its power while it is provisioned, again and again; then it converges, and a second run changes nothing."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading

import pytest
from conftest import INVENTORY, LONG, NAME, ROOT, on, play, shell, variables, wait_for

pytestmark = LONG
# The task that runs when it happens, and what has to be seen on the host first.
POINTS = [
    (
        "Engine, Compose plugin, and what the modules need",
        "test -e /var/lib/dpkg/info/containerd.list && pgrep -x dpkg",
    ),
    ("Apply the engine's configuration", "systemctl is-active docker.service"),
    ("Put the rules in place on trial", "iptables -S DOCKPRESS-INPUT | grep -- -j.DROP"),
]
MACHINE = {"name": "hard3", "number": 5}


def sandbox(tasks: str) -> None:
    image = subprocess.run(
        ["docker", "inspect", "-f", "{{.Config.Image}}", f"{NAME}-hard1"], check=True, capture_output=True, text=True
    ).stdout.strip()
    role = f"name=dockpress.hosting.sandbox tasks_from={tasks}"
    values = variables(sandbox_hosts=[MACHINE], sandbox_host_image=image)
    command = ["ansible", "localhost", *INVENTORY, "-m", "ansible.builtin.include_role", "-a", role, *values]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)


@pytest.fixture(scope="module")
def bare():
    sandbox("hosts")
    sandbox("ready")
    yield
    MACHINE["state"] = "absent"
    sandbox("hosts")


def power_cut(task: str, seen: str) -> None:
    """Provision until the task runs and the host shows that it is at work; then kill Ansible and everything on the host."""
    command = ["ansible-playbook", "playbooks/provision.yml", *INVENTORY, "--limit=hard3"]
    reached = threading.Event()
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    ) as running:

        def read() -> None:
            for line in running.stdout:
                if task in line:
                    reached.set()

        reader = threading.Thread(target=read)
        reader.start()
        try:
            assert reached.wait(300), task
            assert wait_for(lambda: on("hard3", "sh", "-c", seen, check=False).returncode == 0, seconds=120), seen
            assert running.poll() is None
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(running.pid, signal.SIGKILL)
            reader.join()
    subprocess.run(["docker", "kill", f"{NAME}-hard3"], check=True, capture_output=True)
    subprocess.run(["docker", "start", f"{NAME}-hard3"], check=True, capture_output=True)
    sandbox("ready")


def test_power_cuts_at_every_stage_and_then_it_converges(bare):
    for task, seen in POINTS:
        power_cut(task, seen)
    result = play("playbooks/provision.yml", limit="hard3")
    assert result.returncode == 0, result.stdout[-4000:]
    again = play("playbooks/provision.yml", limit="hard3")
    assert again.returncode == 0, again.stdout[-4000:]
    assert "changed=0" in again.stdout
    assert json.loads(on("hard3", "docker", "info", "--format", "{{json .}}").stdout)["LiveRestoreEnabled"] is True
    assert "-j DROP" in shell("hard3", "iptables -S DOCKPRESS-INPUT")
    assert shell("hard3", "systemctl is-enabled docker dockpress-firewall").split() == ["enabled", "enabled"]
