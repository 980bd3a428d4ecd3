"""Sets that are known to restore: taken under load, restored elsewhere, damaged, interrupted, moved, scheduled."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import threading
import time

import pytest
from conftest import INVENTORIES, LONG, SETS, Requests, ansible, play, run, start

import docs


def backup(site, *arguments):
    play("backup", "--limit", site.name, *arguments)
    return site.sets()[-1]


def restore(site, *arguments, check=True):
    return play("restore", "--limit", site.name, "-e", "restore_confirm=true", *arguments, check=check)


def module(site, name, **arguments):
    """One call of a module, as the role makes it."""
    containers = {
        "container": f"{site.stack}-cron-1",
        "fpm_container": f"{site.stack}-wordpress-1",
        "database_container": f"{site.stack}-database-1",
    }
    arguments = {"site": site.name, "directory": site.directory, **containers, **arguments}
    command = ansible("ansible", site.name, "-m", f"dockpress.hosting.{name}", "-a", json.dumps(arguments))
    return run(command, check=False)


@pytest.fixture(scope="module")
def good_set(shop):
    return backup(shop)


def test_a_set_holds_what_it_says(shop, good_set):
    manifest = json.loads(shop.on_host(f"cat {SETS}/{shop.name}/{good_set}/manifest.json"))
    assert manifest["site"] == shop.name
    assert manifest["url"] == shop.url
    assert manifest["versions"]["wordpress"] == shop.wp("core", "version")
    assert manifest["counts"]["users"] == 2
    assert [name.split("/")[-1] for name in manifest["counts"]["missing_uploads"]] == ["lost.bin"]
    assert manifest["database"]["tables"]["wp_filler"] == 60000
    assert manifest["database"]["views"] == ["wp_titles"]
    assert set(manifest["images"]) >= {"web", "wordpress", "database", "cron"}
    shop.on_host(f"cd {SETS}/{shop.name}/{good_set} && sha256sum -c db.sql.zst.sha256 && zstd -tq *.zst")
    assert "wp-content/uploads" in shop.on_host(f"zstd -dc {SETS}/{shop.name}/{good_set}/files.tar.zst | tar -t")
    # Secrets stay out of sets.
    assert "secrets" not in shop.on_host(f"zstd -dc {SETS}/{shop.name}/{good_set}/config.tar.zst | tar -t")
    assert shop.metric("backup-run", "dockpress_backup_last_run_success") == 1
    assert time.time() - shop.metric("backup", "dockpress_backup_last_success_timestamp_seconds") < 300


WRITE = r"""
foreach (range(1, 400) as $n) {
    if (file_exists('/tmp/stop')) { break; }
    $dir = wp_upload_dir();
    $file = $dir['path'] . "/load $n.bin";
    file_put_contents($file, random_bytes(20000));
    $id = wp_insert_attachment(['post_title' => "Load $n", 'post_mime_type' => 'application/octet-stream'], $file);
    wp_insert_post(['post_title' => "Load $n", 'post_status' => 'publish', 'meta_input' => ['file' => $id]]);
    $ids[] = $id;
    if ($n > 60 && $n % 5 === 0) {
        wp_insert_user(['user_login' => "load$n", 'user_pass' => 'x', 'user_email' => "load$n@example.org"]);
        wp_delete_attachment(array_shift($ids), true);
    }
    usleep(20000);
}
echo json_encode(true);
"""


def test_a_backup_under_load_and_its_drill(shop):
    writer = threading.Thread(target=lambda: shop.php(WRITE), daemon=True)
    shop.wp("eval", "@unlink('/tmp/stop');", "--skip-wordpress")
    writer.start()
    with Requests(shop) as requests:
        taken = backup(shop)
    shop.wp("eval", "touch('/tmp/stop');", "--skip-wordpress")
    writer.join()
    assert requests.bad == []
    assert requests.good > 10
    before = shop.state()
    docs.run("drill", SITE=shop.name, ANSIBLE_INVENTORY=INVENTORIES)
    # Attachments whose file the set lost, posts that do not open or other numbers of rows would have failed it.
    assert shop.metric("drill-run", "dockpress_drill_success") == 1
    assert 0 < shop.metric("drill", "dockpress_drill_recovery_seconds") < 300
    assert json.loads(shop.on_host(f"cat {SETS}/{shop.name}/{taken}/proof.json"))["attachments"] >= 12
    assert shop.state() == before
    assert "drill" not in shop.on_host(
        "docker ps -a --format '{{.Names}}'; docker network ls; docker volume ls; ls /srv/dockpress"
    )


def test_restore_on_another_host_under_another_domain(shop, second):
    taken = backup(shop)
    restore(second, "-e", f"restore_source={shop.name}", "-e", f"restore_set={taken}")
    second.assert_whole()
    assert "The shop" in second.get()[1]
    look = r"""global $wpdb; echo json_encode([
        'posts' => (int) $wpdb->get_var("SELECT COUNT(*) FROM {$wpdb->posts}"),
        'users' => array_map(fn($u) => [$u->user_login, $u->user_pass], get_users()),
        'settings' => base64_encode(serialize(get_option('shop_settings'))),
        'content' => get_page_by_path('article-7', OBJECT, 'post')->post_content, 'home' => home_url()]);"""
    ours, theirs = shop.php(look), second.php(look)
    assert theirs["home"] == second.url
    for name in ("posts", "users"):
        assert theirs[name] == ours[name]
    settings = second.php(
        "echo json_encode(array_map(fn($v) => is_string($v) ? base64_encode($v) : $v, get_option('shop_settings')));"
    )
    assert settings["nested"] == {"n": 1.5, second.url: True}
    for form in (second.url, second.url.replace("/", "\\/")):
        assert form in theirs["content"]
    assert shop.url not in theirs["content"].replace("\\/", "/")
    uploads = "cd {0}/web/wp-content/uploads && find . -type f -print0 | sort -z | xargs -0 sha256sum"
    assert second.on_host(uploads.format(second.directory)) == shop.on_host(uploads.format(shop.directory))
    assert second.sql("SELECT COUNT(*) FROM wp_titles;") == shop.sql("SELECT COUNT(*) FROM wp_titles;")
    # The trigger works there, for the site's own account.
    second.wp("post", "create", "--post_title=Triggered")
    assert second.sql("SELECT COUNT(*) FROM wp_audit WHERE what = 'Triggered';") == "1"


# Damages a copy of a good set, whose manifest then says what the damaged part is, where that is what a forger or a bug would do.
DAMAGE = {
    "flipped byte": "printf '\\377' | dd of=db.sql.zst bs=1 seek=5000 conv=notrunc status=none",
    "truncated dump": "zstd -dc db.sql.zst | head -c -3000 | zstd -q >x && mv x db.sql.zst && resum db.sql.zst",
    "missing upload": (
        "mkdir x && zstd -dc files.tar.zst | tar -x -C x && rm x/wp-content/uploads/*/*/'picture 3.bin' && "
        "tar -C x -c . | zstd -q >files.tar.zst && rm -r x && resum files.tar.zst"
    ),
    "manifest of another site": 'sed -i \'s/"site": "shop.test"/"site": "other.test"/\' manifest.json',
}
RESUM = """
import hashlib, json, pathlib, sys
part = pathlib.Path(sys.argv[1]); path = pathlib.Path("manifest.json"); manifest = json.loads(path.read_text())
manifest["parts"][part.name] |= {"sha256": hashlib.sha256(part.read_bytes()).hexdigest(), "bytes": part.stat().st_size}
path.write_text(json.dumps(manifest))
"""


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_damaged_set_is_refused_before_anything_is_touched(shop, good_set, kind):
    bad = "20300101T000000Z"
    folder = f"{SETS}/{shop.name}/{bad}"
    shop.on_host(
        f"set -e; rm -rf {folder}; cp -a {SETS}/{shop.name}/{good_set} {folder}; cd {folder}; "
        f"sed -i s/{good_set}/{bad}/ manifest.json; rm -f db.sql.zst.sha256 proof.json; "
        f"resum() {{ python3 -c {shlex.quote(RESUM)} $1; }}; {DAMAGE[kind]}"
    )
    try:
        before = shop.state()
        last = shop.metric("drill", "dockpress_drill_last_success_timestamp_seconds")
        shop.on_host(f"rm -f /var/lib/dockpress/metrics/drill-run-{shop.name}.prom")
        if kind == "truncated dump" or LONG:
            failed = restore(shop, "-e", f"restore_set={bad}", check=False)
            assert failed.returncode != 0
            assert bad in failed.stdout
            assert shop.state() == before
            assert play("drill", "--limit", shop.name, "-e", f"drill_set={bad}", check=False).returncode != 0
            assert "drill" not in shop.on_host("docker ps -a --format '{{.Names}}'")
        else:
            # Both at once, and without a stack to start: a drill onto the site itself, which is refused.
            failed = module(shop, "wp_restore", confirm=True, drill=True, set=bad)
            assert failed.returncode != 0
            assert bad in failed.stdout
        assert shop.metric("drill-run", "dockpress_drill_success") == 0
        assert shop.metric("drill", "dockpress_drill_last_success_timestamp_seconds") == last
        assert shop.state() == before
        shop.assert_whole()
    finally:
        shop.on_host(f"rm -rf {folder}")


def kill_holder(site, when):
    """kill -9 whoever holds the site's lock, as soon as a shell condition on the host is true."""
    script = f"""
    for try in $(seq 1 1500); do
        pid=$(sed -nE 's/.*"pid": ([0-9]+).*/\\1/p' /run/lock/dockpress/{site.name}.lock 2>/dev/null)
        if [ -n "$pid" ] && {{ {when}; }}; then kill -9 $pid && echo killed; exit; fi
        sleep 0.02
    done"""
    assert site.on_host(script) == "killed"


