# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The CIS Docker Benchmark 1.6 as checks on what a host really does: the engine's answers, files' modes, containers' settings.

A check gets the :class:`Facts` that the module read and returns :class:`Finding`. It never looks at what a template would write.
"""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable
from dataclasses import dataclass, field


@dataclass
class Facts:
    """What was read on the host. `files` maps a path to (owner, group, mode as octal text), and holds only paths that exist."""

    info: dict
    daemon: dict
    flags: list[str]
    files: dict[str, tuple[str, str, str]]
    containers: list[dict]
    images: list[dict]
    mounts: set[str]
    audit_rules: str | None
    docker_group: list[str]
    content_trust: bool = False
    # Who is meant to be in that group; None where nobody says.
    declared_group: list[str] | None = None


@dataclass
class Finding:
    """Result of one check: V(pass), V(fail), V(manual) (a person has to look) or V(absent) (there is nothing to check)."""

    result: str
    detail: str = ""
    # Names of the containers or images that fail, for waivers that hold for some of them only.
    who: list[str] = field(default_factory=list)


CHECKS: dict[str, tuple[str, Callable[[Facts], Finding]]] = {}


def check(identifier: str, title: str):
    """Register a check under its CIS id."""

    def register(function: Callable[[Facts], Finding]):
        CHECKS[identifier] = (title, function)
        return function

    return register


def passes(condition: object, detail: str = "") -> Finding:
    return Finding("pass" if condition else "fail", "" if condition else detail)


def manual(identifier: str, title: str, detail: str) -> None:
    CHECKS[identifier] = (title, lambda _facts: Finding("manual", detail))


def setting(facts: Facts, key: str, default=None):
    """A key of daemon.json, or the flag of that name that the unit gives the engine."""
    if key in facts.daemon:
        return facts.daemon[key]
    for flag in facts.flags:
        name, _equals, value = flag.lstrip("-").partition("=")
        if name == key:
            return {"": True, "true": True, "false": False}.get(value, value)
    return default


# 1 Host

AUDITED = {
    "1.1.3": ("the Docker daemon", ["/usr/sbin/dockerd", "/usr/bin/dockerd"]),
    "1.1.4": ("/run/containerd", ["/run/containerd"]),
    "1.1.5": ("/var/lib/docker", ["/var/lib/docker"]),
    "1.1.6": ("/etc/docker", ["/etc/docker"]),
    "1.1.7": ("docker.service", ["/usr/lib/systemd/system/docker.service"]),
    "1.1.8": ("containerd.sock", ["/run/containerd/containerd.sock"]),
    "1.1.9": ("docker.socket", ["/usr/lib/systemd/system/docker.socket"]),
    "1.1.10": ("/etc/default/docker", ["/etc/default/docker"]),
    "1.1.11": ("/etc/docker/daemon.json", ["/etc/docker/daemon.json"]),
    "1.1.12": ("/etc/containerd/config.toml", ["/etc/containerd/config.toml"]),
    "1.1.13": ("/etc/sysconfig/docker", ["/etc/sysconfig/docker"]),
    "1.1.14": ("/usr/bin/containerd", ["/usr/bin/containerd"]),
    "1.1.15": ("containerd-shim", ["/usr/bin/containerd-shim"]),
    "1.1.16": ("containerd-shim-runc-v1", ["/usr/bin/containerd-shim-runc-v1"]),
    "1.1.17": ("containerd-shim-runc-v2", ["/usr/bin/containerd-shim-runc-v2"]),
    "1.1.18": ("runc", ["/usr/bin/runc", "/usr/sbin/runc"]),
}


@check("1.1.1", "A separate partition for containers")
def partition(facts: Facts) -> Finding:
    root = facts.info.get("DockerRootDir", "/var/lib/docker")
    return passes(root in facts.mounts, f"{root} is no mount point of its own")


@check("1.1.2", "Only trusted users control the engine")
def group(facts: Facts) -> Finding:
    if facts.declared_group is not None:
        differ = sorted(set(facts.docker_group) ^ set(facts.declared_group))
        return passes(not differ, f"the group docker is not as declared: {', '.join(differ)}")
    if not facts.docker_group:
        return Finding("pass", "nobody is in the group docker")
    return Finding("manual", f"in the group docker, and so root: {', '.join(facts.docker_group)}")


def watched(path: str, rules: str) -> bool:
    """Whether a rule is for this path itself: one for what lies below or above it is another control's."""
    return re.search(rf"(?m)(^-w |-F (path|dir)=){re.escape(path)}/?(\s|$)", rules) is not None


