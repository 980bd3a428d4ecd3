# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Everything about a site's declaration that can be known to be wrong before anything is changed."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Mapping, Sequence

from ansible.errors import AnsibleFilterError
from ansible.module_utils.common.arg_spec import ArgumentSpecValidator
from ansible_collections.dockpress.hosting.plugins.filter.monitoring_ports import monitoring_ports
from ansible_collections.dockpress.hosting.plugins.filter.sites import sites

DOCUMENTATION = r"""
name: site_problems
short_description: What is wrong with the declaration of a site
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Says what would go wrong with a site, each in one sentence that names the variable and what to write.
  - Used by the role C(wordpress) in its one assertion on the control node.
positional: _groups, _site, _values, _spec
options:
  _input:
    description: Ansible's C(hostvars).
    type: dict
    required: true
  _groups:
    description: Ansible's C(groups).
    type: dict
    required: true
  _site:
    description: Inventory name of the site.
    type: str
    required: true
  _values:
    description:
      - The role's variables with their values, and the site's C(ansible_host) and C(ansible_connection).
      - Its C(role_constants) are the names of the constants that the role defines by itself.
    type: dict
    required: true
  _spec:
    description: The role's argument spec.
    type: dict
    required: true
"""

EXAMPLES = r"""
- name: Show what is wrong
  ansible.builtin.debug:
    msg: "{{ hostvars | dockpress.hosting.site_problems(groups, inventory_hostname, values, spec) }}"
"""

RETURN = r"""
_value:
  description: Sentences; empty where nothing is wrong.
  type: list
  elements: str
"""

REQUIRED = {
    "wordpress_admin_email": "write the administrator's address",
    "wordpress_admin_password": "write a long random value, best from Ansible Vault",
    "wordpress_db_password": "write a long random value, best from Ansible Vault",
    "wordpress_db_root_password": "write a long random value, best from Ansible Vault",
    "wordpress_salts": "write one random text of at least 32 characters, best from Ansible Vault",
}
SALTS = {f"{use}_{kind}" for use in ("AUTH", "SECURE_AUTH", "LOGGED_IN", "NONCE") for kind in ("KEY", "SALT")}
SECRET = {*REQUIRED, "wordpress_secret_constants"}
LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"
HOSTNAME = re.compile(rf"(?=.{{1,253}}\Z){LABEL}(?:\.{LABEL})*", re.IGNORECASE)
ANYWHERE = ("0.0.0.0", "::", "")
# Stacks that other roles put beside the sites.
STACKS = {"monitoring": "monitoring", "host-metrics": "host_metrics"}

CONNECTION = """The site's connection variables do not point at its Docker host {docker_host}. Put this into group_vars/wordpress.yml of the inventory:

ansible_connection: "{{{{ hostvars[wordpress_docker_host].ansible_connection | default('ssh') }}}}"
ansible_host: "{{{{ hostvars[wordpress_docker_host].ansible_host | default(wordpress_docker_host) }}}}"
ansible_port: "{{{{ hostvars[wordpress_docker_host].ansible_port | default(22) }}}}"
ansible_user: "{{{{ hostvars[wordpress_docker_host].ansible_user | default('root') }}}}"
ansible_python_interpreter: "{{{{ hostvars[wordpress_docker_host].ansible_python_interpreter | default('/usr/bin/python3') }}}}"
"""


def site_problems(hostvars: Mapping, groups: Mapping, site: str, values: Mapping, spec: Mapping) -> list[str]:
    """List what is wrong with `site`; `values` are its variables with the role's defaults, `spec` their types."""
    values = plain(values)
    problems = list(type_problems(values, spec))
    if not problems:
        problems = [
            *own_problems(site, values),
            *placement_problems(hostvars, groups, site, values),
        ]
    return [f"{site}: {problem}" for problem in problems]


def plain(value):
    """Copy without the templating engine's lazy containers, which cannot be copied cheaply."""
    if isinstance(value, Mapping):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [plain(item) for item in value]
    return value


def type_problems(values: Mapping, spec: Mapping) -> Iterator[str]:
    """Values of a wrong type or choice. Secrets are not repeated."""
    options = {
        name: {key: option[key] for key in ("type", "elements", "choices") if key in option}
        for name, option in spec.items()
    }
    for name, option in options.items():
        result = ArgumentSpecValidator({name: option}).validate({name: values[name]})
        for message in result.error_messages:
            yield f"{name} {'is not what it should be' if name in SECRET else message}; it must be of type {option['type']}"


