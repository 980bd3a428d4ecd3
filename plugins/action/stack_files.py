# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Control node's side of stack_files: render the tree, send it as one archive, let the module put it in place."""

from __future__ import annotations

import fnmatch
import hashlib
import hmac
import io
import os
import pathlib
import tarfile
import tempfile
from collections.abc import Mapping

from ansible import constants
from ansible.errors import AnsibleActionFail, AnsibleError
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

COMPOSE = "compose.yaml"
DEFAULT_RAW = ("*.png", "*.ico", "*.woff2", "*.gz")
LOCAL_OPTIONS = ("templates", "raw", "contents", "secrets")


def tree_hashes(files: Mapping[str, bytes]) -> dict[str, str]:
    """A short hash of every file and folder by its path.

    Labels are readable by whoever may ask Docker, and a password of few bits could be guessed from a bare hash. So
    secrets are hashed with a key made of all secrets of the stack, the long random ones among them.
    """
    key = hashlib.sha256(b"\0".join(files[path] for path in sorted(files) if path.startswith("secrets/"))).digest()
    hashes = {
        path: (
            hmac.new(key, content, "sha256") if path.startswith("secrets/") else hashlib.sha256(content)
        ).hexdigest()[:16]
        for path, content in files.items()
    }
    folders = {str(parent) for path in files for parent in pathlib.PurePosixPath(path).parents if str(parent) != "."}
    # Of files alone: were folders hashed into folders, the order of a set would show in the result.
    return hashes | {
        folder: hashlib.sha256(
            "\n".join(sorted(f"{path}={hashes[path]}" for path in files if path.startswith(folder + "/"))).encode()
        ).hexdigest()[:16]
        for folder in folders
    }


def write_archive(path: str, files: Mapping[str, bytes]) -> None:
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        for name, content in sorted(files.items()):
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))


class ActionModule(ActionBase):
    """Ansible's entry point."""

    TRANSFERS_FILES = True
    _supports_check_mode = True
    _supports_async = False
    _VALID_ARGS = frozenset(
        (
            *LOCAL_OPTIONS,
            "dest",
            "directories",
            "touch",
            "permissions",
            "managed",
            "validate",
            "reload",
            "min_free_mb",
            "min_free_paths",
        )
    )

    def run(self, tmp=None, task_vars=None):
        task_vars = task_vars or {}
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        if not arguments.get("dest"):
            raise AnsibleActionFail("stack_files: dest is missing; write the folder of the stack on the host")
        files = self._render(arguments, task_vars)
        arguments = {key: value for key, value in arguments.items() if key not in LOCAL_OPTIONS}
        descriptor, archive = tempfile.mkstemp(dir=constants.DEFAULT_LOCAL_TMP, suffix=".tar.gz")
        os.close(descriptor)
        try:
            write_archive(archive, files)
            if self._connection._shell.tmpdir is None:
                self._make_tmp_path()
            remote = self._connection._shell.join_path(self._connection._shell.tmpdir, "stack.tar.gz")
            self._transfer_file(archive, remote)
            self._fixup_perms2((self._connection._shell.tmpdir, remote), execute=False)
            arguments["src"] = remote
            result.update(
                self._execute_module("dockpress.hosting.stack_files", module_args=arguments, task_vars=task_vars)
            )
        finally:
            pathlib.Path(archive).unlink(missing_ok=True)
            self._remove_tmp_path(self._connection._shell.tmpdir)
        return result

    def _render(self, arguments: Mapping, task_vars: Mapping) -> dict[str, bytes]:
        """All files of the stack by their path. The Compose file comes last, because it may name the hashes of the others."""
        templates = arguments.get("templates") or []
        folders = [self._folder(name, task_vars) for name in ([templates] if isinstance(templates, str) else templates)]
        raw = arguments.get("raw") or DEFAULT_RAW
        sources: dict[str, pathlib.Path] = {}
        for folder in folders:
            for source in sorted(path for path in folder.rglob("*") if path.is_file()):
                sources[source.relative_to(folder).as_posix().removesuffix(".j2")] = source
        files: dict[str, bytes] = {}
        for name, text in (arguments.get("secrets") or {}).items():
            files[f"secrets/{name}"] = str(text).encode()
        for name, text in (arguments.get("contents") or {}).items():
            files[name] = str(text).encode()
        for name in sorted(sources, key=lambda name: name == COMPOSE):
            source = sources[name]
            if any(fnmatch.fnmatchcase(name, pattern) for pattern in raw):
                files[name] = source.read_bytes()
                continue
            extra = {"stack_hash": tree_hashes(files)} if name == COMPOSE else {}
            text = self._template(source, folders, {**task_vars, **extra})
            if text.strip():
                files[name] = text.encode()
        if not files:
            raise AnsibleActionFail(
                f"stack_files: nothing to put into {arguments['dest']}; set templates, contents or secrets"
            )
        return files

    def _folder(self, name: str, task_vars: Mapping) -> pathlib.Path:
        try:
            folder = pathlib.Path(self._find_needle("templates", name))
        except AnsibleError as error:
            raise AnsibleActionFail(f"stack_files: templates: there is no folder {name}") from error
        if not folder.is_dir():
            raise AnsibleActionFail(f"stack_files: templates: {folder} is not a folder")
        return folder

    def _template(self, source: pathlib.Path, folders: list[pathlib.Path], variables: dict) -> str:
        templar = self._templar.copy_with_new_env(
            searchpath=[str(folder) for folder in reversed(folders)], available_variables=variables
        )
        try:
            text = templar.template(
                trust_as_template(source.read_text(encoding="utf-8")),
                escape_backslashes=False,
                overrides={"trim_blocks": True, "lstrip_blocks": True},
            )
        except AnsibleError as error:
            raise AnsibleActionFail(f"stack_files: {source}: {error}") from error
        # A template with nothing but one expression may come back as a number or a list.
        return "" if text is None else str(text)