def audited(paths: list[str]) -> Callable[[Facts], Finding]:
    def function(facts: Facts) -> Finding:
        there = [path for path in paths if path in facts.files]
        if not there:
            return Finding("absent", "this host has no such file")
        if facts.audit_rules is None:
            return Finding("fail", "the audit subsystem is not in use")
        missing = [path for path in there if not watched(path, facts.audit_rules)]
        return passes(not missing, f"no audit rule for {', '.join(missing)}")

    return function


for _identifier, (_what, _paths) in AUDITED.items():
    CHECKS[_identifier] = (f"Auditing of {_what}", audited(_paths))

manual("1.2.1", "The host is hardened", "see the role that hardens your operating system")


@check("1.2.2", "The engine's version is up to date")
def version(facts: Facts) -> Finding:
    return Finding("manual", f"{facts.info.get('ServerVersion', '?')}; see pending updates")


# 2 Daemon

manual("2.1", "The engine runs as a user other than root, if possible", "rootless mode is out of this role's scope")


@check("2.2", "No traffic between containers on the default bridge")
def icc(facts: Facts) -> Finding:
    return passes(setting(facts, "icc", True) is False, "icc is not false")


@check("2.3", "Log level is info")
def log_level(facts: Facts) -> Finding:
    return passes(
        setting(facts, "log-level", "info") == "info" and not setting(facts, "debug", False),
        "log-level is not info, or debug is on",
    )


@check("2.4", "The engine may change iptables")
def iptables(facts: Facts) -> Finding:
    return passes(setting(facts, "iptables", True) is True, "iptables is off: published ports and NAT do not work")


@check("2.5", "No insecure registries")
def registries(facts: Facts) -> Finding:
    declared = setting(facts, "insecure-registries", []) or []
    return passes(not declared, f"insecure-registries: {declared}")


@check("2.6", "The storage driver is not aufs")
def aufs(facts: Facts) -> Finding:
    return passes(facts.info.get("Driver") != "aufs", "aufs")


@check("2.7", "TLS for the engine's API")
def tls(facts: Facts) -> Finding:
    sockets = [str(host) for host in setting(facts, "hosts", []) or []]
    sockets += [flag for flag in facts.flags if "tcp://" in flag]
    if not any("tcp://" in socket for socket in sockets):
        return Finding("pass", "the engine does not listen on the network")
    return passes(
        setting(facts, "tlsverify", False) is True, "the engine listens on the network without client certificates"
    )


@check("2.8", "A default for ulimits")
def ulimits(facts: Facts) -> Finding:
    return passes(setting(facts, "default-ulimits") or setting(facts, "default-ulimit"), "no default-ulimits")


@check("2.9", "User namespaces")
def userns(facts: Facts) -> Finding:
    return passes(any("userns" in option for option in facts.info.get("SecurityOptions") or []), "userns-remap is off")


@check("2.10", "The default parent of control groups")
def cgroup_parent(facts: Facts) -> Finding:
    return passes(not setting(facts, "cgroup-parent"), "cgroup-parent is set")


@check("2.11", "The base device size is left alone")
def basesize(facts: Facts) -> Finding:
    return passes(
        not any("dm.basesize" in str(option) for option in setting(facts, "storage-opts", []) or []),
        "dm.basesize is set",
    )


@check("2.12", "Authorization of clients' commands")
def authorization(facts: Facts) -> Finding:
    return passes((facts.info.get("Plugins") or {}).get("Authorization"), "no authorization plugin")


@check("2.13", "Logs that do not stay in unbounded files")
def log_driver(facts: Facts) -> Finding:
    return passes(facts.info.get("LoggingDriver") != "json-file", "the log driver is json-file")


