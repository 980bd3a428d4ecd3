"""What the scenarios ask for again, and what they take as it is."""

from __future__ import annotations

import importlib.util
import pathlib
import sys
import types

import pytest

SPEC = importlib.util.spec_from_file_location("engine", pathlib.Path(__file__).parents[1] / "engine.py")
engine = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(engine)

START = "OCI runtime exec failed: exec failed: unable to start container process: "
SAID = f"{START}waiting for init preliminary setup: read init-p: connection reset by peer: unknown\r\n"


@pytest.mark.parametrize(
    ("code", "out", "err", "expected"),
    [
        (126, SAID, "", True),
        (126, SAID.encode(), b"", True),
        (126, "", SAID, True),
        # Something else ran in the same shell.
        (126, f"Success: Updated 'home' option.\n{SAID}", "", False),
        (126, SAID, "Warning: Something.\n", False),
        (0, SAID, "", False),
        (126, f'{START}exec: "/etc/passwd": permission denied: unknown\r\n', "", False),
        (126, "", "", False),
    ],
)
def test_only_the_engines_own_word_alone_counts(code, out, err, expected):
    assert engine.never_started(types.SimpleNamespace(returncode=code, stdout=out, stderr=err)) is expected
    assert engine.never_started(types.SimpleNamespace(rc=code, stdout=out, stderr=err)) is expected


@pytest.mark.parametrize("failures", [0, 1, 2, 3])
def test_a_program_runs_once_and_is_asked_for_three_times_at_most(monkeypatch, tmp_path, failures):
    monkeypatch.setattr(engine, "PAUSE", 0)
    count = tmp_path / "count"
    program = (
        "import pathlib, sys; count = pathlib.Path(sys.argv[1]); tried = len(count.read_text()) if count.exists() else 0\n"
        "count.write_text('x' * (tried + 1))\n"
        "if tried < int(sys.argv[2]): print(sys.argv[3], end=''); sys.exit(126)\n"
        "print(sys.stdin.read()); sys.exit(126)"
    )
    done = engine.run([sys.executable, "-c", program, str(count), str(failures), SAID], input="hello", text=True)
    assert done.returncode == 126
    assert done.stdout.strip() == (SAID.strip() if failures == 3 else "hello")
    assert len(count.read_text()) == min(failures + 1, 3)
