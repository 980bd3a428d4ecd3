"""Dumps, imports and search-replace against a database and a WordPress of their own, which may be broken at will.

The containers run beside the scenario's site on its host. Every test leaves the site as it found it, and looks at the site itself:
at tables, checksums, processes and files.
"""

from __future__ import annotations

import functools
import gzip
import json
import os
import pathlib
import shlex
import subprocess
import time

import engine
import pytest
import yaml
from wp_live import Host

ROOT = pathlib.Path(__file__).resolve().parents[3]
HOST = "web1"
PINS = yaml.safe_load((ROOT / "roles/images/vars/main.yml").read_text())["_images_pins"]
MIRROR = "registry.sandbox.test:5000"
NAME = "dbt"
DATABASE, CRON, FPM = f"{NAME}-database", f"{NAME}-cron", f"{NAME}-fpm"
FOLDER = "/srv/dbt"
# What a shell, an .ini file or a client's option file would take apart.
ROOT_PASSWORD = "ro$$t w0rd$1#'\"\\"
SECRETS = {"root": "db_root_password", "wordpress": "db_password"}
LEFTOVERS = {"wordpress_dp_new", "wordpress_dp_old"}

CONTENT = r"""
CREATE TABLE wp_nopk (u text);
INSERT INTO wp_nopk VALUES ('http://old.test/nopk'), ('a\nb),(c'), ('USE other;\n-- Dump completed');
CREATE TABLE wp_bytes (id int PRIMARY KEY, b longblob, e varchar(50), d datetime, f double);
INSERT INTO wp_bytes VALUES (1, x'00ff0a0d271a5c', '😀 ''quoted'' "twice" \\ \n ü', '0000-00-00', 0.1), (2, 'http://old.test/blob', NULL, NOW(), NULL);
CREATE TABLE `wp_odd ``name-é` (id int AUTO_INCREMENT PRIMARY KEY, `select` text) AUTO_INCREMENT = 77;
INSERT INTO `wp_odd ``name-é` (`select`) VALUES ('x');
CREATE TABLE wp_latin (t varchar(20) COLLATE latin1_german1_ci, twice varchar(40) AS (CONCAT(t, t)) STORED) CHARSET latin1;
INSERT INTO wp_latin (t) VALUES ('äß€');
CREATE TABLE wp_hidden (id int PRIMARY KEY, h int INVISIBLE DEFAULT 7, b bit(9), j json) PARTITION BY HASH (id) PARTITIONS 2;
INSERT INTO wp_hidden (id, h, b, j) VALUES (1, 9, b'101010101', '{"u": "\\u00e9"}'), (2, 9, NULL, NULL);
CREATE TABLE wp_huge (id int PRIMARY KEY, t longtext); INSERT INTO wp_huge VALUES (1, REPEAT('a''\n;-- x\n', 500000));
CREATE SEQUENCE wp_seq START WITH 5;
CREATE TABLE wp_parent (id int PRIMARY KEY);
CREATE TABLE wp_child (id int PRIMARY KEY, p int, FOREIGN KEY (p) REFERENCES wp_parent (id));
INSERT INTO wp_parent VALUES (1); INSERT INTO wp_child VALUES (1, 1);
CREATE VIEW wp_view AS SELECT ID, post_title FROM wp_posts;
CREATE VIEW wp_a_view_of_it AS SELECT ID FROM wp_view;
CREATE FUNCTION wp_double(x int) RETURNS int DETERMINISTIC RETURN 2 * x;
CREATE PROCEDURE wp_proc() SELECT COUNT(*) FROM wp_posts;
CREATE EVENT wp_event ON SCHEDULE EVERY 1 YEAR DO DELETE FROM wp_nopk;
CREATE TRIGGER wp_trigger BEFORE INSERT ON wp_parent FOR EACH ROW SET NEW.id = NEW.id + 100;
"""


def sh(command, *, check=True, data=None):
    """Run a shell command on the host; its standard output as text."""
    where = ["docker", "exec", "-i", f"{os.environ['SANDBOX_NAME']}-{HOST}", "sh", "-c", command]
    data = data.encode() if isinstance(data, str) else data
    done = engine.run(where, input=data or b"")
    if check:
        assert done.returncode == 0, f"{command}\n{done.stdout.decode()}{done.stderr.decode()}"
    return done.stdout.decode("utf-8", "replace")


def put(path, content):
    sh(f"cat >{shlex.quote(path)}", data=content)


def sql(statements, schema="wordpress", user="root"):
    client = f"mariadb --user={user} --batch --skip-column-names --default-character-set=utf8mb4 {schema}"
    command = f"docker exec -i {DATABASE} sh -c 'MYSQL_PWD=$(cat /run/secrets/{SECRETS[user]}) {client}'"
    return [line.split("\t") for line in sh(command, data=statements).splitlines()]


