"""Sites from nothing: code, configuration, installation, updates, languages, networks. Runs first: the other tests use the sites."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import json
import os
import pathlib
import re
import subprocess
import threading
import zipfile

import pytest
from wp_live import Live, inside_json

testinfra_hosts = ["local://"]

# What role images has fetched and checked: two versions of WordPress, plugins, language packs.
ROOT = pathlib.Path(__file__).resolve().parents[3]
ARTEFACTS = pathlib.Path(os.environ.get("IMAGES_CACHE_DIR", ROOT / ".cache")) / "artefacts"
ADMIN = {
    "title": '5$ & up: "it\'s"',
    "admin_user": "admin",
    "admin_password": "it's\"q\\ \u00e9",
    "admin_email": "admin@example.org",
}


def newest(pattern: str) -> pathlib.Path:
    """The artefact of that name in its highest version."""
    found = sorted(ARTEFACTS.glob(pattern))
    assert found, f"{ARTEFACTS}/{pattern} is not there: images_artefacts must name wp_studio and wordpress_previous"
    return found[-1]


def version_of(folder: pathlib.Path) -> str:
    return re.search(r"\$wp_version = '([^']+)'", (folder / "wp-includes/version.php").read_text())[1]


@pytest.fixture(scope="module")
def site():
    return Live("modules.test")


@pytest.fixture(scope="module")
def literal():
    return Live("literal.test")


@pytest.fixture(scope="module")
def old():
    return Live("old.test")


def database(site: Live) -> dict:
    """Access to the site's own schema."""
    password = site.inside(site.vars["live_cli"], "printenv", "LIVE_PASSWORD").strip()
    return {
        "database_name": site.vars["live_schema"],
        "database_user": "wordpress",
        "database_password": password,
        "database_host": "database",
    }


def pack(folder: pathlib.Path, target: pathlib.Path, name: str) -> pathlib.Path:
    """A zip of the folder, with ``name`` as its top."""
    with zipfile.ZipFile(target, "w") as archive:
        for entry in sorted(folder.rglob("*")):
            if entry.is_file():
                archive.write(entry, f"{name}/{entry.relative_to(folder)}")
    return target


# -- from nothing


def test_from_an_empty_web_root_to_a_page_in_one_call(site):
    declared = ADMIN | {
        "config_include": "/etc/dockpress/wordpress/wp-config.php",
        "options": {"blogdescription": '-- what it\'s "for"', "permalink_structure": "/%postname%/"},
        "plugins": [{"name": "akismet", "state": "present"}, {"name": "hello", "state": "absent"}],
        "themes": [{"name": "twentytwentyfive", "state": "active"}, {"name": "twentytwentythree", "state": "absent"}],
        "users": [{"login": "erika", "email": "erika@example.org", "roles": ["editor"], "password": "'\"\\"}],
        "verify_page": {"url": f"http://{site.connect}/"},
    }
    predicted = site.ok("wp_site", check=True, **declared)
    assert predicted["changed"]
    assert site.sh("ls") == ""
    done = site.ok("wp_site", **declared)
    assert done["page"]["status"] == 200
    assert inside_json(ADMIN["admin_password"]) not in json.dumps(done)
    again, checked = site.batch(("wp_site", False, declared), ("wp_site", True, declared))
    assert not again["changed"], again
    assert not checked["changed"], checked
    assert again["processes"] == 1
    assert site.login("admin", ADMIN["admin_password"])
    assert site.login("erika", "'\"\\")
    assert site.get("/hello-world/")[0] == 200
    assert "5$ &amp; up" in site.get()[2]


def test_one_more_run_never_changes_the_administrator(site):
    before = site.sql("SELECT * FROM wp_users WHERE ID = 1")
    done = site.ok("wp_core", **(ADMIN | {"admin_password": "another", "admin_email": "other@example.org"}))
    assert not done["changed"]
    assert site.sql("SELECT * FROM wp_users WHERE ID = 1") == before


def test_a_changed_title_arrives(site):
    declared = {"config_include": "/etc/dockpress/wordpress/wp-config.php", "title": "-- Another \\ title \U0001f600"}
    site.rhythm("wp_site", **declared)
    assert "-- Another \\ title \U0001f600" in site.get()[2]


