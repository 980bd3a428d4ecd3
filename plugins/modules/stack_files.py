#!/usr/bin/python
# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Makes a folder on a host equal to a rendered tree."""

from __future__ import annotations

DOCUMENTATION = r"""
module: stack_files
short_description: Put all files of a stack on a host in one task
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Renders every template below a folder on the control node, sends the whole tree as one archive, and makes the folder on the
    host equal to it.
  - Every file is put in place atomically, C(compose.yaml) last. Where the archive is incomplete, a check says no or
    the disk is full, nothing has been replaced.
  - "Files that are no longer rendered are removed from the managed folders only: those that the templates have, and O(managed).
    Everything else in the folder (C(web/), C(export/), data) is left alone."
  - In C(compose.yaml) the variable C(stack_hash) holds a hash of every other file and folder of the tree, such as
    C(stack_hash['config/mariadb']), for labels that recreate a service whose mounted files changed. Hashes of secrets are keyed, so that a
    label does not give a secret away.
attributes:
  action:
    description: Indicates this has a corresponding action plugin so some parts of the options can be executed on the controller.
    support: full
  check_mode:
    description: Can run in C(check_mode) and return changed status prediction without modifying target.
    support: full
    details:
      - A copy of the C(compose.yaml) that would be written is left in C(.dockpress/check/) below O(dest), so that
        the module that starts the stack can be asked what it would do. It is removed by the next real run.
  diff_mode:
    description: Will return details on what has changed (or possibly needs changing in check_mode), when in diff mode.
    support: full
    details:
      - Of files below C(secrets/) only that they differ.
  idempotent:
    description: When run twice in a row outside check mode, with the same arguments, the second invocation indicates no change.
    support: full
options:
  dest:
    description: The folder of the stack on the host.
    type: path
    required: true
  templates:
    description:
      - Folders on the control node, each relative to the role's C(templates) or absolute. Files of a later one replace those of an earlier one.
      - Every file in them is a template, also without C(.j2), which is cut off. One that renders to nothing but blanks is left out.
      - Required, except where O(contents) or O(secrets) say it all.
    type: list
    elements: str
    default: []
  raw:
    description: Patterns of paths that are copied byte by byte instead of being rendered.
    type: list
    elements: str
    default: ["*.png", "*.ico", "*.woff2", "*.gz"]
  contents:
    description: More files, by path below O(dest), with their whole text. It is written as it is.
    type: dict
    default: {}
  secrets:
    description: Files below C(secrets/), by name, with their whole text. Written as it is, without a final newline.
    type: dict
    default: {}
  directories:
    description: Folders that are made and never emptied.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Below O(dest), or absolute.
        type: str
        required: true
      owner:
        description: User name or id. Left as it is where not set.
        type: str
      group:
        description: Group name or id. Left as it is where not set.
        type: str
      mode:
        description: Four octal digits, in quotes.
        type: str
        default: "0755"
  touch:
    description: Files that are made empty where they are missing, and whose content is never looked at, such as files that a container writes.
    type: list
    elements: dict
    default: []
    suboptions:
      path:
        description: Absolute. Its folder is made where it is missing.
        type: str
        required: true
      owner:
        description: User name or id. Left as it is where not set.
        type: str
      group:
        description: Group name or id. Left as it is where not set.
        type: str
      mode:
        description: Four octal digits, in quotes.
        type: str
        default: "0644"
  permissions:
    description: Owner, group and mode of files by pattern. The last pattern that fits counts.
    type: list
    elements: dict
    default: []
    suboptions:
      pattern:
        description: Shell pattern of a path below O(dest); C(*) also stands for slashes.
        type: str
        required: true
      owner:
        description: User name or id.
        type: str
      group:
        description: Group name or id.
        type: str
      mode:
        description: Four octal digits, in quotes.
        type: str
  managed:
    description: Folders below O(dest) whose strays are removed, even when the templates have none of their files any more.
    type: list
    elements: str
    default: [config, secrets]
  validate:
    description:
      - Commands that must end with 0 before anything is replaced. They run only when a file changes that fits their patterns, and not in check mode.
    type: list
    elements: dict
    default: []
    suboptions:
      command:
        description: The command and its arguments; C({tree}) is a complete copy of the new tree, C({dest}) is O(dest).
        type: list
        elements: str
        required: true
      when:
        description: Patterns of paths.
        type: list
        elements: str
        default: ["*"]
      explanation:
        description: What to say in front of the command's output when it fails.
        type: str
        required: true
  reload:
    description:
      - Services whose program can read changed files again by itself, with the patterns of these files.
      - The services are returned as RV(reload) until their marker C(.dockpress/reload/<service>) has been removed, also by later
        runs, so that an interrupted run is made good.
    type: dict
    default: {}
  min_free_mb:
    description: Megabytes that must be free on the file system of each path in O(min_free_paths) before a change is begun.
    type: int
    default: 200
  min_free_paths:
    description: Paths besides O(dest) that O(min_free_mb) concerns. Paths that do not exist yet are passed over.
    type: list
    elements: str
    default: []
  src:
    description: The archive on the host. Set by the action plugin; of no use in a playbook.
    type: path
"""

