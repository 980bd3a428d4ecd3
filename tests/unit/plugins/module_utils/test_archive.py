"""Archives with the real tar and zstd."""

from __future__ import annotations

import os

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
            found[os.path.relpath(path, os.fsencode(root))] = (status.st_mode, int(status.st_mtime), content)
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
