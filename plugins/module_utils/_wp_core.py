# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""WordPress itself: its code, its installation, its database schema, its language."""

from __future__ import annotations

import functools
import re
import typing as t

from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import PHP, WP, WpCliError
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_php import CONVERT, INSTALL, NEWEST
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_source import core_versions
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import (
    SOURCE_OPTIONS,
    Declared,
    Plan,
    Resource,
    Site,
    Step,
    refuse_database,
)

# From then on WordPress takes no notice of a .maintenance file: whoever made it is gone.
MAINTENANCE_SECONDS = 600

# The constants of a network, as an operator writes them.
NETWORK_CONSTANTS = (
    "MULTISITE, SUBDOMAIN_INSTALL, DOMAIN_CURRENT_SITE, PATH_CURRENT_SITE, SITE_ID_CURRENT_SITE, BLOG_ID_CURRENT_SITE"
)

CORE_OPTIONS = {
    "version": {"type": "str"},
    **SOURCE_OPTIONS,
    "allow_downgrade": {"type": "bool", "default": False},
}

INSTALL_OPTIONS = {
    "title": {"type": "str"},
    "admin_user": {"type": "str"},
    "admin_password": {"type": "str", "no_log": True},
    "admin_email": {"type": "str"},
    "multisite": {"type": "str", "choices": ["no", "subdirectories", "subdomains"], "default": "no"},
}


def order(version: str) -> list[tuple[int, int, str]]:
    """Something to compare versions by: 6.8.2 < 6.8.12 < 7.0-RC1 < 7.0 < 7.1."""
    numbers: list[int] = []
    parts = re.findall(r"\d+|[A-Za-z]+", version)
    while parts and parts[0].isdigit():
        numbers.append(int(parts.pop(0)))
    while numbers and not numbers[-1]:
        numbers.pop()
    # A word behind the numbers (beta, RC) comes before the version itself.
    suffix = [(1, int(part), "") if part.isdigit() else (-1, 0, part.lower()) for part in parts]
    return [*((1, number, "") for number in numbers), *suffix, (0, 0, "")]


