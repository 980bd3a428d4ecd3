# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A site as backup and restore see it: its containers, its folders, its lock, and the making of a set."""

from __future__ import annotations

import contextlib
import json
import pathlib
import shutil
import time
import typing as t

from ansible_collections.dockpress.hosting.plugins.module_utils import _archive, _backup_set, _tree_swap
from ansible_collections.dockpress.hosting.plugins.module_utils._dump import Database, quote
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import container_lock, lock_path, site_lock
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCli, WpCliError, wp_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_database import site_prefixes

# The collection's version, as galaxy.yml says it (a module does not see that file).
VERSION = "0.1.0"

# What belongs to WordPress itself and comes back with its version, and what is made again by itself.
NOT_OURS = (
    *("wp-admin", "wp-includes", "index.php", "license.txt", "readme.html", "wp-activate.php", "wp-blog-header.php"),
    *(
        "wp-comments-post.php",
        "wp-config-sample.php",
        "wp-cron.php",
        "wp-links-opml.php",
        "wp-load.php",
        "wp-login.php",
    ),
    *("wp-mail.php", "wp-settings.php", "wp-signup.php", "wp-trackback.php", "xmlrpc.php", ".maintenance"),
    *("wp-content/cache", "wp-content/upgrade", "wp-content/upgrade-temp-backup"),
)

FACTS = r"""
global $wpdb;
require_once ABSPATH . 'wp-admin/includes/plugin.php';
$active = (array) get_option('active_plugins', []);
$plugins = [];
foreach (get_plugins() as $file => $about) {
    $plugins[$file] = ['version' => $about['Version'], 'active' => in_array($file, $active, true)];
}
$missing = [];
$uploads = wp_get_upload_dir()['basedir'];
$files = $wpdb->get_col("SELECT meta_value FROM {$wpdb->postmeta} WHERE meta_key = '_wp_attached_file'");
// Those of before the dump, too: one that was deleted meanwhile is in the dump, and its file may not be in the archive.
foreach (array_unique(array_merge($files, $data[$wpdb->base_prefix] ?? [])) as $file) {
    if (!file_exists("$uploads/$file")) {
        $missing[] = $file;
    }
}
emit([
    'prefix' => $wpdb->base_prefix,
    'url' => home_url(),
    'wordpress' => $GLOBALS['wp_version'],
    'database_revision' => (int) get_option('db_version'),
    'php' => PHP_VERSION,
    'theme' => ['name' => get_stylesheet(), 'version' => wp_get_theme()->get('Version')],
    'plugins' => (object) $plugins,
    'posts_table' => $wpdb->posts,
    'users_table' => $wpdb->users,
    'missing_uploads' => $missing,
]);
"""


# What wp-config.php says, also where nothing is installed.
PREFIX = "eval(WP_CLI::get_runner()->get_wp_config_code()); emit($table_prefix ?? null);"


class RestoreError(Exception):
    """A restore that did not happen, or was undone. The text says which of the two, and why."""


def site_argument_spec(**more: dict) -> dict:
    """The options that wp_backup and wp_restore share, with ``more`` added."""
    return wp_argument_spec(
        site={"type": "str", "required": True},
        directory={"type": "path", "required": True},
        database_container={"type": "str", "required": True},
        root={"type": "path", "default": "/var/backups/dockpress"},
        metrics_directory={"type": "path", "default": "/var/lib/dockpress/metrics"},
        lock_timeout={"type": "int", "default": 600},
        dump_timeout={"type": "int", "default": 14400},
        **more,
    )


