# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Zips and folders on the control node, brought to the managed host when a module needs them and not before."""

from __future__ import annotations

import copy
import pathlib
import tempfile
import typing as t
import zipfile

from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_source import (
    Source,
    SourceError,
    files,
    is_url,
    sha256,
)


class CarryAction(ActionBase):
    """Runs the module; where that answers that it needs a source, sends it and runs the module again.

    What is in a source is read here, so that a run that changes nothing sends nothing.
    """

    _supports_check_mode = True
    _supports_async = False
    module = ""

    def sources(self, args: dict[str, t.Any]) -> t.Iterator[tuple[str, dict[str, t.Any]]]:
        """Yield (kind, the dict that has ``source``) for every source that is declared."""
        raise NotImplementedError

    def run(self, tmp: str | None = None, task_vars: dict[str, t.Any] | None = None) -> dict[str, t.Any]:
        super().run(tmp, task_vars)
        args = copy.deepcopy(self._task.args)
        local: dict[str, pathlib.Path] = {}
        carried: dict[str, dict[str, t.Any]] = {}
        for kind, entry in self.sources(args):
            where = entry.get("source")
            remote = entry.get("remote_src", False)
            if not where or where == "image" or is_url(where) or remote in (True, "true", "yes", "True", 1, "1", "on"):
                continue
            try:
                path = pathlib.Path(self._find_needle("files", where))
                if entry.get("sha256") and path.is_file() and sha256(str(path)) != str(entry["sha256"]).lower():
                    raise AnsibleActionFail(f"{where} has another sha256 than declared: {sha256(str(path))}")
                about = Source(str(path), kind).describe()
            except SourceError as error:
                raise AnsibleActionFail(str(error)) from error
            except AnsibleError as error:
                raise AnsibleActionFail(
                    f"source {where} is not on the control node: {error}. Is it on the host? Say remote_src: true."
                ) from error
            local[f"{kind}:{where}"] = path
            carried[f"{kind}:{where}"] = {"about": about}

        answers: list[dict[str, t.Any]] = []
        try:
            while True:
                answer = self._execute_module(
                    module_name=f"dockpress.hosting.{self.module}",
                    module_args=args | {"_carried": carried},
                    task_vars=task_vars,
                )
                answers.append(answer)
                wanted = answer.pop("_dockpress_carry", None)
                if not wanted or answer.get("failed"):
                    return merged(answers)
                left = [key for key in local if "path" not in carried[key]]
                if not left:
                    problem = f"asks for sources that were sent already: {', '.join(wanted)}"
                    return merged([*answers[:-1], answer | {"failed": True, "msg": f"{self.module} {problem}"}])
                # Ansible masks secrets in answers: where one is a part of a path, what is asked for cannot be told, and all is sent.
                for key in [key for key in left if key.split(":", 1)[1] in wanted] or left:
                    carried[key]["path"] = self._send(local[key], len(answers))
        finally:
            self._remove_tmp_path(self._connection._shell.tmpdir)

    def _send(self, path: pathlib.Path, number: int) -> str:
        """Put it into the task's temporary folder on the host, under its own name, and return where that is."""
        shell = self._connection._shell
        if not shell.tmpdir:
            self._make_tmp_path()
        folder = shell.join_path(shell.tmpdir, f"source-{number}-{abs(hash(str(path)))}")
        self._low_level_execute_command(f"mkdir -p {shell.quote(folder)}", sudoable=True)
        if path.is_file():
            remote = shell.join_path(folder, path.name)
            self._transfer_file(str(path), remote)
        else:
            remote = shell.join_path(folder, f"{path.name}.zip")
            with tempfile.NamedTemporaryFile(suffix=".zip") as packed:
                with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
                    for entry in files(path):
                        archive.write(entry, f"{path.name}/{entry.relative_to(path).as_posix()}")
                packed.flush()
                self._transfer_file(packed.name, remote)
        self._fixup_perms2((shell.tmpdir, folder, remote), execute=False)
        return remote


def merged(answers: list[dict[str, t.Any]]) -> dict[str, t.Any]:
    """One answer out of those of several runs of the module: the last, with what the ones before it changed."""
    last = answers[-1]
    for earlier in reversed(answers[:-1]):
        last["changed"] = last.get("changed", False) or earlier.get("changed", False)
        key = "done" if last.get("failed") else "changes"
        last[key] = [*earlier.get("changes", []), *last.get(key, [])]
        last["processes"] = last.get("processes", 0) + earlier.get("processes", 0)
        before, after = earlier.get("diff", {}).get("before", {}), earlier.get("diff", {}).get("after", {})
        diff = last.setdefault("diff", {"before": {}, "after": {}})
        diff["before"] = {**diff.get("before", {}), **before}
        diff["after"] = {**after, **diff.get("after", {})}
    return last