def test_a_database_that_is_away_is_no_new_site(site):
    container = site.vars["live_database"]
    users = site.sql("CHECKSUM TABLE wp_users")
    subprocess.run([*site.docker, "stop", "--time", "30", container], check=True, capture_output=True)
    try:
        failure, info = site.batch(("wp_core", False, ADMIN), ("wp_site_info", False, {}))
        assert failure["failed"]
        assert "database" in failure["msg"]
        assert "Nothing was changed" in failure["msg"]
        assert info["site"]["database"]["state"] == "down"
    finally:
        subprocess.run([*site.docker, "start", container], check=True, capture_output=True)
    for _attempt in range(60):
        with contextlib.suppress(subprocess.CalledProcessError):
            site.inside(container, "healthcheck.sh", "--connect", "--innodb_initialized")
            break
    assert site.sql("CHECKSUM TABLE wp_users") == users


def test_half_a_site_in_the_database_is_not_installed_over(site):
    site.sql("RENAME TABLE wp_options TO away")
    try:
        failure = site.fails("wp_core", **ADMIN)
        assert "a part of a site" in failure["msg"]
    finally:
        site.sql("DROP TABLE IF EXISTS wp_options; RENAME TABLE away TO wp_options")
    assert site.get()[0] == 200


def test_an_update_that_was_killed_is_cleared_up(site):
    site.sh(
        "echo '<?php $upgrading = time() - 60;' > .maintenance; mkdir -p .dockpress-code/wp-admin; touch .dockpress-code/wp-admin/x"
    )
    assert site.get()[0] == 503
    # It may run still: only what is older than the time that WordPress gives it is ended.
    assert "maintenance mode" in json.dumps(site.ok("wp_core", check=True)["warnings"])
    site.sh("echo '<?php $upgrading = time() - 601;' > .maintenance")
    site.rhythm("wp_core")
    assert site.get()[0] == 200
    assert site.sh("ls -A | grep -E 'maintenance|dockpress' || true") == ""
    # What killed runs had sent goes with the next files that are put in place, once it is a day old.
    site.sh("mkdir .dockpress-new-old .dockpress-new-young; touch -t 202001010000 .dockpress-new-old")
    # Killed between the renames: everything is staged, and half of it is in place.
    site.sh("mkdir .dockpress-code; mv wp-includes .dockpress-code/; touch .dockpress-code/.complete")
    site.rhythm("wp_core")
    assert site.get()[0] == 200
    assert site.sh("ls -A | grep dockpress-new; rmdir .dockpress-new-young").strip() == ".dockpress-new-young"


# -- a literal wp-config.php

ODD_CONSTANTS = {
    "ODD_QUOTE": "it's",
    "ODD_DOLLAR": "a$1b \\0 $x {$y}",
    "ODD_BACKSLASH": "x;\\",
    "ODD_BACKSLASHES": "\\\\'\\",
    "ODD_LINES": "one\ntwo\r\nthree",
    "ODD_CLOSE": "?> */ // # <?php",
    "ODD_UNICODE": "\u00e9\U0001f600",
    "ODD_EMPTY": "",
    "ODD_TRUE": True,
    "ODD_INT": -5,
    "ODD_FLOAT": 1.5,
    "ODD_NULL": None,
    "ODD_LIST": ["a", {"b": 1}],
    "ODD_TEXT_TRUE": "true",
    "ODD_DEFINE": "define('WP_DEBUG', true);",
}


def constants(site: Live, *names: str) -> dict:
    """What PHP evaluates them to, asked of PHP itself."""
    code = """
        mkdir('/tmp/nothing'); touch('/tmp/nothing/wp-settings.php'); define('ABSPATH', '/tmp/nothing/');
        include $argv[1];
        echo json_encode(array_map(fn ($n) => defined($n) ? constant($n) : '(undefined)', array_combine($n = array_slice($argv, 2), $n)));
    """
    file = f"{site.common['path']}/wp-config.php"
    said = site.inside(site.vars["live_cli"], "php", "-d", "display_errors=stderr", "-r", code, "--", file, *names)
    return json.loads(said.strip().splitlines()[-1])


