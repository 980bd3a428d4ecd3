"""The benchmark's checks on made-up hosts, and the waivers over them."""

from __future__ import annotations

import copy
import pathlib
import re

import pytest
import yaml
from ansible_collections.dockpress.hosting.plugins.module_utils import _cis

ROOT = pathlib.Path(__file__).resolve().parents[4]

# What `docker info`, `docker inspect` and stat say of a host that the role made, cut to what is read.
INFO = {
    "DockerRootDir": "/var/lib/docker",
    "Driver": "overlay2",
    "LoggingDriver": "local",
    "LiveRestoreEnabled": True,
    "ExperimentalBuild": False,
    "SecurityOptions": ["name=seccomp,profile=builtin", "name=no-new-privileges"],
    "Swarm": {"LocalNodeState": "inactive"},
    "Plugins": {"Authorization": None},
    "ServerVersion": "26.1.5",
}
DAEMON = {
    "icc": False,
    "log-level": "info",
    "iptables": True,
    "userland-proxy": False,
    "no-new-privileges": True,
    "default-ulimits": {"nofile": {"Name": "nofile", "Soft": 1, "Hard": 1}},
}
FILES = {
    "/usr/lib/systemd/system/docker.service": ("root", "root", "0644"),
    "/usr/lib/systemd/system/docker.socket": ("root", "root", "0644"),
    "/etc/docker": ("root", "root", "0755"),
    "/etc/docker/daemon.json": ("root", "root", "0644"),
    "/etc/docker/certs.d/registry:5000/ca.crt": ("root", "root", "0444"),
    "/run/docker.sock": ("root", "docker", "0660"),
    "/usr/sbin/dockerd": ("root", "root", "0755"),
}
CONTAINER = {
    "Name": "/blog-web-1",
    "AppArmorProfile": "docker-default",
    "Config": {"User": "101", "Image": "nginx:1.26"},
    "State": {"Health": {"Status": "healthy"}},
    "Mounts": [{"Source": "/srv/dockpress/blog/web", "RW": False, "Propagation": "rprivate"}],
    "NetworkSettings": {
        "Ports": {"80/tcp": [{"HostIp": "10.0.0.5", "HostPort": "8080"}]},
        "Networks": {"blog_front": {}},
    },
    "HostConfig": {
        "SecurityOpt": ["no-new-privileges:true"],
        "Memory": 1,
        "CpuShares": 512,
        "PidsLimit": 100,
        "ReadonlyRootfs": True,
        "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 5},
        "CapAdd": None,
    },
}


def facts(**changes) -> _cis.Facts:
    values = {
        "info": INFO,
        "daemon": DAEMON,
        "flags": ["-H", "fd://"],
        "files": FILES,
        "containers": [CONTAINER],
        "images": [
            {
                "Id": "sha256:0123456789abcdef",
                "RepoTags": ["nginx:1.26"],
                "Config": {"Healthcheck": {"Test": ["CMD", "true"]}},
            }
        ],
        "mounts": {"/", "/var/lib/docker"},
        "audit_rules": "-w /usr/sbin/dockerd -p wa -k docker\n-w /etc/docker -p wa\n",
        "docker_group": [],
    }
    return _cis.Facts(**(copy.deepcopy(values) | changes))


def results(seen: _cis.Facts, waivers=None, in_container=False) -> dict[str, str]:
    return {one["id"]: one["result"] for one in _cis.examine(seen, waivers or {}, in_container)}


def test_every_control_of_sections_1_to_7_is_there():
    found = set(_cis.CHECKS)
    expected = {f"1.1.{number}" for number in range(1, 19)} | {"1.2.1", "1.2.2", "6.1", "6.2"}
    for section, last in ((2, 18), (3, 24), (4, 12), (5, 32), (7, 9)):
        expected |= {f"{section}.{number}" for number in range(1, last + 1)}
    assert found == expected


def test_a_good_host_fails_only_what_nobody_asked_for():
    failing = {identifier for identifier, result in results(facts()).items() if result == "fail"}
    # Files that exist and that no rule of this test's watches, user namespaces, an authorization plugin, content trust.
    assert failing == {"1.1.7", "1.1.9", "1.1.11", "2.9", "2.12", "4.5"}


