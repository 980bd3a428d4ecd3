#!/usr/bin/python
# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wp_theme
short_description: Themes of a WordPress site
version_added: 0.1.0
description:
  - Installs, updates, activates and removes themes. One process reads the state of all of them, whatever their number.
  - A theme from a O(themes[].source) is put in place by a rename, without WordPress' updater and without maintenance mode.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
  - dockpress.hosting.wp.carried
  - dockpress.hosting.wp.lock
  - dockpress.hosting.wp.themes
attributes:
  action:
    support: full
    description: Has an action plugin, which carries sources from the control node.
options:
  purge_unlisted:
    description:
      - Whether themes that are not listed are removed. The active one and its parent stay, and in a network those of its other sites.
    type: bool
    default: false
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: A child theme from a zip, and nothing else
  dockpress.hosting.wp_theme:
    container: blog-cron-1
    fpm_container: blog-wordpress-1
    purge_unlisted: true
    themes:
      - name: twentytwentyfive
      - name: our-child
        source: files/our-child.zip
        state: active
"""

RETURN = r"""
changes:
  description: What was done (check mode; would be done), in its order.
  returned: success
  type: list
  elements: dict
  sample: [{item: theme twentytwentyfive, action: activated}]
done:
  description: What had been done before a failure.
  returned: failure
  type: list
  elements: dict
not_done:
  description: What was left undone after a failure.
  returned: failure
  type: list
  elements: dict
processes:
  description: How many processes were started in containers.
  returned: success
  type: int
  sample: 1
themes:
  description: All themes by folder, with name, version, status and parent.
  returned: success
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import wp_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_extension import THEME_OPTIONS, Themes
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import LOCK_OPTIONS, Site, run_module


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=wp_argument_spec(
            themes={"type": "list", "elements": "dict", "default": [], "options": THEME_OPTIONS},
            purge_unlisted={"type": "bool", "default": False},
            **LOCK_OPTIONS,
            _carried={"type": "dict"},
        ),
        supports_check_mode=True,
    )
    params = module.params

    def finish(site: Site) -> dict:
        return {"themes": site.state.get("themes", {})}

    run_module(
        module,
        lambda: [Themes(module, params["themes"], params["_carried"], params["purge_unlisted"])],
        finish,
        installed=True,
    )


if __name__ == "__main__":
    main()