def test_a_new_configuration_with_odd_values(literal):
    literal.ok("wp_core", install=False)
    declared = database(literal) | {"constants": ODD_CONSTANTS, "raw_constants": {"ODD_RAW": "__DIR__ . '/x'"}}
    done = literal.rhythm("wp_config", **declared)
    assert inside_json(database(literal)["database_password"]) not in json.dumps(done)
    assert constants(literal, *ODD_CONSTANTS) == ODD_CONSTANTS
    salt = constants(literal, "AUTH_KEY", "NONCE_SALT")
    assert min(map(len, salt.values())) >= 60
    literal.rhythm("wp_config", constants={"ODD_INT": 7}, absent_constants=["ODD_CLOSE", "ODD_RAW"])
    assert constants(literal, "ODD_INT", "ODD_CLOSE", "AUTH_KEY") == {
        "ODD_INT": 7,
        "ODD_CLOSE": "(undefined)",
        "AUTH_KEY": salt["AUTH_KEY"],
    }
    assert literal.ok("wp_config", salts="shuffle")["changed"]
    assert constants(literal, "AUTH_KEY")["AUTH_KEY"] != salt["AUTH_KEY"]


def test_a_definition_behind_an_expression(literal):
    text = literal.sh("cat wp-config.php")
    hidden = "define('WP_HOME','https://'.($_SERVER['HTTP_HOST'] ?? 'x'));define('WP_DEBUG',false); /* define('WP_DEBUG', 1); */\n"
    literal.write("wp-config.php", text.replace("/* That's all", hidden + "/* That's all"))
    literal.rhythm("wp_config", constants={"WP_DEBUG": True})
    assert constants(literal, "WP_DEBUG") == {"WP_DEBUG": True}
    file = literal.sh("cat wp-config.php")
    assert len(re.findall(r"define\(\s*'WP_DEBUG'\s*,\s*true", file)) == 1
    before = hashlib.sha256(file.encode()).hexdigest()
    assert "expression" in literal.fails("wp_config", constants={"WP_HOME": "https://elsewhere.test"})["msg"]
    secret = literal.fails("wp_config", secret_constants={"WP_HOME": "https://elsewhere.test"})["msg"]
    assert "expression" in secret
    assert "HTTP_HOST" not in secret
    assert "PHP expression" in literal.fails("wp_config", raw_constants={"NEW": "1 + ;"})["msg"]
    assert "not evaluate" in literal.fails("wp_config", raw_constants={"NEW": "nope()"})["msg"]
    assert hashlib.sha256(literal.sh("cat wp-config.php").encode()).hexdigest() == before
    literal.write("wp-config.php", text)


def test_constants_without_define(literal):
    text = literal.sh("cat wp-config.php")
    extra = "const FIRST = 'a', SECOND = [1, 2];\nconst ALONE = 1;\ndefine('TEXT', '\n/* That\\'s all, stop editing! */');\n"
    literal.write("wp-config.php", text.replace("<?php\n", "<?php\n" + extra, 1))
    want = {"FIRST": "b\0c", "SECOND": [3], "NEW": -(2**63)}
    literal.rhythm("wp_config", constants=want, absent_constants=["ALONE"])
    kept = {"ALONE": "(undefined)", "TEXT": "\n/* That's all, stop editing! */"}
    assert constants(literal, *want, *kept) == want | kept
    assert "another construct" in literal.fails("wp_config", absent_constants=["SECOND"])["msg"]
    literal.write("wp-config.php", text)