@pytest.mark.parametrize(
    ("key", "value", "identifier"),
    [
        ("icc", True, "2.2"),
        ("log-level", "debug", "2.3"),
        ("iptables", False, "2.4"),
        ("insecure-registries", ["10.0.0.1:5000"], "2.5"),
        ("hosts", ["fd://", "tcp://0.0.0.0:2375"], "2.7"),
        ("default-ulimits", {}, "2.8"),
        ("cgroup-parent", "x", "2.10"),
        ("storage-opts", ["dm.basesize=10G"], "2.11"),
        ("no-new-privileges", False, "2.14"),
        ("userland-proxy", True, "2.16"),
    ],
)
def test_settings_of_the_engine(key, value, identifier):
    assert results(facts())[identifier] == "pass"
    assert results(facts(daemon=DAEMON | {key: value}))[identifier] == "fail"


@pytest.mark.parametrize(
    ("rule", "result"),
    [
        ("-w /etc/docker -p wa -k docker", "pass"),
        ("-w /etc/docker/ -p wa -k docker", "pass"),
        ("-a always,exit -S all -F dir=/etc/docker -F perm=wa", "pass"),
        ("-w /etc/docker/daemon.json -p wa", "fail"),
        ("-w /srv/etc/docker -p wa", "fail"),
        ("-w /etc -p wa", "fail"),
    ],
)
def test_an_audit_rule_is_for_its_own_path(rule, result):
    assert results(facts(audit_rules=f"-w /usr/sbin/dockerd -p wa\n{rule}\n"))["1.1.6"] == result


@pytest.mark.parametrize(
    ("members", "declared", "result"),
    [
        ([], None, "pass"),
        (["deploy"], None, "manual"),
        (["deploy"], ["deploy"], "pass"),
        (["deploy", "stranger"], ["deploy"], "fail"),
        ([], ["deploy"], "fail"),
    ],
)
def test_the_group_docker(members, declared, result):
    assert results(facts(docker_group=members, declared_group=declared))["1.1.2"] == result


@pytest.mark.parametrize(
    ("key", "value", "identifier"),
    [
        ("LoggingDriver", "json-file", "2.13"),
        ("LiveRestoreEnabled", False, "2.15"),
        ("SecurityOptions", [], "2.17"),
        ("ExperimentalBuild", True, "2.18"),
    ],
)
def test_what_the_engine_says_of_itself(key, value, identifier):
    assert results(facts(info=INFO | {key: value}))[identifier] == "fail"


@pytest.mark.parametrize(
    ("path", "owner", "mode", "identifier"),
    [
        ("/etc/docker/daemon.json", "root:root", "0666", "3.18"),
        ("/etc/docker/daemon.json", "operator:root", "0644", "3.17"),
        ("/run/docker.sock", "root:root", "0660", "3.15"),
        ("/run/docker.sock", "root:docker", "0666", "3.16"),
        ("/etc/docker/certs.d/registry:5000/ca.crt", "root:root", "0644", "3.8"),
    ],
)
def test_files(path, owner, mode, identifier):
    seen = facts(files=FILES | {path: (*owner.split(":"), mode)})
    assert results(seen)[identifier] == "fail"


def test_a_stricter_mode_is_as_good():
    assert results(facts(files=FILES | {"/etc/docker/daemon.json": ("root", "root", "0600")}))["3.18"] == "pass"


@pytest.mark.parametrize(
    ("changes", "identifier"),
    [
        ({"Memory": 0}, "5.11"),
        ({"CpuShares": 0}, "5.12"),
        ({"ReadonlyRootfs": False}, "5.13"),
        ({"RestartPolicy": {"Name": "always"}}, "5.15"),
        ({"PidsLimit": None}, "5.29"),
        ({"Privileged": True}, "5.5"),
        ({"CapAdd": ["CAP_SYS_ADMIN"]}, "5.4"),
        ({"SecurityOpt": []}, "5.26"),
        ({"NetworkMode": "host"}, "5.10"),
        ({"PidMode": "host"}, "5.16"),
    ],
)
def test_containers(changes, identifier):
    container = copy.deepcopy(CONTAINER)
    container["HostConfig"] |= changes
    assert results(facts())[identifier] == "pass"
    (control,) = [one for one in _cis.examine(facts(containers=[container]), {}, False) if one["id"] == identifier]
    assert (control["result"], control["who"]) == ("fail", ["blog-web-1"])


