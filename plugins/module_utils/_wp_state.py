# Copyright (c) 2026, The dockpress engineers
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is declared of a site against what is there: read once, the fewest steps, read again.

``wp_site`` and the single modules differ only in the resources that they hand to ``Site``.
"""

from __future__ import annotations

import contextlib
import copy
import functools
import os
import pathlib
import tempfile
import time
import typing as t
from dataclasses import dataclass, field

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.urls import fetch_url
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import LockError, lock_beside, site_lock
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import PHP, WpCli, WpCliError, explain, program
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_php import APPLY, PLACE, READ
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_source import (
    Source,
    SourceError,
    chunks,
    is_url,
    sha256,
)

SOURCE_OPTIONS = {
    "source": {"type": "str"},
    "sha256": {"type": "str"},
    "remote_src": {"type": "bool", "default": False},
}

LOCK_OPTIONS = {
    "lock": {"type": "path"},
    "lock_timeout": {"type": "int", "default": 60},
}


@dataclass
class Step:
    """One thing to do for one item. Exactly one of the ways to do it is set.

    ``operation``: for the PHP program APPLY. ``argv``: a WP-CLI command. ``job``: for the PHP program PLACE, with
    ``upload`` (a Source) sent first. ``call``: a function of the Site.
    """

    item: str
    action: str
    operation: dict[str, t.Any] | None = None
    argv: list[str] | None = None
    job: dict[str, t.Any] | None = None
    upload: Declared | None = None
    call: t.Callable[[Site], None] | None = None
    code: bool = False
    # What it changes leaves the rest of the plan without ground: read again, and plan again.
    reread: bool = False
    returns: str | None = None
    settle: bool = True

    @property
    def exclusive(self) -> bool:
        """Whether it changes code, installs, or changes the database's schema: nobody else may be at work on the site."""
        return self.code or self.reread or self.job is not None

    def says(self) -> dict[str, str]:
        return {"item": self.item, "action": self.action}


@dataclass
class Plan:
    """Steps, and the state before and after them, for the diff."""

    steps: list[Step] = field(default_factory=list)
    before: dict[str, t.Any] = field(default_factory=dict)
    after: dict[str, t.Any] = field(default_factory=dict)

    def note(self, item: str, before: t.Any, after: t.Any) -> None:
        """Both sides of one line of the diff."""
        self.before[item] = before
        self.after[item] = after


class Resource:
    """One kind of thing that can be declared. ``name`` is its heading in the diff."""

    name = ""
    # Plans that must be carried out, and read again, before the others can be made.
    early = False

    check_mode = False

    def query(self) -> dict[str, t.Any]:
        """What the program READ is to look at."""
        return {}

    def check(self, state: dict[str, t.Any]) -> None:
        """Refuse what cannot be right, before anything is changed. Raises WpCliError."""

    def plan(self, state: dict[str, t.Any]) -> Plan:
        """What has to be done. ``state`` may be of a site that is not installed yet."""
        return Plan()

    def before_reading(self, site: Site) -> None:
        """For what has to be right before the state can be read at all."""


