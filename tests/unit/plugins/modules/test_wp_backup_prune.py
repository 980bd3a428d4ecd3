"""Pruning as the module does it: on the host and in repositories, by the same rules."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.dockpress.hosting.plugins.module_utils import _backup_set
from ansible_collections.dockpress.hosting.plugins.modules import wp_backup_prune

SITE = "blog.example.com"
NOON = datetime(2026, 1, 10, 12, tzinfo=UTC)
DAYS = [_backup_set.stamp(NOON - timedelta(days=days)) for days in range(6)]


class FakeRepository:
    """Snapshots of all six days; remembers what it was to forget."""

    forgotten: list[str] = []

    def __init__(self, client, image, about):
        self.name = about["name"]

    def snapshots(self, site):
        assert site == SITE
        return {stamp: f"id of {stamp}" for stamp in DAYS}

    def forget(self, identifiers):
        self.forgotten += identifiers


@pytest.fixture
def prune(tmp_path, monkeypatch, capfd):
    """Call the module; returns its result."""
    monkeypatch.setattr(wp_backup_prune, "connect", lambda url: None)
    monkeypatch.setattr(wp_backup_prune, "lock_path", lambda site: str(tmp_path / "lock"))
    monkeypatch.setattr(wp_backup_prune._restic, "Repository", FakeRepository)
    FakeRepository.forgotten = []
    for stamp in DAYS:
        with _backup_set.NewSet(tmp_path, SITE, _backup_set.parse_stamp(stamp)) as new:
            for name in _backup_set.PARTS:
                new.part(name).write_bytes(b"part")
            new.finish({})

    def call(check=False, **arguments):
        rules = {"daily": 2, "weekly": 0, "monthly": 0, "yearly": 0, "keep_min": 1}
        arguments = {"site": SITE, "root": str(tmp_path), **rules, **arguments, "_ansible_check_mode": check}
        with patch_module_args(arguments), pytest.raises(SystemExit):
            wp_backup_prune.main()
        return json.loads(capfd.readouterr().out)

    return call


def there(root):
    return sorted((path.name for path in (root / SITE).iterdir()), reverse=True)


def test_check_mode_tells_exactly_what_goes(prune, tmp_path):
    repositories = [{"name": "offsite", "directory": "/etc/x"}]
    planned = prune(check=True, repositories=repositories)
    assert there(tmp_path) == DAYS
    assert FakeRepository.forgotten == []
    done = prune(repositories=repositories)
    assert done["removed"] == planned["removed"] == sorted(DAYS[2:])
    assert there(tmp_path) == DAYS[:2]
    assert done["copies"] == planned["copies"]
    assert sorted(FakeRepository.forgotten) == sorted(f"id of {stamp}" for stamp in DAYS[2:])


def test_the_proven_set_stays_in_repositories_too(prune, tmp_path):
    _backup_set.prove(_backup_set.find(tmp_path, SITE, DAYS[4]), NOON, {})
    done = prune(repositories=[{"name": "offsite", "directory": "/etc/x"}])
    assert done["kept"][DAYS[4]] == done["copies"]["offsite"]["kept"][DAYS[4]] == ["proven"]
    assert f"id of {DAYS[4]}" not in FakeRepository.forgotten


def test_sets_of_restores_push_out_no_backup(prune, tmp_path):
    for stamp in DAYS[:3]:
        manifest = tmp_path / SITE / stamp / "manifest.json"
        manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "reason": "safety"}))
    done = prune()
    assert done["removed"] == sorted([*DAYS[1:3], DAYS[5]])
    assert done["kept"] == {DAYS[4]: ["daily"], DAYS[3]: ["keep_min", "daily"], DAYS[0]: ["safety"]}
    assert not prune()["changed"]


def test_a_cut_set_is_not_counted_and_not_removed(prune, tmp_path, monkeypatch):
    warned = []
    monkeypatch.setattr(wp_backup_prune.AnsibleModule, "warn", lambda _module, text: warned.append(text))
    (tmp_path / SITE / DAYS[0] / "db.sql.zst").write_bytes(b"")
    prune()
    assert [DAYS[0] in text for text in warned] == [True]
    assert there(tmp_path) == DAYS[:3]
    assert not prune()["changed"]
