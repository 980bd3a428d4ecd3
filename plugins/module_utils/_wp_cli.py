# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""The one place that starts WP-CLI: inside a running container, or in a short-lived one beside PHP-FPM."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import re
import secrets
import shlex
import socket
import struct
import tarfile
import threading
import time
import traceback
import typing as t

from ansible.module_utils.basic import env_fallback, missing_required_lib
from ansible_collections.dockpress.hosting.plugins.module_utils._exec import begin

try:
    import docker
    import docker.errors
    import requests.exceptions

    DOCKER_IMPORT_ERROR = None
except ImportError:
    docker = None
    DOCKER_IMPORT_ERROR = traceback.format_exc()

STDOUT = 1
STDERR = 2

# WP-CLI raises PHP's memory limit only once WordPress is loaded, which is too late for unpacking it. Notices go to
# standard error, so that standard output holds what was asked for.
PHP = ("php", "-d", "memory_limit=512M", "-d", "display_errors=stderr")
WP = "/usr/local/bin/wp"
# OPcache's files for the command line, where a php.ini asks for them: one folder, named by a hash.
FORGET_COMPILED = r"""
$cache = ini_get('opcache.file_cache');
foreach ($cache ? glob("$cache/*", GLOB_ONLYDIR) : [] as $folder) {
    $old = "$cache/.old-" . getmypid();
    if (preg_match('/^[0-9a-f]{32}$/D', basename($folder)) && rename($folder, $old)) passthru('rm -rf ' . escapeshellarg($old));
}
"""

# All that a process of ours has started is of one process group; the group that asks goes on.
END_STRAYS = r"""
group() { set -- $(cat "/proc/$1/stat" 2>/dev/null); echo "${5:-}"; }
own=$(group $$)
for process in /proc/[0-9]*; do
    case $(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) in
        "timeout -k 10 "*) stray=$(group "${process#/proc/}"); [ -z "$stray" ] || [ "$stray" = "$own" ] || kill -KILL -- "-$stray" ;;
    esac
done
"""


def wp_argument_spec(**more: dict) -> dict:
    """The argument spec that all modules of the action group ``wp`` share, with ``more`` added to it."""
    return {
        "container": {"type": "str"},
        "fpm_container": {"type": "str"},
        "image": {"type": "str", "default": "wordpress:cli"},
        "path": {"type": "str", "default": "/var/www/html"},
        "url": {"type": "str"},
        "user": {"type": "str"},
        "docker_host": {
            "type": "str",
            "default": "unix:///var/run/docker.sock",
            "fallback": (env_fallback, ["DOCKER_HOST"]),
        },
        "timeout": {"type": "int", "default": 300},
        **more,
    }


class WpCliError(Exception):
    """Something that an operator must read: ``msg`` says what to do, the rest is evidence."""

    def __init__(self, msg: str, result: Result | None = None, **details: t.Any) -> None:
        super().__init__(msg)
        self.msg = msg
        self.details = details
        if result is not None:
            self.details |= result.as_dict()

    def as_failure(self) -> dict[str, t.Any]:
        """Keyword arguments for ``AnsibleModule.fail_json``."""
        return {"msg": self.msg} | self.details


class Result:
    """What a finished process said. ``stdout`` and ``stderr`` are text (bytes that are no UTF-8 are replaced)."""

    def __init__(
        self, rc: int, stdout: bytes, stderr: bytes, cmd: t.Sequence[str], hidden: t.Iterable[str] = ()
    ) -> None:
        self.rc = rc
        self.stdout_bytes = stdout
        self._hidden = sorted({text for text in hidden if text}, key=len, reverse=True)
        self.stdout = self._redact(stdout.decode("utf-8", "replace"))
        self.stderr = self._redact(stderr.decode("utf-8", "replace"))
        self.cmd = [self._redact(part) for part in cmd]

    @property
    def cmd_redacted(self) -> str:
        """The command as one would type it, without secrets."""
        return shlex.join(self.cmd)

    def _redact(self, text: str) -> str:
        for secret in self._hidden:
            text = text.replace(secret, "********")
        return text

    def as_dict(self) -> dict[str, t.Any]:
        """The evidence that a failed module returns."""
        return {"cmd": self.cmd_redacted, "rc": self.rc, "stdout": self.stdout[-4000:], "stderr": self.stderr[-4000:]}