def test_a_constant_of_the_environment_is_not_fought_over(literal):
    text = literal.sh("cat wp-config.php")
    extra = "define('FROM_ENV', getenv('LIVE_PASSWORD'));\n"
    extra += "if (!defined('GUARDED')) define('GUARDED', 1);\nforeach (['LOOPED' => 1] as $k => $v) define($k, $v);\n"
    literal.write("wp-config.php", text.replace("/* That's all", extra + "/* That's all"))
    password = database(literal)["database_password"]
    same, other, looped, guarded = literal.batch(
        ("wp_config", False, {"secret_constants": {"FROM_ENV": password}}),
        ("wp_config", False, {"constants": {"FROM_ENV": "other"}}),
        ("wp_config", False, {"constants": {"LOOPED": 2}}),
        ("wp_config", False, {"constants": {"GUARDED": 2}}),
    )
    assert not same["changed"]
    assert other["failed"]
    assert "environment" in other["msg"]
    assert looped["failed"]
    assert guarded["changed"]
    assert constants(literal, "GUARDED") == {"GUARDED": 2}
    literal.write("wp-config.php", text)


# -- updates


def test_an_old_site_becomes_a_new_one(old, tmp_path):
    before, after = newest("wordpress-6.*/"), newest("wordpress-7.*/")
    old.ok("wp_core", install=False, source=str(before))
    old.ok("wp_config", **database(old))
    old.ok("wp_core", source=str(before), **ADMIN)
    assert old.wp("core", "version").strip() == version_of(before)
    posts = old.sql("CHECKSUM TABLE wp_posts")
    schema = old.sql("SELECT option_value FROM wp_options WHERE option_name = 'db_version'")
    old.write("wp-includes/stray-of-the-old.php", "<?php\n")
    # The image holds the new version. Refused before anything is placed; predicted with the schema.
    assert "holds WordPress" in old.fails("wp_core", source="image", version="7.0", allow_downgrade=True)["msg"]
    assert old.wp("core", "version").strip() == version_of(before)
    assert {"item": "database schema", "action": "updated"} in old.ok("wp_core", check=True, source="image")["changes"]
    newest_of_all = old.run("wp_core", check=True, version="latest")
    assert newest_of_all["changed"] or "name version and source" in newest_of_all["msg"]
    package = pack(after, tmp_path / "wordpress.zip", "wordpress")
    done = old.rhythm("wp_core", source=str(package))
    assert {"item": "database schema", "action": "updated"} in done["changes"]
    assert done["versions"]["wordpress"] == version_of(after)
    assert old.sql("SELECT option_value FROM wp_options WHERE option_name = 'db_version'") > schema
    assert old.sql("CHECKSUM TABLE wp_posts") == posts
    assert old.sh("ls wp-includes/stray* 2>/dev/null || true") == ""
    status, _location, text = old.get()
    assert status == 200
    assert "Hello world" in text
    assert old.login("admin", ADMIN["admin_password"])
    assert not old.ok("wp_core", source="image")["changed"]
    assert "allow_downgrade" in old.fails("wp_core", source=str(before))["msg"]
    assert "holds WordPress" in old.fails("wp_core", source=str(package), version="1.2.3")["msg"]


def test_a_language_from_local_packs(old, tmp_path):
    folder = newest("languages-*/")
    declared = {"language": "de_DE", "language_source": {"source": str(folder)}}
    old.rhythm("wp_core", **declared)
    assert 'lang="de' in old.get()[2]
    old.rhythm("wp_core", language="en_US")
    assert 'lang="en-US"' in old.get()[2]


# -- sources of plugins


@pytest.fixture
def importer(tmp_path) -> pathlib.Path:
    """A real plugin, as a zip."""
    package = newest("plugins/wordpress-importer*.zip")
    target = tmp_path / "wordpress-importer.zip"
    target.write_bytes(package.read_bytes())
    return target


def header_version(package: pathlib.Path) -> str:
    with zipfile.ZipFile(package) as archive:
        text = archive.read("wordpress-importer/wordpress-importer.php").decode()
    return re.search(r"Version:\s*(\S+)", text)[1]


