# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Where code comes from: a zip or a folder, on this machine or behind a URL. What is in it is known before it is sent."""

from __future__ import annotations

import contextlib
import hashlib
import pathlib
import re
import tarfile
import tempfile
import time
import typing as t
import zipfile

HEADER = {"plugin": "Plugin Name", "theme": "Theme Name"}


class SourceError(Exception):
    """The source cannot be used; the text says why and names it."""


class Source:
    """A zip or a folder that holds one plugin, one theme, a WordPress, or language files.

    ``slug`` is the folder that it will have (None for WordPress and languages), ``version`` what its header says,
    ``single`` the name of a plugin that is one file.
    """

    def __init__(self, path: str, kind: str) -> None:
        """``kind``: plugin, theme, core or language. Raises SourceError."""
        self.path = pathlib.Path(path)
        self.kind = kind
        self.slug: str | None = None
        self.version: str | None = None
        self.main: str | None = None
        self.db_version: int | None = None
        self._zip: zipfile.ZipFile | None = None
        if self.path.is_dir():
            self._names = [entry.relative_to(self.path).as_posix() for entry in files(self.path)]
            self._prefix = ""
        elif zipfile.is_zipfile(self.path):
            self._zip = zipfile.ZipFile(self.path)
            self._names = [name for name in self._zip.namelist() if not name.endswith("/")]
            self._names = [name for name in self._names if not name.startswith("__MACOSX/")]
            for name in self._names:
                parts = name.replace("\\", "/").split("/")
                if name.startswith("/") or ".." in parts or (self._zip.getinfo(name).external_attr >> 28) == 0xA:
                    raise SourceError(f"{path} has an entry that reaches outside of it: {name}")
            tops = {name.split("/")[0] for name in self._names}
            nested = all("/" in name for name in self._names)
            self._prefix = tops.pop() + "/" if len(tops) == 1 and nested else ""
        elif not self.path.exists():
            raise SourceError(f"{path} does not exist")
        else:
            raise SourceError(f"{path} is neither a folder nor a zip file")
        self._understand()

    def _understand(self) -> None:
        inside = [name[len(self._prefix) :] for name in self._names]
        if self.kind == "core":
            if "wp-includes/version.php" not in inside or "wp-load.php" not in inside:
                raise SourceError(f"{self.path} holds no WordPress: wp-includes/version.php is missing")
            about = core_versions(self._text("wp-includes/version.php"))
            self.version, self.db_version = about["version"], about["db_version"]
        elif self.kind == "language":
            if not any(name.endswith((".mo", ".l10n.php")) for name in inside):
                raise SourceError(f"{self.path} holds no language files (.mo or .l10n.php)")
        else:
            self._read_header(inside)

    def _read_header(self, inside: list[str]) -> None:
        """Find the file with the plugin's or theme's header, as WordPress looks for it."""
        label = HEADER[self.kind]
        candidates = (
            ["style.css"] if self.kind == "theme" else [n for n in inside if "/" not in n and n.endswith(".php")]
        )
        headers = []
        for name in candidates:
            if name in inside:
                text = self._text(name)[:8192]
                if re.search(rf"^(?:[ \t]*<\?php)?[ \t/*#@]*{label}:[ \t]*\S", text, re.MULTILINE | re.IGNORECASE):
                    headers.append((name, text))
        if not headers:
            raise SourceError(
                f"{self.path} is no {self.kind}: no {'style.css' if self.kind == 'theme' else 'PHP file'} "
                f"at its top has a '{label}:' header"
            )
        own = (self._prefix.rstrip("/") or self.path.name.removesuffix(".zip")).lower() + ".php"
        # The file that is named like its folder stands for a plugin that has several headers.
        self.main, text = next((entry for entry in headers if entry[0].lower() == own), headers[0])
        found = re.search(r"^[ \t/*#@]*Version:[ \t]*(\S.*?)\s*(?:\*/.*)?$", text, re.MULTILINE | re.IGNORECASE)
        self.version = found[1] if found else ""
        if self._zip is None:
            self.slug = self.path.name
        elif self._prefix:
            self.slug = self._prefix.rstrip("/")
        else:
            self.slug = self.path.name.removesuffix(".zip")

    def _text(self, name: str) -> str:
        if self._zip is not None:
            return self._zip.read(self._prefix + name)[:65536].decode("utf-8", "replace")
        return (self.path / name).read_bytes()[:65536].decode("utf-8", "replace")

    def describe(self) -> dict[str, t.Any]:
        """What must be known of it to compare it with a site."""
        return {"slug": self.slug, "version": self.version, "main": self.main, "db_version": self.db_version}

    def tar(self, root: str) -> t.IO[bytes]:
        """All of it as an open tar file, every name below ``root``, times set to now.

        OPcache compares times and nothing else: a file with the time of the one that it replaces would stay unseen.
        """
        out = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
        now = int(time.time())
        with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
            for name in self._names:
                inner = name[len(self._prefix) :]
                entry = tarfile.TarInfo(f"{root}/{inner}")
                entry.mtime, entry.mode = now, 0o644
                if self._zip is not None:
                    entry.size = self._zip.getinfo(name).file_size
                    with self._zip.open(name) as content:
                        archive.addfile(entry, content)
                else:
                    file = self.path / name
                    entry.size = file.stat().st_size
                    with file.open("rb") as content:
                        archive.addfile(entry, content)
        out.seek(0)
        return out


def core_versions(text: str) -> dict[str, t.Any]:
    """What WordPress' own version.php says: version, and db_version of the schema that it wants."""
    version = re.search(r"\$wp_version\s*=\s*'([^']+)'", text)
    schema = re.search(r"\$wp_db_version\s*=\s*(\d+)", text)
    return {"version": version[1] if version else None, "db_version": int(schema[1]) if schema else None}


def files(folder: pathlib.Path) -> list[pathlib.Path]:
    """All files below it. Links are followed: distributions link libraries into their WordPress."""
    return sorted(entry for entry in _walk(folder) if entry.is_file())


def _walk(folder: pathlib.Path, seen: frozenset[str] = frozenset()) -> t.Iterator[pathlib.Path]:
    real = str(folder.resolve())
    if real in seen:
        return
    for entry in folder.iterdir():
        if entry.is_dir():
            yield from _walk(entry, seen | {real})
        else:
            yield entry


def chunks(stream: t.IO[bytes], size: int = 1 << 18) -> t.Iterator[bytes]:
    """The stream piece by piece."""
    with contextlib.closing(stream):
        while part := stream.read(size):
            yield part


def sha256(path: str) -> str:
    """The checksum of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with pathlib.Path(path).open("rb") as stream:
        for part in iter(lambda: stream.read(1 << 20), b""):
            digest.update(part)
    return digest.hexdigest()


def is_url(source: str) -> bool:
    """Whether it is fetched over the network."""
    return source.startswith(("http://", "https://"))
