# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What Prometheus scrapes: the Docker hosts and sites of the inventory with the address of their metrics port."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import yaml
from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: scrape_targets
short_description: Docker hosts and sites of the inventory as targets of Prometheus
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Lists the members of the group C(docker_hosts), and the sites on them, with the address of the metrics port that role
    C(host_metrics) opens on their host.
options:
  _input:
    description: Ansible's C(hostvars).
    type: dict
    required: true
  groups:
    description: Ansible's C(groups).
    type: dict
    required: true
  sites:
    description: What the filter P(dockpress.hosting.sites#filter) returns.
    type: list
    elements: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what would be scraped
  ansible.builtin.debug:
    msg: "{{ hostvars | dockpress.hosting.scrape_targets(groups, hostvars | dockpress.hosting.sites(groups)) }}"
"""

RETURN = r"""
_value:
  description: C(hosts) and C(sites); sites carry all keys of the filter P(dockpress.hosting.sites#filter) as well.
  type: dict
"""

DEFAULTS = pathlib.Path(__file__).resolve().parents[2] / "roles" / "host_metrics" / "defaults" / "main.yml"


def join_port(address: str, port: int) -> str:
    """Address and port as one word; an IPv6 address needs brackets."""
    return f"[{address}]:{port}" if ":" in address else f"{address}:{port}"


def scrape_targets(hostvars: Mapping, groups: Mapping, sites: list[dict]) -> dict[str, list[dict]]:
    """Describe what Prometheus scrapes. Raises AnsibleFilterError when a host has no private address."""
    default_port = yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))["host_metrics_port"]
    hosts = {}
    for name in sorted(groups.get("docker_hosts", [])):
        variables = hostvars[name]
        address = str(variables.get("host_metrics_address") or variables.get("docker_host_private_address") or "")
        if not address:
            raise AnsibleFilterError(
                f"{name} has no docker_host_private_address; write its address on the private network, for example 10.0.0.11"
            )
        hosts[name] = {
            "host": name,
            "address": join_port(address.strip("[]"), int(variables.get("host_metrics_port", default_port))),
            "env": str(variables.get("monitoring_environment", "production")),
            "sites": any(site["docker_host"] == name for site in sites),
        }
    return {
        "hosts": list(hosts.values()),
        "sites": [
            {**site, "host": site["docker_host"], "address": hosts[site["docker_host"]]["address"]}
            for site in sites
            if site["docker_host"] in hosts
        ],
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"scrape_targets": scrape_targets}
