"""The fleet's report."""

from __future__ import annotations

import copy

from ansible_collections.dockpress.hosting.plugins.filter.audit_report import audit_report

SEEN = {
    "in_container": False,
    "engine": {"version": "26.1.5"},
    "controls": [
        {"id": "2.2", "title": "icc", "result": "pass", "detail": ""},
        {"id": "2.9", "title": "userns", "result": "waived", "detail": "off"},
    ],
    "violations": [],
    "containers": [],
    "undeclared": [],
    "past_firewall": [],
    "firewall": "in force",
    "updates": [],
    "security_updates": 0,
    "disks": [["/", "1000", "500", "50%"], ["/var/lib/docker", "1000", "500", "50%"]],
}
GROUPS = {"docker_hosts": ["web1"]}


def report(changes=None, drift=None, hostvars=None):
    seen = copy.deepcopy(SEEN) | (changes or {})
    return audit_report(hostvars or {"web1": {"docker_host_audit": seen}}, GROUPS, drift=drift)


def test_all_is_well():
    result = report()
    assert result["well"] is True
    assert result["hosts"][0]["counts"] == {"pass": 1, "waived": 1, "manual": 0, "fail": 0, "absent": 0}
    assert result["hosts"][0]["docker_bench"] == "check_2_9"
    assert result["hosts"][0]["disks"] == [{"paths": ["/", "/var/lib/docker"], "bytes": 1000, "free": 500, "used": 50}]


def test_everything_that_is_not_well_is_a_sentence_with_the_hosts_name():
    changes = {
        "controls": [{"id": "2.2", "title": "icc", "result": "fail", "detail": "icc is not false"}],
        "violations": [{"exe": "/usr/sbin/nginx", "name": "nginx", "unit": "nginx.service", "why": "foreign"}],
        "undeclared": ["strange-1"],
        "past_firewall": ["bridged-1"],
        "firewall": "not in force",
        "disks": [["/", "1000", "50", "95%"]],
    }
    result = report(
        changes,
        drift={
            "web1": {"changed": ["a task"], "failed": []},
            "blog": {"changed": ["title"], "failed": [], "unreachable": []},
        },
    )
    assert result["well"] is False
    assert len(result["problems"]) == 8
    assert all(problem.startswith(("web1: ", "blog: ")) for problem in result["problems"])


def test_a_host_that_could_not_be_looked_at_is_not_well():
    result = report(hostvars={"web1": {}})
    assert result["well"] is False
    assert result["hosts"][0]["reached"] is False
    result = report(hostvars={"web1": {"docker_host_audit_obstacle": "Room on the disks: no df"}})
    assert result["problems"] == ["web1: could not be looked at: Room on the disks: no df"]


def test_drift_that_is_not_known_is_a_problem():
    hostvars = {"web1": {"docker_host_audit": SEEN}}
    result = audit_report(hostvars, GROUPS, drift_unknown="no vault password")
    assert result["problems"] == ["check run: what a run would change is not known: no vault password"]
    assert result["well"] is False


def test_no_hosts_are_no_good_report():
    assert audit_report({}, {}, drift={})["well"] is False


def test_hosts_stand_in_the_order_in_which_people_count_and_sites_after_them():
    names = ["web10", "web2", "web1"]
    hostvars = {name: {"docker_host_audit": SEEN} for name in names}
    drift = {"blog": {"changed": ["title"]}, "localhost": {"changed": ["x"]}, "quiet": {"changed": []}}
    result = audit_report(hostvars, {"docker_hosts": names}, drift=drift)
    assert [host["name"] for host in result["hosts"]] == ["web1", "web2", "web10"]
    assert result["sites"] == [{"name": "blog", "problems": ["a run would change: title"]}]
    assert result["problems"] == ["blog: a run would change: title"]