@pytest.mark.parametrize("phase", ["dump", *(["files"] if LONG else [])])
def test_kill_in_a_backup(shop, good_set, phase):
    before, sets = shop.state(), shop.sets()
    seen = {"dump": "ls SETS/NAME/.partial-*/db.sql.zst*", "files": "ls SETS/NAME/.partial-*/files.tar.zst"}[phase]
    running = start("backup", "--limit", shop.name)
    kill_holder(shop, seen.replace("SETS", SETS).replace("NAME", shop.name) + " >/dev/null 2>&1")
    assert running.wait() != 0
    assert shop.sets() == sets
    assert shop.state() == before
    assert shop.on_host("pgrep -x mariadb-dump || true") == "" or time.sleep(2) is None
    backup(shop)
    assert len(shop.sets()) == len(sets) + 1
    shop.assert_whole()


@pytest.mark.parametrize("phase", ["import", "swap", *(["unpack", "safety", "exchanged"] if LONG else [])])
def test_kill_in_a_restore(shop, good_set, phase):
    shop.wp("option", "update", "blogdescription", f"before {phase}")
    shop.php("$d = wp_upload_dir(); file_put_contents($d['basedir'] . '/later.txt', 'later'); echo 'true';")
    before = shop.state()
    database = f"docker exec {shop.stack}-database-1 ls /var/lib/mysql/"
    seen = {
        "unpack": f"[ -d {shop.directory}/.restore/staged/wp-content ]",
        "safety": f"ls -d {SETS}/{shop.name}/.partial-*",
        "import": f"{database} | grep -q _dp_new",
        "swap": f"{database}wordpress_dp_old/ | grep -q _dockpress_plan",
        "exchanged": f"{database}wordpress_dp_old/ | grep -q _dockpress_done",
    }[phase]
    holding = None
    if phase == "swap":
        # Somebody reads a table of the site: the exchange has to wait, and is killed there.
        holding = threading.Thread(
            target=lambda: shop.sql("START TRANSACTION; SELECT COUNT(*) FROM wp_options; SELECT SLEEP(25);")
        )
        holding.start()
    running = start("restore", "--limit", shop.name, "-e", "restore_confirm=true", "-e", f"restore_set={good_set}")
    kill_holder(shop, f"{seen} >/dev/null 2>&1".replace("SETS", SETS).replace("NAME", shop.name))
    output = running.communicate()[0]
    assert running.returncode != 0, output
    if holding:
        holding.join()
    if phase == "swap":
        # What knows of the database alone, or may change nothing, leaves the files and the database as they belong together.
        export = json.dumps({"container": f"{shop.stack}-cron-1", "dest": "/tmp/export.sql.zst"})
        failed = run(ansible("ansible", shop.name, "-m", "dockpress.hosting.wp_db_export", "-a", export), check=False)
        assert "run wp_restore or wp_backup" in re.sub(r"\s+", " ", failed.stdout)
        failed = restore(shop, "--check", "-e", f"restore_set={good_set}", check=False)
        assert "run without --check" in re.sub(r"\s+", " ", failed.stdout)
    # The next backup or restore brings it back ...
    backup(shop)
    assert shop.state() == before
    shop.assert_whole()
    assert shop.get()[0] == 200
    # ... and a second restore does what the first was to do.
    restore(shop, "-e", f"restore_set={good_set}")
    assert not any("later.txt" in one for one in shop.state())
    assert shop.wp("option", "get", "blogdescription") != f"before {phase}"
    shop.assert_whole()


