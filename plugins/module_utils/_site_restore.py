# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""A site from a set: it is as before or as restored, whenever the process ends, and never between.

Verify, unpack and load beside the site, compare, and only then exchange. A journal on the disk says how far that is;
``Site.recover`` reads it.
"""

from __future__ import annotations

import contextlib
import shutil
import time
import typing as t
from urllib.parse import urlsplit

from ansible_collections.dockpress.hosting.plugins.module_utils import _archive, _backup_set, _tree_swap
from ansible_collections.dockpress.hosting.plugins.module_utils._dump import DumpError, DumpInfo
from ansible_collections.dockpress.hosting.plugins.module_utils._site_backup import NOT_OURS, RestoreError, Site
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCliError
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_search_replace import (
    check_addresses,
    search_replace,
)

# Asks the site's own web server, from a container in its network, under the name that visitors use.
FETCH = r"""
$url = parse_url($data['url']);
$host = $url['host'] . (isset($url['port']) ? ':' . $url['port'] : '');
$context = stream_context_create(['http' => [
    'header' => ["Host: $host", 'X-Forwarded-Proto: ' . $url['scheme'], 'User-Agent: dockpress'],
    'follow_location' => 0, 'ignore_errors' => true, 'timeout' => $data['timeout'],
]]);
$page = @file_get_contents($data['address'] . $data['path'], false, $context);
$status = preg_match('~^HTTP/\S+ (\d+)~', $http_response_header[0] ?? '', $found) ? (int) $found[1] : 0;
$location = '';
foreach ($http_response_header ?? [] as $line) {
    if (stripos($line, 'location:') === 0) {
        $location = trim(substr($line, 9));
    }
}
emit(['status' => $status, 'location' => $location, 'bytes' => strlen((string) $page),
    'whole' => stripos((string) $page, '</html>') !== false,
    'title' => preg_match('~<title>(.*?)</title>~is', (string) $page, $found) ? html_entity_decode(trim($found[1])) : null]);
