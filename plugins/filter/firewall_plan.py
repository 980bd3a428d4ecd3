# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What may be reached on a Docker host, and through which of its interfaces. Pure functions."""

from __future__ import annotations

import fnmatch

from ansible.errors import AnsibleFilterError
from ansible_collections.dockpress.hosting.plugins.filter.firewall import entries

DOCUMENTATION = r"""
name: firewall_plan
short_description: What may be reached on a Docker host, and through which interfaces
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Joins what the operator allows with the ports that the host's sites and the collection's own stacks publish and with SSH, and gives
    every entry its interfaces.
  - What is published on an address of the private interface is reachable there, one that is published on loopback nowhere, every other
    one on the external interfaces.
options:
  _input:
    description: O(ignore:docker_host_firewall_allow) of the role.
    type: list
    elements: dict
    required: true
  links:
    description: Output of C(ip -json address show) on the host.
    type: list
    elements: dict
    required: true
  sites:
    description: The host's sites, of the filter P(dockpress.hosting.sites#filter).
    type: list
    elements: dict
    default: []
  stacks:
    description: What else is published, of the filter P(dockpress.hosting.monitoring_ports#filter).
    type: list
    elements: dict
    default: []
  ssh_ports:
    description: Ports of SSH. They are reachable through every interface.
    type: list
    elements: int
    default: []
  ssh_sources:
    description: Where SSH may come from. Empty is anywhere.
    type: list
    elements: str
    default: []
  external:
    description: The external interfaces. Empty is each that is not Docker's, not loopback and not the private one.
    type: list
    elements: str
    default: []
  private_interface:
    description: Name of the private interface.
    type: str
    default: ""
  private_address:
    description: Address of the private interface, which names it where O(private_interface) does not.
    type: str
    default: ""
  bridges:
    description: Interfaces of Docker's own. A C(+) at the end stands for any ending.
    type: list
    elements: str
    default: [docker+, br-+]
"""

EXAMPLES = r"""
- name: What is reachable
  ansible.builtin.debug:
    msg: "{{ ([{'port': 443}] | dockpress.hosting.firewall_plan(links=links.stdout | from_json)).allow }}"
"""

RETURN = r"""
_value:
  description: The plan.
  type: dict
  contains:
    allow:
      description: Entries for the filter P(dockpress.hosting.firewall#filter).
      type: list
      elements: dict
    external:
      description: The external interfaces.
      type: list
      elements: str
    private:
      description: The private interface, or an empty text.
      type: str
"""


def firewall_plan(
    allow: list[dict],
    links: list[dict],
    *,
    sites: list[dict] | None = None,
    stacks: list[dict] | None = None,
    ssh_ports: list[int] | None = None,
    ssh_sources: list[str] | None = None,
    external: list[str] | None = None,
    private_interface: str = "",
    private_address: str = "",
    bridges: list[str] | None = None,
) -> dict:
    """See DOCUMENTATION.

    :raises AnsibleFilterError: names the variable that is wrong and what to write.
    """
    names = [link["ifname"] for link in links]
    holder = {address["local"]: link["ifname"] for link in links for address in link.get("addr_info", [])}

    def present(interface: str, variable: str) -> str:
        if interface not in names:
            raise AnsibleFilterError(
                f"{variable}: the host has no interface {interface!r}; it has {', '.join(sorted(names))}."
            )
        return interface

    if private_address and private_address not in holder:
        raise AnsibleFilterError(
            f"docker_host_private_address: no interface has the address {private_address}; the host has {', '.join(sorted(holder))}."
        )
    private = present(private_interface, "docker_host_private_interface") if private_interface else ""
    private = private or holder.get(private_address, "")
    if external:
        outside = [present(name, "docker_host_external_interfaces") for name in external]
    else:
        own = [pattern.replace("+", "*") for pattern in bridges or ["docker+", "br-+"]] + ["lo", "veth*", private]
        outside = [name for name in names if not any(fnmatch.fnmatch(name, pattern) for pattern in own)]

    try:
        entries([{"name": "docker_host_firewall_ssh_sources", "port": 22, "source": list(ssh_sources or [])}])
    except AnsibleFilterError as error:
        raise AnsibleFilterError(str(error).replace("_sources.source:", "_sources:")) from None
    plan = [
        {"name": "docker_host_firewall_ssh_ports", "port": port, "source": list(ssh_sources or [])}
        for port in dict.fromkeys(int(port) for port in ssh_ports or [])
    ]
    for index, entry in enumerate(allow):
        name = f"docker_host_firewall_allow[{index}]"
        checked = entries([{**entry, "name": name}])[0]
        for interface in checked["interfaces"]:
            present(interface, f"{name}.interface")
        plan.append(
            {key: value for key, value in entry.items() if key not in ("interface", "comment")}
            | {"name": name, "interfaces": checked["interfaces"] or outside}
        )
    published = [
        {"name": f"wordpress_port of {site['site']}", "port": site["port"], "bind_address": site["bind_address"]}
        for site in sites or []
    ]
    for each in published + list(stacks or []):
        address = each["bind_address"]
        if address.startswith("127.") or address == "::1":
            continue
        where = [private] if private and holder.get(address) == private else outside
        entry = {"name": each["name"], "port": each["port"], "interfaces": where}
        plan.append(entry | ({"source": each["source"]} if "source" in each else {}))
    return {"allow": plan, "external": outside, "private": private}


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"firewall_plan": firewall_plan}
