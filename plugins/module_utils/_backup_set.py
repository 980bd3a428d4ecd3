# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Backup sets: the one format that backup, restore, drill and prune share.

A set is a folder ``<root>/<site>/<UTC stamp>/`` with the parts and, written last, ``manifest.json``. The folder is made under
the name ``.partial-<stamp>`` and renamed when all of it is on the disk, so what lies under a stamp is a set, and a folder
without a manifest is none.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pathlib
import re
import shutil
import typing as t
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone

FORMAT = 1
MANIFEST = "manifest.json"
PROOF = "proof.json"
DATABASE = "db.sql.zst"
FILES = "files.tar.zst"
CONFIG = "config.tar.zst"
# Beside the parts, on the host where the set was taken: what its files were, so that another set can be a difference to it.
TREE = "tree.json"
PARTS = (DATABASE, FILES, CONFIG)

STAMP_FORMAT = "%Y%m%dT%H%M%SZ"
_STAMP = re.compile(r"\d{8}T\d{6}Z\Z")
_PARTIAL = ".partial-"
_TRASH = ".trash-"
_BLOCK = 1 << 20


class SetError(Exception):
    """A set that must not be used, or cannot be made. The text says which set and why."""


@dataclass(frozen=True)
class BackupSet:
    """One complete set on this machine: its folder and what its manifest says."""

    path: pathlib.Path
    manifest: dict[str, t.Any]

    @property
    def stamp(self) -> str:
        return self.path.name

    @property
    def taken(self) -> datetime:
        """When it was taken, by its manifest (UTC)."""
        return parse_stamp(self.manifest["stamp"])

    @property
    def early(self) -> bool:
        """Whether it is of the future: some clock was wrong."""
        return self.taken > now() + timedelta(hours=1)

    @property
    def safety(self) -> bool:
        """Whether a restore took it of what was there before, which may be what was to be got rid of."""
        return self.manifest.get("reason") == "safety"

    @property
    def whole(self) -> bool:
        """Whether its parts have the sizes that the manifest says. Only ``verify`` reads them."""
        with contextlib.suppress(OSError):
            return all(self.part(name).stat().st_size == part["bytes"] for name, part in self.manifest["parts"].items())
        return False

    @property
    def bytes(self) -> int:
        return sum(part["bytes"] for part in self.manifest["parts"].values())

    @property
    def since(self) -> str | None:
        """The set to which the files of this one are a difference; None for all but the last one of a move."""
        return self.manifest["parts"][FILES].get("since")

    @property
    def proven(self) -> datetime | None:
        """When a drill last restored it with success; None when none has."""
        try:
            proof = json.loads((self.path / PROOF).read_text(encoding="utf-8"))
            return parse_stamp(proof["proven"])
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def part(self, name: str) -> pathlib.Path:
        return self.path / name

    def summary(self) -> dict[str, t.Any]:
        """What modules return of a set."""
        proven = self.proven
        return {
            "stamp": self.stamp,
            "path": str(self.path),
            "site": self.manifest["site"],
            "reason": self.manifest.get("reason", "backup"),
            "bytes": self.bytes,
            "proven": stamp(proven) if proven else None,
        }


def now() -> datetime:
    return datetime.now(timezone.utc).replace(microsecond=0)


def stamp(moment: datetime) -> str:
    """The name of a set that is taken at ``moment``."""
    return moment.astimezone(timezone.utc).strftime(STAMP_FORMAT)


def is_stamp(text: str) -> bool:
    """Whether this can be a set's name."""
    return bool(_STAMP.match(text))


def parse_stamp(text: str) -> datetime:
    """The moment in a set's name. Raises ValueError."""
    return datetime.strptime(text, STAMP_FORMAT).replace(tzinfo=timezone.utc)


