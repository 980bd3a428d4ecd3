# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Finds secrets that stand in the clear in a configuration of Alertmanager or Prometheus."""

from __future__ import annotations

import re

DOCUMENTATION = r"""
name: clear_secrets
short_description: Secrets that stand in the clear in a configuration of Alertmanager or Prometheus
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Lists the places where a configuration holds a secret that could be read from a file instead, and addresses with a password in them.
  - The configuration files lie readable on the host and are shown by C(--diff); what is in a file below C(/run/secrets) is not.
options:
  _input:
    description: The configuration, or a part of it.
    type: raw
    required: true
  name:
    description: What it is called in messages.
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Refuse secrets in the clear
  ansible.builtin.assert:
    that: monitoring_receivers | dockpress.hosting.clear_secrets('monitoring_receivers') | length == 0
"""

RETURN = r"""
_value:
  description: One sentence a place, which names it and says what to write.
  type: list
  elements: str
"""

# Each has a twin with `_file` at its end, in Alertmanager 0.28 or Prometheus 2.53.
KEYS = re.compile(
    r"(.*_)?(password|credentials|client_secret|bearer_token|bot_token|token|api_key|routing_key|service_key|user_key|webhook_url"
    r"|slack_api_url)"
)
PASSWORD_IN_URL = re.compile(r"^[a-z][a-z0-9+.-]*://[^/@\s]*:[^/@\s]+@", re.IGNORECASE)


def clear_secrets(value: object, name: str) -> list[str]:
    """One sentence a place, none where all is well."""
    if isinstance(value, dict):
        found = []
        for key, inner in value.items():
            place = f"{name}.{key}"
            # The address that Slack gives is all that it takes to write there.
            secret = KEYS.fullmatch(str(key)) or (key == "api_url" and ".slack_configs[" in name)
            if secret and isinstance(inner, str) and inner:
                found.append(
                    f"{place} is a secret in the clear; put it into monitoring_secrets and write {key}_file: /run/secrets/<its name>"
                )
            else:
                found += clear_secrets(inner, place)
        return found
    if isinstance(value, (list, tuple)):
        return [each for index, inner in enumerate(value) for each in clear_secrets(inner, f"{name}[{index}]")]
    if isinstance(value, str) and PASSWORD_IN_URL.match(value):
        return [
            f"{name} has a password in it; put the whole address into monitoring_secrets and name it as a file (url_file), or use basic_auth"
        ]
    return []


class FilterModule:
    """Ansible's entry point."""

    def filters(self):
        return {"clear_secrets": clear_secrets}
