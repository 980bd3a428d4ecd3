# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Exchange one tree of files for another by renames that can be undone, whenever the process ends.

Three folders on one file system: ``live`` (in use), ``staged`` (what is to be there), ``saved`` (what was there). The plan is
made first and kept by the caller; from the plan and from where things lie now follows what is done and what is not.
"""

from __future__ import annotations

import os
import pathlib
import typing as t

Step = dict[str, t.Any]


def plan(
    live: pathlib.Path, staged: pathlib.Path, keep: t.Collection[str] = (), mounts: t.Collection[str] = ()
) -> list[Step]:
    """The steps that make ``live`` equal to ``staged``.

    ``keep`` are names (relative) that stay as they are. ``mounts`` are folders that containers have mounted by themselves: a
    renamed folder would stay in these containers, so they stay and their contents are exchanged.
    """
    steps: list[Step] = []

    def walk(folder: str) -> None:
        names = {
            entry.name for tree in (live, staged) if (tree / folder).is_dir() for entry in (tree / folder).iterdir()
        }
        for name in sorted(names):
            path = os.path.join(folder, name) if folder else name  # noqa: PTH118
            if path in keep:
                continue
            if any(mount == path or mount.startswith(path + "/") for mount in mounts) and (live / path).is_dir():
                walk(path)
            else:
                steps.append(
                    {"path": path, "had": os.path.lexists(live / path), "gets": os.path.lexists(staged / path)}
                )

    walk("")
    return [step for step in steps if step["had"] or step["gets"]]


def forward(steps: t.Iterable[Step], live: pathlib.Path, staged: pathlib.Path, saved: pathlib.Path) -> None:
    """Take all steps that are not taken yet. Raises OSError."""
    for step in steps:
        path = step["path"]
        if step["had"] and not os.path.lexists(saved / path):
            _move(live / path, saved / path)
        if step["gets"] and os.path.lexists(staged / path):
            _move(staged / path, live / path)


def back(steps: t.Sequence[Step], live: pathlib.Path, staged: pathlib.Path, saved: pathlib.Path) -> None:
    """Undo all steps that are taken. Raises OSError."""
    for step in reversed(steps):
        path = step["path"]
        if step["gets"] and not os.path.lexists(staged / path):
            _move(live / path, staged / path)
        if step["had"] and os.path.lexists(saved / path):
            _move(saved / path, live / path)


def _move(source: pathlib.Path, target: pathlib.Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    source.rename(target)
