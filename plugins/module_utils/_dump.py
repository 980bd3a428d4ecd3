# Copyright: dockpress contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Dumps of a site's database: made, checked, loaded beside the site, swapped in.

Everything runs in the database's own container with its own clients, so client and server never differ, and bulk data
stays there: only compressed streams enter and leave it. The way in is always ::

    database = Database(client, "blog-database-1")   # name and accounts come from the container's environment
    database.recover()                               # finish or undo what a killed run left behind
    info = database.dump_to("/srv/db.sql.zst")       # or: info = database.check("/srv/db.sql.zst")
    database.load("/srv/db.sql.zst", info)           # into the scratch database; the site is not touched
    database.swap(info)                              # one RENAME TABLE; the old tables stay aside ...
    database.discard()                               # ... until this drops them; or database.swap_back()

The caller holds the site's lock around all of it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
import secrets
import time
from dataclasses import dataclass, field
from pathlib import Path

from ansible_collections.dockpress.hosting.plugins.module_utils._exec import ExecError, Process, run

CHUNK = 1 << 18
SUFFIXES = {"zstd": ".zst", "gzip": ".gz"}
MAGIC = {"zstd": b"\x28\xb5\x2f\xfd", "gzip": b"\x1f\x8b"}
# More than these many bytes of SQL, times this, must be free in the database's folder before a load begins.
ROOM = 1.2
# Seconds that a statement which was told to end may take for it.
STRAYS_END = 60

ACCOUNT = r"""
set -o pipefail
export LC_ALL=C
secret() {
    local name file
    for name in "MARIADB_$1" "MYSQL_$1"; do
        file=${name}_FILE
        if [ -n "${!file-}" ] && [ -r "${!file}" ]; then cat "${!file}"; return; fi
        if [ -n "${!name-}" ]; then printf %s "${!name}"; return; fi
    done
    [ -r "/run/secrets/$2" ] && cat "/run/secrets/$2"
}
tool() { command -v "mariadb$1" || command -v "mysql$1" || { echo "The container has no program mariadb$1." >&2; return 1; }; }
password=$(secret ROOT_PASSWORD db_root_password) && account=root
if [ -z "${account-}" ]; then
    account=${MARIADB_USER:-${MYSQL_USER-}}
    password=$(secret PASSWORD db_password)
fi
[ -n "$account" ] || { echo "The container holds neither the root password of the database nor a user's." >&2; exit 90; }
export MYSQL_PWD=$password
"""

CLIENT = 'exec "$(tool "")" --user="$account" --batch --skip-column-names --unbuffered --default-character-set=utf8mb4 -- "$@"\n'

# Every row of a dump of MariaDB's stands on a line of its own that begins with a parenthesis, and no other line does: grep
# drops these at the speed of memory, and the line numbers of what is left give the rows of each INSERT. Where a column is hidden
# from SELECT *, MariaDB names the columns and begins with the first row on the same line; MySQL has all rows there, and is not counted.
SCAN = r"""
scan() { grep -a -n -b -v '^(' | cut -b1-2000 | awk -v marker="$marker" '
function emit(kind, a, b) { printf "%s\t%s\t%s\t%s\n", marker, kind, a, b }
function name(text) {
    text = substr(text, index(text, "`") + 1)
    gsub(/``/, "\001", text)
    text = substr(text, 1, index(text, "`") - 1)
    gsub(/\001/, "`", text)
    return text
}
{
    i = index($0, ":"); number = substr($0, 1, i - 1) + 0; text = substr($0, i + 1)
    i = index(text, ":"); at = substr(text, 1, i - 1) + 0; text = substr(text, i + 1)
    if (into != "") { rows[into] += number - start - 1; into = "" }
    if (database == "" && text ~ /^-- Host: .* Database: /) { database = text; sub(/^.* Database: /, "", database); sub(/[ \r]+$/, "", database) }
    if (number == 1 && text ~ /^\/\*M?!999999\\- enable the sandbox mode \*\/ ?$/) emit("skip", length(text) + 1)
    sub(/\r$/, "", text)
    if (text ~ /^[ \t]*$/) next
    last = text; lines = number; bytes = at + length(text)
    if (text ~ /^(\/\*!|CREATE ).*DEFINER=`[^`]*`@`/) emit("definer", number)
    if (text ~ /^DELIMITER /) { body = (text !~ /^DELIMITER ;$/); next }
    if (body) next
    if (text ~ /^INSERT INTO `([^`]|``)*` VALUES$/) { into = name(text); start = number; by_line = 1; next }
    if (text ~ /^INSERT INTO `([^`]|``)*` \((`([^`]|``)*`(, )?)+\) VALUES \(/) { into = name(text); start = number - 1; named[into] = 1; next }
    while (match(text, /^(\/\*M?![0-9]* ?|[ \t]+)/)) text = substr(text, RLENGTH + 1)
    upper = toupper(substr(text, 1, 200))
    if (upper ~ /^(INSERT|REPLACE)[ \t]/) {
        if (upper ~ /^INSERT INTO `([^`]|``)*`[ (]/) unknown[name(text)] = 1; else guess = 1
    } else if (upper ~ /^CREATE TABLE (IF NOT EXISTS )?`/) tables[name(text)] = 1
    else if (upper ~ /^CREATE (OR REPLACE )?SEQUENCE (IF NOT EXISTS )?`/) { tables[name(text)] = 1; rows[name(text)] = 1 }
    else if (upper ~ /^CREATE TABLE (IF NOT EXISTS )?[^ ]/) {
        sub(/^[^ ]+ +[^ ]+ +([Ii][Ff] +[Nn][Oo][Tt] +[Ee][Xx][Ii][Ss][Tt][Ss] +)?/, "", text); sub(/[ (].*/, "", text); gsub(/"/, "", text); tables[text] = 1
    } else if (upper ~ /^(CREATE .*)?VIEW `/) {
        if (database != "" && index(text, "`" database "`.")) emit("qualified", number)
        sub(/^.*[Vv][Ii][Ee][Ww] `/, "`", text); views[name(text)] = 1 }
    else if (upper ~ /^(USE|CREATE (OR REPLACE )?(DATABASE|SCHEMA)|DROP (DATABASE|SCHEMA))([ \t`;]|$)/ ||
             upper ~ /^(GRANT|REVOKE|(CREATE|ALTER|DROP) USER|SET PASSWORD)([ \t`;]|$)/)
        emit("foreign", number, substr(text, 1, 120))
    else if (upper ~ /^ALTER (DATABASE|SCHEMA) `/) emit("alter", number)
}
END {
    for (t in tables) if (!(t in views)) emit("table", t, guess || (t in unknown) || (t in named) && !by_line ? "?" : rows[t] + 0)
    for (v in views) emit("view", v)
    emit("database", database)
    emit("size", lines + 0, bytes + 0)
    emit("complete", last ~ /^-- Dump completed/ ? 1 : 0)
}'; }
"""

