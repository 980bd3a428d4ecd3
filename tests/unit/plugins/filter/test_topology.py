# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Drawings of a dozen Compose files of different kinds: golden texts, and SVG that is parsed and compared with the model."""

import json
import os
import pathlib
import re
import subprocess
import xml.etree.ElementTree as ET

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.dockpress.hosting.plugins.filter import topology

FOLDER = pathlib.Path(__file__).parent / "topology"
CASES = sorted(path.parent.name for path in FOLDER.glob("*/compose.yaml"))
SVG = "{http://www.w3.org/2000/svg}"


def model(name):
    return json.loads((FOLDER / name / "model.json").read_text(encoding="utf-8"))


def entry(name, **more):
    return {"host": "web1", "model": model(name), **more}


def svg(stacks, **options):
    """The drawing as dot lays it out, parsed."""
    done = subprocess.run(
        ["dot", "-Tsvg"], input=topology.dot(stacks, **options), capture_output=True, text=True, check=True
    )
    assert done.stderr == "", "dot complains about what it was given"
    return ET.fromstring(done.stdout)


def drawn(tree):
    """(nodes: id -> texts, edges: list of (from, to, label), clusters: list of texts) of a parsed drawing."""
    nodes, edges, clusters = {}, [], []
    for group in tree.iter(f"{SVG}g"):
        kind = group.get("class")
        texts = [(text.text or "").replace("\xa0", " ").strip() for text in group.iter(f"{SVG}text")]
        title = (group.findtext(f"{SVG}title") or "").strip()
        if kind == "node":
            nodes[title] = texts
        elif kind == "edge":
            start, end = re.split(r"->|--", title)
            edges.append((start, end, " ".join(texts)))
        elif kind == "cluster":
            clusters.append(" ".join(texts))
    return nodes, edges, clusters


def squeezed(text):
    """As dot shows it: runs of white space are one blank."""
    return " ".join(str(text).split())


def test_a_dozen_kinds():
    assert len(CASES) >= 10


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("form", "suffix"), [("dot", "dot"), ("mermaid", "mmd")])
def test_golden(name, form, suffix):
    text = topology.topology([entry(name)], form)
    golden = FOLDER / name / f"golden.{suffix}"
    if os.environ.get("DOCKPRESS_REGENERATE"):
        golden.write_text(text, encoding="utf-8")
    assert text == golden.read_text(encoding="utf-8")


@pytest.mark.parametrize("name", CASES)
def test_everything_of_the_model_is_in_the_svg(name):
    compose = model(name)
    nodes, edges, clusters = drawn(svg([entry(name)]))
    by_name = {texts[0]: ident for ident, texts in nodes.items()}
    assert clusters == ["web1", compose["name"]]

    networks = compose.get("networks") or {}
    volumes = compose.get("volumes") or {}

    def shown(kind, key):
        declared = kind.get(key) or {}
        return squeezed(declared["name"] if declared.get("external") else key)

    for service, options in compose["services"].items():
        ident = by_name[service]
        texts = "\n".join(nodes[ident])
        out = {(nodes[end][0], label) for start, end, label in edges if start == ident}
        into = {(nodes[start][0], label) for start, end, label in edges if end == ident}
        if options.get("image"):
            assert squeezed(options["image"].partition("@")[0]) in texts
        for other in options.get("depends_on") or {}:
            assert other in {target for target, _label in out}
        if not options.get("network_mode"):
            for network in options.get("networks") or {}:
                assert shown(networks, network) in {target for target, _label in out}
        if options.get("network_mode") == "host":
            assert ("host", "") in out
        for mount in options.get("volumes") or []:
            if mount["type"] == "volume" and mount.get("source"):
                label = mount["target"] + (" (read-only)" if mount.get("read_only") else "")
                assert (shown(volumes, mount["source"]), label) in out
            else:
                assert squeezed(mount["target"]) in texts
            if mount["type"] == "bind":
                assert squeezed(pathlib.PurePosixPath(mount["source"]).name) in texts
        for port in options.get("ports") or []:
            ends = [label for source, label in into if str(port.get("published", "any free port")) in source]
            assert any(label.split("/")[0].split()[0] == str(port["target"]) for label in ends)
        for kind in ("secrets", "configs"):
            for thing in options.get(kind) or []:
                assert thing["source"] in texts
    internal = {key for key, network in networks.items() if network.get("internal")}
    for network in internal:
        assert any(texts == [network, "internal: no way out", *texts[2:]] for texts in nodes.values())


