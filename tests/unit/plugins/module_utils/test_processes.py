"""Whose a process is: recorded control groups and sockets of both cgroup versions, and small process tables."""

from __future__ import annotations

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils import _processes
from ansible_collections.dockpress.hosting.plugins.module_utils._processes import Container, Listener, Process

ID = "3f4e1c0a9b7d4e21aa0f5b6c7d8e9f00112233445566778899aabbccddeeff00"

# /proc/PID/cgroup as read on a host with the old hierarchies (first column of a container, second of a service).
V1_CONTAINER = f"12:pids:/docker/{ID}\n7:memory:/docker/{ID}\n1:name=systemd:/docker/{ID}\n"
V1_SERVICE = "12:pids:/\n7:memory:/\n1:name=systemd:/system.slice/nginx.service\n"
V1_NOWHERE = "12:pids:/\n7:memory:/\n1:name=systemd:/\n"
# ... and on one with the unified hierarchy, systemd and cgroupfs drivers.
V2_SYSTEMD = f"0::/system.slice/docker-{ID}.scope\n"
V2_CGROUPFS = f"0::/docker/{ID}\n"
V2_SERVICE = "0::/system.slice/system-getty.slice/getty@tty1.service\n"

# `ss -H -lntup`, recorded.
SS = """\
udp   UNCONN 0      0         127.0.0.11:60864      0.0.0.0:*
udp   UNCONN 0      0            0.0.0.0:4789       0.0.0.0:*
tcp   LISTEN 0      4096         0.0.0.0:8080       0.0.0.0:*    users:(("docker-proxy",pid=901,fd=4))
tcp   LISTEN 0      128          0.0.0.0:22         0.0.0.0:*    users:(("sshd",pid=400,fd=3),("systemd",pid=1,fd=66))
tcp   LISTEN 0      511             [::]:80            [::]:*    users:(("nginx",pid=501,fd=7),("nginx",pid=500,fd=7))
tcp   LISTEN 0      4096               *:2375             *:*    users:(("dockerd",pid=300,fd=9))
"""


@pytest.mark.parametrize(
    ("text", "path", "unit"),
    [
        (V1_CONTAINER, f"/docker/{ID}", ""),
        (V1_SERVICE, "/system.slice/nginx.service", "nginx.service"),
        (V1_NOWHERE, "/", ""),
        (V2_SYSTEMD, f"/system.slice/docker-{ID}.scope", f"docker-{ID}.scope"),
        (V2_CGROUPFS, f"/docker/{ID}", ""),
        (V2_SERVICE, "/system.slice/system-getty.slice/getty@tty1.service", "getty@tty1.service"),
        (
            "0::/user.slice/user-0.slice/session-4.scope\n",
            "/user.slice/user-0.slice/session-4.scope",
            "session-4.scope",
        ),
        ("0::/user.slice\n", "/user.slice", "user.slice"),
    ],
)
def test_control_groups_of_both_versions(text, path, unit):
    assert _processes.cgroup_path(text) == path
    assert _processes.unit_of(path) == unit


@pytest.mark.parametrize(
    ("cgroup", "parent", "expected"),
    [
        ("/docker/a", "/docker/a", True),
        ("/docker/a/nested", "/docker/a", True),
        ("/docker/ab", "/docker/a", False),
        ("/anything", "/", False),
    ],
)
def test_a_container_is_a_group_and_what_lies_below(cgroup, parent, expected):
    assert _processes.below(cgroup, parent) is expected


def test_sockets():
    listeners = _processes.parse_ss(SS)
    assert [str(one) for one in listeners][2:4] == ["tcp/0.0.0.0:8080", "tcp/0.0.0.0:22"]
    assert listeners[0].pids == []
    assert listeners[4].pids == [500, 501]


def table(*processes: Process) -> dict[int, Process]:
    return {process.pid: process for process in processes}


def host(*more: Process) -> dict[int, Process]:
    """A quiet host: systemd, the engine, one container, SSH with Ansible in it."""
    return table(
        Process(1, 0, "systemd", "/usr/lib/systemd/systemd", "/init.scope"),
        Process(2, 0, "kthreadd", "", "/"),
        Process(30, 2, "kworker/0:1", "", "/"),
        Process(300, 1, "dockerd", "/usr/sbin/dockerd", "/system.slice/docker.service"),
        Process(900, 1, "nginx", "/usr/sbin/nginx", f"/docker/{ID}"),
        Process(901, 300, "docker-proxy", "/usr/bin/docker-proxy", "/system.slice/docker.service"),
        Process(902, 900, "nginx", "/usr/sbin/nginx", f"/docker/{ID}/workers"),
        Process(400, 1, "sshd", "/usr/sbin/sshd", "/system.slice/ssh.service"),
        Process(410, 400, "sshd", "/usr/sbin/sshd", "/user.slice/user-0.slice/session-1.scope"),
        Process(411, 410, "sh", "/usr/bin/dash", "/user.slice/user-0.slice/session-1.scope"),
        Process(412, 411, "python3", "/usr/bin/python3.13", "/user.slice/user-0.slice/session-1.scope"),
        *more,
    )


