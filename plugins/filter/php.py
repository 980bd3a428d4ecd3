# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A value as a PHP literal."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ansible.errors import AnsibleFilterError

DOCUMENTATION = r"""
name: php
short_description: A value as a PHP literal
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Writes a value in such a way that PHP reads exactly this value, whatever bytes are in it.
options:
  _input:
    description: Text, number, boolean, none, or lists and dictionaries of these.
    type: raw
    required: true
"""

EXAMPLES = r"""
- name: Shows 'it\'s $5'
  ansible.builtin.debug:
    msg: "{{ \"it's $5\" | dockpress.hosting.php }}"
"""

RETURN = r"""
_value:
  description: PHP source.
  type: str
"""


def php(value) -> str:
    """PHP source of `value`. In single quotes PHP knows two escapes only, so nothing is interpolated."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (int, float)):
        return repr(value)
    if isinstance(value, str):
        return "'" + value.replace("\\", "\\\\").replace("'", "\\'") + "'"
    if isinstance(value, Mapping):
        return "[" + ", ".join(f"{php(key)} => {php(item)}" for key, item in value.items()) + "]"
    if isinstance(value, Sequence):
        return "[" + ", ".join(php(item) for item in value) + "]"
    raise AnsibleFilterError(f"dockpress.hosting.php: a {type(value).__name__} has no PHP literal")


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"php": php}