def connect(docker_host: str, timeout: int = 60) -> t.Any:
    """A client of the Docker engine at ``docker_host``. Raises WpCliError with what to install or to start."""
    if DOCKER_IMPORT_ERROR:
        raise WpCliError(
            missing_required_lib("docker", reason="for talking to the Docker engine (Debian: python3-docker)"),
            exception=DOCKER_IMPORT_ERROR,
        )
    if not docker_host.startswith(("unix://", "tcp://", "http://")):
        raise WpCliError(
            f"docker_host: {docker_host} is no local socket. Write unix:///path/to/docker.sock, "
            "and let Ansible run the module on the Docker host."
        )
    try:
        client = docker.DockerClient(base_url=docker_host, version="auto", timeout=timeout)
        client.api.version(api_version=False)
    except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
        raise WpCliError(
            f"No Docker engine answers at {docker_host}: {error}. Start it, or name another one in docker_host, "
            "and check that the user of this task may use it."
        ) from error
    return client


class Execution:
    """A process started by ``docker exec`` in a running container. Iterate over it, then ask for ``rc``."""

    def __init__(
        self,
        client: t.Any,
        container: str,
        argv: t.Sequence[str],
        *,
        stdin: bytes | t.Iterable[bytes] | None = None,
        user: str = "",
        workdir: str | None = None,
        environment: dict[str, str] | None = None,
        patience: float | None = None,
    ) -> None:
        """Start ``argv`` (a list, never a shell string) with ``stdin`` as its whole standard input.

        ``patience`` is the longest silence in seconds that is taken for work.
        """
        self._api = client.api
        self._container = container
        self._feeding: BaseException | None = None
        try:
            self._id, raw = begin(self._api, container, list(argv), user=user, workdir=workdir, environment=environment)
        except docker.errors.NotFound as error:
            raise WpCliError(f"There is no container {container}: {error.explanation}") from error
        except docker.errors.APIError as error:
            raise WpCliError(f"Docker cannot start {argv[0]} in {container}: {error.explanation or error}") from error
        except requests.exceptions.RequestException as error:
            raise self._lost(error) from error
        # What came in the same packet as the answer's header lies in the buffered reader above the socket.
        self._response = raw._response
        self._reader = raw._response.raw._fp.fp
        self._socket: socket.socket = raw._sock
        self._socket.settimeout(patience)
        # Written by a thread of its own: a process that answers before it has read everything would block both.
        self._feeder = threading.Thread(target=self._feed, args=(stdin,), daemon=True)
        self._feeder.start()

    def _feed(self, stdin: bytes | t.Iterable[bytes] | None) -> None:
        try:
            for chunk in (stdin,) if isinstance(stdin, (bytes, type(None))) else stdin:
                if chunk:
                    self._socket.sendall(chunk)
        except (BrokenPipeError, ConnectionResetError):
            # The process ended without reading all of it: its exit code tells more.
            pass
        except BaseException as error:  # noqa: BLE001 - raised again in the reading thread
            self._feeding = error
        finally:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_WR)

    def _lost(self, error: Exception) -> WpCliError:
        return WpCliError(
            f"The container {self._container} or the Docker engine went away while a command ran there: {error}. "
            "See that both are up, and run it again."
        )

    def _exactly(self, size: int) -> bytes:
        parts = []
        while size:
            try:
                part = self._reader.read1(min(size, 1 << 20))
            except TimeoutError:
                raise
            except OSError as error:
                raise self._lost(error) from error
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)

    def __iter__(self) -> t.Iterator[tuple[int, bytes]]:
        """Yield (STDOUT or STDERR, bytes) as they come; never more than one frame in memory.

        Raises TimeoutError after ``patience`` seconds of silence.
        """
        while len(header := self._exactly(8)) == 8:
            stream, size = struct.unpack(">BxxxL", header)
            yield stream, self._exactly(size)
        self._feeder.join(1)
        if self._feeding is not None:
            raise self._feeding

    @property
    def rc(self) -> int:
        """The exit code, once everything has been read."""
        for _attempt in range(100):
            try:
                state = self._api.exec_inspect(self._id)
            except (docker.errors.DockerException, requests.exceptions.RequestException) as error:
                raise self._lost(error) from error
            if not state["Running"] and state["ExitCode"] is not None:
                return state["ExitCode"]
            time.sleep(0.05)
        return -1

    def close(self) -> None:
        """Drop the connection. The process itself goes on: start it under ``timeout``."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(OSError, ValueError):
            self._response.close()


class WpCli:
    """Runs WP-CLI for one site. Use it as a context manager: a container that it had to start goes away at the end."""

    def __init__(
        self,
        client: t.Any,
        *,
        container: str | None = None,
        fpm_container: str | None = None,
        image: str = "wordpress:cli",
        path: str = "/var/www/html",
        url: str | None = None,
        user: str | None = None,
        timeout: int = 300,
    ) -> None:
        """``timeout`` is the longest that one process may take, in seconds. Raises WpCliError where nothing can run."""
        self.client = client
        self.container = container
        self.fpm_container = fpm_container
        self.image = image
        self.path = path.rstrip("/") or "/"
        self.url = url
        self.user = user
        self.timeout = timeout
        self.processes = 0
        self._target: str | None = None
        self._started: list[t.Any] = []
        if not container and not fpm_container:
            raise WpCliError(
                "Name a running container that has WP-CLI in container, or the site's PHP-FPM container in fpm_container."
            )

    @classmethod
    def from_params(cls, params: dict[str, t.Any]) -> WpCli:
        """From the parameters of a module that has ``wp_argument_spec``."""
        names = ("container", "fpm_container", "image", "path", "url", "user", "timeout")
        return cls(connect(params["docker_host"]), **{name: params[name] for name in names})

    def __enter__(self) -> WpCli:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove the containers that were started for this."""
        while self._started:
            started = self._started.pop()
            with contextlib.suppress(docker.errors.APIError, requests.exceptions.RequestException):
                started.remove(force=True, v=True)
        self._target = None

    # -- where it runs

    @property
    def target(self) -> str:
        """The container in which WP-CLI runs: ``container`` where that is up, else one started beside PHP-FPM."""
        if self._target is None:
            self._target = self._find_target()
        return self._target

    def _find_target(self) -> str:
        if self.container:
            try:
                found = self.client.containers.get(self.container)
            except docker.errors.NotFound as error:
                if not self.fpm_container:
                    raise WpCliError(
                        f"There is no container {self.container}. Start the site's stack, or correct container."
                    ) from error
            else:
                if found.status == "running":
                    self.user = self.user or self._not_root(found.attrs["Config"].get("User"))
                    return found.id
                if not self.fpm_container:
                    raise WpCliError(
                        f"The container {self.container} is {found.status}. Start the site's stack, or name the "
                        "PHP-FPM container in fpm_container: WP-CLI then gets a container of its own beside it."
                    )
        return self.beside_fpm(self.image)

    @staticmethod
    def _not_root(user: str | None) -> str:
        """WP-CLI runs the site's code: as the owner of the web root and not as root."""
        return "33:33" if not user or user.split(":")[0] in ("0", "root") else user

    def beside_fpm(self, image: str | None = None, *, network: bool = True) -> str:
        """Start a container that sees what PHP-FPM sees, its web root writable, and return its id.

        Mounts, networks, environment and user come from the PHP-FPM container, which may be stopped; ``image`` None
        takes its image too. The container sleeps, so that any number of processes can be run in it; it ends by itself.
        """
        try:
            fpm = self.client.containers.get(self.fpm_container)
        except docker.errors.NotFound as error:
            raise WpCliError(
                f"There is no container {self.fpm_container}. Start the site's stack, or correct fpm_container."
            ) from error
        config, host = fpm.attrs["Config"], fpm.attrs["HostConfig"]
        own_image = fpm.attrs["Image"]
        with contextlib.suppress(docker.errors.ImageNotFound):
            # Only what was set for the container: the image's own PATH belongs to the other image.
            inherited = self.client.api.inspect_image(own_image)["Config"].get("Env") or []
            config["Env"] = [line for line in config.get("Env") or [] if line not in inherited]
        self.user = self.user or self._not_root(config.get("User"))
        networks = list(fpm.attrs["NetworkSettings"]["Networks"]) if network else []
        mode = host.get("NetworkMode", "default")
        shared = network and mode.startswith(("container:", "host"))
        mounts = [
            docker.types.Mount(
                target=mount["Destination"],
                source=mount.get("Name") if mount["Type"] == "volume" else mount.get("Source"),
                type=mount["Type"],
                read_only=not (mount["RW"] or self._below_path(mount["Destination"])),
            )
            for mount in fpm.attrs["Mounts"]
            if mount["Type"] in ("bind", "volume")
        ]
        try:
            created = self.client.containers.create(
                image or own_image,
                entrypoint=["sleep", str(max(3600, 4 * self.timeout))],
                command=[],
                user=self.user,
                environment=[*(config.get("Env") or []), "HOME=/tmp", "WP_CLI_CACHE_DIR=/tmp/wp-cli"],
                working_dir=self.path,
                mounts=mounts,
                tmpfs={"/tmp": "mode=1777,exec"},
                network_mode=mode if shared else (networks[0] if networks else "none"),
                auto_remove=True,
                init=True,
                cap_drop=["ALL"],
                read_only=True,
                security_opt=["no-new-privileges:true"],
                labels={"hosting.dockpress.oneshot": str(self.fpm_container)},
            )
        except docker.errors.ImageNotFound as error:
            raise WpCliError(
                f"The image {image} is not on this host. Pull it, or name one that has WP-CLI in image."
            ) from error
        except docker.errors.APIError as error:
            raise WpCliError(
                f"Docker cannot create a container beside {self.fpm_container}: {error.explanation or error}"
            ) from error
        self._started.append(created)
        try:
            if not shared:
                for name in networks[1:]:
                    self.client.api.connect_container_to_network(created.id, name)
            created.start()
        except docker.errors.APIError as error:
            raise WpCliError(
                f"Docker cannot start a container of {image or own_image} beside {self.fpm_container}: {error.explanation or error}"
            ) from error
        return created.id

    def _below_path(self, destination: str) -> bool:
        return (destination.rstrip("/") + "/").startswith(self.path.rstrip("/") + "/")

    def fpm_file(self, path: str) -> str:
        """The text of a file in the PHP-FPM container, running or stopped, without starting anything."""
        try:
            parts, _about = self.client.api.get_archive(self.fpm_container, path)
            with tarfile.open(fileobj=io.BytesIO(b"".join(parts))) as archive:
                return archive.extractfile(archive.next()).read().decode("utf-8", "replace")
        except docker.errors.APIError as error:
            raise WpCliError(
                f"{path} in the container {self.fpm_container} cannot be read: {error.explanation or error}. "
                "Start the site's stack, or correct fpm_container."
            ) from error

    # -- running things

    def run(
        self,
        argv: t.Sequence[str],
        stdin: bytes | None = None,
        *,
        check: bool = True,
        hidden: t.Iterable[str] = (),
        timeout: int | None = None,
    ) -> Result:
        """Run ``wp`` with ``argv`` and wait for it. Strings in ``hidden`` do not show in the result.

        Raises WpCliError where it cannot be started, takes longer than ``timeout`` seconds, or (``check``) fails.
        """
        return self.execute(self.command(argv), stdin, check=check, hidden=hidden, timeout=timeout)

    def command(self, argv: t.Sequence[str]) -> list[str]:
        """The full command for ``wp`` with ``argv``."""
        where = [f"--path={self.path}", "--no-color", "--skip-packages"]
        if self.url:
            where.append(f"--url={self.url}")
        return [*PHP, WP, *where, *argv]

    def execute(
        self,
        command: t.Sequence[str],
        stdin: bytes | t.Iterable[bytes] | None = None,
        *,
        check: bool = True,
        hidden: t.Iterable[str] = (),
        timeout: int | None = None,
        target: str | None = None,
    ) -> Result:
        """Run any program in the container, as ``run`` does with WP-CLI."""
        seconds = timeout or self.timeout
        started = time.monotonic()
        execution = self._start(command, stdin, seconds, target)
        output: dict[int, list[bytes]] = {STDOUT: [], STDERR: []}
        try:
            for stream, chunk in execution:
                output.setdefault(stream, []).append(chunk)
            rc = execution.rc
        except TimeoutError:
            rc = 124
        finally:
            execution.close()
        result = Result(rc, b"".join(output[STDOUT]), b"".join(output[STDERR]), command, hidden)
        self._judge(result, time.monotonic() - started, seconds, check)
        return result

    def stream(
        self,
        argv: t.Sequence[str],
        stdin: bytes | None = None,
        *,
        hidden: t.Iterable[str] = (),
        timeout: int | None = None,
    ) -> t.Iterator[bytes]:
        """Yield the standard output of ``wp`` as it comes; raise WpCliError at its end where it failed."""
        command = self.command(argv)
        seconds = timeout or self.timeout
        started = time.monotonic()
        execution = self._start(command, stdin, seconds, None)
        errors = b""
        try:
            for stream, chunk in execution:
                if stream == STDOUT:
                    yield chunk
                else:
                    errors = (errors + chunk)[-20000:]
            rc = execution.rc
        except TimeoutError:
            rc = 124
        finally:
            execution.close()
        self._judge(Result(rc, b"", errors, command, hidden), time.monotonic() - started, seconds, True)

    def end_strays(self) -> None:
        """End what a killed run has left at work in the container: it goes on without its client. For who holds the site's lock."""
        self.execute(["sh", "-c", END_STRAYS], check=False, timeout=60)

    def _start(
        self, command: t.Sequence[str], stdin: bytes | t.Iterable[bytes] | None, seconds: int, target: str | None
    ) -> Execution:
        where = target or self.target
        self.processes += 1
        return Execution(
            self.client,
            where,
            # Killing the client would leave the process in the container alive.
            ["timeout", "-k", "10", str(seconds), *command],
            stdin=stdin,
            user=self.user or "",
            workdir=self.path,
            patience=seconds + 30,
        )

    def _judge(self, result: Result, elapsed: float, seconds: int, check: bool) -> None:
        if result.rc in (124, 137, 143) and elapsed >= seconds:
            raise WpCliError(
                f"Stopped after {seconds} seconds. Give it more in timeout, or find out what it waits for: a network "
                "that does not answer, or a lock in the database.",
                result,
            )
        if result.rc == 137:
            raise WpCliError("The process was killed, most likely for want of memory. Give the container more.", result)
        if result.rc in (126, 127):
            raise WpCliError(
                f"{shlex.join(result.cmd[:1])} cannot be run in the container: {(result.stderr or result.stdout).strip()[:500]}. "
                f"The container needs timeout, php and {WP}: use an image such as wordpress:cli.",
                result,
            )
        if "Could not open input file: " + WP in result.stdout + result.stderr:
            raise WpCliError(f"The container has no {WP}: use an image such as wordpress:cli.", result)
        if check and result.rc != 0:
            raise WpCliError(explain(result), result)

    def json(self, *argv: str, **options: t.Any) -> t.Any:
        """Run ``wp`` with ``argv`` and return the JSON that it prints, noise before it left out.

        For WP-CLI's own commands; where plugins may print things that look like JSON, ``eval`` is the safe way.
        """
        return find_json(self.run(argv, **options))

    def events(
        self,
        php: str,
        data: t.Any = None,
        *,
        wordpress: bool = True,
        plugins: bool = True,
        hidden: t.Iterable[str] = (),
        timeout: int | None = None,
    ) -> tuple[list[t.Any], Result]:
        """Run a PHP program inside WP-CLI; return what it handed to ``emit()``, call by call, and the result.

        The program comes by standard input, and with it ``data`` as ``$data``. ``emit($value)`` writes JSON between
        random marks to the process' real standard output, whatever else is printed or buffered there. The exit code
        is not judged: a program that was ended half-way has emitted what it had done.
        ``wordpress`` False starts before WordPress; ``plugins`` False leaves plugins and themes out.
        """
        mark = secrets.token_hex(16)
        argv = ["eval-file", "-"]
        if not wordpress:
            argv.append("--skip-wordpress")
        if not plugins:
            argv += ["--skip-plugins", "--skip-themes"]
        result = self.run(argv, program(php, data, mark), check=False, hidden=[*hidden, mark], timeout=timeout)
        return parse_events(result.stdout_bytes, mark, result), result

    def eval(self, php: str, data: t.Any = None, **options: t.Any) -> t.Any:
        """Run a PHP program that calls ``emit()`` exactly once, and return that value. Otherwise like ``events``."""
        events, result = self.events(php, data, **options)
        if len(events) != 1:
            raise WpCliError(explain(result), result)
        return events[0]

    def put(self, content: bytes | t.Iterable[bytes], destination: str) -> None:
        """Write a file inside the container, by standard input (docker cp is refused by read-only containers)."""
        script = 'mkdir -p "$(dirname "$1")" && cat >"$1.part" && mv "$1.part" "$1"'
        self.execute(["sh", "-c", script, "sh", destination], content)

    def reload_code(self) -> None:
        """Let PHP-FPM (without dropping requests) and WP-CLI load all code anew.

        OPcache compares a file's time and nothing else, and knows of no file that is gone. The signal is sent inside the container:
        one that the API has signalled counts as stopped by hand, and Docker would not start it again after a crash or a reboot.
        """
        self._for_running(self.fpm_container, self._reload_fpm)
        # A container that was started for this has no compiled code yet.
        self._for_running(self.container, lambda found: self.execute(["php", "-r", FORGET_COMPILED], target=found.id))

    def _reload_fpm(self, found: t.Any) -> None:
        # As the container's own user, and not under `timeout`, which an image for PHP-FPM need not have.
        with contextlib.closing(
            Execution(self.client, found.id, ("sh", "-c", "kill -USR2 1"), patience=60)
        ) as execution:
            list(execution)

    def _for_running(self, name: str | None, act: t.Callable[[t.Any], t.Any]) -> None:
        """Do something with a container, if it is there and runs."""
        if name:
            with contextlib.suppress(docker.errors.APIError, WpCliError):
                found = self.client.containers.get(name)
                if found.status == "running":
                    act(found)