def examine(processes, listeners=(), allowed=(), enabled=(), ports=("tcp/8080",), *, sockets=()):
    return _processes.examine(
        processes,
        list(listeners),
        [Container("blog-web-1", f"/docker/{ID}", list(ports))],
        own_pid=412,
        allowed=list(allowed),
        enabled_units=list(enabled),
        engine_sockets=list(sockets),
    )


@pytest.mark.parametrize(
    "unit",
    [
        "snap.nextcloud.mysql.service",
        "apt-cacher-ng.service",
        "cloud-sql-proxy.service",
        "wtmpdb.service",
    ],
)
def test_names_that_begin_like_the_systems(unit):
    assert not _processes.matching(unit, _processes.SYSTEM_UNITS)


@pytest.mark.parametrize(
    "unit",
    [
        "apt-daily-upgrade.service",
        "cloud-init-local.service",
        "cloud-final.service",
        "snap.lxd.activate.service",
        "ModemManager.service",
        "wtmpdb-update-boot.service",
        "lastlog2-import.service",
    ],
)
def test_units_of_stock_servers(unit):
    assert _processes.matching(unit, _processes.SYSTEM_UNITS)


def test_what_a_swarm_listens_on_is_declared_for_any_address():
    line = 'tcp LISTEN 0 4096 {} *:* users:(("dockerd",pid=300,fd=9))\n'
    swarm = ["tcp://*:2377", "tcp://*:7946"]
    for address in ("*:2377", "10.0.0.5:2377", "[::]:7946"):
        listeners = _processes.parse_ss(line.format(address))
        assert examine(host(), listeners)["violations"]
        assert not examine(host(), listeners, sockets=swarm)["violations"]
    assert examine(host(), _processes.parse_ss(line.format("*:2375")), sockets=swarm)["violations"]


def test_a_quiet_host():
    result = examine(
        host(), _processes.parse_ss(SS)[2:3], enabled=["docker.service", "ssh.service", "systemd-timesyncd.service"]
    )
    assert result["violations"] == []
    assert result["counts"] == {"container": 2, "engine": 2, "system": 1, "kernel": 2}


def test_a_stray_database_that_does_not_listen_is_caught():
    result = examine(host(Process(700, 1, "mariadbd", "/usr/sbin/mariadbd", "/system.slice/mariadb.service")))
    (violation,) = result["violations"]
    assert (violation["pid"], violation["unit"], violation["exe"]) == (700, "mariadb.service", "/usr/sbin/mariadbd")
    assert violation["sockets"] == []


def test_a_stray_web_server_with_its_sockets():
    stray = [
        Process(500, 1, "nginx", "/usr/sbin/nginx", "/system.slice/nginx.service"),
        Process(501, 500, "nginx", "/usr/sbin/nginx", "/system.slice/nginx.service"),
    ]
    result = examine(host(*stray), _processes.parse_ss(SS)[4:5])
    assert [violation["pid"] for violation in result["violations"]] == [500, 501]
    assert result["violations"][0]["sockets"] == ["tcp/[::]:80"]


def test_a_process_that_calls_itself_systemd_is_known_by_its_unit():
    result = examine(host(Process(700, 1, "systemd-journald", "/opt/miner", "/system.slice/miner.service")))
    assert [violation["exe"] for violation in result["violations"]] == ["/opt/miner"]


def test_a_process_outside_of_every_unit_is_caught():
    result = examine(host(Process(700, 0, "nginx", "/usr/sbin/nginx", "/")))
    assert result["violations"][0]["why"] == "it runs outside of every unit"


def test_ansible_itself_is_no_violation_wherever_it_runs():
    processes = host(
        Process(800, 0, "sh", "/usr/bin/dash", "/"),
        Process(801, 800, "python3", "/usr/bin/python3.13", "/"),
        Process(802, 801, "ss", "/usr/bin/ss", "/"),
    )
    result = _processes.examine(processes, [], [], own_pid=801, allowed=[], enabled_units=[])
    assert not {800, 801, 802} & {violation["pid"] for violation in result["violations"]}


@pytest.mark.parametrize(
    ("process", "listens", "caught"),
    [
        (Process(420, 410, "vim", "/usr/bin/vim", "/user.slice/user-0.slice/session-1.scope"), False, False),
        (Process(420, 410, "nginx", "/usr/sbin/nginx", "/user.slice/user-0.slice/session-1.scope"), True, True),
        (Process(420, 1, "miner", "/tmp/miner", "/user.slice/user-0.slice/session-1.scope"), False, True),
    ],
)
def test_people_work_on_hosts_and_servers_started_by_hand_are_no_work(process, listens, caught):
    listeners = [Listener("tcp", "0.0.0.0", 80, [420])] if listens else []
    result = examine(host(process), listeners)
    assert bool(result["violations"]) is caught


JOBS = "/system.slice/cron.service"
SSH = "/system.slice/ssh.service"
OWN = "/user.slice/user-1000.slice/user@1000.service"


