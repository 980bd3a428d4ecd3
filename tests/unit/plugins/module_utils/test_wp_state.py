"""Declared against read state: the right steps, in the right order, and none where there is nothing to do."""

from __future__ import annotations

import contextlib
import copy
import functools
import io
import json
import tarfile
import zipfile
from types import SimpleNamespace

import pytest
from ansible_collections.dockpress.hosting.plugins.module_utils._lock import site_lock
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_cli import Result, WpCliError
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_config import ConfigFile, ConfigStub, php_serialize
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_core import (
    Code,
    Installation,
    Language,
    Schema,
    order,
)
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_extension import Plugins, Themes
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_option import Options
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_source import Source, SourceError
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_state import (
    Declared,
    Site,
    hold_lock,
    require_installed,
)
from ansible_collections.dockpress.hosting.plugins.module_utils._wp_user import USER_OPTIONS, Users

# As the program READ answered on WordPress 7.1.1 with WP-CLI 2.12.0, shortened.
RECORDED = {
    "php": "8.4.27",
    "installed": True,
    "database": {"state": "ok", "tables": 12},
    "multisite": False,
    "code": {
        "version": "7.1.1",
        "db_version": 61833,
        "writable": True,
        "path_exists": True,
        "staged": False,
        "staged_complete": False,
        "maintenance": False,
        "entries": 18,
    },
    "config": {"exists": True, "file": "/var/www/html/wp-config.php", "multisite": None, "subdomain_install": None, "table_prefix": "wp_"},
    "users_total": 2,
    "db_version": 61833,
    "siteurl": "http://blog.localhost:24000",
    "home": "http://blog.localhost:24000",
    "plugins": {
        "akismet/akismet.php": {"name": "Akismet", "version": "5.7.2", "auto_update": False, "status": "inactive"},
        "hello.php": {"name": "Hello Dolly", "version": "1.7.2", "auto_update": False, "status": "active"},
    },
    "plugins_other": [],
    "themes": {
        "twentytwentyfive": {
            "name": "Twenty Twenty-Five", "version": "1.5", "auto_update": False, "status": "active", "parent": None, "network": False, "broken": None,
        },
        "twentytwentyfour": {
            "name": "Twenty Twenty-Four", "version": "1.6", "auto_update": False, "status": "inactive", "parent": None, "network": False, "broken": None,
        },
    },
    "languages": {"installed": ["de_DE"], "active": ""},
    "roles": ["administrator", "editor", "author", "contributor", "subscriber"],
}  # fmt: skip


def state(**changes: object) -> dict:
    return copy.deepcopy(RECORDED) | changes


def plugin(name: str, **more: object) -> dict:
    return {
        "name": name,
        "state": "active",
        "version": None,
        "source": None,
        "network": None,
        "auto_update": None,
    } | more


def user(login: str, **more: object) -> dict:
    defaults = {name: spec.get("default") for name, spec in USER_OPTIONS.items()}
    return defaults | {"login": login} | more


def actions(plan) -> list[tuple[str, str]]:
    return [(step.item, step.action) for step in plan.steps]


class FakeWp:
    """Answers reads from a list of states, and operations from what they are told to answer."""

    def __init__(self, *states: dict, answers: list | None = None, files: dict[str, str] | None = None) -> None:
        self.path = "/var/www/html"
        self.url = "http://example.test"
        self.states = list(states)
        self.answers = answers or []
        self.files = files or {}
        self.executed: list[list[str]] = []
        self.breaks_at = ""
        self.operations: list[list[dict]] = []
        self.processes = 0
        self.reloads = 0

    def eval(self, _php, _data=None, **_options):
        self.processes += 1
        return self.states.pop(0)

    def events(self, _php, data, **_options):
        self.processes += 1
        self.operations.append(data["operations"])
        if self.answers:
            return self.answers.pop(0)
        done = [{"number": number, "value": None} for number in range(len(data["operations"]))]
        return [*done, {"end": True}], Result(0, b"", b"", ["wp"])

    def execute(self, command, _stdin=None, **_options):
        self.executed.append(list(command))
        if self.breaks_at in command:
            raise WpCliError("The disk is full.")
        return Result(0, b"", b"", command)

    def fpm_file(self, path):
        return self.files[path]

    def reload_code(self):
        self.reloads += 1


def run(resource, wp: FakeWp, check_mode: bool = False) -> tuple[bool, Site]:
    site = Site(SimpleNamespace(check_mode=check_mode), wp, [resource])
    return site.converge(), site


# -- the run


def test_nothing_to_do_is_one_process():
    wp = FakeWp(state())
    changed, site = run(Plugins(None, [plugin("hello"), plugin("akismet", state="present")], None), wp)
    assert not changed
    assert wp.processes == 1
    assert site.results()["diff"] == {"before": {}, "after": {}}


