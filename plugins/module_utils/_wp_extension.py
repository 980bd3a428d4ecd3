# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Plugins and themes: what is declared, and the steps to get there."""

from __future__ import annotations

import typing as t

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCliError
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import (
    SOURCE_OPTIONS,
    Declared,
    Plan,
    Resource,
    Step,
)

PLUGIN_OPTIONS = {
    "name": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "active", "inactive", "absent", "latest"], "default": "active"},
    "version": {"type": "str"},
    **SOURCE_OPTIONS,
    "network": {"type": "bool"},
    "auto_update": {"type": "bool"},
}

THEME_OPTIONS = {
    **PLUGIN_OPTIONS,
    "state": {"type": "str", "choices": ["present", "active", "absent", "latest"], "default": "present"},
}


class Extensions(Resource):
    """What plugins and themes have in common."""

    kind = ""

    def __init__(
        self,
        module: AnsibleModule,
        entries: list[dict[str, t.Any]],
        carried: dict[str, t.Any] | None,
        purge: bool = False,
    ) -> None:
        """``entries``: values for PLUGIN_OPTIONS or THEME_OPTIONS. ``purge``: what is not listed goes."""
        self.module = module
        self.entries = [dict(entry) for entry in entries]
        self.purge = purge
        names = [entry["name"] for entry in self.entries]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise WpCliError(f"{self.name}: {', '.join(sorted(twice))} stands there more than once.")
        self.sources = {
            entry["name"]: Declared(self.kind, entry, carried) for entry in self.entries if entry.get("source")
        }
        for entry in self.entries:
            source = self.sources.get(entry["name"])
            if source and source.known:
                self._agree(entry, source.known)

    def query(self) -> dict[str, t.Any]:
        asks_for_updates = any(e["state"] == "latest" and e["name"] not in self.sources for e in self.entries)
        takes_away = self.purge or any(e["state"] == "absent" for e in self.entries)
        return {self.name: {"updates": asks_for_updates, "elsewhere": takes_away}} if self.entries or self.purge else {}

    def elsewhere(self, state: dict[str, t.Any]) -> dict[str, str]:
        """What other sites of the network use, each with one that does. The files are common to all of them."""
        return (state.get("elsewhere") or {}).get(self.name) or {}

    def _agree(self, entry: dict[str, t.Any], known: dict[str, t.Any]) -> None:
        """The source must be what the entry says it is."""
        name = entry["name"].split("/")[0]
        if not name.endswith(".php") and known["slug"] != name:
            raise WpCliError(f"{self.sources[entry['name']].where} holds {self.kind} {known['slug']}, and not {name}.")
        if entry.get("version") and known["version"] != entry["version"]:
            raise WpCliError(
                f"{self.sources[entry['name']].where} holds version {known['version']} of {name}, "
                f"and version says {entry['version']}."
            )

    def known(self, entry: dict[str, t.Any], installed: bool) -> dict[str, t.Any] | None:
        """What is known of the entry's source; a URL is fetched only where it could matter."""
        source = self.sources.get(entry["name"])
        if source is None:
            return None
        if source.known is None and not (installed and entry.get("version")):
            source.open(self.module)
            self._agree(entry, source.known)
        return source.known

    def wanted_version(
        self, entry: dict[str, t.Any], now: dict[str, t.Any] | None, state: dict[str, t.Any], key: str
    ) -> str | None:
        """The version that is to be there; None where any will do."""
        if entry.get("version"):
            return entry["version"]
        known = self.known(entry, now is not None)
        if known:
            return known["version"]
        if entry["state"] == "latest" and now is not None:
            updates = state.get(f"{self.name}_updates") or {"trouble": None, "new": {}}
            if updates["trouble"]:
                raise WpCliError(
                    f"{self.kind} {entry['name']}: the newest version cannot be asked for: {updates['trouble']}. "
                    "WordPress.org is not reached from here: name version and source."
                )
            return updates["new"].get(key) or now["version"]
        return None

    def _install(self, entry: dict[str, t.Any], action: str, version: str | None, item: str) -> Step:
        source = self.sources.get(entry["name"])
        if source is not None:
            known = source.known or source.open(self.module).describe()
            self._agree(entry, known)
            folder = f"wp-content/{self.name}"
            if entry["name"].endswith(".php") and "/" not in entry["name"]:
                job = {"kind": "tree", "to": f"{folder}/{entry['name']}", "single": True}
            else:
                job = {"kind": "tree", "to": f"{folder}/{known['slug']}"}
            return Step(item, action, job=job, upload=source, code=True)
        assoc: dict[str, t.Any] = {"force": True} if action != "installed" else {}
        if version:
            assoc["version"] = version
        name = entry["name"].split("/")[0]
        return Step(
            item, action, operation={"do": "cli", "args": [self.kind, "install", name], "assoc": assoc}, code=True
        )