class Declared:
    """A ``source`` as it is declared: where it lies, and what is known of it."""

    def __init__(self, kind: str, entry: dict[str, t.Any], carried: dict[str, t.Any] | None) -> None:
        self.kind = kind
        self.where: str = entry["source"]
        self.sha256 = entry.get("sha256")
        self.remote = entry.get("remote_src", False)
        self.url = is_url(self.where)
        self._carried = (carried or {}).get(f"{kind}:{self.where}")
        self._source: Source | None = None
        self._temporary: str | None = None
        if self.url and not self.sha256:
            raise WpCliError(f"{self.where}: a URL needs sha256, so that what arrives is what was meant.")

    @property
    def known(self) -> dict[str, t.Any] | None:
        """slug, version, main - or None where it has to be fetched first."""
        if self.url and self._source is None:
            return None
        if self._carried and not self._carried.get("path"):
            return self._carried["about"]
        return self.open(None).describe()

    @property
    def must_be_carried(self) -> bool:
        """Whether it lies on the control node still."""
        return bool(self._carried) and not self._carried.get("path")

    def open(self, module: AnsibleModule | None) -> Source:
        """The source itself, fetched where it is a URL. Raises WpCliError."""
        if self._source is None:
            path = self.where
            if self.url:
                if module is None:
                    raise WpCliError(f"{self.where} has not been fetched")
                path = self._temporary = self._fetch(module)
            elif self._carried:
                path = self._carried["path"]
            try:
                if (
                    self.sha256
                    and not self.url
                    and pathlib.Path(path).is_file()
                    and sha256(path) != self.sha256.lower()
                ):
                    raise WpCliError(f"{self.where} has another sha256 than declared: {sha256(path)}")
                self._source = Source(path, self.kind)
            except SourceError as error:
                raise WpCliError(str(error).replace(path, self.where)) from error
        return self._source

    def _fetch(self, module: AnsibleModule) -> str:
        response, info = fetch_url(module, self.where, timeout=60)
        if response is None or info["status"] != 200:
            raise WpCliError(f"{self.where} cannot be fetched: {info.get('msg')}")
        # Named like the file behind the URL: a plugin without a folder of its own in the zip takes its name.
        folder = tempfile.mkdtemp(dir=module.tmpdir)
        path = str(pathlib.Path(folder) / (pathlib.PurePosixPath(self.where.split("?")[0]).name or "source.zip"))
        with pathlib.Path(path).open("wb") as out:
            while part := response.read(1 << 20):
                out.write(part)
        if sha256(path) != self.sha256.lower():
            raise WpCliError(
                f"{self.where} has another sha256 than declared: {sha256(path)}. Nothing was installed from it."
            )
        return path