def with_version(package: pathlib.Path, target: pathlib.Path, version: str) -> pathlib.Path:
    """The same plugin under another version."""
    with zipfile.ZipFile(package) as source, zipfile.ZipFile(target, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            if name.endswith("/wordpress-importer.php"):
                content = re.sub(rb"(Version:\s*)\S+", rb"\g<1>" + version.encode(), content, count=1)
            archive.writestr(name, content)
    return target


def test_a_plugin_from_a_zip_on_the_control_node_the_host_and_a_url(old, importer, tmp_path):
    name = "wordpress-importer"
    done = old.rhythm("wp_plugin", plugins=[{"name": name, "source": str(importer)}])
    file = f"{name}/{name}.php"
    assert done["plugins"][file] | {"name": ""} == {
        "name": "",
        "version": header_version(importer),
        "status": "active",
        "auto_update": False,
    }

    # Another version, from the host. It stays active.
    other = with_version(importer, tmp_path / "other.zip", "0.1")
    on_host = "/var/tmp/wordpress-importer-other.zip"
    subprocess.run([*old.vars["live_prefix"], "sh", "-c", f"cat > {on_host}"], input=other.read_bytes(), check=True)
    done = old.rhythm("wp_plugin", plugins=[{"name": name, "source": on_host, "remote_src": True}])
    assert done["plugins"][file]["version"] == "0.1"
    assert done["plugins"][file]["status"] == "active"
    assert (
        "version 0.1"
        in old.fails("wp_plugin", plugins=[{"name": name, "source": on_host, "remote_src": True, "version": "7"}])[
            "msg"
        ]
    )

    # And the first again, from a URL.
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=str(tmp_path))
    server = http.server.ThreadingHTTPServer(("0.0.0.0", 0), handler)  # noqa: S104
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        url = f"http://{own_address(old)}:{server.server_port}/wordpress-importer.zip"
        right = hashlib.sha256(importer.read_bytes()).hexdigest()
        assert "sha256" in old.fails("wp_plugin", plugins=[{"name": name, "source": url}])["msg"]
        wrong = old.fails("wp_plugin", plugins=[{"name": name, "source": url, "sha256": "0" * 64}])
        assert "another sha256" in wrong["msg"]
        assert "0.1" in old.wp("plugin", "get", name, "--field=version")
        old.rhythm("wp_plugin", plugins=[{"name": name, "source": url, "sha256": right}])
    finally:
        server.shutdown()
    assert old.wp("plugin", "get", name, "--field=version").strip() == header_version(importer)
    old.rhythm("wp_plugin", plugins=[{"name": name, "state": "inactive"}])
    old.rhythm("wp_plugin", plugins=[{"name": name, "state": "absent"}])
    assert old.get()[0] == 200


def own_address(site: Live) -> str:
    """This machine, as the site's host sees it."""
    if not site.vars["live_prefix"]:
        return "127.0.0.1"
    route = subprocess.run([*site.vars["live_prefix"], "ip", "-4", "route"], capture_output=True, text=True, check=True)
    return re.search(r"default via (\S+)", route.stdout)[1]


@pytest.mark.parametrize("kind", ["no plugin", "no zip", "escape", "other slug", "missing"])
def test_sources_that_are_no_plugin_are_refused(old, tmp_path, kind):
    package = tmp_path / "thing.zip"
    words = {
        "no plugin": "is no plugin",
        "no zip": "neither a folder nor a zip",
        "escape": "reaches outside",
        "other slug": "and not thing",
        "missing": "not on the control node",
    }[kind]
    if kind == "no zip":
        package.write_text("hello")
    elif kind != "missing":
        header = "<?php\n" if kind == "no plugin" else "<?php\n/* Plugin Name: Thing */\n"
        with zipfile.ZipFile(package, "w") as archive:
            archive.writestr("other/other.php" if kind == "other slug" else "thing/thing.php", header)
            if kind == "escape":
                archive.writestr("thing/../../evil.php", "<?php")
    listing = old.sh("ls -AR wp-content/plugins | sha256sum")
    assert words in old.fails("wp_plugin", plugins=[{"name": "thing", "source": str(package)}])["msg"]
    assert old.sh("ls -AR wp-content/plugins | sha256sum") == listing


# -- a network