EXCHANGED = "docker exec shop-test-database-1 ls /var/lib/mysql/wordpress_dp_old/ | grep -q _dockpress_done"
SLOW = "SELECT 1 FROM information_schema.PROCESSLIST WHERE STATE = 'User sleep' AND USER <> 'root'"
NOBODY = "http://web:9"
KILLED_LATE = {
    # Name: what somebody does with the tables once they are exchanged, so that the restore waits in this phase;
    # how the phase is seen on the host; options of the restore.
    # A trigger that came with the set makes it slow: see below.
    "replacement": ("SELECT 1", f'ROOT -Ne "{SLOW}" | grep -q 1', {"url": "http://new.test"}),
    "page": ("SELECT 1", f"{EXCHANGED} && sleep 6", {"address": NOBODY}),
    "undoing": (
        "SELECT COUNT(*) FROM wp_options",
        f"{EXCHANGED} && docker exec shop-test-database-1 ls /var/lib/mysql/wordpress_dp_new/ | grep -q _dockpress_plan",
        {"address": NOBODY},
    ),
    "clean-up": (
        "SELECT COUNT(*) FROM wordpress_dp_old.wp_options",
        "grep -q committed /srv/dockpress/shop-test/.restore.json",
        {},
    ),
}
ROOT = "docker exec shop-test-database-1 sh -c 'MYSQL_PWD=$(cat /run/secrets/db_root_password) exec mariadb -uroot \"$@\"' --"


