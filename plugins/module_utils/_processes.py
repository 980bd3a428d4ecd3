# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whose a process of a Docker host is: a container's, the engine's, the operating system's, or nobody's that belongs there.

Everything here works on what was read; the module reads. A process belongs to a container when its control group is, or lies below,
the one of the container's first process: paths differ between cgroup drivers and versions, this holds in all of them.
"""

from __future__ import annotations

import fnmatch
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

ENGINE_UNITS = ("docker.service", "docker.socket", "containerd.service")

# Units of an operating system that does nothing but carry Docker. By unit and not by program: a program's name says nothing.
SYSTEM_UNITS = (
    "init.scope",
    "systemd-*",
    "dbus*.service",
    "polkit.service",
    "ssh.service",
    "ssh@*.service",
    "sshd.service",
    "sshd@*.service",
    "sshd-keygen*.service",
    "ssh.socket",
    "sshd.socket",
    "rescue*.service",
    "getty@*.service",
    "serial-getty@*.service",
    "console-getty.service",
    "container-getty@*.service",
    "autovt@*.service",
    "getty-*.service",
    "cron.service",
    "anacron.service",
    "atd.service",
    "auditd.service",
    "audit-rules.service",
    "rsyslog.service",
    "syslog.service",
    "chrony*.service",
    "ntp*.service",
    "networking.service",
    "ifup@*.service",
    "NetworkManager*.service",
    "networkd-dispatcher.service",
    "dhclient*.service",
    "nftables.service",
    "netfilter-persistent.service",
    "ufw.service",
    "firewalld.service",
    "apparmor.service",
    "apt-daily*.service",
    "apt-news.service",
    "esm-cache.service",
    "dpkg-*.service",
    "unattended-upgrades.service",
    "packagekit.service",
    "e2scrub*.service",
    "fstrim.service",
    "mdadm*.service",
    "mdmonitor*.service",
    "lvm2-*.service",
    "blk-availability.service",
    "multipathd.service",
    "open-iscsi.service",
    "iscsid.service",
    "smartmontools.service",
    "smartd.service",
    "irqbalance.service",
    "haveged.service",
    "rng-tools*.service",
    "rngd.service",
    "qemu-guest-agent.service",
    "open-vm-tools.service",
    "vgauth.service",
    "vmtoolsd.service",
    "cloud-init*.service",
    "cloud-config.service",
    "cloud-final.service",
    "hc-utils.service",
    "walinuxagent.service",
    "google-*.service",
    "amazon-ssm-agent.service",
    "snapd*.service",
    "snap.lxd.activate.service",
    "console-setup.service",
    "keyboard-setup.service",
    "kmod*.service",
    "procps.service",
    "finalrd.service",
    "grub-*.service",
    "secureboot-db.service",
    "pollinate.service",
    "ubuntu-*.service",
    "ua-*.service",
    "ldconfig.service",
    "logrotate.service",
    "man-db.service",
    "motd-news.service",
    "sudo.service",
    "x11-common.service",
    "thermald.service",
    "udisks2.service",
    "upower.service",
    "fwupd*.service",
    "wpa_supplicant*.service",
    "ModemManager.service",
    "apport*.service",
    "lastlog2-import.service",
    "wtmpdb-*.service",
    "setvtrgb.service",
    "sysstat*.service",
    "fail2ban.service",
    "needrestart*.service",
    "wg-quick@*.service",
    "dockpress-*.service",
    # Of people that are logged in; see `foreign` for what is not theirs all the same.
    "user@*.service",
    "user-runtime-dir@*.service",
)
SESSIONS = ("session-*.scope", "user@*.service")

# Units in which people's and jobs' processes live beside the daemon that started them: what is not the daemon is held to a session's rules.
CARRIERS = (
    "ssh.service",
    "ssh@*.service",
    "sshd.service",
    "sshd@*.service",
    "cron.service",
    "anacron.service",
    "atd.service",
)
DAEMONS = (
    "/usr/sbin/sshd",
    "/usr/lib/openssh/sshd-session",
    "/usr/lib/openssh/sshd-auth",
    "/usr/sbin/cron",
    "/usr/sbin/anacron",
    "/usr/sbin/atd",
)
# What every user's own systemd starts.
USER_UNITS = ("init.scope", "dbus*.service", "gpg-agent.service", "ssh-agent.service")

UNIT = re.compile(r"^.+\.(?:service|scope|slice|socket|mount|swap)$")
SOCKET_USER = re.compile(r'\("(?P<name>(?:[^"\\]|\\.)*)",pid=(?P<pid>\d+),fd=\d+\)')


@dataclass
class Process:
    """One process. `exe` is empty where the kernel does not tell it."""

    pid: int
    ppid: int
    name: str
    exe: str
    cgroup: str
    listens: list[str] = field(default_factory=list)

    @property
    def unit(self) -> str:
        return unit_of(self.cgroup)


@dataclass
class Container:
    """One running container: its first process' control group, and the host ports it publishes (``tcp/8080``)."""

    name: str
    cgroup: str
    ports: list[str]