def test_a_network(tmp_path):
    network = Live("network.test")
    network.ok("wp_core", install=False)
    host = network.url.removeprefix("http://")
    declared = {
        **ADMIN,
        "multisite": "subdirectories",
        "config": database(network)
        | {
            "constants": {
                "MULTISITE": True,
                "SUBDOMAIN_INSTALL": False,
                "DOMAIN_CURRENT_SITE": host,
                "PATH_CURRENT_SITE": "/",
                "SITE_ID_CURRENT_SITE": 1,
                "BLOG_ID_CURRENT_SITE": 1,
            }
        },
        "plugins": [{"name": "akismet", "network": True}],
        "themes": [{"name": "twentytwentyfour", "network": True}],
    }
    done, again = network.batch(("wp_site", False, declared), ("wp_site", False, declared))
    assert not done.get("failed"), done
    assert not again["changed"], again
    assert network.get()[0] == 200
    second = {"url": f"{network.url}/two"}
    created = {
        "argv": ["site", "create", "--slug=two", "--title=Two"],
        # "option get --url=..." would be answered by the first site.
        "unless": ["eval", f"exit(get_blog_id_from_url('{host}', '/two/') ? 0 : 1);"],
    }
    assert "no site" in network.fails("wp_option", options={"blogname": "The second"}, **second)["msg"]
    assert "no site" in network.fails("wp_site_info", **second)["msg"]
    assert network.ok("wp_cli", **created)["changed"]
    assert network.ok("wp_cli", **created)["skipped_by"] == "unless"
    assert network.get("/two/")[0] == 200
    network.rhythm("wp_option", options={"blogname": "The second"}, **second)
    assert "The second" in network.get("/two/")[2]
    assert "The second" not in network.get()[2]
    info = network.ok("wp_site_info", options=["blogname"], **second)["site"]
    assert info["options"] == {"blogname": "The second"}
    default = "SELECT meta_value FROM wp_sitemeta WHERE meta_key = 'WPLANG'"
    before = network.sql(default)
    network.sh("mkdir -p wp-content/languages && touch wp-content/languages/xx_XX.mo")
    network.rhythm("wp_option", options={"WPLANG": "xx_XX"}, **second)
    assert network.sql(default) == before
    network.rhythm("wp_option", absent_options=["WPLANG"], **second)
    person = {"login": "two", "email": "two@example.org", "roles": ["editor"]}
    network.rhythm("wp_user", users=[person], **second)
    assert "editor" in network.sql("SELECT meta_value FROM wp_usermeta WHERE meta_key = 'wp_2_capabilities'")
    network.rhythm("wp_theme", themes=[{"name": "twentytwentyfour", "state": "active"}], **second)
    assert network.sql("SELECT option_value FROM wp_options WHERE option_name = 'stylesheet'") != "twentytwentyfour"
    # What another site uses stays, and what the whole network uses is not this site's to take.
    network.rhythm("wp_plugin", plugins=[{"name": "hello"}], **second)
    kept, hello, theme, akismet, same = network.batch(
        ("wp_plugin", False, {"plugins": [], "purge_unlisted": True}),
        ("wp_plugin", False, {"plugins": [{"name": "hello", "state": "absent"}]}),
        ("wp_theme", False, {"themes": [{"name": "twentytwentyfour", "state": "absent"}]}),
        ("wp_plugin", False, {"plugins": [{"name": "akismet", "state": "inactive"}], **second}),
        ("wp_plugin", False, {"plugins": [{"name": "akismet"}], **second}),
    )
    assert {"hello.php", "akismet/akismet.php"} <= set(kept["plugins"])
    assert "/two/" in hello["msg"]
    assert "/two/" in theme["msg"]
    assert "network: false" in akismet["msg"]
    assert not same["changed"], same
    network.rhythm("wp_plugin", plugins=[{"name": "hello", "state": "absent"}], **second)
    network.rhythm("wp_user", users=[{"login": "two", "state": "absent", "delete_content": True}], **second)
    network.rhythm("wp_user", users=[{"login": "two", "state": "absent", "delete_content": True, "network": True}])
    assert network.sql("SELECT COUNT(*) FROM wp_users WHERE user_login = 'two'") == "0"
    sites = network.ok("wp_site_info")["site"]["info"]["sites"]
    assert [entry["path"] for entry in sites] == ["/", "/two/"]
