"""Rules that would lock the operator out, over a real SSH connection: they take themselves back, and good ones stay."""

from __future__ import annotations

import pathlib
import subprocess

import pytest
from conftest import LONG, PUBLIC, SUBNET, on, play, said, shell, variables, wait_for

RULES = "iptables -S DOCKPRESS-INPUT; iptables -S DOCKPRESS-FORWARD; sha256sum /etc/dockpress/firewall/current/*"
TRIAL = 12


class Operator:
    """Somebody on the outside network who reaches hard1 by SSH, with a key."""

    def __init__(self, folder: pathlib.Path) -> None:
        self.key, self.known = folder / "key", folder / "known_hosts"
        options = f"-o UserKnownHostsFile={self.known} -o StrictHostKeyChecking=accept-new -o ConnectTimeout=3"
        self.ssh = ["ssh", "-i", str(self.key), *options.split(), "-o", "BatchMode=yes", f"root@{PUBLIC['hard1']}"]
        self.connection = {
            "ansible_connection": "ssh",
            "ansible_host": PUBLIC["hard1"],
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": options,
        }

    def gets_in(self) -> bool:
        """A connection of its own each time: one that stands goes on through any rules."""
        return subprocess.run([*self.ssh, "true"], check=False, capture_output=True).returncode == 0

    def applies_the_firewall(self, **values: object) -> subprocess.CompletedProcess:
        wanted = {"docker_host_firewall_trial": TRIAL} | values
        return play("playbooks/provision.yml", "--tags=firewall", *variables(**self.connection, **wanted))


@pytest.fixture(scope="module")
def operator(tmp_path_factory):
    on(
        "hard1",
        "sh",
        "-c",
        "apt-get -qq update && apt-get -qq install --no-install-recommends openssh-server </dev/null",
    )
    one = Operator(tmp_path_factory.mktemp("ssh"))
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(one.key)], check=True)
    public = pathlib.Path(f"{one.key}.pub").read_text()
    shell("hard1", f"install -d -m 0700 /root/.ssh && echo '{public.strip()}' > /root/.ssh/authorized_keys")
    on("hard1", "systemctl", "start", "ssh.service")
    assert wait_for(one.gets_in)
    return one


@pytest.mark.parametrize(
    "locking",
    [
        pytest.param({"docker_host_firewall_ssh_sources": ["192.0.2.0/24"]}, id="from elsewhere only"),
        pytest.param({"docker_host_firewall_ssh_ports": [2222]}, id="another port", marks=LONG),
    ],
)
def test_rules_that_cut_the_connection_take_themselves_back(operator, locking):
    before = shell("hard1", RULES)
    result = operator.applies_the_firewall(**locking)
    assert result.returncode != 0
    assert "The new firewall rules were not kept" in said(result)
    assert "docker_host_firewall_ssh_sources" in said(result)
    assert wait_for(operator.gets_in, seconds=TRIAL + 20)
    assert shell("hard1", RULES) == before
    assert not shell("hard1", "systemctl list-timers --all | grep dockpress-firewall", check=False)


def test_rules_through_which_the_operator_still_gets_in_are_kept(operator):
    result = operator.applies_the_firewall(docker_host_firewall_ssh_sources=[f"{SUBNET}.1.0/24"])
    assert result.returncode == 0, result.stdout[-3000:]
    # No timer that would take them back is left, and they stand in the file of the next boot.
    assert not shell("hard1", "systemctl list-timers --all | grep dockpress-firewall", check=False)
    assert f"-s {SUBNET}.1.0/24" in shell("hard1", "iptables -S DOCKPRESS-INPUT | grep -- '--dport 22'")
    assert f"-s {SUBNET}.1.0/24" in shell("hard1", "grep -- '--dport 22' /etc/dockpress/firewall/current/rules.v4")
    assert operator.gets_in()
    # Back to what the inventory declares, over the same connection.
    result = operator.applies_the_firewall()
    assert result.returncode == 0, result.stdout[-3000:]
    assert operator.gets_in()