def test_no_secret_value_is_drawn():
    for form in ("dot", "mermaid", "graph"):
        assert "never-draw-this" not in str(topology.topology([entry("configs")], form))
    assert "never-draw-this" in json.dumps(model("configs")), "the model does hold such values"


@pytest.mark.parametrize("form", ["dot", "mermaid", "graph"])
def test_order_of_the_input_does_not_matter(form):
    stacks = [entry(name) for name in CASES]
    turned = [
        {**one, "model": {**one["model"], "services": dict(reversed(one["model"]["services"].items()))}}
        for one in reversed(stacks)
    ]
    assert topology.topology(stacks, form) == topology.topology(turned, form)


def test_thirty_projects_on_three_hosts():
    text = json.dumps(model("blog"))
    stacks = [
        {
            "host": f"web{number % 3}",
            "model": json.loads(text.replace("blog", f"site{number:02}").replace('"8080"', f'"{8000 + number}"')),
        }
        for number in range(30)
    ]
    nodes, _edges, clusters = drawn(svg(stacks))
    assert len(clusters) == 33
    assert sum(texts[0] == "wordpress" for texts in nodes.values()) == 30
    assert not any("secrets:" in line for texts in nodes.values() for line in texts), "many projects are drawn in brief"
    tree = svg(stacks)
    width, height = (float(tree.get(side).removesuffix("pt")) for side in ("width", "height"))
    assert 0.4 < width / height < 2.5, "neither a column nor a ribbon"


def test_an_external_network_is_the_network_of_its_owner():
    metrics = {
        "name": "host_metrics",
        "services": {"exporter": {"image": "example/exporter", "networks": {"blog": None}}},
        "networks": {"blog": {"name": "blog_front", "external": True}},
    }
    whole = topology.graph([entry("blog"), {"host": "web1", "model": metrics}])
    assert [n["stack"] for n in whole["nodes"] if n["key"] == "blog_front"] == ["blog"]
    exporter = next(n for n in whole["nodes"] if n["name"] == "exporter")
    assert exporter["reaches"] == ["blog/cron", "blog/web", "blog/wordpress", "blog/wp"]
    elsewhere = topology.graph([entry("blog"), {"host": "web2", "model": metrics}])
    assert next(n for n in elsewhere["nodes"] if n["name"] == "exporter")["reaches"] == []


def test_a_port_that_two_projects_claim_is_marked():
    other = json.loads(json.dumps(model("blog")).replace("blog", "shop"))
    nodes, _edges, _clusters = drawn(svg([entry("blog"), {"host": "web1", "model": other}]))
    assert ["*:8080", "claimed by 2 services"] in nodes.values()
    nodes, _edges, _clusters = drawn(svg([entry("blog"), {"host": "web2", "model": other}]))
    assert sum(texts[0] == "*:8080" for texts in nodes.values()) == 2, "another host has that port free"


def test_every_address_is_every_address_however_it_is_written():
    ports = [{"target": 80, "published": "80", "host_ip": address} for address in ("0.0.0.0", "::")]
    drawn_ports = [
        node
        for node in topology.graph([{"model": {"services": {"web": {"ports": ports}}}}])["nodes"]
        if node["kind"] == "port"
    ]
    assert [(node["name"], node["claims"]) for node in drawn_ports] == [("*:80", 1)]


def test_who_reaches_whom():
    reaches = {n["name"]: n.get("reaches") for n in topology.graph([entry("blog")])["nodes"] if n["kind"] == "service"}
    assert reaches["web"] == ["cron", "wordpress", "wp"], "web does not reach the database"
    assert reaches["database"] == ["cron", "wordpress", "wp"]
    assert reaches["code"] == []
    shared = {n["name"]: n.get("reaches") for n in topology.graph([entry("host_network")])["nodes"]}
    assert shared["client"] == ["vpn"]


# ---------------------------------------------------------------- what runs


def container(service, *, project="monitoring", state="running", status="Up 2 hours (healthy)", image=None, **more):
    images = {"cadvisor": "gcr.io/cadvisor/cadvisor", "prometheus": "prom/prometheus", "grafana": "grafana/grafana"}
    nets = {"grafana": ["monitoring_back", "monitoring_front"]}.get(service, ["monitoring_back"])
    return {
        "Names": [f"/{project}-{service}-1"],
        "Image": image or images[service],
        "ImageID": "sha256:" + "1" * 64,
        "State": state,
        "Status": status,
        "Labels": {"com.docker.compose.project": project, "com.docker.compose.service": service},
        "Ports": [{"PrivatePort": 3000, "PublicPort": 3000, "Type": "tcp"}] if service == "grafana" else [],
        "NetworkSettings": {"Networks": {name: {} for name in nets}},
    } | more


