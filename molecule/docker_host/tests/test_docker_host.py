"""What the hosts really are: the engine's answers, files' modes, what a stranger on the outside network reaches."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess
import time

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[3]
HERE = pathlib.Path(__file__).resolve().parents[1]
NAME = os.environ["SANDBOX_NAME"]
SUBNET = os.environ["SANDBOX_SUBNET"]
PUBLIC = {"hard1": f"{SUBNET}.1.13", "hard2": f"{SUBNET}.1.14"}
PRIVATE = {"hard1": f"{SUBNET}.2.13", "hard2": f"{SUBNET}.2.14"}
# Kernels without the audit subsystem's namespaces, AppArmor and the like: the host below is not ours to change.
MACHINE_ONLY = "the hosts are containers: this part of the kernel belongs to the machine"
LONG = pytest.mark.skipif(not os.environ.get("DOCKPRESS_LONG"), reason="part of the longer proofs: DOCKPRESS_LONG=1")


def on(host: str, *command: str, check: bool = True) -> subprocess.CompletedProcess:
    return subprocess.run(["docker", "exec", f"{NAME}-{host}", *command], capture_output=True, text=True, check=check)


def shell(host: str, script: str, check: bool = True) -> str:
    return on(host, "sh", "-c", script, check=check).stdout.strip()


def play(playbook: str, *arguments: str, limit: str = "hard1") -> subprocess.CompletedProcess:
    """Run a playbook with the scenario's inventory."""
    inventory = [f"--inventory={HERE.parent}/shared/inventory", f"--inventory={HERE}/inventory"]
    command = ["ansible-playbook", str(playbook), *inventory, f"--limit={limit}", *arguments]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)


def variables(**values: object) -> tuple[str, str]:
    return "--extra-vars", json.dumps(values)


def info(host: str) -> dict:
    return json.loads(on(host, "docker", "info", "--format", "{{json .}}").stdout)


def daemon(host: str) -> dict:
    return json.loads(on(host, "cat", "/etc/docker/daemon.json").stdout)


def answers(address: str, port: int, timeout: float = 2) -> bool:
    """Whether a stranger on the outside network (this machine, through the bridge) gets an answer."""
    command = ["curl", "--silent", "--output", "/dev/null", "--max-time", str(timeout), f"http://{address}:{port}/"]
    return subprocess.run(command, check=False).returncode == 0


@pytest.fixture(scope="module", params=["hard1", "hard2"])
def host(request):
    return request.param


@pytest.fixture(scope="module")
def nginx():
    """A web server's image inside of hard1, out of this machine's engine."""
    images = subprocess.run(
        ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}"], capture_output=True, text=True, check=True
    )
    name = next(line for line in images.stdout.split() if line.startswith("dockpress/nginx:"))
    for target in PUBLIC:
        subprocess.run(
            f"docker save {name} | docker exec -i {NAME}-{target} docker load",
            shell=True,
            check=True,
            capture_output=True,
        )
    return name


@pytest.fixture(scope="module")
def published(nginx):
    """Containers on hard1: an allowed port, one that is not, one on loopback only, one that publishes nothing."""
    ports = {
        "allowed": ["-p", "0.0.0.0:8080:80"],
        "closed": ["-p", "0.0.0.0:8081:80"],
        "loopback": ["-p", "127.0.0.1:8082:80"],
        "none": [],
    }
    ports |= {"metrics": ["-p", f"{PRIVATE['hard1']}:9443:80"], "anywhere": ["-p", "8083:80"]}
    on("hard1", "docker", "network", "create", "site", check=False)
    for name, publish in ports.items():
        on(
            "hard1",
            "docker",
            "run",
            "-d",
            "--name",
            name,
            "--restart=unless-stopped",
            "--network",
            "site",
            *publish,
            nginx,
        )
    wait_for(lambda: answers(PUBLIC["hard1"], 8080))
    yield ports
    on("hard1", "docker", "rm", "--force", *ports)


def wait_for(condition, seconds: float = 40) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if condition():
            return True
        time.sleep(0.3)
    return False


# CIS, one assertion an id, on effective state.


