"""Restores that are interrupted, refused, or looked at: real folders, a database that only remembers."""

from __future__ import annotations

import contextlib
import types

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import (
    _lock,
    _site_backup,
    _site_restore,
    _tree_swap,
)
from ansible_collections.dockpress.hosting.plugins.module_utils._backup_set import BackupSet
from ansible_collections.dockpress.hosting.plugins.module_utils._dump import DumpError, DumpInfo
from ansible_collections.dockpress.hosting.plugins.module_utils._site_backup import RestoreError, Site
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import Result

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
    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def reload_code(self):
        pass

    def end_strays(self):
        self.calls.append("strays")


@pytest.fixture
def site(tmp_path, monkeypatch):
    """A site with one file; no container belongs to it."""
    site = Site.__new__(Site)
    site.name, site.params = "blog.example.com", {"lock_timeout": 1}
    site.root, site.directory = tmp_path / "sets", tmp_path / "blog"
    site.web, site.stage = site.directory / "web", site.directory / ".restore"
    site.journal = site.directory / ".restore.json"
    site.database = FakeDatabase()
    site.wp = FakeWp(site.database.calls)
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
    assert site.database.calls == ["strays", "abort", ("recover", True), "discard"]


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


class Answers:
    """WP-CLI that answers the programs it gets one after the other, and keeps what they were given."""

    def __init__(self, *answers):
        self.answers, self.given = list(answers), []

    def eval(self, php, data=None, **options):
        self.given.append(data)
        return self.answers.pop(0)

    def run(self, argv, **options):
        return Result(0, b"", b"", argv)


def found(tmp_path, counts=None, **facts):
    return BackupSet(tmp_path / STAMP, {"counts": counts or {}, **facts})


def seen(missing, users=3):
    return {"attachments": 9, "missing": missing, "users": users, "post": None}


def test_a_set_counts_what_is_in_its_dump_while_the_site_goes_on(site, monkeypatch):
    rows = {"wp_users": 2, "wp_posts": 30, "wp_postmeta": 3, "wp_options": 9}

    def dump_to(path):
        path.write_bytes(b"dump")
        return DumpInfo(rows=rows, sha256="ab" * 32)

    database = site.database
    database.name, database.tables, database.dump_to = "wordpress", lambda: [*rows, "wp_2_posts"], dump_to
    database.sql = lambda statement, *_schema: (
        [["2026/11/gone.jpg"]] if "_wp_attached_file" in statement else [["11.8"]]
    )
    facts = {"posts_table": "wp_posts", "users_table": "wp_users", "missing_uploads": ["2026/11/gone.jpg"]}
    site.wp, site.folder = Answers(facts), site.root / site.name
    monkeypatch.setattr(Site, "images", lambda self: {})
    (site.directory / "compose.yaml").write_text("{}")
    made, warnings = site.take_set()
    assert warnings == []
    # A user who has registered since is none of it.
    assert made.manifest["counts"] == {"posts": 30, "users": 2, "missing_uploads": ["2026/11/gone.jpg"]}
    # An attachment that was deleted since, with its file, is known to be in the dump.
    assert site.wp.given == [{"wp_": ["2026/11/gone.jpg"]}]


@pytest.mark.parametrize(
    ("counts", "missing", "message"),
    [
        ({"users": 3, "missing_uploads": ["a.jpg"]}, ["a.jpg"], None),
        (
            {"users": 3, "missing_uploads": ["a.jpg"]},
            ["a.jpg", "b.jpg"],
            "1 of 9 attachments have no file, first b.jpg",
        ),
        ({"users": 3, "missing_uploads": None}, ["a.jpg"], "1 of 9 attachments have no file, first a.jpg"),
        # As sets were before.
        ({"users": 3}, [], None),
        ({"users": 3}, ["a.jpg"], "1 of 9 attachments"),
        ({"users": 4}, [], "has 3 users, the manifest says 4"),
        ({"users": None}, [], None),
    ],
)
def test_a_proof_asks_for_what_was_there(site, tmp_path, counts, missing, message):
    site.wp = Answers(seen(missing))
    with pytest.raises(RestoreError, match=message) if message else contextlib.nullcontext():
        _site_restore.proof(site, found(tmp_path, counts), "http://blog.example.com", "http://web")


