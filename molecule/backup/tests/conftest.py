"""The two sites of the scenario, driven as an operator would: by playbooks; looked at through the engine of the sandbox."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import threading
import time
import urllib.request

import engine
import pytest

SCENARIO = pathlib.Path(__file__).resolve().parent.parent
ROOT = SCENARIO.parent.parent
NAME = os.environ.get("SANDBOX_NAME", "dockpress")
PORT = int(os.environ.get("SANDBOX_PORT_BASE", "8080"))
SETS = "/var/backups/dockpress"
INVENTORIES = f"{ROOT / 'molecule/shared/inventory'},{SCENARIO / 'inventory'}"
LONG = bool(os.environ.get("DOCKPRESS_LONG"))
# Molecule has failures written to the other stream, and in colours.
os.environ |= {"ANSIBLE_DISPLAY_FAILED_STDERR": "false", "ANSIBLE_FORCE_COLOR": "false", "ANSIBLE_NOCOLOR": "true"}


def run(command, check=True, data=None, timeout=600):
    done = engine.run(command, input=data, text=True, errors="surrogateescape", timeout=timeout)
    assert not check or done.returncode == 0, f"{command}\n{done.stdout[-6000:]}\n{done.stderr[-3000:]}"
    return done


def ansible(program, *arguments):
    return [program, *(f"--inventory={one}" for one in INVENTORIES.split(",")), *arguments]


def play(name, *arguments, check=True):
    """Run one of the collection's playbooks."""
    return run(ansible("ansible-playbook", str(ROOT / f"playbooks/{name}.yml"), *arguments), check)


def start(name, *arguments):
    """Start a playbook and do not wait for it."""
    command = ansible("ansible-playbook", str(ROOT / f"playbooks/{name}.yml"), *arguments)
    return subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )


class Site:
    """One site: its stack on its host."""

    def __init__(self, name, host, port):
        self.name, self.host, self.port = name, host, port
        self.stack = name.replace(".", "-")
        self.directory = f"/srv/dockpress/{self.stack}"
        self.url = f"http://{name}:{port}"

    def on_host(self, script, check=True, data=None):
        """A shell program on the site's host."""
        return run(["docker", "exec", "-i", f"{NAME}-{self.host}", "bash", "-c", script], check, data).stdout.strip()

    def wp(self, *arguments, check=True, data=None):
        command = ["docker", "exec", "-i", f"{NAME}-{self.host}", "docker", "exec", "-i", f"{self.stack}-cron-1"]
        return run([*command, "wp", *arguments], check, data).stdout.strip()

    def php(self, code):
        """What a PHP program inside WordPress prints, as JSON."""
        return json.loads(
            self.wp("eval-file", "-", "--skip-plugins", "--skip-themes", data=f"<?php {code}").splitlines()[-1]
        )

    def sql(self, statements, database="wordpress", check=True):
        client = f"mariadb -uroot -N --default-character-set=utf8mb4 {database}"
        client = (
            f"docker exec -i {self.stack}-database-1 sh -c 'MYSQL_PWD=$(cat /run/secrets/db_root_password) {client}'"
        )
        return self.on_host(client, check, statements)

    def sets(self):
        listing = self.on_host(f"ls -1 {SETS}/{self.name} 2>/dev/null", check=False)
        return [line for line in listing.splitlines() if line]

    def metric(self, file, name):
        # The site's own file is named after its stack.
        text = self.on_host(f"cat /var/lib/dockpress/metrics/{file}-{{{self.name},{self.stack}}}.prom", check=False)
        found = [line.split()[-1] for line in text.splitlines() if line.startswith(name + "{")]
        return float(found[0]) if found else None

    def get(self, path="/"):
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}", headers={"Host": f"{self.name}:{self.port}"}
        )
        with urllib.request.urlopen(request, timeout=20) as answer:
            return answer.status, answer.read().decode()

    def state(self):
        """All that a restore must bring back, or leave: rows, and files by their checksums, so that what differs is told."""
        tables = self.sql("SHOW TABLES;").split()
        # What WordPress writes on its own while it is looked at.
        rows = {
            table: self.sql(
                f"SELECT * FROM {table}"
                + (
                    " WHERE option_name NOT LIKE '%transient%' AND option_name NOT IN ('cron', 'rewrite_rules')"
                    if table.endswith("_options")
                    else ""
                )
                + " ORDER BY 1;"
            )
            for table in tables
            if table != "wp_filler"
        }
        rows["wp_filler"] = self.sql("CHECKSUM TABLE wp_filler;", check=False)
        rows["files"] = self.on_host(
            f"cd {self.directory}/web && find . -type f ! -path './wp-admin/*' ! -path './wp-includes/*' -print0 | sort -z | xargs -0 sha256sum"
        )
        rows["objects"] = self.sql(
            "SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS ORDER BY 1; SHOW FULL TABLES;"
        )
        return {f"{kind}: {row}" for kind, several in rows.items() for row in several.splitlines()}

    def assert_whole(self):
        """Nothing of an interrupted run is left: schemas, folders, journals, accounts."""
        assert self.sql("SHOW DATABASES LIKE '%\\_dp\\_%';") == ""
        assert self.sql("SELECT User FROM mysql.user WHERE User LIKE 'dockpress_load%';") == ""
        assert self.on_host(f"ls -d {self.directory}/.restore* {SETS}/*/.partial-* 2>/dev/null || true") == ""

    def holder(self):
        """Process id of who holds the site's lock, on the host."""
        note = self.on_host(f"cat /run/lock/dockpress/{self.name}.lock 2>/dev/null", check=False)
        return json.loads(note)["pid"] if note else None


