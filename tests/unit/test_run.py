"""The order of the whole suite, without running any of it."""

from __future__ import annotations

import importlib.util
import pathlib

import pytest

SPEC = importlib.util.spec_from_file_location("suite", pathlib.Path(__file__).parents[1] / "run.py")
suite = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(suite)

NEW_HOSTS = ["sandbox-down", "sandbox"]


@pytest.mark.parametrize(
    "case",
    [
        ([], [], 0, 0, ["sandbox", "a", "b", "sandbox-down"]),
        ([], ["a"], 0, 1, ["sandbox", "a", "b", "sandbox-down"]),
        (["--second-try"], ["a"], 0, 0, ["sandbox", "a", *NEW_HOSTS, "a", "b", "sandbox-down"]),
        (["--second-try"], ["a", "a"], 0, 1, ["sandbox", "a", *NEW_HOSTS, "a", "b", "sandbox-down"]),
        # No time is left for it.
        (["--second-try"], ["a"], 89, 1, ["sandbox", "a", "b", "sandbox-down"]),
        (["--second-try"], ["sandbox"], 0, 1, ["sandbox", "sandbox-down"]),
    ],
)
def test_a_scenario_that_fails_gets_a_second_try(monkeypatch, tmp_path, capsys, case):
    options, failing, minutes, code, ran = case
    bad = list(failing)
    done, clock = [], [0.0]

    def run(phase, _command, _environment):
        done.append(phase)
        clock[0] += 60 * minutes
        (tmp_path / f"{phase}.log").write_text(f"fatal: [web1]: {phase} went wrong\n")
        if phase in bad:
            bad.remove(phase)
            return False
        return True

    monkeypatch.setattr(suite, "LOGS", tmp_path)
    monkeypatch.setattr(suite, "run", run)
    monkeypatch.setattr(suite, "left_behind", lambda _name: [])
    monkeypatch.setattr(suite.time, "monotonic", lambda: clock[0])
    monkeypatch.setattr("sys.argv", ["run.py", "--only-scenarios", *options, "a", "b"])
    assert (suite.main(), done) == (code, ran)
    said = capsys.readouterr().out
    # Whatever comes of the second try, the first one is told.
    for phase in failing:
        assert f"\n{phase} FAILED; the logs:" in said
        assert f"{phase} went wrong" in said


def test_what_stays_behind_fails_the_run(monkeypatch, tmp_path, capsys):
    monkeypatch.setattr(suite, "LOGS", tmp_path)
    monkeypatch.setattr(suite, "run", lambda *_phase: True)
    monkeypatch.setattr(suite, "left_behind", lambda _name: ["dockpress-test-web1"])
    monkeypatch.setattr("sys.argv", ["run.py", "--only-scenarios", "a"])
    assert suite.main() == 1
    assert "It left dockpress-test-web1" in capsys.readouterr().out