EXAMPLES = r"""
- name: Put a stack's files in place
  dockpress.hosting.stack_files:
    dest: /srv/dockpress/shop
    templates: shop
    secrets:
      db_password: "{{ shop_db_password }}"
    directories:
      - path: export
        owner: "33"
        group: "33"
"""

RETURN = r"""
changed_files:
  description: Paths that were written, below RV(ignore:dest).
  returned: success
  type: list
  elements: str
removed:
  description: Paths that were removed.
  returned: success
  type: list
  elements: str
reload:
  description: Services that have to read their files again.
  returned: success
  type: list
  elements: str
compose_file:
  description: The Compose file to give to the module that starts the stack; in check mode a copy of what would be written.
  returned: success
  type: str
engine:
  description: Whether the host has a Docker engine and a folder for the stack, so that Compose can be asked.
  returned: success
  type: bool
"""

import contextlib
import errno
import fnmatch
import grp
import os
import pathlib
import pwd
import shutil
import stat
import tarfile

from ansible.module_utils.basic import AnsibleModule

STATE = ".dockpress"
COMPOSE = "compose.yaml"
DEFAULT_PERMISSIONS = (
    {"pattern": "*", "mode": "0644"},
    {"pattern": COMPOSE, "mode": "0640"},
    # The folder is closed (0700); inside their containers the files must be readable by whatever user runs there.
    {"pattern": "secrets/*", "mode": "0444"},
)


def is_secret(path: str) -> bool:
    return path.startswith("secrets/")


def user_id(name: str | None) -> int:
    """Number of a user; -1, which means "as it is", for none."""
    if name is None:
        return -1
    return int(name) if name.isdigit() else pwd.getpwnam(name).pw_uid


def group_id(name: str | None) -> int:
    if name is None:
        return -1
    return int(name) if name.isdigit() else grp.getgrnam(name).gr_gid


def read_archive(path: str) -> dict[str, bytes]:
    """Files of the archive by their path. Raises ValueError where it is incomplete or leaves its folder."""
    files = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            for member in archive:
                pure = pathlib.PurePosixPath(member.name)
                if not member.isfile() or pure.is_absolute() or ".." in pure.parts or pure.parts[0] == STATE:
                    raise ValueError(f"{member.name} has no place in a stack")
                files[member.name] = archive.extractfile(member).read()
            # Only at its very end does gzip compare the checksum.
            archive.fileobj.read()
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(f"the archive arrived incomplete ({error}); run the play again") from error
    return files


