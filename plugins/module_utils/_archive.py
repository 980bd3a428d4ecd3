# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Trees of files in and out of ``.tar.zst``, with the host's own tar and zstd, and a listing that proves that nothing is missing."""

from __future__ import annotations

import contextlib
import hashlib
import os
import pathlib
import shutil
import signal
import stat
import subprocess
import tempfile
import typing as t
from dataclasses import dataclass

_BLOCK = 1 << 20
# How tar lists a member: the same line when it packs, lists and unpacks it.
_LISTING = ("--verbose", "--verbose", "--full-time", "--numeric-owner", "--quoting-style=escape")
_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
_FILE_CHANGED = 1

# Of each path below a folder: mode, owner, group, bytes, and the nanoseconds of its last change, of the last change of its inode, and the inode.
Tree = dict[str, list[int]]


class ArchiveError(Exception):
    """An archive could not be written or read. The text says which, and what tar or zstd said."""


@dataclass(frozen=True)
class Contents:
    """What an archive holds: number of members, bytes in its files, SHA-256 of its sorted listing."""

    entries: int
    unpacked: int
    listing: str

    def difference(self, wanted: t.Mapping[str, t.Any]) -> str | None:
        """In words, how this differs from what a manifest says; None where it does not."""
        for name, words in (("entries", "members"), ("unpacked", "bytes")):
            if getattr(self, name) != wanted.get(name):
                return f"it holds {getattr(self, name)} {words} where {wanted.get(name)} were packed"
        return None if self.listing == wanted.get("listing") else "its members are not those that were packed"


def need_programs() -> None:
    """Raises ArchiveError where tar or zstd are missing."""
    for name in ("tar", "zstd"):
        if shutil.which(name, path=_ENVIRONMENT["PATH"]) is None:
            raise ArchiveError(f"There is no {name} on this host. Install the package {name} (role docker_host does).")


def pack(
    directory: str | os.PathLike[str],
    members: t.Sequence[str],
    target: pathlib.Path,
    *,
    exclude: t.Iterable[str] = (),
    optional: t.Iterable[str] = (),
    recurse: bool = True,
) -> dict[str, t.Any]:
    """Pack ``members`` of ``directory`` into ``target``; returns its ``sha256`` and its contents.

    ``exclude`` are names below ``directory``, without wildcards; ``optional`` members may be missing. Without ``recurse`` a folder
    is packed without what is in it. A file that changes or goes while it is read is no error: the site is in use. Raises
    ArchiveError; OSError where the disk is full.
    """
    root = pathlib.Path(directory)
    members = [*members, *(name for name in optional if os.path.lexists(root / name))]
    with tempfile.TemporaryDirectory(prefix=".listing-", dir=target.parent) as scratch:
        index = pathlib.Path(scratch) / "listing"
        command = ["tar", "--create", f"--directory={root}", "--sort=name", "--warning=no-file-changed", *_LISTING]
        command += [f"--index-file={index}", "--anchored", "--no-wildcards", *(f"--exclude={name}" for name in exclude)]
        if not recurse:
            command += ["--no-recursion", "--ignore-failed-read"]
        # There may be more of them than an argument list takes.
        names = pathlib.Path(scratch) / "names"
        names.write_bytes(b"".join(os.fsencode(name) + b"\0" for name in members))
        command += ["--null", "--verbatim-files-from", f"--files-from={names}"]
        with _errors() as said, _running(command, stderr=said) as tar:
            # --rsyncable: equal stretches of two sets stay equal when compressed, so restic keeps them once.
            with _running(["zstd", "-q", "-T0", "--rsyncable", "-c"], stdin=tar.stdout, stderr=said) as zstd:
                tar.stdout.close()
                digest = _write(zstd.stdout, target)
                codes = (tar.wait(), zstd.wait())
            if codes[0] not in (0, _FILE_CHANGED) or codes[1]:
                raise ArchiveError(f"{root} could not be packed: {_read(said)}")
        contents = _contents(index)
    return {"sha256": digest, **vars(contents)}


def contents(archive: pathlib.Path) -> Contents:
    """Read an archive to its end and say what it holds. Raises ArchiveError where it is damaged."""
    return _unpack(archive, ["--list"])


def unpack(archive: pathlib.Path, directory: pathlib.Path) -> Contents:
    """Unpack an archive, with owners (where root does it), modes and times, and say what it held. Raises ArchiveError, OSError."""
    command = [
        "--extract",
        f"--directory={directory}",
        "--same-owner" if os.geteuid() == 0 else "--no-same-owner",
        "--same-permissions",
        "--delay-directory-restore",
    ]
    return _unpack(archive, command)