class Requests:
    """Opens the front page over and over; counts what did not answer 200 with a whole page."""

    def __init__(self, site, pause=0.1):
        self.site, self.pause = site, pause
        self.good, self.bad = 0, []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, daemon=True)

    def _loop(self):
        while not self._stop.is_set():
            try:
                status, page = self.site.get()
                assert status == 200 and "</html>" in page
                self.good += 1
            except Exception as error:  # noqa: BLE001 - whatever a visitor would see
                self.bad.append((time.time(), repr(error)))
            time.sleep(self.pause)

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_unused):
        self._stop.set()
        self._thread.join()


@pytest.fixture(scope="session")
def shop():
    """The shop, with content: users, posts, serialized options, uploads, a view and a trigger, a large table."""
    site = Site("shop.test", "web1", PORT + 4)
    fill(site)
    return site


@pytest.fixture(scope="session")
def second():
    return Site("second.test", "web2", PORT + 24)


FILL = r"""
foreach (range(1, 30) as $n) {
    wp_insert_post(wp_slash(['post_title' => "Article $n", 'post_status' => 'publish',
        'post_content' => "<!-- wp:image {\"url\":\"" . str_replace('/', '\/', home_url()) . "\"} --><a href='" . home_url("/x/$n") . "'>ü €</a>"]));
}
wp_insert_user(['user_login' => 'editor', 'user_pass' => "it's\"q", 'user_email' => 'editor@example.org', 'role' => 'editor']);
update_option('shop_settings', ['home' => home_url('/cart'), 'nested' => ['n' => 1.5, home_url() => true], 'text' => "a\0b"]);
$dir = wp_upload_dir();
foreach (range(1, 12) as $n) {
    $file = $dir['path'] . "/picture $n.bin";
    file_put_contents($file, random_bytes(300000));
    $id = wp_insert_attachment(['post_title' => "Picture $n", 'post_mime_type' => 'application/octet-stream'], $file);
}
wp_insert_attachment(['post_title' => 'Its file was lost long ago', 'post_mime_type' => 'application/octet-stream'], $dir['path'] . '/lost.bin');
echo json_encode(true);
"""


def fill(site):
    if site.wp("option", "get", "shop_settings", check=False):
        return
    site.php(FILL)
    site.sql(
        "CREATE VIEW wp_titles AS SELECT ID, post_title FROM wp_posts;"
        "CREATE TABLE wp_audit (id BIGINT AUTO_INCREMENT PRIMARY KEY, what TEXT);"
        "CREATE TRIGGER wp_posts_audit AFTER INSERT ON wp_posts FOR EACH ROW INSERT INTO wp_audit (what) VALUES (NEW.post_title);"
        "CREATE TABLE wp_filler (id BIGINT PRIMARY KEY, content TEXT);"
        "INSERT INTO wp_filler SELECT seq, REPEAT(SHA2(seq, 512), 4) FROM seq_1_to_60000;"
    )
