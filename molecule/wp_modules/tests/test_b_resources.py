"""Options, users, plugins and themes of a site that serves pages."""

from __future__ import annotations

import json
import subprocess
import threading
import time

import engine
import pytest
from wp_live import Live, inside_json

testinfra_hosts = ["local://"]

PASSWORDS = ["it's\"q\\", "  spaces inside  and out ", "\u00fcml\u00e4ut \U0001f600 $HOME `id` %s", "\\\\'\\\"\\"]


@pytest.fixture(scope="module")
def site():
    return Live("modules.test")


def plugin(name: str, version: str = "1.0", body: str = "") -> str:
    return f"<?php\n/*\nPlugin Name: {name}\nVersion: {version}\n*/\n{body}\n"


# -- options

ODD_VALUES = {
    "odd_dashes": "--bar",
    "odd_dashes_text": "-- hi",
    "odd_dash": "-",
    "--odd-name": "--odd value",
    "12345": "digits",
    "odd_array": {"enabled": "no"},
    "odd_json": '{"enabled":"no"}',
    "odd_serialized": 'a:1:{s:1:"x";s:1:"y";}',
    "odd_types": {"float": 1.0, "none": None, "list": [], "dict": {}, "true": True, "zero": 0, "text": "0"},
    "odd_list": ["a", 1, 1.5, False],
    "odd_empty": {},
    "odd_text": 'it\'s "q" \\ 100% $x ?> */\nsecond line\r\n\tthird',
    "odd_unicode": "\u00e9\u4e2d\U0001f600\u200d",
    "odd_false": False,
    "odd_number": 5,
    "odd_long": "x" * 300000,
}


def test_options_of_every_type(site):
    site.rhythm("wp_option", options=ODD_VALUES)
    assert site.option("odd_dashes") == "--bar"
    assert site.option("--odd-name") == "--odd value"
    assert site.option("odd_array") == 'a:1:{s:7:"enabled";s:2:"no";}'
    assert site.option("odd_json") == '{"enabled":"no"}'
    assert site.option("odd_serialized") == 's:22:"a:1:{s:1:"x";s:1:"y";}";'
    assert site.option("odd_text") == ODD_VALUES["odd_text"]
    assert site.option("odd_unicode") == ODD_VALUES["odd_unicode"]
    assert site.option("odd_false") == ""
    read = site.ok("wp_site_info", options=list(ODD_VALUES))["site"]["options"]
    assert read["odd_types"] == {
        "float": 1.0,
        "none": None,
        "list": [],
        "dict": [],
        "true": True,
        "zero": 0,
        "text": "0",
    }
    assert read["odd_array"] == {"enabled": "no"}
    assert read["odd_long"] == ODD_VALUES["odd_long"]
    site.rhythm("wp_option", absent_options=list(ODD_VALUES))
    assert (
        site.sql(
            "SELECT COUNT(*) FROM wp_options WHERE option_name LIKE 'odd%' OR option_name IN ('--odd-name', '12345')"
        )
        == "0"
    )


def test_options_are_merged_and_loaded_as_declared(site):
    site.ok("wp_option", options={"shop": {"a": {"b": 1, "c": 2}, "list": [1, 2]}})
    site.rhythm("wp_option", merge_options={"shop": {"a": {"b": 5}, "list": [3]}}, autoload={"shop": False})
    read = site.ok("wp_site_info", options=["shop"])["site"]["options"]["shop"]
    assert read == {"a": {"b": 5, "c": 2}, "list": [3]}
    assert site.sql("SELECT autoload FROM wp_options WHERE option_name = 'shop'") in ("off", "no")
    assert not site.ok("wp_option", merge_options={"shop": {"a": {}, "list": []}})["changed"]
    site.wp("eval", "update_option('shop', (object) ['a' => 1]);")
    assert "holds an object" in site.fails("wp_option", merge_options={"shop": {"a": 2}})["msg"]
    site.rhythm("wp_option", absent_options=["shop"])


def test_every_word_for_autoload_is_understood(site):
    words = {"yes": True, "on": True, "auto": True, "auto-on": True, "no": False, "off": False, "auto-off": False}
    names = [f"loaded-{word}" for word in words]
    site.ok("wp_option", options=dict.fromkeys(names, "x"))
    site.sql("UPDATE wp_options SET autoload = SUBSTRING(option_name, 8) WHERE option_name LIKE 'loaded-%'")
    declared = {f"loaded-{word}": loaded for word, loaded in words.items()}
    assert not site.ok("wp_option", autoload=declared)["changed"]
    turned = {name: not loaded for name, loaded in declared.items()}
    assert len(site.rhythm("wp_option", autoload=turned)["changes"]) == len(words)
    site.ok("wp_option", absent_options=names)


