# Copyright: (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fills thresholds and durations into Prometheus rule files."""

from __future__ import annotations

DOCUMENTATION = r"""
name: prometheus_rules
short_description: Fill thresholds and durations into a Prometheus rule file
version_added: 0.1.0
author:
  - The dockpress engineers (@dockpress)
description:
  - Replaces C(${name}) in the text of a rule file by the setting of that name. Prometheus' own C({{ $labels.x }}) stays as it is.
  - Gives every alert without one a C(runbook_url), the page that is called like the alert.
options:
  _input:
    description: The text of the rule file.
    type: str
    required: true
  settings:
    description: The values by name.
    type: dict
    required: true
  runbooks:
    description: Where the runbook pages are; an alert's page is C(<runbooks>/<alert>.md).
    type: str
    required: true
"""

EXAMPLES = r"""
- name: Show the rules of hosts
  ansible.builtin.debug:
    msg: >-
      {{ lookup('ansible.builtin.file', 'hosts.yml')
         | dockpress.hosting.prometheus_rules({'host_down_for': '5m'}, 'https://docs.example.com/runbooks') }}
"""

RETURN = r"""
_value:
  description: The rule file as Prometheus reads it.
  type: str
"""

import re

import yaml
from ansible.errors import AnsibleFilterError

_PLACE = re.compile(r"\$\{(\w+)\}")


def prometheus_rules(text: str, settings: dict, runbooks: str) -> str:
    """Fill a rule file.

    :param text: the rule file, with ``${name}`` where a setting goes
    :param settings: values by name
    :param runbooks: URL of the folder that holds a page for every alert
    :raises AnsibleFilterError: when a setting is missing, or the file is no rule file
    """
    names = set(_PLACE.findall(text))
    missing = sorted(names - settings.keys())
    if missing:
        raise AnsibleFilterError(
            f"the rules use {', '.join(missing)}, but monitoring_alert_settings has no such setting"
        )
    # Values come from files and are trusted as text only: what they become is parsed after they are in their place.
    filled = _PLACE.sub(lambda match: str(settings[match.group(1)]), str(text))
    try:
        document = yaml.safe_load(filled)
        for group in document["groups"]:
            for rule in group["rules"]:
                if "alert" in rule:
                    page = f"{runbooks.rstrip('/')}/{rule['alert']}.md"
                    rule.setdefault("annotations", {}).setdefault("runbook_url", page)
    except (yaml.YAMLError, KeyError, TypeError) as error:
        raise AnsibleFilterError(f"this is no rule file of Prometheus: {error!r}") from error
    return yaml.safe_dump(document, sort_keys=False, width=118, allow_unicode=True)


class FilterModule:
    """Filters for Prometheus' rules."""

    def filters(self) -> dict:
        return {"prometheus_rules": prometheus_rules}
