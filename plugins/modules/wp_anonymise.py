#!/usr/bin/python
# Copyright: Contributors to the dockpress.hosting collection
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wp_anonymise
short_description: Take the persons out of a copy of a WordPress site
version_added: 0.1.0
description:
  - Replaces names, e-mail addresses and passwords of users, and names, addresses and IP addresses of commenters. Ends all
    sessions and removes application passwords.
  - Does the same to customers and senders of forms, whom shops, forms and newsletters keep in tables with a column for a mail address, and
    under meta keys such as C(_billing_phone); their names, postal addresses, telephone numbers and IP addresses are emptied. Shopping carts,
    sign-ups that wait and the log of registrations are removed.
  - The addresses are replaced wherever they stand in the site's tables, also inside serialized values and links, and
    afterwards all tables are searched for them once more.
  - Addresses that stand only in texts or settings and belong to none of these, and names in texts, stay as they are.
  - For copies only. There is no way back, and visitors' data of the site that it runs on is gone.
  - Everything happens in one transaction.
author:
  - The dockpress engineers (@dockpress)
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
attributes:
  diff_mode:
    support: none
options:
  keep:
    description:
      - Login names of users who stay as they are, with their addresses and passwords. Their sessions and application passwords go all the same.
    type: list
    elements: str
    default: []
  domain:
    description:
      - Domain of the new addresses. Nobody receives mail at the default.
    type: str
    default: example.invalid
seealso:
  - module: dockpress.hosting.wp_search_replace
"""

EXAMPLES = r"""
- name: Nobody's address in the staging site
  dockpress.hosting.wp_anonymise:
    container: staging-example-com-cron-1
"""

RETURN = r"""
users:
  description: How many users got another name, address and password.
  returned: success
  type: int
  sample: 12
comments:
  description: How many comments lost their author's name, URL, IP address or browser.
  returned: success
  type: int
  sample: 340
addresses:
  description: How many different e-mail addresses were known and have been replaced.
  returned: success
  type: int
  sample: 151
replaced:
  description: In how many values outside the users' own fields such an address stood.
  returned: success
  type: int
  sample: 498
emptied:
  description: How many rows lost a name, a postal address, a telephone number or an IP address of a customer or sender.
  returned: success
  type: int
  sample: 75
sessions:
  description: How many sessions, sets of application passwords, shopping carts and sign-ups were removed.
  returned: success
  type: int
  sample: 3
left:
  description: In how many values a known address still stands. The module fails where this is not 0.
  returned: success
  type: int
  sample: 0
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_anonymise import ANONYMISE
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCli, WpCliError, wp_argument_spec


def main() -> None:
    module = AnsibleModule(
        argument_spec=wp_argument_spec(
            keep={"type": "list", "elements": "str", "default": []},
            domain={"type": "str", "default": "example.invalid"},
        ),
        supports_check_mode=True,
    )
    try:
        with WpCli.from_params(module.params) as wp:
            answer = wp.eval(
                ANONYMISE,
                {
                    "keep": module.params["keep"],
                    "domain": module.params["domain"].lower(),
                    "commit": not module.check_mode,
                },
                plugins=False,
            )
    except WpCliError as error:
        module.fail_json(**error.as_failure())
    if "error" in answer:
        module.fail_json(msg=answer["error"] + " Nothing was changed.")
    if answer["left"]:
        module.fail_json(
            msg=f"In {answer['left']} values an address still stands, in a form that is not replaced. Do not hand this copy out.",
            **answer,
        )
    changed = any(answer[name] for name in ("users", "comments", "addresses", "replaced", "emptied", "sessions"))
    module.exit_json(changed=changed, **answer)


if __name__ == "__main__":
    main()
