#!/usr/bin/python
# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wp_config
short_description: Constants of a literal wp-config.php
version_added: 0.1.0
description:
  - Creates C(wp-config.php) and declares constants in it. For files that hold their settings as literals; sites whose stub loads
    the settings from elsewhere (M(dockpress.hosting.wp_site), O(dockpress.hosting.wp_site#module:config_include)) need it not.
  - PHP's own tokenizer finds the definitions, and PHP evaluates the new file before it replaces the old one by a rename. Every value
    arrives with exactly its bytes and its type, or the file is not touched. WP-CLI's own editor is not used, which breaks
    values that end in a backslash and misses definitions behind an expression.
  - A constant that the file takes from an expression, such as C(getenv_docker()) of the official image, or that another file defines,
    is not fought over; where its value is not the declared one, the module fails and says so.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
options:
  database_name:
    description: E(DB_NAME). Given, the file is created where there is none.
    type: str
  database_user:
    description: E(DB_USER).
    type: str
  database_password:
    description: E(DB_PASSWORD).
    type: str
  database_host:
    description: E(DB_HOST).
    type: str
  database_charset:
    description: E(DB_CHARSET). A new file has V(utf8mb4).
    type: str
  database_collate:
    description: E(DB_COLLATE).
    type: str
  table_prefix:
    description: The value of C($table_prefix). A new file has V(wp_).
    type: str
  salts:
    description: V(present) makes the missing ones, V(shuffle) new ones at every run, V(ignore) none.
    type: str
    choices: [present, shuffle, ignore]
    default: present
  constants:
    description: Names and values, typed as in YAML. Strings, booleans, whole and real numbers, null, lists, dictionaries.
    type: dict
    default: {}
  secret_constants:
    description: Like O(constants), hidden in results, logs and diffs.
    type: dict
    default: {}
  raw_constants:
    description: Names and PHP expressions, such as C(__DIR__ . '/content').
    type: dict
    default: {}
  absent_constants:
    description: Names that are not to be defined.
    type: list
    elements: str
    default: []
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: A new file, with salts
  dockpress.hosting.wp_config:
    container: shop-php-1
    database_name: shop
    database_user: shop
    database_password: "{{ shop_db_password }}"
    database_host: database
    constants:
      WP_DEBUG: false
      WP_MEMORY_LIMIT: 256M
      WP_POST_REVISIONS: 5
    raw_constants:
      WP_CONTENT_DIR: "__DIR__ . '/content'"
    absent_constants: [WP_CACHE]
"""

RETURN = r"""
changes:
  description: What was done (check mode; would be done).
  returned: success
  type: list
  elements: dict
  sample: [{item: WP_DEBUG, action: changed}]
processes:
  description: How many processes were started in containers.
  returned: success
  type: int
  sample: 1
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCli, WpCliError, wp_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_config import CONFIG_OPTIONS, ConfigFile
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import Site


def main() -> None:
    """Entry point."""
    module = AnsibleModule(argument_spec=wp_argument_spec(**CONFIG_OPTIONS), supports_check_mode=True)
    try:
        config = ConfigFile(module.params)
        with WpCli.from_params(module.params) as wp:
            site = Site(module, wp, [config])
            site.hidden = sorted(module.no_log_values, key=len)
            # The file is evaluated before it is put in place: there is nothing to read again.
            config.before_reading(site)
            if site.planned and not module.check_mode:
                wp.reload_code()
            answer = site.results()
    except WpCliError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(changed=bool(site.planned), **answer)


if __name__ == "__main__":
    main()