@check("2.14", "Containers gain no new privileges")
def no_new_privileges(facts: Facts) -> Finding:
    return passes(setting(facts, "no-new-privileges", False) is True, "no-new-privileges is off")


@check("2.15", "Containers outlive the engine")
def live_restore(facts: Facts) -> Finding:
    if swarm(facts):
        return Finding("pass", "a swarm cannot have it")
    return passes(facts.info.get("LiveRestoreEnabled"), "live-restore is off")


@check("2.16", "No userland proxy")
def userland_proxy(facts: Facts) -> Finding:
    return passes(setting(facts, "userland-proxy", True) is False, "userland-proxy is on")


@check("2.17", "A seccomp profile for all containers")
def seccomp(facts: Facts) -> Finding:
    return passes(any("seccomp" in option for option in facts.info.get("SecurityOptions") or []), "seccomp is off")


@check("2.18", "No experimental features")
def experimental(facts: Facts) -> Finding:
    return passes(not facts.info.get("ExperimentalBuild"), "experimental is on")


# 3 Files

UNIT_FOLDERS = ("/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system")
SOCKETS = {"docker": ("/run/docker.sock",), "containerd": ("/run/containerd/containerd.sock",)}


def unit_paths(unit: str) -> tuple[str, ...]:
    return tuple(f"{folder}/{unit}" for folder in UNIT_FOLDERS)


def owner_check(paths: Callable[[Facts], list[str]], owner: str) -> Callable[[Facts], Finding]:
    def function(facts: Facts) -> Finding:
        there = [path for path in paths(facts) if path in facts.files]
        if not there:
            return Finding("absent", "this host has no such file")
        wrong = [
            f"{path} is {':'.join(facts.files[path][:2])}" for path in there if ":".join(facts.files[path][:2]) != owner
        ]
        return passes(not wrong, "; ".join(wrong))

    return function


def mode_check(paths: Callable[[Facts], list[str]], most: str) -> Callable[[Facts], Finding]:
    def function(facts: Facts) -> Finding:
        there = [path for path in paths(facts) if path in facts.files]
        if not there:
            return Finding("absent", "this host has no such file")
        # More restrictive is as good: no bit beside those of the limit.
        wrong = [f"{path} has {facts.files[path][2]}" for path in there if int(facts.files[path][2], 8) & ~int(most, 8)]
        return passes(not wrong, "; ".join(wrong) + f", at most {most} is right")

    return function


def fixed(*paths: str) -> Callable[[Facts], list[str]]:
    return lambda _facts: list(paths)


def named_by(key: str) -> Callable[[Facts], list[str]]:
    return lambda facts: [str(setting(facts, key))] if setting(facts, key) else []


def certificates(facts: Facts) -> list[str]:
    return [path for path in facts.files if path.startswith("/etc/docker/certs.d/") and path.endswith(".crt")]


FILES: list[tuple[int, str, Callable[[Facts], list[str]], str, str]] = [
    (1, "docker.service", fixed(*unit_paths("docker.service")), "root:root", "0644"),
    (3, "docker.socket", fixed(*unit_paths("docker.socket")), "root:root", "0644"),
    (5, "/etc/docker", fixed("/etc/docker"), "root:root", "0755"),
    (7, "registry certificates", certificates, "root:root", "0444"),
    (9, "the TLS authority's certificate", named_by("tlscacert"), "root:root", "0444"),
    (11, "the server's certificate", named_by("tlscert"), "root:root", "0444"),
    (13, "the server certificate's key", named_by("tlskey"), "root:root", "0400"),
    (15, "docker.sock", fixed(*SOCKETS["docker"]), "root:docker", "0660"),
    (17, "daemon.json", fixed("/etc/docker/daemon.json"), "root:root", "0644"),
    (19, "/etc/default/docker", fixed("/etc/default/docker"), "root:root", "0644"),
    (21, "/etc/sysconfig/docker", fixed("/etc/sysconfig/docker"), "root:root", "0644"),
    (23, "containerd.sock", fixed(*SOCKETS["containerd"]), "root:root", "0660"),
]
for _number, _what, _where, _owner, _most in FILES:
    CHECKS[f"3.{_number}"] = (f"Owner of {_what}: {_owner}", owner_check(_where, _owner))
    CHECKS[f"3.{_number + 1}"] = (f"Mode of {_what}: {_most} or less", mode_check(_where, _most))


