"""Tests of the filter image_plan."""

from __future__ import annotations

import pathlib

import pytest
import yaml
from ansible.errors import AnsibleFilterError
from ansible_collections.dockpress.hosting.plugins.filter.image_plan import image_plan

PARENTS = {"base": {"suite": "trixie"}, "php": {"from": ["base"]}, "files": {"artefact": "archive"}}
PINS = {
    "nginx": {"registry": "docker.io", "repository": "library/nginx", "tag": "1.26", "from": ["base"]},
    "wordpress": {"from": ["php", "files"]},
    "grafana": {"registry": "docker.io", "repository": "grafana/grafana", "tag": "12"},
}
ARTEFACTS = {"archive": {"version": "1", "sha512": "aa"}}
ROLE = pathlib.Path(__file__).parents[4] / "roles" / "images"


@pytest.fixture
def folder(tmp_path):
    for name in ("nginx", "php", "wordpress"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "Dockerfile").write_text("ARG BASE\nFROM ${BASE}\n")
    return tmp_path


def plan(names, folder, pins=None, parents=None, artefacts=None):
    return image_plan(
        names, pins=pins or PINS, parents=parents or PARENTS, artefacts=artefacts or ARTEFACTS, folder=str(folder)
    )


def tags(names, folder, **changes):
    return {image["name"]: image["tag"] for image in plan(names, folder, **changes)}


def test_parents_come_first_and_once(folder):
    images = plan(["wordpress", "nginx"], folder)
    assert [image["name"] for image in images] == ["base", "php", "files", "wordpress", "nginx"]
    assert [image["how"] for image in images] == ["debootstrap", "dockerfile", "artefact", "dockerfile", "dockerfile"]


def test_build_arguments_hold_the_tags_of_the_parents(folder):
    images = {image["name"]: image for image in plan(["wordpress"], folder)}
    assert images["wordpress"]["args"] == {"PHP": images["php"]["tag"], "FILES": images["files"]["tag"]}


def test_a_changed_file_changes_the_image_and_its_children_only(folder):
    before = tags(["wordpress", "nginx"], folder)
    (folder / "php" / "extra.ini").write_text("x = 1\n")
    after = tags(["wordpress", "nginx"], folder)
    assert {name for name in before if before[name] != after[name]} == {"php", "wordpress"}


def test_an_executable_bit_counts(folder):
    before = tags(["nginx"], folder)
    (folder / "nginx" / "Dockerfile").chmod(0o755)
    assert tags(["nginx"], folder)["nginx"] != before["nginx"]


def test_another_official_tag_does_not_change_the_content(folder):
    before = tags(["nginx"], folder)
    assert tags(["nginx"], folder, pins={"nginx": {**PINS["nginx"], "tag": "1.27"}}) == before


def test_another_artefact_changes_what_is_made_of_it(folder):
    before = tags(["wordpress"], folder)
    after = tags(["wordpress"], folder, artefacts={"archive": {"version": "2", "sha512": "bb"}})
    assert {name for name in before if before[name] != after[name]} == {"files", "wordpress"}


def test_an_unknown_name_is_refused_with_the_known_ones(folder):
    with pytest.raises(AnsibleFilterError, match="no image 'apache'.*grafana, nginx, wordpress"):
        plan(["apache"], folder)


def test_an_image_without_stand_in_is_refused(folder):
    with pytest.raises(AnsibleFilterError, match="grafana can only be pulled"):
        plan(["grafana"], folder)


def test_a_circle_is_refused(folder):
    with pytest.raises(AnsibleFilterError, match="php -> php"):
        plan(["php"], folder, parents={"php": {"from": ["php"]}})


def test_the_pins_of_the_role_can_be_planned():
    pins = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
    names = [name for name, pin in pins["_images_pins"].items() if "from" in pin]
    images = image_plan(
        names,
        pins=pins["_images_pins"],
        parents=pins["_images_parents"],
        artefacts=pins["_images_artefacts"],
        folder=str(ROLE / "files"),
    )
    assert set(names) <= {image["name"] for image in images}
    for image in images:
        dockerfile = ROLE / "files" / image["name"] / "Dockerfile"
        for argument in image["args"]:
            assert f"ARG {argument}\n" in dockerfile.read_text(), f"{dockerfile} does not take {argument}"