class Plugins(Extensions):
    """Plugins by file: a slug may stand for several."""

    name = "plugins"
    kind = "plugin"

    def find(self, name: str, plugins: dict[str, t.Any]) -> str | None:
        """The file of the plugin that ``name`` (slug or file) means. Raises WpCliError where it means several."""
        if name in plugins:
            return name
        if name.endswith(".php"):
            return None
        found = sorted(file for file in plugins if file == f"{name}.php" or file.startswith(f"{name}/"))
        if len(found) > 1:
            raise WpCliError(f"plugin {name} is not unique. Write which one is meant: {', '.join(found)}")
        return found[0] if found else None

    def check(self, state: dict[str, t.Any]) -> None:
        for entry in self.entries:
            plugins = state.get("plugins") or {}
            file = self.find(entry["name"], plugins)
            status = plugins[file]["status"] if file else None
            if entry["network"] and state["installed"] and not state["multisite"]:
                raise WpCliError(f"plugin {entry['name']}: network says true, and this is no network.")
            if (
                entry["state"] in ("inactive", "absent")
                and status == "active-network"
                and entry["network"] is not False
            ):
                raise WpCliError(
                    f"plugin {file} is active in the whole network, and all its sites would lose it. "
                    "If that is meant, say network: false."
                )
            if entry["state"] == "absent" and status != "missing" and file in self.elsewhere(state):
                raise WpCliError(
                    f"plugin {file} is in use by {self.elsewhere(state)[file]}, another site of the network. "
                    "Deactivate it there before it can be absent."
                )

    def plan(self, state: dict[str, t.Any]) -> Plan:
        plan = Plan()
        plugins: dict[str, t.Any] = dict(state.get("plugins") or {})
        kept: set[str] = set()
        late: list[Step] = []
        for entry in self.entries:
            file = self.find(entry["name"], plugins)
            now = plugins.get(file) if file else None
            if now and now["status"] == "missing":
                # Active in the database, and its files are gone.
                plan.steps.append(Step(f"plugin {file}", "forgotten", operation={"do": "forget_plugin", "file": file}))
                now, file = None, None
            if file:
                kept.add(file)
            if entry["state"] == "absent":
                if file:
                    plan.steps += self._remove(
                        file, now, plugins, {e["name"] for e in self.entries if e["state"] == "absent"}
                    )
                    plan.note(file, self._show(now), None)
                continue
            self._one(plan=plan, entry=entry, file=file, now=now, state=state, late=late)
        if self.purge:
            kept |= {*self.elsewhere(state), *(f for f, now in plugins.items() if now["status"] == "active-network")}
            for file in sorted(set(plugins) - kept):
                gone = set(plugins) - kept
                plan.steps += (
                    self._remove(file, plugins[file], plugins, gone)
                    if plugins[file]["status"] != "missing"
                    else [Step(f"plugin {file}", "forgotten", operation={"do": "forget_plugin", "file": file})]
                )
                plan.note(file, self._show(plugins[file]), None)
        plan.steps += late
        return plan

    @staticmethod
    def _show(now: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
        return {name: now[name] for name in ("version", "status", "auto_update")} if now else None

    def _one(
        self,
        *,
        plan: Plan,
        entry: dict[str, t.Any],
        file: str | None,
        now: dict[str, t.Any] | None,
        state: dict[str, t.Any],
        late: list[Step],
    ) -> None:
        name = entry["name"]
        item = f"plugin {name}"
        after = self._show(now) or {"version": None, "status": "inactive", "auto_update": False}
        version = self.wanted_version(entry, now, state, file or "")
        if now is None:
            plan.steps.append(self._install(entry, "installed", version, item))
            known = self.known(entry, False)
            if known and not (name.endswith(".php") and "/" not in name):
                file = f"{known['slug']}/{known['main']}"
            after["version"] = version or "newest"
        elif version is not None and version != now["version"]:
            plan.steps.append(self._install(entry, "updated", version, item))
            after["version"] = version
        status = now["status"] if now else "inactive"
        target = file or name
        wanted = "active-network" if entry["network"] else "active"
        # In the whole network is active, too: only network: false takes it from the other sites.
        right = (wanted,) if entry["network"] is not None else ("active", "active-network")
        if entry["state"] == "active" and status not in right:
            if status != "inactive":
                late.append(self._deactivation(item, target, status))
            late.append(
                Step(
                    item,
                    "activated",
                    operation={"do": "activate", "file": target, "network": bool(entry["network"])},
                    code=True,
                )
            )
            after["status"] = wanted
        elif entry["state"] == "inactive" and status != "inactive":
            late.append(self._deactivation(item, target, status))
            after["status"] = "inactive"
        if entry["auto_update"] is not None and entry["auto_update"] != (now or {}).get("auto_update", False):
            operation = {"do": "auto_update", "kind": "plugins", "key": target, "on": entry["auto_update"]}
            late.append(Step(item, f"auto-update {'on' if entry['auto_update'] else 'off'}", operation=operation))
            after["auto_update"] = entry["auto_update"]
        plan.note(file or name, self._show(now), after)

    @staticmethod
    def _deactivation(item: str, file: str, status: str) -> Step:
        operation = {"do": "deactivate", "file": file, "network": status == "active-network"}
        return Step(item, "deactivated", operation=operation, code=True)

    def _remove(self, file: str, now: dict[str, t.Any], plugins: dict[str, t.Any], gone: set[str]) -> list[Step]:
        folder = file.split("/", maxsplit=1)[0] + "/" if "/" in file else None
        others = [
            other for other in plugins if folder and other.startswith(folder) and other != file and other not in gone
        ]
        if others:
            raise WpCliError(
                f"plugin {file} shares its folder with {', '.join(others)}: deleting it would delete them too. "
                "Declare it inactive, or all of them absent."
            )
        item = f"plugin {file}"
        steps = [self._deactivation(item, file, now["status"])] if now["status"] != "inactive" else []
        return [*steps, Step(item, "removed", operation={"do": "delete_plugin", "file": file}, code=True)]


class Themes(Extensions):
    """Themes by their folder."""

    name = "themes"
    kind = "theme"

    def check(self, state: dict[str, t.Any]) -> None:
        active = [entry["name"] for entry in self.entries if entry["state"] == "active"]
        if len(active) > 1:
            raise WpCliError(f"themes: only one can be active, and {', '.join(active)} are declared so.")
        for entry in self.entries:
            if entry["network"] is not None and state["installed"] and not state["multisite"]:
                raise WpCliError(f"theme {entry['name']}: network is for networks, and this is none.")
            now = (state.get("themes") or {}).get(entry["name"])
            if entry["state"] == "absent" and now and now["status"] in ("active", "parent") and not active:
                raise WpCliError(
                    f"theme {entry['name']} is in use. Declare another one active before it can be absent."
                )
            if entry["state"] == "absent" and now and entry["name"] in self.elsewhere(state):
                raise WpCliError(
                    f"theme {entry['name']} is in use by {self.elsewhere(state)[entry['name']]}, another site of the network. "
                    "Activate another one there before it can be absent."
                )

    def plan(self, state: dict[str, t.Any]) -> Plan:
        plan = Plan()
        themes: dict[str, t.Any] = dict(state.get("themes") or {})
        late: list[Step] = []
        removals: list[str] = []
        active = next((entry["name"] for entry in self.entries if entry["state"] == "active"), None)
        for entry in self.entries:
            now = themes.get(entry["name"])
            if entry["state"] == "absent":
                if now:
                    removals.append(entry["name"])
                continue
            self._one(plan=plan, entry=entry, now=now, state=state, late=late)
        if self.purge:
            listed = {entry["name"] for entry in self.entries}
            used = (
                {name for name, now in themes.items() if now["status"] in ("active", "parent")}
                if not active
                else {active}
            )
            used |= {themes[name]["parent"] for name in listed | used if name in themes and themes[name]["parent"]}
            removals += sorted(set(themes) - listed - used - set(self.elsewhere(state)))
        plan.steps += late
        for name in removals:
            # Last: the active theme may be one of them until another is.
            plan.steps.append(
                Step(f"theme {name}", "removed", operation={"do": "delete_theme", "name": name}, code=True)
            )
            plan.note(name, self._show(themes[name]), None)
        return plan

    @staticmethod
    def _show(now: dict[str, t.Any] | None) -> dict[str, t.Any] | None:
        return {name: now[name] for name in ("version", "status", "auto_update", "network")} if now else None

    def _one(
        self,
        *,
        plan: Plan,
        entry: dict[str, t.Any],
        now: dict[str, t.Any] | None,
        state: dict[str, t.Any],
        late: list[Step],
    ) -> None:
        name = entry["name"]
        item = f"theme {name}"
        after = self._show(now) or {"version": None, "status": "inactive", "auto_update": False, "network": False}
        version = self.wanted_version(entry, now, state, name)
        if now is None:
            plan.steps.append(self._install(entry, "installed", version, item))
            after["version"] = version or "newest"
        elif version is not None and version != now["version"]:
            plan.steps.append(self._install(entry, "updated", version, item))
            after["version"] = version
        if entry["network"] is not None and entry["network"] != (now or {}).get("network", False):
            operation = {"do": "network_theme", "name": name, "on": entry["network"]}
            late.append(Step(item, f"network {'on' if entry['network'] else 'off'}", operation=operation))
            after["network"] = entry["network"]
        if entry["state"] == "active" and (now is None or now["status"] != "active"):
            late.append(Step(item, "activated", operation={"do": "activate_theme", "name": name}, code=True))
            after["status"] = "active"
        if entry["auto_update"] is not None and entry["auto_update"] != (now or {}).get("auto_update", False):
            operation = {"do": "auto_update", "kind": "themes", "key": name, "on": entry["auto_update"]}
            late.append(Step(item, f"auto-update {'on' if entry['auto_update'] else 'off'}", operation=operation))
            after["auto_update"] = entry["auto_update"]
        plan.note(name, self._show(now), after)
