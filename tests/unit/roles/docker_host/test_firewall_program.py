"""roles/docker_host/files/dockpress-firewall: where its jumps stand among the rules of others. The kernel's side is played by a script."""

from __future__ import annotations

import os
import pathlib
import subprocess

import pytest

PROGRAM = pathlib.Path(__file__).resolve().parents[4] / "roles/docker_host/files/dockpress-firewall"
IPTABLES = """#!/bin/sh
case "$*" in
*" -S "*) cat "$RULES" ;;
*" -D "*) exit 1 ;;
*) echo "$*" >>"$CALLS" ;;
esac
"""
JUMP = "-A DOCKER-USER -j DOCKPRESS-FORWARD"
MONITORING = "-A DOCKER-USER -i br-monitoring -m conntrack --ctstate DNAT -j ACCEPT"


@pytest.mark.parametrize(
    ("rules", "put_first"),
    [
        ([JUMP, "-A DOCKER-USER -j RETURN"], False),
        ([MONITORING, JUMP], False),
        (["-A DOCKER-USER -j f2b-sshd", JUMP], False),
        (["-A DOCKER-USER -s 192.0.2.1/32 -j ACCEPT", JUMP], True),
        ([MONITORING, "-A DOCKER-USER -j RETURN", JUMP], True),
        ([], True),
    ],
)
def test_the_jump_keeps_its_place_where_nothing_passes_before_it(tmp_path, rules, put_first):
    (tmp_path / "iptables").write_text(IPTABLES, encoding="utf-8")
    (tmp_path / "iptables").chmod(0o755)
    (tmp_path / "rules").write_text("\n".join(rules) + "\n", encoding="utf-8")
    functions = PROGRAM.read_text(encoding="utf-8").partition('\ncase "${1:-}" in')[0]
    subprocess.run(
        ["sh", "-c", f"{functions}\njump iptables DOCKER-USER DOCKPRESS-FORWARD"],
        env=os.environ
        | {
            "PATH": f"{tmp_path}:{os.environ['PATH']}",
            "RULES": str(tmp_path / "rules"),
            "CALLS": str(tmp_path / "calls"),
        },
        check=True,
    )
    calls = (tmp_path / "calls").read_text(encoding="utf-8") if (tmp_path / "calls").exists() else ""
    assert calls == ("-w 5 -I DOCKER-USER -j DOCKPRESS-FORWARD\n" if put_first else "")
