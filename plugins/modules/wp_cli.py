#!/usr/bin/python
# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
---
module: wp_cli
short_description: Run any WP-CLI command on a site
version_added: 0.1.0
description:
  - For what the other modules have no word for. The command is a list of arguments and never passes a shell.
  - Without O(unless), O(onlyif) or O(creates) every run counts as a change, unless O(changes) says V(false).
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
attributes:
  check_mode:
    support: partial
    description: Changes nothing.
    details:
      - With O(changes=false) the command is run, as it reads only. Otherwise the guards are asked, and it is not run.
  diff_mode:
    support: none
    description: What a command changes is not known.
  idempotent:
    support: partial
    description: With a guard.
options:
  argv:
    description: The command after C(wp), argument by argument.
    type: list
    elements: str
    required: true
  stdin:
    description: Standard input for the command. For secrets, which must not be arguments.
    type: str
  unless:
    description: A command. Where it ends with 0, O(argv) is not run.
    type: list
    elements: str
  onlyif:
    description: A command. Where it does not end with 0, O(argv) is not run.
    type: list
    elements: str
  creates:
    description: A path inside the container. Where it exists, O(argv) is not run.
    type: str
  changes:
    description: Whether the command changes something.
    type: bool
    default: true
  json:
    description: Whether the output is JSON, to be returned as RV(json). Ask the command for it with C(--format=json).
    type: bool
    default: false
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: Which sites has the network?
  dockpress.hosting.wp_cli:
    container: blog-cron-1
    argv: [site, list, --format=json]
    changes: false
    json: true
  register: sites

- name: A second site
  dockpress.hosting.wp_cli:
    container: blog-cron-1
    argv: [site, create, --slug=two]
    # An address that no site has is answered by the first one: ask the network.
    unless: [eval, "exit(get_blog_id_from_url('blog.example.com', '/two/') ? 0 : 1);"]
"""

RETURN = r"""
cmd:
  description: The command, without secrets.
  returned: when it was run
  type: str
rc:
  description: Its exit code.
  returned: when it was run
  type: int
stdout:
  description: Its output.
  returned: when it was run
  type: str
stderr:
  description: Its messages.
  returned: when it was run
  type: str
json:
  description: The output, read as JSON.
  returned: when O(json) is true
  type: raw
skipped_by:
  description: The guard that kept the command from being run.
  returned: when it was not run
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import (
    WpCli,
    WpCliError,
    find_json,
    wp_argument_spec,
)


def guard(wp: WpCli, params: dict) -> str | None:
    """The guard that forbids the command, if one does. Raises WpCliError where a guard cannot be asked."""
    if params["creates"] and wp.execute(["test", "-e", params["creates"]], check=False).rc == 0:
        return "creates"
    for name, stop in (("unless", True), ("onlyif", False)):
        if params[name]:
            result = wp.run(params[name], check=False)
            if (result.rc == 0) == stop:
                return name
    return None


def main() -> None:
    """Entry point."""
    module = AnsibleModule(
        argument_spec=wp_argument_spec(
            argv={"type": "list", "elements": "str", "required": True},
            stdin={"type": "str", "no_log": True},
            unless={"type": "list", "elements": "str"},
            onlyif={"type": "list", "elements": "str"},
            creates={"type": "str"},
            changes={"type": "bool", "default": True},
            json={"type": "bool", "default": False},
        ),
        supports_check_mode=True,
    )
    params = module.params
    if not params["argv"]:
        module.fail_json(msg="argv is empty: name a command, such as [option, get, home].")
    try:
        with WpCli.from_params(params) as wp:
            stopped = guard(wp, params)
            if stopped or (module.check_mode and params["changes"]):
                module.exit_json(changed=not stopped and params["changes"], skipped_by=stopped or "check mode")
            stdin = params["stdin"].encode() if params["stdin"] is not None else None
            result = wp.run(params["argv"], stdin, hidden=[params["stdin"] or ""])
            answer = result.as_dict() | {"stdout": result.stdout, "stderr": result.stderr}
            if params["json"]:
                answer["json"] = find_json(result)
    except WpCliError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(changed=params["changes"], **answer)


if __name__ == "__main__":
    main()
