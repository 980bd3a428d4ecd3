# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Options of a site, typed as JSON is."""

from __future__ import annotations

import typing as t

from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCliError, explain
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_php import APPLY
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import Plan, Resource, Site, Step

OPTION_OPTIONS = {
    "options": {"type": "dict", "default": {}},
    "secret_options": {"type": "dict", "default": {}, "no_log": True},
    "merge_options": {"type": "dict", "default": {}},
    "absent_options": {"type": "list", "elements": "str", "default": []},
    "autoload": {"type": "dict", "default": {}},
}

# Rewrite rules are made from these.
REWRITING = {"permalink_structure", "category_base", "tag_base"}
# WordPress ends the process when one of these is written.
PROTECTED = {"alloptions", "notoptions"}
HIDDEN = "(hidden)"


class Options(Resource):
    """Exact values, values merged into what is there, and names that are to be gone."""

    name = "options"

    def __init__(self, declared: dict[str, t.Any]) -> None:
        """``declared``: values for OPTION_OPTIONS. Raises WpCliError where a name is declared twice."""
        self.secret = set(declared.get("secret_options") or {})
        self.exact = {**(declared.get("options") or {}), **(declared.get("secret_options") or {})}
        self.merged: dict[str, t.Any] = declared.get("merge_options") or {}
        self.absent: list[str] = declared.get("absent_options") or []
        self.autoload: dict[str, t.Any] = declared.get("autoload") or {}
        names = [*(declared.get("options") or {}), *self.secret, *self.merged, *self.absent]
        # The database takes upper and lower case for the same.
        folded = [name.casefold() for name in names]
        twice = sorted({name for name in names if folded.count(name.casefold()) > 1})
        if twice:
            raise WpCliError(f"options: {', '.join(twice)} stands there more than once.")
        if any(not name or len(name) > 191 for name in names):
            raise WpCliError("options: a name has 1 to 191 characters.")
        for name in names:
            if name != name.strip():
                raise WpCliError(f"options: WordPress takes the blanks off {name!r}. Write it without them.")
            if name in PROTECTED:
                raise WpCliError(f"options: {name} is the name of a cache in WordPress, and no option can have it.")
        for name, value in self.autoload.items():
            if not isinstance(value, bool):
                raise WpCliError(f"autoload: {name} is true or false, and not {value!r}.")

    def query(self) -> dict[str, t.Any]:
        # A list and not a dict: PHP turns names that are digits into numbers.
        asks: list[dict[str, t.Any]] = []
        for name, value in self.exact.items():
            asks.append({"name": name, "want": value})
        for name, value in self.merged.items():
            asks.append({"name": name, "want": value, "merge": True})
        asks += [{"name": name} for name in self.absent]
        known = {ask["name"]: ask for ask in asks}
        for name, value in self.autoload.items():
            if name in known:
                known[name]["autoload"] = value
            else:
                asks.append({"name": name, "autoload": value})
        self._asks = asks
        return {"options": asks} if asks else {}

    def _entries(self, state: dict[str, t.Any]) -> dict[str, dict[str, t.Any]]:
        found = state.get("options") or []
        answers = list(found.values()) if isinstance(found, dict) else found
        return {ask["name"]: answer for ask, answer in zip(self._asks, answers, strict=False)}

    def check(self, state: dict[str, t.Any]) -> None:
        for name, entry in self._entries(state).items():
            if entry.get("name", name) != name:
                raise WpCliError(
                    f"option {name}: the database takes this name for {entry['name']}. Write that, if it is the one that is meant."
                )
            if entry.get("unmergeable"):
                raise WpCliError(f"option {name}: {entry['unmergeable']}.")
            if entry.get("refused"):
                raise WpCliError(f"option {name}: WordPress refuses the value: {entry['refused']}")

    def plan(self, state: dict[str, t.Any]) -> Plan:
        plan = Plan()
        entries = self._entries(state)
        nothing = {"exists": False, "value": None, "same": False, "autoload": None}
        for name, want in [*self.exact.items(), *self.merged.items()]:
            entry = entries.get(name, nothing)
            item = f"option {name}"
            if not entry["same"]:
                operation = {"do": "option", "name": name, "want": want, "merge": name in self.merged}
                if name in self.autoload:
                    operation["autoload"] = self.autoload[name]
                plan.steps.append(Step(item, "changed" if entry["exists"] else "added", operation=operation))
                shown = (entry["value"], entry.get("want", want))
                plan.note(name, *((HIDDEN, f"{HIDDEN[:-1]}, new)") if name in self.secret else shown))
            elif name in self.autoload and entry["autoload"] != self.autoload[name]:
                self._autoload(plan, name, entry)
        for name in self.autoload:
            entry = entries.get(name, nothing)
            if (
                name not in self.exact
                and name not in self.merged
                and entry["exists"]
                and entry["autoload"] != self.autoload[name]
            ):
                self._autoload(plan, name, entry)
        for name in self.absent:
            entry = entries.get(name, nothing)
            if entry["exists"]:
                plan.steps.append(Step(f"option {name}", "removed", operation={"do": "delete_option", "name": name}))
                plan.note(name, entry["value"], None)
        rewriting = [step for step in plan.steps if step.operation and step.operation["name"] in REWRITING]
        for step in rewriting:
            step.operation["rewriting"] = True
        if rewriting:
            # In a process of its own: plugins that were activated a moment ago add their rules when they are loaded.
            plan.steps.append(Step("rewrite rules", "flushed", call=self._flush))
        return plan

    def _autoload(self, plan: Plan, name: str, entry: dict[str, t.Any]) -> None:
        wanted = self.autoload[name]
        operation = {"do": "autoload", "name": name, "autoload": wanted}
        plan.steps.append(Step(f"option {name}", f"autoload {'on' if wanted else 'off'}", operation=operation))
        plan.note(f"{name} (autoload)", entry["autoload"], wanted)

    @staticmethod
    def _flush(site: Site) -> None:
        events, result = site.wp.events(APPLY, {"operations": [{"do": "flush_rewrite"}]}, hidden=site.hidden)
        if not events or "end" not in events[-1]:
            failed = next((event["error"] for event in events if "error" in event), explain(result))
            raise WpCliError(f"the options are stored, and making the rules failed: {failed}", result)
