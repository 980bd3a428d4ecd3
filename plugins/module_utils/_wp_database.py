# Copyright: dockpress contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the modules that work on a site's whole database have in common."""

from __future__ import annotations

from ansible_collections.dockpress.hosting.plugins.module_utils._dump import Database, DumpError
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import container_lock
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import wp_argument_spec

PROJECT = "com.docker.compose.project"
SERVICE = "com.docker.compose.service"


def database_argument_spec(**more):
    """The argument spec of the doc fragments ``wp`` and ``wp_database``, with ``more`` added to it."""
    return wp_argument_spec(
        database_container={"type": "str"},
        database={"type": "str"},
        database_timeout={"type": "int", "default": 3600},
        lock={"type": "path"},
        lock_timeout={"type": "int", "default": 60},
        **more,
    )


def find_database(client, params):
    """The site's :class:`Database`, by name or as the service ``database`` beside the named containers."""
    name = params["database_container"]
    if not name:
        beside = params["container"] or params["fpm_container"]
        if not beside:
            raise DumpError("Name the database's container in database_container, or one of the site's in container.")
        name = _service_beside(client, beside)
    return Database(client, name, params["database"], params["database_timeout"])


def _service_beside(client, beside):
    found = client.api.containers(all=True, filters={"name": f"^/{beside}$"})
    project = found[0]["Labels"].get(PROJECT) if found else None
    if not project:
        problem = "is not part of a Compose project" if found else "does not exist"
        raise DumpError(f"The container {beside} {problem}: name the database's container in database_container.")
    labels = [f"{PROJECT}={project}", f"{SERVICE}=database"]
    services = client.api.containers(filters={"label": labels})
    if not services:
        raise DumpError(
            f"The Compose project {project} has no running service database. Start the site's stack, "
            "or name the database's container in database_container."
        )
    return services[0]["Names"][0].lstrip("/")


def lock_file(database, params):
    """The file whose lock the module holds."""
    return params["lock"] or container_lock(database.attrs)


def site_prefixes(tables):
    """The prefixes of WordPress installations among ``tables``."""
    names = set(tables)
    roots = {table.removesuffix("users") for table in names if table.endswith("users")}
    return sorted(root for root in roots if root + "options" in names and root + "posts" in names)


def owned(names, prefix, tables):
    """Those of ``names`` that belong to the site with ``prefix``: not to another one among ``tables`` whose longer prefix begins like it.

    Sites of a network (``wp_2_``) have no users of their own, and belong to it.
    """
    others = tuple(root for root in site_prefixes(tables) if root != prefix and root.startswith(prefix))
    return [name for name in names if name.startswith(prefix) and not name.startswith(others)]
