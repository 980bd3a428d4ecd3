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
  - Sets that restores took for safety count for none of that. The newest O(keep_min) of them stay.
  - The clock is not asked, so a site that is no longer backed up keeps what it has.
  - Folders that are no complete sets are neither counted nor removed, nor are sets of which a part is missing or cut.
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
  repositories:
    description:
      - Repositories of restic from which old sets go by the same rules. Their credentials must allow to delete.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the repository in results.
        type: str
        required: true
      directory:
        description: Folder on the host with the files C(repository) and C(password), as in M(dockpress.hosting.wp_backup).
        type: path
        required: true
      network:
        description: Docker network by which restic reaches the repository.
        type: str
        default: bridge
      volume:
        description: Folder of the host that is mounted at the same place, for a repository that is a folder.
        type: path
  restic_image:
    description: Image with restic.
    type: str
    default: restic/restic
  docker_host:
    description: Where the Docker engine is reached, which runs restic.
    type: str
    default: unix:///var/run/docker.sock
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
copies:
  description: For each of O(repositories) the names of the sets that were C(removed) from it and those that were C(kept).
  returned: success
  type: dict
  sample: {offsite: {removed: [], kept: {20261125T030405Z: [keep_min, daily]}}}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils import _backup_set, _restic
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import LockError, lock_path, site_lock
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCliError, connect

RULES = ("hourly", "daily", "weekly", "monthly", "yearly", "keep_min")


def prune_here(module: AnsibleModule, policy: _backup_set.Policy) -> dict:
    """Remove sets from this host, in check mode only list them."""
    params = module.params
    site = params["site"]
    with site_lock(lock_path(params["lock"] or site), params["lock_timeout"], f"wp_backup_prune of {site}"):
        listed = _backup_set.sets(params["root"], site)
        found = {one.stamp: one for one in listed if one.whole}
        for one in listed:
            if not one.whole:
                module.warn(f"{one.path} lacks a part, or one is cut: it is not counted and not removed.")
        proven = _backup_set.last_proven(found.values())
        taken = [one.taken for one in found.values() if not one.safety]
        safety = [one.taken for one in found.values() if one.safety]
        plan = _backup_set.plan(taken, policy, proven and proven.taken, safety)
        if not module.check_mode:
            for stamp in plan.remove:
                _backup_set.remove(found[stamp])
    diff = {
        "before": "".join(f"{stamp}\n" for stamp in sorted(found)),
        "after": "".join(f"{stamp}\n" for stamp in plan.keep),
    }
    return {"removed": plan.remove, "kept": plan.keep, "diff": diff, "proven": proven and proven.taken}


def prune_copies(module: AnsibleModule, policy: _backup_set.Policy, proven) -> dict:
    """Remove sets from the repositories by the same rules; the set that was proven on this host stays there as well."""
    params = module.params
    if not params["repositories"]:
        return {}
    client = connect(params["docker_host"])
    done = {}
    for about in params["repositories"]:
        repository = _restic.Repository(client, params["restic_image"], about)
        snapshots = repository.snapshots(params["site"])
        plan = _backup_set.plan(map(_backup_set.parse_stamp, snapshots), policy, proven)
        if plan.remove and not module.check_mode:
            repository.forget([snapshots[stamp] for stamp in plan.remove])
        done[about["name"]] = {"removed": plan.remove, "kept": plan.keep}
    return done


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
            "repositories": _restic.REPOSITORIES,
            "restic_image": _restic.IMAGE,
            "docker_host": {"type": "str", "default": "unix:///var/run/docker.sock"},
            "lock": {"type": "str"},
            "lock_timeout": {"type": "int", "default": 600},
        },
        supports_check_mode=True,
    )
    try:
        policy = _backup_set.Policy(**{name: module.params[name] for name in RULES})
        result = prune_here(module, policy)
        copies = prune_copies(module, policy, result.pop("proven"))
    except (_backup_set.SetError, _restic.ResticError, LockError, WpCliError, OSError) as error:
        module.fail_json(msg=f"{module.params['site']}: {getattr(error, 'msg', None) or error}")
    changed = bool(result["removed"]) or any(one["removed"] for one in copies.values())
    module.exit_json(changed=changed, copies=copies, **result)


if __name__ == "__main__":
    main()
