"""Copies of a site, and drawings of what runs. The tests build on each other, in this order."""

from __future__ import annotations

import base64
import json
import re
import xml.etree.ElementTree as ET

import pytest
import requests

import docs

SHOP = "shop.localhost"
STAGING = "staging.localhost"

# Addresses in every form that a database holds them, and persons wherever one finds them.
SEED = r"""<?php
$old = home_url();
update_option('copy_plain', "$old/a");
update_option('copy_keys', ["$old/a" => "$old/b"]);
update_option('copy_json', wp_json_encode(['u' => "$old/x"]));
update_option('copy_json_inside', ['j' => wp_json_encode(['u' => "$old/x"])]);
update_option('copy_percent', rawurlencode("$old/x"));
$host = preg_replace('~^.*//~', '', $old);
$name = parse_url($old, PHP_URL_HOST);
update_option('copy_ways', ["//$host/a.js", $host, $name, strtoupper("$old/x"), "https://$host/", "http://www.$name/", "http://$name/",
    serialize([serialize(["$old/x"])]), base64_encode("<a href='$old/x'>"), "<!-- wp:x {\"url\":\"$old/x\"} -->"]);
update_option('copy_not', ["http://my$host/", "http://$name.example/", "info@$name"]);
update_user_meta(1, 'copy_meta', ['home' => "$old/author"]);
global $wpdb;
$wpdb->query("CREATE TABLE {$wpdb->prefix}nopk (u varchar(200))");
$wpdb->query($wpdb->prepare("INSERT INTO {$wpdb->prefix}nopk VALUES (%s), (%s)", "$old/nopk", 'jane.doe@corp.example'));
$user = wp_insert_user(['user_login' => 'jane', 'user_email' => 'Jane.Doe@corp.example', 'user_pass' => 'x', 'first_name' => 'Jane',
    'last_name' => 'Doe', 'role' => 'editor']);
WP_Session_Tokens::get_instance($user)->create(time() + 9999);
WP_Application_Passwords::create_new_application_password($user, ['name' => 'phone']);
wp_insert_comment(['comment_post_ID' => 1, 'comment_author' => 'Bob', 'comment_author_email' => 'bob@visitor.example',
    'comment_author_IP' => '192.0.2.7', 'comment_content' => 'write to bob@visitor.example']);
update_option('copy_persons', ['jane.doe@corp.example' => serialize([(object) ['to' => 'mailto:Jane.Doe@corp.example']])]);
update_option('copy_public', 'info@corp.example');
// A shop's customers, with and without an account, a cart, and somebody who asked to be forgotten.
foreach (['billing_first_name' => 'Janette', 'billing_phone' => '0301234567', 'billing_email' => 'private@buyer.example',
    'shipping_address_1' => 'Secret Street 1'] as $key => $value) update_user_meta($user, $key, $value);
$order = wp_insert_post(['post_type' => 'shop_order', 'post_title' => 'Order']);
foreach (['_billing_email' => 'carol@buyer.example', '_billing_last_name' => 'Carolson', '_customer_ip_address' => '198.51.100.9'] as $key => $value)
    update_post_meta($order, $key, $value);
$wpdb->query("CREATE TABLE {$wpdb->prefix}wc_order_addresses (id bigint PRIMARY KEY, first_name text, address_1 text, phone varchar(50), email varchar(200))");
$wpdb->query("INSERT INTO {$wpdb->prefix}wc_order_addresses VALUES (1, 'Carolina', 'Secret Street 2', '0301234568', 'Carol@buyer.example')");
$wpdb->query("CREATE TABLE {$wpdb->prefix}woocommerce_sessions (session_id bigint PRIMARY KEY, session_value longtext)");
$wpdb->query("INSERT INTO {$wpdb->prefix}woocommerce_sessions VALUES (1, 'a:1:{s:8:\"customer\";s:8:\"Cartwise\";}')");
wp_insert_post(['post_type' => 'user_request', 'post_title' => 'forget.me@buyer.example']);
"""
# Everything but what WordPress writes by itself from minute to minute.
CHECKSUMS = r"""<?php
global $wpdb;
$sums = [];
foreach ($wpdb->get_col("SHOW TABLES") as $table) {
    $own = $table === $wpdb->options ? " WHERE option_name NOT LIKE '%transient%' AND option_name NOT IN ('cron', 'action_scheduler_lock')" : '';
    $columns = implode(", '|', ", array_map(fn ($c) => "COALESCE(`$c`, 'NULL')", $wpdb->get_col("SHOW COLUMNS FROM `$table`")));
    $sums[$table] = $wpdb->get_row("SELECT COUNT(*) AS n, COALESCE(SUM(CRC32(CONCAT($columns))), 0) AS s FROM `$table`$own", ARRAY_A);
}
echo json_encode($sums);
"""


