# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of a Docker host's firewall, out of a list of what may be reached. Pure functions."""

from __future__ import annotations

import ipaddress
import re

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: firewall
short_description: Rules of a Docker host's firewall
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Turns a list of what may be reached into rules for C(iptables-restore --noflush), C(ip6tables-restore --noflush) or C(nft -f).
  - Ports that Docker publishes are translated before any chain of the host's sees them, so the rules match the port that was
    connected to (C(--ctorigdstport)), and only connections that Docker did translate. A packet that is routed straight to a container is dropped.
  - What comes from a bridge of Docker's is left to Docker.
positional: _family
options:
  _input:
    description:
      - What may be reached. Each entry has C(port) (a number, or a range as V(8000-8010)), and may have C(protocol) (V(tcp) or V(udp)),
        C(interfaces) (a list; without it every interface), C(source) (an address or network, or a list of them) and C(name), which appears in messages.
    type: list
    elements: dict
    required: true
  _family:
    description: V(ipv4) and V(ipv6) give rules for iptables-restore, V(nftables) a table of its own for both.
    type: str
    choices: [ipv4, ipv6, nftables]
    required: true
  bridges:
    description: Interfaces of Docker's own. A C(+) at the end stands for any ending.
    type: list
    elements: str
    default: [docker+, br-+]
"""

EXAMPLES = r"""
- name: Rules for IPv4
  ansible.builtin.copy:
    content: "{{ [{'port': 443}, {'port': 9443, 'interfaces': ['eth1'], 'source': '10.0.0.0/8'}] | dockpress.hosting.firewall('ipv4') }}"
    dest: /etc/dockpress/firewall/candidate.v4
    mode: "0640"
"""

RETURN = r"""
_value:
  description: The rules.
  type: str