class Site:
    """Brings one site to what its resources say."""

    def __init__(self, module: AnsibleModule, wp: WpCli, resources: t.Sequence[Resource]) -> None:
        self.module = module
        self.wp = wp
        self.resources = list(resources)
        for resource in self.resources:
            resource.check_mode = module.check_mode
        self.state: dict[str, t.Any] = {}
        self.done: list[Step] = []
        self.planned: list[Step] = []
        self.values: dict[str, t.Any] = {}
        self.hidden: list[str] = []
        self.code_changed = False
        self.before: dict[str, dict[str, t.Any]] = {}
        self.after: dict[str, dict[str, t.Any]] = {}
        # Takes the site's lock; gives whether somebody else has had it since a time. None: the module has no such option, and needs none.
        self.lock: t.Callable[[float], t.ContextManager[bool]] | None = None

    # -- reading

    def read(self) -> dict[str, t.Any]:
        """Everything that the resources ask for, by one process."""
        query: dict[str, t.Any] = {"path": self.wp.path, "url": self.wp.url}
        for resource in self.resources:
            query |= resource.query()
        state = self.wp.eval(READ, query, wordpress=False, plugins=False, hidden=self.hidden)
        refuse_wrong_site(state, self.wp.url)
        return state

    # -- the whole run

    def converge(self, installed: bool = False) -> bool:
        """Read, change, read again. True when something was (check mode: would be) changed."""
        try:
            return self._converge(installed)
        except WpCliError as error:
            self._partial(error)
            raise

    def _converge(self, installed: bool) -> bool:
        for resource in self.resources:
            resource.before_reading(self)
        started = time.time()
        self._look(installed)
        early = [resource for resource in self.resources if resource.early]
        late = [resource for resource in self.resources if not resource.early]
        with contextlib.ExitStack() as held:
            if self._exclusive(early, late) and held.enter_context(self.lock(started)):
                self._look(installed)
            return self._change(early, late)

    def _look(self, installed: bool) -> None:
        self.state = self.read()
        if installed:
            require_installed(self.state)
        for resource in self.resources:
            resource.check(self.state)

    def _exclusive(self, early: list[Resource], late: list[Resource]) -> bool:
        """Whether what is to be done needs the site's lock. What has to be carried here first is not done yet."""
        if self.lock is None or self.module.check_mode:
            return False
        for resources in (early, late):
            steps = [step for resource in resources for step in resource.plan(self.state).steps]
            if steps:
                carried = not any(step.upload and step.upload.must_be_carried for step in steps)
                return carried and any(step.exclusive for step in steps)
        return False

    def _change(self, early: list[Resource], late: list[Resource]) -> bool:
        again = self._stage(early)
        if again and not self.module.check_mode:
            self.state = self.read()
            for resource in late:
                resource.check(self.state)
        again = self._stage(late)
        if again and not self.module.check_mode:
            self.state = self.read()
        changed = bool(self.planned)
        if changed and not self.module.check_mode:
            self._settled()
            self._reload()
        return changed

    def _stage(self, resources: list[Resource]) -> bool:
        """Plan and act, and where a step takes the ground from the rest of the plan, once more. True: read again."""
        for round_number in range(6):
            steps: list[Step] = []
            for resource in resources:
                plan = resource.plan(self.state)
                if plan.before or plan.after:
                    self.before.setdefault(resource.name, {})
                    for item, value in plan.before.items():
                        self.before[resource.name].setdefault(item, value)
                    self.after.setdefault(resource.name, {}).update(plan.after)
                steps += plan.steps
            if not steps:
                return False
            self.planned += steps
            if self.module.check_mode:
                return True
            self._refuse_uncarried(steps)
            self._act(steps)
            if not any(step.reread for step in steps):
                return True
            self.state = self.read()
            for resource in self.resources:
                resource.check(self.state)
            if round_number == 5:
                raise WpCliError("The site does not settle: " + ", ".join(f"{s.item} {s.action}" for s in steps))
        return True

    def _refuse_uncarried(self, steps: list[Step]) -> None:
        """Sources on the control node are sent when they are needed: the action plugin asks, and then calls again."""
        missing = [step.upload.where for step in steps if step.upload and step.upload.must_be_carried]
        if missing:
            self.planned = list(self.done)
            self._reload()
            self.module.exit_json(changed=bool(self.done), _dockpress_carry=missing, **self.results())

    def _settled(self) -> None:
        """Believe the state that was read afterwards, and no tool's word."""
        left = [step for resource in self.resources for step in resource.plan(self.state).steps if step.settle]
        if left:
            raise WpCliError(
                "WordPress took the changes, but these are not as declared: "
                + ", ".join(f"{step.item} (not {step.action})" for step in left)
                + ". A plugin may put them back.",
                done=[step.says() for step in self.done],
                not_done=[step.says() for step in left],
            )

    def _partial(self, error: WpCliError) -> None:
        """Whatever fails, and whenever: what was changed before it is told, and loaded."""
        error.details.setdefault("done", [step.says() for step in self.done])
        error.details.setdefault("not_done", [step.says() for step in self.planned if step not in self.done])
        error.details.setdefault("changed", bool(self.done))
        self._reload()

    def _reload(self) -> None:
        if self.code_changed or any(step.code for step in self.done):
            self.wp.reload_code()

    # -- acting

    def _act(self, steps: list[Step]) -> None:
        """Carry steps out in their order, neighbours of one kind together."""
        place = 0
        while place < len(steps):
            end = place
            kind = self._kind(steps[place])
            while (
                end < len(steps) and self._kind(steps[end]) == kind and (kind in ("operation", "job") or end == place)
            ):
                end += 1
            batch = steps[place:end]
            if kind == "operation":
                self._operations(batch)
            elif kind == "job":
                self._place(batch)
            else:
                step = batch[0]
                try:
                    if step.argv is not None:
                        self.wp.run(step.argv, hidden=self.hidden)
                    else:
                        step.call(self)
                except WpCliError as error:
                    raise WpCliError(f"{step.item}: {error.msg}", **error.details) from error
                self.done.append(step)
            place = end

    @staticmethod
    def _kind(step: Step) -> str:
        return next(name for name in ("operation", "job", "argv", "call") if getattr(step, name) is not None)

    def _operations(self, steps: list[Step]) -> None:
        """PHP operations, in one process unless one of them ends it."""
        left = list(steps)
        while left:
            data = {"operations": [step.operation for step in left]}
            events, result = self.wp.events(APPLY, data, hidden=self.hidden)
            count = 0
            for event in events:
                if "end" in event:
                    return
                step = left[event["number"]]
                if "error" in event:
                    raise WpCliError(f"{step.item} cannot be {step.action}: {event['error']}", result)
                if step.returns is not None:
                    self.values[step.returns] = event["value"]
                self.done.append(step)
                count = event["number"] + 1
            step = left[count] if count < len(left) else None
            if step is None:
                return
            if step.operation["do"] in self.TAKING_AWAY:
                # Whatever it called its end: WordPress writes down that a plugin is not active after the plugin's own hooks.
                left = self._take_away(left[count:])
                continue
            if result.rc != 0 or not events and step.operation["do"] not in ("activate", "activate_theme"):
                raise WpCliError(f"{step.item} cannot be {step.action}: {explain(result)}", result)
            # It ended the process and called that a success, as plugins do that redirect when they are activated.
            # Whether it took is read afterwards; what comes after it gets a process of its own.
            self.done.append(step)
            left = left[count + 1 :]

    # What can be done without loading plugins, so that one which breaks the site can be taken away.
    TAKING_AWAY = ("deactivate", "forget_plugin", "delete_plugin")

    def _take_away(self, steps: list[Step]) -> list[Step]:
        """The leading steps that take plugins away, done while no plugin is loaded. Returns the other steps."""
        count = 0
        while count < len(steps) and steps[count].operation["do"] in self.TAKING_AWAY:
            count += 1
        operations = []
        for step in steps[:count]:
            without_hooks = {"do": "forget_plugin", "file": step.operation["file"]}
            operations.append(without_hooks if step.operation["do"] == "deactivate" else step.operation)
        events, result = self.wp.events(APPLY, {"operations": operations}, plugins=False, hidden=self.hidden)
        done = sum("value" in event for event in events)
        self.done += steps[:done]
        if not events or "end" not in events[-1]:
            failed = next((event["error"] for event in events if "error" in event), explain(result))
            raise WpCliError(f"{steps[done].item} cannot be {steps[done].action}: {failed}", result)
        return steps[count:]

    def _place(self, steps: list[Step]) -> None:
        """Send files and put them in their places."""
        jobs, areas = [], []
        with contextlib.ExitStack() as failed:
            failed.callback(self._clear_away, areas)
            for number, step in enumerate(steps):
                job = dict(step.job)
                if step.upload is not None:
                    areas.append(f".dockpress-new-{os.urandom(4).hex()}")
                    area = f"{self.wp.path}/{areas[-1]}"
                    source = step.upload.open(self.module)
                    root = f"{number}"
                    self.wp.execute(
                        ["sh", "-c", 'mkdir -p "$1" && tar -xf - -C "$1"', "sh", area], chunks(source.tar(root))
                    )
                    job["from"] = f"{area}/{root}"
                    if job.pop("single", False):
                        job["from"] += f"/{source.main}"
                jobs.append(job)
            jobs.append({"kind": "remove", "names": areas})
            self.place(jobs)
            failed.pop_all()
        self.done += steps

    def _clear_away(self, areas: list[str]) -> None:
        """What was sent and not put in place, as far as the container still answers. PLACE sweeps what is left."""
        if areas:
            with contextlib.suppress(Exception):
                self.wp.execute(["rm", "-rf", *(f"{self.wp.path}/{area}" for area in areas)], check=False)

    def place(self, jobs: list[dict[str, t.Any]], target: str | None = None) -> None:
        """Run the program PLACE: files, before and without WordPress."""
        mark = os.urandom(16).hex()
        result = self.wp.execute(
            [*PHP], program(PLACE, {"path": self.wp.path, "jobs": jobs}, mark), target=target, check=False
        )
        if result.rc or mark not in result.stdout:
            found = (result.stderr + result.stdout).strip()
            reason = (
                found.split("RuntimeException: ", 1)[-1]
                .split(" in Standard input", maxsplit=1)[0]
                .split(" in php://")[0]
            )
            raise WpCliError(f"The files cannot be put in place: {reason[:500] or explain(result)}", result)

    # -- leaving

    def results(self) -> dict[str, t.Any]:
        """What every module of the family returns."""
        before, after = copy.deepcopy(self.before), copy.deepcopy(self.after)
        for name in list(before):
            if before[name] == after.get(name):
                del before[name]
                after.pop(name, None)
        return {
            "changes": [step.says() for step in self.planned],
            "processes": self.wp.processes,
            "diff": {"before": before, "after": after},
        }


