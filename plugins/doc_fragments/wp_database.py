# Copyright: dockpress contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations


class ModuleDocFragment:
    DOCUMENTATION = r"""
options:
  database_container:
    description:
      - Name of the running container of the site's database.
      - It keeps to the contract of the official C(mariadb) image (environment names and their C(_FILE) variants) and has C(bash), and
        C(zstd) or C(gzip) where a dump is compressed with it. Root's password may also stand in C(/run/secrets/db_root_password).
      - Without it, the service C(database) of the Compose project that O(container) or O(fpm_container) belongs to.
    type: str
  database:
    description:
      - The database inside that container. Without it, the one that the container was made with (E(MARIADB_DATABASE)).
    type: str
  database_timeout:
    description:
      - The longest that a single process in the database container may take, in seconds.
    type: int
    default: 3600
  lock:
    description:
      - The lock file on the managed host that is held from beginning to end.
      - Without it, the file that the label C(dockpress.lock) of the database container names, else C(/run/lock/dockpress/<site>.lock),
        where the site is its label C(dockpress.site), or its Compose project.
    type: path
  lock_timeout:
    description:
      - How long to wait for whoever holds the lock, in seconds.
    type: int
    default: 60
"""
