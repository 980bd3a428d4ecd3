"""Export and import of a generated database, beside the plain tools.

Starts a database and a WP-CLI container of its own on the local engine, and removes them. Seconds are medians, memory is the
peak (RSS) of the processes that use the collection.
"""

from __future__ import annotations

import argparse
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import common

NAME = "dpbench"
MEGABYTES = 500
IMAGES = {"mariadb": "mariadb", "cli": "wordpress_cli", "wordpress": "wordpress"}
ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / ".cache/collections")}
# Text that compresses about as well as posts do.
FILL = """
SET SESSION sql_mode = '';
CREATE TABLE wp_words (id int PRIMARY KEY, w varchar(400));
INSERT INTO wp_words
  SELECT seq, CONCAT(MD5(seq), ' lorem ipsum dolor ', TO_BASE64(RANDOM_BYTES(150)), ' "quoted" it''s http://old.test/', seq) FROM seq_1_to_1000;
INSERT INTO wp_posts (post_author, post_date, post_date_gmt, post_content, post_title, post_excerpt, post_status, post_name, to_ping, pinged,
    post_modified, post_modified_gmt, post_content_filtered, guid)
  SELECT 1, NOW(), NOW(), CONCAT('<!-- wp:paragraph --><p>', a.w, b.w, c.w, d.w, e.w, f.w, g.w, h.w, seq, '</p>'), CONCAT('Post ', seq), '',
    'publish', CONCAT('post-', seq), '', '', NOW(), NOW(), '', CONCAT('http://old.test/?p=', seq)
  FROM seq_1_to_{posts}
    JOIN wp_words a ON a.id = 1 + seq MOD 991 JOIN wp_words b ON b.id = 1 + seq MOD 983 JOIN wp_words c ON c.id = 1 + seq MOD 977
    JOIN wp_words d ON d.id = 1 + seq MOD 971 JOIN wp_words e ON e.id = 1 + seq MOD 967 JOIN wp_words f ON f.id = 1 + seq MOD 953
    JOIN wp_words g ON g.id = 1 + seq MOD 947 JOIN wp_words h ON h.id = 1 + seq MOD 941;
INSERT INTO wp_postmeta (post_id, meta_key, meta_value)
  SELECT seq MOD {posts}, CONCAT('_key_', seq MOD 20), CONCAT('a:1:{{s:3:"url";s:32:"', MD5(seq), '";}}') FROM seq_1_to_{meta};
"""
OURS = """
import resource, sys, time, docker
from ansible_collections.dockpress.hosting.plugins.module_utils._dump import Database
database = Database(docker.from_env(), sys.argv[1])
start = time.monotonic()
if sys.argv[2] == "export":
    info = database.dump_to(sys.argv[3])
else:
    info = database.check(sys.argv[3])
    checked = time.monotonic()
    database.load(sys.argv[3], info)
    loaded = time.monotonic()
    database.swap()
    database.discard()
    print(f"check {checked - start:.1f} load {loaded - checked:.1f}", file=sys.stderr)
print(time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, info.sql_bytes)
"""


def sh(command, **options):
    command = ["bash", "-o", "pipefail", "-c", command]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def timed(command):
    start = time.monotonic()
    sh(command)
    return time.monotonic() - start


def ours(*arguments):
    command = [sys.executable, "-c", OURS, f"{NAME}-db", *arguments]
    out = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, env=ENVIRONMENT).stdout
    return [float(word) for word in out.split()]


