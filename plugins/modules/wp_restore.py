#!/usr/bin/python
# Copyright (c) The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wp_restore
short_description: Restore a site from a backup set
version_added: 0.1.0
author: The dockpress engineers (@dockpress)
description:
  - "Verifies the set, takes a safety set of what is there, unpacks and loads beside the site, compares with the manifest, exchanges
    database and files, and opens the front page. If that fails, everything goes back."
  - "The site serves until the exchange. Whenever the process ends, the site is as it was before or as restored: the next run of this module
    or of M(dockpress.hosting.wp_backup) first undoes what is half done."
  - The stack has to run, and WordPress itself to be in place; the set brings the database and everything of the web root that is not
    WordPress' own.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
  - dockpress.hosting.backup
options:
  set:
    description:
      - Name of the set, or V(latest).
      - The set that a restore took for safety is never V(latest), but can be named.
    type: str
    default: latest
  source_site:
    description:
      - Name of the site that the set was taken of, where that is another one than O(site).
    type: str
  url:
    description:
      - Where the restored site is to be. Where that is not where it was, addresses in the database are replaced.
      - Without it, the address that the manifest says.
    type: str
  confirm:
    description:
      - Must be true where the database holds anything, for a restore replaces that.
    type: bool
    default: false
  safety:
    description:
      - Take a set of what is there first. It is kept.
    type: bool
    default: true
  verify_only:
    description:
      - Read and compare all of the set, and stop there.
    type: bool
    default: false
  drill:
    description:
      - This is a proof that the set restores. With success that is noted beside the manifest, and pruning keeps the set; metrics are
        written either way.
    type: bool
    default: false
  drill_seconds:
    description:
      - With O(drill), how long what came before took, such as starting the throwaway stack. It is part of the measured recovery time.
    type: float
    default: 0
  address:
    description:
      - Where the site's web server listens, seen from the container that has WP-CLI.
    type: str
    default: http://web
  repository:
    description:
      - The restic repository that the set comes from. Without it, the set lies on the host.
    type: dict
    suboptions:
      name:
        description: Name of the repository in messages.
        type: str
        required: true
      directory:
        description:
          - Folder on the host with the files C(repository) and C(password), as in M(dockpress.hosting.wp_backup).
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
  check_mode:
    support: full
    description: Reads and compares the set, and says that it would restore it. Refuses where an interrupted restore has to be undone first.
  diff_mode:
    support: none
    description: Shows the state before and after.
  idempotent:
    support: none
    description: Every run restores.
seealso:
  - module: dockpress.hosting.wp_backup
"""

EXAMPLES = r"""
- name: Bring the blog back to what it was in the last set
  dockpress.hosting.wp_restore:
    site: blog.example.com
    directory: /srv/dockpress/blog-example-com
    container: blog-example-com-cron-1
    fpm_container: blog-example-com-wordpress-1
    database_container: blog-example-com-database-1
    confirm: true

- name: A copy of the blog under another address
  dockpress.hosting.wp_restore:
    site: staging.example.com
    source_site: blog.example.com
    url: https://staging.example.com
    directory: /srv/dockpress/staging-example-com
    container: staging-example-com-cron-1
    fpm_container: staging-example-com-wordpress-1
    database_container: staging-example-com-database-1
"""

RETURN = r"""
set:
  description: The set.
  returned: success
  type: dict
  contains:
    stamp:
      description: Its name.
      type: str
    path:
      description: Its folder on the host.
      type: str
    bytes:
      description: Size of all parts.
      type: int
safety:
  description: Name of the set that was taken of what was there, or nothing where nothing was there.
  returned: success, when something was restored
  type: str
swap_seconds:
  description: How long the exchange took.
  returned: success, when something was restored
  type: float
seconds:
  description: How long all of it took.
  returned: success, when something was restored
  type: float
page:
  description: What the front page answered afterwards.
  returned: success, when something was restored
  type: dict
replaced:
  description: What was replaced for the new address, or nothing where it is the old one.
  returned: success, when something was restored
  type: dict
