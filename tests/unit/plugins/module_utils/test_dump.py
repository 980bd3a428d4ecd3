# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import hashlib
import subprocess

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _dump
from ansible_collections.dockpress.hosting.plugins.module_utils._dump import Database, DumpError, DumpInfo, parse_scan

# As mariadb-dump 11.8 writes it.
DUMP = """\
/*M!999999\\- enable the sandbox mode */ 
-- MariaDB dump 10.20-11.8.9-MariaDB, for debian-linux-gnu (x86_64)
--
-- Host: localhost    Database: wordpress
-- ------------------------------------------------------
/*!40101 SET NAMES utf8mb4 */;

DROP TABLE IF EXISTS `wp_empty`;
CREATE TABLE `wp_empty` (
  `a` int(11) DEFAULT NULL
) ENGINE=InnoDB;

DROP TABLE IF EXISTS `wp_posts`;
CREATE TABLE `wp_posts` (
  `a` text
) ENGINE=InnoDB;

SET @OLD_AUTOCOMMIT=@@AUTOCOMMIT, @@AUTOCOMMIT=0;
LOCK TABLES `wp_posts` WRITE;
INSERT INTO `wp_posts` VALUES
('USE other;\\n\U0001f600'),
('a\\nb),(c'),
('x');
INSERT INTO `wp_posts` VALUES
('y');
UNLOCK TABLES;
DELIMITER ;;
/*!50003 CREATE*/ /*!50017 DEFINER=`wordpress`@`%`*/ /*!50003 TRIGGER t BEFORE INSERT ON wp_posts FOR EACH ROW BEGIN
CREATE TABLE `not_really` (a int);
END */;;
DELIMITER ;
/*!50001 CREATE VIEW `wp_view` AS SELECT
 1 AS `a` */;
/*!50013 DEFINER=`wordpress`@`%` SQL SECURITY DEFINER */
/*!50001 VIEW `wp_view` AS select `wordpress`.`wp_posts`.`a` AS `a` from `wp_posts` */;
-- Dump completed on 2026-11-25  1:02:44
"""  # noqa: W291


def scan(dump):
    data = dump.encode() if isinstance(dump, str) else dump
    script = "set -o pipefail; export LC_ALL=C; marker=$1\n" + _dump.SCAN + "\nscan"
    done = subprocess.run(["bash", "-c", script, "x", "MARK"], input=data, capture_output=True, check=True)
    return parse_scan(done.stdout.decode().splitlines(), "MARK")[0]


def test_scan():
    info = scan(DUMP)
    assert info.complete
    assert info.tables == ["wp_empty", "wp_posts"]
    assert info.views == ["wp_view"]
    assert info.rows == {"wp_empty": 0, "wp_posts": 4}
    assert info.foreign == []
    assert info.database == "wordpress"
    lines = DUMP.splitlines()
    assert [lines[number - 1][:12] for number in info.definer] == ["/*!50003 CRE", "/*!50013 DEF"]
    assert [lines[number - 1][:12] for number in info.qualified] == ["/*!50001 VIE"]
    assert DUMP.encode()[: info.skip].decode() == lines[0] + "\n"


@pytest.mark.parametrize("cut", [25, 30, 60, 200, 700])
def test_scan_of_a_cut_dump(cut):
    assert not scan(DUMP.rstrip("\n")[: -cut - 20]).complete


@pytest.mark.parametrize(
    ("first", "drops"),
    [
        ("/*!999999\\- enable the sandbox mode */ \n", True),
        ("/*!999999\\- enable the sandbox mode */\n", True),
        ("/*M!999999\\- enable the sandbox mode */ \n", True),
        ("/*M!999999\\- enable the sandbox mode */; DROP TABLE x\n", False),
        ("/*!40101 SET NAMES utf8mb4 */;\n", False),
        ("\n/*M!999999\\- enable the sandbox mode */\n", False),
    ],
)
def test_only_an_exact_first_line_is_dropped(first, drops):
    assert scan(first + DUMP.split("\n", 1)[1]).skip == (len(first) if drops else 0)