@pytest.mark.skipif(not LONG, reason="make test-long")
@pytest.mark.parametrize("phase", KILLED_LATE)
def test_kill_after_the_exchange(shop, good_set, phase):
    """Until the page was seen the way is back, afterwards forward."""
    held, seen, options = KILLED_LATE[phase]
    taken = good_set
    if phase == "replacement":
        shop.sql("CREATE TRIGGER slow BEFORE UPDATE ON wp_posts FOR EACH ROW DO SLEEP(10);")
        taken = backup(shop)
        shop.sql("DROP TRIGGER slow;")
    shop.wp("option", "update", "blogdescription", f"before {phase}")
    before = shop.state()

    def hold():
        exchanged = "SELECT COUNT(*) FROM wordpress_dp_old._dockpress_done;"
        for _try in range(600):  # until there is such a table
            if shop.sql(f"{exchanged} START TRANSACTION; {held}; SELECT SLEEP(45);", check=False):
                return

    results = []
    arguments = {"confirm": True, "set": taken, "safety": False, **options}
    restoring = threading.Thread(target=lambda: results.append(module(shop, "wp_restore", **arguments)))
    holding = threading.Thread(target=hold)
    restoring.start()
    holding.start()
    kill_holder(shop, f"{{ {seen}; }} >/dev/null 2>&1".replace("ROOT", ROOT))
    restoring.join()
    assert results[0].returncode != 0
    assert shop.on_host(f"ls {shop.directory}/.restore.json")
    # What the dead one had started waits there still, and must not happen later.
    backup(shop)
    holding.join()
    shop.assert_whole()
    assert shop.get()[0] == 200
    if phase == "clean-up":
        assert shop.wp("option", "get", "blogdescription") != f"before {phase}"
    else:
        assert shop.state() == before


def test_what_fails_after_the_swap_is_undone(shop, good_set):
    before = shop.state()
    # Nobody listens there, so the page cannot be seen after the exchange.
    failed = module(shop, "wp_restore", confirm=True, safety=False, set=good_set, address="http://web:9")
    assert failed.returncode != 0
    assert "the site is as it was" in re.sub(r"\s+", " ", failed.stdout)
    assert shop.state() == before
    shop.assert_whole()


def test_a_full_disk_is_told_and_makes_no_set(shop, good_set):
    small = "/var/backups/small"
    shop.on_host(f"mkdir -p {small} && mount -t tmpfs -o size=20m none {small} && mkdir -p {small}/{shop.name}")
    last = shop.metric("backup", "dockpress_backup_last_success_timestamp_seconds")
    try:
        shop.on_host(
            f"cp -a {SETS}/{shop.name}/{good_set} {small}/{shop.name}/20200101T000000Z; head -c 15M /dev/urandom >{small}/rest; true",
            check=False,
        )
        older = shop.on_host(f"find {small}/{shop.name} -type f | sort | xargs -r sha256sum")
        failed = play("backup", "--limit", shop.name, "-e", f"backup_root={small}", check=False)
        assert failed.returncode != 0
        assert "No space left on device" in failed.stdout
        assert shop.on_host(f"find {small}/{shop.name} -type f | sort | xargs -r sha256sum") == older
        assert shop.on_host(f"ls -A {small}/{shop.name}") == "20200101T000000Z"
        assert shop.metric("backup-run", "dockpress_backup_last_run_success") == 0
        assert shop.metric("backup", "dockpress_backup_last_success_timestamp_seconds") == last
    finally:
        shop.on_host(f"umount {small}; rmdir {small}")


