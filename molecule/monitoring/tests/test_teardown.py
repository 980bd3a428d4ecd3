"""The end of a stack. The last file, because a site is gone after it."""

from __future__ import annotations

from live import on, play

SITE, STACK = "two.sandbox.test", "two-sandbox-test"


def teardown(*arguments: str, good: bool = True) -> str:
    return play("playbooks/teardown.yml", "--limit", SITE, *arguments, good=good)


def left() -> dict[str, list[str]]:
    """What the host still holds of the site."""
    label = f"label=com.docker.compose.project={STACK}"
    return {
        "containers": on("web2", "docker", "ps", "--all", "--filter", label, "--format", "{{.Names}}").split(),
        "volumes": on("web2", "docker", "volume", "ls", "--filter", label, "--format", "{{.Name}}").split(),
        "networks": on("web2", "docker", "network", "ls", "--filter", label, "--format", "{{.Name}}").split(),
        "metrics": on("web2", "find", "/var/lib/dockpress/metrics", "-name", "*two?sandbox?test*").split(),
        "folder": on("web2", "find", "/srv/dockpress", "-maxdepth", "1", "-name", STACK).split(),
        "images": on(
            "web2", "docker", "images", "--filter", "reference=*/library/wordpress", "--format", "{{.Repository}}"
        ).split(),
    }


def test_nothing_is_removed_without_its_name():
    before = left()
    assert all(before.values()), before
    for arguments in ((), ("-e", "teardown_confirm=one-sandbox-test")):
        assert f"-e teardown_confirm={STACK}, with --limit {SITE}" in teardown(*arguments, good=False)
    assert left() == before


def test_site_goes_with_volumes_and_images_after_a_last_backup():
    teardown("-e", f"teardown_confirm={STACK}")
    assert not any(left().values()), left()
    assert len(on("web2", "find", f"/var/backups/dockpress/{SITE}", "-name", "manifest.json").split()) == 1
