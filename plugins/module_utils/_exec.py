# Copyright: dockpress contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One bash program inside a running container, with streams that never lie in memory as a whole."""

from __future__ import annotations

import contextlib
import struct
import threading
import time

_HEADER = struct.Struct(">BxxxL")
# The client sends one line first. Until then nothing is printed, so no output can hide in the buffer that read the HTTP
# headers; afterwards the end of standard input means that the client is gone.
_PREAMBLE = "IFS= read -r line\n"
_WATCH = (
    "exec 3<&0 </dev/null\n"
    "(IFS= read -r _ <&3; kill -TERM 0) >/dev/null 2>&1 &\n"
    "watcher=$!\n"
    "trap 'kill $watcher 2>/dev/null; wait $watcher 2>/dev/null' EXIT\n"
    "exec 3<&-\n"
)
# The exit code that the engine gives to a program which its runtime could not start; a program may end with it, too.
_NOT_STARTED = 126
_ATTEMPTS = 3
_PAUSE = 0.5  # seconds


class ExecError(Exception):
    """The engine could not run the program at all (container away, killed, connection lost)."""


def begin(api, container, command, **options):
    """Start a program in a container: the id of the execution, and its stream as ``exec_start(socket=True)`` returns it.

    Once in some thousand times runc's own helper dies before the program has begun ("read init-p: connection reset by
    peer"). As nothing has run then, and nothing was sent, it is started again. What does not start then either (there may be
    no such program: the engine answers the same) is left to the caller.

    :param api: ``docker.APIClient``; its errors pass through.
    :param options: of ``exec_create``.
    """
    left = _ATTEMPTS
    while True:
        execution = api.exec_create(container, command, stdin=True, stdout=True, stderr=True, **options)["Id"]
        stream = api.exec_start(execution, socket=True)
        left -= 1
        if not left or _has_started(api, execution):
            return execution, stream
        getattr(stream, "_response", stream).close()
        time.sleep(_PAUSE)


def _has_started(api, execution, patience=15):
    """Whether the program has begun, as far as can be told: only one that began has a process id, and keeps it."""
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        try:
            state = api.exec_inspect(execution)
        except Exception:  # container or engine are gone: who reads the stream sees it, too, and says so
            return True
        if state.get("Pid") or state["ExitCode"] is not None:
            return bool(state.get("Pid")) or state["ExitCode"] != _NOT_STARTED
        time.sleep(0.01)
    return True  # a slow start


class Process:
    """A bash program in a container, under ``timeout`` there: neither a killed client nor a lost connection leaves it behind.

    :param client: ``docker.DockerClient`` or its low-level ``APIClient``.
    :param program: text of the program; it finds ``arguments`` in ``$1`` and so on, and ``line`` in ``$line``.
    :param line: one line that is passed by standard input (for what must not stand in an argument list).
    :param stdin: whether :meth:`feed` will send data. Without data, the end of standard input ends the program.
    :param timeout: seconds after which the program is ended, inside the container.
    """

    def __init__(self, client, container, program, arguments=(), *, line="", stdin=False, timeout=3600):
        self.container = container
        self.stderr = b""
        self._api = getattr(client, "api", client)
        self._feeder = None
        script = _PREAMBLE + ("" if stdin else _WATCH) + program
        command = ["timeout", "--kill-after=10", str(int(timeout)), "bash", "-c", script, "dockpress", *arguments]
        try:
            self._id, stream = begin(self._api, container, command)
        except Exception as error:  # docker's and requests' errors have no common class of their own
            raise ExecError(f"Cannot run a program in container {container}: {error}") from error
        self._response = getattr(stream, "_response", None)  # keeps the connection from being collected
        self._socket = getattr(stream, "_sock", stream)
        self._socket.settimeout(None)
        self._socket.sendall(line.encode() + b"\n")

    def feed(self, chunks):
        """Send the byte strings of ``chunks`` to standard input, beside the reading, and close it after the last one."""

        def send():
            try:
                for chunk in chunks:
                    self._socket.sendall(chunk)
            except OSError:
                return  # the program ended first: its exit code says why
            except BaseException as error:
                self._feed_error = error
                self.kill()
                return
            self._half_close()

        self._feed_error = None
        self._feeder = threading.Thread(target=send, daemon=True)
        self._feeder.start()

    def send(self, data):
        """Send a byte string to standard input, which stays open. Raises OSError where the program has ended."""
        self._socket.sendall(data)

    def _half_close(self):
        with contextlib.suppress(OSError):
            if hasattr(self._socket, "shutdown_write"):  # a paramiko channel
                self._socket.shutdown_write()
            else:
                self._socket.shutdown(1)

    def stdout(self):
        """Iterate over standard output as byte strings. Standard error gathers in :attr:`stderr` (its last 64 kB)."""
        while True:
            header = self._read(_HEADER.size)
            if header is None:
                return
            stream, left = _HEADER.unpack(header)
            while left:
                chunk = self._socket.recv(min(left, 1 << 18))
                if not chunk:
                    raise ExecError(f"The connection to container {self.container} broke off.")
                left -= len(chunk)
                if stream == 1:
                    yield chunk
                else:
                    self.stderr = (self.stderr + chunk)[-65536:]

    def _read(self, size):
        data = b""
        while len(data) < size:
            try:
                chunk = self._socket.recv(size - len(data))
            except OSError:
                chunk = b""
            if not chunk:
                return None
            data += chunk
        return data

    def wait(self):
        """Exit code, once the output has been read to its end. 124 and 137 mean that the time was over."""
        if self._feeder:
            self._feeder.join(timeout=10)
            if self._feed_error:
                raise self._feed_error
        deadline = time.monotonic() + 15
        while True:
            try:
                state = self._api.exec_inspect(self._id)
            except Exception as error:
                raise ExecError(f"Container {self.container} went away while a program ran in it: {error}") from error
            if not state["Running"] and state["ExitCode"] is not None:
                self.kill()
                return state["ExitCode"]
            if time.monotonic() > deadline:
                self.kill()
                raise ExecError(f"The connection to container {self.container} broke off while a program ran in it.")
            time.sleep(0.02)

    def running(self):
        """Whether the program has not ended yet."""
        try:
            return bool(self._api.exec_inspect(self._id)["Running"])
        except Exception:  # the container is gone
            return False

    def kill(self):
        """Drop the connection: the program notices that its client is gone and ends."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(2)
        with contextlib.suppress(OSError):
            self._socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.kill()


def run(client, container, program, arguments=(), *, line="", data=None, timeout=3600):
    """Run a bash program to its end.

    :param data: bytes for standard input, or None.
    :return: exit code, standard output and standard error (bytes, bytes).
    """
    with Process(client, container, program, arguments, line=line, stdin=data is not None, timeout=timeout) as process:
        if data is not None:
            process.feed([data])
        out = b"".join(process.stdout())
        return process.wait(), out, process.stderr