def test_a_wrong_password_is_told_and_makes_no_set(shop, good_set):
    sets = shop.sets()
    last = shop.metric("backup", "dockpress_backup_last_success_timestamp_seconds")
    secret = f"{shop.directory}/secrets/db_root_password"
    shop.on_host(f"cp -p {secret} /root/right && echo wrong >{secret}")
    try:
        failed = play("backup", "--limit", shop.name, check=False)
    finally:
        shop.on_host(f"cat /root/right >{secret} && rm /root/right")
    assert failed.returncode != 0
    assert "Access denied" in failed.stdout
    assert shop.sets() == sets
    shop.assert_whole()
    assert shop.metric("backup-run", "dockpress_backup_last_run_success") == 0
    assert shop.metric("backup", "dockpress_backup_last_success_timestamp_seconds") == last


def test_two_backups_and_a_restore_at_once(shop, good_set):
    sets = len(shop.sets())
    running = [
        start("backup", "--limit", shop.name),
        start("backup", "--limit", shop.name),
        start("restore", "--limit", shop.name, "-e", "restore_confirm=true", "-e", f"restore_set={good_set}"),
    ]
    for one in running:
        output = one.communicate()[0]
        assert one.returncode == 0, output
    # Two backups and the safety set.
    assert len(shop.sets()) == sets + 3
    shop.assert_whole()
    # Who does not wait long enough is told whom it waited for.
    held = f"flock /run/lock/dockpress/{shop.name}.lock sleep 12"
    holder = threading.Thread(target=lambda: shop.on_host(held))
    holder.start()
    failed = play("backup", "--limit", shop.name, "-e", "backup_lock_timeout=1", check=False)
    assert failed.returncode != 0
    assert f"{shop.name}.lock is held by" in re.sub(r"\s+", " ", failed.stdout)
    holder.join()


def test_prune(shop):
    """The inventory's backup_keep: one a day, and the two newest; beside them the two newest that restores took."""
    listed = docs.run("prune-plan", SITE=shop.name, ANSIBLE_INVENTORY=INVENTORIES)
    before = shop.sets()
    manifests = shop.on_host(f'grep -l \'"reason": "safety"\' {SETS}/{shop.name}/2*/manifest.json').splitlines()
    safety = [one.split("/")[-2] for one in manifests]
    docs.run("prune", SITE=shop.name, ANSIBLE_INVENTORY=INVENTORIES)
    after = shop.sets()
    proven = [name for name in before if shop.on_host(f"ls {SETS}/{shop.name}/{name}/proof.json", check=False)]
    assert proven
    assert safety
    backups = [name for name in before if name not in safety]
    assert after == sorted({*backups[-2:], *safety[-2:], proven[-1]})
    for name in set(before) - set(after):
        assert name in listed.stdout
    assert "changed=0" in docs.run("prune", SITE=shop.name, ANSIBLE_INVENTORY=INVENTORIES).stdout