@contextlib.contextmanager
def hold_lock(module: AnsibleModule, wp: WpCli, since: float) -> t.Iterator[bool]:
    """The site's lock, for a module that has LOCK_OPTIONS. Raises WpCliError with who holds it."""
    path = module.params["lock"] or lock_beside(wp.client, wp.container, wp.fpm_container)
    holder = f"{module._name.rpartition('.')[2]} of {pathlib.Path(path).stem}"
    with contextlib.ExitStack() as stack:
        try:
            disturbed = stack.enter_context(site_lock(path, module.params["lock_timeout"], holder, since))
        except LockError as error:
            raise WpCliError(
                f"{error} Run again when that has ended, or say how long to wait in lock_timeout."
            ) from error
        except OSError as error:
            raise WpCliError(
                f"The lock {path} cannot be taken: {error}. Name a file that can be written in lock."
            ) from error
        yield disturbed


def run_module(
    module: AnsibleModule,
    build: t.Callable[[], t.Sequence[Resource]],
    finish: t.Callable[[Site], dict[str, t.Any]] | None = None,
    *,
    installed: bool = False,
) -> None:
    """The body of every module: converge, answer. ``finish(site)`` adds to the answer.

    ``installed``: the site must be there.
    """
    try:
        resources = build()
        with WpCli.from_params(module.params) as wp:
            site = Site(module, wp, resources)
            site.hidden = sorted(module.no_log_values, key=len)
            if "lock_timeout" in module.params:
                site.lock = functools.partial(hold_lock, module, wp)
            changed = site.converge(installed)
            answer = site.results()
            try:
                if finish is not None:
                    answer |= finish(site)
            except WpCliError as error:
                error.details |= {"changed": changed, "done": [step.says() for step in site.done]}
                raise
    except WpCliError as error:
        module.fail_json(**error.as_failure())
    module.exit_json(changed=changed, **answer)


