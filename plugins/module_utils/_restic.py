# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Copies of sets in restic repositories: one short-lived container a command, secrets as files."""

from __future__ import annotations

import contextlib
import json
import pathlib
import typing as t

from ansible_collections.dockpress.hosting.plugins.module_utils import _backup_set

with contextlib.suppress(ImportError):
    import docker.errors

REPOSITORY = {
    "name": {"type": "str", "required": True},
    "directory": {"type": "path", "required": True},
    "network": {"type": "str", "default": "bridge"},
    "volume": {"type": "path"},
}
REPOSITORIES = {"type": "list", "elements": "dict", "default": [], "options": REPOSITORY}
IMAGE = {"type": "str", "default": "restic/restic"}

_TAG = "dockpress"
_SETS = "/sets"
_OUT = "/out"
_NO_REPOSITORY = 10
# Sites share repositories, and pruning locks all others out.
_WAIT = ("--retry-lock", "30m")
# Nothing secret stands in the container's environment or command, where `docker inspect` would show it.
_START = """
set -eu
export RESTIC_REPOSITORY_FILE=/run/restic/repository RESTIC_PASSWORD_FILE=/run/restic/password
if [ -f /run/restic/environment ]; then set -a; . /run/restic/environment; set +a; fi
if [ -f /run/restic/ca.crt ]; then export RESTIC_CACERT=/run/restic/ca.crt; fi
exec restic "$@"
"""


class ResticError(Exception):
    """restic failed. The text says what it said."""


class Repository:
    """One restic repository, reached from this host."""

    def __init__(self, client: t.Any, image: str, about: dict[str, t.Any]) -> None:
        """``about`` is one of the ``repositories`` of wp_backup."""
        self.client = client
        self.image = image
        self.name: str = about["name"]
        self.directory = pathlib.Path(about["directory"])
        self.network: str = about["network"]
        self.volume: str | None = about["volume"]
        for needed in ("repository", "password"):
            if not (self.directory / needed).is_file():
                raise ResticError(f"Repository {self.name}: {self.directory / needed} is missing.")

    def run(self, *arguments: str, mounts: dict[str, dict[str, str]] | None = None) -> tuple[int, str, str]:
        """Run restic; returns its exit code, standard output and standard error. Raises ResticError where it cannot start."""
        volumes = {str(self.directory): {"bind": "/run/restic", "mode": "ro"}, **(mounts or {})}
        cache = pathlib.Path("/var/cache/dockpress/restic")
        cache.mkdir(parents=True, exist_ok=True, mode=0o700)
        volumes[str(cache)] = {"bind": "/cache", "mode": "rw"}
        if self.volume:
            volumes[self.volume] = {"bind": self.volume, "mode": "rw"}
        try:
            self._need_image()
            container = self.client.containers.create(
                self.image,
                entrypoint=["sh", "-c", _START, "restic"],
                command=["--cache-dir", "/cache", *arguments],
                volumes=volumes,
                network=self.network,
                read_only=True,
                tmpfs={"/tmp": "mode=1777"},
                cap_drop=["ALL"],
                # It runs as root, to read sets that are root's, but without root's other rights.
                cap_add=["DAC_OVERRIDE", "CHOWN", "FOWNER"],
                security_opt=["no-new-privileges:true"],
                user="0:0",
                labels={"hosting.dockpress.oneshot": "restic"},
            )
        except docker.errors.APIError as error:
            raise ResticError(
                f"Docker cannot create a container of {self.image}: {error.explanation or error}"
            ) from error
        try:
            container.start()
            code = container.wait()["StatusCode"]
            return code, _text(container.logs(stderr=False)), _text(container.logs(stdout=False))
        except docker.errors.APIError as error:
            raise ResticError(f"Docker cannot run restic: {error.explanation or error}") from error
        finally:
            with contextlib.suppress(docker.errors.APIError):
                container.remove(force=True, v=True)

    def _need_image(self) -> None:
        try:
            self.client.images.get(self.image)
        except docker.errors.ImageNotFound:
            name, _colon, tag = (
                self.image.rpartition(":") if ":" in self.image.split("/")[-1] else (self.image, "", "latest")
            )
            self.client.images.pull(name, tag=tag)

    def _must(self, *arguments: str, **options: t.Any) -> str:
        code, out, said = self.run(*arguments, **options)
        if code:
            tail = (said or out).strip()[-1500:]
            raise ResticError(f"Repository {self.name}: restic {arguments[0]} ended with {code}: {tail}")
        return out

    def push(self, found: _backup_set.BackupSet) -> str:
        """Copy a set; makes the repository if there is none. Returns the snapshot's id. Needs no right to delete."""
        code, _out, said = self.run("cat", "config", "--no-lock")
        if code == _NO_REPOSITORY:
            code, _out, said = self.run("init")
            # Another site may have made it in the meantime.
            if code and self.run("cat", "config", "--no-lock")[0] == 0:
                code = 0
        if code:
            raise ResticError(f"Repository {self.name} cannot be opened: {said.strip()[-1500:]}")
        site = found.manifest["site"]
        inside = f"{_SETS}/{site}/{found.stamp}"
        out = self._must(
            *("backup", *_WAIT, "--json", "--quiet", "--host", site, "--tag", f"{_TAG},{found.stamp}"),
            *("--time", found.taken.strftime("%Y-%m-%d %H:%M:%S"), inside),
            mounts={str(found.path): {"bind": inside, "mode": "ro"}},
        )
        summary = json.loads(out.strip().splitlines()[-1])
        return summary["snapshot_id"]

    def snapshots(self, site: str) -> dict[str, str]:
        """Stamp of each set of a site that lies here, with its snapshot's id; oldest first."""
        found = json.loads(self._must("snapshots", "--json", "--no-lock", "--host", site, "--tag", _TAG))
        stamps = {tag: one["id"] for one in found for tag in one["tags"] if _backup_set.is_stamp(tag)}
        return dict(sorted(stamps.items()))

    def forget(self, identifiers: t.Sequence[str]) -> None:
        """Remove snapshots and what only they held. Needs the right to delete."""
        # What a killed run left would lock us out for good; of locks this removes only those that nobody has renewed for half an hour.
        self._must("unlock")
        self._must("forget", *_WAIT, "--prune", *identifiers)

    def fetch(self, root: pathlib.Path, site: str, wanted: str = "latest") -> _backup_set.BackupSet:
        """Bring a set here, unless it is here, and return it. ``latest`` means the newest in the repository."""
        stamps = self.snapshots(site)
        if not stamps:
            raise ResticError(f"Repository {self.name} holds no set of {site}.")
        stamp = max(stamps) if wanted == "latest" else wanted
        if stamp not in stamps:
            raise ResticError(f"Repository {self.name} holds no set {stamp} of {site}. It has {', '.join(stamps)}.")
        folder = _backup_set.site_folder(root, site)
        with contextlib.suppress(_backup_set.SetError):
            return _backup_set.read(folder / stamp, site)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        incoming = _backup_set.NewSet(root, site, _backup_set.parse_stamp(stamp))
        with incoming:
            self._must(
                *("restore", f"{stamps[stamp]}:{_SETS}/{site}/{stamp}", "--target", _OUT, "--no-lock"),
                mounts={str(incoming.path): {"bind": _OUT, "mode": "rw"}},
            )
            return incoming.adopt()


def _text(output: bytes) -> str:
    return output.decode("utf-8", "replace")
