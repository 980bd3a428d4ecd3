"""What the hosts really are: the engine's answers, files' modes, what a stranger on the outside network reaches."""

from __future__ import annotations

import json
import re
import subprocess

import pytest
from conftest import (
    CIS,
    INVENTORY,
    LONG,
    MACHINE_ONLY,
    NAME,
    ONLY_ALLOWED,
    PRIVATE,
    PUBLIC,
    ROOT,
    answers,
    daemon,
    info,
    on,
    play,
    reachable,
    requests_in_a_loop,
    said,
    shell,
    variables,
    wait_for,
)

HELD = ["containerd", "docker-cli", "docker-compose", "docker.io", "runc"]

# CIS, one assertion an id, on effective state.


@pytest.mark.parametrize("control", [f"1.1.{number}" for number in range(3, 19)])
@CIS("1.1.3 1.1.4 1.1.5 1.1.6 1.1.7 1.1.8 1.1.9 1.1.10 1.1.11 1.1.12 1.1.13 1.1.14 1.1.15 1.1.16 1.1.17 1.1.18")
def test_cis_1_1_audit_rules(control):
    pytest.skip(f"CIS {control}: {MACHINE_ONLY}")


@CIS("5.2")
def test_cis_5_2_apparmor():
    pytest.skip(f"CIS 5.2: {MACHINE_ONLY}")


@CIS("1.1.1")
def test_cis_1_1_1_partition(host):
    assert shell(host, "mountpoint /var/lib/docker")


@CIS("1.1.2")
def test_cis_1_1_2_group():
    assert shell("hard1", "getent group docker").endswith(":")
    assert shell("hard2", "getent group docker").endswith(":daemon")


@CIS("2.2")
def test_cis_2_2_icc(host, nginx):
    assert (
        json.loads(on(host, "docker", "network", "inspect", "bridge").stdout)[0]["Options"][
            "com.docker.network.bridge.enable_icc"
        ]
        == "false"
    )


@CIS("2.3")
def test_cis_2_3_log_level(host):
    assert daemon(host)["log-level"] == "info"
    assert info(host)["Debug"] is (host == "hard2")


@CIS("2.4")
def test_cis_2_4_iptables(host):
    assert "-j DOCKER-USER" in shell(host, "iptables -S FORWARD")


@CIS("2.5")
def test_cis_2_5_insecure_registries(host):
    configs = info(host)["RegistryConfig"]["IndexConfigs"]
    assert all(registry["Secure"] for registry in configs.values())


@CIS("2.6")
def test_cis_2_6_storage_driver(host):
    assert info(host)["Driver"] == "overlay2"


@CIS("2.7")
def test_cis_2_7_the_engine_is_on_the_network_for_holders_of_a_certificate_only():
    for host, sockets in {"hard1": set(), "hard2": {f"{PRIVATE['hard2']}:2376"}}.items():
        # Ports that containers publish are the engine's as well.
        published = set(re.findall(r"([\d.]+:\d+)->", shell(host, "docker ps --format '{{.Ports}}'")))
        listening = shell(host, "ss -lntpH | grep dockerd | awk '{print $4}'", check=False)
        assert set(listening.split()) - published == sockets
    tls = "cd /etc/docker-tls && docker --tlsverify --tlscacert=ca.crt {} -H {} version --format '{{{{.Server.Os}}}}'"
    address = f"tcp://{PRIVATE['hard2']}:2376"
    assert shell("hard2", tls.format("--tlscert=client.crt --tlskey=client.key", address)) == "linux"
    assert on("hard2", "sh", "-c", tls.format("", address), check=False).returncode != 0


@CIS("3.9 3.10 3.11 3.12 3.13 3.14")
@pytest.mark.parametrize(("name", "mode"), [("ca.crt", "444"), ("host.crt", "444"), ("host.key", "400")])
def test_cis_3_9_to_3_14_certificates(name, mode):
    assert shell("hard2", f"stat -c '%U:%G %a' /etc/docker-tls/{name}") == f"root:root {mode}"


