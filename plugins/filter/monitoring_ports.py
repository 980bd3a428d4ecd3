# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ports that monitoring opens on a Docker host, and for whom."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping

import yaml

DOCUMENTATION = r"""
name: monitoring_ports
short_description: The ports that monitoring opens on a Docker host, and for whom
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - The metrics port of role C(host_metrics), for the monitoring servers alone, and on a monitoring server the port of Grafana.
  - Without a host in the group C(monitoring) there are none.
options:
  _input:
    description: Ansible's C(hostvars).
    type: dict
    required: true
  groups:
    description: Ansible's C(groups).
    type: dict
    required: true
  docker_host:
    description: Inventory name of the Docker host.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what monitoring opens here
  ansible.builtin.debug:
    msg: "{{ hostvars | dockpress.hosting.monitoring_ports(groups, inventory_hostname) }}"
"""

RETURN = r"""
_value:
  description: One dictionary a port, as the filter P(dockpress.hosting.firewall_plan#filter) takes them as C(stacks).
  type: list
  elements: dict
  contains:
    name:
      description: The variable that sets the port.
      type: str
    port:
      description: The port.
      type: int
    bind_address:
      description: The address of the Docker host on which it is published.
      type: str
    source:
      description: Who may come, as addresses. Absent is anybody.
      type: list
      elements: str
"""

ROLES = pathlib.Path(__file__).resolve().parents[2] / "roles"


def monitoring_ports(hostvars: Mapping, groups: Mapping, docker_host: str) -> list[dict]:
    """See DOCUMENTATION."""
    servers = sorted(groups.get("monitoring", []))
    if not servers or docker_host not in groups.get("docker_hosts", []):
        return []
    own = hostvars[docker_host]
    metrics, server = role_defaults("host_metrics"), role_defaults("monitoring")
    sources = [str(hostvars[name].get("docker_host_private_address") or "") for name in servers]
    ports = [
        {
            "name": "host_metrics_port",
            "port": int(own.get("host_metrics_port", metrics["host_metrics_port"])),
            "bind_address": str(own.get("host_metrics_address") or own.get("docker_host_private_address") or ""),
            "source": [address for address in sources if address],
        }
    ]
    # A server without a private address cannot be let in: no source would mean everybody.
    ports = [each for each in ports if each["source"]]
    if docker_host in servers and own.get("monitoring_grafana_enabled", server["monitoring_grafana_enabled"]):
        ports.append(
            {
                "name": "monitoring_grafana_port",
                "port": int(own.get("monitoring_grafana_port", server["monitoring_grafana_port"])),
                "bind_address": str(
                    own.get("monitoring_grafana_bind_address", server["monitoring_grafana_bind_address"])
                ),
            }
        )
    return ports


@functools.cache
def role_defaults(role: str) -> Mapping:
    return yaml.safe_load((ROLES / role / "defaults" / "main.yml").read_text(encoding="utf-8"))


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"monitoring_ports": monitoring_ports}