def report() -> list[str]:
    remove = f"docker rm -fv {NAME}-db {NAME}-cli {NAME}-fpm; docker network rm {NAME}; docker volume rm {NAME}"
    subprocess.run(remove, shell=True, capture_output=True, check=False)
    images = {short: common.image(name) for short, name in IMAGES.items()}
    options = argparse.Namespace(megabytes=MEGABYTES, rounds=3, **images)
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = measure(options, pathlib.Path(folder))
        finally:
            subprocess.run(remove, shell=True, capture_output=True, check=False)
    seconds = found["seconds"]
    return [
        f"Database of {found['sql_megabytes']} MB of SQL, medians of three rounds:",
        "",
        "| | seconds | ratio | peak memory of our process |",
        "|---|---|---|---|",
        f"| `mariadb-dump \\| zstd` by hand | {seconds['raw_export']} | 1 | |",
        f"| `wp_db_export` | {seconds['export']} | {found['export_speed_against_raw']} x its speed | {found['peak_mib']['export']} MiB |",
        f"| `wp db import` | {seconds['wp_db_import']} | 1 | |",
        f"| `wp_db_import` (check, load beside the site, compare, swap) | {seconds['import']} "
        f"| {found['import_speed_against_wp']} x its speed | {found['peak_mib']['import']} MiB |",
    ]


def measure(options, folder):
    env = "-e WORDPRESS_DB_HOST=database -e WORDPRESS_DB_USER=wordpress -e WORDPRESS_DB_NAME=wordpress -e WORDPRESS_DB_PASSWORD=bench"
    sh(f"docker network create {NAME}; docker volume create {NAME}")
    sh(
        f"docker run -d --name {NAME}-db --network {NAME} --network-alias database -e MARIADB_DATABASE=wordpress -e MARIADB_USER=wordpress "
        f"-e MARIADB_PASSWORD=bench -e MARIADB_ROOT_PASSWORD=bench --user 999:999 {options.mariadb}"
    )
    site = f"docker run -d --network {NAME} --user 33:33 -e HOME=/tmp -v {NAME}:/var/www/html {env}"
    sh(f"{site} --name {NAME}-fpm {options.wordpress}")
    sh(f"{site} --name {NAME}-cli --entrypoint sleep {options.cli} infinity")
    install = f"docker exec {NAME}-cli wp core install --url=http://old.test --title=T --admin_user=a --admin_email=a@example.com --skip-email"
    for _attempt in range(60):
        time.sleep(1)
        if not subprocess.run(install.split(), capture_output=True, check=False).returncode:
            break
    client = f"docker exec -i {NAME}-db sh -c 'MYSQL_PWD=bench mariadb -uroot wordpress'"
    sh(client, input=FILL.format(posts=options.megabytes * 321, meta=options.megabytes * 1946))
    raw = (
        f"docker exec {NAME}-db bash -c 'set -o pipefail; MYSQL_PWD=bench mariadb-dump -uroot --single-transaction --quick --skip-lock-tables "
        "--no-autocommit --default-character-set=utf8mb4 --hex-blob --routines --triggers --events wordpress | zstd -q -c -T0 -3' "
        f">{folder}/raw.zst"
    )
    times = {"raw_export": [], "export": [], "wp_db_import": [], "import": []}
    memory = {"export": 0.0, "import": 0.0}
    dump = str(folder / "ours.sql.zst")
    for _round in range(options.rounds):
        times["raw_export"].append(timed(raw))
        seconds, peak, size = ours("export", dump)
        times["export"].append(seconds)
        memory["export"] = max(memory["export"], peak)
    # WP-CLI reads plain SQL from its own file system; unpacking it is not counted.
    sh(f"docker exec -i {NAME}-db zstd -dc <{dump} | docker exec -i {NAME}-cli sh -c 'cat >/var/www/html/dump.sql'")
    for _round in range(options.rounds):
        times["wp_db_import"].append(timed(f"docker exec {NAME}-cli wp db import /var/www/html/dump.sql"))
        seconds, peak, _size = ours("import", dump)
        times["import"].append(seconds)
        memory["import"] = max(memory["import"], peak)
    medians = {key: round(statistics.median(values), 2) for key, values in times.items()}
    return {
        "sql_megabytes": round(size / 1e6),
        "file_megabytes": round(pathlib.Path(dump).stat().st_size / 1e6),
        "seconds": medians,
        "all": {key: [round(value, 2) for value in values] for key, values in times.items()},
        "peak_mib": {key: round(value) for key, value in memory.items()},
        "export_speed_against_raw": round(medians["raw_export"] / medians["export"], 2),
        "import_speed_against_wp": round(medians["wp_db_import"] / medians["import"], 2),
    }
