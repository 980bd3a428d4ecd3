# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Repositories of restic, as the role's user declares them, as the modules want them, and as files on the host."""

from __future__ import annotations

import shlex

DOCUMENTATION = r"""
name: restic
short_description: Repositories of restic as modules want them
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Leaves the secrets out of declared repositories and adds the folder in which they are on the host.
positional: folder
options:
  _input:
    description: Repositories, as in the role's C(backup_repositories).
    type: list
    elements: dict
    required: true
  folder:
    description: Folder on the host with one folder a repository.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show what the modules get
  ansible.builtin.debug:
    msg: "{{ backup_repositories | dockpress.hosting.restic('/etc/dockpress/restic/blog') }}"
"""

RETURN = r"""
_value:
  description: The repositories, as C(repositories) of M(dockpress.hosting.wp_backup).
  type: list
  elements: dict
"""


def restic(repositories: list[dict], folder: str) -> list[dict]:
    """What modules need to know of each repository: no secrets, but where these are."""
    return [
        {
            "name": one["name"],
            "directory": f"{folder}/{one['name']}",
            "network": one.get("network") or "bridge",
            "volume": one.get("volume") or None,
        }
        for one in repositories
    ]


def restic_files(repositories: list[dict]) -> list[dict]:
    """The files of each repository: ``path`` below the folder of all, and ``text``. Empty ones are left out."""
    found = []
    for one in repositories:
        environment = "".join(
            f"{key}={shlex.quote(str(value))}\n" for key, value in sorted((one.get("environment") or {}).items())
        )
        texts = {
            "repository": one["repository"],
            "password": one["password"],
            "environment": environment,
            "ca.crt": one.get("ca"),
        }
        found += [{"path": f"{one['name']}/{name}", "text": text} for name, text in texts.items() if text]
    return found


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"restic": restic, "restic_files": restic_files}
