"""The page for where no Grafana runs, drawn from answers that Prometheus could have given."""

from __future__ import annotations

import importlib.util
import json
import pathlib

import pytest

ROLE = pathlib.Path(__file__).resolve().parents[4] / "roles" / "monitoring" / "files"
specification = importlib.util.spec_from_file_location("report", ROLE / "report" / "report.py")
report = importlib.util.module_from_spec(specification)
specification.loader.exec_module(report)

START, END, STEP = 1_790_000_000, 1_790_000_600, 10
GRID = list(range(START, END + 1, STEP))
NUMBERS = {"type": "stat", "title": "n", "gridPos": {"w": 4}, "targets": [{"expr": "a", "legendFormat": ""}]}


def series(values: dict[int, float], **labels: str) -> dict:
    return {"labels": labels, "values": [[at, str(value)] for at, value in values.items()]}


@pytest.mark.parametrize(
    ("value", "unit", "said"),
    [
        (0.123, "percentunit", "12.3 %"),
        (3 * 1024**2, "bytes", "3 MiB"),
        (90000, "s", "1.04 d"),
        (0.0042, "s", "4.2 ms"),
        (0.0000042, "none", "0"),
        (1.5, "reqps", "1.5/s"),
    ],
)
def test_values_are_said_with_their_units(value, unit, said):
    assert report.human(value, unit) == said


def test_a_number_has_the_word_and_the_colour_of_its_panel():
    words = [
        {"type": "value", "options": {"1": {"text": "up", "color": "green"}, "0": {"text": "down", "color": "red"}}}
    ]
    panel = NUMBERS | {"fieldConfig": {"defaults": {"unit": "none", "mappings": words}}}
    assert "<span class='red'>down</span>" in report.number(panel, [{"series": [series({END: 0})]}], GRID)
    steps = [{"value": None, "color": "green"}, {"value": 2, "color": "red"}]
    panel = NUMBERS | {"fieldConfig": {"defaults": {"unit": "short", "thresholds": {"steps": steps}}}}
    assert "<span class='green'>1</span>" in report.number(panel, [{"series": [series({END: 1})]}], GRID)
    assert "<span class='red'>2</span>" in report.number(panel, [{"series": [series({END: 2})]}], GRID)


def test_what_has_ended_is_no_current_number_and_leaves_a_gap_in_its_line():
    panel = NUMBERS | {"fieldConfig": {"defaults": {}}}
    answers = [{"series": [series({START: 7, START + 20: 8})]}]
    assert "7" not in report.number(panel, answers, GRID)
    ((_name, line),) = report.lines(panel, answers, GRID)
    assert line[0:3:2] == [7, 8]
    assert line[1] != line[1]  # not a number


def test_the_page_has_every_panel_also_without_any_data_and_escapes_what_it_shows(tmp_path):
    paths = sorted(map(str, (ROLE / "dashboards").glob("*.json")))
    targets = [target for _board, found in report.panels(paths) for panel in found for target in panel["targets"]]
    answer = {"start": START, "end": END, "step": STEP, "answers": [{"series": []} for _target in targets]}
    answer["answers"][0] = {"series": [], "error": "<timeout>"}
    text = report.page(paths, answer)
    for path in paths:
        for panel in json.loads(pathlib.Path(path).read_text(encoding="utf-8"))["panels"]:
            assert f"<h3>{panel['title']}</h3>" in text
    assert "&lt;timeout&gt;" in text
    assert "<svg" not in text


def test_a_chart_has_a_line_and_a_name_for_every_series():
    panel = {
        "title": "CPU",
        "gridPos": {"w": 12},
        "targets": [{"expr": "a", "legendFormat": "{{host}} <{{name}}>"}],
        "fieldConfig": {"defaults": {"unit": "bytes"}},
    }
    answers = [{"series": [series({at: at - START for at in GRID}, host="web1", name="x"), series({}, host="web2")]}]
    drawn = report.chart(panel, answers, GRID)
    assert drawn.startswith("<svg")
    assert "web1 &lt;x&gt;" in drawn
    assert "600 B" in drawn
    assert "gone" in drawn
