#!/usr/bin/python
# Copyright: dockpress contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: wp_db_export
short_description: Write a consistent dump of a site's database to a file
version_added: 0.1.0
description:
  - Streams a dump of one site's database into a file on the managed host, with its SHA-256 sum beside it.
  - The database container's own C(mariadb-dump) makes it, in one transaction and without locking tables, so the site stays writable.
    It is compressed and read through for completeness inside the container; the module's memory does not grow with the database.
  - A file that is already there is replaced only when the new one is complete and on disk.
  - The site's lock is held from beginning to end.
notes:
  - Tables whose engine knows no transactions (MyISAM) are read without a lock and may be inconsistent with the others.
extends_documentation_fragment:
  - dockpress.hosting.wp
  - dockpress.hosting.wp.attributes
  - dockpress.hosting.wp_database
options:
  dest:
    description:
      - The file to write on the managed host; its folder exists. Its mode is C(0600).
      - The name says how it is compressed, C(.zst) with zstd, C(.gz) with gzip, anything else not at all.
      - Never a folder that a web server can reach.
    type: path
    required: true
  level:
    description:
      - How hard to compress, V(1) to V(19) for zstd and V(1) to V(9) for gzip.
    type: int
    default: 3
  force:
    description:
      - Whether a file that is already there is replaced. With V(false) it is left alone.
    type: bool
    default: true
attributes:
  diff_mode:
    support: full
    description: Shows size, sum and tables of the file before and after.
  idempotent:
    support: partial
    details:
      - A dump is made at every run; with O(force=false) only once.
    description: Run again with the same parameters, it changes nothing.
seealso:
  - module: dockpress.hosting.wp_db_import
author:
  - The dockpress engineers (@dockpress)
"""

EXAMPLES = r"""
- name: Dump the database of a site before a risky change
  dockpress.hosting.wp_db_export:
    container: blog-example-com-cron-1
    dest: /srv/dockpress/blog-example-com/export/before.sql.zst

- name: A file for somebody who has no zstd, from a database container that stands alone
  dockpress.hosting.wp_db_export:
    database_container: legacy-db
    dest: /root/legacy.sql.gz
"""

RETURN = r"""
dest:
  description: The file.
  type: str
  returned: success
size:
  description: Its size in bytes.
  type: int
  returned: when a dump was made
sql_size:
  description: The size of the SQL in it, in bytes.
  type: int
  returned: when a dump was made
sha256:
  description: Its SHA-256 sum, which also stands in the file C(<dest>.sha256).
  type: str
  returned: when a dump was made
tables:
  description: The rows of each table, counted in the dump.
  type: dict
  returned: when a dump was made
  sample: {"wp_options": 143, "wp_posts": 12}
recovered:
  description: What was finished or undone of a run that had been killed.
  type: str
  returned: when there was something
seconds:
  description: How long the dump took.
  type: float
  returned: when a dump was made
"""

import contextlib
import json
import typing as t
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._dump import (
    SUFFIXES,
    DumpError,
    compression_of,
    read_checksum,
)
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import LockError, site_lock
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCliError, connect
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_database import (
    database_argument_spec,
    find_database,
    lock_file,
)


def describe(path: Path) -> dict[str, t.Any]:
    if not path.exists():
        return {}
    sums = []
    with contextlib.suppress(DumpError):
        sums = read_checksum(path)
    return {"size": path.stat().st_size} | ({"sha256": sums[0]} if sums else {})


def export(module: AnsibleModule) -> dict[str, t.Any]:
    params = module.params
    dest = Path(params["dest"])
    if not dest.parent.is_dir():
        raise DumpError(f"dest: the folder {dest.parent} does not exist. Create it, closed to others (mode 0700).")
    if dest.is_dir():
        raise DumpError(f"dest: {dest} is a folder. Name a file in it, such as db.sql{SUFFIXES['zstd']}.")
    most = {"zstd": 19, "gzip": 9}.get(compression_of(dest), 19)
    if not 1 <= params["level"] <= most:
        raise DumpError(f"level: write a number from 1 to {most}.")
    result: dict[str, t.Any] = {"changed": True, "dest": str(dest)}
    before = describe(dest)
    if before and not params["force"]:
        return result | {"changed": False}
    database = find_database(connect(params["docker_host"]), params)
    if module.check_mode:
        result["diff"] = {"before": pretty(before), "after": pretty({"tables": database.tables()})}
        return result
    with site_lock(lock_file(database, params), params["lock_timeout"], f"wp_db_export to {dest}"):
        recovered = database.recover()
        if recovered:
            result["recovered"] = recovered
        info = database.dump_to(dest, level=params["level"])
    after = {"size": info.bytes, "sha256": info.sha256}
    result.update(after, sql_size=info.sql_bytes, tables=info.rows, seconds=info.seconds)
    result["diff"] = {"before": pretty(before), "after": pretty(after | {"tables": info.rows})}
    return result


def pretty(state: dict[str, t.Any]) -> str:
    return json.dumps(state, indent=2, sort_keys=True) + "\n" if state else ""


def main() -> None:
    module = AnsibleModule(
        argument_spec=database_argument_spec(
            dest={"type": "path", "required": True},
            level={"type": "int", "default": 3},
            force={"type": "bool", "default": True},
        ),
        supports_check_mode=True,
    )
    try:
        result = export(module)
    except DumpError as error:
        module.fail_json(msg=str(error), **error.facts)
    except LockError as error:
        module.fail_json(msg=str(error))
    except WpCliError as error:
        module.fail_json(**error.as_failure())
    except OSError as error:
        module.fail_json(
            msg=f"Writing {module.params['dest']} failed: {error.strerror or error}. What was there before is untouched."
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