@pytest.mark.parametrize("control", [f"1.1.{number}" for number in range(3, 19)])
def test_cis_1_1_audit_rules(control):
    pytest.skip(f"CIS {control}: {MACHINE_ONLY}")


def test_cis_5_2_apparmor():
    pytest.skip(f"CIS 5.2: {MACHINE_ONLY}")


def test_cis_1_1_1_partition(host):
    assert shell(host, "mountpoint /var/lib/docker")


def test_cis_1_1_2_group():
    assert shell("hard1", "getent group docker").endswith(":")
    assert shell("hard2", "getent group docker").endswith(":daemon")


def test_cis_2_2_icc(host, nginx):
    assert (
        json.loads(on(host, "docker", "network", "inspect", "bridge").stdout)[0]["Options"][
            "com.docker.network.bridge.enable_icc"
        ]
        == "false"
    )


def test_cis_2_3_log_level(host):
    assert daemon(host)["log-level"] == "info"
    assert info(host)["Debug"] is (host == "hard2")


def test_cis_2_4_iptables(host):
    assert "-j DOCKER-USER" in shell(host, "iptables -S FORWARD")


def test_cis_2_5_insecure_registries(host):
    configs = info(host)["RegistryConfig"]["IndexConfigs"]
    assert all(registry["Secure"] for registry in configs.values())


def test_cis_2_6_storage_driver(host):
    assert info(host)["Driver"] == "overlay2"


def test_cis_2_7_no_network_socket(host):
    assert "dockerd" not in shell(host, "ss -lntpH")


def test_cis_2_8_ulimits(host, nginx):
    limit = on(host, "docker", "run", "--rm", "--entrypoint", "sh", nginx, "-c", "ulimit -n").stdout.strip()
    assert limit == {"hard1": "16384", "hard2": "1024"}[host]


def test_cis_2_13_log_driver(host):
    assert info(host)["LoggingDriver"] == {"hard1": "local", "hard2": "journald"}[host]


def test_cis_2_14_no_new_privileges(host, nginx):
    status = on(
        host, "docker", "run", "--rm", "--entrypoint", "sh", nginx, "-c", "grep NoNewPrivs /proc/self/status"
    ).stdout
    assert status.split()[1] == "1"


def test_cis_2_15_live_restore(host):
    assert info(host)["LiveRestoreEnabled"] is (host == "hard1")


def test_cis_2_16_userland_proxy(host):
    assert daemon(host)["userland-proxy"] is False
    assert not shell(host, "pgrep docker-proxy", check=False)


def test_cis_2_17_seccomp(host):
    assert any("seccomp" in option for option in info(host)["SecurityOptions"])


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
def test_cis_3_files(host, controls, path, expected):
    assert shell(host, f"stat -c '%U:%G %a' {path}") == expected, controls


def test_cis_3_21_22_no_such_file(host):
    assert on(host, "test", "-e", "/etc/sysconfig/docker", check=False).returncode == 1


def test_kernel_settings(host):
    assert shell(host, "sysctl -n net.ipv4.ip_forward net.ipv4.conf.all.send_redirects").split() == ["1", "0"]
    assert shell(host, "sysctl -n net.ipv4.conf.all.log_martians") == {"hard1": "0", "hard2": "1"}[host]


def test_where_the_engine_comes_from():
    assert "docker-ce" in shell("hard2", "dpkg-query -W -f '${Package} ' docker-ce docker-compose-plugin containerd.io")
    assert "file:/srv/apt" in shell("hard2", "apt-cache policy docker-ce")
    assert shell("hard2", "docker compose version --short")
    assert shell("hard1", "apt-mark showhold").split() == ["docker-compose", "docker.io"]
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


def reachable() -> dict[int, bool]:
    return {port: answers(PUBLIC["hard1"], port, timeout=1.5) for port in (8080, 8081, 8082, 8083, 9443)}


