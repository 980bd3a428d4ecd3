# Copyright: dockpress contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The lock of a site: whoever changes the site as a whole holds it from beginning to end."""

from __future__ import annotations

import fcntl
import json
import os
import time
from contextlib import contextmanager
from pathlib import Path

FOLDER = "/run/lock/dockpress"


class LockError(Exception):
    """The lock is held by someone else; the text says by whom."""


def lock_path(site):
    """The lock file of a site (its inventory name)."""
    return f"{FOLDER}/{site}.lock"


def container_lock(attrs):
    """The lock file that belongs to a container.

    :param attrs: what the engine says about the container (``docker inspect``).
    :return: the file that the label ``dockpress.lock`` names; without it, that of the site of the label ``dockpress.site``, else of its
        Compose project, else of the container itself.
    """
    labels = (attrs.get("Config") or {}).get("Labels") or {}
    name = attrs.get("Name", "").lstrip("/")
    return labels.get("dockpress.lock") or lock_path(
        labels.get("dockpress.site") or labels.get("com.docker.compose.project") or name
    )


def lock_beside(client, *names):
    """The lock file of the site that containers belong to.

    :param client: the Docker client.
    :param names: names of containers of the site, the first that is there counts; None is passed over.
    :return: what :func:`container_lock` says of the service ``database`` of their Compose project, which the modules for whole databases lock,
        too; without one, of the container itself.
    """

    def found(filters):
        return [
            {"Name": one["Names"][0], "Config": {"Labels": one["Labels"]}}
            for one in client.api.containers(all=True, filters=filters)
        ]

    names = [name for name in names if name]
    beside = next(filter(None, (found({"name": f"^/{name}$"}) for name in names)), [{"Name": names[0]}])
    project = (beside[0].get("Config", {}).get("Labels") or {}).get("com.docker.compose.project")
    labels = [f"com.docker.compose.project={project}", "com.docker.compose.service=database"]
    database = found({"label": labels}) if project else []
    return container_lock((database or beside)[0])


@contextmanager
def site_lock(path, timeout, holder, since=0.0):
    """Hold the lock file ``path``; waits up to ``timeout`` seconds for it.

    Gives True where somebody else may have held it after ``since`` (``time.time()``): what was read of the site then may be out of date.

    The lock is the kernel's (flock), so it goes away with the process. What stands in the file is only for people.

    :param holder: who holds it, in words ("wp_db_import of blog.example.com").
    :raise LockError: somebody else still holds it after ``timeout`` seconds.
    """
    file = Path(path)
    file.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
    try:
        disturbed = _acquire(descriptor, path, timeout) or os.fstat(descriptor).st_mtime >= since
        note = {"holder": holder, "pid": os.getpid(), "since": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())}
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, (json.dumps(note) + "\n").encode(), 0)
        try:
            yield disturbed
        finally:
            os.ftruncate(descriptor, 0)
    finally:
        os.close(descriptor)


def _acquire(descriptor, path, timeout):
    """True when it had to wait."""
    deadline = time.monotonic() + timeout
    waited = False
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                after = f" after waiting {timeout} s" if timeout else ""
                raise LockError(f"The lock {path} is held by {_holder(descriptor)}{after}.") from None
            waited = True
            time.sleep(0.2)
        else:
            return waited


def _holder(descriptor):
    try:
        note = json.loads(os.pread(descriptor, 4096, 0))
        return f"{note['holder']} (process {note['pid']}, since {note['since']})"
    except (ValueError, KeyError, TypeError):
        return "a process that did not say who it is"