def find_json(result: Result) -> t.Any:
    """The JSON at the end of what WP-CLI printed, noise before it left out. Raises WpCliError."""
    lines = result.stdout.strip().splitlines()
    for first in range(len(lines) - 1, -1, -1):
        if lines[first][:1] in '[{"' or re.fullmatch(r"-?[\d.]+|true|false|null", lines[first]):
            with contextlib.suppress(ValueError):
                return json.loads("\n".join(lines[first:]))
    raise WpCliError("WP-CLI printed no JSON.", result)


def program(php: str, data: t.Any, mark: str) -> bytes:
    """The PHP program for ``wp eval-file -``: ``$data`` and ``emit()``, then ``php``."""
    try:
        encoded = base64.b64encode(json.dumps(data, ensure_ascii=False).encode("utf-8")).decode()
    except UnicodeEncodeError as error:
        raise WpCliError(
            f"A value holds bytes that are no UTF-8 text near {error.object[max(0, error.start - 20) : error.start]!r}. "
            "WordPress stores text only: correct the value."
        ) from error
    head = (
        f"<?php $data = json_decode(base64_decode('{encoded}'), true, 512, JSON_THROW_ON_ERROR); "
        "if (!function_exists('emit')) { function emit($value) { fwrite(fopen('php://stdout', 'w'), "
        f'"\\n{mark}" . json_encode($value, JSON_UNESCAPED_SLASHES | JSON_PRESERVE_ZERO_FRACTION | JSON_INVALID_UTF8_SUBSTITUTE'
        f' | JSON_THROW_ON_ERROR) . "{mark}\\n"); }} }}\n'
    )
    return (head + php).encode()