def test_a_url_that_no_site_of_the_network_has_is_refused():
    wp = FakeWp(state(no_such_site=True))
    with pytest.raises(WpCliError, match="no site http://example.test"):
        run(Plugins(None, [plugin("akismet")], None), wp)
    assert wp.operations == []


def test_check_mode_changes_nothing_and_predicts():
    declared = [plugin("akismet"), plugin("hello", state="absent")]
    wp = FakeWp(state())
    changed, predicted = run(Plugins(None, declared, None), wp, check_mode=True)
    assert changed
    assert wp.operations == []
    after = state()
    after["plugins"] = {"akismet/akismet.php": after["plugins"]["akismet/akismet.php"] | {"status": "active"}}
    wp = FakeWp(state(), after)
    _changed, done = run(Plugins(None, declared, None), wp)
    assert predicted.results()["changes"] == done.results()["changes"]
    assert predicted.results()["diff"] == done.results()["diff"]
    assert wp.processes == 3
    assert wp.reloads == 1


def test_a_tool_that_says_success_is_not_believed():
    with pytest.raises(WpCliError, match=r"not as declared: plugin akismet \(not activated\)") as caught:
        run(Plugins(None, [plugin("akismet")], None), FakeWp(state(), state()))
    assert caught.value.details["not_done"] == [{"item": "plugin akismet", "action": "activated"}]
    assert caught.value.details["changed"]


def test_one_that_ends_the_process_does_not_take_the_others_with_it():
    declared = [plugin("akismet"), plugin("second")]
    before = state()
    before["plugins"]["second/second.php"] = dict(before["plugins"]["akismet/akismet.php"])
    after = copy.deepcopy(before)
    for file in ("akismet/akismet.php", "second/second.php"):
        after["plugins"][file]["status"] = "active"
    wp = FakeWp(before, after, answers=[([], Result(0, b"", b"", ["wp"]))])
    changed, _site = run(Plugins(None, declared, None), wp)
    assert changed
    assert [[operation["file"] for operation in batch] for batch in wp.operations] == [
        ["akismet/akismet.php", "second/second.php"],
        ["second/second.php"],
    ]


def test_a_failure_says_what_was_done_and_what_was_not():
    declared = [plugin("akismet"), plugin("hello", state="inactive")]
    answer = ([{"number": 0, "value": None}, {"number": 1, "error": "no"}], Result(0, b"", b"", ["wp"]))
    with pytest.raises(WpCliError, match="plugin hello cannot be deactivated: no") as caught:
        run(Plugins(None, declared, None), FakeWp(state(), answers=[answer]))
    assert caught.value.details["done"] == [{"item": "plugin akismet", "action": "activated"}]
    assert caught.value.details["not_done"] == [{"item": "plugin hello", "action": "deactivated"}]
    assert caught.value.details["changed"]


class Wrote(ConfigFile):
    """A configuration that is written before anything is read."""

    def edit(self, _site, _check_mode):
        return {"changes": [{"name": "WP_DEBUG", "action": "added"}], "before": {}, "after": {"WP_DEBUG": True}}


WROTE = [{"item": "WP_DEBUG", "action": "added"}]


@pytest.mark.parametrize("kind", ["read", "check", "plan", "read again"])
def test_a_failure_at_any_time_says_what_was_done_before_it(kind):
    """wp-config.php was written: that is told, and loaded, whatever fails afterwards."""
    away = state(installed=False, database={"state": "down", "error": "e", "host": "h", "name": "n"})
    late, states = Code({"version": "6.8"}, None, None), [state()]
    if kind == "read":
        states = [state(no_such_site=True)]
    elif kind == "check":
        late, states = Installation(ADMIN, "http://x"), [away]
    elif kind == "read again":
        late, states = Plugins(None, [plugin("akismet")], None), [state(), state(no_such_site=True)]
    wp = FakeWp(*states)
    site = Site(SimpleNamespace(check_mode=False), wp, [Wrote({}), late])
    with pytest.raises(WpCliError) as caught:
        site.converge()
    activated = [{"item": "plugin akismet", "action": "activated"}] if kind == "read again" else []
    assert caught.value.details["done"] == WROTE + activated
    assert caught.value.details["not_done"] == []
    assert caught.value.details["changed"]
    assert wp.reloads == 1


def test_a_failure_in_check_mode_has_changed_nothing():
    wp = FakeWp(state())
    site = Site(SimpleNamespace(check_mode=True), wp, [Wrote({}), Code({"version": "6.8"}, None, None)])
    with pytest.raises(WpCliError, match="allow_downgrade") as caught:
        site.converge()
    assert (caught.value.details["done"], caught.value.details["changed"]) == ([], False)
    assert wp.reloads == 0