class Code(Resource):
    """The files of WordPress in the web root."""

    name = "core"
    early = True

    def __init__(self, declared: dict[str, t.Any], carried: dict[str, t.Any] | None, fpm_container: str | None) -> None:
        """``declared``: values for CORE_OPTIONS."""
        self.version: str | None = declared.get("version")
        self.allow_downgrade: bool = declared.get("allow_downgrade", False)
        source = declared.get("source")
        self.image = source == "image" or (source is None and not self.version and bool(fpm_container))
        # Neither a version nor a source is named: what is there is right, whatever it is.
        self.any = source is None and not self.version
        if self.image and not fpm_container:
            raise WpCliError(
                "source: image takes WordPress from the PHP-FPM container's image: name it in fpm_container."
            )
        self.source = Declared("core", declared, carried) if source and not self.image else None
        self.site: Site | None = None
        self.warned = False
        self.held: dict[str, t.Any] | None = None
        if self.source and self.source.known:
            self._agree(self.source.known)

    def before_reading(self, site: Site) -> None:
        self.site = site

    def check(self, state: dict[str, t.Any]) -> None:
        code = state["code"]
        if code["maintenance"] and code["maintenance_seconds"] < MAINTENANCE_SECONDS and not self.warned:
            self.warned = True
            self.site.module.warn(
                f"The site is in maintenance mode since {code['maintenance_seconds']} seconds, by an update that runs or by somebody's "
                "hand. It was left so: WordPress ends it after 600 seconds, and wp maintenance-mode deactivate at once."
            )

    def _agree(self, held: dict[str, t.Any]) -> None:
        """The source must hold what version says."""
        if self.version and self.version not in ("latest", held["version"]):
            where = self.source.where if self.source else "The image of the PHP-FPM container"
            raise WpCliError(f"{where} holds WordPress {held['version']}, and version says {self.version}.")

    def wanted(self, have: str | None) -> str | None:
        """The version that is to be there, None where any will do. A source is looked into only where it could matter."""
        named = None if self.version == "latest" else self.version
        if have and (self.any or named == have):
            return named
        if self.held is None and (self.source or self.image or self.version == "latest"):
            self.held = self._look()
            self._agree(self.held)
        return self.held["version"] if self.held else named

    def _look(self) -> dict[str, t.Any]:
        """Version and db_version of what would be put in place."""
        if self.source:
            return self.source.known or self.source.open(self.site.module).describe()
        if self.image:
            return core_versions(self.site.wp.fpm_file("/usr/src/wordpress/wp-includes/version.php"))
        newest = self.site.wp.eval(NEWEST, wordpress=False, plugins=False)
        if not newest["version"]:
            raise WpCliError(
                f"WordPress: the newest version cannot be asked for: {newest['trouble']}. "
                "Where WordPress.org is not reached, name version and source."
            )
        return newest | {"db_version": None}

    def plan(self, state: dict[str, t.Any]) -> Plan:
        plan = Plan()
        code = state["code"]
        have = code["version"]
        if not code["path_exists"]:
            raise WpCliError("path is no folder in the container. Correct it, or mount the web root there.")
        if code["maintenance"] and code["maintenance_seconds"] >= MAINTENANCE_SECONDS:
            plan.steps.append(Step("maintenance mode", "ended", job={"kind": "remove", "names": [".maintenance"]}))
        if code["staged"]:
            if code["staged_complete"]:
                plan.steps.append(
                    Step("WordPress", "an interrupted update finished", job={"kind": "resume"}, code=True, reread=True)
                )
                return plan
            plan.steps.append(
                Step(
                    "WordPress",
                    "an interrupted update cleared away",
                    job={"kind": "remove", "names": [".dockpress-code"]},
                )
            )
        wanted = self.wanted(have)
        if have is None:
            plan.steps.append(self._put("installed", wanted))
            plan.note("version", None, wanted or "newest")
        elif wanted and wanted != have:
            if order(wanted) < order(have) and not self.allow_downgrade:
                raise WpCliError(
                    f"WordPress is {have}, and {wanted} is declared. Going back can break the database: take a backup, "
                    "and say allow_downgrade: true."
                )
            plan.steps.append(self._put("updated" if order(wanted) > order(have) else "downgraded", wanted))
            plan.note("version", have, wanted)
            if self.check_mode and self.held:
                # What the schema will be compared with once this code is there.
                code["db_version"] = self.held["db_version"] or code["db_version"]
        return plan

    def _put(self, action: str, wanted: str | None) -> Step:
        item = f"WordPress {wanted}" if wanted else "WordPress"
        if self.source:
            return Step(item, action, job={"kind": "core"}, upload=self.source, code=True, reread=True)
        call = self._from_image if self.image else functools.partial(self._from_release, wanted)
        return Step(item, action, call=call, code=True, reread=True)

    @staticmethod
    def _from_image(site: Site) -> None:
        """Out of the PHP-FPM image: its own install script would stop for good once half of it is copied."""
        target = site.wp.beside_fpm(network=False)
        site.place([{"kind": "core", "from": "/usr/src/wordpress"}], target)

    @staticmethod
    def _from_release(wanted: str | None, site: Site) -> None:
        stage = f"{site.wp.path}/.dockpress-code"
        command = [*PHP, WP, "core", "download", f"--path={stage}", "--no-color", "--skip-packages", "--force"]
        if wanted:
            command.append(f"--version={wanted}")
        site.place([{"kind": "remove", "names": [".dockpress-code"]}])
        site.wp.execute(command)
        site.place([{"kind": "core", "from": stage}])


