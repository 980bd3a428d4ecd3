"""Sources on the control node are sent when they are asked for, once, whole, and whatever Ansible masks in the request."""

from __future__ import annotations

import zipfile
from types import SimpleNamespace

import pytest
from ansible.plugins.action import ActionBase
from ansible_collections.dockpress.hosting.plugins.plugin_utils._carry import CarryAction

HEADER = "<?php\n/* Plugin Name: Thing */\n"


class Carry(CarryAction):
    """Runs no module and reaches no host: ``answers`` are what the module says, ``sent`` what would have been sent."""

    module = "wp_plugin"

    def __init__(self, args: dict, answers: list[dict]) -> None:
        self._task = SimpleNamespace(args=args)
        self._connection = SimpleNamespace(
            _shell=SimpleNamespace(tmpdir="/tmp/x", join_path=lambda *parts: "/".join(parts), quote=str)
        )
        self.answers, self.asked, self.sent = answers, [], {}

    def sources(self, args):
        for entry in args["plugins"]:
            yield "plugin", entry

    def _find_needle(self, _folder, needle):
        return needle

    def _execute_module(self, module_args=None, **_more):
        self.asked.append({key.split("/")[-1] for key, known in module_args["_carried"].items() if "path" in known})
        return self.answers.pop(0)

    def _transfer_file(self, local_path, remote_path):
        name = remote_path.split("/")[-1]
        self.sent[name] = zipfile.ZipFile(local_path).namelist()

    def _low_level_execute_command(self, *_arguments, **_more):
        pass

    def _fixup_perms2(self, *_arguments, **_more):
        pass

    def _remove_tmp_path(self, _path):
        pass


@pytest.fixture(autouse=True)
def base(monkeypatch):
    monkeypatch.setattr(ActionBase, "run", lambda *_arguments: {})


@pytest.fixture
def packages(tmp_path) -> list[str]:
    paths = [str(tmp_path / name) for name in ("one.zip", "two.zip", "wordpress-thing.zip")]
    for path in paths:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("thing/thing.php", HEADER)
    return paths


def asks(*wanted: str) -> dict:
    return {"changed": False, "changes": [], "processes": 1, "_dockpress_carry": list(wanted)}


DONE = {"changed": True, "changes": [], "processes": 2}


def run(paths: list[str], answers: list[dict]) -> tuple[Carry, dict]:
    action = Carry({"plugins": [{"source": path} for path in paths]}, answers)
    return action, action.run()


def test_what_is_asked_for_is_sent_and_nothing_else(packages):
    action, result = run(packages, [asks(packages[1]), dict(DONE)])
    assert list(action.sent) == ["two.zip"]
    assert result["changed"]
    assert result["processes"] == 3


def test_a_request_that_is_masked_gets_all_that_is_left(packages):
    masked = packages[2].replace("wordpress", "********")
    action, result = run(packages, [asks(packages[0], masked), asks(masked), dict(DONE)])
    assert action.asked == [set(), {"one.zip"}, {"one.zip", "two.zip", "wordpress-thing.zip"}]
    assert not result.get("failed")


def test_a_module_that_asks_without_end_is_a_failure(packages):
    earlier = asks(packages[0]) | {"changed": True, "changes": [{"item": "plugin x", "action": "removed"}]}
    action, result = run(packages[:1], [earlier, *(asks(packages[0]) for _time in range(3))])
    assert len(action.asked) == 2
    assert result["failed"]
    assert "sent already" in result["msg"]
    assert result["changed"]
    assert result["done"] == [{"item": "plugin x", "action": "removed"}]


def test_linked_folders_are_sent_as_they_are_read(tmp_path):
    folder, library = tmp_path / "thing", tmp_path / "library"
    for path in (folder, library):
        path.mkdir()
    (folder / "thing.php").write_text(HEADER)
    (library / "a.php").write_text("<?php")
    (folder / "vendor").symlink_to(library)
    (library / "again").symlink_to(folder)
    (folder / "broken").symlink_to("nowhere")
    action, _result = run([str(folder)], [asks(str(folder)), dict(DONE)])
    assert action.sent == {"thing.zip": ["thing/thing.php", "thing/vendor/a.php"]}