# It breaks PHP, or ends the process and calls that a success: when it is loaded, or when it is deactivated.
@pytest.mark.parametrize("rc", [255, 0])
def test_a_plugin_that_breaks_php_is_taken_away_without_loading_it(rc):
    fatal = ([], Result(rc, b"", b"PHP Fatal error:  Uncaught Error in hello.php", ["wp"]))
    after = state()
    del after["plugins"]["hello.php"]
    wp = FakeWp(state(), after, answers=[fatal])
    changed, _site = run(Plugins(None, [plugin("hello", state="absent")], None), wp)
    assert changed
    assert [operation["do"] for operation in wp.operations[1]] == ["forget_plugin", "delete_plugin"]


# -- the site's lock


class FakeLock:
    """Notes what had been done when it was taken and when it was let go of."""

    def __init__(self, wp: FakeWp, disturbed: bool = False) -> None:
        self.wp = wp
        self.disturbed = disturbed
        self.seen: list[tuple[int, int]] = []

    @contextlib.contextmanager
    def __call__(self, _since):
        self.seen.append((self.wp.processes, len(self.wp.operations)))
        yield self.disturbed
        self.seen.append((self.wp.processes, len(self.wp.operations)))


def run_locked(resources: list, wp: FakeWp, lock: FakeLock, check_mode: bool = False) -> tuple[bool, Site]:
    site = Site(SimpleNamespace(check_mode=check_mode), wp, resources)
    site.lock = lock
    return site.converge(), site


def activated() -> dict:
    after = state()
    after["plugins"]["akismet/akismet.php"]["status"] = "active"
    return after


def test_the_lock_is_held_from_the_first_change_to_the_last_look():
    wp = FakeWp(state(), activated())
    lock = FakeLock(wp)
    changed, _site = run_locked([Plugins(None, [plugin("akismet")], None)], wp, lock)
    assert changed
    assert lock.seen == [(1, 0), (3, 1)]


def test_what_somebody_else_has_done_in_the_meantime_is_not_done_again():
    wp = FakeWp(state(), activated())
    lock = FakeLock(wp, disturbed=True)
    changed, site = run_locked([Plugins(None, [plugin("akismet")], None)], wp, lock)
    assert not changed
    assert lock.seen == [(1, 0), (2, 0)]
    assert site.results()["diff"] == {"before": {}, "after": {}}


def test_the_schema_is_changed_under_the_lock():
    assert all(step.exclusive for step in Schema().plan(state(db_version=1)).steps)


@pytest.mark.parametrize(
    ("declared", "check_mode"), [([plugin("hello")], False), ([plugin("akismet")], True)], ids=["as declared", "check"]
)
def test_where_nothing_is_done_the_lock_is_not_taken(declared, check_mode):
    wp = FakeWp(state())
    lock = FakeLock(wp)
    run_locked([Plugins(None, declared, None)], wp, lock, check_mode)
    assert lock.seen == []


def test_options_need_no_lock():
    options = Options({"options": {"b": 5}})
    entry = {"exists": True, "value": "4", "autoload": True, "want": "5", "same": False}
    wp = FakeWp(state(options=[entry]), state(options=[entry | {"value": "5", "same": True}]))
    lock = FakeLock(wp)
    changed, _site = run_locked([options], wp, lock)
    assert changed
    assert lock.seen == []


def test_a_held_lock_is_an_error_that_says_who_has_it_and_nothing_is_done(tmp_path):
    path = str(tmp_path / "blog.lock")
    module = SimpleNamespace(
        check_mode=False, params={"lock": path, "lock_timeout": 0}, _name="dockpress.hosting.wp_site"
    )
    wp = FakeWp(state())
    site = Site(module, wp, [Plugins(None, [plugin("akismet")], None)])
    site.lock = functools.partial(hold_lock, module, wp)
    with (
        site_lock(path, 0, "wp_backup of blog"),
        pytest.raises(WpCliError, match=r"held by wp_backup of blog .*lock_timeout"),
    ):
        site.converge()
    assert wp.operations == []
    with hold_lock(module, wp, 0.0):
        assert '"holder": "wp_site of blog"' in (tmp_path / "blog.lock").read_text(encoding="utf-8")


# -- plugins and themes


def test_a_slug_that_means_several_is_refused():
    now = state()
    now["plugins"] |= {"foo.php": now["plugins"]["hello.php"], "foo/foo.php": now["plugins"]["hello.php"]}
    with pytest.raises(WpCliError, match=r"foo\.php, foo/foo\.php"):
        Plugins(None, [plugin("foo")], None).check(now)
    Plugins(None, [plugin("foo/foo.php")], None).check(now)