@pytest.mark.parametrize(
    ("process", "caught"),
    [
        # Started by a job, or from a session that has no scope of its own, and still there.
        (Process(500, 1, "miner", "/opt/miner", JOBS), True),
        (Process(500, 1, "python3", "/usr/bin/python3.13", SSH), True),
        (Process(500, 1, "cron", "/tmp/cron", JOBS), True),
        # A job that runs, a shell, the daemons themselves, also after an update took their file away.
        (Process(500, 430, "backup", "/opt/backup", JOBS), False),
        (Process(500, 410, "bash", "/usr/bin/bash", SSH), False),
        (Process(500, 1, "cron", "/usr/sbin/cron", JOBS), False),
        (Process(500, 1, "sshd", "/usr/sbin/sshd (deleted)", SSH), False),
        # Services of a user's own, whatever they are called.
        (Process(500, 450, "nginx", "/usr/sbin/nginx", f"{OWN}/app.slice/nginx.service"), True),
        (Process(500, 450, "nginx", "/usr/sbin/nginx", f"{OWN}/app.slice/cron.service"), True),
        (Process(450, 1, "systemd", "/usr/lib/systemd/systemd", f"{OWN}/init.scope"), False),
        (Process(500, 450, "dbus-daemon", "/usr/bin/dbus-daemon", f"{OWN}/session.slice/dbus.service"), False),
        # Containers of other runtimes.
        (Process(500, 499, "nginx", "/usr/sbin/nginx", "/default/strange"), True),
        (Process(500, 499, "nginx", "/usr/sbin/nginx", f"/machine.slice/libpod-{ID}.scope/container"), True),
        (Process(500, 1, "nginx", "/usr/sbin/nginx", "/machine.slice/systemd-nspawn@web.service/payload"), True),
    ],
)
def test_strays_of_every_kind(process, caught):
    assert bool(examine(host(process))["violations"]) is caught


def test_what_systemd_listens_for_is_caught_before_the_first_connection():
    text = "[::]:22 ssh.socket ssh.service\n0.0.0.0:23 telnet.socket -\n/run/dbus/system_bus_socket dbus.socket dbus.service\n"
    (violation,) = _processes.examine(
        host(), [], [], own_pid=412, allowed=[], enabled_units=[], activated=_processes.parse_sockets(text)
    )["violations"][-1:]
    assert (violation["unit"], violation["sockets"]) == ("telnet.socket", ["0.0.0.0:23"])


def test_an_allowed_unit():
    agent = Process(700, 1, "zabbix_agent2", "/usr/sbin/zabbix_agent2", "/system.slice/zabbix-agent2.service")
    assert examine(host(agent), allowed=["zabbix-agent*.service"])["violations"] == []


def test_an_enabled_unit_that_does_not_run_is_named():
    (violation,) = examine(host(), enabled=["apache2.service", "docker.service"])["violations"]
    assert (violation["kind"], violation["unit"], violation["pid"]) == ("unit", "apache2.service", 0)


def test_the_engines_own_socket_on_the_network_is_a_finding_and_published_ports_are_none():
    processes = host()
    result = examine(processes, _processes.parse_ss(SS)[5:6])
    assert [violation["kind"] for violation in result["violations"]] == ["engine"]
    assert examine(host(), _processes.parse_ss(SS)[5:6], sockets=["tcp://*:2375"])["violations"] == []
    assert examine(host(), _processes.parse_ss(SS)[5:6], sockets=["tcp://10.0.0.5:2375"])["violations"] != []
    published_by_the_engine_itself = [Listener("tcp", "0.0.0.0", 8080, [300])]
    assert examine(host(), published_by_the_engine_itself)["violations"] == []


def test_sockets_of_the_kernel_are_a_class_of_their_own():
    result = examine(host(), _processes.parse_ss(SS)[1:2])
    assert result["kernel_sockets"] == ["udp/0.0.0.0:4789"]
    assert result["violations"] == []


def test_in_a_container_pid_2_is_a_process_as_any_other():
    processes = table(
        Process(1, 0, "systemd", "/usr/lib/systemd/systemd", "/init.scope"),
        Process(2, 1, "nginx", "/usr/sbin/nginx", "/"),
        Process(3, 2, "nginx", "/usr/sbin/nginx", "/"),
    )
    result = _processes.examine(processes, [], [], own_pid=99, allowed=[], enabled_units=[])
    assert [violation["pid"] for violation in result["violations"]] == [2, 3]


def test_proc_is_read_as_it_is(tmp_path):
    for pid, name, ppid in ((1, "systemd", 0), (7, "a (strange) name", 1)):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} ({name}) S {ppid} 1 1 0")
        (folder / "cgroup").write_text(V2_SERVICE)
    (tmp_path / "7" / "exe").symlink_to("/usr/bin/strange")
    (tmp_path / "8").mkdir()  # ended while we look
    (tmp_path / "self").mkdir()
    processes = _processes.read_processes(tmp_path)
    assert sorted(processes) == [1, 7]
    assert (processes[7].name, processes[7].ppid, processes[7].exe) == ("a (strange) name", 1, "/usr/bin/strange")