def checksums(here):
    return json.loads(here.site_wp(SHOP, "eval-file", "-", stdin=CHECKSUMS))


@pytest.fixture(scope="module")
def before(here):
    here.site_wp(SHOP, "eval-file", "-", stdin=SEED)
    # WordPress' own daily events write options when they first run: they do so now, and not between the two looks.
    here.site_wp(SHOP, "cron", "event", "run", "--due-now")
    return checksums(here)


def dump(wp):
    """The whole database as text."""
    return wp("db", "export", "-", "--skip-extended-insert")


def check_copy(wp, old, new):
    text = dump(wp)
    host = old.removeprefix("http://")
    name = host.partition(":")[0]
    # Also as a name by itself, in any case: all but what is another name, and mail addresses.
    left = re.findall(rf"\S*(?<![\w@.-]){re.escape(name)}(?!\.example)\S*", text, re.IGNORECASE)
    assert left == [], "the original's address is still there"
    for address in ("corp.example", "visitor.example", "192.0.2.7", "buyer.example", "198.51.100.9"):
        found = [
            found for found in re.findall(rf"\S*{address}\S*", text, re.IGNORECASE) if "info@corp.example" not in found
        ]
        assert found == []

    def option(name):
        return json.loads(wp("option", "get", name, "--format=json"))

    assert option("copy_keys") == {f"{new}/a": f"{new}/b"}
    assert json.loads(option("copy_json")) == {"u": f"{new}/x"}
    assert json.loads(option("copy_json_inside")["j"]) == {"u": f"{new}/x"}
    place = new.removeprefix("http://")
    ways = option("copy_ways")
    assert ways[:7] == [f"//{place}/a.js", place, place, f"{new}/X", f"{new}/", f"{new}/", f"{new}/"]
    assert json.loads(wp("eval", "echo json_encode(unserialize(unserialize(get_option('copy_ways')[7])[0]));")) == [
        f"{new}/x"
    ]
    assert base64.b64decode(ways[8]).decode() == f"<a href='{new}/x'>"
    assert ways[9] == f'<!-- wp:x {{"url":"{new}/x"}} -->'
    assert option("copy_not") == [f"http://my{host}/", f"http://{name}.example/", f"info@{name}"]
    assert option("home") == option("siteurl") == new
    for person in ("Janette", "Carolson", "Carolina", "Secret Street", "030123456", "Cartwise"):
        assert person not in text
    assert option("copy_public") == "info@corp.example", "nobody's address stays"
    assert str(option("blog_public")) == "0"
    users = json.loads(wp("user", "list", "--format=json", "--fields=user_login,display_name"))
    assert {"admin"} < {user["user_login"] for user in users}
    assert "Jane" not in json.dumps(users)
    assert (
        wp(
            "db",
            "query",
            "SELECT COUNT(*) FROM wp_usermeta WHERE meta_key IN ('_application_passwords')",
            "--skip-column-names",
        ).strip()
        == "0"
    )