@pytest.mark.parametrize(
    "line",
    [
        "USE `production`;",
        "use production;",
        "  USE production;",
        "CREATE DATABASE /*!32312 IF NOT EXISTS*/ `production` /*!40100 DEFAULT CHARACTER SET utf8mb4 */;",
        "/*!40000 DROP DATABASE IF EXISTS `production`*/;",
        "CREATE OR REPLACE SCHEMA production;",
        "GRANT ALL ON *.* TO x@localhost;",
        "CREATE USER x@localhost;",
    ],
)
def test_statements_about_other_databases_are_refused(line, tmp_path):
    info = scan(DUMP.replace("UNLOCK TABLES;", f"UNLOCK TABLES;\n{line}"))
    assert [number for number, _text in info.foreign] == [27]
    with pytest.raises(DumpError, match="other databases or accounts in line 27"):
        Database._judge(tmp_path, info, None, True)


def test_rows_that_another_program_wrote_are_not_guessed():
    info = scan(
        "CREATE TABLE `a` (x int);\nCREATE TABLE b (x int);\nINSERT INTO `a` VALUES (1),(2);\n-- Dump completed\n"
    )
    assert info.tables == ["a", "b"]
    assert info.rows == {"b": 0}
    assert scan("CREATE TABLE `a` (x int);\nINSERT IGNORE INTO a (x) VALUES\n(1),\n(2);\n").rows == {}


def test_rows_behind_named_columns_and_sequences_are_counted():
    # A column that SELECT * does not show makes mariadb-dump name the columns, and begin with a row on the same line.
    more = "CREATE SEQUENCE `wp_seq` start with 5;\nDO SETVAL(`wp_seq`, 1005, 0);\nCREATE TABLE `wp_in``v` (a int, h int INVISIBLE);\n"
    more += "INSERT INTO `wp_in``v` (`a`, `h`) VALUES (1,9),\n(2,'),('),\n(3,9);\n-- Dump completed"
    info = scan(DUMP.replace("-- Dump completed", more))
    assert info.tables == ["wp_empty", "wp_in`v", "wp_posts", "wp_seq"]
    assert info.rows == {"wp_empty": 0, "wp_in`v": 3, "wp_posts": 4, "wp_seq": 1}


def test_one_table_that_cannot_be_counted_leaves_the_others():
    more = "CREATE TABLE `wp_other` (a int);\nINSERT INTO `wp_other` VALUES (1),(2);\n-- Dump completed"
    assert scan(DUMP.replace("-- Dump completed", more)).rows == {"wp_empty": 0, "wp_posts": 4}
    # Named columns in a file of MySQL's: all rows on one line.
    assert scan("CREATE TABLE `a` (x int);\nINSERT INTO `a` (`x`) VALUES (1),(2);\n-- Dump completed\n").rows == {}


def test_bytes_that_are_no_text():
    info = scan(
        b"CREATE TABLE `a` (x int);\nINSERT INTO `a` VALUES\n('\x00\xff\xfe'),\n('\r');\n-- Dump completed on x\r\n"
    )
    assert info.rows == {"a": 2}
    assert info.complete


@pytest.mark.parametrize(
    ("info", "prefix", "message"),
    [
        (DumpInfo(tables=["wp_options"]), None, "does not end with the line"),
        (DumpInfo(complete=True), None, "creates no table"),
        (
            DumpInfo(complete=True, tables=["x_options", "x_posts"]),
            "wp_",
            "site's prefix wp_: its tables begin with x_",
        ),
        (DumpInfo(complete=True, tables=["a"]), "wp_", "its tables are a"),
    ],
)
def test_refusals(info, prefix, message):
    with pytest.raises(DumpError, match=message):
        Database._judge("f.sql", info, prefix, True)


def test_a_file_is_whole_or_not_there(tmp_path):
    path = tmp_path / "a.sql.zst"
    (tmp_path / "a.sql.zst.partial").write_text("of a killed run")
    writer = _dump._Writer(path)
    writer.write(b"one")
    assert not path.exists()
    writer.commit()
    assert path.read_bytes() == b"one"
    assert path.stat().st_mode & 0o777 == 0o600
    assert _dump.read_checksum(path) == [hashlib.sha256(b"one").hexdigest()]

    writer = _dump._Writer(path)
    writer.write(b"two")
    writer.abandon()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.sql.zst", "a.sql.zst.sha256"]
    assert path.read_bytes() == b"one"


