"""The site on this machine, from the developer's side. The tests build on each other, in this order."""

from __future__ import annotations

import fcntl
import io
import json
import os
import pathlib
import re
import socket
import subprocess
import zipfile

import requests

import docs


def page(here, path="/", port=None):
    return requests.get(f"http://localhost:{port or here.port}{path}", timeout=30)


def recap(output):
    """host -> counts of Ansible's recap."""
    found = re.findall(r"^(\S+)\s+: (ok=.*)$", output, re.MULTILINE)
    return {host: {k: int(v) for k, v in re.findall(r"(\w+)=(\d+)", counts)} for host, counts in found}


def as_owner(here, command):
    """Run a shell command in the site's folder (which lies in one that only root may enter) as the user whose site it is."""
    subprocess.run(
        ["setpriv", f"--reuid={here.uid}", f"--regid={here.uid}", "--clear-groups", "sh", "-c", command],
        cwd=here.folder,
        check=True,
    )


def plugin(name, code=""):
    """A plugin as a zip archive."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr(f"{name}/{name}.php", f"<?php\n/* Plugin Name: {name} */\n{code}\n")
    return archive.getvalue()


def test_it_serves_and_the_dashboard_opens(here):
    assert page(here).status_code == 200
    assert "wp-login" in page(here, "/wp-login.php").text


def test_a_second_run_changes_nothing(here):
    counts = recap(here.docs("dev"))
    assert all(one["changed"] == one["failed"] == 0 for one in counts.values()), counts


def test_an_edit_of_the_owner_is_served_at_the_next_request(here):
    theme = here.wp("eval", "echo get_template();").strip()
    file = f"web/wp-content/themes/{theme}/functions.php"
    for mark in ("first-mark", "other-mark"):
        as_owner(here, f"echo 'add_action(\"wp_head\", function () {{ echo \"<!-- {mark} -->\"; }});' >> '{file}'")
        assert mark in page(here).text


def test_what_wp_cli_installs_belongs_to_the_owner(here):
    (here.folder / "export/by-cli.zip").write_bytes(plugin("by-cli"))
    here.wp("plugin", "install", "/export/by-cli.zip", "--activate")
    assert "by-cli" in here.docs("dev-wp")
    assert (here.folder / "web/wp-content/plugins/by-cli/by-cli.php").stat().st_uid == here.uid


def test_what_the_dashboard_installs_belongs_to_the_owner(here):
    session = requests.Session()
    base = f"http://localhost:{here.port}"
    session.get(f"{base}/wp-login.php", timeout=30)
    password = (here.folder / ".dev/admin_password").read_text(encoding="utf-8").strip()
    session.post(f"{base}/wp-login.php", data={"log": "admin", "pwd": password, "testcookie": "1"}, timeout=60)
    form = session.get(f"{base}/wp-admin/plugin-install.php?tab=upload", timeout=60).text
    nonce = re.search(r'action="[^"]*action=upload-plugin".*?name="_wpnonce" value="(\w+)"', form, re.DOTALL)[1]
    answer = session.post(
        f"{base}/wp-admin/update.php?action=upload-plugin",
        data={"_wpnonce": nonce},
        files={"pluginzip": ("by-hand.zip", plugin("by-hand"), "application/zip")},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text[:500]
    file = here.folder / "web/wp-content/plugins/by-hand/by-hand.php"
    assert file.stat().st_uid == here.uid


def test_nothing_in_the_web_root_belongs_to_anybody_else(here):
    others = [str(p) for p in (here.folder / "web").rglob("*") if p.lstat().st_uid != here.uid]
    assert others == []


def test_mail_is_caught_and_shown(here):
    said = here.wp("eval", 'var_dump(wp_mail("someone@example.com", "A subject", "Some text"));')
    assert "bool(true)" in said
    mails = list((here.folder / "mail").glob("*.eml"))
    assert mails
    assert {mail.stat().st_uid for mail in mails} == {here.uid}
    shown = subprocess.run(
        ["make", "-s", "dev-mail"],
        cwd=docs.ROOT,
        env=os.environ | here.environment,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert "A subject" in shown
    assert "Some text" in shown


def test_the_log_is_a_file_of_the_owner(here):
    here.wp("eval", 'error_log("a line for the log");')
    log = here.folder / "web/wp-content/debug.log"
    assert "a line for the log" in log.read_text(encoding="utf-8")
    assert page(here, "/wp-content/debug.log").status_code == 404


def test_export_break_import_brings_the_page_back(here, tmp_path):
    here.wp("post", "create", "--post_title=Precious words", "--post_status=publish")
    assert "Precious words" in page(here).text
    # The folder goes by another name as well.
    (tmp_path / "link").symlink_to(here.folder)
    here.docs("dev-export", DEV_DIR=str(tmp_path / "link"))
    here.wp("db", "query", "TRUNCATE wp_posts; TRUNCATE wp_options")
    assert "Precious words" not in page(here).text
    here.docs("dev-import")
    assert "Precious words" in page(here).text


def test_down_and_up_lose_nothing(here):
    here.docs("dev-down")
    left = subprocess.run(
        ["docker", "ps", "-aq", "--filter", f"label=com.docker.compose.project={here.folder.name}"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert left == ""
    here.docs("dev")
    text = page(here).text
    assert "Precious words" in text
    assert "other-mark" in text


def test_what_would_go_wrong_is_refused(here, tmp_path):
    second = {"DEV_DIR": str(here.folder.parent / f"second-{here.sandbox}")}
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        told = here.playbook("dev", check=False, **second, DEV_PORT=str(listener.getsockname()[1]))
    assert "cannot be used" in told
    assert "DEV_PORT" in told
    assert not pathlib.Path(second["DEV_DIR"]).exists()

    (tmp_path / "full").mkdir()
    (tmp_path / "full/index.php").write_text("<?php // another site", encoding="utf-8")
    assert "holds something else" in here.playbook("dev", check=False, DEV_DIR=str(tmp_path / "full"))

    (tmp_path / here.folder.name).mkdir()
    told = here.playbook("dev", check=False, DEV_DIR=str(tmp_path / here.folder.name))
    assert "There is a Compose project" in told

    assert f"There is no folder {tmp_path}/none" in here.playbook("dev", check=False, DEV_DIR=f"{tmp_path}/none/site")
    assert "There is no site in" in here.playbook("dev", "-e", "dev_state=absent", check=False, **second)
    assert "write a port number" in here.playbook("dev", check=False, **second, DEV_PORT="http")
    assert "write auto, pull or build" in here.playbook("dev", check=False, **second, DEV_IMAGES="none")


def test_whoever_changes_the_site_takes_the_lock_that_its_cron_takes(here, tmp_path):
    lock = here.folder / f".dev/lock/{here.folder.name}.dev.lock"
    options = {
        "fpm_container": f"{here.folder.name}-wordpress-1",
        "dest": str(tmp_path / "a.sql.zst"),
        "lock_timeout": 0,
    }
    export = ["ansible", "localhost", "-m", "dockpress.hosting.wp_db_export", "-a", json.dumps(options)]
    with lock.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        refused = subprocess.run(export, capture_output=True, text=True, check=False)
    assert f"The lock {lock} is held" in refused.stdout
    subprocess.run(export, capture_output=True, text=True, check=True)
    assert (tmp_path / "a.sql.zst").stat().st_size
    assert not pathlib.Path("/run/lock/dockpress", lock.name).exists()


def test_a_second_copy_by_a_user_who_is_not_root(here, developer):
    """On a machine that reaches no registry, beside the first one."""
    second = {
        "DEV_DIR": f"{developer.home}/second-{here.sandbox}",
        "DEV_PORT": str(here.port + 1),
        "DEV_UID": "",
        "DEV_IMAGES": "",
        # Nothing listens there: what cannot be pulled is built.
        "ARGS": "-e wordpress_php_workers=2 -e images_registry=127.0.0.1:9",
    }
    told = developer.docs("dev", check=False, **(here.environment | second | {"DEV_DIR": "/usr/dev"}))
    assert "cannot be written by you" in " ".join(told.split())
    told = developer.docs("dev", check=False, **(here.environment | second | {"DEV_IMAGES": "pull"}))
    assert "The images could not be pulled" in told
    assert "DEV_IMAGES=build" in told

    developer.docs("dev", **(here.environment | second))
    assert page(here, port=here.port + 1).status_code == 200
    counts = recap(developer.docs("dev", **(here.environment | second)))
    assert all(one["changed"] == one["failed"] == 0 for one in counts.values()), counts
    assert "Precious words" not in page(here, port=here.port + 1).text
    assert "Precious words" in page(here).text
    others = [str(path) for path in developer.home.rglob("*") if path.lstat().st_uid != developer.uid]
    assert others == []
    assert not (developer.home / ".docker").exists(), "the user's own configuration is not touched"

    developer.docs("dev-destroy", **(here.environment | second | {"DEV_YES": "1"}))
    assert not pathlib.Path(second["DEV_DIR"]).exists()
    assert "Precious words" in page(here).text