def test_a_wanted_version_is_installed_over_the_other():
    plan = Plugins(None, [plugin("akismet", version="5.0", state="present")], None).plan(state())
    assert actions(plan) == [("plugin akismet", "updated")]
    assert plan.steps[0].operation == {
        "do": "cli",
        "args": ["plugin", "install", "akismet"],
        "assoc": {"force": True, "version": "5.0"},
    }


def test_purging_leaves_what_is_listed():
    plan = Plugins(None, [plugin("akismet", state="present")], None, purge=True).plan(state())
    assert actions(plan) == [("plugin hello.php", "deactivated"), ("plugin hello.php", "removed")]


def test_files_that_are_gone_are_forgotten():
    now = state()
    now["plugins"]["gone/gone.php"] = {"name": "", "version": None, "auto_update": False, "status": "missing"}
    plan = Plugins(None, [plugin("gone", state="absent")], None).plan(now)
    assert actions(plan) == [("plugin gone/gone.php", "forgotten")]


def test_the_newest_version_needs_an_answer():
    now = state(plugins_updates={"trouble": "cURL error 6: Could not resolve host", "new": {}})
    with pytest.raises(WpCliError, match="source"):
        Plugins(None, [plugin("akismet", state="latest")], None).plan(now)
    now["plugins_updates"] = {"trouble": None, "new": {"akismet/akismet.php": "6.0"}}
    assert actions(Plugins(None, [plugin("akismet", state="latest")], None).plan(now)) == [
        ("plugin akismet", "updated")
    ]


def test_the_active_theme_is_changed_before_the_old_one_goes():
    entries = [plugin("twentytwentyfive", state="absent", network=None), plugin("twentytwentyfour", network=None)]
    plan = Themes(None, entries, None).plan(state())
    assert actions(plan) == [("theme twentytwentyfour", "activated"), ("theme twentytwentyfive", "removed")]
    with pytest.raises(WpCliError, match="in use"):
        Themes(None, entries[:1], None).check(state())


def network(**more: object) -> dict:
    """A site of a network: akismet is active in all of it, another site uses hello.php and twentytwentyfour."""
    now = state(multisite=True, **more)
    now["plugins"]["akismet/akismet.php"]["status"] = "active-network"
    now["plugins"]["idle.php"] = now["plugins"]["hello.php"] | {"status": "inactive"}
    now["themes"]["idle"] = dict(now["themes"]["twentytwentyfour"])
    shop = "example.test/shop/"
    return now | {"elsewhere": {"plugins": {"hello.php": shop}, "themes": {"twentytwentyfour": shop}}}


def test_other_sites_of_a_network_are_asked_about_where_something_goes():
    assert not Plugins(None, [plugin("hello")], None).query()["plugins"]["elsewhere"]
    assert Plugins(None, [plugin("hello", state="absent")], None).query()["plugins"]["elsewhere"]
    assert Themes(None, [], None, purge=True).query()["themes"]["elsewhere"]


def test_what_other_sites_of_a_network_use_is_not_taken_away():
    assert actions(Plugins(None, [], None, purge=True).plan(network())) == [("plugin idle.php", "removed")]
    assert actions(Themes(None, [], None, purge=True).plan(network())) == [("theme idle", "removed")]
    with pytest.raises(WpCliError, match="hello.php is in use by example.test/shop/"):
        Plugins(None, [plugin("hello", state="absent")], None).check(network())
    with pytest.raises(WpCliError, match="twentytwentyfour is in use by example.test/shop/"):
        Themes(None, [plugin("twentytwentyfour", state="absent")], None).check(network())


def test_only_a_word_takes_a_plugin_from_the_whole_network():
    assert Plugins(None, [plugin("akismet")], None).plan(network()).steps == []
    for gone in ("inactive", "absent"):
        with pytest.raises(WpCliError, match=r"whole network.*network: false"):
            Plugins(None, [plugin("akismet", state=gone)], None).check(network())
    declared = Plugins(None, [plugin("akismet", state="inactive", network=False)], None)
    declared.check(network())
    assert declared.plan(network()).steps[0].operation["network"]
    here = Plugins(None, [plugin("akismet", network=False)], None).plan(network())
    assert [action for _item, action in actions(here)] == ["deactivated", "activated"]
    assert not here.steps[1].operation["network"]


# -- options, users, languages


def option_state(*entries: dict) -> dict:
    return state(options=list(entries))