@CIS("2.8")
def test_cis_2_8_ulimits(host, nginx):
    limit = on(host, "docker", "run", "--rm", "--entrypoint", "sh", nginx, "-c", "ulimit -n").stdout.strip()
    assert limit == {"hard1": "16384", "hard2": "1024"}[host]


@CIS("2.9")
def test_cis_2_9_user_namespaces(host, nginx):
    """Waived: what is said of it in the waiver holds. Containers get the host's user ids, and an image's own user stays."""
    uids = on(host, "docker", "run", "--rm", "--entrypoint", "cat", nginx, "/proc/self/uid_map").stdout.split()
    assert uids == shell(host, "cat /proc/self/uid_map").split()


@CIS("2.10")
def test_cis_2_10_control_groups(host, nginx):
    name = on(host, "docker", "run", "-d", "--rm", nginx).stdout.strip()
    pid = on(host, "docker", "inspect", "-f", "{{.State.Pid}}", name).stdout.strip()
    groups = shell(host, f"cat /proc/{pid}/cgroup")
    on(host, "docker", "rm", "--force", name)
    # The engine's default, with its driver of control groups, and no parent of somebody's choice.
    parent = {"cgroupfs": "/docker/", "systemd": "/system.slice/docker-"}[info(host)["CgroupDriver"]]
    assert f"{parent}{name}" in groups


@CIS("2.11")
def test_cis_2_11_no_limit_of_the_storage_driver(host):
    assert info(host)["Driver"] == "overlay2"
    assert not any("size" in key.lower() for key, _value in info(host)["DriverStatus"])


@CIS("2.12")
def test_cis_2_12_only_root_reaches_the_engine(host):
    """Waived: what is said of it in the waiver holds. Nobody but root gets an answer from the socket."""
    asked = "setpriv --reuid=65534 --regid=65534 --clear-groups docker version --format '{{.Server.Version}}'"
    assert "permission denied" in on(host, "sh", "-c", asked, check=False).stderr
    assert info(host)["Plugins"]["Authorization"] in (None, [])


@CIS("2.13")
def test_cis_2_13_log_driver(host):
    assert info(host)["LoggingDriver"] == {"hard1": "local", "hard2": "journald"}[host]


@CIS("2.14")
def test_cis_2_14_no_new_privileges(host, nginx):
    status = on(
        host, "docker", "run", "--rm", "--entrypoint", "sh", nginx, "-c", "grep NoNewPrivs /proc/self/status"
    ).stdout
    assert status.split()[1] == "1"


@CIS("2.15")
def test_cis_2_15_live_restore(host):
    assert info(host)["LiveRestoreEnabled"] is (host == "hard1")


@CIS("2.16")
def test_cis_2_16_userland_proxy(host):
    assert daemon(host)["userland-proxy"] is False
    assert not shell(host, "pgrep docker-proxy", check=False)


@CIS("2.17")
def test_cis_2_17_seccomp(host):
    assert any("seccomp" in option for option in info(host)["SecurityOptions"])


@CIS("2.18")
def test_cis_2_18_experimental(host):
    assert info(host)["ExperimentalBuild"] is False


@pytest.mark.parametrize(
    ("controls", "path", "expected"),
    [
        ("3.1 3.2", "/usr/lib/systemd/system/docker.service", "root:root 644"),
        ("3.3 3.4", "/usr/lib/systemd/system/docker.socket", "root:root 644"),
        ("3.5 3.6", "/etc/docker", "root:root 755"),
        ("3.7 3.8", "/etc/docker/certs.d/registry.sandbox.test:5000/ca.crt", "root:root 444"),
        ("3.15 3.16", "/run/docker.sock", "root:docker 660"),
        ("3.17 3.18", "/etc/docker/daemon.json", "root:root 644"),
        ("3.19 3.20", "/etc/default/docker", "root:root 644"),
        ("3.23 3.24", "/run/containerd/containerd.sock", "root:root 660"),
    ],
)
@CIS("3.1 3.2 3.3 3.4 3.5 3.6 3.7 3.8 3.15 3.16 3.17 3.18 3.19 3.20 3.23 3.24")
def test_cis_3_files(host, controls, path, expected):
    assert shell(host, f"stat -c '%U:%G %a' {path}") == expected, controls