def test_permalinks_are_served_at_once(site):
    site.ok("wp_option", options={"permalink_structure": ""})
    done = site.rhythm("wp_option", options={"permalink_structure": "/archive/%postname%/"})
    assert {"item": "rewrite rules", "action": "flushed"} in done["changes"]
    assert site.get("/archive/hello-world/")[0] == 200


def test_permalinks_are_served_where_flushing_fails(site):
    site.write(
        "wp-content/plugins/noflush.php",
        plugin(
            "No flush",
            body="add_action('generate_rewrite_rules', function () { if (defined('WP_CLI')) throw new Error('no flush'); });",
        ),
    )
    site.ok("wp_plugin", plugins=[{"name": "noflush"}])
    failure = site.fails("wp_option", options={"permalink_structure": "/other/%postname%/"})
    assert "no flush" in failure["msg"]
    assert failure["not_done"] == [{"item": "rewrite rules", "action": "flushed"}]
    assert site.get("/other/hello-world/")[0] == 200
    site.ok("wp_plugin", plugins=[{"name": "noflush", "state": "absent"}])
    site.ok("wp_option", options={"permalink_structure": "/archive/%postname%/"})


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"options": {"admin_email": "no address"}}, "admin_email"),
        ({"options": {"a": 1}, "absent_options": ["a"]}, "more than once"),
        ({"options": {"WPLANG": 1}, "autoload": {"x": "maybe"}}, "true or false"),
        ({"options": {"": 1}}, "1 to 191"),
        ({"options": {" edges ": 1}}, "without them"),
        ({"options": {"alloptions": 1}}, "no option can have it"),
        ({"absent_options": ["Blogname"]}, "takes this name for blogname"),
        ({"merge_options": {"blogname": {"a": 1}}}, "holds text"),
        ({"merge_options": {"wp_user_roles": {"editor": {"name": {"a": 1}}}}}, "holds text in editor.name"),
    ],
)
def test_values_that_wordpress_would_not_take_are_refused(site, arguments, words):
    before = site.sql("CHECKSUM TABLE wp_options")
    assert words in site.fails("wp_option", **arguments)["msg"]
    assert site.sql("CHECKSUM TABLE wp_options") == before


def test_secret_options_do_not_show(site):
    done = site.ok("wp_option", secret_options={"shop_key": "k3y-s3cret"})
    assert done["changed"]
    assert "k3y-s3cret" not in json.dumps(done)
    assert site.option("shop_key") == "k3y-s3cret"
    site.ok("wp_option", absent_options=["shop_key"])


# -- users


@pytest.mark.parametrize("password", PASSWORDS)
def test_the_login_form_takes_every_password(site, password):
    entry = {
        "login": "erika",
        "email": "erika@example.org",
        "roles": ["editor"],
        "password": password,
        "update_password": "always",
    }
    done = site.ok("wp_user", users=[entry])
    assert done["changed"]
    assert inside_json(password) not in json.dumps(done)
    assert site.login("erika", password)
    assert not site.login("erika", password + "x")
    assert not site.ok("wp_user", users=[entry])["changed"]


def test_a_login_of_digits_is_no_id(site):
    admin = site.sql("SELECT * FROM wp_users WHERE ID = 1")
    person = {
        "login": "1",
        "email": "one@example.org",
        "roles": ["author"],
        "display_name": '--One\'s \\ "name" \u00e9',
    }
    site.rhythm("wp_user", users=[person])
    site.rhythm("wp_user", users=[person | {"email": "other@example.org", "roles": ["author", "editor"]}])
    assert site.sql("SELECT user_email FROM wp_users WHERE user_login = '1'") == "other@example.org"
    assert (
        bytes.fromhex(site.sql("SELECT HEX(display_name) FROM wp_users WHERE user_login = '1'")).decode()
        == person["display_name"]
    )
    site.rhythm("wp_user", users=[{"login": "1", "state": "absent", "delete_content": True}])
    assert site.sql("SELECT COUNT(*) FROM wp_users WHERE user_login = '1'") == "0"
    assert site.sql("SELECT * FROM wp_users WHERE ID = 1") == admin


