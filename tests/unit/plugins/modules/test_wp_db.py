# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import json
from pathlib import Path

import pytest
from ansible.module_utils.testing import patch_module_args
from ansible_collections.dockpress.hosting.plugins.module_utils._dump import DumpError, DumpInfo
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import site_lock
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_database import (
    _service_beside,
    owned,
    site_prefixes,
)
from ansible_collections.dockpress.hosting.plugins.modules import wp_db_export, wp_db_import, wp_search_replace


class FakeDatabase:
    """Remembers what was asked of it; ``fails`` names the steps that go wrong."""

    name, scratch, aside = "wordpress", "wordpress_dp_new", "wordpress_dp_old"

    def __init__(self, fails="", left=""):
        self.calls, self.fails, self.left = [], fails, left
        self.swapped = False

    def _step(self, name, *details):
        self.calls.append(name)
        if name in self.fails.split():
            raise DumpError(f"{name} failed", line=7)

    def tables(self, schema=None):
        return ["wp_options", "wp_posts", "wp_stale", "wp_users"]

    def views(self, schema=None):
        return []

    def table_counts(self, tables=None, database=None):
        return dict.fromkeys(tables, 1)

    def sql(self, statement, schema=None):
        return [["http://a.example"]]

    def recover(self):
        self._step("recover")
        return self.left

    def check(self, *args):
        self._step("check")
        return DumpInfo(
            complete=True, tables=["wp_new", "wp_options"], rows={"wp_new": 3, "wp_options": 2}, sha256="ab" * 32
        )

    def dump_to(self, path, level=3):
        self._step("dump_to")
        Path(path).write_bytes(b"dump")
        return DumpInfo(rows={"wp_options": 2}, sha256="cd" * 32, bytes=4)

    def load(self, path, info):
        self._step("load")

    def swap(self, drop):
        self.swapped = True
        self.drop = drop
        self._step("swap")

    def abort(self):
        self._step("abort")
        return self.swapped

    def discard(self):
        self._step("discard")


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    def call(module, database, check_mode=False, **params):
        for item in (wp_db_export, wp_db_import):
            monkeypatch.setattr(item, "connect", lambda _host: object())
            monkeypatch.setattr(item, "find_database", lambda _client, _params: database)
            monkeypatch.setattr(item, "lock_file", lambda _database, _params: str(tmp_path / "blog.lock"))
        args = {"_ansible_check_mode": check_mode, "_ansible_diff": True, **params}
        with patch_module_args(args), pytest.raises(SystemExit):
            module.main()
        return json.loads(capsys.readouterr().out)

    return call


@pytest.fixture
def imported(run, tmp_path):
    def call(database, **params):
        return run(wp_db_import, database, **{"src": "/a.sql", "safety_dir": str(tmp_path / "safe"), **params})

    return call


def test_import(imported):
    database = FakeDatabase(left="something was undone")
    result = imported(database, extra_tables="drop")
    assert database.calls == ["recover", "check", "dump_to", "load", "swap", "discard"]
    assert database.drop == ["wp_posts", "wp_stale", "wp_users"]
    assert result["changed"]
    assert result["extra_tables"] == result["removed_tables"] == ["wp_posts", "wp_stale", "wp_users"]
    assert result["added_tables"] == ["wp_new"]
    assert result["recovered"] == "something was undone"
    assert result["siteurl"] == "http://a.example"


def test_import_in_check_mode_only_reads(imported):
    database = FakeDatabase()
    result = imported(database, check_mode=True)
    assert database.calls == ["check"]
    assert result["changed"]
    assert result["removed_tables"] == []
    assert '"wp_new": 3' in result["diff"]["after"]
    assert '"wp_stale": 1' in result["diff"]["after"]