def own_problems(site: str, values: Mapping) -> Iterator[str]:
    """What is wrong with the site's own values."""
    for name, advice in REQUIRED.items():
        if not values[name]:
            yield f"{name} is not set; {advice}"
    salts = values["wordpress_salts"]
    if isinstance(salts, Mapping):
        missing = sorted(SALTS - {name for name, value in salts.items() if value and "unique phrase" not in str(value)})
        if missing:
            yield f"wordpress_salts lacks {', '.join(missing)}; write all eight, or one random text of at least 32 characters"
    elif salts and len(str(salts)) < 32:
        yield "wordpress_salts is too short; write one random text of at least 32 characters"
    for name, value in (("its inventory name", site), ("wordpress_domain", str(values["wordpress_domain"]))):
        if not HOSTNAME.fullmatch(value):
            yield f"{name} ({value}) is no hostname; write letters, digits, dashes and dots, for example blog.example.com"
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", str(values["wordpress_stack_name"])):
        yield "wordpress_stack_name must be of lower-case letters, digits, dashes and underscores"
    if not re.fullmatch(r"https?://[^/\s]+(/\S*)?", str(values["wordpress_url"])):
        yield f"wordpress_url ({values['wordpress_url']}) is no address; write for example https://blog.example.com"
    if not 1 <= int(values["wordpress_port"]) <= 65535:
        yield f"wordpress_port ({values['wordpress_port']}) is no port; write a number from 1 to 65535"
    if not re.fullmatch(r"[A-Za-z0-9_]+", str(values["wordpress_table_prefix"])):
        yield "wordpress_table_prefix must be of letters, digits and underscores, for example wp_"
    for name in ("wordpress_upload_limit", "wordpress_php_memory_limit", "wordpress_db_buffer_pool"):
        if not re.fullmatch(r"[1-9][0-9]*[KMG]", str(values[name])):
            yield f"{name} ({values[name]}) is no size; write a number with K, M or G, for example 64M"
    for name in ("wordpress_php_memory", "wordpress_web_memory", "wordpress_cli_memory", "wordpress_db_memory"):
        if not re.fullmatch(r"[1-9][0-9]*[bkmg]", str(values[name])):
            yield f"{name} ({values[name]}) is no size; write a number with k, m or g, for example 512m"
    for name in ("wordpress_php_workers", "wordpress_cron_interval", "wordpress_cron_timeout", "wordpress_php_timeout"):
        if int(values[name]) < 1:
            yield f"{name} ({values[name]}) must be 1 or more"
    for network in values["wordpress_trusted_proxies"]:
        try:
            ipaddress.ip_network(network, strict=False)
        except ValueError:
            yield f"wordpress_trusted_proxies: {network} is no address or network; write for example 10.0.0.5 or 10.0.0.0/24"
    for path in values["wordpress_writable_paths"]:
        if not re.fullmatch(r"[\w-]+(?:/[\w.-]*[\w-][\w.-]*)*", path) or ".." in path.split("/"):
            yield f"wordpress_writable_paths: {path} is no path below the web root; write for example wp-content/cache"
    for variable in ("wordpress_constants", "wordpress_secret_constants"):
        for name in values[variable]:
            if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
                yield f"{variable}: {name} is no name of a constant"
    for name in values["wordpress_secret_constants"]:
        if name in values["wordpress_constants"]:
            yield f"wordpress_secret_constants: {name} is also in wordpress_constants; take it out of one of them"
        elif name in values["role_constants"]:
            yield f"wordpress_secret_constants: {name} is a constant that the role sets; take it out"
    yield from image_problems(str(values["wordpress_image"]))


def image_problems(reference: str) -> Iterator[str]:
    """The official images say in their tag whether they have PHP-FPM."""
    repository, _colon, tag = reference.split("@", maxsplit=1)[0].rpartition(":")
    if repository.split("/")[-1] == "wordpress" and "/" not in tag and "fpm" not in tag:
        yield (
            f"wordpress_image ({reference}) has no PHP-FPM; write one whose tag has fpm in it, "
            "for example docker.io/library/wordpress:7.1.1-php8.4-fpm"
        )


def placement_problems(hostvars: Mapping, groups: Mapping, site: str, values: Mapping) -> Iterator[str]:
    """What is wrong with the place of the site beside the others."""
    docker_host = str(values["wordpress_docker_host"])
    if not docker_host:
        yield "wordpress_docker_host is not set; write the inventory name of the Docker host that carries the site"
        return
    if docker_host not in groups.get("docker_hosts", []):
        known = ", ".join(sorted(groups.get("docker_hosts", []))) or "none"
        yield f"wordpress_docker_host ({docker_host}) is not in the group docker_hosts; write one of its hosts ({known})"
        return
    carrier = hostvars[docker_host]
    # The site's own come as values: hostvars does not see through the hostvars that stand in them.
    if values.get("ansible_host", site) != carrier.get("ansible_host", docker_host) or values.get(
        "ansible_connection", "ssh"
    ) != carrier.get("ansible_connection", "ssh"):
        yield CONNECTION.format(docker_host=docker_host)
    try:
        beside = sites(hostvars, groups, docker_host=docker_host)
    except AnsibleFilterError as error:
        yield str(error)
        return
    own = next((entry for entry in beside if entry["site"] == site), None)
    if own is None:
        return
    others = [entry for entry in beside if entry is not own]
    if own["stack"] in STACKS:
        yield f"wordpress_stack_name ({own['stack']}) is that of the role {STACKS[own['stack']]}; write another"
    for other in others:
        if other["stack"] == own["stack"]:
            yield f"wordpress_stack_name ({own['stack']}) is also that of {other['site']} on {docker_host}; write another"
        for one, two in ((own, other), (other, own)):
            # A drill removes all that goes by these names.
            if two["stack"] == f"{one['stack']}-drill" or two["site"] == f"{one['site']}.drill":
                yield f"a drill of {one['site']} makes and removes what is named like {two['site']} on {docker_host}; name one of them otherwise"
    taken = [(f"is also published by {other['site']}", other) for other in others]
    taken += [(f"is {each['name']}", each) for each in monitoring_ports(hostvars, groups, docker_host)]
    for what, other in taken:
        addresses = {own["bind_address"], other["bind_address"]}
        if other["port"] == own["port"] and (len(addresses) == 1 or addresses & set(ANYWHERE)):
            yield (
                f"wordpress_port ({own['port']}) {what} on {docker_host}; write another port, or another wordpress_bind_address"
            )


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"site_problems": site_problems}
