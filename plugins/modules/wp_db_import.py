#!/usr/bin/python
# Copyright: dockpress contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wp_db_import
short_description: Put the tables of a dump in the place of a site's
version_added: 0.1.0
description:
  - Loads a dump of one site into its database, so that the site has either its former tables or all of the dump's, and never something between.
  - The file is read to its end first (checksum, decompression, completeness, table prefix, statements about other databases).
    Then it is loaded into a scratch database beside the site's, by an account that has rights there and nowhere else. The first statement that
    fails ends it, and its line is named. Tables and their rows are compared with those of the file. Only then one C(RENAME TABLE) swaps them in,
    and triggers, views, routines and events are made again, with the site's own account as their definer.
  - A dump of what was there before is kept unless told otherwise. Where a step after the swap fails, the former tables return.
  - The site's lock is held from beginning to end. What a killed import left behind is finished or undone first; after a killed restore that
    is refused, for its files have to go back with its database (M(dockpress.hosting.wp_restore), M(dockpress.hosting.wp_backup)).
notes:
  - Uses the database container's own client and its root account, and not C(wp db import), which goes on after a failed statement, follows
    C(USE) lines into other databases, and leaves a half imported site behind.
  - While a dump is loaded, the disk holds the site's tables twice.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
  - dockpress.hosting.wp_database
options:
  src:
    description:
      - The dump on the managed host. The name says how it is compressed, C(.zst), C(.gz), or anything else for not at all.
    type: path
    required: true
  checksum:
    description:
      - SHA-256 sum that the file must have. Without it, what the file C(<src>.sha256) says, where there is one.
    type: str
  require_complete:
    description:
      - Whether the last line must be the C(Dump completed) of C(mariadb-dump) and C(mysqldump).
      - Turn it off for a dump that another program wrote.
    type: bool
    default: true
  table_prefix:
    description:
      - The site's table prefix; some table of the dump must have it. Without it, that of the one WordPress that is in the database.
    type: str
  extra_tables:
    description:
      - What becomes of tables and views with the site's prefix that the dump does not hold. They are listed in any case.
      - Tables of another WordPress in the same database, such as C(wp_shop_) beside C(wp_), are not the site's.
    type: str
    choices: [keep, drop]
    default: keep
  replace:
    description:
      - Texts to replace in all tables afterwards, as M(dockpress.hosting.wp_search_replace) does it. Needs O(container) or O(fpm_container).
    type: list
    elements: dict
    default: []
    suboptions:
      from:
        description: The text to replace, such as the URL of the site that was dumped.
        type: str
        required: true
      to:
        description: What it becomes.
        type: str
        required: true
  safety_dump:
    description:
      - Whether the site's present tables are dumped first.
    type: bool
    default: true
  safety_dir:
    description:
      - The folder of these dumps; without it C(/var/backups/dockpress/<site>). It is created with mode C(0700).
    type: path
  safety_keep:
    description:
      - How many of these dumps stay there. V(0) keeps all.
    type: int
    default: 3
attributes:
  check_mode:
    support: full
    description: Says what it would change and changes nothing.
    details:
      - Checks the file to its end.
  diff_mode:
    support: full
    description: Shows the tables and their rows before and after.
  idempotent:
    support: none
    description: Run again with the same parameters, it changes nothing.
    details:
      - Loads the dump again at every run.
seealso:
  - module: dockpress.hosting.wp_db_export
  - module: dockpress.hosting.wp_search_replace
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: Bring the database back to what it was before
  dockpress.hosting.wp_db_import:
    container: blog-example-com-cron-1
    src: /srv/dockpress/blog-example-com/export/before.sql.zst

- name: The production database into the staging site
  dockpress.hosting.wp_db_import:
    container: staging-example-com-cron-1
    src: /srv/production.sql.zst
    extra_tables: drop
    replace:
      - from: https://blog.example.com
        to: https://staging.example.com
"""

RETURN = r"""
tables:
  description: The rows of each table that came in. Tables that another program than C(mariadb-dump) wrote are listed after the load only.
  type: dict
  returned: success
extra_tables:
  description: Tables and views with the site's prefix that the dump does not hold.
  type: list
  elements: str
  returned: success
added_tables:
  description: Tables of the dump that the site did not have.
  type: list
  elements: str
  returned: success