def start(module, check_mode=False, **arguments):
    shared = {"container": CRON, "database_container": DATABASE, "url": "http://old.test"}
    if module == "wp_search_replace":
        del shared["database_container"]
    return runner().start(module, shared | arguments, check_mode)


@functools.cache
def runner():
    return Host(["docker", "exec", "-i", f"{os.environ['SANDBOX_NAME']}-{HOST}"])


def run(module, *, fails=False, **arguments):
    """Run a module on the host; its result. ``fails``: it must fail, with a message."""
    result = Host.end(start(module, **arguments))
    assert result["failed"] is fails, result
    return result


def export(dest, **arguments):
    return run("wp_db_export", dest=f"{FOLDER}/{dest}", **arguments)


def imported(src, **arguments):
    return run("wp_db_import", **{"src": f"{FOLDER}/{src}", "safety_dump": False, **arguments})


def objects():
    """Triggers, views, routines and events, as far as they can be compared."""
    return [
        *sql(
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE, ACTION_STATEMENT, DEFINER FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = 'wordpress'"
        ),
        *sql(
            "SELECT TABLE_NAME, VIEW_DEFINITION, DEFINER FROM information_schema.VIEWS WHERE TABLE_SCHEMA = 'wordpress'"
        ),
        *sql(
            "SELECT ROUTINE_NAME, ROUTINE_DEFINITION, DEFINER FROM information_schema.ROUTINES WHERE ROUTINE_SCHEMA = 'wordpress'"
        ),
        *sql(
            "SELECT EVENT_NAME, EVENT_DEFINITION, STATUS, DEFINER FROM information_schema.EVENTS WHERE EVENT_SCHEMA = 'wordpress'"
        ),
        *sql(
            "SELECT TABLE_NAME, AUTO_INCREMENT FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'wordpress' AND TABLE_NAME LIKE 'wp_odd%'"
        ),
    ]


def checksums(schema="wordpress"):
    query = f"SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = '{schema}' AND TABLE_TYPE = 'BASE TABLE' ORDER BY 1"
    tables = [row[0] for row in sql(query)]
    names = ", ".join("`" + table.replace("`", "``") + "`" for table in tables)
    sums = [row for row in sql(f"CHECKSUM TABLE {names};", schema) if row[0] != "wordpress.wp_options"]
    if schema == "wordpress":
        # WordPress itself writes what it remembers for a while.
        stable = "option_name NOT LIKE '%transient%' AND option_name <> 'cron'"
        sums += sql(f"SELECT option_name, MD5(option_value) FROM wp_options WHERE {stable}")
    return sorted(map(tuple, sums))


def processes():
    """What runs in the database's container, as command lines."""
    return sh(
        f'docker exec {DATABASE} sh -c \'for p in /proc/[0-9]*/cmdline; do tr "\\0" " " <$p; echo; done\' 2>/dev/null'
    )


def wait_for(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.1)


def wait_for_database():
    probe = f"docker exec {DATABASE} sh -c 'MYSQL_PWD=$(cat /run/secrets/db_root_password) mariadb --user=root -e \"SELECT 1 FROM wordpress.wp_users\"'"
    wait_for(lambda: "1" in sh(f"{probe} 2>/dev/null", check=False), 60)