UNPACK = r"""
unpack() { case $1 in zstd) zstd -d -q -c ;; gzip) gzip -d -q -c ;; *) cat ;; esac; }
"""

DUMP = (
    ACCOUNT
    + SCAN
    + r"""
database=$1 marker=$2 method=$3 level=$4
case $method in zstd | gzip) command -v "$method" >/dev/null || { echo "The container has no program $method." >&2; exit 91; } ;; esac
pack() { case $method in zstd) zstd -q -c -T0 "-$level" ;; gzip) gzip -c "-$level" ;; *) cat ;; esac; }
program=$(tool -dump) || exit 91
exec 5>&2
"$program" --user="$account" --single-transaction --quick --skip-lock-tables --no-autocommit --add-drop-table --no-tablespaces \
    --default-character-set=utf8mb4 --hex-blob --routines --triggers --events --max-allowed-packet=1G -- "$database" |
    { tee /dev/fd/6 | scan >&5; } 6>&1 | pack
status=("${PIPESTATUS[@]}")
printf '%s\tstatus\t%s\t\n' "$marker" "${status[*]}" >&2
for code in "${status[@]}"; do [ "$code" = 0 ] || exit "$code"; done
"""
)

CHECK = (
    "set -o pipefail\nexport LC_ALL=C\n"
    + SCAN
    + UNPACK
    + r"""
method=$1 marker=$2
case $method in zstd | gzip) command -v "$method" >/dev/null || { echo "The container has no program $method." >&2; exit 91; } ;; esac
unpack "$method" | scan
exit "${PIPESTATUS[0]}"
"""
)

LOAD = (
    ACCOUNT
    + UNPACK
    + r"""
method=$1 skip=$2 database=$3 user=$4 edit=$5
export MYSQL_PWD=$line
program=$(tool "") || exit 91
edited() { if [ -n "$edit" ]; then sed -e "$edit"; else cat; fi; }
cut_first() { if [ "$skip" -gt 0 ]; then tail -c "+$((skip + 1))"; else cat; fi; }
load() {
    "$program" --user="$user" --batch --binary-mode --default-character-set=utf8mb4 --max-allowed-packet=1G \
        --init-command="SET SESSION sql_mode='NO_AUTO_VALUE_ON_ZERO', foreign_key_checks=0, unique_checks=0" -- "$database"
}
if [ "$skip" = 0 ] && [ -z "$edit" ]; then unpack "$method" | load
elif [ -z "$edit" ]; then unpack "$method" | cut_first | load
else unpack "$method" | cut_first | edited | load; fi
status=("${PIPESTATUS[@]}")
[ "${status[-1]}" = 0 ] || exit "${status[-1]}"
[ "${status[0]}" = 0 ] || { echo "The file does not decompress to its end." >&2; exit 92; }
"""
)

OBJECTS = (
    ACCOUNT
    + r"""
database=$1 lenient=$2; shift 2
program=$(tool -dump) || exit 91
common=(--user="$account" --no-data --skip-lock-tables --single-transaction --no-tablespaces --default-character-set=utf8mb4 --skip-dump-date)
if [ $# -gt 0 ]; then "$program" "${common[@]}" $lenient --skip-triggers -- "$database" "$@" || [ -n "$lenient" ] || exit; fi
"$program" "${common[@]}" --no-create-info --routines --events --triggers --add-drop-trigger -- "$database"
"""
)

DEFINER = re.compile(r"DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*`")


class DumpError(Exception):
    """Says what is wrong and what to do. ``facts`` are results worth returning (``stderr``, ``line``, ...)."""

    def __init__(self, message, **facts):
        super().__init__(message)
        self.facts = facts


