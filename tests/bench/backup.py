"""A set of a large site, beside the plain tools, and its restore.

    python tests/bench/backup.py --stack STACK --directory /srv/dockpress/STACK [--megabytes 500] [--uploads 1024] [--rounds 3]

Runs on a Docker host with a stack of role wordpress that may be filled and thrown away. Prints one JSON object: medians in seconds,
peak memory (RSS) of the process that makes the set in MiB.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
ENVIRONMENT = os.environ | {"PYTHONPATH": str(ROOT / ".cache/collections")}
SPEC = """
import resource, sys, time
from ansible_collections.dockpress.hosting.plugins.module_utils import _backup_set
from ansible_collections.dockpress.hosting.plugins.module_utils._site_backup import Site
from ansible_collections.dockpress.hosting.plugins.module_utils._site_restore import restore
stack, directory, root, what = sys.argv[1:]
site = Site({"site": stack, "directory": directory, "root": root, "container": f"{stack}-cron-1", "fpm_container": f"{stack}-wordpress-1",
             "database_container": f"{stack}-database-1", "image": "", "path": "/var/www/html", "url": None, "user": None,
             "docker_host": "unix:///var/run/docker.sock", "timeout": 300, "dump_timeout": 3600, "lock_timeout": 10})
start = time.monotonic()
with site.lock("bench"):
    site.recover()
    if what == "backup":
        site.take_set()
    else:
        restore(site, _backup_set.find(root, stack), safety=False)
print(time.monotonic() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
"""


def database(stack: str, sql: str) -> None:
    client = "MYSQL_PWD=$(cat /run/secrets/db_root_password) mariadb -uroot wordpress"
    subprocess.run(
        ["docker", "exec", "-i", f"{stack}-database-1", "sh", "-c", client], input=sql, text=True, check=True
    )


def fill(stack: str, directory: pathlib.Path, megabytes: int, uploads: int) -> None:
    rows = megabytes * 1024 // 2
    database(
        stack,
        "CREATE OR REPLACE TABLE wp_bench (id INT PRIMARY KEY, content TEXT);"
        f"INSERT INTO wp_bench SELECT seq, CONCAT(REPEAT('lorem ipsum dolor ', 50), TO_BASE64(RANDOM_BYTES(800))) FROM seq_1_to_{rows};",
    )
    folder = directory / "web/wp-content/uploads/bench"
    folder.mkdir(exist_ok=True)
    for number in range(uploads // 2):
        (folder / f"picture-{number}.jpg").write_bytes(os.urandom(2 << 20))


def plain(stack: str, directory: str, target: str) -> float:
    """What an operator would type."""
    dump = (
        f"docker exec {stack}-database-1 sh -c 'MYSQL_PWD=$(cat /run/secrets/db_root_password) "
        "mariadb-dump -uroot --single-transaction --quick wordpress'"
    )
    start = time.monotonic()
    command = f"set -o pipefail; {dump} | zstd -q -o {target}/db.zst && "
    command += f"tar -C {directory}/web -c wp-content | zstd -q -o {target}/files.zst && sync -f {target}"
    subprocess.run(["bash", "-c", command], check=True)
    return time.monotonic() - start


def ours(stack: str, directory: str, root: str, what: str) -> tuple[float, float]:
    done = subprocess.run(
        [sys.executable, "-c", SPEC, stack, directory, root, what],
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
    )
    seconds, memory = done.stdout.split()
    return float(seconds), float(memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stack", required=True)
    parser.add_argument("--directory", required=True)
    parser.add_argument("--megabytes", type=int, default=500)
    parser.add_argument("--uploads", type=int, default=1024, help="MiB of uploads")
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    stack, directory = arguments.stack, arguments.directory
    fill(stack, pathlib.Path(directory), arguments.megabytes, arguments.uploads)
    times: dict[str, list[float]] = {"plain": [], "backup": [], "restore": []}
    memory: list[float] = []
    with tempfile.TemporaryDirectory(dir=pathlib.Path(directory).parent) as scratch:
        for _round in range(arguments.rounds):
            target = pathlib.Path(scratch) / "plain"
            target.mkdir()
            times["plain"].append(plain(stack, directory, str(target)))
            shutil.rmtree(target)
            for what in ("backup", "restore"):
                seconds, peak = ours(stack, directory, f"{scratch}/sets", what)
                times[what].append(seconds)
                memory.append(peak)
            shutil.rmtree(f"{scratch}/sets")
    medians = {name: round(statistics.median(values), 1) for name, values in times.items()}
    print(
        json.dumps({**medians, "ratio": round(medians["backup"] / medians["plain"], 2), "peak_mib": round(max(memory))})
    )


if __name__ == "__main__":
    main()