URL = "https://blog.example.com"


@pytest.mark.parametrize(
    ("location", "good"),
    [
        (f"{URL}/", True),
        (f"{URL}/wp-admin/install.php", False),
        (f"{URL}/blog/wp-admin/install.php?step=1", False),
        (f"{URL}/wp-admin/setup-config.php", False),
        ("https://other.example.com/", False),
    ],
)
def test_what_redirects_to_the_installer_has_no_tables(site, location, good):
    site.wp = Answers({"status": 302, "location": location, "bytes": 0, "whole": False})
    if good:
        assert _site_restore.healthy(site, URL, "http://web", patience=-1)["location"] == location
    else:
        with pytest.raises(RestoreError, match="answers 302 to"):
            _site_restore.healthy(site, URL, "http://web", patience=-1)


@pytest.mark.parametrize(
    ("wanted", "here", "refused"),
    [("wp_", "wp_", False), ("a_", "wp_", True), (None, "wp_", False), ("a_", None, False)],
)
def test_a_set_of_another_table_prefix_is_refused(site, tmp_path, wanted, here, refused):
    site.wp = Answers(here)
    with pytest.raises(RestoreError, match="wordpress_table_prefix: a_") if refused else contextlib.nullcontext():
        _site_restore.need_same_prefix(site, found(tmp_path, prefix=wanted))


def test_a_disk_without_room_is_told_before_anything_is_unpacked(site, tmp_path):
    parts = {"files.tar.zst": {"unpacked": 1 << 60}}
    with pytest.raises(RestoreError, match="MiB free, the files of set"):
        _site_restore.examine(site, found(tmp_path, parts=parts))
    assert not site.stage.exists()


def test_a_safety_set_that_fails_is_told_with_the_way_round_it(site, tmp_path, monkeypatch):
    def take_set(reason):
        raise DumpError("A view that is broken cannot be dumped: repair or drop it")

    monkeypatch.setattr(_site_restore, "examine", lambda site, found: DumpInfo())
    site.installed, site.take_set = lambda: True, take_set
    with pytest.raises(RestoreError, match=r"repair or drop it\. .*backup_safety=false.* The site was not touched"):
        _site_restore.restore(site, found(tmp_path, url=URL))
    assert not site.journal.exists()


@pytest.mark.parametrize(
    ("said", "outcome"),
    [
        ("Error: Couldn't get checksums from WordPress.org.", "Couldn't get checksums"),
        ("Warning: File doesn't verify against checksum: wp-load.php\nError: WordPress ...", "checksum: wp-load.php"),
        ("Warning: File should not exist: wp-includes/x.php", "not exist: wp-includes/x.php"),
    ],
)
def test_code_that_is_not_wordpress_own_is_no_proof(site, tmp_path, said, outcome):
    site.wp = Answers(seen([]))
    site.wp.run = lambda argv, **options: Result(1, b"", said.encode(), argv)
    if said.startswith("Error"):
        told = _site_restore.proof(site, found(tmp_path), "http://blog.example.com", "http://web")["core_checksums"]
    else:
        with pytest.raises(RestoreError) as failed:
            _site_restore.proof(site, found(tmp_path), "http://blog.example.com", "http://web")
        told = str(failed.value)
    assert outcome in told


def test_what_is_brought_lies_under_the_lock_of_the_site_that_it_is_of(site, tmp_path, monkeypatch):
    def path(name):
        return str(tmp_path / f"{name}.lock")

    def backup(name):
        """Another process that wants to work on that site, and does not wait."""
        return _lock.site_lock(path(name), 0, "wp_backup")

    monkeypatch.setattr(_site_backup, "lock_path", path)
    monkeypatch.setattr(_lock, "lock_path", path)
    site.database = types.SimpleNamespace(attrs={"Config": {"Labels": {"dockpress.site": site.name}}})
    with site.lock_of("shop.example.com", "wp_restore"):
        with pytest.raises(_lock.LockError, match=f"held by wp_restore of {site.name}"), backup("shop.example.com"):
            pass
        with backup(site.name):
            pass
    # Its own lock it has already.
    with backup(site.name), site.lock_of(site.name, "wp_restore"):
        pass
