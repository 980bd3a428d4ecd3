# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Compose models into a picture: Graphviz DOT, Mermaid, or the plain graph that both are written from.

Pure functions: what they are given is what ``docker compose config --format json`` and ``docker ps`` said, and nothing is
asked of any engine here. Values of environment variables, secrets and configs are never looked at, only their names.
"""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

try:
    import graphviz
except ImportError:
    graphviz = None

DOCUMENTATION = r"""
name: topology
short_description: Draw Compose models as Graphviz DOT or Mermaid
version_added: 0.1.0
author:
  - The dockpress engineers (@dockpress)
description:
  - Makes one drawing of any number of Compose projects on any number of hosts, with services, published ports, networks
    (internal ones marked), volumes, bind mounts, names of secrets and configs, C(depends_on), and who reaches whom.
  - Where the containers of a host are given as well, states and health are shown and differences from the model are marked.
  - The same input always gives the same text.
options:
  _input:
    description:
      - One dictionary for each Compose project.
      - C(model) is what C(docker compose config --format json) printed, as a dictionary or as text. This key is required,
        unless there is C(error).
      - C(error) is text that stands in the drawing in place of the project, for example that a host was not reached.
      - C(host) is the name of the machine that it runs on. Networks, volumes and ports of projects with the same host are one and the same.
      - C(containers) is a list of that host's containers as C(docker ps --all) has them (RV(community.docker.docker_host_info#module:containers)
        with O(community.docker.docker_host_info#module:verbose_output=true)). Without this key nothing is said about what runs.
      - C(images) is the same for the host's images, so that a container on an older image than its tag points at is noticed.
    type: list
    elements: dict
    required: true
  format:
    description: What to return.
    type: str
    default: dot
    choices:
      dot: Text for Graphviz. Needs the Python package C(graphviz) on the control node.
      mermaid: Text for Mermaid, which for example GitHub and GitLab draw themselves.
      graph: The dictionary that the drawings are made from.
  detail:
    description: How much of every service is written into its box.
    type: str
    default: auto
    choices:
      full: Everything.
      brief: No bind mounts, secrets, configs and temporary file systems.
      auto: V(full) for up to six projects, V(brief) for more.
  title:
    description: What is written above the drawing.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: Model of one project
  ansible.builtin.command: docker compose --profile * config --format json
  args:
    chdir: /srv/dockpress/blog
  register: config
  changed_when: false

- name: Its drawing
  ansible.builtin.command:
    cmd: dot -Tsvg -o topology.svg
    stdin: "{{ [{'host': 'web1', 'model': config.stdout}] | dockpress.hosting.topology }}"
"""

RETURN = r"""
_value:
  description: Text with O(format=dot) and O(format=mermaid), a dictionary with O(format=graph).
  type: raw
"""

# ---------------------------------------------------------------- the graph

DEPENDENCY = {
    "service_started": "starts",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
LOOPBACK = re.compile(r"^(127\.|::1$|localhost$)")


def _named(value: Any) -> dict[str, Any]:
    """What Compose writes as a mapping, a list of names, or nothing at all, as a mapping."""
    if isinstance(value, Mapping):
        return {str(name): (options or {}) for name, options in value.items()}
    return {str(name): {} for name in value or []}


def _short(path: str, folder: str) -> str:
    """A path of the project's folder as it stood in the file: ``./web`` for ``/srv/dockpress/blog/web``."""
    if folder and path == folder:
        return "."
    return "./" + path[len(folder) + 1 :] if folder and path.startswith(folder + "/") else path


def _project_folder(model: Mapping[str, Any]) -> str:
    """The folder that relative paths were resolved against, as far as the model gives it away.

    ``docker compose config`` prints absolute paths only; the folder that is common to all of them, and carries the
    project's name or is the only candidate, is taken.
    """
    paths = [
        mount.get("source", "")
        for service in _named(model.get("services")).values()
        for mount in service.get("volumes") or []
        if mount.get("type") == "bind"
    ]
    paths += [
        entry["file"]
        for kind in ("secrets", "configs")
        for entry in _named(model.get(kind)).values()
        if entry.get("file")
    ]
    name = str(model.get("name", ""))
    for path in sorted(paths):
        head, found, _tail = (path + "/").partition(f"/{name}/")
        if name and found:
            return f"{head}/{name}"
    return ""


def _mount_text(mount: Mapping[str, Any], folder: str) -> str:
    source = _short(str(mount.get("source", "")), folder)
    return f"{source} → {mount.get('target', '')}" + (" (read-only)" if mount.get("read_only") else "")


def _state(container: Mapping[str, Any]) -> dict[str, str]:
    """What ``docker ps`` says of one container, with the health taken out of the status text."""
    status = str(container.get("Status", ""))
    health = re.search(r"\((healthy|unhealthy|health: starting)\)", status)
    names = container.get("Names") or []
    names = names.split(",") if isinstance(names, str) else names
    return {
        "name": str(names[0]).lstrip("/") if names else str(container.get("Id", ""))[:12],
        "state": str(container.get("State", "")),
        "health": health.group(1).removeprefix("health: ") if health else "",
        "image": str(container.get("Image", "")),
        "digest": str(container.get("ImageID", "")).removeprefix("sha256:")[:12],
    }


def _same_image(declared: str, running: str) -> bool:
    """True for ``nginx`` and ``nginx:latest``, with or without the default registry."""

    def full(reference: str) -> str:
        reference = reference.removeprefix("docker.io/").removeprefix("library/")
        last = reference.rsplit("/", 1)[-1]
        return reference if ":" in last or "@" in last else reference + ":latest"

    return full(declared) == full(running)


def _published(container: Mapping[str, Any]) -> set[str]:
    """Ports that a container really publishes, as ``8080:80/tcp``."""
    return {
        f"{port['PublicPort']}:{port['PrivatePort']}/{port.get('Type', 'tcp')}"
        for port in container.get("Ports") or []
        if isinstance(port, Mapping) and port.get("PublicPort")
    }


def _attached(container: Mapping[str, Any]) -> set[str] | None:
    """Networks that a container is really on; None where the list does not say."""
    networks = (container.get("NetworkSettings") or {}).get("Networks")
    return None if networks is None else set(networks)


def _differences(
    service: Mapping[str, Any], found: Sequence[Mapping[str, Any]], tags: Mapping[str, str], networks: set[str]
) -> list[str]:
    """How what runs differs from what is declared, in words for the drawing."""
    wanted = service["replicas"]
    if not found:
        return [] if service["profiles"] or not wanted else ["declared, but has no container"]
    told: list[str] = []
    if len(found) != wanted and not service["profiles"]:
        told.append(f"{len(found)} containers instead of {wanted}")
    for container in found:
        state = _state(container)
        if state["state"] != "running" and not service["profiles"]:
            told.append(f"{state['name']} is {state['state'] or 'in an unknown state'}")
        if state["health"] == "unhealthy":
            told.append(f"{state['name']} is unhealthy")
        # A reference that is a bare id means: the tag has moved on to another image.
        bare = re.fullmatch(r"(sha256:)?[0-9a-f]{12,64}", state["image"])
        if service["image"] and not bare and not _same_image(service["image"], state["image"]):
            told.append(f"runs {state['image']}")
        current = tags.get(service["image"], "").removeprefix("sha256:")[:12]
        if bare or (current and state["digest"] and current != state["digest"]):
            told.append(f"runs an older image ({state['digest']})")
        declared = {
            f"{port['published']}:{port['target']}/{port['protocol']}"
            for port in service["ports"]
            if port["published"].isdigit()
        }
        if state["state"] == "running":
            told += [f"port {port} is not published" for port in sorted(declared - _published(container))]
        attached = _attached(container)
        if attached is not None and not service["network_mode"]:
            told += [f"not on network {name}" for name in sorted(networks - attached)]
            told += [f"also on network {name}" for name in sorted(attached - networks)]
    return list(dict.fromkeys(told))


class _Builder:
    """Collects the graph of all projects; ids are numbers in sorted order, so the same input gives the same text."""

    def __init__(self) -> None:
        self.nodes: dict[tuple[str, ...], dict[str, Any]] = {}
        self.edges: list[dict[str, str]] = []

    def node(self, kind: str, host: str, key: str, stack: str | None = None, **details: Any) -> dict[str, Any]:
        """The node of that kind, host and real name; made when it is met for the first time."""
        found = self.nodes.get((kind, host, key))
        if found is None:
            found = {"kind": kind, "host": host, "stack": stack, "key": key} | details
            self.nodes[kind, host, key] = found
        elif stack is not None and found["stack"] is None:
            # First met as somebody's external network, now its owner says what it is.
            found.update(details, stack=stack)
        return found

    def edge(self, kind: str, source: Mapping[str, Any], target: Mapping[str, Any], label: str = "") -> None:
        self.edges.append({"kind": kind, "from": self.ident(source), "to": self.ident(target), "label": label})

    @staticmethod
    def ident(node: Mapping[str, Any]) -> str:
        return "\0".join((node["kind"], node["host"], node["key"]))


def _model(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The Compose model of an entry; that of one which could not be had is empty."""
    model = entry.get("model")
    if model is None and entry.get("error"):
        return {}
    if isinstance(model, str):
        import json

        try:
            model = json.loads(model)
        except ValueError as error:
            raise AnsibleFilterError(
                f"topology: 'model' is no JSON ({error}). Pass what `docker compose config --format json` prints."
            ) from error
    if not isinstance(model, Mapping) or not isinstance(model.get("services", {}), Mapping):
        raise AnsibleFilterError(
            "topology: every project needs 'model', a dictionary as `docker compose config --format json` prints it."
        )
    return dict(model)


def _ports(service: Mapping[str, Any]) -> list[dict[str, str]]:
    return [
        {
            "ip": str(port.get("host_ip") or ""),
            "published": str(port.get("published") or ""),
            "target": str(port.get("target", "")),
            "protocol": str(port.get("protocol") or "tcp"),
            "mode": str(port.get("mode") or "ingress"),
        }
        for port in service.get("ports") or []
    ]


def _service(name: str, options: Mapping[str, Any], folder: str) -> dict[str, Any]:
    """What is told of one service, whatever the drawing."""
    build = options.get("build")
    context = build.get("context", "") if isinstance(build, Mapping) else (build or "")
    mounts = options.get("volumes") or []
    deploy = options.get("deploy") or {}
    replicas = options.get("scale")
    if replicas is None:
        replicas = deploy.get("replicas", 1)
    mode = str(options.get("network_mode") or "")
    return {
        "name": name,
        "image": str(options.get("image") or ""),
        "build": _short(str(context), folder) if build else "",
        "profiles": sorted(options.get("profiles") or []),
        "replicas": int(replicas if replicas is not None else 1),
        "network_mode": mode,
        "ports": _ports(options),
        "expose": [str(port) for port in options.get("expose") or []],
        "binds": [_mount_text(mount, folder) for mount in mounts if mount.get("type") == "bind"],
        "tmpfs": sorted(
            [str(mount.get("target", "")) for mount in mounts if mount.get("type") == "tmpfs"]
            + [
                str(entry).split(":", maxsplit=1)[0]
                for entry in (
                    [options["tmpfs"]] if isinstance(options.get("tmpfs"), str) else options.get("tmpfs") or []
                )
            ]
        ),
        "anonymous": sorted(
            str(mount.get("target", ""))
            for mount in mounts
            if mount.get("type") == "volume" and not mount.get("source")
        ),
        "other_mounts": sorted(
            f"{mount.get('type')} {_mount_text(mount, folder)}"
            for mount in mounts
            if mount.get("type") not in ("bind", "tmpfs", "volume")
        ),
        "secrets": sorted(str(entry.get("source", "")) for entry in options.get("secrets") or []),
        "configs": sorted(str(entry.get("source", "")) for entry in options.get("configs") or []),
        "privileged": bool(options.get("privileged")),
        "live": [],
        "differences": [],
        "reaches": [],
    }


def _draw_service(
    builder: _Builder, node: dict[str, Any], options: Mapping[str, Any], model: Mapping[str, Any]
) -> None:
    """Everything that hangs on one service: networks, volumes, ports, dependencies."""
    host, stack = node["host"], node["stack"]
    services = _named(model.get("services"))
    networks = _named(model.get("networks"))
    volumes = _named(model.get("volumes"))
    mode = node["network_mode"]

    def sibling(name: str) -> dict[str, Any] | None:
        return builder.nodes.get(("service", host, f"{stack}/{name}")) if name in services else None

    if mode == "host":
        builder.edge("network", node, builder.node("network", host, "host", name="host", mode="host"))
    elif mode.startswith("service:"):
        other = sibling(mode.removeprefix("service:"))
        if other:
            builder.edge("shares", node, other, "same network namespace")
    elif not mode:
        for name, attachment in sorted(_named(options.get("networks")).items()):
            declared = networks.get(name, {})
            real = str(declared.get("name") or f"{stack}_{name}")
            external = bool(declared.get("external"))
            details = {
                "name": real if external else name,
                "internal": bool(declared.get("internal")),
                "external": external,
                "driver": str(declared.get("driver") or ""),
                "subnets": [
                    str(pool.get("subnet"))
                    for pool in (declared.get("ipam") or {}).get("config") or []
                    if pool and pool.get("subnet")
                ],
            }
            network = builder.node("network", host, real, None if external else stack, **details)
            label = [str(attachment[key]) for key in ("ipv4_address", "ipv6_address") if attachment.get(key)]
            builder.edge("network", node, network, " ".join(label))

    for mount in options.get("volumes") or []:
        if mount.get("type") == "volume" and mount.get("source"):
            name = str(mount["source"])
            declared = volumes.get(name, {})
            real = str(declared.get("name") or f"{stack}_{name}")
            external = bool(declared.get("external"))
            driver = str(declared.get("driver") or "")
            volume = builder.node(
                "volume",
                host,
                real,
                None if external else stack,
                name=real if external else name,
                external=external,
                driver="" if driver == "local" else driver,
            )
            note = str(mount.get("target", "")) + (" (read-only)" if mount.get("read_only") else "")
            builder.edge("volume", node, volume, note)

    for port in node["ports"]:
        protocol = "" if port["protocol"] == "tcp" else f"/{port['protocol']}"
        everywhere = port["ip"] in ("", "0.0.0.0", "::")
        outside = "*" if everywhere else f"[{port['ip']}]" if ":" in port["ip"] else port["ip"]
        published = port["published"] or "any free port"
        # Without a published port every container gets one of its own, so the node is the service's own, too.
        unique = (
            f"{outside}:{published}{protocol}"
            if port["published"]
            else f"{stack}/{node['name']}/{port['target']}{protocol}"
        )
        entry = builder.node(
            "port",
            host,
            unique,
            stack,
            name=f"{outside}:{published}{protocol}",
            local=bool(LOOPBACK.match(port["ip"])),
        )
        builder.edge(
            "port", entry, node, f"{port['target']}{protocol}" + (" (host mode)" if port["mode"] == "host" else "")
        )

    for name, how in sorted(_named(options.get("depends_on")).items()):
        other = sibling(name)
        if other:
            label = DEPENDENCY.get(how.get("condition", "service_started"), str(how.get("condition")))
            builder.edge("depends", node, other, label + (", if there" if how.get("required") is False else ""))
    for link in options.get("links") or []:
        other = sibling(str(link).split(":", maxsplit=1)[0])
        if other:
            builder.edge("link", node, other, "link")
    for source in options.get("volumes_from") or []:
        other = sibling(str(source).split(":", maxsplit=1)[0])
        if other:
            builder.edge("link", node, other, "volumes from")


def _live(builder: _Builder, entry: Mapping[str, Any], nodes: Sequence[dict[str, Any]], host: str, stack: str) -> None:
    """Put what runs beside what is declared."""
    tags = {
        str(tag): str(image.get("Id", "")) for image in entry.get("images") or [] for tag in image.get("RepoTags") or []
    }
    mine = [
        container
        for container in entry["containers"] or []
        if (container.get("Labels") or {}).get("com.docker.compose.project") == stack
        and (container.get("Labels") or {}).get("com.docker.compose.oneoff") != "True"
    ]
    known = {node["name"] for node in nodes}
    for node in nodes:
        found = [c for c in mine if c["Labels"].get("com.docker.compose.service") == node["name"]]
        networks = {
            edge["to"].split("\0")[2]
            for edge in builder.edges
            if edge["kind"] == "network" and edge["from"] == builder.ident(node)
        }
        node["live"] = [_state(container) for container in found]
        node["differences"] = _differences(node, found, tags, networks)
        node["seen"] = True
    for container in mine:
        name = str(container["Labels"].get("com.docker.compose.service", ""))
        if name in known:
            continue
        state = _state(container)
        stray = builder.node("service", host, f"{stack}/{name}", stack, **_service(name, {"image": state["image"]}, ""))
        stray["live"].append(state)
        stray["differences"] = ["runs, but is not declared"]
        stray["seen"] = True


def _reach(builder: _Builder) -> None:
    """Who can open a connection to whom: services with a network in common, and those that share a namespace."""
    on: dict[str, set[str]] = {}
    for edge in builder.edges:
        if edge["kind"] == "network" and not edge["to"].endswith("\0host"):
            on.setdefault(edge["from"], set()).add(edge["to"])
    shared = {edge["from"]: edge["to"] for edge in builder.edges if edge["kind"] == "shares"}
    for guest, owner in shared.items():
        on[guest] = on.get(owner, set())
    services = {builder.ident(node): node for node in builder.nodes.values() if node["kind"] == "service"}
    for ident, node in services.items():
        node["reaches"] = sorted(
            (other["name"] if other["stack"] == node["stack"] else f"{other['stack']}/{other['name']}")
            for key, other in services.items()
            if key != ident and on.get(ident, set()) & on.get(key, set())
        )


def graph(stacks: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The graph of all projects.

    :param stacks: dictionaries with ``model`` and, where known, ``host``, ``containers`` and ``images``.
    :return: ``hosts`` (name, stacks), ``nodes`` (each with a generated ``id``) and ``edges`` (``from``, ``to``, ``kind``, ``label``).
    :raises AnsibleFilterError: an entry holds no Compose model.
    """
    if isinstance(stacks, Mapping) or not isinstance(stacks, Sequence) or isinstance(stacks, str):
        raise AnsibleFilterError("topology: the input is a list of dictionaries, one for each Compose project.")
    builder = _Builder()
    hosts: dict[str, set[str]] = {}
    for entry in sorted(
        ({**one, "model": _model(one)} for one in stacks),
        key=lambda one: (str(one.get("host") or ""), str(one["model"].get("name", ""))),
    ):
        host, model = str(entry.get("host") or ""), entry["model"]
        if entry.get("error"):
            hosts.setdefault(host, set())
            builder.node("error", host, str(entry["error"]), name=str(entry["error"]))
            continue
        stack = str(model.get("name") or "project")
        if stack in hosts.setdefault(host, set()):
            raise AnsibleFilterError(f"topology: project {stack} is given twice for host {host or '(none)'}.")
        hosts[host].add(stack)
        folder = _project_folder(model)
        services = sorted(_named(model.get("services")).items())
        nodes = [
            builder.node("service", host, f"{stack}/{name}", stack, **_service(name, options, folder))
            for name, options in services
        ]
        for node, (_name, options) in zip(nodes, services, strict=True):
            _draw_service(builder, node, options, model)
        if entry.get("containers") is not None:
            _live(builder, entry, nodes, host, stack)
    _reach(builder)
    for node in builder.nodes.values():
        if node["kind"] == "port":
            node["claims"] = len({edge["to"] for edge in builder.edges if edge["from"] == builder.ident(node)})
    ordered = sorted(
        builder.nodes.values(), key=lambda node: (node["host"], node["stack"] or "", node["kind"], node["key"])
    )
    idents = {builder.ident(node): f"n{number}" for number, node in enumerate(ordered, 1)}
    edges = [{**edge, "from": idents[edge["from"]], "to": idents[edge["to"]]} for edge in builder.edges]
    return {
        "hosts": [{"name": host, "stacks": sorted(names)} for host, names in sorted(hosts.items())],
        "nodes": [{"id": idents[builder.ident(node)], **node} for node in ordered],
        "edges": sorted(edges, key=lambda e: (int(e["from"][1:]), int(e["to"][1:]), e["kind"], e["label"])),
    }


# ---------------------------------------------------------------- words for the boxes


def _rows(node: Mapping[str, Any], brief: bool) -> Iterator[tuple[str, str]]:
    """Lines of a service's box below its name: (kind, text)."""
    if node["image"]:
        yield "image", re.sub(r"(@sha256:[0-9a-f]{12})[0-9a-f]+", r"\1…", node["image"])
    if node["build"]:
        yield "image", f"built from {node['build']}"
    if node["replicas"] != 1:
        yield "note", f"{node['replicas']} containers"
    if node["profiles"]:
        yield "note", "only with profile " + ", ".join(node["profiles"])
    if node["privileged"]:
        yield "warning", "privileged"
    mode = node["network_mode"]
    if mode == "none":
        yield "note", "no network"
    elif mode and mode != "host" and not mode.startswith("service:"):
        yield "note", f"network of {mode}"
    if node["expose"]:
        yield "note", "exposes " + ", ".join(node["expose"])
    if not brief:
        yield from (("detail", text) for text in node["binds"])
        yield from (("detail", text) for text in node["other_mounts"])
        yield from (("detail", f"volume without a name → {path}") for path in node["anonymous"])
        if node["tmpfs"]:
            yield "detail", "in memory: " + ", ".join(node["tmpfs"])
        if node["secrets"]:
            yield "secret", "secrets: " + ", ".join(node["secrets"])
        if node["configs"]:
            yield "detail", "configs: " + ", ".join(node["configs"])
    for container in node["live"]:
        health = f", {container['health']}" if container["health"] else ""
        good = container["state"] == "running" and container["health"] != "unhealthy"
        yield "good" if good else "warning", f"{container['state']}{health} · {container['digest']}"
    yield from (("warning", text) for text in node["differences"])


def _network_rows(node: Mapping[str, Any]) -> list[str]:
    if node.get("mode") == "host":
        return ["the host's own network"]
    rows = ["internal: no way out"] if node["internal"] else []
    rows += ["external"] if node["external"] else []
    rows += [node["driver"]] if node["driver"] not in ("", "bridge") else []
    return rows + node["subnets"]


def _volume_rows(node: Mapping[str, Any]) -> list[str]:
    return (["external"] if node["external"] else []) + ([node["driver"]] if node["driver"] else [])


def _port_rows(node: Mapping[str, Any]) -> list[str]:
    if node["claims"] > 1:
        return [f"claimed by {node['claims']} services"]
    return [
        "this machine only"
        if node["local"]
        else "open to the outside"
        if node["name"].startswith("*")
        else "one address"
    ]


# ---------------------------------------------------------------- Graphviz

INK = "#1f2937"
SOFT = "#6b7280"
BLUE = "#2563eb"
GREEN = "#15803d"
RED = "#b91c1c"
AMBER = "#b45309"
VIOLET = "#6d28d9"
ROW_COLOUR = {
    "image": SOFT,
    "note": AMBER,
    "detail": "#374151",
    "secret": VIOLET,
    "good": GREEN,
    "warning": RED,
}


def _xml(text: Any) -> str:
    """Text for an HTML-like label: escaped, and without characters that XML does not allow."""
    clean = re.sub(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", "\ufffd", str(text))
    return html.escape(re.sub(r"\s", " ", clean), quote=True)


def _label(name: str, rows: Sequence[tuple[str, str]], name_colour: str = INK) -> str:
    """A left-aligned HTML-like label: the name in bold, the rows small below it. All texts are escaped here."""
    lines = [f'<b><font point-size="13" color="{name_colour}">{_xml(name)}</font></b>']
    lines += [f'<font point-size="9" color="{ROW_COLOUR[kind]}">{_xml(text)}</font>' for kind, text in rows]
    return "<" + "".join(f'{line}<br align="left"/>' for line in lines) + ">"


def _lined(name: str, rows: Sequence[str], colour: str) -> str:
    """A centred label: name, and small rows in the soft colour."""
    small = "".join(f'<br/><font point-size="9" color="{colour}">{_xml(row)}</font>' for row in rows)
    return f"<{_xml(name)}{small}>"


def _dot_node(node: Mapping[str, Any], brief: bool) -> dict[str, str]:
    """Graphviz attributes of one node."""
    if node["kind"] == "service":
        rows = list(_rows(node, brief))
        trouble = bool(node["differences"])
        reaches = "reaches " + ", ".join(node["reaches"]) if node["reaches"] else "reaches no other service"
        return {
            "label": _label(node["name"], rows),
            "shape": "box",
            "style": "rounded,filled,dashed" if node["profiles"] else "rounded,filled",
            "fillcolor": "#fef2f2" if trouble else "#ffffff",
            "color": RED if trouble else "#334155",
            "penwidth": "2" if trouble else "1.2",
            "tooltip": graphviz.escape(f"{node['name']} {reaches}"),
        }
    if node["kind"] == "network":
        rows = _network_rows(node)
        colour = AMBER if node.get("mode") == "host" else VIOLET if node["internal"] else BLUE
        return {
            "label": _lined(node["name"], rows, colour),
            "shape": "ellipse",
            "style": "filled,dashed" if node.get("internal") else "filled",
            "fillcolor": {AMBER: "#fffbeb", VIOLET: "#f5f3ff", BLUE: "#eff6ff"}[colour],
            "color": colour,
            "fontcolor": colour,
            "tooltip": graphviz.escape(f"network {node['key']}"),
        }
    if node["kind"] == "volume":
        return {
            "label": _lined(node["name"], _volume_rows(node), SOFT),
            "shape": "cylinder",
            "style": "filled",
            "fillcolor": "#ecfdf5",
            "color": GREEN,
            "fontcolor": GREEN,
            "tooltip": graphviz.escape(f"volume {node['key']}"),
        }
    if node["kind"] == "error":
        return {
            "label": _lined(node["name"], [], RED),
            "shape": "box",
            "style": "filled,dashed",
            "fillcolor": "#fef2f2",
            "color": RED,
            "fontcolor": RED,
        }
    colour = SOFT if node["local"] and node["claims"] == 1 else RED
    return {
        "label": _lined(node["name"], _port_rows(node), colour),
        "shape": "cds",
        "style": "filled",
        "fillcolor": "#f8fafc" if node["local"] else "#fff7ed",
        "color": colour,
        "fontcolor": INK,
        "tooltip": graphviz.escape(f"published port {node['name']}"),
    }


DOT_EDGE = {
    "port": {"color": INK, "penwidth": "1.6"},
    "depends": {"color": SOFT, "style": "dashed", "arrowhead": "vee"},
    "network": {"color": "#93a4c3", "dir": "none"},
    "volume": {"color": GREEN, "dir": "none"},
    "shares": {"color": AMBER, "style": "bold"},
    "link": {"color": AMBER, "style": "dotted"},
}


def dot(stacks: Sequence[Mapping[str, Any]], detail: str = "auto", title: str = "") -> str:
    """The drawing as text for Graphviz: hosts around projects around nodes. See the documentation of the filter."""
    if graphviz is None:
        raise AnsibleFilterError(
            "topology: the Python package 'graphviz' is missing on the control node. Install it into the Python that runs "
            "Ansible, for example: pip install graphviz (or python3-graphviz of Debian)."
        )
    whole = graph(stacks)
    brief = _is_brief(whole, detail)
    picture = graphviz.Digraph(
        "topology",
        graph_attr={
            "rankdir": "LR",
            "fontname": "Helvetica",
            "fontsize": "14",
            "fontcolor": INK,
            "bgcolor": "white",
            "pad": "0.3",
            "nodesep": "0.22",
            "ranksep": "0.7",
            "newrank": "true",
            "tooltip": " ",
        },
        node_attr={"fontname": "Helvetica", "fontsize": "11", "margin": "0.14,0.08"},
        edge_attr={"fontname": "Helvetica", "fontsize": "9", "fontcolor": SOFT, "arrowsize": "0.7", "tooltip": " "},
    )
    if title:
        picture.attr(label=graphviz.escape(title), labelloc="t", labeljust="l", fontsize="18")

    def add(target: Any, node: Mapping[str, Any]) -> None:
        target.node(node["id"], **_dot_node(node, brief))

    for host_number, host in enumerate(whole["hosts"], 1):
        mine = [node for node in whole["nodes"] if node["host"] == host["name"]]
        with picture.subgraph(name=f"cluster_h{host_number}") as machine:
            if host["name"]:
                machine.attr(
                    label=graphviz.escape(host["name"]),
                    style="rounded,filled",
                    fillcolor="#f1f5f9",
                    color="#94a3b8",
                    fontsize="16",
                    labeljust="l",
                    tooltip=graphviz.escape(f"host {host['name']}"),
                )
            else:
                machine.attr(style="invis", label="")
            for node in mine:
                if node["stack"] is None:
                    add(machine, node)
            for stack_number, stack in enumerate(host["stacks"], 1):
                with machine.subgraph(name=f"cluster_h{host_number}s{stack_number}") as project:
                    project.attr(
                        label=graphviz.escape(stack),
                        style="rounded,filled",
                        fillcolor="#f8fafc",
                        color="#cbd5e1",
                        fontsize="14",
                        labeljust="l",
                        margin="14",
                        tooltip=graphviz.escape(f"project {stack}"),
                    )
                    for node in mine:
                        if node["stack"] == stack:
                            add(project, node)
    home = {node["id"]: (node["host"], node["stack"]) for node in whole["nodes"]}
    for edge in whole["edges"]:
        look = dict(DOT_EDGE[edge["kind"]])
        if None not in (home[edge["from"]][1], home[edge["to"]][1]) and home[edge["from"]] != home[edge["to"]]:
            # What crosses from one project to another must not pull the two apart.
            look["constraint"] = "false"
        if edge["label"]:
            look["label"] = graphviz.escape(edge["label"])
        picture.edge(edge["from"], edge["to"], **look)
    _wrap(picture, whole)
    return picture.source


def _wrap(picture: Any, whole: Mapping[str, Any]) -> None:
    """Invisible edges that put the projects of a host into columns; left alone, dot piles all of them up in one."""
    total = sum(len(host["stacks"]) for host in whole["hosts"])
    columns = max(1, round(math.sqrt(total / 4)))
    arrives = {edge["to"] for edge in whole["edges"]}
    leaves = {edge["from"] for edge in whole["edges"]}
    for host in whole["hosts"]:
        rows = math.ceil(len(host["stacks"]) / columns)
        members = {
            stack: [n["id"] for n in whole["nodes"] if n["host"] == host["name"] and n["stack"] == stack]
            for stack in host["stacks"]
        }
        for left, right in zip(host["stacks"], host["stacks"][rows:], strict=False):
            ends = [ident for ident in members[left] if ident not in leaves] or members[left][-1:]
            starts = [ident for ident in members[right] if ident not in arrives] or members[right][:1]
            for end in ends:
                for start in starts:
                    picture.edge(end, start, style="invis")


def _is_brief(whole: Mapping[str, Any], detail: str) -> bool:
    return detail == "brief" or (detail == "auto" and sum(len(host["stacks"]) for host in whole["hosts"]) > 6)


# ---------------------------------------------------------------- Mermaid


def _quoted(text: Any) -> str:
    """Text inside Mermaid's double quotes: its entities have a number sign where HTML has an ampersand."""
    clean = re.sub(r"[\x00-\x1f\x7f]", " ", str(text))
    return re.sub(r"[^\w .,:;/()*+=@→·-]", lambda match: f"#{ord(match.group())};", clean)


MERMAID_SHAPE = {
    "service": ("[", "]"),
    "network": ("([", "])"),
    "volume": ("[(", ")]"),
    "port": (">", "]"),
    "error": ("[", "]"),
}


def mermaid(stacks: Sequence[Mapping[str, Any]], detail: str = "auto", title: str = "") -> str:
    """The same drawing as text for Mermaid."""
    whole = graph(stacks)
    brief = _is_brief(whole, detail)
    lines = ["---", f"title: {_yaml(title)}", "---"] if title else []
    lines.append("flowchart LR")

    def add(node: Mapping[str, Any], indent: str) -> None:
        rows = {
            "service": lambda: [text for _kind, text in _rows(node, brief)],
            "network": lambda: _network_rows(node),
            "volume": lambda: _volume_rows(node),
            "port": lambda: _port_rows(node),
            "error": lambda: [],
        }[node["kind"]]()
        before, after = MERMAID_SHAPE[node["kind"]]
        text = "<br/>".join(_quoted(part) for part in [node["name"], *rows])
        trouble = ":::trouble" if node.get("differences") or node["kind"] == "error" else f":::{node['kind']}"
        lines.append(f'{indent}{node["id"]}{before}"{text}"{after}{trouble}')

    for host_number, host in enumerate(whole["hosts"], 1):
        mine = [node for node in whole["nodes"] if node["host"] == host["name"]]
        lines.append(f'  subgraph h{host_number}["{_quoted(host["name"] or " ")}"]')
        for node in mine:
            if node["stack"] is None:
                add(node, "    ")
        for stack_number, stack in enumerate(host["stacks"], 1):
            lines.append(f'    subgraph h{host_number}s{stack_number}["{_quoted(stack)}"]')
            for node in mine:
                if node["stack"] == stack:
                    add(node, "      ")
            lines.append("    end")
        lines.append("  end")
    arrows = {"port": "==>", "depends": "-.->", "network": "---", "volume": "---", "shares": "-->", "link": "-.->"}
    for edge in whole["edges"]:
        label = f'|"{_quoted(edge["label"])}"|' if edge["label"] else ""
        lines.append(f"  {edge['from']} {arrows[edge['kind']]}{label} {edge['to']}")
    lines += [
        "  classDef service fill:#ffffff,stroke:#334155,color:#1f2937",
        "  classDef network fill:#eff6ff,stroke:#2563eb,color:#2563eb",
        "  classDef volume fill:#ecfdf5,stroke:#15803d,color:#15803d",
        "  classDef port fill:#f8fafc,stroke:#6b7280,color:#1f2937",
        "  classDef trouble fill:#fef2f2,stroke:#b91c1c,stroke-width:2px,color:#b91c1c",
    ]
    return "\n".join(lines) + "\n"


def _yaml(text: str) -> str:
    import json

    return json.dumps(text, ensure_ascii=False)


# ---------------------------------------------------------------- the filter


def topology(stacks: Any, format: str = "dot", detail: str = "auto", title: str = "") -> Any:
    """See DOCUMENTATION."""
    if detail not in ("auto", "full", "brief"):
        raise AnsibleFilterError(f"topology: detail is full, brief or auto, not {detail!r}.")
    if format == "dot":
        return dot(stacks, detail, title)
    if format == "mermaid":
        return mermaid(stacks, detail, title)
    if format == "graph":
        return graph(stacks)
    raise AnsibleFilterError(f"topology: format is dot, mermaid or graph, not {format!r}.")


class FilterModule:
    """The filter under its name in the collection."""

    def filters(self) -> dict[str, Any]:
        return {"topology": topology}