def parse_events(stdout: bytes, mark: str, result: Result | None = None) -> list[t.Any]:
    """The JSON values between ``mark`` in ``stdout``; everything outside is noise. Raises WpCliError on broken JSON."""
    edge = re.escape(mark.encode())
    found = re.findall(b"(?:^|\n)" + edge + b"(.*?)" + edge + b"(?=\n)", stdout, re.DOTALL)
    try:
        return [json.loads(text) for text in found]
    except ValueError as error:
        raise WpCliError(f"The answer of WordPress cannot be read: {error}", result) from error


# What WP-CLI and WordPress say, and what an operator does about it.
KNOWN = (
    (
        r"Error establishing a database connection|could not be established|Access denied for user|Connection refused|"
        r"Unknown database|php_network_getaddresses",
        "The database of the site does not answer. See that its container is healthy and that the name, user and "
        "password in wp-config.php are right.",
    ),
    (r"wp-config\.php' not found|'wp-config.php' not found", "There is no wp-config.php. Declare config, or create it with wp_config."),
    (r"This does not seem to be a WordPress installation", "There is no WordPress in path. Put it there with wp_core."),
    (r"site you have requested is not installed", "WordPress is not installed yet. Install it with wp_core."),
    (r"Site '.*' not found", "The network has no such site. Correct url, or create the site."),
    (r"There has been a critical error|PHP (Fatal|Parse) error", "PHP stopped with an error; stderr says where."),
    (r"WordPress\.org|api\.wordpress\.org", "WordPress.org did not give what was asked for: check the slug and the version, and "
        "whether this host reaches it. Where it does not, name a zip in source."),
    (r"No space left on device", "The disk is full."),
    (r"YIKES! It looks like you're running this as root", "WP-CLI does not run as root: name the owner of the web root in user."),
)  # fmt: skip


def explain(result: Result) -> str:
    """One sentence that says what went wrong and what to do."""
    said = result.stderr + "\n" + result.stdout
    lines = [
        line.strip()
        for line in said.splitlines()
        if re.match(r"\s*(Error|Fatal error|PHP Fatal error|PHP Parse error|Warning):", line)
    ]
    first = next((line for line in lines if not line.startswith("Warning:")), lines[0] if lines else "")
    advice = next((text for pattern, text in KNOWN if re.search(pattern, said)), "")
    if not first and not advice:
        tail = said.strip().splitlines()[-1:] or ["no output"]
        first = f"WP-CLI ended with {result.rc}: {tail[0]}"
    return " ".join(part for part in (first[:600], advice) if part)