@dataclass
class DumpInfo:
    """What is known of a dump file."""

    compression: str = "none"
    complete: bool = False
    tables: list = field(default_factory=list)
    views: list = field(default_factory=list)
    rows: dict = field(default_factory=dict)  # table -> rows in the dump; tables written by other programs are missing
    sha256: str = ""
    bytes: int = 0  # of the file
    sql_bytes: int = 0  # when unpacked
    skip: int = 0  # bytes of a first line that only older clients choke on
    foreign: list = field(default_factory=list)  # (line, text) of statements about other databases or accounts
    alter: list = field(default_factory=list)  # lines that set the character set of the database by its name
    qualified: list = field(default_factory=list)  # lines with views that name the database (their definer is gone)
    definer: list = field(default_factory=list)  # lines that say as whom a trigger, view, routine or event runs
    database: str = ""  # that the dump was made of
    seconds: float = 0.0


def quote(name):
    """An identifier for SQL."""
    return "`" + name.replace("`", "``") + "`"


def text(value):
    """A string for SQL."""
    return "'" + value.replace("\\", "\\\\").replace("'", "''") + "'"


def compression_of(path):
    """The compression that a file's name says: ``zstd``, ``gzip`` or ``none``."""
    for method, suffix in SUFFIXES.items():
        if str(path).endswith(suffix):
            return method
    return "none"


def parse_scan(lines, marker):
    """Turn what the scanner printed into a :class:`DumpInfo` and the lines that were not the scanner's."""
    info = DumpInfo()
    other = []
    for line in lines:
        parts = line.split("\t")
        if parts[0] != marker or len(parts) < 4:
            other.append(line)
            continue
        kind, first, second = parts[1:4]
        if kind == "table":
            info.tables.append(first)
            if second != "?":
                info.rows[first] = int(second)
        elif kind == "view":
            info.views.append(first)
        elif kind == "foreign":
            info.foreign.append((int(first), second))
        elif kind == "alter":
            info.alter.append(int(first))
        elif kind == "definer":
            info.definer.append(int(first))
        elif kind == "qualified":
            info.qualified.append(int(first))
        elif kind == "database":
            info.database = first
        elif kind == "skip":
            info.skip = int(first)
        elif kind == "size":
            info.sql_bytes = int(second)
        elif kind == "complete":
            info.complete = first == "1"
    info.tables.sort()
    info.views.sort()
    return info, other


def read_checksum(path):
    """The SHA-256 sums that the file beside ``path`` allows, empty where there is none."""
    beside = Path(f"{path}.sha256")
    if not beside.exists():
        return []
    sums = re.findall(r"(?m)^\\?([0-9a-fA-F]{64})\b", beside.read_text())
    if not sums:
        raise DumpError(f"{beside} holds no SHA-256 sum. Remove it, or write it with sha256sum.")
    return [item.lower() for item in sums]


class _Writer:
    """A file that is either whole under its name or not there: ``.partial``, fsync, rename, the checksum beside it."""

    def __init__(self, path):
        self.path = Path(path)
        self.partial = Path(f"{path}.partial")
        self.sha = hashlib.sha256()
        self.bytes = 0
        self.partial.unlink(missing_ok=True)
        descriptor = os.open(self.partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        self._file = os.fdopen(descriptor, "wb", buffering=0)

    def write(self, chunk):
        self.sha.update(chunk)
        self.bytes += len(chunk)
        view = memoryview(chunk)
        while view:
            view = view[self._file.write(view) :]

    def commit(self):
        os.fsync(self._file.fileno())
        self._file.close()
        line = f"{self.sha.hexdigest()}  {self.path.name}\n"
        beside = Path(f"{self.path}.sha256")
        # While the two files change places the sums of both the old and the new one are good.
        old = beside.read_text() if beside.exists() and self.path.exists() else ""
        self._replace(beside, line + old)
        self.partial.replace(self.path)
        self._replace(beside, line)

    @staticmethod
    def _replace(path, content):
        partial = Path(f"{path}.partial")
        with os.fdopen(os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600), "w") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def abandon(self):
        with contextlib.suppress(OSError):
            self._file.close()
        self.partial.unlink(missing_ok=True)


class _Refused(Exception):
    def __init__(self, code, stderr):
        super().__init__()
        self.code, self.stderr = code, stderr


class _Session:
    """One client in the container for many questions. It ends with the first error, and with this process."""

    def __init__(self, client, container):
        self._process = Process(client, container, ACCOUNT + CLIENT, stdin=True, timeout=24 * 3600)
        self._chunks = self._process.stdout()
        self._rest = b""

    def alive(self):
        return self._process.running()

    def ask(self, statements):
        mark = secrets.token_hex(8).encode()
        with contextlib.suppress(OSError):  # the client has ended: what it said comes below
            self._process.send(statements.encode() + b";\nSELECT '" + mark + b"';\n")
        end = mark + b"\n"
        while not (self._rest == end or self._rest.endswith(b"\n" + end)):
            chunk = next(self._chunks, None)
            if chunk is None:
                raise _Refused(self._process.wait(), self._process.stderr)
            self._rest += chunk
        rows, self._rest = self._rest.removesuffix(end), b""
        return [
            [_unescape(cell) for cell in row.split("\t")] for row in rows.decode("utf-8", "replace").split("\n")[:-1]
        ]


