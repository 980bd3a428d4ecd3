#!/usr/bin/python
# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wp_core
short_description: Put WordPress in place, install it, and keep it at a version
version_added: 0.1.0
description:
  - Puts WordPress' code into the web root, replaces it by another version, installs it in the database, and brings the
    database's schema to what the code wants.
  - Code is copied beside its place and swapped in by renames. A run that is ended half-way leaves the old code or the new one;
    the next run finishes or clears away what it finds.
  - Maintenance mode (C(.maintenance)) that is older than the ten minutes for which WordPress heeds it is ended. A younger one is left, with a warning.
  - C(wp-content) is left as it is, but for plugins, themes and languages that come with WordPress and go into a fresh site.
  - It tells a site that is not installed from a database that is away, damaged, or refuses the user, and then changes nothing.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
  - dockpress.hosting.wp.carried
  - dockpress.hosting.wp.lock
  - dockpress.hosting.wp.install
  - dockpress.hosting.wp.language
attributes:
  action:
    support: full
    description: Has an action plugin, which carries sources from the control node.
options:
  version:
    description:
      - The version that is to be there. Not given, any will do, or with O(source) the version in it.
      - V(latest) is the version in O(source), or the newest that WordPress.org has. Where that does not answer, it is a failure.
      - What a version from WordPress.org does to the database's schema is known once its code is there, and not in check mode.
    type: str
  source:
    description:
      - V(image) for what the PHP-FPM container's image holds (C(/usr/src/wordpress)), a folder or zip, or a URL of a zip.
      - A site that has another version than its source gets that of the source.
      - Not given, code that is missing comes out of the image where O(fpm_container) is and O(version) is not, else from WordPress.org.
    type: str
  sha256:
    description: Checksum of the zip. A URL needs one.
    type: str
  remote_src:
    description: Whether a folder or zip lies on the managed host already.
    type: bool
    default: false
  allow_downgrade:
    description: Whether an older version may replace a newer one. The database's schema stays the newer one.
    type: bool
    default: false
  install:
    description: Whether WordPress is installed in the database. V(false) puts code in place and nothing else.
    type: bool
    default: true
  update_database:
    description: Whether the database's schema is brought to what the code wants.
    type: bool
    default: true
  verify_checksums:
    description: Whether the code is compared with WordPress.org's checksums. Changed or missing files are a failure.
    type: bool
    default: false
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: WordPress out of the PHP-FPM container's image, installed
  dockpress.hosting.wp_core:
    container: blog-cron-1
    fpm_container: blog-wordpress-1
    url: https://blog.example.com
    title: Our blog
    admin_user: admin
    admin_password: "{{ blog_admin_password }}"
    admin_email: admin@example.com

- name: Update it from a zip on the control node
  dockpress.hosting.wp_core:
    container: blog-cron-1
    fpm_container: blog-wordpress-1
    source: files/wordpress-7.1.1.zip
"""

RETURN = r"""
changes:
  description: What was done (check mode; would be done), in its order.
  returned: success
  type: list
  elements: dict
  sample: [{item: WordPress 7.1.1, action: updated}]
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
versions:
  description: Versions of WordPress and PHP, and the database schema.
  returned: success
  type: dict
  sample: {wordpress: 7.1.1, php: 8.4.11, schema: 60421}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import wp_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_core import (
    CORE_OPTIONS,
    INSTALL_OPTIONS,
    LANGUAGE_OPTIONS,
    Code,
    Installation,
    Language,
    Schema,
)
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import LOCK_OPTIONS, Site, run_module


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=wp_argument_spec(
            **CORE_OPTIONS,
            **INSTALL_OPTIONS,
            **LANGUAGE_OPTIONS,
            install={"type": "bool", "default": True},
            update_database={"type": "bool", "default": True},
            verify_checksums={"type": "bool", "default": False},
            **LOCK_OPTIONS,
            _carried={"type": "dict"},
        ),
        supports_check_mode=True,
    )
    params = module.params

    def build() -> list:
        resources = [Code(params, params["_carried"], params["fpm_container"])]
        if params["install"]:
            resources.append(Installation(params, params["url"], params["language"]))
            if params["update_database"]:
                resources.append(Schema())
            resources.append(Language(params, params["_carried"]))
        return resources

    def finish(site: Site) -> dict:
        state = site.state
        if params["verify_checksums"] and state["code"]["version"]:
            site.wp.run(["core", "verify-checksums", "--exclude=wp-config-docker.php"])
        return {
            "versions": {"wordpress": state["code"]["version"], "php": state["php"], "schema": state.get("db_version")}
        }

    run_module(module, build, finish)


if __name__ == "__main__":
    main()
