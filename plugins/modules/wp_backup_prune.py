#!/usr/bin/python
# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wp_backup_prune
short_description: Remove old backup sets of a site
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - Keeps the newest set of each of the last hours, days, weeks, months and years, by the time in the manifests (UTC).
  - Never leaves fewer than O(keep_min) sets, and never removes the last set that a drill has restored.
  - The clock is not asked, so a site that is no longer backed up keeps what it has.
  - Folders that are no complete sets are neither counted nor removed.
options:
  site:
    description: Name of the site.
    type: str
    required: true
  root:
    description: Folder of all backup sets on the host.
    type: path
    default: /var/backups/dockpress
  hourly:
    description: For how many hours to keep the last set.
    type: int
    default: 0
  daily:
    description: For how many days to keep the last set.
    type: int
    default: 7
  weekly:
    description: For how many weeks to keep the last set.
    type: int
    default: 5
  monthly:
    description: For how many months to keep the last set.
    type: int
    default: 12
  yearly:
    description: For how many years to keep the last set.
    type: int
    default: 3
  keep_min:
    description: How many of the newest sets stay whatever the rules say. At least 1.
    type: int
    default: 3
  lock:
    description: Name of the lock below C(/run/lock/dockpress), which is the site's by default.
    type: str
  lock_timeout:
    description: How many seconds to wait for whoever else changes the site as a whole.
    type: int
    default: 600
attributes:
  check_mode:
    support: full
    description: Lists exactly what would be removed.
  diff_mode:
    support: full
    description: Shows the names of the sets before and after.
  idempotent:
    support: full
    description: Run again with the same parameters, it removes nothing.
  platform:
    support: full
    platforms: posix
    description: Where the module runs.
seealso:
  - module: dockpress.hosting.wp_backup
"""

EXAMPLES = r"""
- name: Keep two weeks and a year of months
  dockpress.hosting.wp_backup_prune:
    site: blog.example.com
    daily: 14
    weekly: 0
    monthly: 12
    yearly: 0
"""

RETURN = r"""
removed:
  description: Names of the sets that were removed, oldest first.
  returned: success
  type: list
  elements: str
kept:
  description: Names of the sets that stay, each with the rules that keep it.
  returned: success
  type: dict
  sample: {20261125T030405Z: [keep_min, daily]}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils import _backup_set
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import LockError, lock_path, site_lock

RULES = ("hourly", "daily", "weekly", "monthly", "yearly", "keep_min")


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "str", "required": True},
            "root": {"type": "path", "default": "/var/backups/dockpress"},
            "hourly": {"type": "int", "default": 0},
            "daily": {"type": "int", "default": 7},
            "weekly": {"type": "int", "default": 5},
            "monthly": {"type": "int", "default": 12},
            "yearly": {"type": "int", "default": 3},
            "keep_min": {"type": "int", "default": 3},
            "lock": {"type": "str"},
            "lock_timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    params = module.params
    site = params["site"]
    try:
        policy = _backup_set.Policy(**{name: params[name] for name in RULES})
        with site_lock(lock_path(params["lock"] or site), params["lock_timeout"], f"wp_backup_prune of {site}"):
            found = {one.stamp: one for one in _backup_set.sets(params["root"], site)}
            proven = _backup_set.last_proven(found.values())
            plan = _backup_set.plan([one.taken for one in found.values()], policy, proven and proven.taken)
            if not module.check_mode:
                for stamp in plan.remove:
                    _backup_set.remove(found[stamp])
    except (_backup_set.SetError, LockError, OSError) as error:
        module.fail_json(msg=f"{site}: {error}")
    diff = {
        "before": "".join(f"{stamp}\n" for stamp in sorted(found)),
        "after": "".join(f"{stamp}\n" for stamp in plan.keep),
    }
    module.exit_json(changed=bool(plan.remove), removed=plan.remove, kept=plan.keep, diff=diff)


if __name__ == "__main__":
    main()
