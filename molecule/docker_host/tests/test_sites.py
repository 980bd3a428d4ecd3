"""With two WordPress sites and their monitoring on hard1: audit, drift, an update that goes wrong, a reboot. Part of the longer proofs."""

from __future__ import annotations

import fnmatch
import json
import re
import subprocess

import pytest
import yaml
from conftest import CIS, LONG, PUBLIC, ROOT, on, play, said, shell, variables, wait_for

pytestmark = LONG
SITES = {"blog.sandbox.test": 8090, "shop.sandbox.test": 8091}
STACKS = ",".join(["hard1", *SITES])


def status_of(site: str) -> str:
    """What a visitor from outside gets: the status of the front page, 000 for no answer."""
    address = f"http://{PUBLIC['hard1']}:{SITES[site]}/"
    command = ["curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "--max-time", "10", "-H"]
    return subprocess.run(
        [*command, f"Host: {site}:{SITES[site]}", address], check=False, capture_output=True, text=True
    ).stdout


def all_open() -> bool:
    return all(status_of(site) == "200" for site in SITES)


def good(result: subprocess.CompletedProcess) -> None:
    assert result.returncode == 0, result.stdout[-4000:]


@pytest.fixture(scope="module", autouse=True)
def sites():
    good(play("playbooks/provision.yml", "--tags=firewall"))
    good(play("playbooks/wordpress.yml", limit=",".join(SITES)))
    good(play("playbooks/monitoring.yml"))
    assert wait_for(all_open)
    yield
    # Their ports are others' again.
    shell("hard1", "for one in /srv/dockpress/*/; do docker compose --project-directory $one down --volumes; done")


def audit(folder) -> tuple[subprocess.CompletedProcess, dict]:
    result = play("playbooks/audit.yml", *variables(docker_host_audit_folder=str(folder)), limit=f"{STACKS},localhost")
    return result, json.loads((folder / "audit.json").read_text())


def test_a_host_with_sites_and_monitoring_is_well_and_what_drifts_is_named(tmp_path):
    result, report = audit(tmp_path)
    # The other hosts of the inventory were not looked at, and that is never well.
    assert [problem for problem in report["problems"] if problem.startswith(tuple(STACKS.split(",")))] == []

    on("hard1", "chmod", "666", "/etc/docker/daemon.json")
    shell("hard1", "echo '# by hand' >> /srv/dockpress/blog-sandbox-test/config/nginx/nginx.conf")
    on("hard1", "docker", "exec", "shop-sandbox-test-cron-1", "wp", "option", "update", "blogname", "Changed by hand")
    image = on("hard1", "docker", "inspect", "-f", "{{.Config.Image}}", "blog-sandbox-test-web-1").stdout.strip()
    on("hard1", "docker", "run", "-d", "--name", "stranger", image)
    result, report = audit(tmp_path)
    assert result.returncode != 0
    by_name = {one["name"]: one["problems"] for one in report["hosts"] + report["sites"]}
    assert any("CIS 3.17, 3.18" in problem and "would change" in problem for problem in by_name["hard1"])
    assert "nobody declared the container stranger" in by_name["hard1"]
    assert by_name["blog.sandbox.test"]
    assert by_name["shop.sandbox.test"]

    on("hard1", "docker", "rm", "--force", "stranger")
    good(play("playbooks/site.yml", limit=STACKS))
    result, report = audit(tmp_path)
    assert [problem for problem in report["problems"] if problem.startswith(tuple(STACKS.split(",")))] == []
    assert all_open()


def mounts_of(container: dict) -> str:
    """As `docker inspect --format '{{.Mounts}}'` writes them, in one line: bench looks for a folder and, anywhere after it, a true."""
    keys = ("Type", "Name", "Source", "Destination", "Driver", "Mode", "RW", "Propagation")
    return " ".join(str(mount.get(key, "")) for mount in container["Mounts"] for key in keys).replace("True", "true")


def published_by(container: dict) -> list[dict]:
    return [port for ports in container["NetworkSettings"]["Ports"].values() for port in ports or []]


# What makes docker-bench-security warn about a running container, by CIS id, on what the engine says of it.
SYSTEM = "|".join(re.escape(folder) for folder in ("/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr"))
WARNS = {
    "4.1": lambda one: one["Config"]["User"] in ("", "0", "root"),
    "5.3": lambda one: not one["HostConfig"]["SecurityOpt"],
    "5.4": lambda one: one["HostConfig"]["CapAdd"],
    "5.5": lambda one: one["HostConfig"]["Privileged"],
    "5.6": lambda one: re.search(rf" ({SYSTEM}) .*true", mounts_of(one)),
    "5.8": lambda one: [1 for port in published_by(one) if int(port["HostPort"]) < 1024],
    "5.10": lambda one: one["HostConfig"]["NetworkMode"] == "host",
    "5.11": lambda one: not one["HostConfig"]["Memory"],
    "5.12": lambda one: not one["HostConfig"]["CpuShares"],
    "5.13": lambda one: not one["HostConfig"]["ReadonlyRootfs"],
    "5.14": lambda one: [1 for port in published_by(one) if port["HostIp"] in ("0.0.0.0", "::", "")],
    "5.15": lambda one: one["HostConfig"]["RestartPolicy"]["MaximumRetryCount"] != 5,
    "5.16": lambda one: one["HostConfig"]["PidMode"] == "host",
    "5.17": lambda one: one["HostConfig"]["IpcMode"] == "host",
    "5.18": lambda one: one["HostConfig"]["Devices"],
    "5.20": lambda one: [1 for mount in one["Mounts"] if "shared" in mount["Propagation"]],
    "5.21": lambda one: one["HostConfig"]["UTSMode"] == "host",
    "5.22": lambda one: re.search("seccomp[=:]unconfined", str(one["HostConfig"]["SecurityOpt"])),
    "5.25": lambda one: one["HostConfig"]["CgroupParent"],
    "5.26": lambda one: "no-new-privileges" not in str(one["HostConfig"]["SecurityOpt"]),
    "5.27": lambda one: "Health" not in one["State"],
    "5.29": lambda one: (one["HostConfig"]["PidsLimit"] or 0) <= 0,
    "5.30": lambda one: "bridge" in one["NetworkSettings"]["Networks"],
    "5.31": lambda one: one["HostConfig"]["UsernsMode"] == "host",
    "5.32": lambda one: "docker.sock" in str(one["Mounts"]),
}


@pytest.fixture(scope="module")
def containers(sites) -> list[dict]:
    names = shell("hard1", "docker ps --quiet").split()
    found = json.loads(on("hard1", "docker", "inspect", *names).stdout)
    # Sites, the server that measures them, and what the host tells of itself.
    assert {"blog-sandbox-test", "shop-sandbox-test", "monitoring", "host-metrics"} <= {
        one["Config"]["Labels"]["com.docker.compose.project"] for one in found
    }
    return found


def waiver(control: str) -> dict | None:
    shipped = yaml.safe_load((ROOT / "roles/docker_host/vars/waivers.yml").read_text())
    return shipped["_docker_host_cis_waivers"].get(control)


@CIS(
    "4.1 5.3 5.4 5.5 5.6 5.8 5.10 5.11 5.12 5.13 5.14 5.15 5.16 5.17 5.18 5.20 5.21 5.22 5.25 5.26 5.27 5.29 5.30 5.31 5.32"
)
@pytest.mark.parametrize("control", WARNS)
def test_a_container_that_docker_bench_security_would_warn_about_has_a_waiver(containers, control):
    warned = [one["Name"].lstrip("/") for one in containers if WARNS[control](one)]
    patterns = (waiver(control) or {"who": []}).get("who", ["*"])
    assert [name for name in warned if not any(fnmatch.fnmatch(name, pattern) for pattern in patterns)] == []


@CIS("5.1")
def test_cis_5_1_no_swarm(sites):
    assert json.loads(on("hard1", "docker", "info", "--format", "{{json .Swarm.LocalNodeState}}").stdout) == "inactive"


@CIS("4.5 4.6")
def test_cis_4_5_and_4_6_are_waived_for_every_image(sites):
    """No image of a registry is signed for Content Trust, and what the waiver of 4.6 says is what 5.27 asks of the containers."""
    assert waiver("4.5")["reason"]
    assert "5.27" in waiver("4.6")["reason"]


def test_a_rollout_stops_at_the_first_host_that_is_worse_and_leaves_the_next_alone():
    """The update takes a database with it: the site's containers but that one go on, and its page is an error."""
    hook = "/etc/apt/apt.conf.d/99worse"
    shell("hard1", f"""echo 'APT::Update::Post-Invoke {{ "docker stop shop-sandbox-test-database-1"; }};' > {hook}""")
    dpkg = shell("hard2", "stat -c %Y /var/log/dpkg.log /var/lib/apt/lists")
    try:
        result = play(
            "playbooks/update.yml", *variables(docker_host_health_timeout=9), limit=f"hard1,hard2,{','.join(SITES)}"
        )
    finally:
        on("hard1", "rm", hook)
    assert result.returncode != 0
    assert "hard1 does worse than before. No longer true:" in said(result)
    for lost in ("shop-sandbox-test-database-1", "shop.sandbox.test answers", "shop.sandbox.test opens"):
        assert lost in said(result)
    assert "blog.sandbox.test" not in said(result).partition("No longer true:")[2].partition("The rollout")[0]
    assert "[hard2]" not in result.stdout
    assert shell("hard2", "stat -c %Y /var/log/dpkg.log /var/lib/apt/lists") == dpkg
    on("hard1", "docker", "start", "shop-sandbox-test-database-1")
    assert wait_for(all_open, seconds=90)
    good(play("playbooks/update.yml", limit=STACKS))


def test_a_reboot_brings_all_sites_back():
    booted = shell("hard1", "stat -c %Y /proc/1")
    running = set(shell("hard1", "docker ps --format '{{.Names}}'").split())
    on("hard1", "systemctl", "reboot", check=False)
    assert wait_for(lambda: shell("hard1", "stat -c %Y /proc/1", check=False) not in ("", booted), seconds=60)
    assert wait_for(all_open, seconds=180)
    assert wait_for(lambda: set(shell("hard1", "docker ps --format '{{.Names}}'").split()) == running, seconds=60)
