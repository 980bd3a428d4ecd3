"""Restores that are interrupted, refused, or looked at: real folders, a database that only remembers."""

from __future__ import annotations

import contextlib

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _tree_swap
from ansible_collections.dockpress.hosting.plugins.module_utils._site_backup import RestoreError, Site

STAMP = "20261125T120000Z"


class FakeDatabase:
    """A swap is done, undone or forgotten; who asks is noted."""

    def __init__(self):
        self.calls = []

    def recover(self, held=False):
        self.calls.append(("recover", held))
        return ""

    def abort(self):
        self.calls.append("abort")

    def discard(self):
        self.calls.append("discard")


class FakeWp(contextlib.nullcontext):
    def reload_code(self):
        pass


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site with one file; no container belongs to it."""
    site = Site.__new__(Site)
    site.name, site.params = "blog.example.com", {"lock_timeout": 1}
    site.root, site.directory = tmp_path / "sets", tmp_path / "blog"
    site.web, site.stage = site.directory / "web", site.directory / ".restore"
    site.journal = site.directory / ".restore.json"
    site.database, site.wp = FakeDatabase(), FakeWp()
    monkeypatch.setattr(Site, "lock", lambda self, holder: contextlib.nullcontext())
    site.web.mkdir(parents=True)
    (site.web / "own.txt").write_text("own")
    return site


def kill_in_the_swap(site):
    """What lies there after a kill -9: the site's own file is put aside, and nothing else holds it."""
    staged = site.stage / "staged"
    staged.mkdir(parents=True)
    (staged / "other.txt").write_text("other")
    steps = _tree_swap.plan(site.web, staged)
    site.write_journal("swapping", set=STAMP, steps=steps)
    _tree_swap.forward(steps, site.web, staged, site.stage / "saved")
    assert not (site.web / "own.txt").exists()


def test_an_interrupted_restore_is_undone(site):
    kill_in_the_swap(site)
    assert site.recover() == f"an interrupted restore of set {STAMP} was undone"
    assert [one.name for one in site.web.iterdir()] == ["own.txt"]
    assert [one.name for one in site.directory.iterdir()] == ["web"]
    # Files and database go back together, so it may say so of what the restore held.
    assert site.database.calls == ["abort", ("recover", True), "discard"]


def test_another_folder_of_sets_hides_no_interrupted_restore(site, tmp_path):
    kill_in_the_swap(site)
    site.root = tmp_path / "elsewhere"
    site.recover()
    assert (site.web / "own.txt").read_text() == "own"


def test_what_a_killed_reading_left_is_cleared_away(site):
    (site.stage / "staged").mkdir(parents=True)
    with pytest.raises(RestoreError, match="without --check"):
        site.need_recovered()
    assert site.recover() == ""
    assert not site.stage.exists()
    site.need_recovered()