# 4 Images, 5 containers


def name_of(container: dict) -> str:
    return container["Name"].lstrip("/")


def every_container(wrong: Callable[[dict], object], detail: str) -> Callable[[Facts], Finding]:
    def function(facts: Facts) -> Finding:
        if not facts.containers:
            return Finding("absent", "no container runs")
        who = sorted(name_of(container) for container in facts.containers if wrong(container))
        return Finding("fail" if who else "pass", f"{detail}: {', '.join(who)}" if who else "", who)

    return function


def host_config(container: dict, key: str, default=None):
    return container.get("HostConfig", {}).get(key, default)


def security(container: dict) -> list[str]:
    return host_config(container, "SecurityOpt") or []


def mounts_of(container: dict) -> list[dict]:
    return container.get("Mounts") or []


def bindings(container: dict) -> list[dict]:
    ports = container.get("NetworkSettings", {}).get("Ports") or {}
    return [binding for all_of in ports.values() for binding in all_of or []]


SENSITIVE = ("/", "/boot", "/dev", "/etc", "/lib", "/proc", "/sys", "/usr")
# What Docker gives every container anyway.
DEFAULT_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE",
        "CHOWN",
        "DAC_OVERRIDE",
        "FOWNER",
        "FSETID",
        "KILL",
        "MKNOD",
        "NET_BIND_SERVICE",
        "NET_RAW",
        "SETFCAP",
        "SETGID",
        "SETPCAP",
        "SETUID",
        "SYS_CHROOT",
    )
)


def extra_capabilities(container: dict) -> set[str]:
    added = {re.sub("^CAP_", "", name.upper()) for name in host_config(container, "CapAdd") or []}
    return added - DEFAULT_CAPABILITIES


def swarm(facts: Facts) -> bool:
    return (facts.info.get("Swarm") or {}).get("LocalNodeState", "inactive") not in ("inactive", "")


CHECKS["4.1"] = (
    "Containers run as a user",
    every_container(lambda one: one.get("Config", {}).get("User", "").split(":")[0] in ("", "0", "root"), "as root"),
)
manual("4.2", "Trusted base images only", "images are named in one place, with their versions")
manual("4.3", "No packages that are not needed", "look at the images' Dockerfiles")
manual("4.4", "Images are scanned and built again", "pull or build again with each update")


@check("4.5", "Content trust")
def content_trust(facts: Facts) -> Finding:
    return passes(facts.content_trust, "DOCKER_CONTENT_TRUST is not set")


@check("4.6", "Images have a HEALTHCHECK")
def healthcheck(facts: Facts) -> Finding:
    if not facts.images:
        return Finding("absent", "the host has no images")
    who = sorted(
        (image.get("RepoTags") or [image["Id"][7:19]])[0]
        for image in facts.images
        if not image.get("Config", {}).get("Healthcheck")
    )
    return Finding("fail" if who else "pass", f"without one: {', '.join(who)}" if who else "", who)


manual("4.7", "Updates are not a layer of their own", "look at the images' Dockerfiles")
manual("4.8", "No setuid programs in images", "no-new-privileges makes them harmless")
manual("4.9", "COPY instead of ADD", "look at the images' Dockerfiles")
manual("4.10", "No secrets in Dockerfiles", "secrets of the stacks are files that are mounted")
manual("4.11", "Verified packages only", "apt verifies signatures")
manual("4.12", "Signed artefacts are validated", "see the images' sources")


@check("5.1", "Swarm mode only where it is needed")
def swarm_mode(facts: Facts) -> Finding:
    return passes(not swarm(facts), "swarm mode is on")


