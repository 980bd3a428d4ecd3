"""What restic is asked, and what becomes of its answers. The engine is faked; the scenario backup has a real repository."""

from __future__ import annotations

import json

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _backup_set, _restic

SITE = "blog.example.com"
STAMP = "20260110T120000Z"


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """A repository whose restic gives the ``answers`` (the first words of a command: what it answers, in turn) and notes what was ``asked``."""
    for name in ("repository", "password"):
        (tmp_path / name).write_text("x")
    one = _restic.Repository(
        None, "restic", {"name": "offsite", "directory": tmp_path, "network": "bridge", "volume": None}
    )
    one.asked, one.answers = [], {}

    def run(*arguments, mounts=None):
        one.asked.append(" ".join(arguments))
        return next(
            (turns.pop(0) for what, turns in one.answers.items() if one.asked[-1].startswith(what)), (0, "", "")
        )

    monkeypatch.setattr(one, "run", run)
    return one


@pytest.fixture
def taken(tmp_path):
    with _backup_set.NewSet(tmp_path / "sets", SITE, _backup_set.parse_stamp(STAMP)) as new:
        for name in _backup_set.PARTS:
            new.part(name).write_bytes(b"part")
        return new.finish({})


BACKED_UP = (0, '{"snapshot_id": "one"}', "")
NONE = (10, "", "Is there a repository at the following location?")


def test_whoever_comes_second_waits(repository, taken):
    repository.answers = {"backup": [BACKED_UP]}
    assert repository.push(taken) == "one"
    repository.forget(["one", "two"])
    assert repository.asked[1].startswith("backup --retry-lock 30m ")
    assert repository.asked[2:] == ["unlock", "forget --retry-lock 30m --prune one two"]


def test_a_repository_that_another_site_makes_at_the_same_time_is_used(repository, taken):
    repository.answers = {"cat": [NONE, (0, "{}", "")], "init": [(1, "", "already exists")], "backup": [BACKED_UP]}
    assert repository.push(taken) == "one"


def test_a_repository_that_cannot_be_made_is_told(repository, taken):
    repository.answers = {"cat": [NONE, NONE], "init": [(1, "", "permission denied")]}
    with pytest.raises(_restic.ResticError, match="offsite cannot be opened: permission denied"):
        repository.push(taken)


def test_tags_of_the_operator_are_no_sets(repository):
    found = [
        {"id": "one", "tags": ["dockpress", STAMP, "before-relaunch", "zz"]},
        {"id": "two", "tags": ["dockpress", "by-hand"]},
    ]
    repository.answers = {"snapshots": [(0, json.dumps(found), "")]}
    assert repository.snapshots(SITE) == {STAMP: "one"}
