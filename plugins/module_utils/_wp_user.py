# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Users of a site, by login and never by id: a login may be all digits."""

from __future__ import annotations

import typing as t

from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import WpCliError
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import Plan, Resource, Step

USER_OPTIONS = {
    "login": {"type": "str", "required": True},
    "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
    "email": {"type": "str"},
    "password": {"type": "str", "no_log": True},
    "update_password": {"type": "str", "choices": ["on_create", "always"], "default": "on_create", "no_log": False},
    "roles": {"type": "list", "elements": "str"},
    "display_name": {"type": "str"},
    "first_name": {"type": "str"},
    "last_name": {"type": "str"},
    "nickname": {"type": "str"},
    "description": {"type": "str"},
    "url": {"type": "str"},
    "locale": {"type": "str"},
    "super_admin": {"type": "bool"},
    "reassign": {"type": "str"},
    "delete_content": {"type": "bool", "default": False},
    "network": {"type": "bool", "default": False},
    "application_passwords": {"type": "list", "elements": "str", "default": [], "no_log": False},
}

TEXTS = ("display_name", "first_name", "last_name", "nickname", "description", "url")


class Users(Resource):
    """Accounts, their roles on the site, and who is to be gone."""

    name = "users"

    def __init__(self, entries: list[dict[str, t.Any]]) -> None:
        """``entries``: values for USER_OPTIONS."""
        self.entries = entries
        logins = [entry["login"].lower() for entry in entries]
        twice = sorted({login for login in logins if logins.count(login) > 1})
        if twice:
            raise WpCliError(f"users: {', '.join(twice)} stands there more than once.")
        for entry in entries:
            if entry["update_password"] == "always" and not entry["password"] and entry["state"] == "present":
                raise WpCliError(f"user {entry['login']}: update_password: always needs a password.")
            if entry["password"] is not None and not entry["password"].strip():
                raise WpCliError(f"user {entry['login']}: the password is empty.")

    def query(self) -> dict[str, t.Any]:
        asks = []
        for entry in self.entries:
            names = ("email", "reassign", *TEXTS) if entry["state"] == "present" else ("reassign",)
            ask = {"login": entry["login"]} | {name: entry[name] for name in names if entry[name] is not None}
            if entry["update_password"] == "always":
                ask["password"] = entry["password"]
            ask["application_passwords"] = entry["application_passwords"]
            asks.append(ask)
        return {"users": asks} if asks else {}

    def check(self, state: dict[str, t.Any]) -> None:
        for entry, now in zip(self.entries, state.get("users") or [], strict=False):
            login = entry["login"]
            if now["exists"] and now["login"].lower() != login.lower():
                # The database takes letters with and without accents for the same.
                raise WpCliError(
                    f"user {login}: WordPress takes this login for {now['login']}. Write that, if it is the one that is meant."
                )
            if entry["state"] == "absent":
                if now["exists"] and not entry["delete_content"] and not entry["reassign"]:
                    raise WpCliError(
                        f"user {login}: say in reassign who gets their content, or delete_content: true to delete it with them."
                    )
                if (
                    now["exists"]
                    and entry["reassign"]
                    and (not now["reassign_exists"] or entry["reassign"].lower() == login.lower())
                ):
                    raise WpCliError(
                        f"user {login}: there is no other user {entry['reassign']} who could get the content."
                    )
                continue
            if not now["exists"]:
                if now["login_as_saved"] != login:
                    raise WpCliError(
                        f"user {login}: WordPress would save this login as {now['login_as_saved']!r}, and every run would "
                        "create it again. Use letters, digits, spaces, and . - _ @ only."
                    )
                if len(login) > 60:
                    raise WpCliError(f"user {login}: a login has at most 60 characters.")
                if not entry["email"]:
                    raise WpCliError(f"user {login} is to be created, and needs an email.")
            if entry["email"] and not now.get("email_valid", True):
                raise WpCliError(f"user {login}: {entry['email']} is no e-mail address that WordPress takes.")
            if now.get("email_taken_by"):
                raise WpCliError(f"user {login}: {entry['email']} is the address of {now['email_taken_by']} already.")
            for name, saved in zip(
                entry["application_passwords"], now.get("application_passwords_as_saved", []), strict=False
            ):
                if name != saved:
                    raise WpCliError(
                        f"user {login}: WordPress would save the application password {name!r} as {saved!r}, and every run would make one more. "
                        "Write it like that."
                    )
            unknown = [role for role in entry["roles"] or [] if role not in state.get("roles", [])]
            # Roles may come with a plugin that the same call activates: known only afterwards.
            if unknown and state.get("roles") and not self._may_come(state):
                raise WpCliError(
                    f"user {login}: there is no role {', '.join(unknown)}; there are {', '.join(state['roles'])}."
                )

    @staticmethod
    def _may_come(state: dict[str, t.Any]) -> bool:
        return "plugins" in state

    def plan(self, state: dict[str, t.Any]) -> Plan:
        plan = Plan()
        answers = state.get("users") or [{"exists": False} for _entry in self.entries]
        for entry, now in zip(self.entries, answers, strict=True):
            item = f"user {entry['login']}"
            if entry["state"] == "absent":
                if now["exists"] and (now.get("member", True) or entry["network"]):
                    operation = {"do": "delete_user", "login": entry["login"], "network": entry["network"]}
                    if entry["reassign"]:
                        operation["reassign"] = entry["reassign"]
                    plan.steps.append(Step(item, "removed", operation=operation))
                    plan.note(entry["login"], self._show(now), None)
                continue
            fields, action = self._fields(entry, now)
            if fields:
                operation = {"do": "user", "create": not now["exists"], "login": entry["login"], "fields": fields}
                plan.steps.append(Step(item, action, operation=operation))
                before = self._show(now) if now["exists"] else None
                shown = {name: value for name, value in fields.items() if name != "password"}
                after = {**(before or {}), **shown}
                if "password" in fields:
                    if before is not None:
                        before["password"] = "(hidden)"
                    after["password"] = "(hidden, new)"
                plan.note(entry["login"], before, after)
            for name in dict.fromkeys(entry["application_passwords"]):
                if name not in (now.get("application_passwords") or []):
                    operation = {"do": "application_password", "login": entry["login"], "name": name}
                    key = f"{entry['login']}\0{name}"
                    plan.steps.append(
                        Step(item, f"given the application password {name}", operation=operation, returns=key)
                    )
        return plan

    @staticmethod
    def _show(now: dict[str, t.Any]) -> dict[str, t.Any]:
        names = ("email", *TEXTS, "locale", "roles")
        return {name: now[name] for name in names if now.get(name)}

    @staticmethod
    def _fields(entry: dict[str, t.Any], now: dict[str, t.Any]) -> tuple[dict[str, t.Any], str]:
        """What has to be set, and the word for it."""
        fields: dict[str, t.Any] = {}
        if not now["exists"]:
            fields = {name: entry[name] for name in ("email", *TEXTS, "locale") if entry[name] is not None}
            # WordPress' own default role, unless something else is said.
            if entry["roles"] is not None:
                fields["roles"] = entry["roles"]
            if entry["password"]:
                fields["password"] = entry["password"]
            if entry["super_admin"]:
                fields["super_admin"] = True
            return fields, "created"
        if entry["email"] is not None and entry["email"] != now["email"]:
            fields["email"] = entry["email"]
        for name in TEXTS:
            if entry[name] is not None and now["clean"][name] != now[name]:
                fields[name] = entry[name]
        if entry["locale"] is not None and entry["locale"] != now["locale"]:
            fields["locale"] = entry["locale"]
        if entry["roles"] is not None and (sorted(entry["roles"]) != sorted(now["roles"]) or not now["member"]):
            fields["roles"] = entry["roles"]
        if entry["super_admin"] is not None and entry["super_admin"] != now["super_admin"]:
            fields["super_admin"] = entry["super_admin"]
        if entry["update_password"] == "always" and not now["password_same"]:
            fields["password"] = entry["password"]
        return fields, "changed"

    @staticmethod
    def application_passwords(values: dict[str, t.Any]) -> dict[str, dict[str, str]]:
        """Login -> name -> the new password, from what the operations returned."""
        answer: dict[str, dict[str, str]] = {}
        for key, value in values.items():
            login, name = key.split("\0")
            answer.setdefault(login, {})[name] = value
        return answer