@dataclass
class Listener:
    """One listening socket; `pids` is empty for the kernel's own."""

    protocol: str
    address: str
    port: int
    pids: list[int]

    def __str__(self) -> str:
        return f"{self.protocol}/{self.address}:{self.port}"


def cgroup_path(text: str) -> str:
    """The path that counts, out of ``/proc/PID/cgroup``.

    Version 2 has one line (``0::``). Version 1 has one a controller; systemd's own names the unit, and where nothing
    is in systemd's, the first other one that is not the root does.
    """
    lines = [line.split(":", 2) for line in text.splitlines() if line.count(":") >= 2]
    paths = {controllers or "unified": path for _number, controllers, path in lines}
    for key in ("name=systemd", "unified"):
        if paths.get(key, "/") != "/":
            return paths[key]
    return next((path for path in paths.values() if path != "/"), "/")


def unit_of(cgroup: str) -> str:
    """The innermost systemd unit of a control group; a slice only where nothing else is; empty outside of units."""
    parts = [part for part in cgroup.split("/") if UNIT.match(part)]
    inner = [part for part in parts if not part.endswith(".slice")]
    return (inner or parts or [""])[-1]


def below(cgroup: str, parent: str) -> bool:
    """Whether a control group is the other one or lies below it. The root holds nothing: everything lies below it."""
    return parent != "/" and (cgroup == parent or cgroup.startswith(parent.rstrip("/") + "/"))


def parse_ss(text: str) -> list[Listener]:
    """Listening sockets, out of C(ss -H -lntup)."""
    result = []
    for line in text.splitlines():
        columns = line.split(None, 6)
        if len(columns) < 6 or columns[0] not in ("tcp", "udp"):
            continue
        address, _colon, port = columns[4].rpartition(":")
        if not port.isdigit():
            continue
        pids = sorted({int(match["pid"]) for match in SOCKET_USER.finditer(columns[6] if len(columns) > 6 else "")})
        result.append(Listener(columns[0], address, int(port), pids))
    return result


def parse_sockets(text: str) -> list[tuple[str, str]]:
    """Sockets on the network that systemd holds, and their units, out of C(systemctl list-sockets)."""
    rows = [line.split() for line in text.splitlines()]
    return [(row[0], row[1]) for row in rows if len(row) >= 2 and re.search(r":\d+$", row[0])]


def read_processes(proc: Path = Path("/proc")) -> dict[int, Process]:
    """Every process that is there while we look; one that ends meanwhile is left out."""
    result = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            stat = (entry / "stat").read_text(encoding="utf-8", errors="replace")
            # The name may hold anything, parentheses and spaces too.
            name, _end, rest = stat.partition("(")[2].rpartition(")")
            cgroup = cgroup_path((entry / "cgroup").read_text(encoding="utf-8", errors="replace"))
            ppid = int(rest.split()[1])
        except (OSError, ValueError, IndexError):
            continue
        try:
            exe = str((entry / "exe").readlink())
        except OSError:
            exe = ""
        result[int(entry.name)] = Process(int(entry.name), ppid, name, exe, cgroup)
    return result


def family_of(processes: dict[int, Process], pid: int) -> set[int]:
    """A process' ancestors (without PID 1), itself, and its descendants: what Ansible started to look around."""
    ancestors, here = {pid}, pid
    while here in processes and processes[here].ppid not in (0, 1):
        here = processes[here].ppid
        ancestors.add(here)
    family = set(ancestors)
    grown = {pid}
    while grown:
        grown = {process.pid for process in processes.values() if process.ppid in grown} - family
        family |= grown
    return family


def is_kernel(process: Process, processes: dict[int, Process]) -> bool:
    """A kernel thread: kthreadd or a child of it. In a container PID 2 is a process as any other."""
    parent = processes.get(2)
    if parent is None or parent.name != "kthreadd" or parent.exe:
        return False
    return process.pid == 2 or process.ppid == 2


def matching(unit: str, patterns: list[str] | tuple[str, ...]) -> bool:
    return any(fnmatch.fnmatchcase(unit, pattern) for pattern in patterns)


