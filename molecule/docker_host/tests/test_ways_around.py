"""Other ways to a port that the firewall has to close, and programs that hide: IPv6, UDP, ranges, the host's network, macvlan, sessions, sockets."""

from __future__ import annotations

import contextlib
import subprocess

import pytest
import yaml
from conftest import INVENTORY, PLAIN, PRIVATE, PUBLIC, ROOT, SUBNET, on, shell, wait_for

# On the outside network, for as long as the test: the sandbox's networks have no IPv6 of their own.
SIX = {"hard1": "fd00:d0c:225::13", "hard2": "fd00:d0c:225::14"}
INSIDE = "fd00:d0c:99::80"
TCP = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), 2).close()
    print("open")
except OSError as error:
    print("silent" if "timed out" in str(error) else "refused" if error.errno == 111 else error)
"""
UDP = """
import socket, sys
asked = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
asked.settimeout(2)
asked.sendto(b"?", (sys.argv[1], int(sys.argv[2])))
try:
    print("open" if asked.recv(9) else "empty")
except OSError as error:
    print("silent" if "timed out" in str(error) else error)
"""
UDP_ECHO = "use IO::Socket::INET; my $s = IO::Socket::INET->new(LocalPort => 53, Proto => 'udp'); while ($s->recv(my $m, 9)) { $s->send($m) }"
LISTEN = "import socket, time; s = socket.create_server(('::', {}), family=socket.AF_INET6, dualstack_ipv6=True); time.sleep(900)"


def stranger(address: str, port: int, program: str = TCP) -> str:
    """What hard2 gets, which is a neighbour on the outside network: open, refused, or silent (dropped)."""
    return on("hard2", "python3", "-c", program, address, str(port)).stdout.strip()


@contextlib.contextmanager
def running(image: str, name: str, *options: str, command: tuple[str, ...] = ()):
    on("hard1", "docker", "run", "-d", "--name", name, *options, image, *command)
    try:
        yield
    finally:
        on("hard1", "docker", "rm", "--force", name)


@contextlib.contextmanager
def without_our_chain(tool: str):
    """The counter-proof: the way is there, and it is our chain that closes it."""
    on("hard1", tool, "-I", "DOCKPRESS-FORWARD", "-j", "RETURN")
    try:
        yield
    finally:
        on("hard1", tool, "-D", "DOCKPRESS-FORWARD", "-j", "RETURN")


@contextlib.contextmanager
def listening(unit: str, port: int):
    on("hard1", "systemd-run", "--quiet", f"--unit={unit}", "python3", "-c", LISTEN.format(port))
    try:
        assert wait_for(lambda: str(port) in shell("hard1", "ss -Hlnt"))
        yield
    finally:
        on("hard1", "systemctl", "stop", unit)


@pytest.fixture(scope="module")
def six():
    if on("hard1", "test", "-e", "/proc/sys/net/ipv6", check=False).returncode:
        pytest.skip("the kernel of this machine has no IPv6")
    for host, address in SIX.items():
        shell(host, "sysctl -qw net.ipv6.conf.all.disable_ipv6=0 net.ipv6.conf.eth0.disable_ipv6=0")
        shell(host, f"ip -6 address replace {address}/64 dev eth0 nodad")
    yield
    for host, address in SIX.items():
        shell(host, f"ip -6 address del {address}/64 dev eth0")


def test_over_ipv6_only_allowed_ports_answer(six):
    with listening("six-allowed", 8080), listening("six-closed", 8099):
        assert stranger(SIX["hard1"], 8080) == "open"
        assert stranger(SIX["hard1"], 8099) == "silent"


def test_over_ipv6_packets_that_are_routed_straight_to_a_container_are_dropped(six, nginx):
    on("hard1", "docker", "network", "create", "--ipv6", "--subnet", "fd00:d0c:99::/64", "six")
    shell("hard2", f"ip -6 route replace {INSIDE}/128 via {SIX['hard1']}")
    try:
        with running(nginx, "six", "--network=six", f"--ip6={INSIDE}"):
            assert stranger(INSIDE, 80) == "silent"
            with without_our_chain("ip6tables"):
                assert wait_for(lambda: stranger(INSIDE, 80) in ("open", "refused"))
            assert stranger(INSIDE, 80) == "silent"
    finally:
        shell("hard2", f"ip -6 route del {INSIDE}/128")
        on("hard1", "docker", "network", "rm", "six")


def test_udp_ports_and_ranges(nginx):
    perl = ("--entrypoint=perl", "-p", "0.0.0.0:8053:53/udp", "-p", "0.0.0.0:8054:53/udp", "--user=0")
    with running(nginx, "udp", *perl, command=("-e", UDP_ECHO)):
        assert wait_for(lambda: stranger(PUBLIC["hard1"], 8053, UDP) == "open")
        assert stranger(PUBLIC["hard1"], 8054, UDP) == "silent"
    with running(nginx, "range", *(f"-p=0.0.0.0:{port}:80" for port in range(8100, 8104))):
        assert wait_for(lambda: stranger(PUBLIC["hard1"], 8100) == "open")
        assert [stranger(PUBLIC["hard1"], port) for port in (8101, 8102, 8103)] == ["open", "silent", "silent"]


def test_the_hosts_network_is_behind_the_same_rules(nginx):
    with running(nginx, "onhost", "--network=host"):
        assert wait_for(lambda: shell("hard1", "ss -Hlnt '( sport = :80 )'"))
        assert stranger(PUBLIC["hard1"], 80) == "silent"


@pytest.fixture
def neighbour():
    """Runs a program on hard2 in a network of its own, in which 127.0.0.1 is reached through hard1."""
    inside = "ip netns exec out"
    steps = [
        "ip netns add out",
        "ip link add out0 link eth0 type macvlan mode bridge",
        "ip link set out0 netns out",
        f"{inside} ip address add {SUBNET}.1.199/24 dev out0",
        f"{inside} ip link set out0 up",
        f"{inside} sysctl -qw net.ipv4.conf.all.route_localnet=1 net.ipv4.conf.out0.route_localnet=1",
        f"{inside} ip route replace 127.0.0.1/32 via {PUBLIC['hard1']} dev out0 onlink",
    ]
    shell("hard2", " && ".join(steps))
    yield lambda *arguments: on("hard2", *inside.split(), "python3", "-c", TCP, *arguments).stdout.strip()
    shell("hard2", "ip netns delete out")


def test_a_neighbour_that_routes_its_loopback_here_does_not_reach_ports_published_on_loopback(nginx, neighbour):
    """Docker translates the port before the packet is routed; engines before 28 leave it at that."""
    with running(nginx, "loop", "-p", "127.0.0.1:8082:80"):
        with without_our_chain("iptables"):
            assert wait_for(lambda: neighbour("127.0.0.1", "8082") == "open")
        assert neighbour("127.0.0.1", "8082") == "silent"


def look(module: str) -> dict:
    command = ["ansible", "hard1", *INVENTORY, "-m", f"dockpress.hosting.{module}"]
    result = subprocess.run(command, cwd=ROOT, env=PLAIN, check=True, capture_output=True, text=True).stdout
    return yaml.safe_load(result.partition("=>")[2])


def test_a_container_past_the_firewall_is_named(nginx):
    """No rule of the host sees the packets of a macvlan network."""
    made = on(
        "hard1", "docker", "network", "create", "-d", "macvlan", "-o", "parent=eth1", "--subnet=10.250.0.0/24", "lan",
        check=False,
    )  # fmt: skip
    if made.returncode:
        pytest.skip(f"no macvlan on this kernel: {made.stderr.strip()}")
    try:
        with running(nginx, "bridged", "--network=lan"):
            assert look("docker_cis_info")["past_firewall"] == ["bridged"]
    finally:
        on("hard1", "docker", "network", "rm", "lan")


def test_what_hides_is_named():
    """A socket that systemd holds for a unit, a scope, a program whose file is gone, another network namespace, raw and unix sockets."""
    unit = "/run/systemd/system/stray.{}"
    shell("hard1", f"printf '[Socket]\\nListenStream=8023\\nAccept=yes\\n' > {unit.format('socket')}")
    shell("hard1", f"printf '[Service]\\nExecStart=/bin/cat\\n' > {unit.format('service').replace('stray', 'stray@')}")
    gone = (
        "cp /bin/sleep /root/gone && systemd-run --quiet --unit=stray-gone /root/gone 900 && sleep 0.5 && rm /root/gone"
    )
    strays = {
        "stray-scope.scope": "systemd-run --quiet --scope --unit=stray-scope sleep 900 >/dev/null 2>&1 &",
        "stray-gone.service": gone,
        "stray-netns.service": "systemd-run --quiet --unit=stray-netns unshare --net sleep 900",
        "stray-raw.service": "systemd-run --quiet --unit=stray-raw python3 -c 'import socket, time; "
        "s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); time.sleep(900)'",
        "stray-unix.service": "systemd-run --quiet --unit=stray-unix python3 -c 'import socket, time; "
        's = socket.socket(socket.AF_UNIX); s.bind("\\0stray"); s.listen(); time.sleep(900)\'',
        "stray.socket": "systemctl daemon-reload && systemctl start stray.socket",
    }
    try:
        for start in strays.values():
            shell("hard1", start)
        found = {one["unit"]: one for one in look("dedicated_host_info")["violations"]}
        assert set(strays) <= set(found)
        assert found["stray-gone.service"]["exe"] == "/root/gone (deleted)"
        assert found["stray.socket"]["sockets"] == ["[::]:8023"]
    finally:
        on("hard1", "systemctl", "stop", *strays, check=False)
        shell("hard1", "rm -f /run/systemd/system/stray*; systemctl daemon-reload")
    assert not {one["unit"] for one in look("dedicated_host_info")["violations"]} & set(strays)


def test_the_private_networks_port_is_for_its_source_only(published):
    assert stranger(PRIVATE["hard1"], 9443) == "open"
    assert stranger(PUBLIC["hard1"], 9443) == "silent"