removed_tables:
  description: Tables and views that were dropped.
  type: list
  elements: str
  returned: success
safety_dump:
  description: The dump of what was there before.
  type: str
  returned: when one was made, also after a failure
sha256:
  description: SHA-256 sum of the file.
  type: str
  returned: success
replaced:
  description: What O(replace) changed and what it left, as M(dockpress.hosting.wp_search_replace) returns it.
  type: dict
  returned: when O(replace) is given
siteurl:
  description: The address that the site has now according to its database.
  type: str
  returned: success
recovered:
  description: What was finished or undone of a run that had been killed.
  type: str
  returned: when there was something
rolled_back:
  description: Whether the former tables had been replaced and were put back.
  type: bool
  returned: on failure after the file was found good
line:
  description: The line of the dump at which it failed.
  type: int
  returned: when a statement failed
seconds:
  description: How long check, load and swap took.
  type: dict
  returned: success
  sample: {"check": 1.2, "load": 9.8, "swap": 0.2}
"""

import json
import time
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._dump import Database, DumpError, DumpInfo, quote
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import LockError, site_lock
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCli, WpCliError, connect
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_database import (
    database_argument_spec,
    find_database,
    lock_file,
    owned,
    site_prefixes,
)
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_search_replace import check_pairs, search_replace

SAFETY = "before-import-"
LOOK = "wp_cache_flush(); emit(['installed' => is_blog_installed(), 'home' => get_option('home')]);"


def pick_prefix(given: str | None, tables: list[str]) -> str | None:
    if given:
        return given
    found = site_prefixes(tables)
    if len(found) > 1:
        raise DumpError(
            f"table_prefix: the database holds several WordPress installations, {', '.join(found)}. Say which one is meant."
        )
    return found[0] if found else None


class Import:
    """One import under the lock."""

    def __init__(self, module: AnsibleModule, client: t.Any, database: Database, site: str) -> None:
        self.module = module
        self.params = module.params
        self.client = client
        self.database = database
        self.site = site
        self.pairs = check_pairs(self.params["replace"]) if self.params["replace"] else []
        self.wp = self.params["container"] or self.params["fpm_container"]
        if self.pairs and not self.wp:
            raise ValueError(
                "replace: name the container with WP-CLI in container, or the site's PHP-FPM container in fpm_container."
            )
        self.result: dict[str, t.Any] = {"changed": True}
        self.seconds: dict[str, float] = {}

    def run(self) -> dict[str, t.Any]:
        if not self.module.check_mode:
            recovered = self.database.recover()
            if recovered:
                self.result["recovered"] = recovered
        here = self.database.tables()
        prefix = pick_prefix(self.params["table_prefix"], here)
        info = self.database.check(self.params["src"], self.params["checksum"], prefix, self.params["require_complete"])
        self.seconds["check"] = info.seconds
        known = set(info.tables) | set(info.views)
        prefix = prefix or pick_prefix(None, info.tables)
        mine = owned([*here, *self.database.views()], prefix, here) if prefix else []
        extra = sorted(name for name in mine if name not in known)
        drop = extra if self.params["extra_tables"] == "drop" else []
        self.result.update(sha256=info.sha256, tables=info.rows, extra_tables=extra, seconds=self.seconds)
        if self.module._diff or self.module.check_mode:
            counts = self.database.table_counts(here)
            after = (
                {name: rows for name, rows in counts.items() if name not in drop}
                | dict.fromkeys(info.tables, "?")
                | info.rows
            )
            self.result["diff"] = {"before": pretty(counts), "after": pretty(after)}
        self.result.update(added_tables=sorted(set(info.tables) - set(here)), removed_tables=drop)
        if not self.module.check_mode:
            if self.params["safety_dump"] and here:
                self.result["safety_dump"] = self.save()
            self.load(info, prefix, drop)
        return self.result

    def save(self) -> str:
        folder = Path(self.params["safety_dir"] or f"/var/backups/dockpress/{self.site}")
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = folder / f"{SAFETY}{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.sql.zst"
        self.database.dump_to(path)
        keep = self.params["safety_keep"]
        for old in sorted(folder.glob(f"{SAFETY}*.sql.zst"))[:-keep] if keep else []:
            old.unlink()
            Path(f"{old}.sha256").unlink(missing_ok=True)
        return str(path)

    def load(self, info: DumpInfo, prefix: str | None, drop: list[str]) -> None:
        try:
            started = time.monotonic()
            self.database.load(self.params["src"], info)
            self.seconds["load"] = round(time.monotonic() - started, 2)
            self.judge(prefix)
            if len(info.rows) < len(info.tables):
                self.result["tables"] = self.database.table_counts(info.tables, self.database.scratch)
            started = time.monotonic()
            self.database.swap(drop)
            self.seconds["swap"] = round(time.monotonic() - started, 2)
            if self.pairs:
                with WpCli.from_params(self.params) as wp:
                    self.result["replaced"] = search_replace(
                        wp, self.pairs, write=True, timeout=self.params["database_timeout"]
                    )
                if self.result["replaced"]["left"]:
                    self.module.warn(
                        f"{self.result['replaced']['left']} occurrences of a text to replace are left; replaced.leftovers says where and why."
                    )
            self.result["siteurl"] = self.siteurl(prefix)
            if self.wp:
                self.look()
        except BaseException as error:
            said = getattr(error, "msg", error)
            facts = getattr(error, "details", getattr(error, "facts", {}))
            try:
                back = self.database.abort()
            except DumpError as second:
                raise DumpError(
                    f"{said} What is left of this import could not be cleared away ({second}). The next import or export does it.",
                    **facts,
                ) from error
            self.result["rolled_back"] = back
            if back and isinstance(error, Exception):
                raise DumpError(f"{said} The former tables are back in their place.", **facts) from error
            raise
        self.database.discard()

    def judge(self, prefix: str | None) -> None:
        """Is what was loaded a site?"""
        if prefix and not self.siteurl(prefix, self.database.scratch):
            raise DumpError(
                f"{self.params['src']} is a dump without a site: {prefix}options has no siteurl. The site's tables were not touched."
            )

    def siteurl(self, prefix: str | None, schema: str | None = None) -> str | None:
        name = f"{prefix or ''}options"
        if name not in self.database.tables(schema):
            return None
        rows = self.database.sql(
            f"SELECT option_value FROM {quote(name)} WHERE option_name = 'siteurl';", schema or self.database.name
        )
        return rows[0][0] if rows else None

    def look(self) -> None:
        """WordPress itself must take it for an installed site; its object cache knows the former tables."""
        with WpCli.from_params(self.params | {"url": self.result["siteurl"]}) as wp:
            if not wp.eval(LOOK, plugins=False)["installed"]:
                raise DumpError("WordPress does not take the imported tables for an installed site.")


def pretty(state: dict[str, t.Any]) -> str:
    return json.dumps(state, indent=2, sort_keys=True) + "\n"


def main() -> None:
    module = AnsibleModule(
        argument_spec=database_argument_spec(
            src={"type": "path", "required": True},
            checksum={"type": "str"},
            require_complete={"type": "bool", "default": True},
            table_prefix={"type": "str"},
            extra_tables={"type": "str", "choices": ["keep", "drop"], "default": "keep"},
            replace={
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {"from": {"type": "str", "required": True}, "to": {"type": "str", "required": True}},
            },
            safety_dump={"type": "bool", "default": True},
            safety_dir={"type": "path"},
            safety_keep={"type": "int", "default": 3},
        ),
        supports_check_mode=True,
    )
    work = None
    try:
        client = connect(module.params["docker_host"])
        database = find_database(client, module.params)
        lock = lock_file(database, module.params)
        work = Import(module, client, database, Path(lock).stem)
        with site_lock(lock, module.params["lock_timeout"], f"wp_db_import of {module.params['src']}"):
            result = work.run()
    except (DumpError, LockError, ValueError) as error:
        module.fail_json(msg=str(error), **getattr(error, "facts", {}), **reached(work))
    except WpCliError as error:
        module.fail_json(**error.as_failure(), **reached(work))
    module.exit_json(**result)


def reached(work: Import | None) -> dict[str, t.Any]:
    """What a failed run had found out and done."""
    keys = ("rolled_back", "safety_dump", "recovered")
    return {key: work.result[key] for key in keys if key in work.result} if work else {}


if __name__ == "__main__":
    main()