@pytest.fixture(scope="module", autouse=True)
def stand():
    """A database, a PHP-FPM and a WP-CLI container, with an installed site."""
    image = {
        name: f"{MIRROR}/{PINS[name]['repository']}:{PINS[name]['tag']}"
        for name in ("mariadb", "wordpress", "wordpress_cli")
    }
    remove = f"docker rm -fv {DATABASE} {CRON} {FPM}; docker volume rm {NAME}-web; docker network rm {NAME}; umount {FOLDER}/small; rm -rf {FOLDER}"
    sh(f"({remove}) >/dev/null 2>&1", check=False)
    sh(
        f"mkdir -p -m 0700 {FOLDER}/secrets {FOLDER}/safety && docker network create {NAME} && docker volume create {NAME}-web"
    )
    put(f"{FOLDER}/secrets/db_root_password", ROOT_PASSWORD + "\n")
    put(f"{FOLDER}/secrets/db_password", "site's secret")
    sh(f"chmod 0755 {FOLDER}/secrets; chmod 0444 {FOLDER}/secrets/*")
    variables = "-e WORDPRESS_DB_HOST=database -e WORDPRESS_DB_USER=wordpress -e WORDPRESS_DB_NAME=wordpress "
    variables += "-e WORDPRESS_DB_PASSWORD_FILE=/run/secrets/db_password"
    common = f"docker run -d --network {NAME} -v {FOLDER}/secrets:/run/secrets:ro"
    site = f"{common} --user 33:33 -e HOME=/tmp -v {NAME}-web:/var/www/html {variables}"
    sh(
        f"{common} --name {DATABASE} --network-alias database -e MARIADB_DATABASE=wordpress -e MARIADB_USER=wordpress "
        "-e MARIADB_PASSWORD_FILE=/run/secrets/db_password -e MARIADB_ROOT_PASSWORD_FILE=/run/secrets/db_root_password "
        f"--user 999:999 {image['mariadb']}"
    )
    sh(f"{site} --name {FPM} {image['wordpress']}")
    sh(f"{site} --name {CRON} --entrypoint sleep {image['wordpress_cli']} infinity")
    install = "wp core install --url=http://old.test --title=T --admin_user=admin --admin_email=a@example.com --skip-email --admin_password=x"
    wait_for(lambda: "Success" in sh(f"docker exec {CRON} {install} 2>&1", check=False), 60)
    # WordPress writes a few options when it runs for the first time.
    sh(f"docker exec {CRON} wp cache flush && docker exec {CRON} wp option get home")
    sql(CONTENT, user="wordpress")
    sql("CREATE DATABASE other; CREATE TABLE other.wp_options (a int); INSERT INTO other.wp_options VALUES (1);")
    yield
    sh(f"({remove}) >/dev/null 2>&1", check=False)


@pytest.fixture
def unchanged():
    """The site and its neighbour are, after the test, what they were before; nothing is left over and nothing still runs."""
    before = checksums(), objects(), checksums("other")
    yield
    wait_for_database()
    after = checksums(), objects(), checksums("other")
    for now, old in zip(after, before, strict=True):
        assert sorted(set(map(tuple, now)) ^ set(map(tuple, old))) == []
    schemas = {row[0] for row in sql("SHOW DATABASES")}
    assert not LEFTOVERS & schemas
    assert sql("SELECT User FROM mysql.user WHERE User LIKE 'dockpress%'") == []
    assert "mariadb-dump" not in processes()


@pytest.fixture(scope="module")
def good(stand):
    """The plain text of a good dump of the site, as bytes."""
    result = export("good.sql.zst")
    assert result["tables"]["wp_nopk"] == 3
    assert result["tables"]["wp_users"] == 1
    read = f"docker exec -i {DATABASE} zstd -dc <{FOLDER}/good.sql.zst"
    return engine.run(["docker", "exec", f"{os.environ['SANDBOX_NAME']}-{HOST}", "sh", "-c", read], check=True).stdout


def test_export(good, unchanged):
    path = f"{FOLDER}/good.sql.zst"
    assert sh(f"stat -c %a {path}").strip() == "600"
    assert sh(f"cd {FOLDER} && sha256sum -c good.sql.zst.sha256").strip() == "good.sql.zst: OK"
    assert good.rstrip().rsplit(b"\n", 1)[1].startswith(b"-- Dump completed")
    assert "😀".encode() in good
    assert b"0x00FF0A0D271A5C" in good
    assert not run("wp_db_export", dest=path, force=False)["changed"]
    before = sh(f"sha256sum {path}; ls -A {FOLDER}")
    assert run("wp_db_export", dest=path, check_mode=True)["changed"]
    assert sh(f"sha256sum {path}; ls -A {FOLDER}") == before


@pytest.mark.parametrize("name", ["plain.sql", "packed.sql.gz"])
def test_other_compressions(name, unchanged):
    export(name)
    imported(name)


def test_import_brings_everything_back(good, unchanged, request):
    request.addfinalizer(lambda: sql("DROP TABLE IF EXISTS unrelated"))
    sql(
        "SET foreign_key_checks = 0; DROP TABLE wp_parent; DELETE FROM wp_options WHERE option_name = 'blogname'; DROP VIEW wp_view; "
        "DROP PROCEDURE wp_proc; DROP FUNCTION wp_double; CREATE TABLE wp_view (ID int); UPDATE wp_bytes SET b = ''; CREATE TABLE wp_later (a int); "
        "CREATE TRIGGER wp_trigger BEFORE INSERT ON wp_child FOR EACH ROW SET NEW.id = 1; CREATE TABLE unrelated (a int); ALTER TABLE wp_nopk ADD x int"
    )
    predicted = imported("good.sql.zst", extra_tables="drop", check_mode=True)
    assert sql("SHOW TABLES LIKE 'wp_later'")
    result = imported("good.sql.zst", extra_tables="drop", safety_dump=True, safety_dir=f"{FOLDER}/safety")
    keys = ("tables", "extra_tables", "added_tables", "removed_tables", "sha256")
    assert {key: predicted[key] for key in keys} == {key: result[key] for key in keys}
    assert result["extra_tables"] == ["wp_later"]
    assert result["siteurl"] == "http://old.test"
    assert sql("SHOW TABLES LIKE 'wp_later'") == []
    assert sql("SELECT COUNT(*) FROM wp_view; SELECT wp_double(4)")[-1] == ["8"]
    assert sh(f"ls {FOLDER}/safety/*.sql.zst").strip() == result["safety_dump"]
    assert sh(f"docker exec {CRON} wp option get blogname").strip() == "T"


