"""Every alert fires when it should and keeps quiet when it should: the cases are in cases.yml, promtool judges them.

promtool comes from the environment variable PROMTOOL (the scenario `monitoring` sets it to the one in the Prometheus
image) or from the path. What needs no promtool is tested in any case.
"""

from __future__ import annotations

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[4]
sys.path.insert(0, str(ROOT / "plugins" / "filter"))
from prometheus_rules import prometheus_rules  # noqa: E402

ROLE = ROOT / "roles" / "monitoring"
RULES = sorted((ROLE / "files" / "rules").glob("*.yml"))
VARIABLES = yaml.safe_load((ROLE / "vars" / "main.yml").read_text(encoding="utf-8"))
SETTINGS = VARIABLES["_monitoring_alert_settings"] | dict.fromkeys(VARIABLES["_monitoring_server"], "m")
CASES = yaml.safe_load((pathlib.Path(__file__).parent / "cases.yml").read_text(encoding="utf-8"))
PROMTOOL = shlex.split(os.environ.get("PROMTOOL", "")) or [shutil.which("promtool") or ""]
needs_promtool = pytest.mark.skipif(not PROMTOOL[0], reason="runs in the scenario `monitoring`, where promtool is")


def rendered() -> dict[str, str]:
    return {
        path.name: prometheus_rules(path.read_text(encoding="utf-8"), SETTINGS, "https://docs.test/runbooks")
        for path in RULES
    }


def alerts() -> dict[str, dict]:
    rules = [
        rule for text in rendered().values() for group in yaml.safe_load(text)["groups"] for rule in group["rules"]
    ]
    return {rule["alert"]: rule for rule in rules if "alert" in rule}


def test_every_alert_has_cases_and_a_runbook():
    names = set(alerts())
    assert names == set(CASES)
    assert all("quiet" in case for name, case in CASES.items() if name != "Watchdog")
    assert names == {path.stem for path in (ROOT / "docs" / "runbooks").glob("*.md")} - {"README"}


@pytest.mark.parametrize("name", sorted(alerts()))
def test_alert_says_what_to_do(name):
    rule = alerts()[name]
    assert rule["labels"]["severity"] in {"critical", "warning", "none"}
    assert set(rule["annotations"]) == {"summary", "action", "description", "runbook_url"}
    assert rule["annotations"]["runbook_url"] == f"https://docs.test/runbooks/{name}.md"


def test_every_setting_is_used():
    used = {name for path in RULES for name in re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8"))}
    assert used == set(SETTINGS)


def promtool_test(name: str, kind: str, case: dict) -> dict:
    # The server measures itself, unless that is what the case is about.
    series = {'up{job="prometheus",host="m",env="m"}': "1x2000"} | case["series"]
    queries = []
    if kind == "fires":
        expected = [
            {
                "labels": "ALERTS"
                + "{"
                + ",".join(
                    f'{key}="{value}"'
                    for key, value in sorted({**labels, "alertname": name, "alertstate": "firing"}.items())
                )
                + "}",
                "value": 1,
            }
            for labels in case["labels"]
        ]
        queries.append(
            {
                "expr": f'ALERTS{{alertname="{name}",alertstate="firing"}}',
                "eval_time": case["at"],
                "exp_samples": expected,
            }
        )
    allowed = "|".join(["Watchdog", *([name] if kind == "fires" else []), *case.get("besides", [])])
    queries.append(
        {"expr": f'ALERTS{{alertname!~"{allowed}",alertstate="firing"}}', "eval_time": case["at"], "exp_samples": []}
    )
    return {
        "name": f"{name} {kind}",
        "interval": case.get("step", "1m"),
        "input_series": [{"series": name, "values": values} for name, values in series.items()],
        "promql_expr_test": queries,
    }


@needs_promtool
def test_promtool_checks_the_rules(tmp_path):
    for name, text in rendered().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    checked = subprocess.run(
        [*PROMTOOL, "check", "rules", "--lint=all", "--lint-fatal", *sorted(rendered())],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


@needs_promtool
def test_promtool_tests_the_rules(tmp_path):
    for name, text in rendered().items():
        (tmp_path / name).write_text(text, encoding="utf-8")
    # A day in steps of minutes would take minutes: long cases come in longer steps, and a file has one step.
    cases = [(name, kind, case) for name, kinds in CASES.items() for kind, case in kinds.items()]
    files = []
    for step in sorted({case.get("step", "1m") for _name, _kind, case in cases}):
        document = {
            "rule_files": sorted(rendered()),
            "evaluation_interval": step,
            "tests": [promtool_test(*each) for each in cases if each[2].get("step", "1m") == step],
        }
        files.append(f"cases-{step}.yml")
        (tmp_path / files[-1]).write_text(yaml.safe_dump(document, sort_keys=False), encoding="utf-8")
    tested = subprocess.run(
        [*PROMTOOL, "test", "rules", *files], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