CONTAINER_CHECKS: list[tuple[str, str, Callable[[dict], object], str]] = [
    ("5.2", "AppArmor", lambda one: one.get("AppArmorProfile") in ("", None, "unconfined"), "no profile"),
    ("5.3", "SELinux", lambda one: not security(one), "no security options"),
    ("5.4", "No capabilities beside the usual", extra_capabilities, "more capabilities"),
    ("5.5", "No privileged containers", lambda one: host_config(one, "Privileged"), "privileged"),
    (
        "5.6",
        "No system folders of the host in containers",
        lambda one: [mount for mount in mounts_of(one) if mount.get("Source") in SENSITIVE and mount.get("RW")],
        "writable system folders",
    ),
    (
        "5.8",
        "No privileged ports",
        lambda one: [1 for one in bindings(one) if int(one["HostPort"] or 0) < 1024],
        "ports below 1024",
    ),
    ("5.10", "No network of the host's", lambda one: host_config(one, "NetworkMode") == "host", "host network"),
    ("5.11", "Memory is limited", lambda one: not host_config(one, "Memory"), "no limit"),
    ("5.12", "CPU shares are set", lambda one: not host_config(one, "CpuShares"), "no shares"),
    ("5.13", "Root file system is read-only", lambda one: not host_config(one, "ReadonlyRootfs"), "writable"),
    (
        "5.14",
        "Published on a given address",
        lambda one: [1 for one in bindings(one) if one.get("HostIp") in ("0.0.0.0", "::", "", None)],
        "on all addresses",
    ),
    (
        "5.15",
        "Restart policy is on-failure:5",
        lambda one: (
            (host_config(one, "RestartPolicy") or {}).get("Name") != "on-failure"
            or (host_config(one, "RestartPolicy") or {}).get("MaximumRetryCount") != 5
        ),
        "another policy",
    ),
    ("5.16", "No PID namespace of the host's", lambda one: host_config(one, "PidMode") == "host", "host PIDs"),
    ("5.17", "No IPC namespace of the host's", lambda one: host_config(one, "IpcMode") == "host", "host IPC"),
    ("5.18", "No devices of the host's", lambda one: host_config(one, "Devices"), "devices"),
    (
        "5.20",
        "Mounts are not propagated shared",
        lambda one: [mount for mount in mounts_of(one) if mount.get("Propagation") in ("shared", "rshared")],
        "shared mounts",
    ),
    ("5.21", "No UTS namespace of the host's", lambda one: host_config(one, "UTSMode") == "host", "host UTS"),
    (
        "5.22",
        "The default seccomp profile",
        lambda one: "seccomp=unconfined" in security(one) or "seccomp:unconfined" in security(one),
        "no seccomp",
    ),
    ("5.25", "Control groups are Docker's", lambda one: host_config(one, "CgroupParent"), "another parent"),
    (
        "5.26",
        "No new privileges",
        lambda one: (
            not any(option.startswith("no-new-privileges") and not option.endswith("false") for option in security(one))
        ),
        "not set",
    ),
    ("5.27", "Health is checked", lambda one: not (one.get("State") or {}).get("Health"), "no health check"),
    ("5.29", "Processes are limited", lambda one: (host_config(one, "PidsLimit") or 0) <= 0, "no limit"),
    (
        "5.30",
        "Not on docker0",
        lambda one: "bridge" in (one.get("NetworkSettings", {}).get("Networks") or {}),
        "on docker0",
    ),
    ("5.31", "No user namespace of the host's", lambda one: host_config(one, "UsernsMode") == "host", "host users"),
    (
        "5.32",
        "The engine's socket is in no container",
        lambda one: [mount for mount in mounts_of(one) if str(mount.get("Source", "")).endswith("/docker.sock")],
        "docker.sock",
    ),
]
for _identifier, _title, _wrong, _detail in CONTAINER_CHECKS:
    CHECKS[_identifier] = (_title, every_container(_wrong, _detail))