@CIS("3.21 3.22")
def test_cis_3_21_22_no_such_file(host):
    assert on(host, "test", "-e", "/etc/sysconfig/docker", check=False).returncode == 1


def test_kernel_settings(host):
    assert shell(host, "sysctl -n net.ipv4.ip_forward net.ipv4.conf.all.send_redirects").split() == ["1", "0"]
    assert shell(host, "sysctl -n net.ipv4.conf.all.log_martians") == {"hard1": "0", "hard2": "1"}[host]


def test_where_the_engine_comes_from():
    assert "docker-ce" in shell("hard2", "dpkg-query -W -f '${Package} ' docker-ce docker-compose-plugin containerd.io")
    assert "file:/srv/apt" in shell("hard2", "apt-cache policy docker-ce")
    assert shell("hard2", "docker compose version --short")
    assert shell("hard1", "apt-mark showhold").split() == HELD
    assert not shell("hard2", "apt-mark showhold")


@LONG
def test_a_version_that_the_inventory_names_is_gone_back_to_and_kept_by_an_update():
    """On hard2, whose repository has two versions of the engine."""
    versions = "dpkg-query -W -f '${Version} ' docker-ce docker-ce-cli"
    newer = shell("hard2", versions).split()
    older = newer[0].removesuffix(".1")
    pinned = variables(docker_host_engine_version=older)
    for playbook in (("playbooks/provision.yml", "--tags=install"), ("playbooks/update.yml",)):
        result = play(*playbook, *pinned, limit="hard2")
        assert result.returncode == 0, result.stdout[-3000:]
        assert shell("hard2", versions).split() == [older, older]
        assert shell("hard2", "apt-mark showhold").split() == ["docker-ce", "docker-ce-cli"]
    result = play("playbooks/update.yml", limit="hard2")
    assert result.returncode == 0, result.stdout[-3000:]
    assert shell("hard2", versions).split() == newer
    assert not shell("hard2", "apt-mark showhold")


def test_the_folders_of_the_collection(host):
    assert shell(host, "stat -c '%a %u:%g' /run/lock/dockpress") == "2770 0:33"
    # uid 33, as in the cron containers, takes a lock that root made, and root one that uid 33 made.
    shell(
        host,
        "flock /run/lock/dockpress/a true && setpriv --reuid=33 --regid=33 --clear-groups flock /run/lock/dockpress/a true",
    )
    shell(
        host,
        "setpriv --reuid=33 --regid=33 --clear-groups flock /run/lock/dockpress/b true && flock /run/lock/dockpress/b true",
    )


# Firewall: what a stranger on the outside network reaches.


def test_only_allowed_ports_answer(published):
    assert reachable() == ONLY_ALLOWED
    # The private network is another one, and the metrics port is there for it alone.
    code = "import urllib.request as u, sys; print(u.urlopen(sys.argv[1], timeout=3).status)"
    assert on("hard2", "python3", "-c", code, f"http://{PRIVATE['hard1']}:9443/").stdout.strip() == "200"


def test_packets_that_are_routed_straight_to_a_container_are_dropped(published):
    """Engines before 28 let a neighbour with a static route reach unpublished ports, and ports published on loopback."""
    for container in ("none", "loopback", "closed"):
        address = on(
            "hard1", "docker", "inspect", "-f", "{{.NetworkSettings.Networks.site.IPAddress}}", container
        ).stdout.strip()
        shell("hard2", f"ip route replace {address}/32 via {PUBLIC['hard1']}")
        code = "import socket, sys; socket.create_connection((sys.argv[1], 80), 2)"
        assert on("hard2", "python3", "-c", code, address, check=False).returncode != 0, container
        shell("hard2", f"ip route del {address}/32")