def test_the_clone_knows_neither_the_address_nor_the_persons(here, before):
    docs.run("clone", SITE=SHOP, COPY=STAGING)
    check_copy(
        lambda *arguments: here.site_wp(STAGING, *arguments),
        f"http://{SHOP}:{here.port_base + 10}",
        f"http://{STAGING}:{here.port_base + 30}",
    )
    answer = requests.get(
        f"http://127.0.0.1:{here.port_base + 30}/", headers={"Host": f"{STAGING}:{here.port_base + 30}"}, timeout=30
    )
    assert answer.status_code == 200
    assert "noindex" in answer.text
    sets = f"/var/backups/dockpress/{SHOP}"
    brought = ["docker", "exec", f"{here.sandbox}-web2", "find", sets, "-mindepth", "1"]
    assert here._run(brought, "") == "", "the original's set stays on the copy's host"


def test_the_clone_has_salts_of_its_own_and_sends_no_mail(here):
    salts = [here.site_wp(site, "eval", "echo AUTH_KEY;") for site in (SHOP, STAGING)]
    assert salts[0] != salts[1]
    # A plugin that came with the original has a mail server of its own.
    smtp = 'add_action("phpmailer_init", function ($m) { $m->isSMTP(); $m->Host = "192.0.2.1"; });'
    assert "true" in here.site_wp(STAGING, "eval", smtp + 'var_dump(wp_mail("a@example.com", "To nobody", "T"));')
    folder = "/srv/sites/staging-localhost/mail"
    caught = here._run(["docker", "exec", f"{here.sandbox}-web2", "grep", "-rl", "Subject: To nobody", folder], "")
    assert len(caught.split()) == 1


def test_the_original_is_as_it_was(here, before):
    assert checksums(here) == before


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["clone_from=shop.localhost", "clone_to=nowhere.localhost"], "Name two sites of the inventory"),
        (["clone_from=staging.localhost", "clone_to=shop.localhost"], "is a production site"),
        (["clone_from=shop.localhost", "clone_to=staging.localhost"], "Say -e clone_confirm=true"),
    ],
)
def test_a_clone_that_would_do_harm_is_refused(here, arguments, words):
    assert words in here.playbook("clone", *(part for one in arguments for part in ("-e", one)), check=False)


def test_production_comes_home(here, before):
    # Also a copy that was not finished has no persons.
    wrong = json.dumps({"pull_addresses": [{"from": "cdn.example.com", "to": "https://www.example.com"}]})
    assert "addresses: from of pair 2" in here.playbook(
        "pull_site", "-e", f"pull_from={SHOP}", "-e", wrong, check=False
    )
    text = dump(here.wp)
    for person in ("jane.doe@corp.example", "bob@visitor.example", "Janette", "Secret Street"):
        assert person not in text
    assert here.wp("option", "get", "blog_public").strip() == "0"

    here.docs("pull", SITE=SHOP)
    assert not (here.folder / ".dev/sets" / SHOP).exists(), "the original's set stays on this machine"
    check_copy(here.wp, f"http://{SHOP}:{here.port_base + 10}", f"http://localhost:{here.port}")
    assert requests.get(f"http://localhost:{here.port}/", timeout=30).status_code == 200
    assert {p.lstat().st_uid for p in (here.folder / "web").rglob("*")} == {here.uid}
    assert checksums(here) == before


def test_a_backup_brings_the_site_back(here):
    docs.run("new-version", SITE=STAGING)
    here.site_wp(STAGING, "option", "update", "blogname", "Kept")
    docs.run("backup", SITE=STAGING)
    here.site_wp(STAGING, "option", "update", "blogname", "Broken")
    docs.run("restore", SITE=STAGING)
    assert here.site_wp(STAGING, "option", "get", "blogname").strip() == "Kept"


def drawn_texts():
    svg = ET.parse(docs.ROOT / ".cache/fleet.svg")
    return [text.text or "" for text in svg.iter("{http://www.w3.org/2000/svg}text")]