ALL = ["cadvisor", "grafana", "prometheus"]


def told(containers, images=()):
    whole = topology.graph([entry("monitoring", containers=containers, images=list(images))])
    return {n["name"]: n["differences"] for n in whole["nodes"] if n["kind"] == "service" and n["differences"]}


def test_nothing_is_told_where_all_is_well():
    assert told([container(name) for name in ALL]) == {}
    foreign = container("prometheus", project="another", state="exited")
    assert told([container(name) for name in ALL] + [foreign]) == {}


def test_states_and_digests_are_drawn():
    nodes, _edges, _clusters = drawn(svg([entry("monitoring", containers=[container(name) for name in ALL])]))
    assert any("running, healthy · 111111111111" in texts for texts in nodes.values())


@pytest.mark.parametrize(
    ("containers", "expected"),
    [
        ([container("cadvisor"), container("grafana")], {"prometheus": ["declared, but has no container"]}),
        (
            [container("cadvisor"), container("grafana"), container("prometheus", state="exited", status="Exited (1)")],
            {"prometheus": ["monitoring-prometheus-1 is exited"]},
        ),
        (
            [container("cadvisor"), container("grafana"), container("prometheus", status="Up 3 minutes (unhealthy)")],
            {"prometheus": ["monitoring-prometheus-1 is unhealthy"]},
        ),
        (
            [container("cadvisor"), container("grafana"), container("prometheus", image="prom/prometheus:v1")],
            {"prometheus": ["runs prom/prometheus:v1"]},
        ),
        (
            [container("cadvisor"), container("prometheus"), container("grafana", Ports=[])],
            {"grafana": ["port 3000:3000/tcp is not published"]},
        ),
        (
            [container(name) for name in ALL] + [container("forgotten", image="example/old")],
            {"forgotten": ["runs, but is not declared"]},
        ),
        (
            [container("cadvisor"), container("grafana")]
            + [container("prometheus", NetworkSettings={"Networks": {"monitoring_front": {}}})],
            {"prometheus": ["not on network monitoring_back", "also on network monitoring_front"]},
        ),
        (
            [container("cadvisor"), container("grafana"), container("prometheus"), container("prometheus")],
            {"prometheus": ["2 containers instead of 1"]},
        ),
    ],
    ids=["missing", "exited", "unhealthy", "image", "port", "stray", "network", "count"],
)
def test_differences_are_told(containers, expected):
    assert told(containers) == expected


def test_an_older_image_is_told():
    images = [{"Id": "sha256:" + "2" * 64, "RepoTags": ["prom/prometheus"]}]
    assert told([container(name) for name in ALL], images) == {"prometheus": ["runs an older image (111111111111)"]}


def test_differences_are_marked_in_both_drawings():
    stacks = [entry("monitoring", containers=[container("cadvisor")])]
    nodes, _edges, _clusters = drawn(svg(stacks))
    assert sum("declared, but has no container" in texts for texts in nodes.values()) == 2
    assert topology.mermaid(stacks).count(":::trouble") == 2


def test_a_host_that_was_not_reached_stands_in_the_drawing():
    stacks = [entry("minimal"), {"host": "web9", "error": "not reached: no route to host"}]
    nodes, _edges, clusters = drawn(svg(stacks))
    assert "web9" in clusters
    assert ["not reached: no route to host"] in nodes.values()
    assert 'not reached: no route to host"]:::trouble' in topology.mermaid(stacks)


# ---------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("stacks", "words"),
    [
        ({"model": {}}, "a list of dictionaries"),
        ("text", "a list of dictionaries"),
        ([{"host": "web1"}], "every project needs 'model'"),
        ([{"model": "no json"}], "no JSON"),
        ([{"model": {"services": []}}], "every project needs 'model'"),
        ([{"model": {"name": "a"}}, {"model": {"name": "a"}}], "given twice"),
    ],
)
def test_bad_input(stacks, words):
    with pytest.raises(AnsibleFilterError, match=words):
        topology.topology(stacks)


def test_bad_options():
    with pytest.raises(AnsibleFilterError, match="format is"):
        topology.topology([], "png")
    with pytest.raises(AnsibleFilterError, match="detail is"):
        topology.topology([], detail="more")


def test_without_the_package_the_message_says_what_to_install(monkeypatch):
    monkeypatch.setattr(topology, "graphviz", None)
    with pytest.raises(AnsibleFilterError, match="pip install graphviz"):
        topology.topology([entry("minimal")])
    assert "flowchart" in topology.topology([entry("minimal")], "mermaid"), "Mermaid needs no package"