def test_content_goes_to_the_heir(site):
    site.ok(
        "wp_user",
        users=[{"login": name, "email": f"{name}@example.org", "roles": ["author"]} for name in ("leaver", "heir")],
    )
    site.sql(
        "UPDATE wp_posts SET post_author = (SELECT ID FROM wp_users WHERE user_login = 'leaver') WHERE post_name = 'hello-world'"
    )
    assert "reassign" in site.fails("wp_user", users=[{"login": "leaver", "state": "absent"}])["msg"]
    assert (
        "nobody" in site.fails("wp_user", users=[{"login": "leaver", "state": "absent", "reassign": "nobody"}])["msg"]
    )
    site.rhythm("wp_user", users=[{"login": "leaver", "state": "absent", "reassign": "heir"}])
    owner = "SELECT user_login FROM wp_users u JOIN wp_posts p ON p.post_author = u.ID WHERE post_name = 'hello-world'"
    assert site.sql(owner) == "heir"


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ({"login": "j d+x", "email": "j@example.org"}, "'j dx'"),
        ({"login": "new"}, "needs an email"),
        ({"login": "new", "email": "nonsense"}, "no e-mail address"),
        ({"login": "new", "email": "heir@example.org"}, "address of heir"),
        ({"login": "new", "email": "n@example.org", "roles": ["emperor"]}, "emperor"),
        ({"login": "heir", "update_password": "always"}, "needs a password"),
        # The database takes letters with and without accents for the same: this is not heir.
        ({"login": "h\u00e9ir", "state": "absent", "delete_content": True}, "for heir"),
    ],
)
def test_users_that_cannot_be_are_refused(site, entry, words):
    before = site.sql("CHECKSUM TABLE wp_users")
    assert words in site.fails("wp_user", users=[entry])["msg"]
    assert site.sql("CHECKSUM TABLE wp_users") == before


def test_an_application_password_works_and_is_given_once(site):
    entry = {"login": "heir", "application_passwords": ["deploy"]}
    given = site.ok("wp_user", users=[entry])["application_passwords"]["heir"]["deploy"]
    assert len(given) == 24
    assert not site.ok("wp_user", users=[entry])["changed"]
    kept = "SELECT meta_value FROM wp_usermeta WHERE meta_key = '_application_passwords'"
    before = site.sql(kept)
    for name in ("<x>deploy", "two  blanks", "line\nbreak", "a%20b", "back\\slash"):
        assert (
            "every run would make one more"
            in site.fails("wp_user", users=[{"login": "heir", "application_passwords": [name]}])["msg"]
        )
    assert site.sql(kept) == before
    odd = {"login": "heir", "application_passwords": ['it\'s "q" 100% & \u00e9']}
    site.ok("wp_user", users=[odd])
    assert not site.ok("wp_user", users=[odd])["changed"]


# -- plugins and themes


def test_plugins_by_file(site):
    site.write("wp-content/plugins/foo.php", plugin("Foo file"))
    site.write("wp-content/plugins/foo/foo.php", plugin("Foo folder", "2.0"))
    site.write("wp-content/mu-plugins/foo.php", plugin("Foo always"))
    site.write("wp-content/plugins/multi/a.php", plugin("Multi A"))
    site.write("wp-content/plugins/multi/b.php", plugin("Multi B"))
    for slug, choices in (("foo", ("foo.php", "foo/foo.php")), ("multi", ("multi/a.php", "multi/b.php"))):
        message = site.fails("wp_plugin", plugins=[{"name": slug}])["msg"]
        assert all(choice in message for choice in choices)
    done = site.rhythm("wp_plugin", plugins=[{"name": "foo/foo.php"}, {"name": "multi/b.php"}])
    assert done["plugins"]["foo/foo.php"]["status"] == "active"
    assert done["plugins"]["foo.php"]["status"] == "inactive"
    assert [other["file"] for other in done["other_plugins"]] == ["foo.php"]
    assert "shares its folder" in site.fails("wp_plugin", plugins=[{"name": "multi/a.php", "state": "absent"}])["msg"]
    gone = [{"name": name, "state": "absent"} for name in ("foo.php", "foo/foo.php", "multi/a.php", "multi/b.php")]
    site.rhythm("wp_plugin", plugins=gone)
    assert site.sh("ls wp-content/plugins/foo* wp-content/plugins/multi* 2>/dev/null || true") == ""
    assert site.sh("ls wp-content/mu-plugins").strip() == "foo.php"
    site.sh("rm -r wp-content/mu-plugins")


