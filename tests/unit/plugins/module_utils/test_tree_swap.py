"""Exchanging trees, with an end at every point."""

from __future__ import annotations

import contextlib
import pathlib
import tempfile

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _tree_swap as tree_swap
from hypothesis import given, settings
from hypothesis import strategies as st

NAMES = ["a", "b", "uploads"]


def write(root, tree):
    root.mkdir(parents=True, exist_ok=True)
    for name, value in tree.items():
        if isinstance(value, dict):
            write(root / name, value)
        else:
            (root / name).write_text(value)


def read(root):
    return {entry.name: read(entry) if entry.is_dir() else entry.read_text() for entry in root.iterdir()}


trees = st.recursive(
    st.text("xyz", max_size=2),
    lambda inner: st.dictionaries(st.sampled_from(NAMES), inner, max_size=3),
    max_leaves=8,
).filter(lambda tree: isinstance(tree, dict))


class Killed(BaseException):
    pass


@given(trees, trees, st.booleans(), st.data())
@settings(max_examples=150, deadline=None)
def test_ended_anywhere_it_goes_on_or_back(before, wanted, goes_on, data):
    with tempfile.TemporaryDirectory() as folder:
        live, staged, saved = (pathlib.Path(folder) / name for name in ("live", "staged", "saved"))
        # Where both have the folder, "a/uploads" is a mount.
        mounts = (
            ["a/uploads"] if isinstance(before.get("a"), dict) and isinstance(before["a"].get("uploads"), dict) else []
        )
        if mounts:
            wanted = {**wanted, "a": {"uploads": {}, **(wanted["a"] if isinstance(wanted.get("a"), dict) else {})}}
            if not isinstance(wanted["a"]["uploads"], dict):
                wanted["a"]["uploads"] = {}
        write(live, before)
        write(staged, wanted)
        mounted = [(live / mount).stat().st_ino for mount in mounts]
        steps = tree_swap.plan(live, staged, mounts=mounts)
        left = data.draw(st.integers(0, 2 * len(steps)))
        move = tree_swap._move

        def move_or_die(source, target):
            nonlocal left
            if left == 0:
                raise Killed
            left -= 1
            move(source, target)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(tree_swap, "_move", move_or_die)
            with contextlib.suppress(Killed):
                tree_swap.forward(steps, live, staged, saved)
        if goes_on:
            tree_swap.forward(steps, live, staged, saved)
            assert read(live) == wanted
            tree_swap.forward(steps, live, staged, saved)
            assert read(live) == wanted
        tree_swap.back(steps, live, staged, saved)
        assert read(live) == before
        tree_swap.back(steps, live, staged, saved)
        assert read(live) == before
        assert [(live / mount).stat().st_ino for mount in mounts] == mounted


def test_what_is_kept_stays(tmp_path):
    live, staged, saved = tmp_path / "live", tmp_path / "staged", tmp_path / "saved"
    write(live, {"wp-admin": {"core": "1"}, "wp-content": {"cache": {"x": "1"}, "plugins": {"old": "1"}}, "x": "1"})
    write(staged, {"wp-content": {"plugins": {"new": "2"}}})
    steps = tree_swap.plan(live, staged, keep=["wp-admin", "wp-content/cache"], mounts=["wp-content/cache"])
    tree_swap.forward(steps, live, staged, saved)
    assert read(live) == {"wp-admin": {"core": "1"}, "wp-content": {"cache": {"x": "1"}, "plugins": {"new": "2"}}}
    assert read(saved) == {"wp-content": {"plugins": {"old": "1"}}, "x": "1"}
