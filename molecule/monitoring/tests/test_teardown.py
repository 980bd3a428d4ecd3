"""The end of a stack. The last file, because a site is gone after it."""

from __future__ import annotations

import os
import pathlib
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[3]
SITE, STACK = "two.sandbox.test", "two-sandbox-test"


def teardown(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["ansible-playbook", "playbooks/teardown.yml", "-i", "molecule/shared/inventory", "-i", "molecule/monitoring/inventory", "--limit", SITE, *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def on_web2(*command: str) -> str:
    return subprocess.run(
        ["docker", "exec", f"{os.environ['SANDBOX_NAME']}-web2", *command], capture_output=True, text=True, check=True
    ).stdout


def left() -> dict[str, list[str]]:
    """What the host still holds of the site."""
    label = f"label=com.docker.compose.project={STACK}"
    return {
        "containers": on_web2("docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}").split(),
        "volumes": on_web2("docker", "volume", "ls", "--filter", label, "--format", "{{.Name}}").split(),
        "networks": on_web2("docker", "network", "ls", "--filter", label, "--format", "{{.Name}}").split(),
        "folder": on_web2("find", "/srv/dockpress", "-maxdepth", "1", "-name", STACK).split(),
        "images": on_web2(
            "docker", "images", "--filter", "reference=*/library/wordpress", "--format", "{{.Repository}}"
        ).split(),
    }


def test_nothing_is_removed_without_its_name():
    before = left()
    assert all(before.values()), before
    for arguments in ((), ("-e", "teardown_confirm=one-sandbox-test")):
        refused = teardown(*arguments)
        assert refused.returncode != 0
        assert f"teardown_confirm={STACK}" in refused.stdout, refused.stdout
    assert left() == before


def test_site_goes_with_volumes_and_images_after_a_last_backup():
    done = teardown("-e", f"teardown_confirm={STACK}")
    assert done.returncode == 0, done.stdout
    assert not any(left().values()), left()
    assert len(on_web2("find", f"/var/backups/dockpress/{SITE}", "-name", "manifest.json").split()) == 1
