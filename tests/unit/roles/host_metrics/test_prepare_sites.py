"""roles/host_metrics/files/sites.py, which runs on the host: here with a `docker` that plays a host with databases."""

from __future__ import annotations

import configparser
import importlib.util
import json
import os
import pathlib
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).resolve().parents[4] / "roles" / "host_metrics" / "files" / "sites.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("prepare_sites", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("path", ["/nowhere/kmsg", "/dev/null"])
def test_what_is_not_the_kernels_log_is_not_passed_to_cadvisor(script, path):
    assert script.kernel_log(path) is False


# Four sites: one is sound, one has another root password, one is starting, one has moved away and left its containers stopped.
DOCKER = """#!/bin/sh
case "$1 $2" in
"network ls") for stack in sound denied starting moved; do echo "${stack}_front $IDENTITY"; echo "${stack}_back id-$stack"; done ;;
"ps "*) for stack in sound denied starting; do echo "$stack-database-1"; done ;;
"exec "*)
    case "$*" in *dockpress_exporter*) exit 1 ;; esac
    case "$3" in
    sound-*) ;;
    denied-*) echo "ERROR 1045 (28000): Access denied for user 'root'@'localhost' (using password: YES)" >&2; exit 1 ;;
    *) echo "ERROR 2002 (HY000): Can't connect to local server through socket" >&2; exit 1 ;;
    esac ;;
esac
"""


@pytest.fixture
def credentials(tmp_path):
    path = tmp_path / "private" / "mysqld" / "my.cnf"
    path.parent.mkdir(parents=True)
    return path


@pytest.fixture
def prepare(tmp_path, credentials):
    """Runs the script on a host whose networks have the given identity. Returns what it prints."""
    docker = tmp_path / "docker"
    docker.write_text(DOCKER, encoding="utf-8")
    docker.chmod(0o755)
    sites = {stack: f"{stack}.example" for stack in ("sound", "denied", "starting", "moved", "not-there-yet")}

    def run(identity: str = "one") -> dict:
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT.read_text(encoding="utf-8")],
            input=json.dumps({"sites": sites, "credentials": str(credentials), "check": False}),
            env=os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}", "IDENTITY": identity},
            capture_output=True,
            text=True,
            check=True,
        )
        return json.loads(done.stdout)

    return run


def test_networks_of_the_same_names_that_were_made_anew_are_told_apart(prepare):
    assert prepare("one")["networks"] == prepare("one")["networks"] != prepare("two")["networks"]


def test_a_database_that_cannot_be_prepared_is_told_with_its_site_and_takes_nothing_from_others(prepare, credentials):
    credentials.write_text(
        "".join(f"[client.{stack}]\nuser = x\npassword = kept-{stack}\n" for stack in ("denied", "moved")),
        encoding="utf-8",
    )
    said = prepare()
    assert said["stacks"] == ["sound", "denied", "starting", "moved"]
    assert said["changed"] == ["sound"]
    denied, starting = said["problems"]
    for word in ("denied.example:", "Access denied", "wordpress_db_root_password", "playbooks/wordpress.yml"):
        assert word in denied
    assert starting.startswith("starting.example:") and "docker logs starting-database-1" in starting
    written = configparser.RawConfigParser()
    written.read(credentials)
    assert len(written["client.sound"]["password"]) > 20
    # What the exporter may have got in with until now is not thrown away.
    assert written["client.denied"]["password"] == "kept-denied"
    assert written["client.moved"]["password"] == "kept-moved"