def test_options_compare_as_php_said():
    options = Options({"options": {"a": "x", "b": 5}, "absent_options": ["c", "d"], "autoload": {"a": False}})
    options.query()
    same = {"exists": True, "value": "x", "autoload": True, "want": "x", "same": True}
    differs = {"exists": True, "value": "4", "autoload": True, "want": "5", "same": False}
    there = {"exists": True, "value": "v", "autoload": True}
    gone = {"exists": False, "value": None, "autoload": None}
    plan = options.plan(option_state(same, differs, there, gone))
    assert actions(plan) == [("option b", "changed"), ("option a", "autoload off"), ("option c", "removed")] or actions(
        plan
    ) == [
        ("option a", "autoload off"),
        ("option b", "changed"),
        ("option c", "removed"),
    ]


def test_a_value_that_wordpress_replaces_is_refused():
    options = Options({"options": {"admin_email": "x"}})
    options.query()
    with pytest.raises(WpCliError, match="admin_email.*not valid"):
        options.check(option_state({"exists": True, "refused": "The email address is not valid", "same": True}))


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"exists": True, "name": "blogname", "value": "x"}, "takes this name for blogname"),
        (
            {"exists": True, "name": "Blogname", "unmergeable": "it holds text", "same": False},
            "Blogname: it holds text",
        ),
    ],
)
def test_options_that_are_not_what_is_meant(entry, words):
    options = Options({"merge_options": {"Blogname": {"a": 1}}})
    options.query()
    with pytest.raises(WpCliError, match=words):
        options.check(option_state(entry))


def test_names_that_the_database_takes_for_the_same():
    with pytest.raises(WpCliError, match="more than once"):
        Options({"options": {"Shop": 1}, "absent_options": ["shop"]})


PERMALINK = {"exists": True, "value": "", "want": "/%postname%/", "same": False, "autoload": True}


@pytest.mark.parametrize("events", [[], [{"number": 0, "error": "no"}]])
def test_rules_that_are_not_flushed_are_told(events):
    options = Options({"options": {"permalink_structure": "/%postname%/"}})
    flush = (events, Result(255, b"", b"PHP Fatal error:  no", ["wp"]))
    stored = ([{"number": 0, "value": None}, {"end": True}], Result(0, b"", b"", ["wp"]))
    wp = FakeWp(option_state(PERMALINK), answers=[stored, flush])
    with pytest.raises(WpCliError, match="rewrite rules: .* failed: .*no") as caught:
        run(options, wp)
    # The rules are forgotten together with the change: WordPress makes them anew.
    assert wp.operations[0][0]["rewriting"]
    assert caught.value.details["not_done"] == [{"item": "rewrite rules", "action": "flushed"}]


@pytest.mark.parametrize("name", ["", " edges", "notoptions", "x" * 192])
def test_names_that_no_option_can_have(name):
    with pytest.raises(WpCliError, match="options: "):
        Options({"options": {name: 1}})


def test_secret_options_are_hidden_in_the_diff():
    options = Options({"secret_options": {"key": "s3cret"}})
    options.query()
    plan = options.plan(option_state({"exists": True, "value": "old-s3cret", "want": "s3cret", "same": False}))
    assert "s3cret" not in json.dumps([plan.before, plan.after])


ERIKA = {
    "exists": True, "login_as_saved": "erika", "id": 2, "login": "erika", "email": "e@x.org", "display_name": "E", "url": "", "first_name": "",
    "last_name": "", "nickname": "erika", "description": "", "locale": "", "roles": ["editor"], "member": True, "super_admin": False, "clean": {},
}  # fmt: skip


def test_passwords_are_set_on_creation_only_unless_told():
    entry = user("erika", password="new", roles=["editor"])
    assert Users([entry]).plan(state(users=[ERIKA])).steps == []
    always = user("erika", password="new", update_password="always")
    assert Users([always]).plan(state(users=[ERIKA | {"password_same": True}])).steps == []
    plan = Users([always]).plan(state(users=[ERIKA | {"password_same": False}]))
    assert plan.steps[0].operation["fields"] == {"password": "new"}
    assert "new" not in json.dumps(plan.before)


@pytest.mark.parametrize(
    ("entry", "now", "words"),
    [
        (user("j d+x", email="j@x.org"), {"exists": False, "login_as_saved": "j dx"}, "'j dx'"),
        (user("new"), {"exists": False, "login_as_saved": "new"}, "needs an email"),
        (user("erika", state="absent"), ERIKA, "reassign"),
        (user("erika", state="absent", reassign="x"), ERIKA | {"reassign_exists": False}, "no other user x"),
        (user("erika", email="a@x.org"), ERIKA | {"email_valid": True, "email_taken_by": "anna"}, "address of anna"),
        (user("erika", roles=["emperor"]), ERIKA, "emperor"),
        (user("\u00e9rika", state="absent", delete_content=True), ERIKA, "for erika"),
        (
            user("erika", application_passwords=["a", "<x>  b"]),
            ERIKA | {"application_passwords_as_saved": ["a", "b"]},
            "as 'b'",
        ),
    ],
)
def test_users_that_cannot_be(entry, now, words):
    found = state(users=[now])
    del found["plugins"]
    with pytest.raises(WpCliError, match=words):
        Users([entry]).check(found)


