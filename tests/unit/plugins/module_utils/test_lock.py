# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
from __future__ import annotations

import subprocess
import sys
import time
from threading import Timer
from types import SimpleNamespace

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import (
    LockError,
    container_lock,
    lock_beside,
    site_lock,
)

HOLD = """
import sys, time
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import site_lock
with site_lock(sys.argv[1], 0, "a backup of blog"):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    path = tmp_path / "locks" / "blog.lock"
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"held\n"
    yield str(path), process
    process.kill()
    process.wait()


def test_says_who_holds_it(holder):
    path, process = holder
    start = time.monotonic()
    with (
        pytest.raises(LockError, match=rf"held by a backup of blog \(process {process.pid}, since "),
        site_lock(path, 0, "me"),
    ):
        pass
    assert time.monotonic() - start < 1


def test_waits_for_its_turn(holder):
    path, process = holder
    with pytest.raises(LockError, match=r"after waiting 0\.5 s"), site_lock(path, 0.5, "me"):
        pass
    process.kill()
    with site_lock(path, 5, "me"):
        pass


def test_tells_whether_somebody_else_had_it(holder, tmp_path):
    path, process = holder
    with site_lock(str(tmp_path / "own.lock"), 0, "me"):
        pass
    with site_lock(str(tmp_path / "own.lock"), 0, "me", since=time.time() + 1) as disturbed:
        assert not disturbed
    # One that had it, and let go of it, since the site was read.
    with site_lock(str(tmp_path / "own.lock"), 0, "me", since=time.time() - 60) as disturbed:
        assert disturbed
    # One that was waited for, though it was killed and left the file as it was.
    Timer(0.5, process.kill).start()
    with site_lock(path, 5, "me", since=time.time() + 60) as disturbed:
        assert disturbed


def test_is_free_again_after_an_error(tmp_path):
    path = str(tmp_path / "a.lock")
    with pytest.raises(ValueError, match="boom"), site_lock(path, 0, "one"):
        raise ValueError("boom")
    with site_lock(path, 0, "two"):
        assert '"two"' in (tmp_path / "a.lock").read_text()
    assert (tmp_path / "a.lock").read_text() == ""


def test_a_stranger_with_flock(tmp_path):
    path = tmp_path / "a.lock"
    stranger = subprocess.Popen(["flock", str(path), "sh", "-c", "echo held; exec sleep 60"], stdout=subprocess.PIPE)
    assert stranger.stdout.readline() == b"held\n"
    try:
        with pytest.raises(LockError, match="did not say who it is"), site_lock(str(path), 0, "me"):
            pass
    finally:
        stranger.kill()
        stranger.wait()


@pytest.mark.parametrize(
    ("labels", "path"),
    [
        (
            {"dockpress.site": "dev.dev", "dockpress.lock": "/home/me/dev/.dev/lock/dev.dev.lock"},
            "/home/me/dev/.dev/lock/dev.dev.lock",
        ),
        (
            {"dockpress.site": "blog.example.com", "com.docker.compose.project": "blog-example-com"},
            "/run/lock/dockpress/blog.example.com.lock",
        ),
        ({"com.docker.compose.project": "blog"}, "/run/lock/dockpress/blog.lock"),
        (None, "/run/lock/dockpress/db.lock"),
    ],
)
def test_lock_of_a_container(labels, path):
    assert container_lock({"Name": "/db", "Config": {"Labels": labels}}) == path


def engine(*containers):
    """A client whose engine has these containers: name, labels."""

    def listed(filters, **_options):
        name = filters.get("name", "")
        labels = [label.split("=", 1) for label in filters.get("label", [])]
        return [
            {"Names": [f"/{one}"], "Labels": has}
            for one, has in containers
            if (not name or name == f"^/{one}$") and all((has or {}).get(key) == value for key, value in labels)
        ]

    return SimpleNamespace(api=SimpleNamespace(containers=listed))


PROJECT = {"com.docker.compose.project": "blog"}
DATABASE = PROJECT | {"com.docker.compose.service": "database", "dockpress.site": "blog.example.com"}


@pytest.mark.parametrize(
    ("containers", "name"),
    [
        ([("blog-cron-1", PROJECT), ("blog-database-1", DATABASE)], "blog.example.com"),
        ([("blog-php-1", PROJECT), ("blog-database-1", DATABASE)], "blog.example.com"),
        ([("blog-cron-1", PROJECT)], "blog"),
        ([("blog-cron-1", None), ("blog-database-1", DATABASE)], "blog-cron-1"),
        ([], "blog-cron-1"),
    ],
)
def test_lock_of_the_site_that_a_container_belongs_to(containers, name):
    assert lock_beside(engine(*containers), "blog-cron-1", "blog-php-1") == f"/run/lock/dockpress/{name}.lock"
