"""No metric claims a success that there was not. The site and the repositories are faked."""

from __future__ import annotations

import contextlib
import json

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.dockpress.hosting.plugins.module_utils import _backup_set, _restic
from ansible_collections.dockpress.hosting.plugins.modules import wp_backup

SITE = "blog.example.com"


class FakeSite:
    """Takes a set of three small parts."""

    name, client = SITE, None

    def __init__(self, params):
        self.root = params["root"]
        self.wp = contextlib.nullcontext()

    def lock(self, holder):
        return contextlib.nullcontext()

    def recover(self):
        return ""

    def take_set(self, track, since):
        with _backup_set.NewSet(self.root, SITE) as new:
            for name in _backup_set.PARTS:
                new.part(name).write_bytes(b"part")
            return new.finish({}), []


class FakeRepository:
    """Cannot be reached."""

    def __init__(self, client, image, about):
        self.name = about["name"]

    def push(self, made):
        raise _restic.ResticError(f"Repository {self.name} cannot be opened.")


@pytest.fixture
def backup(tmp_path, monkeypatch, capfd):
    """Call the module; returns its result."""
    monkeypatch.setattr(wp_backup, "Site", FakeSite)
    monkeypatch.setattr(wp_backup._restic, "Repository", FakeRepository)
    (tmp_path / "metrics").mkdir()

    def call(**arguments):
        arguments = {
            **{"site": SITE, "root": str(tmp_path), "metrics_directory": str(tmp_path / "metrics")},
            **{"directory": str(tmp_path), "container": "cron", "database_container": "database"},
            **arguments,
        }
        with patch_module_args(arguments), pytest.raises(SystemExit):
            wp_backup.main()
        return json.loads(capfd.readouterr().out)

    return call


def metric(tmp_path, file, name):
    lines = (tmp_path / "metrics" / f"{file}-{SITE}.prom").read_text().splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith(f"dockpress_backup_{name}{{"))


def test_a_set_that_is_not_in_every_repository_is_no_success(backup, tmp_path):
    assert backup()["changed"]
    before = metric(tmp_path, "backup", "last_success_timestamp_seconds")
    assert before
    assert metric(tmp_path, "backup-run", "last_run_success") == 1
    told = backup(repositories=[{"name": "offsite", "directory": "/etc/x"}])
    assert told["msg"] == f"{SITE}: Repository offsite cannot be opened."
    assert len(_backup_set.sets(tmp_path, SITE)) == 2
    assert metric(tmp_path, "backup", "last_success_timestamp_seconds") == before
    assert metric(tmp_path, "backup-run", "last_run_success") == 0


def test_an_outcome_that_cannot_be_written_takes_the_old_one_with_it(backup, tmp_path, monkeypatch):
    backup()

    def full(*arguments, **options):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(_backup_set, "write_atomically", full)
    told = backup()
    assert "No space left on device" in told["msg"]
    assert not (tmp_path / "metrics" / f"backup-run-{SITE}.prom").exists()
    assert metric(tmp_path, "backup", "last_success_timestamp_seconds")