def test_copies_off_the_host(shop, good_set):
    """rclone speaks the protocol of restic's REST server: once for credentials that may only add, once for those that may delete."""
    server = (
        "docker run -d --name rest-{0} --network host -v /srv/rest:/data registry.sandbox.test:5000/rclone/rclone:1.60.1 "
        "serve restic --addr :{0} --user shop --pass 'p w' {1} /data >/dev/null; "
    )
    shop.on_host("mkdir -p /srv/rest; " + server.format(8000, "--append-only") + server.format(8001, ""))
    address = shop.on_host("ip -4 -o addr show eth1 | awk '{print $4}' | cut -d/ -f1")

    def repository(port, **more):
        about = {
            "name": "offsite",
            "repository": f"rest:http://{address}:{port}/",
            "password": "very secret $x",
            "environment": {"RESTIC_REST_USERNAME": "shop", "RESTIC_REST_PASSWORD": "p w"},
            "network": "host",
        }
        return ["-e", json.dumps({"backup_repositories": [about | more]})]

    adding = repository(8000)
    said = play("backup", "--limit", shop.name, "-v", *adding)
    assert "very secret" not in said.stdout
    first = shop.sets()[-1]
    taken = backup(shop, *adding)
    restic = (
        "docker run --rm --network host -v /etc/dockpress/restic/shop-test/offsite:/r:ro --entrypoint sh registry.sandbox.test:5000/restic/restic:0.18.0 "
        "-c 'set -a; . /r/environment; restic --password-file /r/password --repository-file /r/repository {}' 2>&1"
    )
    # What may add may not remove.
    assert "403" in shop.on_host(restic.format("forget --keep-last 1 --unsafe-allow-remove-all latest"), check=False)
    assert {first, taken} <= set(re.findall(r"\d{8}T\d{6}Z", shop.on_host(restic.format("snapshots"))))
    shop.on_host(restic.format("check --read-data"))
    # A drill from there proves what is there, and leaves the set on the host.
    shop.on_host(f"rm -rf {SETS}/{shop.name}/{taken}")
    play("drill", "--limit", shop.name, *adding, "-e", "drill_repository=offsite", "-e", f"drill_set={taken}")
    assert "proven" in json.loads(shop.on_host(f"cat {SETS}/{shop.name}/{taken}/proof.json"))
    # A site from there, when its host has lost the set.
    shop.on_host(f"rm -rf {SETS}/{shop.name}/{taken}")
    restore(shop, *adding, "-e", "restore_repository=offsite", "-e", f"restore_set={taken}")
    assert taken in shop.sets()
    # Pruning there, by the same rules, with the other credentials.
    deleting = [
        *repository(8001, prune=True),
        "-e",
        json.dumps({"backup_keep": {"daily": 1, "weekly": 0, "monthly": 0, "yearly": 0, "keep_min": 1}}),
    ]
    planned = play("prune", "--limit", shop.name, "--check", *deleting)
    assert first in planned.stdout
    assert first in shop.on_host(restic.format("snapshots"))
    play("prune", "--limit", shop.name, *deleting)
    assert set(re.findall(r"\d{8}T\d{6}Z", shop.on_host(restic.format("snapshots")))) == {taken}
    shop.on_host("docker rm -f rest-8000 rest-8001; rm -rf /srv/rest")


def until(seen, what, seconds=120):
    """Wait for something that the clock of a host starts."""
    deadline = time.monotonic() + seconds
    while not seen():
        assert time.monotonic() < deadline, what()
        time.sleep(1)


def test_the_timer_fires_and_a_failure_is_told(second):
    sets = second.sets()
    second.on_host(
        "mkdir -p /srv/ansible && cd /srv/ansible && rm -f secret pw /var/tmp/told && echo hidden >secret && printf %s 'pass $w\"%d' >pw && "
        "ansible-vault encrypt --vault-password-file pw secret && rm pw && chmod 0644 secret && cat >hosts.yml",
        data="all: {children: {wordpress: {hosts: {second.test: {ansible_connection: local, ansible_python_interpreter: /usr/bin/python3,"
        " proof: \"{{ lookup('ansible.builtin.unvault', '/srv/ansible/secret') }}\"}}}}}\n",
    )
    second.on_host(
        "cat >/srv/ansible/proof.yml",
        data="- hosts: second.test\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.assert: {that: proof | trim == 'hidden'}\n"
        "    - ansible.builtin.command: id --user --name\n      register: who\n"
        '    - ansible.builtin.fail: {msg: "on purpose, as {{ who.stdout }}"}\n',
    )
    variables = {
        "scheduler_inventory": ["hosts.yml"],
        "scheduler_vault_password": 'pass $w"%d',
        "scheduler_randomized_delay": "0",
        "scheduler_notify_command": ["/bin/sh", "-c", 'echo "$1" >>/var/tmp/told', "sh"],
    }
    failing = {"name": "failing", "playbook": "proof.yml", "calendar": "*:*:0/10"}
    taking = {
        "name": "backup",
        "playbook": "dockpress.hosting.backup",
        "calendar": "*:*:0/10",
        "limit": "second.test",
    }

    def schedule(**more):
        return play("scheduler", "-e", json.dumps(variables | more)).stdout

    def told():
        return second.on_host("cat /var/tmp/told", check=False)

    def log():
        return second.on_host("journalctl -u 'dockpress-job-*' --no-pager | tail -60")

    try:
        # A control node that works on other machines: behind all walls.
        schedule(scheduler_jobs=[failing])
        until(lambda: "dockpress-job-failing.service" in told(), log)
        assert "on purpose, as dockpress-scheduler" in log()
        assert second.on_host("systemctl show --property NoNewPrivileges --value dockpress-job-failing") == "yes"
        shown = second.on_host("systemctl cat 'dockpress-job-*'; systemctl show dockpress-job-failing; journalctl -b")
        assert "pass $w" not in shown
        metric = second.on_host("cat /var/lib/dockpress/metrics/job-failing.prom")
        assert 'dockpress_job_success{job_name="failing"} 0' in metric
        # One that is itself the Docker host.
        jobs = {"scheduler_jobs": [taking], "scheduler_local": True}
        schedule(**jobs)
        assert "dockpress-job-backup.timer" in second.on_host("systemctl list-timers --no-pager")
        assert "failing" not in second.on_host("systemctl list-timers --all --no-pager")
        # Its failure went with it.
        assert second.on_host("systemctl --failed --plain --no-legend") == ""
        assert "job-failing" not in second.on_host("ls /var/lib/dockpress/metrics")
        until(lambda: len(second.sets()) > len(sets), log)
        job = "/var/lib/dockpress/metrics/job-backup.prom"
        until(lambda: "} 1" in second.on_host(f"cat {job}", check=False), log)
        assert "dockpress-job-backup" not in told()
        assert "changed=0" in schedule(**jobs)
    finally:
        # The inventory has no jobs, so those of the test go.
        docs.run("schedule", ANSIBLE_INVENTORY=INVENTORIES)
    assert "dockpress-job" not in second.on_host("systemctl list-timers --all --no-pager")


