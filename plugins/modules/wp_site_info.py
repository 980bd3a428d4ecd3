#!/usr/bin/python
# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wp_site_info
short_description: Everything about a WordPress site
version_added: 0.1.0
description:
  - Versions, plugins, themes, options, users, sizes and cron events of one site, from one WP-CLI process.
  - Works on a site that is not installed, or whose database is away, and says which of the two it is.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
attributes:
  check_mode:
    description: Changes nothing in any mode.
  diff_mode:
    support: N/A
    description: There is nothing to compare.
options:
  options:
    description: Names of options whose values are to be returned.
    type: list
    elements: str
    default: []
  verify_checksums:
    description: Whether the code is compared with WordPress.org's checksums.
    type: bool
    default: false
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: Look at a site
  dockpress.hosting.wp_site_info:
    container: blog-cron-1
    options: [blogname, permalink_structure]
  register: blog

- name: Say what runs there
  ansible.builtin.debug:
    msg: "WordPress {{ blog.site.code.version }}, {{ blog.site.info.cron_due }} events due"
"""

RETURN = r"""
site:
  description: The state of the site.
  returned: success
  type: dict
  contains:
    installed:
      description: Whether WordPress is installed in the database.
      type: bool
    code:
      description: The files of WordPress, above all their C(version).
      type: dict
    database:
      description: C(state) is V(ok), V(down), V(denied), V(missing), V(damaged) or V(dropin).
      type: dict
    php:
      description: Version of PHP.
      type: str
    multisite:
      description: Whether it is a network.
      type: bool
    siteurl:
      description: Where WordPress is.
      type: str
    home:
      description: Where the site is.
      type: str
    plugins:
      description: Plugins by file.
      type: dict
    plugins_other:
      description: Must-use plugins and drop-ins.
      type: list
    themes:
      description: Themes by folder.
      type: dict
    languages:
      description: Installed languages and the active one.
      type: dict
    options:
      description: Values of O(options) by name; null where there is none.
      type: dict
    info:
      description: Sizes and counts, cron events, users, and the sites of a network.
      type: dict
    checksums:
      description: Whether the code is as WordPress.org delivers it.
      returned: when O(verify_checksums) is true
      type: dict
      contains:
        ok:
          description: Whether it is; null where that is not known, because the sums of WordPress.org could not be had.
          type: bool
        said:
          description: What WP-CLI says, line by line.
          type: list
          elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import (
    Result,
    WpCli,
    WpCliError,
    wp_argument_spec,
)
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_php import READ
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import refuse_wrong_site


def checksums(result: Result) -> dict:
    """What ``core verify-checksums`` found: it ends alike where files differ and where there is nothing to compare them with."""
    said = result.stdout + result.stderr
    differs = "doesn't verify against checksums" in said
    return {"ok": True if result.rc == 0 else False if differs else None, "said": said.splitlines()}


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=wp_argument_spec(
            options={"type": "list", "elements": "str", "default": []},
            verify_checksums={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
    )
    names = module.params["options"]
    query = {
        "path": module.params["path"],
        "url": module.params["url"],
        "plugins": {},
        "themes": {},
        "languages": {},
        "info": {},
    }
    if names:
        query["options"] = [{"name": name} for name in names]
    try:
        with WpCli.from_params(module.params) as wp:
            site = wp.eval(READ, query, wordpress=False, plugins=False)
            refuse_wrong_site(site, module.params["url"])
            found = site.get("options") or []
            site["options"] = {name: entry["value"] for name, entry in zip(names, found, strict=False)}
            if module.params["verify_checksums"] and site["code"]["version"]:
                result = wp.run(["core", "verify-checksums", "--exclude=wp-config-docker.php"], check=False)
                site["checksums"] = checksums(result)
    except WpCliError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(changed=False, site=site)


if __name__ == "__main__":
    main()
