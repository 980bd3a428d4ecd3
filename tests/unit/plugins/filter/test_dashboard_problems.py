import json
import pathlib

import pytest
from ansible_collections.dockpress.hosting.plugins.filter.dashboard_problems import dashboard_problems

SHIPPED = pathlib.Path(__file__).resolve().parents[4] / "roles" / "monitoring" / "files" / "dashboards"
GOOD = {"uid": "shop", "title": "Shop", "id": None, "schemaVersion": 41, "panels": []}


@pytest.fixture
def write(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.write_text(json.dumps(content) if not isinstance(content, str) else content, encoding="utf-8")
        return str(path)

    return write


def test_the_shipped_ones_are_good():
    files = sorted(map(str, SHIPPED.glob("*.json")))
    assert len(files) == 4
    assert dashboard_problems(files) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"uid": ""}, "has no uid"),
        ({"title": None}, "has no title"),
        ({"id": 7}, "write null"),
        ({"schemaVersion": 43}, "up to 42"),
        ({"__inputs": []}, "share externally"),
        ({"panels": [{"datasource": "${DS_PROMETHEUS}"}]}, "share externally"),
    ],
)
def test_what_grafana_would_not_show(write, change, said):
    problems = dashboard_problems([write("shop.json", {**GOOD, **change})])
    assert len(problems) == 1
    assert said in problems[0]
    assert "shop.json" in problems[0]


def test_newer_layout_and_no_json(write):
    problems = dashboard_problems([write("new.json", {"elements": {}}), write("bad.json", "{"), "/nowhere.json"])
    assert ["no classic dashboard" in problems[0], "bad.json" in problems[1], "nowhere" in problems[2]] == [True] * 3


@pytest.mark.parametrize("key", ["uid", "title"])
def test_both_files_are_named(write, key):
    other = {**GOOD, "uid": "other", "title": "Other", key: GOOD[key]}
    (problem,) = dashboard_problems([write("one.json", GOOD), write("two.json", other)])
    assert "one.json" in problem
    assert "two.json" in problem
    assert f"same {key}" in problem


def test_the_shipped_ones_fit_the_published_schema():
    """Read by Grafana's own types and written again: nothing is unknown to them, nothing gets lost."""
    from grafana_foundation_sdk.cog.encoder import JSONEncoder
    from grafana_foundation_sdk.models.dashboard import Dashboard

    for path in SHIPPED.glob("*.json"):
        content = json.loads(path.read_text(encoding="utf-8"))
        again = json.loads(json.dumps(Dashboard.from_json(content), cls=JSONEncoder))
        assert len(again["panels"]) == len(content["panels"])
        for before, after in zip(content["panels"], again["panels"], strict=True):
            assert before["type"] == after["type"]
            assert [target["expr"] for target in before["targets"]] == [target["expr"] for target in after["targets"]]
        assert all(
            query["datasource"]["uid"] == "dockpress-prometheus"
            for panel in again["panels"]
            for query in panel["targets"]
        )