recovered:
  description: What an interrupted run had left and was done about it, in words. Empty when there was nothing.
  returned: success
  type: str
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils import _backup_set, _restic
from ansible_collections.dockpress.hosting.plugins.module_utils._archive import ArchiveError
from ansible_collections.dockpress.hosting.plugins.module_utils._dump import DumpError
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import LockError
from ansible_collections.dockpress.hosting.plugins.module_utils._site_backup import Site, site_argument_spec
from ansible_collections.dockpress.hosting.plugins.module_utils._site_restore import (
    RestoreError,
    examine,
    need_same_prefix,
    proof,
    replace_urls,
    restore,
)
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCliError

FAILURES = (
    RestoreError,
    DumpError,
    WpCliError,
    ArchiveError,
    LockError,
    _backup_set.SetError,
    _restic.ResticError,
    OSError,
)


def outcome(params: dict, good: bool, seconds: float | None = None) -> None:
    """The metrics of a drill, of the site that the set is of. The time of the last success stays when one fails."""
    site = params["source_site"] or params["site"]
    now = time.time()
    samples = [
        ("dockpress_drill_success", "Whether the last drill restored the newest set.", good),
        ("dockpress_drill_last_run_timestamp_seconds", "When the last drill ended.", now),
    ]
    _backup_set.write_outcome(params["metrics_directory"], f"drill-run-{site}.prom", _backup_set.metrics(site, samples))
    if good:
        samples = [
            ("dockpress_drill_last_success_timestamp_seconds", "When a drill last restored a set.", now),
            (
                "dockpress_drill_recovery_seconds",
                "From the start of the throwaway stack to its front page.",
                seconds or 0,
            ),
        ]
        _backup_set.write_metrics(params["metrics_directory"], f"drill-{site}.prom", _backup_set.metrics(site, samples))


def run(module: AnsibleModule, started: float) -> dict:
    params = module.params
    site = Site(params)
    source = params["source_site"] or site.name
    with site.wp, site.lock("wp_restore"):
        if module.check_mode:
            site.need_recovered()
        recovered = "" if module.check_mode else site.recover()
        if params["repository"]:
            repository = _restic.Repository(site.client, params["restic_image"], params["repository"])
            with site.lock_of(source, "wp_restore"):
                found = repository.fetch(site.root, source, params["set"])
        else:
            found = _backup_set.find(site.root, source, params["set"])
        base = {"set": found.summary(), "recovered": recovered}
        if not params["verify_only"]:
            need_same_prefix(site, found)
        if params["verify_only"] or module.check_mode:
            try:
                examine(site, found)
            finally:
                site.clear_stage()
            return {"changed": not params["verify_only"], **base}
        if not params["confirm"] and site.installed():
            raise RestoreError(
                f"The database of {site.name} holds {len(site.database.tables())} tables that a restore of set {found.stamp} "
                "would replace. Set confirm: true (restore_confirm: true for the playbook) if that is wanted."
            )
        result = restore(
            site,
            found,
            address=params["address"],
            url=params["url"],
            safety=params["safety"],
            replace=replace_urls,
        )
        for warning in result.pop("warnings", []):
            module.warn(warning)
        if params["drill"]:
            # The page was there before anything was looked at.
            seconds = round(params["drill_seconds"] + time.monotonic() - started, 1)
            result["recovery_seconds"] = seconds
            result["proof"] = proof(site, found, params["url"] or found.manifest["url"], params["address"])
            _backup_set.prove(found, _backup_set.now(), {"seconds": seconds, **result["proof"]})
            outcome(params, True, seconds)
        return {"changed": True, **base, **result}


def main() -> None:
    started = time.monotonic()
    module = AnsibleModule(
        argument_spec=site_argument_spec(
            set={"type": "str", "default": "latest"},
            source_site={"type": "str"},
            confirm={"type": "bool", "default": False},
            safety={"type": "bool", "default": True},
            verify_only={"type": "bool", "default": False},
            drill={"type": "bool", "default": False},
            drill_seconds={"type": "float", "default": 0},
            address={"type": "str", "default": "http://web"},
            repository={"type": "dict", "options": _restic.REPOSITORY},
            restic_image=_restic.IMAGE,
        ),
        supports_check_mode=True,
    )
    try:
        result = run(module, started)
    except FAILURES as error:
        if module.params["drill"] and not module.check_mode:
            outcome(module.params, False)
        facts = getattr(error, "facts", None) or getattr(error, "details", None) or {}
        module.fail_json(msg=f"{module.params['site']}: {getattr(error, 'msg', None) or error}", **facts)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
