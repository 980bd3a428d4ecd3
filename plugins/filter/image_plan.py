# Copyright (c) 2026, the dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Filter ``image_plan``: in which order images are built, out of what, and under which tag."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: image_plan
short_description: Order and content tags of images to build
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Puts the parents of the named images before them and gives every image a tag that changes when, and only when, what
    it is built from changes. So an image whose tag exists need not be built.
positional: _input
options:
  _input:
    description: Names of the images that are wanted.
    type: list
    elements: str
    required: true
  pins:
    description: The pinned images by name. Their key C(from) lists their parents.
    type: dict
    required: true
  parents:
    description: Images that exist only to build others from, by name.
    type: dict
    required: true
  artefacts:
    description: Pins of the files that a parent with the key C(artefact) is made of, by name.
    type: dict
    required: true
  folder:
    description: Folder on the control node that holds one folder with a Dockerfile an image.
    type: path
    required: true
"""

EXAMPLES = r"""
- name: Which images are built, and in which order
  ansible.builtin.debug:
    msg: "{{ ['nginx'] | dockpress.hosting.image_plan(pins=pins, parents=parents, artefacts={}, folder=role_path ~ '/files') }}"
"""

RETURN = r"""
_value:
  description: The images in the order in which they must be built. Every parent comes before its children.
  type: list
  elements: dict
  sample:
    - name: nginx
      tag: dockpress/nginx:1c291ca3d53e
      how: dockerfile
      recipe: {from: [base]}
      args: {BASE: "dockpress/base:84f3bd2e9f16"}
"""


# A key of the recipe that tells how an image is built; all others by their Dockerfile alone.
KINDS = {"suite": "debootstrap", "artefact": "artefact", "go": "go"}


def digest_folder(folder: pathlib.Path) -> list[tuple[str, bool, str]]:
    """Path, whether it may be executed, and SHA-256 of every file below a folder, sorted by path."""
    return sorted(
        (str(path.relative_to(folder)), os.access(path, os.X_OK), hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    )


def image_plan(names: list[str], *, pins: dict, parents: dict, artefacts: dict, folder: str) -> list[dict]:
    """Return the images to build in order; see RETURN. Raises AnsibleFilterError on a name that cannot be built."""
    recipes = {**parents, **pins}
    plan: dict[str, dict] = {}

    def add(name: str, wanted_by: tuple[str, ...]) -> None:
        if name in plan:
            return
        if name in wanted_by:
            raise AnsibleFilterError(
                f"image_plan: {' -> '.join([*wanted_by, name])}: an image cannot be its own parent"
            )
        recipe = recipes.get(name)
        if recipe is None:
            raise AnsibleFilterError(
                f"image_plan: there is no image {name!r}; images_build may name: {', '.join(sorted(pins))}"
            )
        how = next((kind for key, kind in KINDS.items() if key in recipe), "dockerfile")
        source = pathlib.Path(folder) / name
        if how == "dockerfile" and not (source / "Dockerfile").is_file():
            raise AnsibleFilterError(f"image_plan: {name} can only be pulled, there is no {source}/Dockerfile")
        args = {}
        for parent in recipe.get("from", []):
            add(parent, (*wanted_by, name))
            args[parent.upper()] = plan[parent]["tag"]
        # Where the official image lies says nothing about the content of its stand-in.
        content = {key: value for key, value in recipe.items() if key not in ("registry", "repository", "tag", "proof")}
        if "artefact" in recipe:
            content["artefact"] = artefacts[recipe["artefact"]]
        described = json.dumps([content, args, digest_folder(source)], sort_keys=True)
        plan[name] = {
            "name": name,
            "tag": f"dockpress/{name}:{hashlib.sha256(described.encode()).hexdigest()[:12]}",
            "how": how,
            "recipe": content,
            "args": args,
        }

    for name in names:
        add(name, ())
    return list(plan.values())


class FilterModule:
    """Ansible's way to find the filter."""

    def filters(self) -> dict:
        return {"image_plan": image_plan}