@pytest.mark.parametrize(
    ("fails", "calls", "rolled_back"),
    [
        ("check", ["recover", "check"], None),
        ("dump_to", ["recover", "check", "dump_to"], None),
        ("load", ["recover", "check", "dump_to", "load", "abort"], False),
        ("swap", ["recover", "check", "dump_to", "load", "swap", "abort"], True),
    ],
)
def test_import_that_fails(imported, fails, calls, rolled_back):
    database = FakeDatabase(fails=fails)
    result = imported(database)
    assert result["failed"]
    assert database.calls == calls
    assert result.get("rolled_back") is rolled_back
    assert result["line"] == 7
    assert result["msg"].startswith(f"{fails} failed")
    assert ("former tables are back" in result["msg"]) is bool(rolled_back)
    assert ("safety_dump" in result) is (fails in ("load", "swap"))


def test_import_that_fails_and_cannot_be_cleared_away_keeps_the_first_cause(imported):
    result = imported(FakeDatabase(fails="load abort"))
    assert result["msg"].startswith("load failed What is left")
    assert "(abort failed)" in result["msg"]
    assert result["line"] == 7


def test_safety_dumps_are_kept_in_number(imported, tmp_path):
    folder = tmp_path / "safe"
    folder.mkdir()
    for day in (1, 2, 3):
        (folder / f"before-import-2020010{day}T000000Z.sql.zst").touch()
    (folder / "mine.sql.zst").touch()
    result = imported(FakeDatabase(), safety_keep=2)
    assert sorted(p.name for p in folder.iterdir()) == [
        "before-import-20200103T000000Z.sql.zst",
        result["safety_dump"].rsplit("/", 1)[1],
        "mine.sql.zst",
    ]


def test_import_waits_for_the_lock(imported, tmp_path):
    database = FakeDatabase()
    with site_lock(str(tmp_path / "blog.lock"), 0, "a backup"):
        result = imported(database, lock_timeout=0)
    assert "held by a backup (process" in result["msg"]
    assert database.calls == []


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"replace": [{"from": "", "to": "x"}]}, "empty from"),
        ({"replace": [{"from": "http://a", "to": "x"}]}, "replace: name the container"),
    ],
)
def test_import_refuses(imported, params, message):
    database = FakeDatabase()
    assert message in imported(database, **params)["msg"]
    assert database.calls == []


def test_two_installations_in_one_database():
    tables = ["wp_options", "wp_posts", "wp_users", "x_options", "x_posts", "x_users", "wp_2_options", "wp_2_posts"]
    assert site_prefixes(tables) == ["wp_", "x_"]
    with pytest.raises(DumpError, match="several WordPress installations, wp_, x_"):
        wp_db_import.pick_prefix(None, tables)
    assert wp_db_import.pick_prefix("x_", tables) == "x_"
    assert wp_db_import.pick_prefix(None, []) is None


def wordpress(prefix, *more):
    return [prefix + name for name in ("options", "posts", "users", *more)]


def test_tables_of_another_site_whose_prefix_begins_like_ours():
    network = [*wordpress("wp_", "blogs", "stale"), "wp_2_options", "wp_2_posts"]
    tables = [*network, *wordpress("wp_shop_", "stale"), *wordpress("x_")]
    assert owned(tables, "wp_", tables) == network
    assert owned(tables, "wp_shop_", tables) == wordpress("wp_shop_", "stale")


def test_import_drops_no_tables_of_another_site(imported):
    database = FakeDatabase()
    database.tables = lambda schema=None: [*wordpress("wp_", "stale"), *wordpress("wp_shop_")]
    database.views = lambda schema=None: ["wp_shop_view", "wp_view"]
    assert imported(database, extra_tables="drop", table_prefix="wp_")["removed_tables"] == [
        "wp_posts",
        "wp_stale",
        "wp_users",
        "wp_view",
    ]


def test_import_beside_tables_that_are_no_site(imported):
    database = FakeDatabase()
    database.tables = lambda schema=None: ["other_things", "wp_stale"]
    assert imported(database, check_mode=True, extra_tables="drop")["removed_tables"] == []
    database.check = lambda *_args: DumpInfo(complete=True, tables=wordpress("wp_"), sha256="ab" * 32)
    assert imported(database, check_mode=True, extra_tables="drop")["removed_tables"] == ["wp_stale"]


