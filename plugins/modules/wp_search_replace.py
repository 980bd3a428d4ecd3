#!/usr/bin/python
# Copyright: dockpress contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wp_search_replace
short_description: Replace text in a site's database, in every form that it takes there
version_added: 0.1.0
description:
  - Replaces texts, most often a site's address, in all tables with its prefix, in one transaction.
  - A text is found as it stands, with escaped slashes and as JSON writes it, in JSON inside JSON, and percent-encoded; in values and array keys
    of serialized PHP (whose lengths are corrected, without making any object), in JSON inside serialized PHP and the reverse.
  - What was found and could not be replaced is counted and listed in RV(left) and RV(leftovers), never passed over.
  - A row whose column cannot hold the new text, for its length, its character set or a unique key, stays as it is and is listed with what the
    database says.
  - An address of a site in O(addresses) is found however it is written. A text in O(pairs) is neither found nor listed where it stands in base64,
    or with slashes written as C(&#47;) or C(\u002F).
  - All pairs are applied in one pass, the longest match first, so a result is not replaced again. Where the new text contains the old one,
    a second run changes nothing.
notes:
  - A program of the collection's own, that WP-CLI runs before WordPress loads. C(wp search-replace) leaves array keys, escaped slashes, percent encoding
    and BLOB columns as they are without a word, and accepts an empty text.
  - The site's lock is not taken. M(dockpress.hosting.wp_db_import) replaces under its lock.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
options:
  pairs:
    description:
      - What to replace. All pairs are applied at once.
      - A URL without a path replaces the domain in the tables of a network, C(blogs) and C(site), too.
      - Needed where O(addresses) is not given.
    type: list
    elements: dict
    default: []
    suboptions:
      from:
        description:
          - The text to replace, at least three characters. Upper and lower case differ.
        type: str
        required: true
      to:
        description:
          - What it becomes.
        type: str
        required: true
  addresses:
    description:
      - Addresses of sites to replace, for a copy that must not lead to its original.
      - Found are V(http) and V(https), any port unless both have the same host, in upper and lower case, with and without C(www.), without a scheme
        and as a name by itself, in punycode and not, as JSON, HTML, queries and the attributes of blocks write them, and in base64.
      - A mail address is not replaced, nor what only begins or ends like the address, such as C(myblog.example.com) or C(blog.example.com.au).
      - In a network, the sites below the host (C(shop.example.com) of C(example.com)) go with it.
    type: list
    elements: dict
    default: []
    suboptions:
      from:
        description:
          - The address to replace, such as V(https://blog.example.com), with the path where the site is in one.
        type: str
        required: true
      to:
        description:
          - What it becomes.
        type: str
        required: true
  tables:
    description:
      - Names of tables, C(*) and C(?) allowed. Without it, all tables that begin with the site's prefix, but not those of
        another WordPress whose longer prefix begins like it, such as C(wp_shop_) beside C(wp_).
    type: list
    elements: str
    default: []
  skip_columns:
    description:
      - Columns that are neither changed nor searched for leftovers. The GUID of a post is its name for feed readers and not an address.
    type: list
    elements: str
    default: [guid]
  blobs:
    description:
      - Whether columns with binary content are changed. They are searched for leftovers in any case.
    type: bool
    default: false
attributes:
  check_mode:
    support: full
    description: Says what it would change and changes nothing.
    details:
      - Counts exactly what a run would change and leave, by changing rows and putting them back. They are locked for as long.
      - Where rows cannot be put back (tables of MyISAM and Aria, tables with triggers), what the database would refuse counts as changed.
  diff_mode:
    support: full
    description: Shows the changed rows of each column.
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: A site moves to another address
  dockpress.hosting.wp_search_replace:
    container: blog-example-com-cron-1
    pairs:
      - from: http://blog.example.com
        to: https://www.example.com
  register: moved

- name: A copy that does not lead to its original
  dockpress.hosting.wp_search_replace:
    container: staging-example-com-cron-1
    addresses:
      - from: https://blog.example.com
        to: https://staging.example.com
    skip_columns: []
    blobs: true

- name: Nothing of the old address is left
  ansible.builtin.assert:
    that: moved.left == 0
"""

RETURN = r"""
changes:
  description: The changed rows of each column.
  type: dict
  returned: success
  sample: {"wp_options.option_value": 4, "wp_posts.post_content": 120}
left:
  description: How often a text to replace is still there, in any form.
  type: int
  returned: success
leftovers:
  description: Where, at most fifty places.
  type: list
  elements: dict
  returned: success
  contains:
    table:
      description: The table.
      type: str
    column:
      description: The column.
      type: str
    row:
      description: The name of the option, or the primary key.
      type: str
    forms:
      description: How often it stands there in which form.
      type: dict
    why:
      description: Why it was not replaced.
      type: str
tables:
  description: How many tables were searched.
  type: int
  returned: success
without_key:
  description: Changed tables without a primary key; rows with equal content were changed together.
  type: list
  elements: str
  returned: success
multisite:
  description: Whether it is a network.
  type: bool
  returned: success
"""

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCli, WpCliError, wp_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_search_replace import (
    check_addresses,
    check_pairs,
    search_replace,
)


def replace(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    addresses = check_addresses(params["addresses"])
    pairs = check_pairs(params["pairs"]) if params["pairs"] or not addresses else []
    with WpCli.from_params(params) as wp:
        done = search_replace(
            wp,
            pairs,
            addresses=addresses,
            write=not module.check_mode,
            tables=params["tables"],
            skip_columns=params["skip_columns"],
            blobs=params["blobs"],
        )
        changed = bool(done["changes"])
        if changed and not module.check_mode:
            flushed = wp.run(["cache", "flush", "--skip-plugins", "--skip-themes"], check=False)
            if flushed.rc:
                module.warn(
                    f"The object cache could not be flushed: {(flushed.stderr or flushed.stdout).strip()[:300]}"
                )
    if done["tables"] == 0:
        raise ValueError(f"tables: no table is named {', '.join(params['tables']) or done['prefix'] + '*'}.")
    if done["left"]:
        module.warn(f"{done['left']} occurrences of a text to replace are left; leftovers says where and why.")
    result = {key: done[key] for key in ("changes", "left", "leftovers", "tables", "without_key", "multisite")}
    lines = "".join(f"{column}: {rows}\n" for column, rows in sorted(done["changes"].items()))
    result["diff"] = {
        "before_header": "rows with the old text",
        "before": lines,
        "after_header": "rows with the old text",
        "after": "",
    }
    return {"changed": changed, **result}


def main() -> None:
    text = {"type": "str", "required": True}
    module = AnsibleModule(
        argument_spec=wp_argument_spec(
            pairs={"type": "list", "elements": "dict", "default": [], "options": {"from": text, "to": text}},
            addresses={"type": "list", "elements": "dict", "default": [], "options": {"from": text, "to": text}},
            tables={"type": "list", "elements": "str", "default": []},
            skip_columns={"type": "list", "elements": "str", "default": ["guid"]},
            blobs={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
    )
    try:
        result = replace(module)
    except ValueError as error:
        module.fail_json(msg=str(error))
    except WpCliError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