def test_a_language_is_installed_and_activated():
    assert Language({"language": "en_US"}, None).plan(state()).steps == []
    assert actions(Language({"language": "de_DE"}, None).plan(state())) == [("language de_DE", "activated")]
    assert actions(Language({"languages": ["fr_FR"]}, None).plan(state())) == [("language fr_FR", "installed")]


# -- core


@pytest.mark.parametrize(
    ("older", "newer"),
    [
        ("6.8.2", "6.8.12"),
        ("6.8.12", "7.0-RC1"),
        ("7.0-RC1", "7.0"),
        ("7.0-beta2", "7.0-RC1"),
        ("7.0", "7.1.1"),
        ("6.9", "6.10"),
    ],
)
def test_versions_are_ordered(older, newer):
    assert order(older) < order(newer)
    assert order("7.0") == order("7.0.0")


def test_an_older_version_needs_a_word():
    with pytest.raises(WpCliError, match="allow_downgrade"):
        Code({"version": "6.8"}, None, None).plan(state())
    assert actions(Code({"version": "6.8", "allow_downgrade": True}, None, None).plan(state())) == [
        ("WordPress 6.8", "downgraded")
    ]
    assert Code({"version": "7.1.1"}, None, None).plan(state()).steps == []
    assert actions(Code({"version": "8.0"}, None, None).plan(state())) == [("WordPress 8.0", "updated")]


# As the image of wordpress:6.8.3 and WordPress 7.1.1 have it, shortened.
VERSION_PHP = "<?php\n/** x */\n$wp_version = '{}';\n\n$wp_db_version = {};\n"
OLD, NEW = VERSION_PHP.format("6.8.3", 60421), VERSION_PHP.format("7.1.1", 61833)


def at(version: str, db_version: int) -> dict:
    """A site whose code and schema are of that version."""
    now = state(db_version=db_version)
    now["code"] |= {"version": version, "db_version": db_version}
    return now


def core(wp: FakeWp, declared: dict, **module: object) -> list[tuple[str, str]]:
    """What check mode says of a site with a PHP-FPM container."""
    site = Site(SimpleNamespace(check_mode=True, **module), wp, [Code(declared, None, "fpm"), Schema()])
    site.converge()
    return [(step.item, step.action) for step in site.planned]


UPDATED = [("WordPress 7.1.1", "updated"), ("database schema", "updated")]


def test_the_image_is_what_the_site_is_compared_with_when_it_is_named():
    files = {"/usr/src/wordpress/wp-includes/version.php": NEW}
    assert core(FakeWp(at("6.8.3", 60421), files=files), {"source": "image"}) == UPDATED
    assert core(FakeWp(at("6.8.3", 60421), files=files), {"source": "image", "version": "latest"}) == UPDATED
    assert core(FakeWp(at("7.1.1", 61833), files=files), {"source": "image"}) == []
    # Not named, any will do; the version is there, and the image is not looked into.
    assert core(FakeWp(at("6.8.3", 60421)), {}) == []
    assert core(FakeWp(at("6.8.3", 60421)), {"source": "image", "version": "6.8.3"}) == []


def test_an_image_that_holds_another_version_is_refused_before_anything_is_placed():
    files = {"/usr/src/wordpress/wp-includes/version.php": OLD}
    for have in (at("7.1", 61833), at("6.8.1", 60421)):
        wp = FakeWp(have, files=files)
        with pytest.raises(WpCliError, match=r"image.* holds WordPress 6\.8\.3, and version says 7\.1\.1"):
            run(Code({"source": "image", "version": "7.1.1", "allow_downgrade": True}, None, "fpm"), wp)
        assert wp.executed == []
    with pytest.raises(WpCliError, match="allow_downgrade"):
        core(FakeWp(at("7.1.1", 61833), files=files), {"source": "image"})


def test_a_core_behind_a_url_is_fetched_where_it_could_matter(tmp_path, monkeypatch):
    package = zipped(
        tmp_path / "wordpress.zip", {"wordpress/wp-includes/version.php": NEW, "wordpress/wp-load.php": "<?php"}
    )
    fetched = []
    monkeypatch.setattr(Declared, "_fetch", lambda _self, _module: fetched.append(1) or package)
    declared = {"source": "https://example.org/wordpress.zip", "sha256": "0" * 64}
    assert core(FakeWp(at("6.8.3", 60421)), declared) == UPDATED
    assert core(FakeWp(at("7.1.1", 61833)), declared) == []
    assert len(fetched) == 2
    assert core(FakeWp(at("7.1.1", 61833)), declared | {"version": "7.1.1"}) == []
    assert len(fetched) == 2
    with pytest.raises(WpCliError, match=r"wordpress\.zip holds WordPress 7\.1\.1, and version says 7\.2"):
        core(FakeWp(at("6.8.3", 60421)), declared | {"version": "7.2"})