class Tree:
    """The wanted files of one stack and how the host's folder differs from them."""

    def __init__(self, dest: str, files: dict[str, bytes], options: dict) -> None:
        self.dest = pathlib.Path(dest)
        self.files = files
        self.rules = [*DEFAULT_PERMISSIONS, *options["permissions"]]
        self.directories = options["directories"]
        self.kept = {self.dest / directory["path"] for directory in self.directories}
        self.managed = sorted(
            {path.split("/")[0] for path in files if "/" in path} | {name.strip("/") for name in options["managed"]}
        )
        self.changed: list[str] = []  # content differs or file is missing
        self.restyled: list[str] = []  # only owner, group or mode differ
        self.missing_directories: list[dict] = []
        self.strays: list[str] = []
        self.touched = options["touch"]
        self.missing_files: list[dict] = []

    def permissions(self, path: str) -> tuple[int, int, int]:
        """Owner, group (-1: as it is) and mode that a file shall have."""
        found: dict = {}
        for rule in self.rules:
            if fnmatch.fnmatchcase(path, rule["pattern"]):
                found.update({key: value for key, value in rule.items() if value is not None})
        return user_id(found.get("owner")), group_id(found.get("group")), int(found["mode"], 8)

    def compare(self) -> None:
        for path, content in sorted(self.files.items()):
            target = self.dest / path
            try:
                status = target.lstat()
            except (FileNotFoundError, NotADirectoryError):
                self.changed.append(path)
                continue
            if not stat.S_ISREG(status.st_mode) or status.st_size != len(content) or target.read_bytes() != content:
                self.changed.append(path)
            elif differs(status, self.permissions(path)):
                self.restyled.append(path)
        for directory in [*self._own_directories(), *self.directories]:
            try:
                descriptor = open_directory(self.dest / directory["path"], self.dest, make=False)
            except FileNotFoundError:
                self.missing_directories.append(directory)
                continue
            if differs(os.fstat(descriptor), wanted_of(directory)):
                self.missing_directories.append(directory)
            os.close(descriptor)
        for file in self.touched:
            try:
                status = os.lstat(file["path"])
            except FileNotFoundError:
                self.missing_files.append(file)
                continue
            if differs(status, wanted_of(file)):
                self.missing_files.append(file)
        self.strays = sorted(self._find_strays(), reverse=True)

    def _own_directories(self) -> list[dict]:
        """The stack's folder and every folder that holds rendered files, outermost first."""
        paths = {""}
        for path in self.files:
            parents = pathlib.PurePosixPath(path).parents
            paths.update(str(parent) for parent in parents if str(parent) != ".")
        closed = {"secrets": "0700", "": "0755"}
        return [{"path": path, "mode": closed.get(path, "0755")} for path in sorted(paths)]

    def _find_strays(self) -> list[str]:
        """What lies in the managed folders, is no wanted file, and neither is nor holds a folder that is kept."""
        own = {directory["path"] for directory in self._own_directories()}
        strays = []

        def look(folder: pathlib.Path) -> None:
            for entry in folder.iterdir():
                path = entry.relative_to(self.dest).as_posix()
                if entry.is_dir() and not entry.is_symlink():
                    if entry in self.kept:
                        continue
                    look(entry)
                    if path in own or path in self.files or any(entry in kept.parents for kept in self.kept):
                        continue
                elif path in self.files:
                    continue
                strays.append(path)

        for top in self.managed:
            if (self.dest / top).is_dir() and self.dest / top not in self.kept:
                look(self.dest / top)
        return strays

    @property
    def differs(self) -> bool:
        return bool(self.changed or self.restyled or self.missing_directories or self.missing_files or self.strays)

    def diff(self) -> list[dict]:
        """One entry a file, in the form that Ansible's callbacks show; of a secret only that it differs."""
        entries = []
        for path in self.changed:
            before, after = self._text_before(path), text_of(self.files[path])
            if is_secret(path):
                after = "(a secret that differs)\n" if before else "(a new secret)\n"
                before = "(a secret)\n" if before else ""
            entries.append({"before_header": path, "after_header": path, "before": before, "after": after})
        for path in [
            *self.restyled,
            *(item["path"] or "." for item in [*self.missing_directories, *self.missing_files]),
        ]:
            entries.append({"prepared": f"owner, group or mode of {path}\n"})
        for path in self.strays:
            before = "(a secret)\n" if is_secret(path) else self._text_before(path)
            entries.append(
                {"before_header": path, "after_header": path, "before": before or "(present)\n", "after": ""}
            )
        return entries

    def _text_before(self, path: str) -> str:
        try:
            return text_of((self.dest / path).read_bytes())
        except OSError:
            return ""

    def stage(self, folder: pathlib.Path) -> None:
        """Write all files below `folder`, on the file system on which they will stay, with their owners and modes."""
        for path, content in self.files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            with open(target, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as sink:
                sink.write(content)
                sink.flush()
                os.fsync(sink.fileno())
            set_permissions(target, self.permissions(path))

    def make_directories(self) -> None:
        for directory in self.missing_directories:
            descriptor = open_directory(self.dest / directory["path"], self.dest, make=True)
            set_permissions(descriptor, wanted_of(directory))
            os.close(descriptor)

    def make_files(self) -> None:
        for file in self.missing_files:
            path = pathlib.Path(file["path"])
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_NOFOLLOW, 0o600)
            set_permissions(descriptor, wanted_of(file))
            os.close(descriptor)

    def replace(self, staged: pathlib.Path) -> None:
        """Rename changed files into place, the Compose file last, then remove the strays."""
        for path in sorted(self.changed, key=lambda path: path == COMPOSE):
            target = self.dest / path
            if target.is_dir() and not target.is_symlink():
                # Docker makes a folder where a mounted file is missing; only an empty one is ours to take away.
                target.rmdir()
            (staged / path).replace(target)
        for path in self.restyled:
            set_permissions(self.dest / path, self.permissions(path))
        for path in self.strays:
            target = self.dest / path
            if target.is_dir() and not target.is_symlink():
                target.rmdir()
            else:
                target.unlink(missing_ok=True)