def test_containers_reach_each_other(published, nginx):
    code = "exec 3<>/dev/tcp/none/80 && echo yes"
    assert on("hard1", "docker", "exec", "allowed", "bash", "-c", code, check=False).stdout.strip() == "yes"


def test_docker_restarts_and_everything_is_as_before(published):
    started = on("hard1", "docker", "inspect", "-f", "{{.State.StartedAt}}", "allowed").stdout
    on("hard1", "systemctl", "restart", "docker")
    assert wait_for(lambda: answers(PUBLIC["hard1"], 8080))
    assert reachable() == ONLY_ALLOWED
    assert on("hard1", "docker", "inspect", "-f", "{{.State.StartedAt}}", "allowed").stdout == started


def test_a_reload_loses_no_request_and_a_restart_is_announced(published):
    """Requests go on in a loop while the configuration changes. The test after this one brings it back to what is declared."""
    mine = {key: daemon("hard1")[key] for key in ("default-ulimits", "dns")}
    started = on("hard1", "docker", "inspect", "-f", "{{.State.StartedAt}}", "allowed").stdout
    pid = shell("hard1", "pidof dockerd")
    configure = ("playbooks/provision.yml", "--tags=configure")
    with requests_in_a_loop(f"http://{PUBLIC['hard1']}:8080/") as failures:
        mine |= {"max-download-attempts": 7}
        result = play(*configure, *variables(docker_host_daemon_config=mine))
        assert result.returncode == 0, result.stdout[-3000:]
        assert "takes over max-download-attempts by a reload" in said(result)
        assert failures() == []
        assert shell("hard1", "pidof dockerd") == pid

        mine |= {"dns-opts": ["timeout:1"]}
        result = play(*configure, *variables(docker_host_daemon_config=mine))
        assert result.returncode == 0, result.stdout[-3000:]
        assert "The engine restarts, for dns-opts. Containers go on running" in said(result)
        refused = failures()
        # New connections are refused for a second at most, and no container was restarted.
        assert not refused or max(refused) - min(refused) <= 1
        assert shell("hard1", "pidof dockerd") != pid
    assert on("hard1", "docker", "inspect", "-f", "{{.State.StartedAt}}", "allowed").stdout == started


def test_an_update_passes_its_gate_and_brings_the_host_to_its_declared_state(published):
    """Out of what the test before left, after a run that ended between writing daemon.json and applying it, with an emptied chain."""
    on("hard1", "iptables", "-F", "DOCKPRESS-FORWARD")
    declared = {
        key: value for key, value in daemon("hard1").items() if key not in ("dns-opts", "max-download-attempts")
    }
    module = ["-m", "dockpress.hosting.docker_daemon", "-a", json.dumps({"config": declared})]
    subprocess.run(["ansible", "hard1", *INVENTORY, *module], cwd=ROOT, check=True, capture_output=True)
    assert daemon("hard1") == declared
    result = play("playbooks/update.yml")
    assert result.returncode == 0, result.stdout[-3000:]
    assert "The engine restarts, for dns-opts" in said(result)
    assert daemon("hard1") == declared
    assert shell("hard1", "apt-mark showhold").split() == HELD
    assert reachable() == ONLY_ALLOWED


@pytest.mark.parametrize("tag", ["harden", "cis_3_1", "cis_2_2"])
def test_one_part_or_one_control_can_be_run_alone(tag):
    result = play("playbooks/provision.yml", f"--tags={tag}")
    assert result.returncode == 0, result.stdout[-3000:]
    assert "changed=0" in result.stdout


