# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is started again, and what is not: the engine's answers as Docker 20.10 and 26.1 give them."""

from __future__ import annotations

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _exec

ABOUT_TO_START = {"Running": True, "ExitCode": None, "Pid": 0}
RUNS = {"Running": True, "ExitCode": None, "Pid": 4711}
ENDED = {"Running": False, "ExitCode": 0, "Pid": 4711}
ENDED_WITH_126 = {"Running": False, "ExitCode": 126, "Pid": 4711}
# Also for a program that is not there.
NEVER_STARTED = {"Running": False, "ExitCode": 126, "Pid": 0}


class Stream:
    closed = False

    def close(self):
        self.closed = True


class Engine:
    """Answers to ``exec_inspect`` one after the other; an exception among them is raised."""

    def __init__(self, *states):
        self.states = list(states)
        self.created, self.streams = [], []

    def exec_create(self, container, command, **options):
        self.created.append((container, command, options))
        return {"Id": f"execution {len(self.created)}"}

    def exec_start(self, _execution, socket):
        self.streams.append(Stream())
        return self.streams[-1]

    def exec_inspect(self, _execution):
        state = self.states.pop(0)
        if isinstance(state, Exception):
            raise state
        return state


@pytest.mark.parametrize(
    ("states", "starts"),
    [
        ([RUNS], 1),
        ([ABOUT_TO_START, ABOUT_TO_START, RUNS], 1),
        ([ENDED], 1),
        # A program's own 126.
        ([ENDED_WITH_126], 1),
        # Container or engine are gone.
        ([ConnectionError("gone")], 1),
        ([NEVER_STARTED, RUNS], 2),
        ([ABOUT_TO_START, NEVER_STARTED, NEVER_STARTED], 3),
    ],
)
def test_only_what_never_started_is_started_again(monkeypatch, states, starts):
    monkeypatch.setattr(_exec, "_PAUSE", 0)
    engine = Engine(*states)
    execution, stream = _exec.begin(engine, "cron", ["true"], user="www-data")
    assert (
        engine.created
        == [("cron", ["true"], {"stdin": True, "stdout": True, "stderr": True, "user": "www-data"})] * starts
    )
    assert (execution, stream) == (f"execution {starts}", engine.streams[-1])
    assert [one.closed for one in engine.streams] == [True] * (starts - 1) + [False]
    assert engine.states == []
