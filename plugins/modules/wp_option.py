#!/usr/bin/python
# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wp_option
short_description: Options of a WordPress site
version_added: 0.1.0
description:
  - Sets, merges and removes options. One process reads them all, whatever their number.
  - Values are compared as they are stored in the database, not as a plugin filters them.
  - When one of the options from which rewrite rules are made changes, the rules are flushed once.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
  - dockpress.hosting.wp.options
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: Options of several types
  dockpress.hosting.wp_option:
    container: blog-cron-1
    options:
      blogdescription: What we do, and why
      permalink_structure: /%postname%/
      our_settings:
        limit: 5
        colours: [red, green]
    merge_options:
      shop_settings:
        checkout:
          guests: true
    secret_options:
      shop_key: "{{ shop_key }}"
    absent_options: [old_settings]
    autoload:
      our_settings: false
"""

RETURN = r"""
changes:
  description: What was done (check mode; would be done), in its order.
  returned: success
  type: list
  elements: dict
  sample: [{item: option blogname, action: changed}]
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
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import wp_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_option import OPTION_OPTIONS, Options
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import run_module


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=wp_argument_spec(**OPTION_OPTIONS), supports_check_mode=True)
    run_module(module, lambda: [Options(module.params)], installed=True)


if __name__ == "__main__":
    main()