def test_plugins_that_redirect_or_end_on_activation(site):
    body = "register_activation_hook(__FILE__, function () { wp_redirect('/'); exit; });"
    site.write(
        "wp-content/plugins/aa-redir/aa-redir.php",
        plugin("AA", body="add_action('activated_plugin', function () { wp_redirect('/'); exit; });"),
    )
    site.write("wp-content/plugins/bb-plain/bb-plain.php", plugin("BB"))
    site.rhythm("wp_plugin", plugins=[{"name": "aa-redir"}, {"name": "bb-plain"}])
    # One that never comes to be active, because it ends the process before: a failure that names it, the other one is active.
    site.write("wp-content/plugins/cc-exit/cc-exit.php", plugin("CC", body=body))
    site.write("wp-content/plugins/dd-plain/dd-plain.php", plugin("DD"))
    failure = site.fails("wp_plugin", plugins=[{"name": "cc-exit"}, {"name": "dd-plain"}])
    assert "cc-exit" in failure["msg"]
    assert {"item": "plugin cc-exit", "action": "activated"} in failure["not_done"]
    assert "dd-plain" in site.option("active_plugins")
    # One that breaks PHP: named, not active, and the site goes on.
    site.write("wp-content/plugins/ee-fatal/ee-fatal.php", plugin("EE", body="nope();"))
    failure = site.fails("wp_plugin", plugins=[{"name": "ee-fatal"}])
    assert "ee-fatal" in failure["msg"]
    assert site.get()[0] == 200
    names = ("aa-redir", "bb-plain", "cc-exit", "dd-plain", "ee-fatal")
    site.rhythm("wp_plugin", plugins=[{"name": name, "state": "absent"} for name in names])


def test_plugins_that_end_the_process_elsewhere(site):
    """When it is deactivated, when it is loaded, by an exception in a hook: each can be taken away, and is named."""
    bodies = {
        "ff-deactivate": "register_deactivation_hook(__FILE__, function () { exit; });",
        "gg-load": "if (get_option('gg_bad')) { echo 'gone'; exit; }",
        "hh-throw": "add_action('init', function () { if (get_option('gg_bad')) throw new Exception('hh'); });",
    }
    for name, body in bodies.items():
        site.write(f"wp-content/plugins/{name}/{name}.php", plugin(name, body=body))
    site.ok("wp_plugin", plugins=[{"name": name} for name in bodies])
    site.sql("INSERT INTO wp_options (option_name, option_value) VALUES ('gg_bad', '1')")
    # Nothing can be changed through a WordPress that ends while it is loaded, and this is no success.
    assert "quiet" in site.fails("wp_option", options={"quiet": 1})["msg"]
    site.rhythm("wp_plugin", plugins=[{"name": name, "state": "absent"} for name in bodies])
    assert site.get()[0] == 200
    site.rhythm("wp_option", absent_options=["gg_bad"])


def test_noise_is_not_taken_for_data(site):
    body = "echo '[debug] {\"x\":1}' . \"\\n\"; trigger_error('noise', E_USER_NOTICE); ob_start();"
    site.write("wp-content/plugins/noise/noise.php", plugin("Noise", body=f"if (PHP_SAPI === 'cli') {{ {body} }}"))
    site.rhythm("wp_plugin", plugins=[{"name": "noise"}])
    site.rhythm("wp_option", options={"quiet": {"x": 2}})
    site.ok("wp_option", absent_options=["quiet"])
    assert site.ok("wp_cli", argv=["option", "get", "blogname", "--format=json"], json=True, changes=False)["json"]
    site.rhythm("wp_plugin", plugins=[{"name": "noise", "state": "absent"}])


def test_a_plugin_that_breaks_the_site_can_be_taken_away(site):
    site.write(
        "wp-content/plugins/late-fatal/late-fatal.php", plugin("Late", body="if (get_option('late_fatal')) nope();")
    )
    site.ok("wp_plugin", plugins=[{"name": "late-fatal"}])
    site.ok("wp_option", options={"late_fatal": 1})
    assert site.get()[0] == 500
    site.rhythm("wp_plugin", plugins=[{"name": "late-fatal", "state": "absent"}])
    assert site.get()[0] == 200
    site.ok("wp_option", absent_options=["late_fatal"])


def test_a_program_that_the_engine_did_not_start_is_started_again(site):
    with engine.broken(site.vars["live_prefix"], "eval-file", times=2) as left:
        site.ok("wp_option", options={"not_started": "twice"})
        assert left() == 0
    assert site.option("not_started") == "twice"
    with engine.broken(site.vars["live_prefix"], "eval-file", times=3) as left:
        failure = site.fails("wp_option", options={"not_started": "thrice"})
        assert left() == 0
    assert "read init-p: connection reset by peer" in failure["msg"]
    assert site.option("not_started") == "twice"
    site.ok("wp_option", absent_options=["not_started"])


