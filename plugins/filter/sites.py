# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What hosts may know of each other's WordPress sites: pure functions over hostvars and groups."""

from __future__ import annotations

import functools
import pathlib
from collections.abc import Mapping

import yaml
from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: sites
short_description: The WordPress sites of the inventory, with the role's defaults applied
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Lists the hosts of the group C(wordpress) with what other hosts need to know of them.
  - "RV(ignore:hostvars) does not show a role's defaults, so this filter applies them, and it is the only place that does:
    ports taken, targets to scrape, ports to open, domains to route and sites to audit all come from here."
positional: _groups
options:
  _input:
    description: Ansible's C(hostvars).
    type: dict
    required: true
  _groups:
    description: Ansible's C(groups). Sites are the members of its C(wordpress).
    type: dict
    required: true
  docker_host:
    description: Only the sites on this host, by its inventory name.
    type: str
"""

EXAMPLES = r"""
- name: Show which ports the sites of this Docker host publish
  ansible.builtin.debug:
    msg: "{{ hostvars | dockpress.hosting.sites(groups, docker_host=inventory_hostname) | map(attribute='port') }}"
"""

RETURN = r"""
_value:
  description: One dictionary a site, sorted by name.
  type: list
  elements: dict
  contains:
    site:
      description: Inventory name of the site.
      type: str
    stack:
      description: Name of its Compose project; its containers are C(<stack>-<service>-1).
      type: str
    docker_host:
      description: Inventory name of the host it runs on; empty where the site does not say.
      type: str
    domain:
      description: Its domain.
      type: str
    url:
      description: Its address as visitors see it, without a slash at the end.
      type: str
    port:
      description: The port it publishes on its Docker host.
      type: int
    bind_address:
      description: The address of the Docker host on which the port is published.
      type: str
    title:
      description: Its title.
      type: str
    env:
      description: C(production), C(staging), C(development) or C(local).
      type: str
    path:
      description: Folder of its stack on the Docker host.
      type: str
"""

DEFAULTS = pathlib.Path(__file__).resolve().parents[2] / "roles" / "wordpress" / "defaults" / "main.yml"


def stack_name(site: str) -> str:
    """Name of a site's Compose project: Compose allows no dots."""
    return site.replace(".", "-").lower()


def default_url(domain: str, port: int) -> str:
    """Address of a site that names none: plain HTTP on the port it publishes."""
    return f"http://{domain}" if port == 80 else f"http://{domain}:{port}"


def sites(hostvars: Mapping, groups: Mapping, docker_host: str | None = None) -> list[dict]:
    """List the sites of the group ``wordpress``, sorted by name; see RETURN for the keys of each."""
    if not isinstance(groups, Mapping):
        raise AnsibleFilterError("dockpress.hosting.sites: write {{ hostvars | dockpress.hosting.sites(groups) }}")
    defaults = role_defaults()
    # Every value of another site is an expression to evaluate: of sites elsewhere, no more than where they are.
    return [
        site_of(name, hostvars[name], defaults)
        for name in sorted(groups.get("wordpress", []))
        if docker_host is None or str(hostvars[name].get("wordpress_docker_host", "")) == docker_host
    ]


@functools.cache
def role_defaults() -> Mapping:
    return yaml.safe_load(DEFAULTS.read_text(encoding="utf-8"))


def site_of(name: str, variables: Mapping, defaults: Mapping) -> dict:
    """Describe one site. `defaults` are the role's; those that are expressions have their meaning here in Python."""

    def value(key: str, otherwise=None):
        if key in variables:
            return variables[key]
        return defaults[key] if otherwise is None else otherwise

    domain = str(value("wordpress_domain", name))
    stack = str(value("wordpress_stack_name", stack_name(name)))
    try:
        port = int(value("wordpress_port"))
    except (TypeError, ValueError):
        raise AnsibleFilterError(
            f"{name}: wordpress_port is {value('wordpress_port')!r}; write a port number, for example wordpress_port: 8080"
        ) from None
    return {
        "site": name,
        "stack": stack,
        "docker_host": str(value("wordpress_docker_host", "")),
        "domain": domain,
        "url": str(value("wordpress_url", default_url(domain, port))).rstrip("/"),
        "port": port,
        "bind_address": str(value("wordpress_bind_address")),
        "title": str(value("wordpress_title", domain)),
        "env": str(value("wordpress_environment")),
        "path": f"{value('wordpress_stack_root')}/{stack}",
    }


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"sites": sites}
