import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.dockpress.hosting.plugins.filter.scrape_targets import scrape_targets

SITE = {"site": "a.example", "docker_host": "web1", "stack": "a-example", "url": "http://a.example", "env": "staging"}


def test_hosts_and_sites():
    hostvars = {
        "web1": {"docker_host_private_address": "10.0.0.11"},
        "web2": {"host_metrics_address": "10.0.0.12", "host_metrics_port": 1},
    }
    targets = scrape_targets(hostvars, {"docker_hosts": ["web2", "web1"]}, [SITE, {**SITE, "docker_host": "elsewhere"}])
    assert targets["hosts"] == [
        {"host": "web1", "address": "10.0.0.11:9443", "env": "production", "sites": True},
        {"host": "web2", "address": "10.0.0.12:1", "env": "production", "sites": False},
    ]
    assert targets["sites"] == [{**SITE, "host": "web1", "address": "10.0.0.11:9443"}]


@pytest.mark.parametrize("address", ["2001:db8::11", "[2001:db8::11]"])
def test_ipv6_has_brackets(address):
    targets = scrape_targets({"web1": {"docker_host_private_address": address}}, {"docker_hosts": ["web1"]}, [])
    assert targets["hosts"][0]["address"] == "[2001:db8::11]:9443"


def test_a_host_without_address_is_named():
    with pytest.raises(AnsibleFilterError, match="web1 has no docker_host_private_address"):
        scrape_targets({"web1": {}}, {"docker_hosts": ["web1"]}, [])