def test_an_event_waits_while_the_database_takes_no_writes(shop):
    """As in a move: what cannot be taken out of the list would run again with every look at it."""

    def look():
        # Compared with the last look, not with the clock: the metric knows whole seconds only.
        tick = "dockpress_cron_last_tick_timestamp_seconds"
        last = shop.metric("site", tick) or 0
        shop.on_host(f"docker restart {shop.stack}-cron-1")
        until(lambda: (shop.metric("site", tick) or 0) > last, lambda: shop.metric("site", tick))
        return [shop.metric("site", f"dockpress_cron_{one}") for one in ("tick_success", "events_total")]

    look()
    shop.php("wp_schedule_single_event(1, 'waits'); echo 'true';")
    before = shop.state()
    shop.sql("SET GLOBAL read_only = 1;")
    try:
        assert look() == [0, 0]
        # What a killed move leaves behind, too.
        docs.run("move-give-up", SITE=shop.name, ANSIBLE_INVENTORY=INVENTORIES)
        assert shop.sql("SELECT @@read_only;") == "0"
    finally:
        shop.sql("SET GLOBAL read_only = 0;")
    assert shop.state() == before
    assert shop.php("echo json_encode(wp_next_scheduled('waits'));") == 1
    success, events = look()
    assert success == 1
    assert events >= 1
    assert shop.php("echo json_encode(wp_next_scheduled('waits'));") is False


MOVING = r"""
$dir = wp_upload_dir();
$file = $dir['path'] . "/moving %d.bin";
file_put_contents($file, random_bytes(20000));
$id = wp_insert_attachment(['post_title' => "Moving %d", 'post_mime_type' => 'application/octet-stream'], $file);
echo json_encode($id > 0);
"""


MOVE_PHASES = {
    # Name: host to look at, shell conditions there, one after the other.
    "copy": ("web2", ["ls -d SETS/shop.test/.partial-*"]),
    "first restore": ("web2", ["docker exec shop-test-database-1 ls /var/lib/mysql/ | grep _dp_new"]),
    "last set": ("web1", ["READ_ONLY", "ls -d SETS/shop.test/.partial-*"]),
    "last restore": (
        "web2",
        ["grep -l since SETS/shop.test/2*/manifest.json && [ -s /run/lock/dockpress/shop.test.closed.lock ]"],
    ),
    "cut-over": ("web2", ["docker inspect shop-test-cron-1 | grep loop.sh"]),
}
READ_ONLY = "docker exec shop-test-database-1 sh -c 'MYSQL_PWD=$(cat /run/secrets/db_root_password) mariadb -uroot -Ne \"SELECT @@read_only\"' | grep 1"