class Site:
    """One site on this host. Everything but ``__init__`` and ``lock`` is for who holds its lock."""

    def __init__(self, params: dict[str, t.Any]) -> None:
        """From a module's parameters. Raises WpCliError, DumpError, ArchiveError where the site cannot be reached."""
        _archive.need_programs()
        self.params = params
        self.name: str = params["site"]
        self.root = pathlib.Path(params["root"])
        self.directory = pathlib.Path(params["directory"])
        self.web = self.directory / "web"
        if not self.web.is_dir():
            raise WpCliError(f"{self.web} is no folder. Name the folder of the site's stack in directory.")
        self.wp = WpCli.from_params(params)
        self.client = self.wp.client
        self.database = Database(self.client, params["database_container"], timeout=params["dump_timeout"])
        self.folder = _backup_set.site_folder(self.root, self.name)
        # Beside what it tells of, so that it is found whatever the folder of the sets is.
        self.journal = self.directory / ".restore.json"
        self.stage = self.directory / ".restore"

    @contextlib.contextmanager
    def lock(self, holder: str) -> t.Iterator[None]:
        """Hold the site's lock, the same that all that changes a site takes. Raises LockError with who has it."""
        path = container_lock(self.database.attrs)
        with site_lock(path, self.params["lock_timeout"], f"{holder} of {self.name}"):
            yield

    @contextlib.contextmanager
    def lock_of(self, source: str, holder: str) -> t.Iterator[None]:
        """Hold the lock of another site as well, to write among its sets: its own runs clear away what is not finished there."""
        path = lock_path(source)
        # It may be this site, whose lock we have.
        own = path == container_lock(self.database.attrs)
        with (
            contextlib.nullcontext()
            if own
            else site_lock(path, self.params["lock_timeout"], f"{holder} of {self.name}")
        ):
            yield

    def installed(self) -> bool:
        """Whether there is anything in the database that a restore would replace."""
        return bool(self.database.tables())

    def prefix(self) -> str | None:
        """The table prefix that the site is configured for. None where there is no configuration yet: a set brings it."""
        with contextlib.suppress(WpCliError):
            return self.wp.eval(PREFIX, wordpress=False)
        return None

    def freeze(self, wanted: bool) -> None:
        """Refuse what the site writes to its database, or take it again. Root, which makes dumps, is not concerned."""
        self.database.sql(f"SET GLOBAL read_only = {int(wanted)};")

    def attached(self) -> dict[str, list[str]]:
        """The files of the attachments in the database, by table prefix."""
        query = "SELECT meta_value FROM {0} WHERE meta_key = '_wp_attached_file' AND meta_value <> '';"
        tables = self.database.tables()
        return {
            prefix: [row[0] for row in self.database.sql(query.format(quote(f"{prefix}postmeta")), self.database.name)]
            for prefix in site_prefixes(tables)
            if f"{prefix}postmeta" in tables
        }

    def facts(self, attached: dict[str, list[str]]) -> tuple[dict[str, t.Any], list[str]]:
        """What WordPress says of itself, and warnings. A site that is broken can still be backed up.

        ``attached`` is what ``attached`` said before the dump.
        """
        try:
            return self.wp.eval(FACTS, attached, plugins=False), []
        except WpCliError as error:
            return {}, [
                f"WordPress could not be asked about its versions and counts, so the manifest has none: {error.msg}"
            ]

    def images(self) -> dict[str, dict[str, str]]:
        """Image and its id of each service of the site's Compose project."""
        labels = (self.database.attrs["Config"].get("Labels") or {}).get("com.docker.compose.project")
        if not labels:
            return {}
        found = self.client.containers.list(all=True, filters={"label": f"com.docker.compose.project={labels}"})
        return {
            one.labels.get("com.docker.compose.service", one.name): {
                "image": one.attrs["Config"]["Image"],
                "id": one.attrs["Image"],
            }
            for one in found
        }

    def mounts(self) -> list[str]:
        """Folders of the web root that PHP-FPM has mounted by themselves, relative to it."""
        if not self.params["fpm_container"]:
            return []
        attrs = self.client.api.inspect_container(self.params["fpm_container"])
        sources = [pathlib.Path(mount["Source"]) for mount in attrs["Mounts"] if mount.get("Source")]
        return sorted(str(one.relative_to(self.web)) for one in sources if self.web in one.parents)

    # A set

    def take_set(
        self, reason: str = "backup", track: bool = False, since: str | None = None
    ) -> tuple[_backup_set.BackupSet, list[str]]:
        """Make a set. The site stays up and writable: the dump is one snapshot, and the files are read after it.

        ``track`` notes beside the set what its files are, so that a later one can hold only what has changed ``since``.
        Returns the set and warnings. Whatever fails raises, and leaves no set.
        """
        started = time.monotonic()
        _backup_set.drop_differences(self.root, self.name)
        with _backup_set.NewSet(self.root, self.name) as new:
            if track:
                _backup_set.write_atomically(new.part(_backup_set.TREE), json.dumps(_archive.look(self.web, NOT_OURS)))
            attached = self.attached()
            info = self.database.dump_to(new.part(_backup_set.DATABASE))
            files = self._changed_files(new, since) if since else self._all_files(new)
            config = _archive.pack(
                self.directory, [], new.part(_backup_set.CONFIG), optional=["compose.yaml", "config"]
            )
            facts, warnings = self.facts(attached)
            warnings += [
                f"Set {one.stamp} is of the future, so it is never the newest: a clock was wrong. Rename or remove {one.path}."
                for one in _backup_set.sets(self.root, self.name)
                if one.early
            ]
            rows = self.database.sql("SELECT VERSION();")
            made = new.finish(
                {
                    "reason": reason,
                    "url": facts.get("url"),
                    "prefix": facts.get("prefix"),
                    "versions": {
                        "collection": VERSION,
                        "database": rows[0][0],
                        **{key: facts.get(key) for key in ("wordpress", "database_revision", "php", "theme")},
                    },
                    "plugins": facts.get("plugins"),
                    "images": self.images(),
                    # Of the dump, for the site goes on meanwhile.
                    "counts": {
                        "posts": info.rows.get(facts.get("posts_table")),
                        "users": info.rows.get(facts.get("users_table")),
                        "missing_uploads": facts.get("missing_uploads"),
                    },
                    "database": {
                        "name": self.database.name,
                        "tables": info.rows,
                        "views": info.views,
                        "bytes": info.sql_bytes,
                    },
                    "seconds": round(time.monotonic() - started, 1),
                    "parts": {
                        _backup_set.DATABASE: {"sha256": info.sha256},
                        _backup_set.FILES: files,
                        _backup_set.CONFIG: config,
                    },
                }
            )
        return made, warnings

    def _all_files(self, new: _backup_set.NewSet) -> dict[str, t.Any]:
        return _archive.pack(self.web, ["."], new.part(_backup_set.FILES), exclude=[f"./{name}" for name in NOT_OURS])

    def _changed_files(self, new: _backup_set.NewSet, since: str) -> dict[str, t.Any]:
        noted = new.folder / since / _backup_set.TREE
        try:
            known = json.loads(noted.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise _backup_set.SetError(f"There can be no difference to set {since}: {error}.") from None
        now = _archive.look(self.web, NOT_OURS)
        changed = [path for path, about in now.items() if known.get(path) != about]
        packed = _archive.pack(self.web, changed, new.part(_backup_set.FILES), recurse=False)
        after = _archive.look(self.web, NOT_OURS)
        tree = {path: about if after.get(path) == about else None for path, about in now.items()}
        return {**packed, "since": since, "tree": tree}

    # What an interrupted restore left behind

    def write_journal(self, phase: str, **more: t.Any) -> None:
        """Note how far a restore is, on the disk before it goes on."""
        _backup_set.write_atomically(self.journal, json.dumps({"phase": phase, **more}) + "\n")

    def need_recovered(self) -> None:
        """Raises RestoreError where there is something for ``recover`` in the site's folder."""
        if self.journal.exists() or self.stage.exists():
            raise RestoreError("An interrupted restore has to be undone first: run without --check.")

    def recover(self) -> str:
        """Finish or undo what a killed backup, import or restore left; returns in words what was done, or nothing.

        Until a restored site has been seen to be healthy the way is back, afterwards forward.
        """
        said = []
        note: dict[str, t.Any] = {}
        if self.journal.exists():
            note = json.loads(self.journal.read_text(encoding="utf-8"))
        if note.get("phase") == "swapping":
            # A replacement of addresses would go on, in the tables that come back. Where no container runs, nothing does.
            with contextlib.suppress(WpCliError):
                self.wp.end_strays()
            self.swap_back(note["steps"])
            said.append(f"an interrupted restore of set {note['set']} was undone")
        elif note.get("phase") == "committed":
            said.append(f"what was left of the finished restore of set {note['set']} was removed")
        elif note:
            said.append(f"an interrupted restore of set {note['set']} was cleared away, the site was not touched by it")
        database = self.database.recover(held=True)
        if database and not note:
            said.append(database)
        if note:
            self.forget()
        else:
            # Of a set that was only to be read: the site's own files are never there without a journal.
            self.clear_stage()
        removed = _backup_set.clean(self.root, self.name)
        if removed:
            said.append(f"{len(removed)} unfinished set(s) were removed")
        return "; ".join(said)

    def swap_back(self, steps: list[_tree_swap.Step]) -> None:
        """Bring database and files to what they were before a swap, whether that was done, half done or not begun."""
        self.database.abort()
        _tree_swap.back(steps, self.web, self.stage / "staged", self.stage / "saved")
        self.wp.reload_code()

    def clear_stage(self) -> None:
        """Remove what was unpacked or put aside beside the web root."""
        if self.stage.exists():
            shutil.rmtree(self.stage)

    def forget(self) -> None:
        """Remove what was put aside, and the journal last."""
        self.database.discard()
        self.clear_stage()
        self.journal.unlink(missing_ok=True)
