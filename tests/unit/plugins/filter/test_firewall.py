"""Rules of a Docker host's firewall, and the plan they come from."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.dockpress.hosting.plugins.filter.firewall import firewall
from ansible_collections.dockpress.hosting.plugins.filter.firewall_plan import firewall_plan

# `ip -json address show`, cut to what is read.
LINKS = [
    {"ifname": "lo", "addr_info": [{"local": "127.0.0.1"}]},
    {"ifname": "eth0", "addr_info": [{"local": "203.0.113.9"}, {"local": "2001:db8::9"}]},
    {"ifname": "eth1", "addr_info": [{"local": "10.0.0.5"}]},
    {"ifname": "docker0", "addr_info": [{"local": "172.17.0.1"}]},
    {"ifname": "br-0a1b2c3d", "addr_info": []},
    {"ifname": "veth12", "addr_info": []},
]
SITE = {"site": "blog.example.com", "port": 8080, "bind_address": "0.0.0.0"}


def rule_lines(rules: str, chain: str) -> list[str]:
    return [line for line in rules.splitlines() if line.startswith(f"-A DOCKPRESS-{chain} ")]


def test_published_ports_match_the_port_that_was_connected_to_and_only_what_docker_translated():
    rules = firewall([{"port": 8080}], "ipv4")
    assert "-A DOCKPRESS-FORWARD -p tcp -m conntrack --ctstate DNAT --ctorigdstport 8080 -j RETURN" in rules_of(rules)
    assert "-A DOCKPRESS-INPUT -p tcp --dport 8080 -j RETURN" in rules_of(rules)


def rules_of(rules: str) -> list[str]:
    return rules.splitlines()


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_everything_else_is_dropped_last(family):
    rules = firewall([{"port": 8080}], family)
    assert rule_lines(rules, "FORWARD")[-1].endswith("-j DROP")
    assert rule_lines(rules, "INPUT")[-1].endswith("-j DROP")
    assert rules.endswith("COMMIT\n")


def test_only_own_chains_are_named():
    declared = [line for line in firewall([], "ipv4").splitlines() if line.startswith(":")]
    assert declared == [":DOCKPRESS-FORWARD - [0:0]", ":DOCKPRESS-INPUT - [0:0]"]


def test_a_source_of_one_family_gives_no_rule_in_the_other():
    entry = {"port": 9443, "source": "10.0.0.0/8", "interface": "eth1"}
    assert any("-i eth1 -s 10.0.0.0/8" in line for line in firewall([entry], "ipv4").splitlines())
    assert "9443" not in firewall([entry], "ipv6")


def test_ranges():
    assert "--ctorigdstport 8000:8010" in firewall([{"port": "8000-8010"}], "ipv4")
    assert "proto-dst 8000-8010" in firewall([{"port": "8000-8010"}], "nftables")


@pytest.mark.parametrize("port", [0, 65536, "http", "9-8", None, True, "80-", "1.5"])
def test_a_port_that_is_no_port_is_refused_by_name(port):
    with pytest.raises(AnsibleFilterError, match=r"docker_host_firewall_allow\[0\]\.port"):
        firewall([{"port": port}], "ipv4")


@pytest.mark.parametrize(
    ("entry", "names"),
    [
        ({"port": 1, "source": "10.0.0.300"}, "source"),
        ({"port": 1, "protocol": "sctp"}, "protocol"),
        ({"port": 1, "interface": "eth0; rm"}, "interface"),
        ({"port": 1, "prot": "udp"}, "prot"),
    ],
)
def test_other_mistakes_are_refused_by_name(entry, names):
    with pytest.raises(AnsibleFilterError, match=names):
        firewall([entry], "ipv4")


@pytest.mark.skipif(not shutil.which("nft"), reason="nft is not installed here")
def test_nft_takes_the_table():
    rules = firewall(
        [
            {"port": 443},
            {"port": "8000-8010", "protocol": "udp", "source": ["10.0.0.0/8", "2001:db8::/32"], "interface": "eth1"},
        ],
        "nftables",
    )
    done = subprocess.run(["nft", "-c", "-f", "-"], input=rules, text=True, capture_output=True, check=False)
    if "Operation not permitted" in done.stderr:
        pytest.skip("nft may not ask the kernel here")
    assert done.returncode == 0, done.stderr


def test_nftables_has_a_table_of_its_own_and_replaces_it_at_once():
    lines = firewall([{"port": 443}], "nftables").splitlines()
    assert lines[:3] == ["table inet dockpress", "delete table inet dockpress", "table inet dockpress {"]
    assert lines.count("    drop") == 2
    assert "DOCKER" not in "".join(lines)


def test_sites_are_reachable_on_the_external_interfaces_and_ssh_everywhere():
    plan = firewall_plan([], LINKS, sites=[SITE], ssh_ports=[22], private_address="10.0.0.5")
    assert plan["external"] == ["eth0"]
    assert plan["private"] == "eth1"
    ssh, site = plan["allow"]
    assert (ssh["port"], ssh.get("interfaces")) == (22, None)
    assert (site["port"], site["interfaces"]) == (8080, ["eth0"])


@pytest.mark.parametrize(
    ("address", "expected"), [("127.0.0.1", None), ("10.0.0.5", ["eth1"]), ("203.0.113.9", ["eth0"])]
)
def test_the_address_of_a_site_decides(address, expected):
    plan = firewall_plan([], LINKS, sites=[SITE | {"bind_address": address}], private_address="10.0.0.5")
    assert [entry["interfaces"] for entry in plan["allow"]] == ([expected] if expected else [])


def test_an_entry_for_the_private_interface_stays_there():
    plan = firewall_plan([{"port": 9443, "interface": "eth1", "comment": "metrics"}], LINKS, private_interface="eth1")
    assert plan["allow"][0]["interfaces"] == ["eth1"]
    assert "-i eth1" in firewall(plan["allow"], "ipv4")
    assert "-i eth0" not in firewall(plan["allow"], "ipv4")


@pytest.mark.parametrize(
    ("arguments", "variable"),
    [
        ({"allow": [{"port": 1, "interface": "eth9"}]}, r"docker_host_firewall_allow\[0\]\.interface"),
        ({"external": ["eth9"]}, "docker_host_external_interfaces"),
        ({"private_interface": "eth9"}, "docker_host_private_interface"),
        ({"ssh_ports": [22], "ssh_sources": ["10.0.0.300"]}, "docker_host_firewall_ssh_sources: '10.0.0.300'"),
        ({"private_address": "10.0.0.6"}, "docker_host_private_address"),
    ],
)
def test_an_interface_or_a_source_that_there_is_not_is_refused_by_the_variables_name(arguments, variable):
    with pytest.raises(AnsibleFilterError, match=variable):
        firewall_plan(**({"allow": [], "links": LINKS} | arguments))
