#!/usr/bin/python
# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wp_site
short_description: Bring a WordPress site to its declared state
version_added: 0.1.0
description:
  - Code, configuration, installation, database schema, languages, plugins, themes, options and users of one site, in one call.
  - One WP-CLI process reads everything that is declared; differences become the fewest commands; one more process reads again.
    A site that is as declared costs one process.
  - What is not declared is left alone, unless O(purge_plugins) or O(purge_themes) say otherwise.
  - It never installs over a site whose database is away or damaged, and never changes the administrator's password again.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
  - dockpress.hosting.wp.carried
  - dockpress.hosting.wp.lock
  - dockpress.hosting.wp.install
  - dockpress.hosting.wp.language
  - dockpress.hosting.wp.plugins
  - dockpress.hosting.wp.themes
  - dockpress.hosting.wp.options
  - dockpress.hosting.wp.users
attributes:
  action:
    support: full
    description: Has an action plugin, which carries sources from the control node.
options:
  core:
    description: Where WordPress comes from. See M(dockpress.hosting.wp_core) for what the entries mean.
    type: dict
    default: {}
    suboptions:
      version:
        description: The version that is to be there, or V(latest). Not given, any will do.
        type: str
      source:
        description:
          - V(image) for what the PHP-FPM container's image holds, a folder or zip, or a URL of a zip.
          - A site that has another version than its source gets that of the source.
          - Not given, code that is missing comes out of the image where O(fpm_container) is and no version is named, else from WordPress.org.
        type: str
      sha256:
        description: Checksum of the zip. A URL needs one.
        type: str
      remote_src:
        description: Whether a folder or zip lies on the managed host already.
        type: bool
        default: false
      allow_downgrade:
        description: Whether an older version may replace a newer one.
        type: bool
        default: false
  config:
    description:
      - Constants of a literal C(wp-config.php). See M(dockpress.hosting.wp_config) for what the entries mean.
      - Not together with O(config_include).
    type: dict
    suboptions:
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
        description: Names and values, typed as in YAML.
        type: dict
        default: {}
      secret_constants:
        description: Like C(constants), hidden in results and diffs.
        type: dict
        default: {}
      raw_constants:
        description: Names and PHP expressions.
        type: dict
        default: {}
      absent_constants:
        description: Names that are not to be defined.
        type: list
        elements: str
        default: []
  config_include:
    description:
      - Absolute path, inside the containers, of a file with the settings.
      - C(wp-config.php) is then a constant stub that loads it, and holds no setting.
    type: str
  update_database:
    description: Whether the database's schema is brought to what the code wants.
    type: bool
    default: true
  purge_plugins:
    description:
      - Whether plugins that are not listed are removed. Must-use plugins and drop-ins stay, and in a network what is active in it
        or on another of its sites.
    type: bool
    default: false
  purge_themes:
    description:
      - Whether themes that are not listed are removed. The active one and its parent stay, and in a network those of its other sites.
    type: bool
    default: false
  verify_page:
    description: At the end, whether the page is served. Not in check mode.
    type: dict
    suboptions:
      url:
        description: Where to connect, seen from the managed host. The C(Host) header is that of O(url).
        type: str
        required: true
      status:
        description: The status that is right.
        type: int
        default: 200
      contains:
        description: Text that the page must have.
        type: str
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: A site with its code, a theme, a plugin, options and an editor
  dockpress.hosting.wp_site:
    container: blog-cron-1
    fpm_container: blog-wordpress-1
    url: https://blog.example.com
    config_include: /etc/dockpress/wordpress/wp-config.php
    title: Our blog
    admin_user: admin
    admin_password: "{{ blog_admin_password }}"
    admin_email: admin@example.com
    language: de_DE
    plugins:
      - name: akismet
        state: present
      - name: wordpress-importer
        source: files/wordpress-importer.zip
      - name: hello
        state: absent
    themes:
      - name: twentytwentyfive
        state: active
    options:
      blogdescription: What we do, and why
      permalink_structure: /%year%/%postname%/
    users:
      - login: erika
        email: erika@example.com
        roles: [editor]
        password: "{{ erika_password }}"
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
versions:
  description: Versions of WordPress and PHP, and the database schema.
  returned: success
  type: dict
  sample: {wordpress: 7.1.1, php: 8.4.11, schema: 60421}
page:
  description: What O(verify_page) saw.
  returned: when O(verify_page) is given
  type: dict
application_passwords:
  description: New application passwords by login and name, in the clear. Set C(no_log) on the task.
  returned: when some were made
  type: dict
