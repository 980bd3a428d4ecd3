"""Archives with the real tar and zstd."""

from __future__ import annotations

import os
import socket
import threading

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _archive as archive


@pytest.fixture
def tree(tmp_path):
    root = tmp_path / "web"
    (root / "wp-content/uploads/2026/11").mkdir(parents=True)
    (root / "wp-admin").mkdir()
    (root / "wp-admin/index.php").write_text("core")
    (root / "index.php").write_text("core")
    (root / "wp-content/index.php").write_text("ours")
    (root / "wp-content/uploads/2026/11/a b\nc ü.bin").write_bytes(os.urandom(70000))
    (root / "wp-content/uploads/-rf").write_bytes(b"")
    (root / "wp-content/link").symlink_to("uploads")
    (root / "wp-content/uploads/name\udcff").write_bytes(b"no UTF-8")
    return root


def snapshot(root):
    found = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for name in [*folders, *files]:
            path = os.path.join(folder, name)  # noqa: PTH118 - names that are no text
            status = os.lstat(path)
            content = os.readlink(path) if os.path.islink(path) else None  # noqa: PTH114, PTH115
            if content is None and os.path.isfile(path):  # noqa: PTH113
                with open(path, "rb") as source:  # noqa: PTH123
                    content = source.read()
            found[os.path.relpath(path, os.fsencode(root))] = (status.st_mode, status.st_mtime_ns // 10**9, content)
    return found


def test_what_is_packed_comes_back(tree, tmp_path):
    target = tmp_path / "files.tar.zst"
    packed = archive.pack(tree, ["."], target, exclude=["./wp-admin", "./index.php"])
    listed = archive.contents(target)
    out = tmp_path / "out"
    out.mkdir()
    assert archive.unpack(target, out) == listed
    assert listed.difference(packed) is None
    # Excluded at their place only: wp-content/index.php is ours.
    wanted = {name: value for name, value in snapshot(tree).items() if not name.startswith((b"wp-admin", b"index.php"))}
    assert snapshot(out) == wanted
    assert [entry.name for entry in tmp_path.glob(".listing-*")] == []


def test_a_missing_member_is_seen(tree, tmp_path):
    target = tmp_path / "files.tar.zst"
    packed = archive.pack(tree, ["."], target)
    (tree / "wp-content/uploads/-rf").unlink()
    archive.pack(tree, ["."], target)
    assert "members" in archive.contents(target).difference(packed)


@pytest.mark.parametrize("keep", [0, 10, 5000, -1])
def test_a_cut_archive_is_seen(tree, tmp_path, keep):
    target = tmp_path / "files.tar.zst"
    archive.pack(tree, ["."], target)
    target.write_bytes(target.read_bytes()[:keep])
    with pytest.raises(archive.ArchiveError):
        archive.contents(target)


def test_a_member_that_is_not_there(tree, tmp_path):
    with pytest.raises(archive.ArchiveError, match="nothing-here"):
        archive.pack(tree, ["nothing-here"], tmp_path / "x.tar.zst")
    archive.pack(tree, ["wp-content"], tmp_path / "x.tar.zst", optional=["nothing-here"])


def test_a_full_disk_is_an_error(tree):
    with pytest.raises(OSError, match="No space left"):
        # Every write to it says so.
        archive._write((tree / "index.php").open("rb"), __import__("pathlib").Path("/dev/full"))


def difference(tree, known, target):
    """What a backup that is a difference does."""
    now = archive.look(tree)
    changed = [path for path, about in now.items() if known.get(path) != about]
    return changed, now, archive.pack(tree, changed, target, recurse=False)


def test_a_difference_makes_one_tree_of_another(tree, tmp_path):
    uploads = tree / "wp-content/uploads"
    for name in ("same", "written", "touched", "goes", "to folder"):
        (uploads / name).write_bytes(name.encode() * 1000)
    (uploads / "to file/deep").mkdir(parents=True)
    (uploads / "to file/deep/x").write_bytes(b"x")
    os.link(uploads / "same", uploads / "second name")
    first = tmp_path / "first.tar.zst"
    archive.pack(tree, ["."], first)
    base = tmp_path / "base"
    base.mkdir()
    archive.unpack(first, base)
    known = archive.look(tree)

    # Same size and same time: only the inode's own time tells.
    status = (uploads / "written").stat()
    (uploads / "written").write_bytes(b"W" * status.st_size)
    os.utime(uploads / "written", ns=(status.st_atime_ns, status.st_mtime_ns))
    (uploads / "touched").chmod(0o600)
    (uploads / "goes").unlink()
    (uploads / "to folder").unlink()
    (uploads / "to folder").mkdir()
    (uploads / "to folder/in it").write_bytes(b"new")
    (uploads / "to file/deep/x").unlink()
    (uploads / "to file/deep").rmdir()
    (uploads / "to file").rmdir()
    (uploads / "to file").write_bytes(b"file")
    (uploads / "-new\n\udcfe").write_bytes(b"odd")
    os.mkfifo(uploads / "pipe")

    # What came and went while the first archive was made is in it, and has to go.
    (base / "wp-content/uploads/for a moment").write_bytes(b"")
    second = tmp_path / "second.tar.zst"
    changed, now, packed = difference(tree, known, second)
    assert "wp-content/uploads/same" not in changed
    out = tmp_path / "out"
    out.mkdir()
    before = snapshot(base)
    held = archive.unpack_onto(second, base, out, now)
    assert held.difference(packed) is None
    assert snapshot(out) == snapshot(tree)
    assert snapshot(base) == before


def test_a_difference_to_something_else_is_refused(tree, tmp_path):
    base = tmp_path / "base"
    archive.pack(tree, ["."], tmp_path / "first.tar.zst")
    base.mkdir()
    archive.unpack(tmp_path / "first.tar.zst", base)
    known = archive.look(tree)
    second = tmp_path / "second.tar.zst"
    _changed, now, _packed = difference(tree, known, second)
    (base / "wp-content/index.php").write_text("other, and longer")
    out = tmp_path / "out"
    out.mkdir()
    with pytest.raises(archive.ArchiveError, match=r"other files than those in .* by 'wp-content/index.php'"):
        archive.unpack_onto(second, base, out, now)


def test_odd_files_come_back_as_they_were(tmp_path):
    root = tmp_path / "web"
    deep = root
    for _level in range(6):
        deep /= "d" * 200
    deep.mkdir(parents=True)
    (deep / ("f" * 255)).write_bytes(b"long")
    for name in (
        " leading",
        "trailing ",
        "a -> b",
        "back\\slash",
        "\\101",
        "new\nline",
        "tab\there",
        "-n",
        "--help",
        "[x]*",
        "\udce9",
    ):
        (root / name).write_bytes(name.encode("utf-8", "surrogateescape"))
    (root / "a -> link").symlink_to("no such -> place\n")
    os.link(root / "-n", root / "hard link to something")
    os.mkfifo(root / "pipe")
    with (root / "sparse").open("wb") as sparse:
        sparse.truncate(5_000_000)
    (root / "setuid").write_bytes(b"")
    (root / "setuid").chmod(0o4755)
    (root / "closed").mkdir(mode=0o000)
    os.utime(root / "sparse", (-1000.5, -1000.5))
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(root)  # the name of a socket may not be long
        listener.bind("socket")
        packed = archive.pack(root, ["."], tmp_path / "files.tar.zst")
    # A socket is nothing without its listener.
    (root / "socket").unlink()
    out = tmp_path / "out"
    out.mkdir()
    assert archive.unpack(tmp_path / "files.tar.zst", out).difference(packed) is None
    assert snapshot(out) == snapshot(root)
    assert (out / "-n").stat().st_ino == (out / "hard link to something").stat().st_ino
    assert (out / "sparse").stat().st_size == 5_000_000


def test_a_site_in_use_can_be_packed(tmp_path):
    """Files that grow, shrink, come and go while they are read."""
    root = tmp_path / "web"
    root.mkdir()
    for number in range(400):
        (root / f"file {number}").write_bytes(os.urandom(20000))
    stop = threading.Event()

    def disturb():
        number = 0
        while not stop.is_set():
            number += 1
            name = root / f"file {number % 400}"
            name.unlink(missing_ok=True)
            (root / f"new {number}").write_bytes(b"x" * (number % 5000))
            name.write_bytes(os.urandom(number % 40000))
            with (root / f"file {number * 7 % 400}").open("ab") as grows:
                grows.write(b"more")

    busy = threading.Thread(target=disturb)
    busy.start()
    try:
        for round_ in range(5):
            target = tmp_path / f"{round_}.tar.zst"
            packed = archive.pack(root, ["."], target)
            out = tmp_path / f"out {round_}"
            out.mkdir()
            assert archive.unpack(target, out).difference(packed) is None
    finally:
        stop.set()
        busy.join()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
def test_what_belongs_to_the_owner_of_a_tree_gets_another(tree, tmp_path):
    os.chown(tree, 33, 33)
    for folder, folders, files in os.walk(os.fsencode(tree)):
        for name in [*folders, *files]:
            os.chown(os.path.join(folder, name), 33, 33, follow_symlinks=False)  # noqa: PTH118
    os.chown(tree / "wp-content/index.php", 0, 33)
    new = tmp_path / "new"
    new.mkdir()
    os.chown(new, 12345, 12346)
    before = snapshot(tree)
    archive.hand_over(tree, new.stat())
    assert snapshot(tree) == before
    owners = {
        os.lstat(os.path.join(folder, name))[4:6]  # noqa: PTH118
        for folder, folders, files in os.walk(os.fsencode(tree))
        for name in [*folders, *files]
    }
    assert owners == {(12345, 12346), (0, 12346)}