class Installation(Resource):
    """The database's tables, title and first administrator. Made once, never again."""

    name = "installation"
    early = True

    def __init__(self, declared: dict[str, t.Any], url: str | None, language: str | None = None) -> None:
        """``declared``: values for INSTALL_OPTIONS."""
        self.declared = declared
        self.url = url
        self.language = language
        self.multisite: str = declared.get("multisite") or "no"

    def check(self, state: dict[str, t.Any]) -> None:
        refuse_database(state)
        if not state["installed"] and not self._unknown(state):
            # A blank password would become a random one.
            missing = [
                name
                for name in ("title", "admin_user", "admin_password", "admin_email")
                if not (self.declared.get(name) or "").strip()
            ]
            missing = (["url"] if not self.url else []) + missing
            if missing:
                raise WpCliError(f"WordPress is not installed, and needs {', '.join(missing)} for that.")
            user = self.declared["admin_user"]
            if not re.fullmatch(r"[A-Za-z0-9_.@-]+( [A-Za-z0-9_.@-]+)*", user) or len(user) > 60:
                raise WpCliError(
                    f"admin_user: WordPress would save {user!r} as another login. Use letters, digits, single spaces, and . - _ @ only, at most 60."
                )
        # Known once the configuration could be evaluated.
        if self.multisite != "no" and "multisite" in state["config"] and not state["config"]["multisite"]:
            raise WpCliError(f"A network needs its constants in wp-config.php: {NETWORK_CONSTANTS}.")

    @staticmethod
    def _unknown(state: dict[str, t.Any]) -> bool:
        """An update was ended between its renames: what the database holds is seen once the code is whole again."""
        return state["code"]["version"] is None and state["code"]["staged_complete"]

    def plan(self, state: dict[str, t.Any]) -> Plan:
        plan = Plan()
        if self._unknown(state):
            return plan
        ready = (
            state["code"]["version"] is not None
            and state["config"]["exists"]
            and (state["database"] or {}).get("state") in ("ok", "dropin")
        )
        if state["installed"]:
            if state.get("network_missing"):
                plan.steps.append(Step("WordPress", "made a network", call=self._convert, reread=True))
                plan.note("multisite", "no", self.multisite)
            elif self.multisite != "no" and not state["multisite"]:
                raise WpCliError(f"A network needs its constants in wp-config.php: {NETWORK_CONSTANTS}.")
            elif state.get("users_total") == 0:
                # An installation that was ended after the tables and before the administrator.
                plan.steps.append(self._administrator())
        elif ready or self.check_mode:
            plan.steps.append(
                Step("WordPress", "installed in the database", call=self._install, code=False, reread=True)
            )
            plan.note("installed", False, True)
        return plan

    def _administrator(self) -> Step:
        fields = {
            "email": self.declared["admin_email"],
            "password": self.declared["admin_password"],
            "roles": ["administrator"],
        }
        operation = {"do": "user", "create": True, "login": self.declared["admin_user"], "fields": fields}
        return Step(f"administrator {self.declared['admin_user']}", "created", operation=operation, reread=True)

    def _install(self, site: Site) -> None:
        data = {name: self.declared[name] for name in ("title", "admin_user", "admin_password", "admin_email")} | {
            "url": self.url,
            "multisite": self.multisite,
            "hide_multisite": True,
        }
        site.wp.eval(
            INSTALL, data, wordpress=False, plugins=False, hidden=[*site.hidden, self.declared["admin_password"]]
        )

    def _convert(self, site: Site) -> None:
        data = {"title": self.declared.get("title") or "", "multisite": self.multisite}
        site.wp.eval(CONVERT, data, wordpress=False, plugins=False)


class Schema(Resource):
    """The tables as this WordPress wants them."""

    name = "database"
    early = True

    def plan(self, state: dict[str, t.Any]) -> Plan:
        plan = Plan()
        if not state["installed"] or "db_version" not in state:
            return plan
        wanted, have = state["code"]["db_version"], state["db_version"]
        if wanted > have:
            argv = ["core", "update-db", *(["--network"] if state["multisite"] else [])]
            plan.steps.append(Step("database schema", "updated", argv=argv, reread=True))
            plan.note("schema", have, wanted)
        return plan


LANGUAGE_OPTIONS = {
    "language": {"type": "str"},
    "languages": {"type": "list", "elements": "str", "default": []},
    "language_source": {"type": "dict", "options": {**SOURCE_OPTIONS, "source": {"type": "str", "required": True}}},
}


class Language(Resource):
    """Languages of WordPress: installed ones, and the one that the site speaks."""

    name = "language"

    def __init__(self, declared: dict[str, t.Any], carried: dict[str, t.Any] | None) -> None:
        """``declared``: values for LANGUAGE_OPTIONS."""
        self.active: str | None = declared.get("language")
        self.wanted = [*dict.fromkeys([*([self.active] if self.active else []), *(declared.get("languages") or [])])]
        self.source = (
            Declared("language", declared["language_source"], carried) if declared.get("language_source") else None
        )

    def query(self) -> dict[str, t.Any]:
        return {"languages": {}} if self.wanted else {}

    def plan(self, state: dict[str, t.Any]) -> Plan:
        plan = Plan()
        if not self.wanted:
            return plan
        now = state.get("languages") or {"installed": [], "active": ""}
        missing = [name for name in self.wanted if name != "en_US" and name not in now["installed"]]
        if missing and self.source:
            to = "wp-content/languages"
            plan.steps.append(
                Step(
                    f"languages {', '.join(missing)}",
                    "installed",
                    job={"kind": "overlay", "to": to},
                    upload=self.source,
                    code=True,
                )
            )
        elif missing:
            for name in missing:
                operation = {"do": "cli", "args": ["language", "core", "install", name], "assoc": {}}
                plan.steps.append(Step(f"language {name}", "installed", operation=operation))
        if missing:
            plan.note("installed", sorted(now["installed"]), sorted({*now["installed"], *missing}))
        if self.active:
            stored = "" if self.active == "en_US" else self.active
            if stored != now["active"]:
                operation = {"do": "option", "name": "WPLANG", "want": stored, "merge": False}
                plan.steps.append(Step(f"language {self.active}", "activated", operation=operation))
                plan.note("active", now["active"] or "en_US", self.active)
        return plan