def open_directory(path: pathlib.Path, dest: pathlib.Path, make: bool) -> int:
    """Open a folder, and return its descriptor. Below `dest` no link is followed.

    Containers may write in folders that we make, and a link planted there would let them choose what we give away to them.
    Raises FileNotFoundError, and ValueError for a link or a file in the way.
    """
    inside = path.is_relative_to(dest)
    base, parts = (dest, path.relative_to(dest).parts) if inside else (path, ())
    if make:
        base.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(base, os.O_RDONLY | os.O_DIRECTORY)
    for part in parts:
        try:
            if make:
                with contextlib.suppress(FileExistsError):
                    os.mkdir(part, 0o755, dir_fd=descriptor)
            following = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=descriptor)
        except NotADirectoryError:
            raise ValueError(f"{path} has a link or a file in its way ({part}); put a folder there") from None
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise ValueError(f"{path} has a link in its way ({part}); put a folder there") from None
            raise
        finally:
            os.close(descriptor)
        descriptor = following
    return descriptor


def wanted_of(directory: dict) -> tuple[int, int, int]:
    return user_id(directory.get("owner")), group_id(directory.get("group")), int(directory["mode"], 8)


def differs(status: os.stat_result, wanted: tuple[int, int, int]) -> bool:
    owner, group, mode = wanted
    return stat.S_IMODE(status.st_mode) != mode or owner not in (-1, status.st_uid) or group not in (-1, status.st_gid)


def set_permissions(target: pathlib.Path | int, wanted: tuple[int, int, int]) -> None:
    """Owner, group and mode of a path of ours or of an open folder."""
    owner, group, mode = wanted
    if (owner, group) != (-1, -1):
        os.chown(target, owner, group)
    os.chmod(target, mode)  # noqa: PTH101 (of a descriptor, too)


def text_of(content: bytes) -> str:
    try:
        return content.decode()
    except UnicodeDecodeError:
        return f"(binary, {len(content)} bytes)\n"


def fits(path: str, patterns: list[str]) -> bool:
    return any(fnmatch.fnmatchcase(path, pattern) for pattern in patterns)


def require_space(module: AnsibleModule, needed: int) -> None:
    """Stop before anything is changed when a disk is as good as full."""
    wanted = module.params["min_free_mb"] * 1024 * 1024
    for name in [module.params["dest"], *module.params["min_free_paths"]]:
        path = pathlib.Path(name)
        if name == module.params["dest"]:
            while not path.exists():
                path = path.parent
        elif not path.exists():
            continue
        found = os.statvfs(path)
        free = found.f_bavail * found.f_frsize
        if free < wanted + needed:
            module.fail_json(
                msg=f"Only {free // 1024 // 1024} MB are free on the file system of {name}; nothing was changed. "
                f"Make room there, or set stack_min_free_mb (now {module.params['min_free_mb']}) lower."
            )


def run_checks(module: AnsibleModule, tree: Tree, staged: pathlib.Path) -> None:
    touched = [*tree.changed, *tree.strays]
    for check in module.params["validate"]:
        if not any(fits(path, check["when"]) for path in touched):
            continue
        words = {"tree": str(staged), "dest": module.params["dest"]}
        command = [word.replace("{tree}", words["tree"]).replace("{dest}", words["dest"]) for word in check["command"]]
        rc, stdout, stderr = module.run_command(command, expand_user_and_vars=False)
        if rc:
            module.fail_json(
                msg=f"{check['explanation']} Nothing was changed.\n{(stderr or stdout).strip()}",
                cmd=command,
                rc=rc,
                stdout=stdout,
                stderr=stderr,
            )


def reloads(module: AnsibleModule, tree: Tree) -> list[str]:
    """Services that read changed files again by themselves. Before the first start there are none."""
    if not (tree.dest / COMPOSE).exists():
        return []
    touched = [*tree.changed, *tree.strays]
    return [
        service
        for service, patterns in module.params["reload"].items()
        if any(fits(path, patterns) for path in touched)
    ]