def test_a_waiver_with_a_reason_waives_and_shows_it():
    (control,) = [one for one in _cis.examine(facts(), {"2.9": "not here"}, False) if one["id"] == "2.9"]
    assert (control["result"], control["reason"]) == ("waived", "not here")


def test_a_waiver_for_some_containers_does_not_cover_others():
    root = copy.deepcopy(CONTAINER) | {"Name": "/host-metrics-cadvisor-1", "Config": {"User": ""}}
    waiver = {"4.1": {"reason": "reads control groups", "who": ["*cadvisor*"]}}
    assert results(facts(containers=[CONTAINER, root]), waiver)["4.1"] == "waived"
    other = copy.deepcopy(root) | {"Name": "/something-else-1"}
    assert results(facts(containers=[root, other]), waiver)["4.1"] == "fail"


def test_a_pattern_that_stands_alone_is_one_pattern_and_not_its_letters():
    waiver = {"4.1": {"reason": "reads control groups", "who": "*cadvisor*"}}
    root = copy.deepcopy(CONTAINER) | {"Name": "/host-metrics-cadvisor-1", "Config": {"User": ""}}
    other = copy.deepcopy(root) | {"Name": "/something-else-1"}
    assert results(facts(containers=[root]), waiver)["4.1"] == "waived"
    assert results(facts(containers=[root, other]), waiver)["4.1"] == "fail"


def test_a_swarm_is_for_people_to_look_at_and_its_controls_can_be_waived():
    in_swarm = facts(info=INFO | {"Swarm": {"LocalNodeState": "active"}})
    assert (results(facts())["7.3"], results(in_swarm, {"7.3": "one host"})["7.3"]) == ("absent", "manual")


def test_a_waiver_for_hosts_that_are_containers_holds_only_there():
    waiver = {"1.1.7": {"reason": "no audit here", "where": "container"}}
    assert results(facts(audit_rules=None), waiver, in_container=True)["1.1.7"] == "waived"
    assert results(facts(audit_rules=None), waiver, in_container=False)["1.1.7"] == "fail"


def test_what_passes_is_not_waived():
    assert results(facts(), {"2.2": "whatever"})["2.2"] == "pass"


@pytest.mark.parametrize(
    "waivers",
    [
        {"9.99": "x"},
        {"2.9": ""},
        {"2.9": {"who": ["*"]}},
        {"2.9": {"reason": "x", "whom": ["*cadvisor*"]}},
        {"2.9": {"reason": "x", "who": []}},
        {"2.9": {"reason": "x", "where": "here"}},
        {"2.9": ["x"]},
    ],
)
def test_a_waiver_of_nothing_or_without_a_reason_is_refused_by_the_variables_name(waivers):
    with pytest.raises(ValueError, match="docker_host_cis_waivers"):
        _cis.examine(facts(), waivers, False)


def test_no_control_is_without_a_test_on_real_hosts_or_a_reason_why_a_program_cannot_decide_it():
    tests = "".join(path.read_text() for path in (ROOT / "molecule/docker_host/tests").glob("test_*.py"))
    tried = {identifier for found in re.findall(r'@CIS\(\s*"([\d. ]+)"', tests) for identifier in found.split()}
    swarm = facts(info=INFO | {"Swarm": {"LocalNodeState": "active"}})
    undecided = {
        one["id"] for one in _cis.examine(swarm, {}, False) if one["result"] == "manual" and one["detail"].strip()
    }
    assert set(_cis.CHECKS) - tried - undecided == set()
    assert tried - set(_cis.CHECKS) == set()


def test_shipped_waivers_name_controls_and_reasons_and_the_page_says_how_docker_bench_security_takes_them():
    waivers = yaml.safe_load((ROOT / "roles/docker_host/vars/waivers.yml").read_text())["_docker_host_cis_waivers"]
    _cis.examine(facts(), waivers, False)
    everywhere = [one for one in waivers.items() if one[1].get("where") != "container"]
    whole = ",".join(
        f"check_{identifier.replace('.', '_')}" for identifier, waiver in everywhere if "who" not in waiver
    )
    some = sorted({pattern.strip("*") for _identifier, waiver in everywhere for pattern in waiver.get("who", [])})
    page = (ROOT / "roles/docker_host/README.md").read_text()
    assert f"docker-bench-security.sh -e {whole} -x {','.join(some)}\n" in page