def require_installed(state: dict[str, t.Any]) -> None:
    """For modules that work on a site that is there. Raises WpCliError that tells apart why it is not."""
    if state["installed"]:
        return
    if state["code"]["version"] is None:
        raise WpCliError("There is no WordPress in path. Put it there with wp_core or wp_site, or correct path.")
    if not state["config"]["exists"]:
        raise WpCliError("There is no wp-config.php. Create it with wp_config or wp_site.")
    refuse_database(state)
    raise WpCliError("WordPress is not installed yet. Install it with wp_core or wp_site.")


def refuse_wrong_site(state: dict[str, t.Any], url: str | None) -> None:
    """Stop where another site of the network answered. Raises WpCliError."""
    if state.get("no_such_site"):
        raise WpCliError(
            f"The network has no site {url}. Correct url, or create the site first (wp_cli with site create)."
        )


def refuse_database(state: dict[str, t.Any]) -> None:
    """Stop where the database does not answer: that is no site that is not installed. Raises WpCliError."""
    database = state.get("database") or {}
    what = {
        "down": "does not answer. Nothing was changed in it; the site is not taken for a new one. See that its container is up and healthy",
        "denied": "refuses the user. Nothing was changed in it. See that user and password in wp-config.php are those of the database",
        "missing": "does not exist. Nothing was changed in it. Create it, or correct DB_NAME in wp-config.php",
        "undeclared": "is not declared in wp-config.php",
        "damaged": "holds a part of a site. Nothing was changed in it: restore it from a backup, or empty it, before anything is installed there",
    }.get(database.get("state"))
    if what:
        name = f"{database.get('name', '')} on {database['host']} " if database.get("host") else ""
        raise WpCliError(f"The site's database {name}{what}: {database.get('error')}", database=database)