def replace_that_dies(at, original=_dump._Writer._replace):
    """Like the original, but its call number ``at`` does not come back."""
    calls = []

    def replace(target, text):
        calls.append(target)
        if len(calls) == at:
            raise KeyboardInterrupt
        original(target, text)

    return replace


def test_a_kill_between_file_and_checksum_loses_neither(tmp_path, monkeypatch):
    path = tmp_path / "a.sql"
    for content, dies_at in ((b"one", None), (b"two", 2), (b"three", 1)):
        with monkeypatch.context() as patch:
            patch.setattr(_dump._Writer, "_replace", staticmethod(replace_that_dies(dies_at)))
            writer = _dump._Writer(path)
            writer.write(content)
            if dies_at:
                with pytest.raises(KeyboardInterrupt):
                    writer.commit()
            else:
                writer.commit()
        assert hashlib.sha256(path.read_bytes()).hexdigest() in _dump.read_checksum(path)


def test_a_failed_statement_is_named_by_its_line_and_its_data_stays_out():
    database = Database.__new__(Database)
    database.timeout = 5
    stderr = b"--------------\nINSERT INTO x VALUES ('secret')\n--------------\n\nERROR 1273 (HY000) at line 6: Unknown collation: 'nope'"
    error = database._failure("Loading failed", 1, stderr, shift=1)
    assert str(error) == "Loading failed: ERROR 1273 (HY000) at line 7: Unknown collation: 'nope'"
    assert error.facts == {
        "rc": 1,
        "line": 7,
        "error": 1273,
        "stderr": "ERROR 1273 (HY000) at line 7: Unknown collation: 'nope'",
    }


def test_quoting():
    assert _dump.quote("a`b") == "`a``b`"
    assert _dump.text("it's \\ a") == "'it''s \\\\ a'"
    assert _dump._unescape(r"a\tb\nc\\n\0") == "a\tb\nc\\n\0"


def test_definers_become_the_sites_account(monkeypatch):
    database = Database.__new__(Database)
    database.name = "wordpress"
    monkeypatch.setattr(database, "_site_account", lambda: "`wordpress`@`%`")
    script = "\n".join(
        [
            "/*!50003 CREATE*/ /*!50017 DEFINER=`gone`@`%`*/ /*!50003 TRIGGER t ... SET x = 'DEFINER=`a`@`b`'",
            "CREATE DEFINER=`root`@`localhost` PROCEDURE `p`()",
            "  SELECT 'DEFINER=`a`@`b`';",
            "/*!50001 VIEW `v` AS select `wordpress_dp_new`.`wp_posts`.`ID` AS `ID` from `wp_posts` */;",
            "ALTER DATABASE `wordpress_dp_new` CHARACTER SET latin1 COLLATE latin1_swedish_ci ;",
        ]
    )
    assert database._adapt(script, "wordpress_dp_new").split("\n")[:4] == [
        "/*!50003 CREATE*/ /*!50017 DEFINER=`wordpress`@`%`*/ /*!50003 TRIGGER t ... SET x = 'DEFINER=`a`@`b`'",
        "CREATE DEFINER=`wordpress`@`%` PROCEDURE `p`()",
        "  SELECT 'DEFINER=`a`@`b`';",
        "/*!50001 VIEW `v` AS select `wp_posts`.`ID` AS `ID` from `wp_posts` */;",
    ]
    assert "ALTER DATABASE `wordpress` CHARACTER SET latin1" in database._adapt(script, "wordpress_dp_new")


def test_names_with_quotes_in_them():
    info = scan("CREATE TABLE `a``b é` (\nx);\nINSERT INTO `a``b é` VALUES\n(1),\n(2);\n-- Dump completed\n")
    assert info.rows == {"a`b é": 2}


@pytest.mark.parametrize(
    ("stderr", "message", "facts"),
    [
        (
            b"--\n\\! x\n--\n\nERROR at line 2002: Unknown command '\\!'.",
            "F: ERROR at line 2003: Unknown command '\\!'.",
            {"line": 2003},
        ),
        (
            b"mariadb-dump: Got error: 2002: gone",
            "F: mariadb-dump: Got error: 2002: gone (the database does not answer; see its container's log)",
            {},
        ),
        (
            b"Couldn't execute 'SHOW FIELDS' (1356)",
            "F: Couldn't execute 'SHOW FIELDS' (1356). A view that is broken cannot be dumped: repair or drop it",
            {},
        ),
    ],
)
def test_what_failures_say(stderr, message, facts):
    error = Database._failure(Database.__new__(Database), "F", 1, stderr, shift=1)
    assert str(error) == message
    assert facts.items() <= error.facts.items()


