"""A set of a large site, beside the plain tools on the same host, and its restore: in turns, medians.

The process that is measured is the module's own, started by Ansible as a playbook starts it; its memory is the largest resident set of it and of
what it started on the host.
"""

from __future__ import annotations

import json
import pathlib
import subprocess
import tempfile

import common

SITE, STACK = "site01.localhost", "site01-localhost"
MEGABYTES, UPLOADS, ROUNDS = 500, 1024, 3
FOLDER = f"/srv/dockpress/{STACK}"
ROOT = "/var/backups/bench"
# Text that compresses as posts do; pictures do not.
FILL = f"""
cat >/tmp/fill.sql <<'END'
CREATE OR REPLACE TABLE wp_bench (id INT PRIMARY KEY, content TEXT);
INSERT INTO wp_bench SELECT seq, CONCAT(REPEAT('lorem ipsum dolor ', 50), TO_BASE64(RANDOM_BYTES(800))) FROM seq_1_to_{MEGABYTES * 1024 // 2};
END
docker exec -i {STACK}-database-1 sh -c 'MYSQL_PWD=$(cat /run/secrets/db_root_password) mariadb -uroot wordpress' </tmp/fill.sql
mkdir -p {FOLDER}/web/wp-content/uploads/bench
for number in $(seq {UPLOADS // 2}); do head -c 2M /dev/urandom >{FOLDER}/web/wp-content/uploads/bench/picture-$number.jpg; done
# An interpreter that notes the memory of what it runs.
cat >/root/measured <<'END'
#!/usr/bin/python3
import resource, subprocess, sys
code = subprocess.run(["/usr/bin/python3", *sys.argv[1:]]).returncode
with open("/root/peak", "a") as peak:
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss, file=peak)
sys.exit(code)
END
chmod 0755 /root/measured
mkdir -p {ROOT}
"""
# What an operator would type. Its result is on the disk at the end, as a set is.
PLAIN = f"""
mkdir {ROOT}/plain
start=$(date +%s.%N)
docker exec {STACK}-database-1 sh -c 'MYSQL_PWD=$(cat /run/secrets/db_root_password) mariadb-dump -uroot --single-transaction --quick wordpress' |
    zstd -q -o {ROOT}/plain/db.sql.zst
tar -C {FOLDER}/web -c wp-content | zstd -q -o {ROOT}/plain/files.tar.zst
sync -f {ROOT}/plain
python3 -c "import time; print(time.time() - $start)"
rm -r {ROOT}/plain
"""


def module(name: str, **more: object) -> float:
    """Seconds of one call of a module, as it says itself."""
    arguments = {
        "site": SITE,
        "directory": FOLDER,
        "container": f"{STACK}-cron-1",
        "fpm_container": f"{STACK}-wordpress-1",
        "database_container": f"{STACK}-database-1",
        "root": ROOT,
        **more,
    }
    with tempfile.TemporaryDirectory() as tree:
        command = ["ansible", SITE, *common.INVENTORIES, "--tree", tree, "-m", f"dockpress.hosting.{name}"]
        command += ["-a", json.dumps(arguments), "-e", "ansible_python_interpreter=/root/measured"]
        done = subprocess.run(
            command,
            cwd=common.ROOT,
            env=common.ENVIRONMENT,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise SystemExit(f"{name} failed:\n{done.stdout[-4000:]}")
        return json.loads((pathlib.Path(tree) / SITE).read_text(encoding="utf-8"))["seconds"]


def report() -> list[str]:
    common.sandbox(SITE)
    common.on_host(FILL)
    seconds: dict[str, list[float]] = {"plain": [], "backup": [], "restore": []}
    peaks = {"backup": 0.0, "restore": 0.0}
    for _round in range(ROUNDS):
        seconds["plain"].append(float(common.on_host(PLAIN)))
        for name, more in (("backup", {}), ("restore", {"confirm": True, "safety": False})):
            common.on_host("rm -f /root/peak")
            seconds[name].append(module(f"wp_{name}", **more))
            peak = max(int(line) for line in common.on_host("cat /root/peak").split()) / 1024
            peaks[name] = max(peaks[name], peak)
        common.on_host(f"rm -rf {ROOT}/{SITE}")
    median = {name: common.median(values) for name, values in seconds.items()}
    return [
        f"A site with a database of {MEGABYTES} MB and {UPLOADS} MB of uploads that do not compress, medians of {ROUNDS} rounds:",
        "",
        "| | seconds | ratio | peak memory |",
        "|---|---|---|---|",
        f"| `mariadb-dump \\| zstd`, then `tar \\| zstd`, by hand | {median['plain']} | 1 | |",
        f"| `wp_backup` (the same, with checksums, row counts and a manifest) | {median['backup']} "
        f"| {median['backup'] / median['plain']:.2f} of their time | {peaks['backup']:.0f} MiB |",
        f"| `wp_restore` without a safety set (verify, unpack, load beside the site, compare, exchange, open a page) | {median['restore']} "
        f"| {median['restore'] / median['plain']:.2f} | {peaks['restore']:.0f} MiB |",
    ]
