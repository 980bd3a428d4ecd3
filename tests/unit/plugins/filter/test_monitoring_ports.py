"""The ports that monitoring opens, and what the firewall makes of them."""

from ansible_collections.dockpress.hosting.plugins.filter.firewall import firewall
from ansible_collections.dockpress.hosting.plugins.filter.firewall_plan import firewall_plan
from ansible_collections.dockpress.hosting.plugins.filter.monitoring_ports import monitoring_ports

HOSTS = {
    "web1": {"docker_host_private_address": "10.0.0.11"},
    "web2": {"docker_host_private_address": "10.0.0.12", "monitoring_grafana_port": "3001"},
    "old": {"docker_host_private_address": "10.0.0.13"},
}
GROUPS = {"docker_hosts": ["web1", "web2"], "monitoring": ["web2"]}
LINKS = [
    {"ifname": "eth0", "addr_info": [{"local": "203.0.113.9"}]},
    {"ifname": "eth1", "addr_info": [{"local": "10.0.0.11"}]},
]
METRICS = {"name": "host_metrics_port", "port": 9443, "bind_address": "10.0.0.11", "source": ["10.0.0.12"]}


def test_a_host_is_open_to_the_monitoring_server_only():
    assert monitoring_ports(HOSTS, GROUPS, "web1") == [METRICS]


def test_a_monitoring_server_publishes_grafana_as_well():
    grafana = {"name": "monitoring_grafana_port", "port": 3001, "bind_address": "0.0.0.0"}
    assert monitoring_ports(HOSTS, GROUPS, "web2")[1:] == [grafana]
    without = HOSTS | {"web2": HOSTS["web2"] | {"monitoring_grafana_enabled": False}}
    assert len(monitoring_ports(without, GROUPS, "web2")) == 1


def test_two_servers_are_both_let_in():
    both = GROUPS | {"monitoring": ["web2", "web1"]}
    assert monitoring_ports(HOSTS, both, "web1")[0]["source"] == ["10.0.0.11", "10.0.0.12"]


def test_without_a_server_nothing_is_opened():
    assert monitoring_ports(HOSTS, {"docker_hosts": ["web1"]}, "web1") == []
    assert monitoring_ports(HOSTS, GROUPS, "old") == []


def test_a_server_without_a_private_address_lets_nobody_in():
    nowhere = HOSTS | {"web2": {}}
    assert monitoring_ports(nowhere, GROUPS, "web1") == []


def test_the_firewall_lets_the_server_in_by_the_private_interface_and_nobody_else():
    plan = firewall_plan([], LINKS, stacks=[METRICS], private_address="10.0.0.11")
    assert plan["allow"] == [
        {"name": "host_metrics_port", "port": 9443, "interfaces": ["eth1"], "source": ["10.0.0.12"]}
    ]
    lines = [line for line in firewall(plan["allow"], "ipv4").splitlines() if "9443" in line]
    assert lines
    assert all("-i eth1 -s 10.0.0.12/32" in line for line in lines)