def apply(module: AnsibleModule, tree: Tree, state: pathlib.Path) -> None:
    """Make the folder equal to the tree. Raises OSError; whatever fails before the renames leaves the old files in place."""
    state.mkdir(mode=0o700, parents=True, exist_ok=True)
    staged = state / "staged"
    shutil.rmtree(staged, ignore_errors=True)
    try:
        tree.stage(staged)
        run_checks(module, tree, staged)
        tree.make_directories()
        tree.make_files()
        for service in reloads(module, tree):
            (state / "reload").mkdir(exist_ok=True)
            (state / "reload" / service).touch()
        tree.replace(staged)
    finally:
        shutil.rmtree(staged, ignore_errors=True)


def prepare_check(tree: Tree, state: pathlib.Path) -> str:
    """Leave a copy of the wanted Compose file for whoever predicts what the stack would do; returns its path."""
    target = state / "check" / COMPOSE
    if COMPOSE in tree.files and tree.dest.is_dir():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        target.write_bytes(tree.files[COMPOSE])
        target.chmod(0o640)
    return str(target)


def main() -> None:
    permission = {"owner": {"type": "str"}, "group": {"type": "str"}}
    module = AnsibleModule(
        argument_spec={
            "dest": {"type": "path", "required": True},
            "src": {"type": "path"},
            "templates": {"type": "list", "elements": "str", "default": []},
            "raw": {"type": "list", "elements": "str", "default": ["*.png", "*.ico", "*.woff2", "*.gz"]},
            "contents": {"type": "dict", "default": {}, "no_log": True},
            "secrets": {"type": "dict", "default": {}, "no_log": True},
            "directories": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "str", "required": True},
                    "mode": {"type": "str", "default": "0755"},
                    **permission,
                },
            },
            "touch": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "str", "required": True},
                    "mode": {"type": "str", "default": "0644"},
                    **permission,
                },
            },
            "permissions": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"pattern": {"type": "str", "required": True}, "mode": {"type": "str"}, **permission},
            },
            "managed": {"type": "list", "elements": "str", "default": ["config", "secrets"]},
            "validate": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "command": {"type": "list", "elements": "str", "required": True},
                    "when": {"type": "list", "elements": "str", "default": ["*"]},
                    "explanation": {"type": "str", "required": True},
                },
            },
            "reload": {"type": "dict", "default": {}},
            "min_free_mb": {"type": "int", "default": 200},
            "min_free_paths": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    if not module.params["src"]:
        module.fail_json(
            msg="stack_files works through its action plugin only; call it as dockpress.hosting.stack_files"
        )
    # Folders without a mode of their own are for the containers' users to pass, whatever a hardened host's root has for a umask.
    os.umask(0o022)
    dest = pathlib.Path(module.params["dest"])
    state = dest / STATE
    try:
        files = read_archive(module.params["src"])
        tree = Tree(str(dest), files, module.params)
        tree.compare()
        if tree.differs:
            require_space(module, 2 * sum(len(content) for content in files.values()))
        result = {"changed": tree.differs, "changed_files": tree.changed, "removed": tree.strays, "reload": []}
        if module._diff and tree.differs:
            result["diff"] = tree.diff()
        compose_file = str(dest / COMPOSE)
        if module.check_mode:
            compose_file = prepare_check(tree, state)
            result["reload"] = reloads(module, tree)
        else:
            shutil.rmtree(state / "check", ignore_errors=True)
            if tree.differs:
                apply(module, tree, state)
    except ValueError as error:
        module.fail_json(msg=f"{dest}: {error}")
    except KeyError as error:
        module.fail_json(msg=f"{dest}: a user or group that its files should belong to is missing: {error}")
    except OSError as error:
        hint = " The disk is full; make room and run the play again." if error.errno == errno.ENOSPC else ""
        module.fail_json(msg=f"{dest}: {error.strerror}: {error.filename}.{hint}")
    with contextlib.suppress(FileNotFoundError):
        result["reload"] = sorted({*result["reload"], *(marker.name for marker in (state / "reload").iterdir())})
    engine = bool(module.get_bin_path("docker")) and dest.is_dir()
    module.exit_json(**result, compose_file=compose_file, engine=engine)


if __name__ == "__main__":
    main()