# Faults.


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"log-opts": {"max-sise": "1m"}}, "max-sise"),
        ({"no-such-key": 1}, "no-such-key"),
        pytest.param({"ipv6": "true"}, "ipv6", marks=LONG),
        pytest.param({"icc": "maybe"}, "icc", marks=LONG),
    ],
)
def test_a_wrong_daemon_json_stops_before_the_engine_is_touched(config, named):
    before = shell("hard1", "pidof dockerd; sha256sum /etc/docker/daemon.json")
    result = play("playbooks/provision.yml", "--tags=configure", *variables(docker_host_daemon_config=config))
    assert result.returncode != 0
    assert named in said(result)
    assert shell("hard1", "pidof dockerd; sha256sum /etc/docker/daemon.json") == before


@pytest.mark.parametrize(
    ("wrong", "named"),
    [
        ({"docker_host_firewall_allow": [{"port": 70000}]}, "docker_host_firewall_allow[0].port"),
        (
            {"docker_host_firewall_allow": [{"port": 80, "interface": "eth9"}]},
            "docker_host_firewall_allow[0].interface",
        ),
        (
            {"docker_host_private_address": "192.0.2.1", "docker_host_private_interface": ""},
            "docker_host_private_address",
        ),
        (
            {"docker_host_firewall_ssh_sources": ["10.0.0.300"]},
            "docker_host_firewall_ssh_sources: '10.0.0.300'",
        ),
    ],
)
def test_bad_input_is_refused_by_the_variables_name(wrong, named):
    result = play("playbooks/provision.yml", "--tags=always", *variables(**wrong))
    assert result.returncode != 0
    assert named in said(result)


def test_a_waiver_of_no_control_is_refused(tmp_path):
    quick = variables(docker_host_audit_folder=str(tmp_path), docker_host_audit_drift=False)
    wrong = variables(docker_host_cis_waivers={"9.99": "There is no such control."})
    result = play("playbooks/audit.yml", *quick, *wrong, limit="hard1,localhost")
    assert result.returncode != 0
    assert "docker_host_cis_waivers: CIS Docker Benchmark 1.6 has no control '9.99'" in said(result)


def test_rules_that_nobody_confirms_take_themselves_back(published):
    rules = "iptables -S DOCKPRESS-FORWARD; iptables -S DOCKPRESS-INPUT"
    before = shell("hard1", rules)
    candidate = "/etc/dockpress/firewall/candidate/rules.v4"
    shell("hard1", f"cp {candidate} /root/kept && grep -v 8080 /root/kept > {candidate}")
    on("hard1", "/usr/local/sbin/dockpress-firewall", "try", "5")
    assert not answers(PUBLIC["hard1"], 8080, timeout=1)
    assert wait_for(lambda: shell("hard1", rules) == before, seconds=20)
    assert answers(PUBLIC["hard1"], 8080)
    shell("hard1", f"cp /root/kept {candidate}")


@pytest.mark.parametrize("chain", ["INPUT", "DOCKER-USER"])
def test_rules_that_others_are_put_before_are_not_in_force(published, chain):
    compare = ("/usr/local/sbin/dockpress-firewall", "compare")
    assert on("hard1", *compare, check=False).returncode == 0
    on("hard1", "iptables", "-I", chain, "-p", "tcp", "--dport", "8081", "-j", "ACCEPT")
    try:
        assert on("hard1", *compare, check=False).returncode == 1
    finally:
        on("hard1", "iptables", "-D", chain, "-p", "tcp", "--dport", "8081", "-j", "ACCEPT")
    assert on("hard1", *compare, check=False).returncode == 0