"""

INTERFACE = re.compile(r"^[A-Za-z0-9_.:@-]{1,15}$")


def ports_of(value: object, name: str) -> tuple[int, int]:
    """First and last port of a number or a range.

    :raises AnsibleFilterError: names the entry and says what to write.
    """
    first, dash, last = str(value).partition("-")
    try:
        if isinstance(value, bool):
            raise ValueError
        bounds = int(first), int(last if dash else first)
    except ValueError:
        bounds = (0, 0)
    if not 1 <= bounds[0] <= bounds[1] <= 65535:
        raise AnsibleFilterError(
            f"{name}.port: {value!r} is no port; write a number from 1 to 65535, or a range as 8000-8010."
        )
    return bounds


def entries(allow: list[dict]) -> list[dict]:
    """The list with every value checked and every default filled in."""
    result = []
    for index, entry in enumerate(allow):
        name = entry.get("name") or f"docker_host_firewall_allow[{index}]"
        unknown = sorted(set(entry) - {"port", "protocol", "interface", "interfaces", "source", "name", "comment"})
        if unknown:
            raise AnsibleFilterError(
                f"{name}: {', '.join(unknown)} is unknown; write port, protocol, interface, source."
            )
        protocol = entry.get("protocol", "tcp")
        if protocol not in ("tcp", "udp"):
            raise AnsibleFilterError(f"{name}.protocol: {protocol!r}; write tcp or udp.")
        interfaces = list(entry.get("interfaces") or ([entry["interface"]] if entry.get("interface") else []))
        for interface in interfaces:
            if not INTERFACE.match(str(interface)):
                raise AnsibleFilterError(f"{name}.interface: {interface!r} is no name of a network interface.")
        source = entry.get("source") or []
        networks = []
        for text in [source] if isinstance(source, str) else source:
            try:
                networks.append(ipaddress.ip_network(text, strict=False))
            except ValueError:
                raise AnsibleFilterError(
                    f"{name}.source: {text!r} is no address or network; write for example 192.0.2.0/24."
                ) from None
        first, last = ports_of(entry.get("port"), name)
        result.append(
            {
                "name": name,
                "protocol": protocol,
                "first": first,
                "last": last,
                "interfaces": interfaces,
                "sources": networks,
            }
        )
    return result


def matches(entry: dict, version: int) -> list[tuple[str, str]]:
    """(interface, source) pairs of an entry in one address family; empty texts where it does not say."""
    sources = [str(network) for network in entry["sources"] if network.version == version]
    if entry["sources"] and not sources:
        return []
    return [(interface, source) for interface in entry["interfaces"] or [""] for source in sources or [""]]


def iptables(allow: list[dict], version: int, bridges: list[str]) -> str:
    """Both own chains for iptables-restore. Naming a chain with a colon empties it, and all of it takes effect at once."""
    rules = [
        "*filter",
        ":DOCKPRESS-FORWARD - [0:0]",
        ":DOCKPRESS-INPUT - [0:0]",
        "-A DOCKPRESS-FORWARD -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
        "-A DOCKPRESS-INPUT -i lo -j RETURN",
        "-A DOCKPRESS-INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j RETURN",
    ]
    for bridge in bridges:
        rules += [f"-A DOCKPRESS-{chain} -i {bridge} -j RETURN" for chain in ("FORWARD", "INPUT")]
    if version == 4:
        rules += [
            "-A DOCKPRESS-INPUT -p icmp -j RETURN",
            "-A DOCKPRESS-INPUT -p udp --sport 67 --dport 68 -j RETURN",
        ]
    else:
        rules += [
            "-A DOCKPRESS-INPUT -p ipv6-icmp -j RETURN",
            "-A DOCKPRESS-INPUT -s fe80::/10 -p udp --sport 547 --dport 546 -j RETURN",
        ]
    for entry in allow:
        port = str(entry["first"]) if entry["first"] == entry["last"] else f"{entry['first']}:{entry['last']}"
        for interface, source in matches(entry, version):
            where = (f" -i {interface}" if interface else "") + (f" -s {source}" if source else "")
            rules += [
                f"-A DOCKPRESS-FORWARD{where} -p {entry['protocol']} -m conntrack --ctstate DNAT --ctorigdstport {port} -j RETURN",
                f"-A DOCKPRESS-INPUT{where} -p {entry['protocol']} --dport {port} -j RETURN",
            ]
    rules += ["-A DOCKPRESS-FORWARD -j DROP", "-A DOCKPRESS-INPUT -j DROP", "COMMIT"]
    return "\n".join(rules) + "\n"


def nftables(allow: list[dict], bridges: list[str]) -> str:
    """A table of its own. Its accept is no last word (Docker's table comes after), its drop is."""
    own = ", ".join(f'"{bridge[:-1]}*"' if bridge.endswith("+") else f'"{bridge}"' for bridge in bridges)
    forward, incoming = [], []
    for entry in allow:
        port = str(entry["first"]) if entry["first"] == entry["last"] else f"{entry['first']}-{entry['last']}"
        for version, word in ((4, "ip"), (6, "ip6")):
            for interface, source in matches(entry, version):
                where = (f'iifname "{interface}" ' if interface else "") + (f"{word} saddr {source} " if source else "")
                family = f"meta nfproto {'ipv4' if version == 4 else 'ipv6'} "
                protocol = entry["protocol"]
                forward.append(
                    f"{family}{where}meta l4proto {protocol} ct status dnat ct original proto-dst {port} accept"
                )
                incoming.append(f"{family}{where}{protocol} dport {port} accept")
    lines = [
        "table inet dockpress",
        "delete table inet dockpress",
        "table inet dockpress {",
        "  chain forward {",
        "    type filter hook forward priority filter - 5; policy accept;",
        "    ct state established,related accept",
        f"    iifname {{ {own} }} accept",
        *(f"    {rule}" for rule in forward),
        "    drop",
        "  }",
        "  chain input {",
        "    type filter hook input priority filter - 5; policy accept;",
        '    iifname "lo" accept',
        "    ct state established,related accept",
        f"    iifname {{ {own} }} accept",
        "    meta l4proto { icmp, ipv6-icmp } accept",
        "    udp sport 67 udp dport 68 accept",
        "    ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept",
        *(f"    {rule}" for rule in incoming),
        "    drop",
        "  }",
        "}",
    ]
    return "\n".join(lines) + "\n"


def firewall(allow: list[dict], family: str, bridges: list[str] | None = None) -> str:
    """Rules for one address family, or for both with nftables; see DOCUMENTATION."""
    checked = entries(allow)
    names = bridges or ["docker+", "br-+"]
    if family == "nftables":
        return nftables(checked, names)
    if family not in ("ipv4", "ipv6"):
        raise AnsibleFilterError(f"dockpress.hosting.firewall: {family!r} is no family; write ipv4, ipv6 or nftables.")
    return iptables(checked, 4 if family == "ipv4" else 6, names)


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"firewall": firewall}
