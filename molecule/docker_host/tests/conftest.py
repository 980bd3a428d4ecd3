"""The two hosts of the scenario: driven as an operator would, by playbooks, and looked at through the engine of the sandbox."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import subprocess
import threading
import time

import engine
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = pathlib.Path(__file__).resolve().parents[1]
NAME = os.environ["SANDBOX_NAME"]
SUBNET = os.environ["SANDBOX_SUBNET"]
PUBLIC = {"hard1": f"{SUBNET}.1.13", "hard2": f"{SUBNET}.1.14"}
PRIVATE = {"hard1": f"{SUBNET}.2.13", "hard2": f"{SUBNET}.2.14"}
# Molecule asks for colours, which are in the way of who reads.
PLAIN = os.environ | {"ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}
INVENTORY = (f"--inventory={HERE.parent}/shared/inventory", f"--inventory={HERE}/inventory")
# Kernels without the audit subsystem's namespaces, AppArmor and the like: the host below is not ours to change.
MACHINE_ONLY = "the hosts are containers: this part of the kernel belongs to the machine"
# The controls of the CIS benchmark that a test is about; tests/unit/molecule looks that none is forgotten.
CIS = pytest.mark.cis
LONG = pytest.mark.skipif(not os.environ.get("DOCKPRESS_LONG"), reason="part of the longer proofs: DOCKPRESS_LONG=1")


def pytest_configure(config) -> None:
    config.addinivalue_line("markers", "cis(ids): the controls of the CIS Docker Benchmark that the test is about")


def on(host: str, *command: str, check: bool = True) -> subprocess.CompletedProcess:
    return engine.run(["docker", "exec", f"{NAME}-{host}", *command], text=True, check=check)


def shell(host: str, script: str, check: bool = True) -> str:
    return on(host, "sh", "-c", script, check=check).stdout.strip()


def play(playbook: str, *arguments: str, limit: str = "hard1") -> subprocess.CompletedProcess:
    """Run a playbook with the scenario's inventory."""
    command = ["ansible-playbook", str(playbook), *INVENTORY, f"--limit={limit}", *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=PLAIN, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


def said(result: subprocess.CompletedProcess) -> str:
    """What a playbook printed, without the folds of long lines."""
    return " ".join(result.stdout.split())


def variables(**values: object) -> tuple[str, str]:
    return "--extra-vars", json.dumps(values)


def info(host: str) -> dict:
    return json.loads(on(host, "docker", "info", "--format", "{{json .}}").stdout)


def daemon(host: str) -> dict:
    return json.loads(on(host, "cat", "/etc/docker/daemon.json").stdout)


def answers(address: str, port: int, timeout: float = 2) -> bool:
    """Whether a stranger on the outside network (this machine, through the bridge) gets an answer."""
    command = ["curl", "--silent", "--output", "/dev/null", "--max-time", str(timeout), f"http://{address}:{port}/"]
    return subprocess.run(command, check=False).returncode == 0


@pytest.fixture(scope="module", params=["hard1", "hard2"])
def host(request):
    return request.param


@pytest.fixture(scope="module")
def nginx():
    """A web server's image inside of both hosts, out of this machine's engine."""
    images = subprocess.run(
        ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"], capture_output=True, text=True, check=True
    )
    name = next(line for line in images.stdout.split() if line.startswith("dockpress/nginx:"))
    loads = [
        subprocess.Popen(
            f"docker save {name} | docker exec -i {NAME}-{target} docker load", shell=True, stdout=subprocess.DEVNULL
        )
        for target in PUBLIC
    ]
    assert [load.wait() for load in loads] == [0, 0]
    return name


@pytest.fixture(scope="module")
def published(nginx):
    """Containers on hard1: an allowed port, one that is not, one on loopback only, one that publishes nothing."""
    ports = {
        "allowed": ["-p", "0.0.0.0:8080:80"],
        "closed": ["-p", "0.0.0.0:8081:80"],
        "loopback": ["-p", "127.0.0.1:8082:80"],
        "none": [],
    }
    ports |= {"metrics": ["-p", f"{PRIVATE['hard1']}:9443:80"], "anywhere": ["-p", "8083:80"]}
    on("hard1", "docker", "network", "create", "site", check=False)
    for name, publish in ports.items():
        on(
            "hard1",
            "docker",
            "run",
            "-d",
            "--name",
            name,
            "--restart=unless-stopped",
            "--network",
            "site",
            *publish,
            nginx,
        )
    wait_for(lambda: answers(PUBLIC["hard1"], 8080))
    yield ports
    on("hard1", "docker", "rm", "--force", *ports)


def wait_for(condition, seconds: float = 40) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.3)
    return False


def reachable() -> dict[int, bool]:
    return {port: answers(PUBLIC["hard1"], port, timeout=1.5) for port in (8080, 8081, 8082, 8083, 9443)}


ONLY_ALLOWED = {8080: True, 8081: False, 8082: False, 8083: False, 9443: False}


@contextlib.contextmanager
def requests_in_a_loop(url: str):
    """Ask all the while, for ten minutes at most. Yields a function: the times of failed requests since it was last called."""
    stop, failed = threading.Event(), []

    def loop() -> None:
        end = time.monotonic() + 600
        while not stop.is_set() and time.monotonic() < end:
            command = ["curl", "--silent", "--output", "/dev/null", "--fail", "--max-time", "5", url]
            if subprocess.run(command, check=False).returncode:
                failed.append(time.monotonic())
            time.sleep(0.05)

    def since() -> list[float]:
        assert thread.is_alive(), "The loop ended before what it was to watch."
        found = list(failed)
        failed.clear()
        return found

    thread = threading.Thread(target=loop)
    thread.start()
    try:
        yield since
    finally:
        stop.set()
        thread.join()