def look(directory: str | os.PathLike[str], exclude: t.Collection[str] = ()) -> Tree:
    """All that is below ``directory`` but for ``exclude``, with what tells whether it has changed."""
    found: Tree = {}
    folders = [""]
    while folders:
        folder = folders.pop()
        with contextlib.suppress(FileNotFoundError), os.scandir(pathlib.Path(directory) / folder) as entries:
            for entry in entries:
                path = f"{folder}{entry.name}"
                if path in exclude:
                    continue
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    size = status.st_size if stat.S_ISREG(status.st_mode) else 0
                    times = [status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
                    found[path] = [status.st_mode, status.st_uid, status.st_gid, size, *times]
                    if entry.is_dir(follow_symlinks=False):
                        folders.append(f"{path}/")
    return found


def unpack_onto(
    archive: pathlib.Path, base: pathlib.Path, directory: pathlib.Path, tree: dict[str, list[int] | None]
) -> Contents:
    """Unpack a difference into ``directory``, which takes all else from ``base`` by hard links: no file of ``base`` is written to.

    ``tree`` is what has to be there then; where it says nothing of a path, that is one that changed while it was read.
    Raises ArchiveError where the result is another, which means that the difference is one to something else.
    """
    done = subprocess.run(  # pylint: disable=ansible-bad-function
        ["cp", "--archive", "--link", "--", f"{base}/.", str(directory)],
        env=_ENVIRONMENT,
        capture_output=True,
        check=False,
    )
    if done.returncode:
        raise ArchiveError(f"{base} could not be copied: {done.stderr.decode('utf-8', 'replace').strip()[-2000:]}")
    for path, about in sorted(look(directory).items(), reverse=True):
        if path not in tree:
            place = directory / path
            place.rmdir() if stat.S_ISDIR(about[0]) else place.unlink()
    held = unpack(archive, directory)
    found = look(directory)
    for path, wanted in sorted(tree.items()):
        if wanted and _lasting(found.get(path)) != _lasting(wanted):
            raise ArchiveError(f"{archive} is a difference to other files than those in {base}, by {path!r}.")
    return held


def _lasting(about: list[int] | None) -> tuple[int, ...] | None:
    """What of an entry of a tree is the same in a copy. A folder's time changes with what is in it, and its mode is that of its place."""
    if about is None:
        return None
    if stat.S_ISDIR(about[0]):
        return (stat.S_IFMT(about[0]),)
    return (*about[:4], about[4] // 10**9)


def hand_over(tree: pathlib.Path, owner: os.stat_result) -> None:
    """Give ``owner`` what belongs to whom ``tree`` itself belongs to. Nothing happens where that is the same. Raises OSError."""
    old = tree.stat()
    if (old.st_uid, old.st_gid) == (owner.st_uid, owner.st_gid):
        return
    for folder, folders, files in os.walk(tree):
        for path in (folder, *(os.path.join(folder, name) for name in (*folders, *files))):  # noqa: PTH118
            own = os.lstat(path)
            uid = owner.st_uid if own.st_uid == old.st_uid else -1
            gid = owner.st_gid if own.st_gid == old.st_gid else -1
            if (uid, gid) != (-1, -1):
                os.chown(path, uid, gid, follow_symlinks=False)


def _unpack(archive: pathlib.Path, mode: list[str]) -> Contents:
    with tempfile.TemporaryDirectory(prefix="dockpress-") as scratch:
        index = pathlib.Path(scratch) / "listing"
        with _errors() as said, _running(["zstd", "-q", "-d", "-c", "--", str(archive)], stderr=said) as zstd:
            command = ["tar", *mode, "--file=-", *_LISTING, f"--index-file={index}"]
            with _running(command, stdin=zstd.stdout, stderr=said) as tar:
                zstd.stdout.close()
                codes = (tar.wait(), zstd.wait())
            if any(codes):
                raise ArchiveError(f"{archive} could not be read: {_read(said)}")
        return _contents(index)


def _contents(index: pathlib.Path) -> Contents:
    """Sorted, because the order of names is no property of the tree; without times, which tar tells differently when it packs."""
    unpacked = 0
    lines = []
    for line in index.read_bytes().splitlines():
        kind, owner, size, _day, _moment, name = line.split(None, 5)
        if kind.startswith(b"-"):
            unpacked += int(size)
        lines.append(b" ".join((kind, owner, size, name)))
    return Contents(len(lines), unpacked, hashlib.sha256(b"\n".join(sorted(lines))).hexdigest())


def _write(source: t.BinaryIO, target: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with target.open("wb") as sink:
        while block := source.read(_BLOCK):
            digest.update(block)
            sink.write(block)
        sink.flush()
        os.fsync(sink.fileno())
    return digest.hexdigest()


def _errors() -> t.Any:
    return tempfile.TemporaryFile()


def _read(said: t.Any) -> str:
    said.seek(0)
    return said.read().decode("utf-8", "replace").strip()[-2000:] or "it said nothing"


@contextlib.contextmanager
def _running(command: list[str], stderr: t.Any, stdin: t.Any = subprocess.DEVNULL) -> t.Iterator[subprocess.Popen]:
    """A process that does not outlive this: also not a SIGKILL of ours, when its pipes break."""
    # Not run_command: that holds all output in memory, and leaves children behind when this process is killed. These end
    # with the pipes (restore_signals: Python ignores SIGPIPE, they must not).
    process = subprocess.Popen(  # pylint: disable=ansible-bad-function
        command, stdin=stdin, stdout=subprocess.PIPE, stderr=stderr, env=_ENVIRONMENT, restore_signals=True
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.stdout.close()
        process.wait()
