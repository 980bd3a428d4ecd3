"""Images that were pulled under their official names, and images that must be refused."""

from __future__ import annotations

import json
import os
import pathlib
import subprocess

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
testinfra_hosts = ["local://"]
MIRROR = f"127.0.0.1:{int(os.environ['SANDBOX_PORT_BASE']) + 40}"


@pytest.fixture(scope="module")
def built():
    return json.loads((pathlib.Path(os.environ["SANDBOX_DIR"]) / "images.json").read_text())


def role(tmp_path, environment=None, **variables):
    """Run the role with these variables; its process, with its output as text."""
    playbook = tmp_path / "play.yml"
    playbook.write_text(
        "- hosts: localhost\n  gather_facts: false\n  roles: [dockpress.hosting.images]\n"
        "  vars: {ansible_python_interpreter: '{{ ansible_playbook_python }}'}\n"
    )
    command = ["ansible-playbook", "-i", "localhost,", "-c", "local", str(playbook), "-e", json.dumps(variables)]
    environment = os.environ | (environment or {})
    return subprocess.run(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
    )


@pytest.mark.parametrize(
    ("name", "repository"),
    [
        ("nginx", "library/nginx"),
        ("wordpress", "library/wordpress"),
        ("wordpress_cli", "library/wordpress"),
        ("mariadb", "library/mariadb"),
    ],
)
def test_the_official_name_is_on_the_engine(host, built, name, repository):
    assert built[name].startswith(f"{MIRROR}/{repository}:")
    assert host.run("docker image inspect %s", built[name]).rc == 0


def test_what_no_registry_offers_is_built(host, built):
    assert built["sandbox_host"].startswith("dockpress/sandbox_host:")
    assert host.run("docker image inspect %s", built["sandbox_host"]).rc == 0


def test_a_wordpress_image_without_php_fpm_is_refused(tmp_path):
    result = role(tmp_path, images_source="pull", images_build=["wordpress"], images_registry=f"{MIRROR}/wrong")
    assert result.returncode == 2
    assert "does not answer to `php-fpm -v`" in result.stdout
    assert "images_registry must name a mirror" in result.stdout


def test_a_mirror_that_is_not_there_is_named(tmp_path):
    result = role(tmp_path, images_source="pull", images_build=["nginx"], images_registry="127.0.0.1:1")
    assert result.returncode == 2
    assert "127.0.0.1:1" in result.stdout


def test_an_unknown_image_is_refused_with_the_known_ones(tmp_path):
    result = role(tmp_path, images_build=["apache"])
    assert result.returncode == 2
    assert "images_build may name" in result.stdout


def test_an_archive_that_is_not_there_is_named(tmp_path):
    result = role(tmp_path, images_archives={"grafana": str(tmp_path / "none.tar")})
    assert result.returncode == 2
    assert "none.tar, but there is no such file" in " ".join(result.stdout.split())


def test_an_archive_that_was_fetched_by_half_is_fetched_again(tmp_path):
    cache, programs = tmp_path / "cache", tmp_path / "bin"
    cache.mkdir()
    programs.mkdir()
    pins = yaml.safe_load((ROOT / "roles/images/vars/main.yml").read_text())["_images_artefacts"]["wp_studio"]
    archive = cache / f"wp-studio-{pins['version']}.tgz"
    archive.write_bytes(b"a half")
    npm = programs / "npm"
    npm.write_text(f"#!/bin/sh\nprintf fetched >{archive}\n")
    npm.chmod(0o755)
    path = f"{programs}:{os.environ['PATH']}"
    result = role(tmp_path, {"PATH": path}, images_artefacts=["wp_studio"], images_cache_dir=str(cache))
    assert archive.read_text() == "fetched"
    # Which is not the right one either.
    assert result.returncode == 2
    assert f"SHA-512 {pins['sha512']}" in " ".join(result.stdout.split())
