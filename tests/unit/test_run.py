"""The order of the whole suite, without running any of it."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

SPEC = importlib.util.spec_from_file_location("suite", pathlib.Path(__file__).parents[1] / "run.py")
suite = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(suite)


@pytest.mark.parametrize(
    ("bad", "ran"),
    [
        (None, ["sandbox", "a", "b", "sandbox-down"]),
        ("a", ["sandbox", "a", "b", "sandbox-down"]),
        ("sandbox", ["sandbox", "sandbox-down"]),
    ],
)
def test_what_fails_is_told_at_the_end(monkeypatch, tmp_path, capsys, bad, ran):
    done = []

    def run(phase, _command, _environment):
        done.append(phase)
        (tmp_path / f"{phase}.log").write_text(f"fatal: [web1]: {phase} went wrong\n")
        return phase != bad

    monkeypatch.setattr(suite, "LOGS", tmp_path)
    monkeypatch.setattr(suite, "run", run)
    monkeypatch.setattr(suite, "left_behind", lambda _name: [])
    monkeypatch.setattr("sys.argv", ["run.py", "--only-scenarios", "a", "b"])
    assert (suite.main(), done) == (1 if bad else 0, ran)
    said = capsys.readouterr().out
    assert (f"\n{bad} FAILED; the logs:" in said and f"{bad} went wrong" in said) == bool(bad)


def test_what_stays_behind_fails_the_run(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(suite, "LOGS", tmp_path)
    monkeypatch.setattr(suite, "run", lambda *_phase: True)
    monkeypatch.setattr(suite, "left_behind", lambda _name: ["dockpress-test-web1"])
    monkeypatch.setattr("sys.argv", ["run.py", "--only-scenarios", "a"])
    assert suite.main() == 1
    assert "It left dockpress-test-web1" in capsys.readouterr().out
