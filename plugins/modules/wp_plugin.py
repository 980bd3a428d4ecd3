#!/usr/bin/python
# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wp_plugin
short_description: Plugins of a WordPress site
version_added: 0.1.0
description:
  - Installs, updates, activates, deactivates and removes plugins. One process reads the state of all of them, whatever their number.
  - A plugin from a O(plugins[].source) is put in place by a rename, without WordPress' updater and without maintenance mode.
    WordPress' hook C(upgrader_process_complete) is not called for it.
  - A plugin that redirects or ends the process when it is activated does not take the others with it.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
  - dockpress.hosting.wp.carried
  - dockpress.hosting.wp.lock
  - dockpress.hosting.wp.plugins
attributes:
  action:
    support: full
    description: Has an action plugin, which carries sources from the control node.
options:
  purge_unlisted:
    description:
      - Whether plugins that are not listed are removed. Must-use plugins and drop-ins stay, and in a network what is active in it
        or on another of its sites.
    type: bool
    default: false
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: Two plugins active, one gone
  dockpress.hosting.wp_plugin:
    container: blog-cron-1
    fpm_container: blog-wordpress-1
    plugins:
      - name: wordpress-importer
        source: files/wordpress-importer.zip
      - name: akismet
        auto_update: true
      - name: hello
        state: absent

- name: From a URL, in exactly this version
  dockpress.hosting.wp_plugin:
    container: blog-cron-1
    plugins:
      - name: our-shop
        version: 2.4.1
        source: https://files.example.com/our-shop-2.4.1.zip
        sha256: 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
"""

RETURN = r"""
changes:
  description: What was done (check mode; would be done), in its order.
  returned: success
  type: list
  elements: dict
  sample: [{item: plugin akismet, action: activated}]
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
plugins:
  description: All plugins by file, with name, version, status and whether they update themselves.
  returned: success
  type: dict
other_plugins:
  description: Must-use plugins and drop-ins.
  returned: success
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import wp_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_extension import PLUGIN_OPTIONS, Plugins
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import LOCK_OPTIONS, Site, run_module


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=wp_argument_spec(
            plugins={"type": "list", "elements": "dict", "default": [], "options": PLUGIN_OPTIONS},
            purge_unlisted={"type": "bool", "default": False},
            **LOCK_OPTIONS,
            _carried={"type": "dict"},
        ),
        supports_check_mode=True,
    )
    params = module.params

    def finish(site: Site) -> dict:
        return {"plugins": site.state.get("plugins", {}), "other_plugins": site.state.get("plugins_other", [])}

    run_module(
        module,
        lambda: [Plugins(module, params["plugins"], params["_carried"], params["purge_unlisted"])],
        finish,
        installed=True,
    )


if __name__ == "__main__":
    main()