def test_tables_that_the_dump_has_not_are_kept_and_listed(good, unchanged):
    sql("CREATE TABLE wp_later (a int)")
    assert imported("good.sql.zst")["extra_tables"] == ["wp_later"]
    assert sql("SHOW TABLES LIKE 'wp_later'")
    sql("DROP TABLE wp_later")


@pytest.mark.parametrize(
    "first",
    ["/*!999999\\- enable the sandbox mode */ ", "/*M!999999\\- enable the sandbox mode */ ", "-- no such line"],
)
def test_sandbox_lines(good, unchanged, first):
    put(f"{FOLDER}/first.sql", first.encode() + b"\n" + good.split(b"\n", 1)[1])
    imported("first.sql")


BAD = {
    "a collation that the server lacks": (
        b"CREATE TABLE `wp_late1` (a text COLLATE utf8mb4_nope_ci);\nCREATE TABLE `wp_late2` (a int);\nINSERT INTO `wp_late1` VALUES (1);\n",
        "Unknown collation",
        0,
    ),
    "a table that is not there": (
        b"CREATE TABLE `wp_late2` (a int);\nINSERT INTO `wp_nowhere` VALUES (1);\n",
        "doesn't exist",
        1,
    ),
    "a key twice": (b"INSERT INTO `wp_bytes` VALUES\n(1,NULL,NULL,NULL,NULL);\n", "Duplicate entry", 1),
    "no SQL": (b"this is no SQL;\n", "error in your SQL syntax", 0),
    "rows that are not there": (
        b"INSERT INTO `wp_nopk` VALUES\n(0);DELETE FROM `wp_nopk`;\n",
        "table wp_nopk has 0 rows, the file holds 4",
        None,
    ),
    "another database by its full name": (b"INSERT INTO `other`.`wp_options` VALUES (2);\n", "denied", 0),
    "the site's own tables by their full name": (b"DELETE FROM `wordpress`.`wp_options`;\n", "denied", 0),
    "a command of the client": (b"\\! touch /tmp/owned\n", "Unknown command", 0),
    "a setting of the server": (b"SET GLOBAL general_log = 1;\n", "denied", 0),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_statement_stops_the_import(good, unchanged, kind):
    statements, message, line = BAD[kind]
    head, tail = good.rsplit(b"/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */", 1)
    put(f"{FOLDER}/bad.sql", head + statements + b"/*!40103 SET TIME_ZONE=@OLD_TIME_ZONE */" + tail)
    result = imported("bad.sql", fails=True)
    assert message in result["msg"]
    assert result["rolled_back"] is False
    if line is not None:
        assert abs(result["line"] - (head.count(b"\n") + 1 + line)) <= 1
    assert "owned" not in sh(f"docker exec {DATABASE} ls /tmp")


@pytest.mark.parametrize(
    "lines",
    [b"USE `other`;\n", b"CREATE DATABASE /*!32312 IF NOT EXISTS*/ `other`;\n\nUSE `other`;\n", b"use wordpress\n"],
)
def test_statements_about_other_databases_are_refused(good, unchanged, lines):
    put(f"{FOLDER}/use.sql", lines + good)
    assert "other databases or accounts in line 1" in imported("use.sql", fails=True)["msg"]


def test_files_that_are_refused_before_anything_is_touched(good, unchanged):
    cut = good[:-4096]
    put(f"{FOLDER}/cut.sql.gz", gzip.compress(cut))
    put(f"{FOLDER}/two.sql.gz", gzip.compress(good[:5000]) + gzip.compress(good[5000:]))
    put(f"{FOLDER}/gzip.sql.zst", gzip.compress(good))
    put(f"{FOLDER}/prefix.sql", good.replace(b"`wp_", b"`x_"))
    put(f"{FOLDER}/empty.sql", b"")
    sh(f"cd {FOLDER} && head -c -100 good.sql.zst >cut.sql.zst && cp good.sql.zst.sha256 sum.sql.zst.sha256")
    sh(
        f"cd {FOLDER} && cp good.sql.zst flip.sql.zst && printf x | dd of=flip.sql.zst bs=1 seek=3000 conv=notrunc 2>/dev/null && cp flip.sql.zst sum.sql.zst"
    )
    for name, message in {
        "cut.sql.gz": "does not end with the line '-- Dump completed'",
        "cut.sql.zst": "does not decompress to its end",
        "flip.sql.zst": "does not decompress to its end",
        "sum.sql.zst": "has the SHA-256 sum",
        "gzip.sql.zst": "rename it to gzip.sql.gz",
        "prefix.sql": "no table with the site's prefix wp_: its tables begin with x_",
        "empty.sql": "does not end with",
        "nowhere.sql": "Cannot read the dump",
    }.items():
        result = imported(name, fails=True, check_mode=name == "cut.sql.gz")
        assert message in result["msg"], name
        assert "rolled_back" not in result
    assert "has the SHA-256 sum" in imported("good.sql.zst", fails=True, checksum="0" * 64)["msg"]
    # Members of a gzip file follow one another: all of them count.
    assert imported("two.sql.gz")["tables"]["wp_nopk"] == 3


def test_a_full_disk_loses_no_good_dump(unchanged):
    small = f"{FOLDER}/small"
    sh(f"mkdir {small} && mount -t tmpfs -o size=64k tmpfs {small}")
    put(f"{small}/a.sql", b"good old dump")
    result = run("wp_db_export", dest=f"{small}/a.sql", fails=True)
    assert "No space left on device" in result["msg"]
    assert sh(f"ls -A {small}; cat {small}/a.sql") == "a.sql\ngood old dump"
    wait_for(lambda: "mariadb-dump" not in processes(), 10)
    sh(f"umount {small}")


def test_the_lock(good, unchanged):
    lock = f"/run/lock/dockpress/{DATABASE}.lock"
    # Back once it is held.
    sh(
        f"mkdir -p /run/lock/dockpress; mkfifo {FOLDER}/held; nohup flock {lock} sh -c 'echo >{FOLDER}/held; sleep 10' >/dev/null 2>&1 & cat {FOLDER}/held"
    )
    assert "is held by a process that did not say who" in imported("good.sql.zst", fails=True, lock_timeout=0)["msg"]
    assert export("waits.sql.zst", lock_timeout=20)["changed"]


def test_the_database_is_away(good, unchanged):
    sh(f"docker stop -t 20 {DATABASE}")
    try:
        for result in (
            imported("good.sql.zst", fails=True),
            run("wp_db_export", fails=True, dest=f"{FOLDER}/away.sql"),
        ):
            assert f"{DATABASE} is not running. Start the stack first." in result["msg"]
        assert sh(f"ls {FOLDER}/away.sql* 2>&1", check=False).count("No such file") == 1
    finally:
        sh(f"docker start {DATABASE}")
    wait_for_database()


@pytest.fixture(scope="module")
def big(good):
    """A dump that takes a few seconds to load, also on a fast machine: there has to be time to kill somebody in it."""
    sql(
        "CREATE TABLE wp_big (id int PRIMARY KEY, t text, KEY (t(40))); INSERT INTO wp_big SELECT seq, REPEAT(MD5(seq), 12) FROM seq_1_to_400000;"
    )
    export("big.sql.zst")
    sql("UPDATE wp_options SET option_value = 'other title' WHERE option_name = 'blogname'")
    yield
    sql("DROP TABLE IF EXISTS wp_big; UPDATE wp_options SET option_value = 'T' WHERE option_name = 'blogname'")


def loading():
    query = "SELECT COUNT(*) FROM information_schema.TABLES WHERE TABLE_SCHEMA = 'wordpress_dp_new'"
    command = f"docker exec -i {DATABASE} sh -c 'MYSQL_PWD=$(cat /run/secrets/db_root_password) mariadb --user=root -N' 2>/dev/null"
    return int(sh(command, data=query, check=False) or 0) > 2


def holder():
    """The process id of the module that holds the site's lock."""
    note = sh(f"cat /run/lock/dockpress/{DATABASE}.lock 2>/dev/null", check=False)
    return json.loads(note)["pid"] if note.strip() else None


def test_the_container_is_killed_in_the_middle_of_an_import(big, unchanged):
    process = start("wp_db_import", src=f"{FOLDER}/big.sql.zst", safety_dump=False)
    wait_for(loading)
    sh(f"docker kill {DATABASE}")
    try:
        result = Host.end(process)
    finally:
        sh(f"docker start {DATABASE}")
    assert result["failed"]
    assert "were not touched" in result["msg"]
    assert "The next import or export does it" in result["msg"]
    wait_for_database()
    assert export("after.sql.zst")["recovered"] == "tables of an unfinished load were dropped"


def test_the_module_is_killed_in_the_middle_of_an_import(big, unchanged):
    process = start("wp_db_import", src=f"{FOLDER}/big.sql.zst", safety_dump=False)
    wait_for(loading)
    sh(f"kill -9 {holder()}")
    process.communicate()
    assert export("after.sql.zst")["recovered"] == "tables of an unfinished load were dropped"


def test_the_module_is_killed_in_the_middle_of_a_dump(big, unchanged):
    process = start("wp_db_export", dest=f"{FOLDER}/killed.sql.zst", level=19)
    wait_for(lambda: "mariadb-dump" in processes())
    assert ROOT_PASSWORD not in processes()
    sh(f"kill -9 {holder()}")
    process.communicate()
    wait_for(lambda: "mariadb-dump" not in processes(), 10)
    assert sh(f"ls {FOLDER}/killed.sql.zst 2>&1", check=False).endswith("No such file or directory\n")
    export("killed.sql.zst")
    assert "killed.sql.zst.partial" not in sh(f"ls {FOLDER}")


def test_the_module_is_killed_while_it_swaps(big, unchanged):
    # Somebody reads a table for a while: the swap waits for it, and the module dies in the meantime.
    reader = (
        "docker exec -i "
        + DATABASE
        + " sh -c 'MYSQL_PWD=$(cat /run/secrets/db_root_password) mariadb --user=root wordpress'"
    )
    busy = subprocess.Popen(
        ["docker", "exec", "-i", f"{os.environ['SANDBOX_NAME']}-{HOST}", "sh", "-c", reader],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
    )
    busy.stdin.write(b"LOCK TABLES wp_links READ; SELECT SLEEP(600);\n")
    busy.stdin.close()
    process = start("wp_db_import", src=f"{FOLDER}/good.sql.zst", safety_dump=False)
    wait_for(
        lambda: sql("SHOW PROCESSLIST") and any("RENAME TABLE" in " ".join(row) for row in sql("SHOW PROCESSLIST")), 60
    )
    sh(f"kill -9 {holder()}")
    process.communicate()
    sleeper = sql(
        "SELECT ID FROM information_schema.PROCESSLIST WHERE INFO LIKE '%SLEEP(600)%' AND ID <> CONNECTION_ID()"
    )[0][0]
    second = start("wp_db_export", dest=f"{FOLDER}/after.sql.zst")
    time.sleep(4)
    sql(f"KILL {sleeper}")
    busy.wait()
    result = Host.end(second)
    assert result["recovered"] in (
        "a swap that had not happened yet was undone",
        "tables of an unfinished load were dropped",
    )


# -- search and replace


@pytest.fixture
def restored(good):
    """The site as it is in the good dump, before and after."""
    yield
    imported("good.sql.zst", extra_tables="drop")


def options():
    return dict(sql("SELECT option_name, option_value FROM wp_options WHERE option_name LIKE 'sr\\_%'"))


def test_every_form_of_an_address(restored):
    put(
        f"{FOLDER}/forms.php",
        r"""<?php
        update_option('sr_keys', ['http://old.test/a' => 'http://old.test/b', 'k' => ['http://old.test' => 1]]);
        update_option('sr_json', '{"u":"http:\/\/old.test\/x"}');
        update_option('sr_json_in_php', ['j' => json_encode(['u' => 'http://old.test/x', 'n' => json_encode(['w' => 'http://old.test'])])]);
        update_option('sr_php_in_json', json_encode(['v' => serialize(['u' => 'http://old.test/ü'])]));
        update_option('sr_php_in_php', ['s' => serialize(['http://old.test'])]);
        update_option('sr_percent', 'x?r=http%3A%2F%2Fold.test%2Fy&l=http%3a%2f%2fold.test');
        $o = new ArrayObject(['http://old.test']); $p = new stdClass; $p->u = 'http://old.test'; $p->self = $p; $p->f = 1.5; $p->n = null;
        update_option('sr_object', [$o, $p]);
        update_option('sr_text', "a:1:{ is how PHP writes a list; http://old.test\n<!-- wp:x {\"url\":\"http://old.test/y\"} -->");
        global $wpdb;
        $wpdb->insert('wp_options', ['option_name' => 'sr_broken', 'option_value' => 'a:1:{s:9:"u";s:15:"http://old.test";}']);
        $wpdb->insert('wp_options', ['option_name' => 'sr_case', 'option_value' => 'HTTP://OLD.TEST/']);
        $wpdb->insert('wp_options', ['option_name' => 'sr_twins', 'option_value' => serialize(['http://old.test' => 1, 'https://www.néw.example' => 2])]);
        """,
    )
    sh(f"docker exec -i {CRON} wp eval-file - <{FOLDER}/forms.php")
    pairs = [{"from": "http://old.test", "to": "https://www.néw.example"}]
    guids = sql("SELECT guid FROM wp_posts ORDER BY ID")
    before = checksums()
    dry = run("wp_search_replace", pairs=pairs, check_mode=True)
    assert checksums() == before
    real = run("wp_search_replace", pairs=pairs)
    assert {key: dry[key] for key in ("changed", "changes", "left", "leftovers")} == {
        key: real[key] for key in ("changed", "changes", "left", "leftovers")
    }
    assert not run("wp_search_replace", pairs=pairs)["changed"]

    put(
        f"{FOLDER}/look.php",
        r"""<?php $n = 'https://www.néw.example'; $o = 'get_option'; $r = [];
        $r['keys'] = $o('sr_keys') === ["$n/a" => "$n/b", 'k' => [$n => 1]];
        $r['json'] = json_decode($o('sr_json'))->u === "$n/x";
        $j = json_decode($o('sr_json_in_php')['j']); $r['json_in_php'] = $j->u === "$n/x" && json_decode($j->n)->w === $n;
        $r['php_in_json'] = unserialize(json_decode($o('sr_php_in_json'))->v) === ['u' => "$n/ü"];
        $r['php_in_php'] = unserialize($o('sr_php_in_php')['s']) === [$n];
        $r['percent'] = !preg_match('/old\.test/', $o('sr_percent')) && substr_count($o('sr_percent'), rawurlencode($n)) === 1;
        $x = $o('sr_object'); $r['object'] = $x[0][0] === $n && $x[1]->u === $n && $x[1]->self === $x[1] && $x[1]->f === 1.5 && $x[1]->n === null;
        $r['text'] = substr_count($o('sr_text'), $n) === 2;
        echo json_encode(array_keys(array_filter($r, fn($v) => !$v)));
        """,
    )
    assert json.loads(sh(f"docker exec -i {CRON} wp eval-file - <{FOLDER}/look.php").splitlines()[-1]) == []
    assert sql("SELECT guid FROM wp_posts ORDER BY ID") == guids
    assert real["without_key"] == ["wp_nopk"]
    assert sql("SELECT COUNT(*) FROM wp_nopk WHERE u = 'https://www.néw.example/nopk'") == [["1"]]
    left = {(item["table"], item["row"]): item["why"] for item in real["leftovers"]}
    assert left == {
        ("wp_bytes", "id=2"): "binary column",
        ("wp_options", "sr_broken"): "broken serialized value",
        ("wp_options", "sr_case"): "not replaced",
        ("wp_options", "sr_twins"): "two keys would become one",
    }
    assert real["left"] == 4
    assert run("wp_search_replace", pairs=pairs, blobs=True)["changes"] == {"wp_bytes.b": 1}


def test_what_a_column_cannot_hold_stays_and_is_told(restored):
    sql("""
        CREATE TABLE wp_short (id int PRIMARY KEY, u varchar(20), d datetime);
        INSERT INTO wp_short VALUES (1, 'http://old.test/ab', NULL), (2, 'old', '0000-00-00');
        CREATE TABLE wp_latin1 (id int PRIMARY KEY, u varchar(99), d datetime) CHARSET latin1;
        INSERT INTO wp_latin1 VALUES (1, 'http://old.test/ä', '0000-00-00'), (2, 'http://old.test/ä', NULL);
        CREATE TABLE wp_once (u varchar(99) PRIMARY KEY);
        INSERT INTO wp_once VALUES ('http://old.test'), ('https://www.longer.test');
    """)
    tables = ["wp_short", "wp_latin1", "wp_once"]
    rows = "SELECT id, u, d FROM wp_short UNION SELECT id + 10, u, d FROM wp_latin1 UNION SELECT 20, u, NULL FROM wp_once ORDER BY 1, 2"
    before = sql(rows)

    def replace(new, changed, left):
        """The same is said in check mode, and by a run."""
        pairs = [{"from": "http://old.test", "to": new}]
        dry = run("wp_search_replace", pairs=pairs, tables=tables, check_mode=True)
        assert sql(rows) == before
        real = run("wp_search_replace", pairs=pairs, tables=tables)
        for result in (dry, real):
            assert result["changes"] == changed
            assert {(item["table"], item["column"], item["row"]) for item in result["leftovers"]} == left
            assert result["left"] == len(left)
        return " ".join(item["why"] for item in real["leftovers"])

    latin1 = {("wp_latin1", "u", "id=1"), ("wp_latin1", "u", "id=2")}
    said = replace("https://ш.test/longer", {"wp_once.u": 1}, latin1 | {("wp_short", "u", "id=1")})
    assert "Incorrect string value" in said
    sql("UPDATE wp_once SET u = 'http://old.test' WHERE u LIKE '%longer'")
    once = ("wp_once", "u", "u=http://old.test")
    said = replace("https://www.longer.test", {"wp_latin1.u": 2}, {("wp_short", "u", "id=1"), once})
    assert "Data too long" in said
    assert "Duplicate entry" in said
    assert sql("SELECT u, d FROM wp_latin1 WHERE id = 1") == [["https://www.longer.test/ä", "0000-00-00 00:00:00"]]


def test_another_site_in_the_same_database_is_left_alone(restored):
    names = ("options", "posts", "users")
    sql("".join(f"CREATE TABLE wp_shop_{name} SELECT * FROM wp_{name};" for name in names))
    before = sql("CHECKSUM TABLE " + ", ".join(f"wp_shop_{name}" for name in names))
    try:
        moved = run("wp_search_replace", pairs=[{"from": "http://old.test", "to": "http://new.test"}])
        assert moved["changes"]
        assert not [column for column in moved["changes"] if column.startswith("wp_shop_")]
        result = imported("good.sql.zst", table_prefix="wp_", extra_tables="drop")
        assert result["removed_tables"] == []
        assert sql("CHECKSUM TABLE " + ", ".join(f"wp_shop_{name}" for name in names)) == before
    finally:
        sql("".join(f"DROP TABLE wp_shop_{name};" for name in names))


def test_a_new_address_that_holds_the_old_one(restored):
    pairs = [{"from": "old.test", "to": "www.old.test"}]
    assert run("wp_search_replace", pairs=pairs)["left"] == 1  # the binary column
    assert sh(f"docker exec {CRON} wp option get home").strip() == "http://www.old.test"
    assert not run("wp_search_replace", pairs=pairs)["changed"]


@pytest.mark.parametrize(("pairs", "message"), [([{"from": "", "to": "x"}], "empty from"), ([], "at least one")])
def test_search_replace_refuses(unchanged, pairs, message):
    assert message in run("wp_search_replace", fails=True, pairs=pairs)["msg"]


def test_import_under_another_address(restored):
    pairs = [{"from": "http://old.test", "to": "http://staging.test"}]
    result = imported("good.sql.zst", replace=pairs)
    assert result["siteurl"] == "http://staging.test"
    assert result["replaced"]["changes"]["wp_options.option_value"] >= 2


def test_a_step_after_the_swap_fails(good, unchanged):
    # The dump's site is one that WordPress does not take for installed.
    put(f"{FOLDER}/no-home.sql", good.replace(b"'siteurl','http://old.test'", b"'siteurl','' "))
    assert "is a dump without a site" in imported("no-home.sql", fails=True)["msg"]
    sh(f"docker stop -t 1 {CRON}")
    try:
        result = imported("good.sql.zst", fails=True)
        assert result["rolled_back"]
        assert "The former tables are back in their place." in result["msg"]
    finally:
        sh(f"docker start {CRON}")


def test_a_network_of_sites(restored):
    config = "/var/www/html/wp-config.php"
    sh(f"docker exec {CRON} cp {config} /tmp/config.php")
    try:
        sh(
            f"docker exec {CRON} wp core multisite-convert --title=N && docker exec {CRON} wp site create --slug=two --url=http://old.test"
        )
        sh(f"docker exec {CRON} wp --url=http://old.test/two option update blogname Second")
        result = export("network.sql.zst")
        assert "wp_2_options" in result["tables"]
        sql("DROP TABLE wp_2_options; DELETE FROM wp_blogs")
        assert imported("network.sql.zst")["added_tables"] == ["wp_2_options"]
        assert sh(f"docker exec {CRON} wp --url=http://old.test/two option get blogname").strip() == "Second"
        moved = run("wp_search_replace", pairs=[{"from": "http://old.test", "to": "http://new.test"}])
        assert moved["multisite"]
        assert {"wp_blogs.domain": 2, "wp_site.domain": 1}.items() <= moved["changes"].items()
        sh(f"docker exec {CRON} wp config set DOMAIN_CURRENT_SITE new.test")
        assert sh(f"docker exec {CRON} wp --url=http://new.test/two option get home").strip() == "http://new.test/two"
    finally:
        sh(f"docker exec {CRON} cp /tmp/config.php {config}")
