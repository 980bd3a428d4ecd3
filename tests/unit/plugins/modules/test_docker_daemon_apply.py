"""What the module does around an engine that is made up here."""

from __future__ import annotations

import contextlib
import io
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.dockpress.hosting.plugins.modules import docker_daemon


class Host:
    """A unit, an engine with or without live-restore, and whether it comes up with the file that lies there."""

    def __init__(self, path, live_restore="true", comes_up=lambda text: True):
        self.path, self.live_restore, self.comes_up, self.starts = path, live_restore, comes_up, 1

    def run_command(self, command, **_options):
        if command[:2] == ["systemctl", "show"]:
            # Started long before any file here was written.
            return (
                0,
                f"LoadState=loaded\nActiveState=active\nMainPID={self.starts}\nExecMainStartTimestampMonotonic=1\n",
                "",
            )
        if command[:2] == ["systemctl", "restart"]:
            self.starts += 1
        if command[:2] == ["docker", "info"]:
            return 0, self.live_restore, ""
        return 0 if command[0] == "dockerd" or self.comes_up(self.path.read_text()) else 1, "", ""


@pytest.fixture
def run(monkeypatch, tmp_path):
    monkeypatch.setattr(docker_daemon, "MEMORY", tmp_path / "run" / "memory.json")
    path = tmp_path / "daemon.json"

    def call(host, config, **arguments):
        monkeypatch.setattr(docker_daemon.AnsibleModule, "run_command", host.run_command)
        printed = io.StringIO()
        with (
            patch_module_args({"config": config, "path": str(path), **arguments}),
            contextlib.redirect_stdout(printed),
            pytest.raises(SystemExit),
        ):
            docker_daemon.main()
        return json.loads(printed.getvalue())

    return path, call


@pytest.mark.parametrize(
    ("engine", "config", "go_on"),
    [("true", {"live-restore": True}, True), ("false", {"live-restore": True}, False), ("true", {"icc": False}, False)],
)
def test_the_engine_says_whether_containers_outlive_its_restart(run, engine, config, go_on):
    """Its file was changed by somebody since it started, so what it runs with is not known."""
    path, call = run
    path.write_text("{}")
    result = call(Host(path, engine), config)
    assert result["action"] == "restart"
    assert ("ALL CONTAINERS OF THIS HOST STOP" not in result["explanation"]) is go_on


def test_an_engine_that_does_not_come_up_gets_the_text_back_that_was_replaced(run):
    path, call = run
    path.write_text('{"icc": false}')
    host = Host(path, comes_up=lambda text: "dns" not in text)
    assert call(host, {"icc": False, "dns": ["192.0.2.1"]})["changed"]
    result = call(host, {"icc": False, "dns": ["192.0.2.1"]}, apply=True)
    assert result["failed"]
    assert path.read_text() == '{"icc": false}'


def test_a_file_that_holds_a_list_is_told(run):
    path, call = run
    path.write_text("[]")
    assert "holds no mapping" in call(Host(path), {})["msg"]