"""


def fetch(site: Site, url: str, path: str = "/", address: str = "http://web", timeout: int = 30) -> dict[str, t.Any]:
    """One page of the site, fetched from inside: ``status``, ``location``, ``bytes``, ``whole``, ``title``."""
    return site.wp.eval(
        FETCH, {"url": url, "path": path, "address": address, "timeout": timeout}, wordpress=False, timeout=timeout + 30
    )


def healthy(site: Site, url: str, address: str, patience: float = 30) -> dict[str, t.Any]:
    """The front page, once it is there. Raises RestoreError with what came instead."""
    deadline = time.monotonic() + patience
    while True:
        page = fetch(site, url, address=address)
        if page["status"] == 200 and page["whole"]:
            return page
        # A site that knows itself under https sends us there: it answers, from its database. Without its tables WordPress sends to its installer.
        setup = urlsplit(page["location"]).path.endswith(("/wp-admin/install.php", "/wp-admin/setup-config.php"))
        if page["status"] in (301, 302) and page["location"].startswith(url) and not setup:
            return page
        if time.monotonic() > deadline:
            raise RestoreError(
                f"The front page of {url} answers {page['status']}"
                f"{' to ' + page['location'] if page['location'] else ''} with {page['bytes']} bytes"
                f"{'' if page['whole'] else ', not a whole page'}."
            )
        time.sleep(1)


def need_same_prefix(site: Site, found: _backup_set.BackupSet) -> None:
    """Raises RestoreError where WordPress would look for other tables than those of the set."""
    wanted, here = found.manifest.get("prefix"), site.prefix()
    if wanted and here and wanted != here:
        raise RestoreError(
            f"The tables of set {found.path} begin with {wanted}, those of {site.name} with {here}, so WordPress would not find them. "
            f"Deploy {site.name} with wordpress_table_prefix: {wanted} first. The site was not touched."
        )


def examine(site: Site, found: _backup_set.BackupSet) -> DumpInfo:
    """Read the set and compare it with its manifest; nothing of the site is touched. Raises RestoreError.

    The files are unpacked to the staging folder on the way, for one reading of them is enough.
    """
    manifest = found.manifest
    try:
        room = shutil.disk_usage(site.directory).free
        if room < manifest["parts"][_backup_set.FILES].get("unpacked", 0):
            raise RestoreError(
                f"The disk of {site.directory} has {room >> 20} MiB free, the files of set {found.path} need "
                f"{manifest['parts'][_backup_set.FILES]['unpacked'] >> 20} MiB beside those of the site."
            )
        _backup_set.verify(found)
        staged = site.stage / "staged"
        staged.mkdir(parents=True, mode=0o700)
        files, about = found.part(_backup_set.FILES), manifest["parts"][_backup_set.FILES]
        if found.since is None:
            held = _archive.unpack(files, staged)
            # Another site's web root may belong to another user, a developer for example.
            _archive.hand_over(staged, site.web.stat())
        else:
            held = _archive.unpack_onto(files, site.web, staged, about["tree"])
        if difference := held.difference(about):
            raise RestoreError(f"{files} is not what its manifest says: {difference}.")
        info = site.database.check(
            found.part(_backup_set.DATABASE), checksum=manifest["parts"][_backup_set.DATABASE]["sha256"]
        )
        if info.rows != manifest["database"]["tables"] or info.views != manifest["database"]["views"]:
            raise RestoreError(
                f"{found.part(_backup_set.DATABASE)} is not what its manifest says: it holds {len(info.tables)} tables with "
                f"{sum(info.rows.values())} rows where {len(manifest['database']['tables'])} with "
                f"{sum(manifest['database']['tables'].values())} were dumped."
            )
    except (_backup_set.SetError, _archive.ArchiveError, DumpError) as error:
        raise RestoreError(str(error)) from error
    return info


def restore(
    site: Site,
    found: _backup_set.BackupSet,
    *,
    address: str = "http://web",
    url: str | None = None,
    safety: bool = True,
    replace: t.Callable[[Site, str, str], t.Any] | None = None,
) -> dict[str, t.Any]:
    """Restore ``found``; the caller holds the lock and has called ``site.recover``.

    ``url`` is where the site is to be (where it was, if not given); ``replace`` brings old addresses to it. Returns what was done.
    Raises RestoreError, and the site is then as it was.
    """
    started = time.monotonic()
    old_url = found.manifest.get("url")
    target = url or old_url
    if not target:
        raise RestoreError(f"Set {found.path} does not say the site's address. Name it in url.")
    result: dict[str, t.Any] = {"safety": None, "replaced": None}
    site.write_journal("staging", set=found.stamp)
    try:
        info = examine(site, found)
        if safety and site.installed():
            made, result["warnings"] = _safety_set(site)
            result["safety"] = made.stamp
        site.database.load(found.part(_backup_set.DATABASE), info)
    except BaseException as error:
        with contextlib.suppress(DumpError):
            site.forget()
        raise _told(error, "The site was not touched.") from error

    staged, saved = site.stage / "staged", site.stage / "saved"
    steps = _tree_swap.plan(site.web, staged, NOT_OURS, site.mounts())
    site.write_journal("swapping", set=found.stamp, safety=result["safety"], steps=steps)
    swapping = time.monotonic()
    try:
        extra = set(site.database.tables() + site.database.views()) - set(info.tables) - set(info.views)
        # The tables may have to wait for those who read them, so they go first; the files follow within milliseconds.
        site.database.swap(extra, held=True, beside=lambda: _tree_swap.forward(steps, site.web, staged, saved))
        result["swap_seconds"] = round(time.monotonic() - swapping, 2)
        site.wp.reload_code()
        if replace and old_url and old_url.rstrip("/") != target.rstrip("/"):
            result["replaced"] = replace(site, old_url.rstrip("/"), target.rstrip("/"))
        _flush(site)
        result["page"] = healthy(site, target, address)
    except BaseException as error:
        site.swap_back(steps)
        site.forget()
        raise _told(error, "The restore was undone: the site is as it was.") from error
    site.write_journal("committed", set=found.stamp, safety=result["safety"])
    site.forget()
    result["seconds"] = round(time.monotonic() - started, 1)
    return result


def _safety_set(site: Site) -> tuple[_backup_set.BackupSet, list[str]]:
    try:
        return site.take_set("safety")
    except (DumpError, WpCliError, _backup_set.SetError, _archive.ArchiveError, OSError) as error:
        raise RestoreError(
            f"No safety set could be taken of what is there: {str(getattr(error, 'msg', None) or error).rstrip('.')}. "
            "Without one it cannot be brought back; -e backup_safety=false (safety: false of wp_restore) restores all the same."
        ) from error


# What a proof looks at: the newest post, how much there is, and attachments whose file is not there.
PROOF = r"""
global $wpdb;
$uploads = wp_get_upload_dir()['basedir'];
$missing = [];
$files = $wpdb->get_col("SELECT meta_value FROM {$wpdb->postmeta} WHERE meta_key = '_wp_attached_file'");
foreach ($files as $file) {
    if (!file_exists("$uploads/$file")) {
        $missing[] = $file;
    }
}
$newest = get_posts(['numberposts' => 1, 'post_status' => 'publish', 'suppress_filters' => true]);
emit([
    'attachments' => count($files),
    'missing' => $missing,
    'users' => (int) $wpdb->get_var("SELECT COUNT(*) FROM {$wpdb->users}"),
    'post' => $newest ? ['link' => get_permalink($newest[0]), 'title' => $newest[0]->post_title] : null,
]);
"""


def proof(site: Site, found: _backup_set.BackupSet, url: str, address: str) -> dict[str, t.Any]:
    """Look at a restored site: its newest post opens, its uploads are there, its code is WordPress'. Raises RestoreError."""
    seen = site.wp.eval(PROOF, plugins=False)
    # What the site itself was without when the set was taken is no fault of the set.
    missing = sorted(set(seen["missing"]) - set(found.manifest["counts"].get("missing_uploads") or ()))
    if missing:
        raise RestoreError(f"{len(missing)} of {seen['attachments']} attachments have no file, first {missing[0]}.")
    users = found.manifest["counts"].get("users")
    if users is not None and seen["users"] != users:
        raise RestoreError(f"The restored site has {seen['users']} users, the manifest says {users}.")
    if seen["post"]:
        parts = urlsplit(seen["post"]["link"])
        page = fetch(site, url, f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}", address)
        if page["status"] != 200 or not page["whole"]:
            raise RestoreError(f"The post {seen['post']['link']} answers {page['status']} with {page['bytes']} bytes.")
    # Needs the sums of WordPress.org; a stack that does not reach it proves the rest all the same.
    sums = site.wp.run(["core", "verify-checksums", "--skip-plugins", "--skip-themes"], check=False)
    wrong = [line for line in sums.stderr.splitlines() if "doesn't verify" in line or "should not exist" in line]
    if wrong:
        raise RestoreError(f"The code of the restored site is not WordPress' own: {wrong[0].strip()}")
    return {
        "attachments": seen["attachments"],
        "users": seen["users"],
        "post": seen["post"] and seen["post"]["link"],
        "core_checksums": "verified" if sums.rc == 0 else sums.stderr.strip()[-300:],
    }


def replace_urls(site: Site, old: str, new: str) -> dict[str, t.Any]:
    """Bring the addresses in the database from ``old`` to ``new``, however they are written."""
    done = search_replace(site.wp, addresses=check_addresses([{"from": old, "to": new}]), write=True)
    return {name: done[name] for name in ("changes", "left", "leftovers")}


def _told(error: BaseException, outcome: str) -> BaseException:
    if isinstance(error, (RestoreError, DumpError, WpCliError, _backup_set.SetError, _archive.ArchiveError, OSError)):
        return RestoreError(f"{getattr(error, 'msg', None) or error} {outcome}")
    return error


def _flush(site: Site) -> None:
    """Let no cache answer with what was there before. A cache that cannot be reached shows in the health check."""
    with contextlib.suppress(WpCliError):
        site.wp.eval("emit(wp_cache_flush());", plugins=False)
