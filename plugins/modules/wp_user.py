#!/usr/bin/python
# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wp_user
short_description: Users of a WordPress site
version_added: 0.1.0
description:
  - Creates, changes and removes accounts. One process reads them all, whatever their number.
  - Accounts are found by login, never by id; a login may be all digits.
  - No e-mail is sent.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
  - dockpress.hosting.wp.users
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: An editor, and one who has left
  dockpress.hosting.wp_user:
    container: blog-cron-1
    users:
      - login: erika
        email: erika@example.com
        roles: [editor]
        display_name: Erika M.
        password: "{{ erika_password }}"
      - login: max
        state: absent
        reassign: erika

- name: An application password, shown once
  dockpress.hosting.wp_user:
    container: blog-cron-1
    users:
      - login: erika
        application_passwords: [deploy]
  register: erika
  no_log: true
"""

RETURN = r"""
changes:
  description: What was done (check mode; would be done), in its order.
  returned: success
  type: list
  elements: dict
  sample: [{item: user erika, action: created}]
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
application_passwords:
  description: New application passwords by login and name. Register the task with C(no_log).
  returned: when some were made
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import wp_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import Site, run_module
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_user import USER_OPTIONS, Users


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=wp_argument_spec(
            users={"type": "list", "elements": "dict", "default": [], "options": USER_OPTIONS},
        ),
        supports_check_mode=True,
    )

    def finish(site: Site) -> dict:
        return {"application_passwords": Users.application_passwords(site.values)} if site.values else {}

    run_module(module, lambda: [Users(module.params["users"])], finish, installed=True)


if __name__ == "__main__":
    main()