ONLY_ALLOWED = {8080: True, 8081: False, 8082: False, 8083: False, 9443: False}


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
    """Requests go on in a loop while the configuration changes."""
    loop = subprocess.Popen(
        [
            "bash",
            "-c",
            f"while :; do curl -s -o /dev/null --max-time 5 http://{PUBLIC['hard1']}:8080/ || date +%s.%N; sleep 0.02; done",
        ],
        stdout=subprocess.PIPE,
        text=True,
    )
    started = on("hard1", "docker", "inspect", "-f", "{{.State.StartedAt}}", "allowed").stdout
    pid = shell("hard1", "pidof dockerd")
    mine = {"default-ulimits": {"nofile": {"Name": "nofile", "Soft": 16384, "Hard": 16384}}}
    reload = play(
        "playbooks/provision.yml",
        *variables(docker_host_daemon_config=mine | {"max-download-attempts": 7, "dns": ["10.0.0.1"]}),
    )
    loop_failed_by_restart = "The engine restarts, for dns" in reload.stdout or "restarts" in reload.stdout
    assert reload.returncode == 0, reload.stdout[-3000:]
    assert loop_failed_by_restart
    only = play(
        "playbooks/provision.yml",
        *variables(docker_host_daemon_config=mine | {"max-download-attempts": 8, "dns": ["10.0.0.1"]}),
    )
    assert "by a reload" in only.stdout
    loop.kill()
    failures = [float(line) for line in loop.stdout.read().split()]
    # One restart in it: new connections are refused for a second at most, and no container was restarted.
    assert not failures or max(failures) - min(failures) <= 1
    assert on("hard1", "docker", "inspect", "-f", "{{.State.StartedAt}}", "allowed").stdout == started
    assert shell("hard1", "pidof dockerd") != pid


# Faults.


@pytest.mark.parametrize(
    ("config", "named"),
    [
        ({"ipv6": "true"}, "ipv6"),
        ({"icc": "maybe"}, "icc"),
        ({"log-opts": {"max-sise": "1m"}}, "max-sise"),
        ({"no-such-key": 1}, "no-such-key"),
    ],
)
def test_a_wrong_daemon_json_stops_before_the_engine_is_touched(config, named):
    before = shell("hard1", "pidof dockerd; sha256sum /etc/docker/daemon.json")
    result = play("playbooks/provision.yml", "--tags=configure,always", *variables(docker_host_daemon_config=config))
    assert result.returncode != 0
    assert named in result.stdout
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
    ],
)
def test_bad_input_is_refused_by_the_variables_name(wrong, named):
    result = play("playbooks/provision.yml", "--tags=always", *variables(**wrong))
    assert result.returncode != 0
    assert named in result.stdout


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


def test_an_emptied_chain_is_put_back(published):
    on("hard1", "iptables", "-F", "DOCKPRESS-FORWARD")
    assert play("playbooks/provision.yml", "--tags=always,firewall").returncode == 0
    assert reachable() == ONLY_ALLOWED


@pytest.mark.parametrize("listens", [True, False])
def test_a_stray_process_stops_the_play_and_ansible_itself_does_not(listens):
    program = "http.server 8099" if listens else "time; t.sleep(600)"
    command = ["python3", "-m", *program.split()] if listens else ["python3", "-c", "import time as t; t.sleep(600)"]
    on("hard1", "systemd-run", "--unit=stray-nginx", "--quiet", *command)
    try:
        result = play("playbooks/provision.yml", "--tags=always,mixing")
        assert result.returncode != 0
        assert "stray-nginx.service" in result.stdout
    finally:
        on("hard1", "systemctl", "stop", "stray-nginx")
    assert play("playbooks/provision.yml", "--tags=always,mixing").returncode == 0


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
    assert "<h1>Docker hosts</h1>" in (tmp_path / "audit.html").read_text()


def test_a_reboot_brings_everything_back(published):
    subprocess.run(["docker", "restart", "--time=20", f"{NAME}-hard1"], check=True, capture_output=True)
    assert wait_for(lambda: answers(PUBLIC["hard1"], 8080), seconds=90)
    assert reachable() == ONLY_ALLOWED
    assert shell("hard1", "stat -c '%a %u:%g' /run/lock/dockpress") == "2770 0:33"


@LONG
def test_an_update_with_its_gate(published):
    result = play("playbooks/update.yml")
    assert result.returncode == 0, result.stdout[-3000:]
    assert reachable() == ONLY_ALLOWED