def test_the_newest_wordpress_is_asked_for_and_no_answer_is_no_silence():
    # In the words of WP-CLI 2.12.0, with and without a way out.
    newest = {"version": "7.1.1", "trouble": None}
    away = {
        "version": None,
        "trouble": "Failed to get url 'https://api.wordpress.org/core/version-check/1.7/?locale=en_US': "
        "cURL error 6: Could not resolve host: api.wordpress.org.",
    }
    assert core(FakeWp(at("6.8.3", 60421), newest), {"version": "latest"}) == UPDATED[:1]
    assert core(FakeWp(at("7.1.1", 61833), newest), {"version": "latest"}) == []
    with pytest.raises(WpCliError, match=r"Could not resolve host.* name version and source"):
        core(FakeWp(at("6.8.3", 60421), away), {"version": "latest"})


def test_what_an_ended_update_left_is_seen_to():
    now = state()
    now["code"] |= {"staged": True, "maintenance": True, "maintenance_seconds": 1764200000}
    assert [action for _item, action in actions(Code({}, None, "fpm").plan(now))] == [
        "ended",
        "an interrupted update cleared away",
    ]
    now["code"] |= {"staged_complete": True, "version": None}
    assert [action for _item, action in actions(Code({}, None, "fpm").plan(now))] == [
        "ended",
        "an interrupted update finished",
    ]


def test_maintenance_mode_that_still_holds_is_left_and_told():
    now = at("7.1.1", 61833)
    now["code"] |= {"maintenance": True, "maintenance_seconds": 599}
    warnings = []
    assert core(FakeWp(now), {}, warn=warnings.append) == []
    assert len(warnings) == 1
    assert "since 599 seconds" in warnings[0]
    now["code"]["maintenance_seconds"] = 600
    assert core(FakeWp(now), {}) == [("maintenance mode", "ended")]


def test_the_schema_follows_the_code():
    assert Schema().plan(state()).steps == []
    assert Schema().plan(state(db_version=60000)).steps[0].argv == ["core", "update-db"]
    assert Schema().plan(state(db_version=60000, multisite=True)).steps[0].argv == ["core", "update-db", "--network"]


ADMIN = {"title": "T", "admin_user": "a", "admin_password": "p", "admin_email": "a@x.org", "multisite": "no"}


@pytest.mark.parametrize("database", ["down", "denied", "missing", "damaged"])
def test_a_database_that_is_away_is_no_new_site(database):
    now = state(installed=False, database={"state": database, "error": "e", "host": "h", "name": "n"})
    with pytest.raises(WpCliError, match=r"database.*Nothing was changed"):
        Installation(ADMIN, "http://x").check(now)
    with pytest.raises(WpCliError, match="database"):
        require_installed(now)


def test_installing_names_what_is_missing():
    now = state(installed=False)
    with pytest.raises(WpCliError, match="needs url, admin_password"):
        Installation(ADMIN | {"admin_password": None}, None).check(now)
    assert actions(Installation(ADMIN, "http://x").plan(now)) == [("WordPress", "installed in the database")]
    assert Installation(ADMIN, "http://x").plan(state()).steps == []


@pytest.mark.parametrize(
    ("declared", "words"),
    [
        ({"admin_password": "  "}, "needs admin_password"),
        ({"admin_user": "j d+x"}, "'j d\\+x' as another login"),
        ({"admin_user": "two  blanks"}, "another login"),
        ({"admin_user": " edge"}, "another login"),
        ({"admin_user": "\u00e9rika"}, "another login"),
        ({"admin_user": "x" * 61}, "at most 60"),
    ],
)
def test_administrators_that_wordpress_would_make_another_of(declared, words):
    with pytest.raises(WpCliError, match=words):
        Installation(ADMIN | declared, "http://x").check(state(installed=False))
    # It is used for nothing once the site is there.
    Installation(ADMIN | declared, "http://x").check(state())
    Installation(ADMIN | {"admin_user": "j. d-x_1@x.org"}, "http://x").check(state(installed=False))


def test_an_application_password_that_is_named_twice_is_made_once():
    plan = Users([user("erika", application_passwords=["a", "a"])]).plan(state(users=[ERIKA]))
    assert len(plan.steps) == 1


def test_an_installation_without_users_gets_its_administrator():
    plan = Installation(ADMIN, "http://x").plan(state(users_total=0))
    assert actions(plan) == [("administrator a", "created")]