def test_scan_counts_sequences_among_the_tables():
    info = scan(
        "CREATE SEQUENCE `seq` start with 1 minvalue 1;\nDO SETVAL(`seq`, 1, 0);\nCREATE TABLE `a` (x int);\n-- Dump completed\n"
    )
    assert info.tables == ["a", "seq"]
    assert info.rows == {"a": 0, "seq": 1}


@pytest.mark.parametrize(
    "where",
    ["wordpress_dp_old _dockpress_plan", "wordpress_dp_old _dockpress_done", "wordpress_dp_new _dockpress_done"],
)
def test_a_swap_that_is_held_is_left_to_who_holds_it(monkeypatch, where):
    database = Database.__new__(Database)
    database.scratch, database.aside = "wordpress_dp_new", "wordpress_dp_old"
    plan = {"held": True, "before": "before", "after": "after", "objects": []}
    done = []
    monkeypatch.setattr(database, "sql", lambda _statement: [["wordpress"], ["wordpress_dp_new"], ["wordpress_dp_old"]])
    monkeypatch.setattr(database, "_end_strays", lambda: None)
    monkeypatch.setattr(database, "_plan", lambda schema, table: plan if f"{schema} {table}" == where else None)
    monkeypatch.setattr(database, "_drop_objects", done.append)
    monkeypatch.setattr(database, "_apply", done.append)
    monkeypatch.setattr(database, "discard", lambda: done.append("discard"))
    with pytest.raises(DumpError, match=r"interrupted restore .* run wp_restore or wp_backup"):
        database.recover()
    assert done == []
    said = database.recover(held=True)
    if where.endswith("plan"):
        assert (done, said) == (["before", "discard"], "a swap that had not happened yet was undone")
    else:
        assert (done, said) == ([[], "after", "discard"], "a swap that had happened was finished")
    # One of an import is nobody else's.
    plan["held"] = False
    assert database.recover() == said


@pytest.mark.parametrize("outcome", ["it ends", "it happens", "it stays"])
def test_what_a_killed_run_had_sent_ends_before_anybody_looks(monkeypatch, outcome):
    """A swap back that waited for a table may still happen, and the tables are then where they belong already."""
    database = Database.__new__(Database)
    database.container = "db"
    server = {"strays": [["7"]], "swapped": True}
    done = []

    def sql(statement):
        if statement.startswith("KILL"):
            done.append(statement)
            if outcome != "it stays":
                server.update(strays=[], swapped=outcome == "it ends")
            return []
        return server["strays"]

    monkeypatch.setattr(database, "sql", sql)
    monkeypatch.setattr(database, "swapped", lambda: server["swapped"])
    monkeypatch.setattr(database, "swap_back", lambda: done.append("swap back"))
    monkeypatch.setattr(database, "recover", lambda held: done.append("recover"))
    monkeypatch.setattr("time.sleep", lambda _seconds: None)
    monkeypatch.setattr(_dump, "STRAYS_END", 0.01)
    if outcome == "it stays":
        with pytest.raises(DumpError, match="connection 7"):
            database.abort()
        assert set(done) == {"KILL HARD 7;"}
    else:
        assert database.abort() == (outcome == "it ends")
        assert done == ["KILL HARD 7;", "swap back" if outcome == "it ends" else "recover"]


def test_who_undoes_a_held_swap_holds_that_too(monkeypatch):
    database = Database.__new__(Database)
    database.name, database.scratch, database.aside = "wordpress", "wordpress_dp_new", "wordpress_dp_old"
    kept = []
    monkeypatch.setattr(database, "_plan", lambda *_which: {"held": True, "added": [], "before": ""})
    monkeypatch.setattr(database, "_make_schema", lambda _name: None)
    monkeypatch.setattr(database, "_exchange", lambda *_what, **options: kept.append(options["held"]))
    monkeypatch.setattr(database, "discard", lambda: None)
    database.swap_back()
    assert kept == [True]