def test_a_slug_that_is_nowhere_fails_soon(site):
    started = time.monotonic()
    failure = site.fails("wp_plugin", plugins=[{"name": "no-such-plugin-anywhere"}])
    assert time.monotonic() - started < 60
    assert "no-such-plugin-anywhere" in failure["msg"]
    assert "source" in failure["msg"]


def test_code_is_changed_under_the_lock_of_the_site(site):
    site.write("wp-content/plugins/held.php", plugin("Held"))
    active = {"plugins": [{"name": "held.php"}], "lock": "/run/lock/dockpress/held.lock"}
    script = "mkdir -p /run/lock/dockpress; exec flock /run/lock/dockpress/held.lock sh -c 'echo held; exec cat'"
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    holder = subprocess.Popen([*site.vars["live_prefix"], "sh", "-c", script], **pipes)
    assert holder.stdout.readline() == b"held\n"
    assert "held.lock is held by" in site.fails("wp_plugin", **active, lock_timeout=0)["msg"]
    # Where nothing is to be done, and where it is only asked what would be, nobody waits.
    inactive = active | {"plugins": [{"name": "held.php", "state": "inactive"}]}
    assert not site.ok("wp_plugin", **inactive, lock_timeout=0)["changed"]
    assert site.ok("wp_plugin", check=True, **active, lock_timeout=0)["changed"]
    assert holder.poll() is None
    # It goes while somebody waits for it.
    threading.Timer(5, holder.stdin.close).start()
    assert site.ok("wp_plugin", **active, lock_timeout=60)["changed"]
    assert holder.wait() == 0
    site.rhythm("wp_plugin", plugins=[{"name": "held.php", "state": "absent"}])


def test_auto_update_and_purge(site):
    site.write("wp-content/plugins/stray/stray.php", plugin("Stray"))
    site.ok("wp_plugin", plugins=[{"name": "stray"}])
    done = site.rhythm(
        "wp_plugin", plugins=[{"name": "akismet", "state": "present", "auto_update": True}], purge_unlisted=True
    )
    assert list(done["plugins"]) == ["akismet/akismet.php"]
    site.rhythm("wp_plugin", plugins=[{"name": "akismet", "state": "inactive", "auto_update": False}])


def test_themes(site):
    site.write("wp-content/themes/kid/style.css", "/*\nTheme Name: Kid\nTemplate: twentytwentyfive\nVersion: 1\n*/\n")
    site.write("wp-content/themes/orphan/style.css", "/*\nTheme Name: Orphan\nTemplate: nowhere\n*/\n")
    site.rhythm("wp_theme", themes=[{"name": "kid", "state": "active"}])
    assert site.option("stylesheet") == "kid"
    assert site.option("template") == "twentytwentyfive"
    assert "in use" in site.fails("wp_theme", themes=[{"name": "twentytwentyfive", "state": "absent"}])["msg"]
    assert "orphan" in site.fails("wp_theme", themes=[{"name": "orphan", "state": "active"}])["msg"]
    assert site.option("stylesheet") == "kid"
    two = [{"name": "kid", "state": "active"}, {"name": "orphan", "state": "active"}]
    assert "only one" in site.fails("wp_theme", themes=two)["msg"]
    site.rhythm(
        "wp_theme",
        themes=[
            {"name": "twentytwentyfive", "state": "active"},
            {"name": "kid", "state": "absent"},
            {"name": "orphan", "state": "absent"},
        ],
    )
    assert site.get()[0] == 200


# -- the escape hatch


def test_any_command_with_guards(site):
    made = ["option", "add", "made_once", "-- it's"]
    arguments = {"argv": made, "unless": ["option", "get", "made_once"]}
    assert site.ok("wp_cli", check=True, **arguments)["changed"]
    assert site.sql("SELECT COUNT(*) FROM wp_options WHERE option_name = 'made_once'") == "0"
    assert site.ok("wp_cli", **(arguments | {"argv": ["eval", "add_option('made_once', \"-- it's\");"]}))["changed"]
    assert site.option("made_once") == "-- it's"
    assert site.ok("wp_cli", **arguments)["skipped_by"] == "unless"
    assert site.ok("wp_cli", argv=["x"], creates=f"{site.common['path']}/wp-load.php")["skipped_by"] == "creates"
    failure = site.fails("wp_cli", argv=["option", "get", "no_such_option"])
    assert failure["rc"] == 1
    assert "no_such_option" in failure["cmd"]
    site.ok("wp_option", absent_options=["made_once"])