def test_a_network_needs_its_constants():
    now = state()
    now["config"]["multisite"] = False
    with pytest.raises(WpCliError, match="DOMAIN_CURRENT_SITE"):
        Installation(ADMIN | {"multisite": "subdomains"}, "http://x").check(now)


# -- configuration


def test_values_for_php_keep_their_type_and_bytes():
    assert php_serialize({"a": [True, None, 1, 1.5, "\u00e9'"], "b": {}}) == (
        b'a:2:{s:1:"a";a:5:{i:0;b:1;i:1;N;i:2;i:1;i:3;d:1.5;i:4;s:3:"\xc3\xa9\'";}s:1:"b";a:0:{}}'
    )
    for wrong in (float("nan"), 2**64, "\udcff"):
        with pytest.raises(WpCliError):
            php_serialize(wrong)


@pytest.mark.parametrize(
    "declared",
    [
        {"constants": {"A-B": 1}},
        {"constants": {"A": 1}, "absent_constants": ["A"]},
        {"table_prefix": "wp-"},
        {"table_prefix": ""},
    ],
)
def test_declarations_that_cannot_be(declared):
    with pytest.raises(WpCliError):
        ConfigFile(declared)


def test_the_stub_is_constant_and_holds_no_setting():
    stub = ConfigStub("/etc/dockpress/wordpress/wp-config.php")
    assert stub.text == ConfigStub("/etc/dockpress/wordpress/wp-config.php").text
    with pytest.raises(WpCliError):
        ConfigStub("/x'; evil();//")
    with pytest.raises(WpCliError, match="Mount it"):
        stub.check(state() | {"config": {"target_readable": False}})


# -- sources


def zipped(path, files: dict[str, str]):
    with zipfile.ZipFile(path, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return str(path)


HEADER = "<?php\n/**\n * Plugin Name: Thing\n * Version: 1.2.3 \n */\n"


def test_what_a_source_holds_is_known_before_it_is_sent(tmp_path):
    source = Source(
        zipped(tmp_path / "x.zip", {"thing/other.php": "<?php", "thing/thing.php": HEADER, "thing/sub/a.txt": "a"}),
        "plugin",
    )
    assert source.describe() == {"slug": "thing", "version": "1.2.3", "main": "thing.php", "db_version": None}
    with source.tar("0") as stream, tarfile.open(fileobj=io.BytesIO(stream.read())) as archive:
        assert sorted(archive.getnames()) == ["0/other.php", "0/sub/a.txt", "0/thing.php"]
        assert min(entry.mtime for entry in archive) > 1_700_000_000


def test_a_url_that_holds_another_version_than_declared_is_refused(tmp_path, monkeypatch):
    package = zipped(tmp_path / "akismet.zip", {"akismet/akismet.php": HEADER})
    monkeypatch.setattr(Declared, "_fetch", lambda _self, _module: package)
    entry = plugin("akismet", version="6.0", source="https://example.org/akismet.zip", sha256="0" * 64)
    with pytest.raises(WpCliError, match=r"holds version 1\.2\.3 of akismet, and version says 6\.0"):
        Plugins(SimpleNamespace(), [entry], None).plan(state())


@pytest.mark.parametrize("breaks_at", ["sh", "php"])
def test_what_was_sent_and_not_put_in_place_is_cleared_away(tmp_path, breaks_at):
    package = zipped(tmp_path / "thing.zip", {"thing/thing.php": HEADER})
    wp = FakeWp(state())
    wp.breaks_at = breaks_at
    entry = plugin("thing", source=package, remote_src=True)
    with pytest.raises(WpCliError, match="disk is full") as caught:
        run(Plugins(None, [entry], None), wp)
    area = wp.executed[0][-1]
    assert area.startswith("/var/www/html/.dockpress-new-")
    assert wp.executed[-1] == ["rm", "-rf", area]
    assert {"item": "plugin thing", "action": "installed"} in caught.value.details["not_done"]


@pytest.mark.parametrize(
    ("files", "kind", "words"),
    [
        ({"thing/thing.php": "<?php"}, "plugin", "is no plugin"),
        ({"thing/style.css": "x"}, "theme", "is no theme"),
        ({"thing/../../evil.php": HEADER, "thing/thing.php": HEADER}, "plugin", "outside"),
        ({"/etc/passwd": "x", "thing.php": HEADER}, "plugin", "outside"),
        ({"wordpress/index.php": ""}, "core", "no WordPress"),
        ({"a/readme.txt": ""}, "language", "no language files"),
    ],
)
def test_sources_that_are_something_else_are_refused(tmp_path, files, kind, words):
    with pytest.raises(SourceError, match=words):
        Source(zipped(tmp_path / "x.zip", files), kind)