def sha256(path: pathlib.Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    return digest.hexdigest()


def write_atomically(path: pathlib.Path, text: str, mode: int = 0o600) -> None:
    """Write a file so that a reader sees the old content or the new, also after a power cut."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("w", encoding="utf-8") as sink:
            os.fchmod(sink.fileno(), mode)
            sink.write(text)
            sink.flush()
            os.fsync(sink.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(path: pathlib.Path) -> None:
    """Bring the names in a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class NewSet:
    """A set in the making. As a context manager it removes what it wrote unless ``finish`` was reached."""

    def __init__(self, root: str | os.PathLike[str], site: str, moment: datetime | None = None) -> None:
        self.site = site
        self.folder = site_folder(root, site)
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        moment = moment or now()
        # Two sets within one second: the second takes the next free one.
        while (self.folder / stamp(moment)).exists():
            moment += timedelta(seconds=1)
        self.stamp = stamp(moment)
        self.path = self.folder / f"{_PARTIAL}{self.stamp}"
        self._finished = False

    def __enter__(self) -> NewSet:
        self.path.mkdir(mode=0o700)
        return self

    def __exit__(self, *_unused: object) -> None:
        if not self._finished:
            shutil.rmtree(self.path, ignore_errors=True)

    def part(self, name: str) -> pathlib.Path:
        return self.path / name

    def finish(self, facts: dict[str, t.Any]) -> BackupSet:
        """Describe the parts, write the manifest last, and give the set its name.

        ``facts`` is what the manifest says beside the parts; its ``parts`` may hold what is known of a part already (its
        ``sha256``, counts). Raises OSError (a full disk), SetError for a missing part.
        """
        parts: dict[str, dict[str, t.Any]] = {}
        known_parts = facts.get("parts", {})
        for name in PARTS:
            path = self.part(name)
            if not path.is_file() or not path.stat().st_size:
                raise SetError(f"Part {name} of the new set of {self.site} is missing or empty.")
            known = known_parts.get(name, {})
            parts[name] = {**known, "bytes": path.stat().st_size, "sha256": known.get("sha256") or sha256(path)}
            with path.open("rb") as written:
                os.fsync(written.fileno())
        manifest = {"format": FORMAT, "site": self.site, "stamp": self.stamp, **facts, "parts": parts}
        write_atomically(self.part(MANIFEST), json.dumps(manifest, indent=2, sort_keys=True) + "\n")
        return self.adopt()

    def adopt(self) -> BackupSet:
        """Give a folder that holds all of a set, its manifest too, the set's name. Raises SetError where it does not."""
        manifest = read(self.path, self.site).manifest
        final = self.folder / self.stamp
        self.path.rename(final)
        self._finished = True
        sync_folder(self.folder)
        return BackupSet(final, manifest)


def site_folder(root: str | os.PathLike[str], site: str) -> pathlib.Path:
    """Where the sets of a site lie. Raises SetError for a name that would lead elsewhere."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]*", site):
        raise SetError(f"{site!r} cannot be the name of a site.")
    return pathlib.Path(root) / site


def read(path: str | os.PathLike[str], site: str | None = None) -> BackupSet:
    """The set in a folder, its manifest checked for shape and (where given) for the site it belongs to.

    The parts are not read: see ``verify``. Raises SetError.
    """
    folder = pathlib.Path(path)
    try:
        manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise SetError(f"{folder} has no manifest, so it is no backup set.") from None
    except (OSError, ValueError) as error:
        raise SetError(f"The manifest of {folder} cannot be read: {error}") from None
    wrong = _shape(manifest)
    if wrong:
        raise SetError(f"The manifest of {folder} {wrong}.")
    if manifest["stamp"] != folder.name.removeprefix(_PARTIAL):
        raise SetError(f"The manifest of {folder} belongs to set {manifest['stamp']}.")
    if site is not None and manifest["site"] != site:
        raise SetError(f"The set {folder} is one of {manifest['site']}, not of {site}.")
    return BackupSet(folder, manifest)


def _shape(manifest: t.Any) -> str | None:
    if not isinstance(manifest, dict):
        return "is not an object"
    if manifest.get("format") != FORMAT:
        return f"has format {manifest.get('format')!r}, this collection reads {FORMAT}"
    if not isinstance(manifest.get("site"), str) or not _STAMP.match(str(manifest.get("stamp"))):
        return "names no site or no time"
    parts = manifest.get("parts")
    if not isinstance(parts, dict) or set(parts) != set(PARTS):
        return f"does not list exactly the parts {', '.join(PARTS)}"
    for name, part in parts.items():
        if not (isinstance(part, dict) and isinstance(part.get("bytes"), int) and isinstance(part.get("sha256"), str)):
            return f"gives no size or checksum for {name}"
    return None


def verify(found: BackupSet) -> None:
    """Read every part and compare it with the manifest. Raises SetError for the first that differs."""
    for name, part in sorted(found.manifest["parts"].items()):
        path = found.part(name)
        if not path.is_file():
            raise SetError(f"Part {name} of set {found.path} is missing.")
        size = path.stat().st_size
        if size != part["bytes"]:
            raise SetError(f"Part {name} of set {found.path} has {size} bytes; its manifest says {part['bytes']}.")
        if sha256(path) != part["sha256"]:
            raise SetError(f"Part {name} of set {found.path} is damaged: its SHA-256 is not the manifest's.")


def sets(root: str | os.PathLike[str], site: str) -> list[BackupSet]:
    """All complete sets of a site, oldest first. What has no readable manifest, or is a difference only, is left out."""
    return [one for one in _readable(root, site) if one.since is None]


def _readable(root: str | os.PathLike[str], site: str) -> list[BackupSet]:
    folder = site_folder(root, site)
    found = []
    if folder.is_dir():
        for entry in folder.iterdir():
            if _STAMP.match(entry.name) and entry.is_dir():
                with contextlib.suppress(SetError):
                    found.append(read(entry, site))
    return sorted(found, key=lambda one: one.stamp)


def find(root: str | os.PathLike[str], site: str, wanted: str = "latest") -> BackupSet:
    """The set with a stamp, or the newest one. Raises SetError.

    ``latest`` never means a safety set (taken by a restore of what was there before) or a difference: ask for these by their stamp.
    """
    folder = site_folder(root, site)
    if wanted != "latest":
        if not _STAMP.match(wanted):
            raise SetError(f"{wanted!r} is not the name of a set. Write one like 20260102T030405Z, or latest.")
        return read(folder / wanted, site)
    candidates = [one for one in sets(root, site) if not one.safety]
    if not candidates:
        raise SetError(f"There is no complete backup set of {site} below {folder}.")
    # A set that was taken while the clock was ahead would be the newest for years.
    return ([one for one in candidates if not one.early] or candidates)[-1]


def partial(root: str | os.PathLike[str], site: str) -> list[pathlib.Path]:
    """What interrupted runs left behind. Only to be removed by who holds the site's lock."""
    folder = site_folder(root, site)
    if not folder.is_dir():
        return []
    return sorted(one for one in folder.iterdir() if one.name.startswith((_PARTIAL, _TRASH)))


def drop_differences(root: str | os.PathLike[str], site: str) -> None:
    """Remove sets that are a difference to another one: a move makes them, and needs them no longer."""
    for one in _readable(root, site):
        if one.since is not None:
            remove(one)


def clean(root: str | os.PathLike[str], site: str) -> list[str]:
    """Remove what interrupted runs left behind; returns the names."""
    left = partial(root, site)
    for path in left:
        _remove(path)
    return [path.name for path in left]


def remove(found: BackupSet) -> None:
    """Remove a set: first its name, so that a half removed one is never taken for a set."""
    trash = found.path.with_name(f"{_TRASH}{found.stamp}")
    found.path.rename(trash)
    _remove(trash)


def _remove(path: pathlib.Path) -> None:
    """Remove a folder, or a link to one, which stays where it is."""
    if path.is_symlink() or not path.is_dir():
        path.unlink()
    else:
        shutil.rmtree(path)


def prove(found: BackupSet, moment: datetime, result: dict[str, t.Any]) -> None:
    """Note beside the manifest that a drill restored this set."""
    text = json.dumps({"proven": stamp(moment), **result}, indent=2, sort_keys=True) + "\n"
    write_atomically(found.part(PROOF), text)


# Pruning


@dataclass(frozen=True)
class Policy:
    """How many sets to keep: the newest of each of the last hours, days, weeks, months, years that have one."""

    hourly: int = 0
    daily: int = 7
    weekly: int = 5
    monthly: int = 12
    yearly: int = 3
    keep_min: int = 3

    def __post_init__(self) -> None:
        for name in ("hourly", "daily", "weekly", "monthly", "yearly"):
            if getattr(self, name) < 0:
                raise SetError(f"{name} must be 0 or more, not {getattr(self, name)}.")
        if self.keep_min < 1:
            raise SetError(f"keep_min must be 1 or more, not {self.keep_min}: no rule may remove the last set.")


@dataclass
class Plan:
    """Which sets stay, each with the reasons, and which go. Both oldest first."""

    keep: dict[str, list[str]] = field(default_factory=dict)
    remove: list[str] = field(default_factory=list)


_PERIODS: dict[str, t.Callable[[datetime], tuple[int, ...]]] = {
    "hourly": lambda moment: (moment.year, moment.month, moment.day, moment.hour),
    "daily": lambda moment: (moment.year, moment.month, moment.day),
    "weekly": lambda moment: tuple(moment.isocalendar())[:2],
    "monthly": lambda moment: (moment.year, moment.month),
    "yearly": lambda moment: (moment.year,),
}


def plan(
    taken: t.Iterable[datetime], policy: Policy, proven: datetime | None = None, safety: t.Iterable[datetime] = ()
) -> Plan:
    """Which of the sets taken at these moments to keep.

    ``proven`` is the moment of the last set that a drill restored: it always stays, and so do the newest ``keep_min``.
    Of those that restores took for ``safety``, other moments, the newest ``keep_min`` stay: they count for no rule, so that restores
    push out no backup. The clock is not asked: a site that is no longer backed up keeps what it has.
    """
    newest_first, safety_first = sorted(set(taken), reverse=True), sorted(set(safety), reverse=True)
    reasons: dict[datetime, list[str]] = {moment: [] for moment in (*newest_first, *safety_first)}
    for moment in newest_first[: policy.keep_min]:
        reasons[moment].append("keep_min")
    for moment in safety_first[: policy.keep_min]:
        reasons[moment].append("safety")
    if proven in reasons:
        reasons[proven].append("proven")
    for name, period in _PERIODS.items():
        seen: set[tuple[int, ...]] = set()
        for moment in newest_first:
            if len(seen) == getattr(policy, name):
                break
            if period(moment) not in seen:
                seen.add(period(moment))
                reasons[moment].append(name)
    oldest_first = sorted(reasons)
    return Plan(
        keep={stamp(moment): reasons[moment] for moment in oldest_first if reasons[moment]},
        remove=[stamp(moment) for moment in oldest_first if not reasons[moment]],
    )


def last_proven(found: t.Iterable[BackupSet]) -> BackupSet | None:
    """The newest set that a drill restored with success."""
    return max((one for one in found if one.proven), key=lambda one: one.stamp, default=None)


# Metrics


def metrics(site: str, samples: t.Iterable[tuple[str, str, float]]) -> str:
    """Prometheus' text format for one site: (name, help, value) triples, all gauges."""
    label = site.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    lines = []
    for name, help_text, value in samples:
        lines += [f"# HELP {name} {help_text}", f"# TYPE {name} gauge", f'{name}{{site="{label}"}} {value:.15g}']
    return "\n".join(lines) + "\n"


def write_metrics(folder: str | os.PathLike[str], name: str, text: str) -> None:
    """Put a file where node exporter's textfile collector reads, whole or not at all. No folder, no metrics."""
    target = pathlib.Path(folder)
    if target.is_dir():
        write_atomically(target / name, text, mode=0o644)


def write_outcome(folder: str | os.PathLike[str], name: str, text: str) -> str:
    """Like ``write_metrics``. Where that fails the file goes, for what it says is no longer so; returns why, in words."""
    try:
        write_metrics(folder, name, text)
    except OSError as error:
        path = pathlib.Path(folder) / name
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)
        return f"How it went could not be noted in {path}: {error}"
    return ""