@LONG
def test_a_firewall_that_is_no_longer_wanted_is_taken_away(published):
    off = ("playbooks/provision.yml", "--tags=firewall")
    result = play(*off, *variables(docker_host_firewall=False))
    assert result.returncode == 0, result.stdout[-3000:]
    assert "DOCKPRESS" not in shell("hard1", "iptables -S; ip6tables -S")
    assert on("hard1", "systemctl", "is-enabled", "dockpress-firewall", check=False).returncode != 0
    assert answers(PUBLIC["hard1"], 8081)
    again = play(*off, *variables(docker_host_firewall=False))
    assert "changed=0" in again.stdout
    result = play(*off)
    assert result.returncode == 0, result.stdout[-3000:]
    assert reachable() == ONLY_ALLOWED


def test_stray_processes_stop_the_play_and_ansible_itself_does_not():
    """One that listens, and one that does not."""
    strays = {
        "stray-nginx": ["-m", "http.server", "8099"],
        "stray-sleeper": ["-c", "import time; time.sleep(600)"],
    }
    for unit, program in strays.items():
        on("hard1", "systemd-run", f"--unit={unit}", "--quiet", "python3", *program)
    try:
        result = play("playbooks/provision.yml", "--tags=mixing")
        assert result.returncode != 0
        for unit in strays:
            assert f"{unit}.service" in result.stdout
    finally:
        on("hard1", "systemctl", "stop", *strays)
    result = play("playbooks/provision.yml", "--tags=mixing")
    assert result.returncode == 0, result.stdout[-3000:]


def test_the_audit_says_what_is_wrong_and_ends_with_an_error(tmp_path):
    """Of the hosts themselves: drift has a test of its own among the longer proofs."""
    quick = variables(docker_host_audit_folder=str(tmp_path), docker_host_audit_drift=False)
    on("hard1", "chmod", "666", "/etc/docker/daemon.json")
    result = play("playbooks/audit.yml", *quick, limit="hardened,localhost")
    on("hard1", "chmod", "644", "/etc/docker/daemon.json")
    assert result.returncode != 0
    report = json.loads((tmp_path / "audit.json").read_text())
    assert any("CIS 3.18" in problem for problem in report["problems"])
    hosts = {one["name"]: one for one in report["hosts"]}
    waived = [
        control
        for section in hosts["hard1"]["sections"]
        for control in section["controls"]
        if control["result"] == "waived"
    ]
    assert all(control["reason"] for control in waived)
    assert (tmp_path / "audit.html").exists(), result.stdout[-3000:]
    assert "<h1>Docker hosts</h1>" in (tmp_path / "audit.html").read_text()


def test_an_audit_that_nobody_would_judge_is_refused():
    result = play("playbooks/audit.yml", limit="hard1")
    assert result.returncode != 0
    assert "write --limit 'hard1,localhost'" in said(result)


def test_the_audit_of_hosts_that_cannot_be_looked_at_says_so(tmp_path):
    """All of them: one whose engine is down, and one that is not there."""
    quick = variables(docker_host_audit_folder=str(tmp_path), docker_host_audit_drift=False)
    on("hard1", "systemctl", "stop", "docker.socket", "docker.service")
    try:
        result = play("playbooks/audit.yml", *quick, limit="hard1,hard3,localhost")
    finally:
        on("hard1", "systemctl", "start", "docker.socket", "docker.service")
    assert result.returncode != 0
    hosts = {one["name"]: one for one in json.loads((tmp_path / "audit.json").read_text())["hosts"]}
    assert "The engine does not answer" in hosts["hard1"]["problems"][0]
    assert hosts["hard3"]["reached"] is False
    assert "The engine does not answer" in (tmp_path / "audit.html").read_text()


def test_a_reboot_brings_everything_back(published):
    subprocess.run(["docker", "restart", "--time=20", f"{NAME}-hard1"], check=True, capture_output=True)
    assert wait_for(lambda: answers(PUBLIC["hard1"], 8080), seconds=90)
    assert reachable() == ONLY_ALLOWED
    assert shell("hard1", "stat -c '%a %u:%g' /run/lock/dockpress") == "2770 0:33"