manual("5.7", "No sshd in containers", "the stacks start none; images of your own are yours to look at")
manual("5.9", "Only needed ports are open", "what is published stands in the report's firewall part")
manual("5.19", "Ulimits are overridden only where needed", "the engine's default holds where a container says nothing")
manual("5.23", "docker exec not with --privileged", "a matter of how people work")
manual("5.24", "docker exec not as root", "a matter of how people work")
manual("5.28", "Images of the newest version", "see pending updates")
manual("6.1", "No image sprawl", "docker image ls")
manual("6.2", "No container sprawl", "containers that nobody declared stand in the report")

# 7 Swarm: for people to look at where there is one.

for _identifier, _title, _detail in [
    ("7.1", "No more managers than needed", "docker node ls: an odd number, three or five"),
    ("7.2", "Swarm services listen on a given address", "docker info: the address that --listen-addr got"),
    ("7.3", "Overlay networks are encrypted", "docker network inspect: the option encrypted"),
    ("7.4", "Secrets are the swarm's secrets", "docker secret ls"),
    ("7.5", "Managers are locked after a restart", "docker swarm update --autolock"),
    ("7.6", "The managers' key is rotated", "docker swarm unlock-key --rotate"),
    ("7.7", "Nodes' certificates are rotated", "docker info: the expiry of certificates"),
    ("7.8", "The authority's certificate is rotated", "docker swarm ca --rotate"),
    ("7.9", "Management has a network of its own", "docker info: the address that --data-path-addr got"),
]:
    CHECKS[_identifier] = (
        _title,
        lambda facts, detail=_detail: (
            Finding("manual", detail) if swarm(facts) else Finding("absent", "the host is in no swarm")
        ),
    )


def order(identifier: str) -> tuple[int, ...]:
    return tuple(int(part) for part in identifier.split("."))


def patterns(waiver: dict) -> list[str]:
    """For whom a waiver holds; nobody where it says nothing that can be read."""
    who = waiver.get("who", ["*"])
    if isinstance(who, str):
        return [who] if who else []
    return [str(one) for one in who] if isinstance(who, list) else []


def examine(facts: Facts, waivers: dict[str, dict | str], in_container: bool) -> list[dict]:
    """Run all checks and lay the waivers over what fails.

    :param waivers: id to ``reason`` (text), and if wanted ``who`` (patterns of container or image names that it holds for) and
        ``where: container`` (only on hosts that are containers themselves).
    :raises ValueError: a waiver names no control, has no reason, or says something that no waiver can.
    """
    waivers = {str(key): {"reason": value} if isinstance(value, str) else value or {} for key, value in waivers.items()}
    for identifier, waiver in waivers.items():
        if not isinstance(waiver, dict) or set(waiver) - {"reason", "who", "where"}:
            raise ValueError(
                f"docker_host_cis_waivers[{identifier!r}]: {waiver!r}; write the reason as a text, or a dictionary with reason, who and where."
            )
        if identifier not in CHECKS:
            raise ValueError(
                f"docker_host_cis_waivers: CIS Docker Benchmark 1.6 has no control {identifier!r}; write one as '5.12', in quotes."
            )
        if not patterns(waiver):
            raise ValueError(
                f"docker_host_cis_waivers[{identifier!r}].who: {waiver['who']!r}; write a pattern, or a list of them."
            )
        if waiver.get("where", "container") != "container":
            raise ValueError(f"docker_host_cis_waivers[{identifier!r}].where: {waiver['where']!r}; write container.")
        if not str(waiver.get("reason") or "").strip():
            raise ValueError(f"docker_host_cis_waivers[{identifier!r}].reason: write why it need not hold here.")
    results = []
    for identifier in sorted(CHECKS, key=order):
        title, function = CHECKS[identifier]
        finding = function(facts)
        waiver = waivers.get(identifier, {})
        result, reason = finding.result, ""
        if result == "fail" and waiver and (in_container or waiver.get("where") != "container"):
            left = [one for one in finding.who if not any(fnmatch.fnmatchcase(one, who) for who in patterns(waiver))]
            if not left:
                result, reason = "waived", str(waiver["reason"]).strip()
        results.append(
            {
                "id": identifier,
                "title": title,
                "result": result,
                "detail": finding.detail,
                "reason": reason,
                "who": finding.who,
            }
        )
    return results