class Database:
    """The database of one site, reached through its container.

    :param client: ``docker.DockerClient`` or its low-level ``APIClient``.
    :param container: name of the running database container (the contract of the official ``mariadb`` image: environment
        names with their ``_FILE`` variants; root's password may also stand in ``/run/secrets/db_root_password``).
    :param name: the schema; by default what ``MARIADB_DATABASE`` says.
    :param timeout: seconds for one program in the container.
    """

    def __init__(self, client, container, name=None, timeout=3600):
        self.client = client
        self.container = container
        self.timeout = timeout
        self.name = name or self._environment("DATABASE")
        if not self.name:
            raise DumpError(f"Container {container} does not say which database it holds. Name it.")
        self._session = None
        self.scratch = f"{self.name[:50]}_dp_new"
        self.aside = f"{self.name[:50]}_dp_old"

    def _environment(self, key):
        api = getattr(self.client, "api", self.client)
        try:
            attrs = api.inspect_container(self.container)
        except Exception as error:  # docker's and requests' errors have no common class of their own
            raise DumpError(f"Cannot find the database container {self.container}: {error}") from error
        if not attrs["State"]["Running"]:
            raise DumpError(f"The database container {self.container} is not running. Start the stack first.")
        self.attrs = attrs
        pairs = dict(item.split("=", 1) for item in attrs["Config"].get("Env") or [] if "=" in item)
        return pairs.get(f"MARIADB_{key}") or pairs.get(f"MYSQL_{key}")

    # -- SQL ---------------------------------------------------------------------------------------------------------

    def sql(self, statements, database=None):
        """Run SQL as root (or as the site's user where the container knows no root password).

        :return: list of rows, each a list of strings (``NULL`` stays that word).
        :raise DumpError: the first statement that failed.
        """
        use = f"USE {quote(database)};\n" if database else ""
        try:
            # The database may have been started anew since the last question.
            if self._session is None or not self._session.alive():
                self._session = _Session(self.client, self.container)
            return self._session.ask(use + statements.rstrip().removesuffix(";"))
        except ExecError as error:
            self._session = None
            raise DumpError(str(error)) from error
        except _Refused as refusal:
            self._session = None
            raise self._failure("The database refused", refusal.code, refusal.stderr) from None

    def _failure(self, what, code, stderr, shift=0):
        message = stderr.decode("utf-8", "replace").strip()
        facts = {"rc": code}
        found = re.search(r"^(ERROR (?:(\d+) \(\w+\) )?at line )(\d+)(.*)", message, re.MULTILINE | re.DOTALL)
        if found:
            # What stands before it is the statement, with whatever data and secrets are in it.
            facts["line"] = int(found[3]) + shift
            if found[2]:
                facts["error"] = int(found[2])
            message = f"{found[1]}{facts['line']}{found[4]}"
        facts["stderr"] = message
        if code in (124, 137) and not message:
            message = f"it did not end within {self.timeout} s, or was killed"
        if re.search(r"(?:ERROR|error:) 200[23]\b", message):
            message += " (the database does not answer; see its container's log)"
        if re.search(r"ERROR 1356\b|\(1356\)", message):
            message += ". A view that is broken cannot be dumped: repair or drop it"
        return DumpError(f"{what}: {message or f'exit code {code}'}", **facts)

    def tables(self, database=None):
        """Names of the base tables of a schema."""
        names = self._names(database, "TABLE_TYPE IN ('BASE TABLE', 'SYSTEM VERSIONED', 'SEQUENCE')")
        return [name for name in names if not name.startswith("_dockpress_")]

    def views(self, database=None):
        """Names of the views of a schema."""
        return self._names(database, "TABLE_TYPE = 'VIEW'")

    def _names(self, database, condition):
        query = "SELECT TABLE_NAME FROM information_schema.TABLES WHERE TABLE_SCHEMA = {0} AND {1};"
        return sorted(row[0] for row in self.sql(query.format(text(database or self.name), condition)))

    def table_counts(self, tables=None, database=None):
        """Exact number of rows of each table, as ``{table: rows}``."""
        database = database or self.name
        tables = self.tables(database) if tables is None else tables
        if not tables:
            return {}
        parts = [f"SELECT {text(t)}, COUNT(*) FROM {quote(database)}.{quote(t)};" for t in tables]
        return {row[0]: int(row[1]) for row in self.sql("\n".join(parts))}

    def table_checksums(self, tables=None, database=None):
        """``CHECKSUM TABLE`` of each table, as ``{table: sum}``; equal for equal rows in the same columns, in any order."""
        database = database or self.name
        tables = self.tables(database) if tables is None else tables
        if not tables:
            return {}
        names = ", ".join(f"{quote(database)}.{quote(t)}" for t in tables)
        return {row[0].split(".", 1)[1]: row[1] for row in self.sql(f"CHECKSUM TABLE {names};")}

    # -- making ------------------------------------------------------------------------------------------------------

    def dump(self, sink, compression="zstd", level=3):
        """Stream a consistent, compressed dump into ``sink.write``.

        :return: :class:`DumpInfo` of it, without ``sha256``. Its rows are counted in the dump, so they agree with it under writes.
        :raise DumpError: it failed or is incomplete; what ``sink`` got is worthless then.
        """
        marker = secrets.token_hex(8)
        start = time.monotonic()
        try:
            arguments = [self.name, marker, compression, str(level)]
            with Process(self.client, self.container, DUMP, arguments, timeout=self.timeout) as process:
                size = 0
                for chunk in process.stdout():
                    sink.write(chunk)
                    size += len(chunk)
                code = process.wait()
        except ExecError as error:
            raise DumpError(f"The dump of {self.name} broke off: {error}") from error
        info, other = parse_scan(process.stderr.decode("utf-8", "replace").splitlines(), marker)
        if code:
            raise self._failure(f"The dump of {self.name} failed", code, "\n".join(other).encode())
        if not info.complete or not info.tables:
            problem = "has no completeness line" if info.tables else "holds no table"
            raise DumpError(f"The dump of {self.name} {problem}.", stderr="\n".join(other))
        info.compression = compression
        info.bytes = size
        info.seconds = round(time.monotonic() - start, 2)
        return info

    def dump_to(self, path, compression=None, level=3):
        """Write a dump to the file ``path`` (0600) with its checksum beside it (``path.sha256``).

        A file that is already there stays as it is until the new one is complete and on disk. A table definition that
        changes under the dump (a plugin update) is met by one more try.
        """
        compression = compression or compression_of(path)
        for attempt in (1, 2):
            writer = _Writer(path)
            try:
                info = self.dump(writer, compression, level)
                writer.commit()
            except DumpError as error:
                writer.abandon()
                if attempt == 1 and "1412" in str(error):
                    continue
                raise
            except BaseException:
                writer.abandon()
                raise
            info.sha256 = writer.sha.hexdigest()
            return info
        raise AssertionError("unreachable")

    # -- checking ----------------------------------------------------------------------------------------------------

    def check(self, path, checksum=None, prefix=None, require_complete=True):
        """Read a dump file to its end without touching the database.

        :param checksum: SHA-256 that the file must have; by default what ``path.sha256`` says, where that exists.
        :param prefix: table prefix that at least one table of the dump must have.
        :param require_complete: refuse a file whose last line is not the dumping program's "Dump completed".
        :raise DumpError: the file is not what it should be.
        """
        path = Path(path)
        try:
            file = path.open("rb")
        except OSError as error:
            raise DumpError(f"Cannot read the dump {path}: {error.strerror}.") from error
        with file:
            head = file.read(4)
            file.seek(0)
            method = next((name for name, magic in MAGIC.items() if head.startswith(magic)), "none")
            said = compression_of(path)
            if method != said:
                kinds = {"none": "not compressed", "zstd": "compressed with zstd", "gzip": "compressed with gzip"}
                right = f"{path.name.removesuffix(SUFFIXES.get(said, ''))}{SUFFIXES.get(method, '')}"
                raise DumpError(
                    f"{path} is {kinds[method]}, other than its name says. If it is the right file, rename it to {right}."
                )
            allowed = [checksum.lower()] if checksum else read_checksum(path)
            sha = hashlib.sha256()
            marker = secrets.token_hex(8)

            def chunks():
                while chunk := file.read(CHUNK):
                    sha.update(chunk)
                    yield chunk

            start = time.monotonic()
            try:
                with Process(
                    self.client, self.container, CHECK, [method, marker], stdin=True, timeout=self.timeout
                ) as process:
                    process.feed(chunks())
                    out = b"".join(process.stdout())
                    code = process.wait()
            except ExecError as error:
                raise DumpError(f"The check of {path} broke off: {error}") from error
            # A decompressor that gave up did not read the rest of the file.
            for _rest in chunks():
                pass
        if allowed and sha.hexdigest() not in allowed:
            raise DumpError(
                f"{path} has the SHA-256 sum {sha.hexdigest()}, expected is {allowed[0]}. The file is damaged or another one."
            )
        if code:
            hint = process.stderr.decode("utf-8", "replace").strip()
            raise DumpError(
                f"{path} does not decompress to its end: {hint or f'exit code {code}'}. The file is cut or damaged.",
                rc=code,
            )
        info, _other = parse_scan(out.decode("utf-8", "replace").splitlines(), marker)
        info.compression = method
        info.sha256 = sha.hexdigest()
        info.bytes = path.stat().st_size
        info.seconds = round(time.monotonic() - start, 2)
        self._judge(path, info, prefix, require_complete)
        return info

    @staticmethod
    def _judge(path, info, prefix, require_complete):
        if info.foreign:
            line, statement = info.foreign[0]
            raise DumpError(
                f"{path} holds a statement about other databases or accounts in line {line}: {statement} "
                "A dump of one site must not. Make it without --databases, or remove such lines.",
                line=line,
            )
        if require_complete and not info.complete:
            raise DumpError(
                f"{path} does not end with the line '-- Dump completed': it was cut off, or another program wrote it."
            )
        if not info.tables:
            raise DumpError(f"{path} creates no table: it is no dump of a site.")
        if prefix and not any(table.startswith(prefix) for table in info.tables):
            roots = sorted(t.removesuffix("options") for t in info.tables if t.endswith("options"))
            found = f"begin with {', '.join(roots)}" if roots else f"are {', '.join(info.tables[:5])}"
            raise DumpError(f"{path} holds no table with the site's prefix {prefix}: its tables {found}.")

    # -- loading -----------------------------------------------------------------------------------------------------

    def load(self, path, info, database=None):
        """Load a checked file into a fresh scratch database; errors stop it at the first. The site is not touched.

        The loading account has rights in the scratch database only, so no statement of the file reaches anything else.

        :param info: what :meth:`check` or :meth:`dump_to` said of the file.
        :param database: the scratch database; by default ``<name>_dp_new``. It is dropped first, and after a failure.
        :raise DumpError: with ``line`` where a statement failed; tables or rows differ from what the file holds.
        """
        scratch = database or self.scratch
        if scratch == self.name:
            raise ValueError("A dump is never loaded over the site's own tables.")
        self._room(info)
        user = f"dockpress_load_{secrets.token_hex(4)}"
        password = secrets.token_hex(16)
        self._make_schema(scratch)
        try:
            packet = self._open(scratch, user, password)
            try:
                self._run_load(path, info, scratch, user, password)
                script = self._objects(scratch, adapt=True).encode("utf-8", "surrogateescape")
                self._note(scratch, "_dockpress_objects", script)
            finally:
                self._close(user, packet)
            self._compare(path, info, scratch)
        except BaseException:
            with contextlib.suppress(DumpError):
                self.sql(f"DROP DATABASE IF EXISTS {quote(scratch)};")
            raise

    def _room(self, info):
        program = 'df -P -B1 "$(cat)" | tail -n 1'
        folder = self.sql("SELECT @@datadir;")[0][0]
        code, out, _err = run(self.client, self.container, program, data=folder.encode(), timeout=60)
        words = out.split()
        need = int(info.sql_bytes * ROOM)
        if code == 0 and len(words) >= 4 and words[3].isdigit() and int(words[3]) < need:
            raise DumpError(
                f"The database's disk has {int(words[3]) >> 20} MiB free, loading the dump beside the site needs about {need >> 20} MiB."
            )

    def _make_schema(self, name):
        self._need_root()
        rows = self.sql(
            f"SELECT DEFAULT_CHARACTER_SET_NAME, DEFAULT_COLLATION_NAME FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = {text(self.name)};"
        )
        charset, collation = rows[0] if rows else ("utf8mb4", "utf8mb4_unicode_520_ci")
        self.sql(
            f"DROP DATABASE IF EXISTS {quote(name)};\nCREATE DATABASE {quote(name)} CHARACTER SET {charset} COLLATE {collation};"
        )

    def _need_root(self):
        if not self.sql("SELECT CURRENT_USER();")[0][0].startswith("root@"):
            raise DumpError(
                f"Loading needs the database's root password, which container {self.container} does not hold: "
                "the site's own user may use one database only. Mount it as /run/secrets/db_root_password or set MARIADB_ROOT_PASSWORD_FILE."
            )

    def _open(self, scratch, user, password):
        pattern = scratch.replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
        packet = self.sql("SELECT @@GLOBAL.max_allowed_packet;")[0][0]
        account = f"{text(user)}@'localhost'"
        self.sql(
            f"CREATE USER {account} IDENTIFIED BY {text(password)};\n"
            f"GRANT ALL PRIVILEGES ON {quote(pattern)}.* TO {account};\n"
            # A row's text in a dump is up to twice as large as the row that the server took.
            f"SET GLOBAL max_allowed_packet = 1073741824;"
        )
        return packet

    def _close(self, user, packet):
        with contextlib.suppress(DumpError):
            self.sql(f"SET GLOBAL max_allowed_packet = {int(packet)};\nDROP USER IF EXISTS {text(user)}@'localhost';")

    def _run_load(self, path, info, scratch, user, password):
        edits = [(number, f"s/`[^`]*`/{quote(scratch)}/") for number in info.alter]
        # Accounts that may not exist here, or have no rights in the scratch database: it is the site's own in the end.
        edits += [(n, f"s/DEFINER=`[^`]*`@`[^`]*`/DEFINER={quote(user)}@`localhost`/") for n in info.definer]
        edits += [(number, f"s/`{re.escape(info.database)}`\\.//g") for number in info.qualified]
        edit = ";".join(f"{number - (info.skip > 0)}{command}" for number, command in edits)
        sha = hashlib.sha256()

        def chunks():
            with Path(path).open("rb") as file:
                while chunk := file.read(CHUNK):
                    sha.update(chunk)
                    yield chunk

        arguments = [info.compression, str(info.skip), scratch, user, edit]
        try:
            with Process(
                self.client, self.container, LOAD, arguments, line=password, stdin=True, timeout=self.timeout
            ) as process:
                process.feed(chunks())
                for _text in process.stdout():
                    pass
                code = process.wait()
        except (ExecError, OSError) as error:
            raise DumpError(f"Loading {path} broke off: {error} The site's tables were not touched.") from error
        if code:
            raise self._failure(
                f"Loading {path} failed, the site's tables were not touched", code, process.stderr, shift=info.skip > 0
            )
        if info.sha256 and sha.hexdigest() != info.sha256:
            raise DumpError(f"{path} changed while it was loaded. The site's tables were not touched.")

    def _compare(self, path, info, scratch):
        loaded = self.tables(scratch)
        if loaded != sorted(info.tables):
            missing = sorted(set(info.tables) - set(loaded))
            raise DumpError(
                f"After loading {path} the tables differ from the file's: missing {missing}, more {sorted(set(loaded) - set(info.tables))}."
            )
        counted = self.table_counts(sorted(info.rows), scratch)
        wrong = {t: (info.rows[t], counted[t]) for t in info.rows if counted[t] != info.rows[t]}
        if wrong:
            table, (want, got) = sorted(wrong.items())[0]
            raise DumpError(
                f"After loading {path} table {table} has {got} rows, the file holds {want}.", rows_differ=wrong
            )

    # -- swapping ----------------------------------------------------------------------------------------------------

    def swap(self, drop_extra=(), scratch=None, beside=None, held=False):
        """Put the loaded tables in the place of the site's, by one ``RENAME TABLE``; the old ones stay aside.

        Triggers, views, routines and events are made again; their definer becomes the site's own account.

        :param drop_extra: tables and views of the site that go although the dump has none of that name.
        :param beside: called right after the ``RENAME TABLE``, for what has to change with the tables. If it raises, the caller
            undoes the swap.
        :param held: something else changes with the tables, so only a caller of :meth:`recover` who knows of it may finish or undo this.
        :return: names of tables ``replaced``, ``added``, ``removed``.
        """
        scratch = scratch or self.scratch
        self._make_schema(self.aside)
        script = self._noted(scratch, "_dockpress_objects")
        if script is None:
            raise DumpError("There is no loaded dump to swap in.")
        after = script.decode("utf-8", "surrogateescape")
        return self._exchange(scratch, self.aside, set(drop_extra), after, beside=beside, held=held)

    def swapped(self):
        """Whether a swap has happened that is neither undone nor discarded."""
        return self._plan(self.aside, "_dockpress_done") is not None

    def swap_back(self):
        """Undo :meth:`swap`: the old tables return, those of the dump are dropped."""
        plan = self._plan(self.aside, "_dockpress_done")
        if plan is None:
            raise DumpError("There is no swap to undo.")
        self._make_schema(self.scratch)
        held = plan.get("held", False)
        self._exchange(self.aside, self.scratch, set(plan["added"]), plan["before"], undo="_dockpress_done", held=held)
        self.discard()

    def abort(self):
        """After a failure in :meth:`load` or :meth:`swap` or later: the site gets its former tables back.

        :return: whether it had already lost them.
        """
        self._end_strays()
        swapped = self.swapped()
        if swapped:
            self.swap_back()
        else:
            self.recover(held=True)
        return swapped

    def discard(self):
        """Drop the tables that a swap put aside, and what else is left of it."""
        users = self.sql("SELECT User FROM mysql.user WHERE User LIKE 'dockpress\\_load\\_%';")
        drops = [f"DROP USER IF EXISTS {text(row[0])}@'localhost';" for row in users]
        # The old tables first: with them goes the note that a swap was done.
        self.sql(
            "\n".join(
                [
                    *drops,
                    f"DROP DATABASE IF EXISTS {quote(self.aside)};",
                    f"DROP DATABASE IF EXISTS {quote(self.scratch)};",
                ]
            )
        )

    def recover(self, held=False):
        """Finish or undo what a killed run left behind; call it under the lock before anything else.

        :param held: whether the caller brings to the same state what was to change with the tables.
        :return: what was done, in words, or an empty string.
        :raise DumpError: a swap is held (see :meth:`swap`) and the caller knows nothing of it; nothing was done then.
        """
        schemas = [row[0] for row in self.sql("SHOW DATABASES;")]
        left = [name for name in (self.scratch, self.aside) if name in schemas]
        if not left:
            return ""
        self._end_strays()
        planned = [plan for name in left if (plan := self._plan(name, "_dockpress_plan")) is not None]
        # In the scratch schema where the undoing of a swap was killed.
        done = [plan for name in left if (plan := self._plan(name, "_dockpress_done")) is not None]
        if not held and any(plan.get("held") for plan in planned + done):
            raise DumpError(
                "An interrupted restore of this site has to be undone first, its files together with its database: "
                "run wp_restore or wp_backup (the playbook restore or backup)."
            )
        said = "tables of an unfinished load were dropped"
        for plan in planned:
            self._apply(plan["before"])
            said = "a swap that had not happened yet was undone"
        for plan in done:
            self._drop_objects(plan["objects"])
            self._apply(plan["after"])
            said = "a swap that had happened was finished"
        self.discard()
        return said

    def _end_strays(self):
        """A statement that a killed run had sent goes on without its client: a swap that waits for a table would still happen.

        :raise DumpError: it does not end.
        """
        find = (
            "SELECT ID FROM information_schema.PROCESSLIST WHERE ID <> CONNECTION_ID() AND (USER LIKE 'dockpress\\_load\\_%' "
            "OR INFO LIKE '%RENAME TABLE%\\_dockpress\\_plan%');"
        )
        deadline = time.monotonic() + STRAYS_END
        while rows := self.sql(find):
            if time.monotonic() > deadline:
                raise DumpError(
                    f"A statement of an interrupted run still works in {self.container} (connection {rows[0][0]}) and does not end. "
                    "Run again when it has, or start the container anew."
                )
            for (identifier,) in rows:
                with contextlib.suppress(DumpError):  # it may end by itself
                    self.sql(f"KILL HARD {int(identifier)};")
            time.sleep(0.2)

    def _exchange(self, source, target, drop, after, *, undo=None, beside=None, held=False):
        live, fresh = self.tables(), self.tables(source)
        live_views, fresh_views = self.views(), self.views(source)
        before = self._objects(self.name)
        leaving = sorted(set(live) & (set(fresh) | set(fresh_views) | drop))
        plan = {
            "held": held,
            "before": before,
            "after": after,
            "replaced": sorted(set(fresh) & set(leaving)),
            "added": sorted(set(fresh) - set(leaving)),
            "removed": sorted(set(leaving) - set(fresh)),
            # Views whose name a table or view of the dump takes, or that are to go.
            "objects": sorted(set(live_views) & (set(fresh) | set(fresh_views) | drop)),
        }
        self._note(target, "_dockpress_plan", json.dumps(plan).encode())
        try:
            # A trigger or a view cannot move to another schema.
            self._drop_triggers(self.name, leaving)
            self._drop_triggers(source, fresh)
            self._drop_objects(plan["objects"])
            moves = [(self.name, table, target, table) for table in leaving]
            moves += [(source, table, self.name, table) for table in fresh]
            moves.append((target, "_dockpress_plan", target, "_dockpress_done"))
            if undo:
                moves.append((source, undo, source, "_dockpress_undone"))
            renames = ", ".join(f"{quote(a)}.{quote(b)} TO {quote(c)}.{quote(d)}" for a, b, c, d in moves)
            self.sql(f"SET SESSION lock_wait_timeout = 60;\nRENAME TABLE {renames};")
        except BaseException:
            with contextlib.suppress(DumpError):
                if self._plan(target, "_dockpress_plan") is not None:
                    self._apply(before)
            raise
        if beside:
            beside()
        self._apply(after)
        return {key: plan[key] for key in ("replaced", "added", "removed")}

    def _note(self, database, table, content):
        self.sql(
            f"CREATE OR REPLACE TABLE {quote(table)} (content LONGBLOB) ENGINE=InnoDB;\n"
            f"INSERT INTO {quote(table)} VALUES (X'{content.hex()}');",
            database,
        )

    def _noted(self, database, table):
        if not self._names(database, f"TABLE_NAME = {text(table)}"):
            return None
        rows = self.sql(f"SELECT HEX(content) FROM {quote(database)}.{quote(table)};")
        return bytes.fromhex(rows[0][0]) if rows else None

    def _plan(self, database, table):
        content = self._noted(database, table)
        return None if content is None else json.loads(content)

    def _objects(self, database, adapt=False):
        """SQL that makes triggers, views, routines and events of a schema again. Of the site's own views, those that are broken are left out."""
        try:
            code, out, err = run(
                self.client,
                self.container,
                OBJECTS,
                [database, "" if adapt else "--force", *self.views(database)],
                data=b"",
                timeout=self.timeout,
            )
        except ExecError as error:
            raise DumpError(str(error)) from error
        if code:
            raise self._failure("Cannot read triggers, views and routines", code, err)
        script = out.decode("utf-8", "surrogateescape")
        return self._adapt(script, database) if adapt else script

    def _adapt(self, script, database):
        account = self._site_account() or "CURRENT_USER"
        lines = script.split("\n")
        for number, line in enumerate(lines):
            if line.startswith(("/*!", "CREATE ", "ALTER DATABASE ")):
                adapted = DEFINER.sub(lambda _match: f"DEFINER={account}", line, count=1)
                if "ALTER DATABASE" in line:
                    adapted = adapted.replace(quote(database), quote(self.name), 1)
                # The server spells the schema out in views whose definer has no rights in it.
                lines[number] = adapted.replace(f"{quote(database)}.", "")
        return "\n".join(lines)

    def _site_account(self):
        rows = self.sql(
            f"SELECT User, Host FROM mysql.db WHERE REPLACE(Db, '\\\\', '') = {text(self.name)} AND User <> '' ORDER BY Host = '%' DESC, User LIMIT 1;"
        )
        return f"{quote(rows[0][0])}@{quote(rows[0][1])}" if rows else None

    def _drop_triggers(self, database, tables):
        rows = self.sql(
            f"SELECT TRIGGER_NAME, EVENT_OBJECT_TABLE FROM information_schema.TRIGGERS WHERE TRIGGER_SCHEMA = {text(database)};"
        )
        drops = [f"DROP TRIGGER {quote(database)}.{quote(row[0])};" for row in rows if row[1] in tables]
        if drops:
            self.sql("\n".join(drops))

    def _drop_objects(self, views):
        if views:
            self.sql("\n".join(f"DROP VIEW IF EXISTS {quote(self.name)}.{quote(view)};" for view in views))

    def _apply(self, script):
        if script.strip():
            try:
                code, _out, err = run(
                    self.client,
                    self.container,
                    ACCOUNT + CLIENT.replace(" -- ", " --binary-mode -- "),
                    [self.name],
                    data=script.encode("utf-8", "surrogateescape"),
                    timeout=self.timeout,
                )
            except ExecError as error:
                raise DumpError(str(error)) from error
            if code:
                raise self._failure("Making triggers, views and routines again failed", code, err)


def _unescape(cell):
    return re.sub(r"\\([tn0\\])", lambda match: {"t": "\t", "n": "\n", "0": "\0", "\\": "\\"}[match[1]], cell)