def test_the_drawing_shows_the_hosts_and_marks_what_differs(here):
    docs.run("topology")
    texts = drawn_texts()
    assert {"web1", "web2", "shop-localhost", "staging-localhost", "internal: no way out"} <= set(texts)
    assert any("running, healthy" in text for text in texts)
    assert not any("is exited" in text for text in texts)

    on_web2 = ["docker", "exec", f"{here.sandbox}-web2", "docker"]
    here._run([*on_web2, "stop", "staging-localhost-cron-1"], "")
    shell = ["docker", "exec", "-i", f"{here.sandbox}-web2", "sh", "-c"]
    refused = "services: {web: {image: x, ports: ['nonsense:80']}}"
    here._run([*shell, "mkdir /srv/dockpress/refused; cat >/srv/dockpress/refused/compose.yaml"], refused)
    docs.run("topology")
    here._run([*on_web2, "start", "staging-localhost-cron-1"], "")
    here._run([*shell, "rm -r /srv/dockpress/refused"], "")
    texts = drawn_texts()
    assert "staging-localhost-cron-1 is exited" in texts
    # One file that is refused takes nothing else out of the drawing.
    assert any(text.startswith("refused: ") for text in texts)


def test_any_compose_file_is_drawn_and_a_refused_one_says_why(here, tmp_path):
    docs.run("topology-file")
    assert "cadvisor" in (docs.ROOT / ".cache/monitoring.svg").read_text(encoding="utf-8")
    (tmp_path / "compose.yaml").write_text("services: {web: {image: x, ports: ['nonsense:80']}}\n", encoding="utf-8")
    told = here.playbook("topology", "-e", f"topology_compose_file={tmp_path}/compose.yaml", check=False)
    assert "Compose refuses" in told
    assert "nonsense" in told.partition("Compose refuses")[2]


def test_a_site_moves(here):
    docs.run("move", SITE=STAGING, HOST="web1")
    names = here._run(["docker", "exec", f"{here.sandbox}-web1", "docker", "ps", "--format", "{{.Names}}"], "")
    assert "staging-localhost-web-1" in names
    # The old host's are stopped, wherever the stack lies.
    old = here._run(["docker", "exec", f"{here.sandbox}-web2", "docker", "ps", "--format", "{{.Names}}"], "")
    assert "staging-localhost" not in old


def test_a_site_goes_when_it_is_named(here):
    wrong = here.playbook("teardown", "--limit", SHOP, "-e", "teardown_confirm=shop", check=False)
    assert "-e teardown_confirm=shop-localhost" in wrong
    on_web1 = ["docker", "exec", f"{here.sandbox}-web1"]
    metrics = [*on_web1, "find", "/var/lib/dockpress/metrics", "-name", "*shop?localhost*"]
    told_before = here._run(metrics, "")
    assert told_before
    elsewhere = ["-e", "teardown_confirm=shop-localhost", "-e", "wordpress_stack_root=/srv/dockpress"]
    missing = here.playbook("teardown", "--limit", SHOP, *elsewhere, check=False)
    assert "web1 has no /srv/dockpress/shop-localhost, so nothing was removed" in missing
    assert here._run(metrics, "") == told_before

    docs.run("teardown", SITE=SHOP, STACK="shop-localhost")
    assert here._run(metrics, "") == ""
    label = "label=com.docker.compose.project=shop-localhost"
    for kind in ("ps --all", "volume ls", "network ls"):
        assert here._run([*on_web1, "docker", *kind.split(), "--quiet", "--filter", label], "") == ""
    assert here._run([*on_web1, "ls", "/srv/sites"], "").split() == ["staging-localhost"]
    assert here._run([*on_web1, "ls", f"/var/backups/dockpress/{SHOP}"], "") != "", "the last set stays"


def test_all_of_the_site_on_this_machine_goes_when_asked(here):
    here.docs("dev-destroy", DEV_YES="1")
    assert not here.folder.exists()
    left = here._run(
        ["docker", "volume", "ls", "-q", "--filter", f"label=com.docker.compose.project={here.folder.name}"], ""
    )
    assert left == ""
