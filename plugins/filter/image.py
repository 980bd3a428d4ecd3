# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The full reference of an image that the collection knows by a short name."""

from __future__ import annotations

import pathlib
from collections.abc import Mapping

import yaml
from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: image
short_description: The reference of an image that the collection pins
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Turns a short name, such as C(mariadb), into the reference of the pinned official image.
  - With a registry, which may be a mirror, the reference names that registry instead of the image's own.
  - The pins stand in C(vars/main.yml) of the role C(images), the one place for versions.
positional: _registry
options:
  _input:
    description: Short name of the image, a key of C(_images_pins).
    type: str
    required: true
  _registry:
    description:
      - A registry that mirrors the official ones under the same repository names, for example C(registry.example.com:5000).
      - Empty means the image's own registry.
    type: str
    default: ""
"""

EXAMPLES = r"""
- name: The official MariaDB, or its copy in a mirror where one is named
  ansible.builtin.debug:
    msg: "{{ 'mariadb' | dockpress.hosting.image(images_registry | default('')) }}"
"""

RETURN = r"""
_value:
  description: A reference such as C(docker.io/library/mariadb:11.8).
  type: str
"""

PINS = pathlib.Path(__file__).resolve().parents[2] / "roles" / "images" / "vars" / "main.yml"


def image(name: str, registry: str = "", pins: Mapping | None = None) -> str:
    """Reference of the image called `name`; `registry` replaces the official one. `pins` is for tests."""
    if pins is None:
        pins = yaml.safe_load(PINS.read_text(encoding="utf-8"))["_images_pins"]
    if name not in pins:
        raise AnsibleFilterError(f"No image is called {name!r}; known are: {', '.join(sorted(pins))}")
    pin = pins[name]
    # An image without an official repository is always built, and lies in the mirror under the collection's own name.
    repository = pin.get("repository", f"dockpress/{name.replace('_', '-')}")
    host = (registry or pin.get("registry", "")).rstrip("/")
    return f"{host}/{repository}:{pin.get('tag', 'latest')}" if host else f"{repository}:{pin.get('tag', 'latest')}"


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"image": image}
