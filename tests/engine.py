"""Programs in containers, for the scenarios: asked for again where the engine could not start them.

Once in some thousand times runc's own helper dies before the program has begun. Nothing has run then, and the engine's word about it
is all that was printed. plugins/module_utils/_exec.py does the same for what the modules start.
"""

from __future__ import annotations

import contextlib
import pathlib
import re
import subprocess
import time
import typing

ATTEMPTS = 3
PAUSE = 0.5  # seconds
BROKEN_RUNTIME = (pathlib.Path(__file__).parent / "broken-runtime").read_text(encoding="utf-8")
NEVER_STARTED = re.compile(r"OCI runtime exec failed: [^\n]*: read init-p: connection reset by peer[^\n]*")


def run(command: list[str], *, check: bool = False, **options: typing.Any) -> subprocess.CompletedProcess:
    """``subprocess.run`` that keeps the output."""
    done = again(lambda: subprocess.run(command, capture_output=True, check=False, **options))
    if check:
        done.check_returncode()
    return done


def again(start: typing.Callable[[], typing.Any]) -> typing.Any:
    """The result of ``start``, pytest-testinfra's or subprocess' own, from the first time that something ran."""
    for _attempt in range(1, ATTEMPTS):
        done = start()
        if not never_started(done):
            return done
        time.sleep(PAUSE)
    return start()


def never_started(done: typing.Any) -> bool:
    """Whether the engine says so, and nothing else has been said."""
    code = done.returncode if hasattr(done, "returncode") else done.rc
    said = [text.decode("utf-8", "replace") if isinstance(text, bytes) else text for text in (done.stdout, done.stderr)]
    return code == 126 and NEVER_STARTED.fullmatch("".join(said).strip()) is not None


@contextlib.contextmanager
def broken(prefix: typing.Sequence[str], what: str, times: int) -> typing.Iterator[typing.Callable[[], int]]:
    """Let the runtime of a host's engine fail so for some times, before programs and containers in whose specification ``what`` stands.

    :param prefix: the command that runs another one on the host, with standard input.
    :return: how many failures are left.
    """

    def shell(script: str, data: str = "") -> str:
        return run([*prefix, "sh", "-ec", script], check=True, input=data, text=True).stdout

    folder = "/usr/local/lib/broken-runtime"
    shell(
        f"mkdir -p {folder}; cp /usr/sbin/runc {folder}/runc; cat >{folder}/broken; chmod 755 {folder}/broken",
        BROKEN_RUNTIME,
    )
    shell(f"cat >{folder}/what; echo {times} >{folder}/left; mount --bind {folder}/broken /usr/sbin/runc", what)
    try:
        yield lambda: int(shell(f"cat {folder}/left"))
    finally:
        shell(f"umount /usr/sbin/runc; rm -r {folder}")
