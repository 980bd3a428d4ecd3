#!/usr/bin/python
# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wp_backup
short_description: Take a backup set of a site
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - "Writes one set: a dump of the database that is one snapshot, the site's files, its rendered configuration, and last a manifest with
    versions, sizes, checksums and the number of rows of every table. What has no manifest is no set."
  - The site stays up and writable.
  - Holds the site's lock from beginning to end. First it clears away what an interrupted backup or restore left behind.
  - Copies the set to restic repositories, where any are given. A copy that fails makes the task fail; the set on the host remains.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
  - dockpress.hosting.backup
options:
  freeze:
    description:
      - With V(true) the database becomes read-only for the site before the set is taken, and stays so, so that nothing is written
        that the set does not hold. Pages are served, what visitors write is refused. With V(false) the site may write again.
      - Without it, that is left as it is. A restart of the database ends it.
    type: bool
  track:
    description:
      - Note beside the set what its files are, so that a later set can be a difference to it.
    type: bool
    default: false
  since:
    description:
      - Name of a set that was taken with O(track). The files of the new set are then only those that have changed since, and
        M(dockpress.hosting.wp_restore) takes the others from the site that it restores, which has to be as that set left it.
      - Such a set is the last step of a move. It is never V(latest), is not counted, and goes with the next one.
    type: str
  repositories:
    description:
      - Where to copy the set to, with restic.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the repository in results and metrics.
        type: str
        required: true
      directory:
        description:
          - Folder on the host, readable by root alone, with the files C(repository) (what restic calls it) and C(password).
          - It may also hold C(environment), shell assignments such as C(RESTIC_REST_USERNAME=...), and C(ca.crt).
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
    description:
      - Image with restic.
    type: str
    default: restic/restic
attributes:
  diff_mode:
    support: none
    description: Shows the state before and after.
  idempotent:
    support: none
    description: Every run takes a set.
seealso:
  - module: dockpress.hosting.wp_restore
  - module: dockpress.hosting.wp_backup_prune
"""

EXAMPLES = r"""
- name: Back the blog up
  dockpress.hosting.wp_backup:
    site: blog.example.com
    directory: /srv/dockpress/blog-example-com
    container: blog-example-com-cron-1
    fpm_container: blog-example-com-wordpress-1
    database_container: blog-example-com-database-1
"""

RETURN = r"""
set:
  description: The set that was taken.
  returned: success, not in check mode
  type: dict
  contains:
    stamp:
      description: Its name, the UTC time.
      type: str
      sample: 20261125T030405Z
    path:
      description: Its folder on the host.
      type: str
    bytes:
      description: Size of all parts.
      type: int
seconds:
  description: How long it took, without the copies.
  returned: success, not in check mode
  type: float
recovered:
  description: What an interrupted run had left and was done about it, in words. Empty when there was nothing.
  returned: success, not in check mode
  type: str
copies:
  description: For each repository the id of the snapshot that holds the set.
  returned: success, not in check mode
  type: dict
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils import _backup_set, _restic
from ansible_collections.dockpress.hosting.plugins.module_utils._archive import ArchiveError
from ansible_collections.dockpress.hosting.plugins.module_utils._dump import DumpError
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import LockError
from ansible_collections.dockpress.hosting.plugins.module_utils._site_backup import Site, site_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCliError

FAILURES = (DumpError, WpCliError, ArchiveError, LockError, _backup_set.SetError, _restic.ResticError, OSError)


def outcome(module: AnsibleModule, good: bool) -> None:
    """Note how the run went. When the last good set was taken stands in a file of its own, which a failure leaves alone."""
    site = module.params["site"]
    text = _backup_set.metrics(
        site,
        [
            ("dockpress_backup_last_run_success", "Whether the last backup run succeeded.", good),
            ("dockpress_backup_last_run_timestamp_seconds", "When the last backup run ended.", time.time()),
        ],
    )
    problem = _backup_set.write_outcome(module.params["metrics_directory"], f"backup-run-{site}.prom", text)
    if problem:
        module.warn(problem)


def back_up(module: AnsibleModule) -> dict:
    params = module.params
    started = time.monotonic()
    site = Site(params)
    with site.wp:
        with site.lock("wp_backup"):
            # Whatever else fails, a site that may write again does.
            if params["freeze"] is False:
                site.freeze(False)
            recovered = site.recover()
            if params["freeze"]:
                site.freeze(True)
            made, warnings = site.take_set(track=params["track"], since=params["since"])
        seconds = round(time.monotonic() - started, 1)
        for warning in warnings:
            module.warn(warning)
        copies = {
            one["name"]: _restic.Repository(site.client, params["restic_image"], one).push(made)
            for one in params["repositories"]
        }
        text = _backup_set.metrics(
            site.name,
            [
                (
                    "dockpress_backup_last_success_timestamp_seconds",
                    "When the newest set was taken that is in every repository.",
                    made.taken.timestamp(),
                ),
                ("dockpress_backup_duration_seconds", "How long the newest set took.", seconds),
                ("dockpress_backup_bytes", "Size of the newest set.", made.bytes),
                ("dockpress_backup_sets", "Complete sets on the host.", len(_backup_set.sets(site.root, site.name))),
            ],
        )
        _backup_set.write_metrics(params["metrics_directory"], f"backup-{site.name}.prom", text)
    return {"set": made.summary(), "seconds": seconds, "recovered": recovered, "copies": copies}


def main() -> None:
    module = AnsibleModule(
        argument_spec=site_argument_spec(
            freeze={"type": "bool"},
            track={"type": "bool", "default": False},
            since={"type": "str"},
            repositories=_restic.REPOSITORIES,
            restic_image=_restic.IMAGE,
        ),
        supports_check_mode=True,
    )
    if module.check_mode:
        module.exit_json(changed=True)
    try:
        result = back_up(module)
    except FAILURES as error:
        outcome(module, False)
        facts = getattr(error, "facts", None) or getattr(error, "details", None) or {}
        module.fail_json(msg=f"{module.params['site']}: {getattr(error, 'msg', None) or error}", **facts)
    outcome(module, True)
    module.exit_json(changed=True, **result)


if __name__ == "__main__":
    main()