"""

import contextlib
import http.client
import ssl
import time
import urllib.parse

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCliError, wp_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_config import CONFIG_OPTIONS, ConfigFile, ConfigStub
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_core import (
    CORE_OPTIONS,
    INSTALL_OPTIONS,
    LANGUAGE_OPTIONS,
    Code,
    Installation,
    Language,
    Schema,
)
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_extension import (
    PLUGIN_OPTIONS,
    THEME_OPTIONS,
    Plugins,
    Themes,
)
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_option import OPTION_OPTIONS, Options
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import LOCK_OPTIONS, Site, run_module
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_user import USER_OPTIONS, Users


def fetch(target: urllib.parse.SplitResult, host: str) -> tuple[int, str | None, str]:
    """Status, Location and text of a page. Raises OSError or HTTPException."""
    # The certificate is the edge's matter: here the question is what WordPress serves.
    options = {"context": ssl._create_unverified_context()} if target.scheme == "https" else {}
    kind = http.client.HTTPSConnection if target.scheme == "https" else http.client.HTTPConnection
    with contextlib.closing(kind(target.netloc, timeout=60, **options)) as connection:
        path = (target.path or "/") + (f"?{target.query}" if target.query else "")
        connection.request("GET", path, headers={"Host": host})
        response = connection.getresponse()
        return response.status, response.getheader("Location"), response.read(1 << 20).decode("utf-8", "replace")


def verify_page(wanted: dict, url: str | None) -> dict:
    """Fetch a page the way a visitor's browser asks for it. Raises WpCliError where it is not what it should be."""
    target = urllib.parse.urlsplit(wanted["url"])
    host = urllib.parse.urlsplit(url).netloc if url else target.netloc
    end = time.monotonic() + 30
    while True:
        try:
            status, location, body = fetch(target, host)
            trouble = None
        except (OSError, http.client.HTTPException) as error:
            status, location, body = 0, None, ""
            trouble = error
        # PHP-FPM may be loading the code anew at this moment.
        if status not in (0, 502, 503, 504) or status == wanted["status"] or time.monotonic() > end:
            break
        time.sleep(1)
    if trouble:
        raise WpCliError(f"verify_page: {wanted['url']} cannot be opened: {trouble}") from trouble
    page = {"status": status, "bytes": len(body.encode()), "location": location}
    if status != wanted["status"]:
        to = f" (to {location})" if location else ""
        raise WpCliError(
            f"verify_page: {wanted['url']} answers {status}{to} for {host}, not {wanted['status']}.", page=page
        )
    if wanted["contains"] and wanted["contains"] not in body:
        raise WpCliError(f"verify_page: {wanted['url']} does not have the text {wanted['contains']!r}.", page=page)
    return page


def build(module: AnsibleModule) -> list:
    """The resources that are declared, in the order in which they depend on each other."""
    params = module.params
    carried = params["_carried"]
    resources = []
    if params["config_include"]:
        resources.append(ConfigStub(params["config_include"]))
    elif params["config"]:
        resources.append(ConfigFile(params["config"]))
    resources.append(Code(params["core"], carried, params["fpm_container"]))
    resources.append(Installation(params, params["url"], params["language"]))
    if params["update_database"]:
        resources.append(Schema())
    options = {name: params[name] for name in OPTION_OPTIONS}
    if params["title"] is not None and "blogname" not in options["options"]:
        options["options"] = {"blogname": params["title"], **options["options"]}
    resources += [
        Language(params, carried),
        Plugins(module, params["plugins"], carried, params["purge_plugins"]),
        Themes(module, params["themes"], carried, params["purge_themes"]),
        Options(options),
        Users(params["users"]),
    ]
    return resources


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=wp_argument_spec(
            core={"type": "dict", "default": {}, "options": CORE_OPTIONS},
            config={"type": "dict", "options": CONFIG_OPTIONS},
            config_include={"type": "str"},
            **INSTALL_OPTIONS,
            **LANGUAGE_OPTIONS,
            update_database={"type": "bool", "default": True},
            plugins={"type": "list", "elements": "dict", "default": [], "options": PLUGIN_OPTIONS},
            purge_plugins={"type": "bool", "default": False},
            themes={"type": "list", "elements": "dict", "default": [], "options": THEME_OPTIONS},
            purge_themes={"type": "bool", "default": False},
            **OPTION_OPTIONS,
            users={"type": "list", "elements": "dict", "default": [], "options": USER_OPTIONS},
            verify_page={
                "type": "dict",
                "options": {
                    "url": {"type": "str", "required": True},
                    "status": {"type": "int", "default": 200},
                    "contains": {"type": "str"},
                },
            },
            **LOCK_OPTIONS,
            _carried={"type": "dict"},
        ),
        mutually_exclusive=[("config", "config_include")],
        supports_check_mode=True,
    )

    def finish(site: Site) -> dict:
        state = site.state
        answer = {
            "versions": {"wordpress": state["code"]["version"], "php": state["php"], "schema": state.get("db_version")}
        }
        if site.values:
            answer["application_passwords"] = Users.application_passwords(site.values)
        if module.params["verify_page"] and not module.check_mode:
            answer["page"] = verify_page(module.params["verify_page"], module.params["url"])
        return answer

    run_module(module, lambda: build(module), finish)


if __name__ == "__main__":
    main()