def foreign(process: Process, allowed: list[str]) -> str:
    """Why a process that is no container's and not ours does not belong here; an empty text where it does."""
    unit = process.unit
    if matching(unit, allowed):
        return ""
    if not unit or unit.endswith(".slice"):
        return "it runs outside of every unit"
    if process.cgroup.startswith("/machine.slice/"):
        return "it runs in a virtual machine or a container of something else than Docker"
    if "/user@" in process.cgroup and not matching(unit, (*SESSIONS, *USER_UNITS)):
        return f"{unit} is a service of a user's own"
    carried = matching(unit, CARRIERS) and process.exe.removesuffix(" (deleted)") not in DAEMONS
    if carried or matching(unit, SESSIONS):
        # People work on a host; what they leave behind is no longer work.
        if process.listens:
            return "it listens, and was started from somebody's session or job"
        if process.ppid == 1 and not unit.startswith("user@"):
            return "it was left behind by somebody's session or job"
        return ""
    if matching(unit, (*ENGINE_UNITS, *SYSTEM_UNITS)):
        return ""
    return f"{unit} is neither Docker's nor the operating system's"


def examine(
    processes: dict[int, Process],
    listeners: list[Listener],
    containers: list[Container],
    *,
    own_pid: int,
    allowed: list[str],
    enabled_units: list[str],
    engine_sockets: list[str] | None = None,
    activated: list[tuple[str, str]] | None = None,
) -> dict:
    """Join everything; see the module's RETURN for the result.

    :param engine_sockets: where the engine may listen itself, as C(tcp://ADDRESS:PORT), or a shell pattern of that.
    :param activated: sockets on the network that systemd holds for units, as (socket, its unit).
    """
    for listener in listeners:
        for pid in listener.pids:
            if pid in processes:
                processes[pid].listens.append(str(listener))
    ours = family_of(processes, own_pid)
    published = {port for container in containers for port in container.ports}
    violations, counts = [], dict.fromkeys(("container", "engine", "system", "kernel"), 0)
    engine_pids = set()
    for process in sorted(processes.values(), key=lambda one: one.pid):
        if process.pid in ours:
            continue
        if is_kernel(process, processes):
            counts["kernel"] += 1
            continue
        if any(below(process.cgroup, container.cgroup) for container in containers):
            counts["container"] += 1
            continue
        if process.unit in ENGINE_UNITS:
            counts["engine"] += 1
            engine_pids.add(process.pid)
            continue
        why = foreign(process, allowed)
        if why:
            violations.append(
                {"kind": "process", "why": why, "unit": process.unit, "sockets": process.listens}
                | {key: value for key, value in asdict(process).items() if key in ("pid", "name", "exe")}
            )
        else:
            counts["system"] += 1
    # Ports that containers publish are listened on by docker-proxy, or by the engine itself; any other one of theirs is a door.
    for listener in listeners:
        local = listener.address in ("127.0.0.1", "[::1]") or listener.address.startswith("127.")
        address = f"{listener.protocol}://{listener.address}:{listener.port}"
        declared = address in (engine_sockets or []) or matching(address, engine_sockets or [])
        if (
            engine_pids & set(listener.pids)
            and f"{listener.protocol}/{listener.port}" not in published
            and not local
            and not declared
        ):
            violations.append(
                {
                    "kind": "engine",
                    "why": "the engine itself listens on the network, on a port that no container publishes",
                    "unit": "docker.service",
                    "sockets": [str(listener)],
                    "pid": listener.pids[0],
                    "name": processes[listener.pids[0]].name if listener.pids[0] in processes else "",
                    "exe": "",
                }
            )
    for socket, unit in activated or []:
        if not matching(unit, (*allowed, *ENGINE_UNITS, *SYSTEM_UNITS)):
            violations.append(
                {
                    "kind": "unit",
                    "why": "systemd listens for it, and starts it with the first connection",
                    "unit": unit,
                    "sockets": [socket],
                    "pid": 0,
                    "name": "",
                    "exe": "",
                }
            )
    running = {violation["unit"] for violation in violations}
    for unit in sorted(set(enabled_units) - running):
        if not matching(unit, (*allowed, *ENGINE_UNITS, *SYSTEM_UNITS)):
            violations.append(
                {
                    "kind": "unit",
                    "why": "it is enabled and starts with the next boot",
                    "unit": unit,
                    "sockets": [],
                    "pid": 0,
                    "name": "",
                    "exe": "",
                }
            )
    return {
        "violations": violations,
        "counts": counts,
        "containers": sorted(container.name for container in containers),
        "kernel_sockets": [
            str(listener)
            for listener in listeners
            if not listener.pids and f"{listener.protocol}/{listener.port}" not in published
        ],
    }