@pytest.mark.skipif(not LONG, reason="make test-long")
@pytest.mark.parametrize("phase", MOVE_PHASES)
def test_kill_in_a_move(shop, good_set, phase):
    before = shop.state()
    host, seen = MOVE_PHASES[phase]
    place = type(shop)(shop.name, host, shop.port)
    running = start("move", "-e", f"move_site={shop.name}", "-e", "move_to=web2", "-e", "move_confirm=true")
    # One process on the host looks, for a phase may last less than a second.
    watch = "".join(f"until {{ {one}; }} >/dev/null 2>&1; do sleep 0.02; done; " for one in seen)
    place.on_host(f"timeout 300 bash -c {shlex.quote(watch.replace('SETS', SETS).replace('READ_ONLY', READ_ONLY))}")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    for one in ("web1", "web2"):
        pids = "cat /run/lock/dockpress/shop.test*.lock | sed -nE 's/.*\"pid\": ([0-9]+).*/\\1/p'"
        type(shop)(shop.name, one, shop.port).on_host(f"for pid in $({pids}); do kill -9 $pid; done", check=False)
    # The old one serves all the while, and takes writes when it is told to go on.
    assert shop.get()[0] == 200
    docs.run("move-give-up", SITE=shop.name, ANSIBLE_INVENTORY=INVENTORIES)
    assert shop.state() == before
    shop.wp("option", "update", "blogdescription", f"after {phase}")


def test_a_move_loses_nothing(shop, second):
    """Last: afterwards the shop is on the other host."""
    there = type(shop)(shop.name, "web2", shop.port)
    accepted, stop = [], threading.Event()

    def write():
        number = 0
        while not stop.is_set():
            number += 1
            try:
                if shop.php(MOVING % (number, number)) is True:
                    accepted.append(number)
            except Exception:  # noqa: BLE001 - refused, or the containers are stopped
                time.sleep(0.2)

    uploads = shop.on_host(f"ls {shop.directory}/web/wp-content/uploads/*/*/").split("\n")
    writer = threading.Thread(target=write, daemon=True)
    writer.start()
    with Requests(shop) as requests:
        done = play(
            "move", "-e", f"move_site={shop.name}", "-e", "move_to=web2", *(["-e", "move_confirm=true"] if LONG else [])
        )
        ended = time.time()
    stop.set()
    writer.join()
    said = re.sub(r"\s+", " ", done.stdout)
    seconds = float(re.search(r"took no writes for ([0-9.]+) s", said)[1])
    # Pages were served until the old containers stopped, which is after the new ones were seen to be healthy.
    early = [one for one in requests.bad if one[0] < ended - 20]
    print(
        f"read-only for {seconds} s; {requests.good} pages, {len(early)} failed before the cut-over; {len(accepted)} uploads accepted"
    )
    assert early == []
    assert seconds < 120
    assert "wordpress_docker_host: web2" in said
    titles = there.sql("SELECT post_title FROM wp_posts;").splitlines()
    files = there.on_host(f"ls {there.directory}/web/wp-content/uploads/*/*/").split("\n")
    assert set(uploads) <= set(files)
    assert accepted
    for number in accepted:
        assert f"Moving {number}" in titles
        assert f"moving {number}.bin" in files
    # The second host's ports of this number are not published on this machine: asked from the host itself.
    request = f"Request('http://127.0.0.1:{shop.port}/', headers={{'Host': '{shop.name}:{shop.port}'}})"
    fetch = f"from urllib.request import Request, urlopen; print(urlopen({request}).read().decode())"
    # It takes writes there, its events run there, and the firewall lets its visitors in.
    there.wp("post", "create", "--post_title=Arrived", "--post_status=publish")
    assert "Arrived" in there.on_host(f"python3 -c {shlex.quote(fetch)}")
    assert "loop.sh" in there.on_host(f"docker inspect --format '{{{{.Config.Entrypoint}}}}' {there.stack}-cron-1")
    assert str(shop.port) in there.on_host("iptables-save | grep DOCKPRESS-FORWARD")
    # Nothing but full sets stays there, from the next backup on.
    there_sets = there.sets()
    play("backup", "--limit", shop.name, "-e", "wordpress_docker_host=web2")
    assert len(there.sets()) == len(there_sets)
    # The old containers are kept until told.
    assert shop.on_host("docker ps --format '{{.Names}}'") == ""
    assert f"{shop.stack}-web-1" in shop.on_host("docker ps -a --format '{{.Names}}'")
    told = re.search(r"dockpress\.hosting\.(teardown --limit shop\.test .*?teardown_backup=false)", said)[1]
    play(*shlex.split(told))
    assert shop.on_host("docker ps -a --format '{{.Names}}'; ls /srv/dockpress") == ""