def test_export(run, tmp_path):
    dest = tmp_path / "a.sql.zst"
    database = FakeDatabase()
    result = run(wp_db_export, database, dest=str(dest))
    assert database.calls == ["recover", "dump_to"]
    assert (result["changed"], result["size"], result["tables"]) == (True, 4, {"wp_options": 2})
    again = run(wp_db_export, database, dest=str(dest), force=False)
    assert not again["changed"]
    assert database.calls == ["recover", "dump_to"]


def test_export_in_check_mode(run, tmp_path):
    database = FakeDatabase()
    assert run(wp_db_export, database, check_mode=True, dest=str(tmp_path / "a.sql"))["changed"]
    assert database.calls == []
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("params", "message"),
    [
        ({"dest": "/nowhere/a.sql"}, "dest: the folder /nowhere does not exist"),
        ({"dest": "/tmp"}, "dest: /tmp is a folder"),
        ({"dest": "/tmp/a.gz", "level": 12}, "level: write a number from 1 to 9"),
    ],
)
def test_export_refuses(run, params, message):
    assert message in run(wp_db_export, FakeDatabase(), **params)["msg"]


def test_export_onto_a_full_disk(run, tmp_path):
    database = FakeDatabase()

    def full(path, level):
        raise OSError(28, "No space left on device")

    database.dump_to = full
    dest = tmp_path / "a.sql"
    dest.write_text("good")
    result = run(wp_db_export, database, dest=str(dest))
    assert "No space left on device. What was there before is untouched." in result["msg"]
    assert dest.read_text() == "good"


class FakeApi:
    def __init__(self, named, services):
        self.api = self
        self.named, self.services = named, services

    def containers(self, all=False, filters=None):
        return self.named if "name" in filters else self.services


def test_the_database_beside_a_container():
    named = [{"Labels": {"com.docker.compose.project": "blog"}}]
    assert _service_beside(FakeApi(named, [{"Names": ["/blog-database-1"]}]), "blog-cron-1") == "blog-database-1"
    for api, message in (
        (FakeApi([], []), "does not exist"),
        (FakeApi([{"Labels": {}}], []), "not part of a Compose project"),
        (FakeApi(named, []), "project blog has no running service database"),
    ):
        with pytest.raises(DumpError, match=message):
            _service_beside(api, "blog-cron-1")


class FakeWp:
    def __init__(self, answer):
        self.answer, self.ran, self.data = answer, [], None

    def __enter__(self):
        return self

    def __exit__(self, *_exc):
        pass

    def eval(self, _php, data, **_options):
        self.data = data
        return self.answer

    def run(self, argv, check=True):
        self.ran.append(argv)
        return type("Result", (), {"rc": 0})


@pytest.mark.parametrize("check_mode", [True, False])
@pytest.mark.parametrize("changes", [{}, {"wp_options.option_value": 2}])
def test_search_replace(run, monkeypatch, check_mode, changes):
    wp = FakeWp({"changes": changes, "left": 0, "leftovers": [], "tables": 12, "without_key": [], "multisite": False})
    monkeypatch.setattr(wp_search_replace.WpCli, "from_params", lambda _params: wp)
    pairs = [{"from": "http://a", "to": "http://b"}]
    result = run(wp_search_replace, None, check_mode=check_mode, container="c", pairs=pairs)
    assert result["changed"] is bool(changes)
    assert wp.data["write"] is not check_mode
    assert wp.data["skip_columns"] == ["guid"]
    assert bool(wp.ran) is (bool(changes) and not check_mode)


def test_search_replace_refuses_an_empty_text(run):
    result = run(wp_search_replace, None, container="c", pairs=[{"from": "", "to": "http://b"}])
    assert "empty from" in result["msg"]
