"""The main job, seen from outside: a hardened host that serves WordPress."""

from __future__ import annotations

import concurrent.futures
import json
import os
import pathlib
import re
import signal
import struct
import subprocess
import time
import urllib.error
import urllib.parse
import urllib.request
import zlib

import engine
import pytest
import testinfra

ROOT = pathlib.Path(__file__).resolve().parents[3]
NAME = os.environ["SANDBOX_NAME"]
PORT = int(os.environ["SANDBOX_PORT_BASE"])
SUBNET = os.environ["SANDBOX_SUBNET"]
SECRETS = pathlib.Path(os.environ["SANDBOX_DIR"]) / "secrets"
BLOG = f"http://blog.localhost:{PORT}"
NETWORK = f"http://network.localhost:{PORT + 20}"
STACK = "/srv/dockpress/blog-localhost"
PASSWORD = "it's\"q\\$HOME"
DB_PASSWORD = "pa$$w0rd$1#'\"\\ x"
SMTP_PASSWORD = 'it\'s "$HOME" ${x} \\ unguessable'
INVENTORIES = ["-i", "molecule/shared/inventory", "-i", "molecule/default/inventory"]
LONG = bool(os.environ.get("DOCKPRESS_LONG"))

testinfra_hosts = [f"docker://{NAME}-web1"]


class NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_args):
        return None


def request(url, data=None, headers=None, opener=None):
    """Status, headers and text of an answer. Names below .localhost are this machine's loopback."""
    parts = urllib.parse.urlsplit(url)
    target = url.replace(parts.netloc, f"127.0.0.1:{parts.port}", 1)
    call = urllib.request.Request(target, data=data, headers={"Host": parts.netloc, **(headers or {})})
    opener = opener or urllib.request.build_opener(NoRedirect)
    try:
        with opener.open(call, timeout=120) as answer:
            return answer.status, dict(answer.headers), answer.read().decode("utf-8", "replace")
    except urllib.error.HTTPError as error:
        return error.code, dict(error.headers), error.read().decode("utf-8", "replace")


PLAIN = {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", "ANSIBLE_FORCE_COLOR": "0"}


def play(*arguments, playbook="playbooks/wordpress.yml", limit="blog.localhost", environment=None):
    # A limit of whatever kind leaves this machine itself out, where no inventory names it.
    limited = ["--limit", limit] if limit else []
    command = ["ansible-playbook", playbook, *INVENTORIES, *limited, *arguments]
    return subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | PLAIN | (environment or {}),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


def kill_within(task, seconds, *arguments, **options):
    """Start a play and kill it, with all its processes here, some time into a task."""
    command = ["ansible-playbook", options["playbook"], *INVENTORIES, "--limit", options["limit"], *arguments]
    with subprocess.Popen(
        command,
        cwd=ROOT,
        env=os.environ | PLAIN,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        seen = []
        for line in process.stdout:
            seen.append(line)
            if line.startswith("TASK [") and task in line:
                time.sleep(seconds)
                break
        else:
            pytest.fail(f"The play ended before {task}: {''.join(seen[-40:])}")
        os.killpg(process.pid, signal.SIGKILL)


def extra(**variables):
    return ["-e", json.dumps(variables)]


def changed(result):
    """Names of the tasks that changed something."""
    assert result.returncode == 0, result.stdout
    found, task = [], ""
    for line in result.stdout.splitlines():
        if line.startswith("TASK ["):
            task = line.split("]")[0].removeprefix("TASK [")
        elif line.startswith("changed:"):
            found.append(task)
    return found


def compose(host, *words, stack=STACK):
    command = "cd " + stack + " && docker compose " + " ".join(f"'{word}'" for word in words) + " </dev/null"
    result = engine.again(lambda: host.run(command))
    assert result.rc == 0, result.stderr
    return result.stdout


def wp(host, *words, stack=STACK):
    return compose(host, "exec", "-T", "cron", "wp", *words, stack=stack).strip()


@pytest.fixture(scope="module")
def session():
    """A browser that has logged in through the form, and the nonce that the REST interface wants."""
    cookies: dict[str, str] = {}

    def call(path, data=None, headers=None):
        sent = {"Cookie": "; ".join(f"{name}={value}" for name, value in cookies.items()), **(headers or {})}
        status, answered, text = request(BLOG + path, data, sent)
        return status, answered, text

    parts = urllib.parse.urlsplit(BLOG)
    form = urllib.parse.urlencode({"log": "admin", "pwd": PASSWORD, "testcookie": "1"}).encode()
    call_ = urllib.request.Request(
        f"http://127.0.0.1:{parts.port}/wp-login.php",
        data=form,
        headers={"Host": parts.netloc, "Cookie": "wordpress_test_cookie=WP%20Cookie%20check"},
    )
    try:
        answer = urllib.request.build_opener(NoRedirect).open(call_, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    for line in answer.headers.get_all("Set-Cookie") or []:
        name, _equals, value = line.split(";")[0].partition("=")
        cookies[name] = value
    call.login_status = answer.status
    call.nonce = call("/wp-admin/admin-ajax.php?action=rest-nonce")[2]
    return call


def picture(width, height):
    """A PNG with noise-free stripes: small to send, big to scale."""

    def chunk(kind, body):
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    row = b"\0" + bytes(x * 7 % 256 for x in range(width * 3))
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(row * height, 1))
        + chunk(b"IEND", b"")
    )


def upload(session, name, content):
    headers = {
        "X-WP-Nonce": session.nonce,
        "Content-Type": "image/png",
        "Content-Disposition": f"attachment; filename={name}",
    }
    return session("/?rest_route=/wp/v2/media", content, headers)


def test_front_page_has_the_title():
    status, headers, text = request(BLOG + "/")
    assert status == 200 and "5$ &amp; up" in text
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "nginx/" not in headers["Server"] and "X-Powered-By" not in headers


def test_login_by_the_form(session):
    assert session.login_status == 302
    status, _headers, text = session("/wp-admin/")
    assert status == 200 and "Dashboard" in text


def test_a_post_written_by_wp_cli_is_served(host):
    number = wp(host, "post", "create", "--post_status=publish", "--post_title=From the command line", "--porcelain")
    assert "From the command line" in request(f"{BLOG}/?p={number}")[2] or request(f"{BLOG}/?p={number}")[0] == 301
    assert "From the command line" in request(f"{BLOG}/")[2]


def test_an_upload_arrives_and_php_beside_it_is_not_run(host, session):
    status, _headers, text = upload(session, "small.png", picture(600, 400))
    assert status == 201, text
    media = json.loads(text)
    status, headers, _text = request(media["source_url"])
    assert status == 200 and headers["Content-Type"] == "image/png"
    folder = pathlib.PurePosixPath(urllib.parse.urlsplit(media["source_url"]).path).parent
    compose(host, "exec", "-T", "wordpress", "sh", "-c", f'echo "<?php echo 6*7;" >/var/www/html{folder}/evil.php')
    for path in ("evil.php", "evil.php/x", "EVIL.PHP"):
        status, _headers, text = request(f"{BLOG}{folder}/{path}")
        assert status in (403, 404) and "42" not in text, path


@pytest.mark.parametrize(
    ("width", "height"),
    [(3000, 2000), pytest.param(8000, 6000, marks=pytest.mark.skipif(not LONG, reason="DOCKPRESS_LONG"))],
)
def test_pictures_do_not_kill_the_pool(host, session, width, height):
    content = picture(width, height)
    with concurrent.futures.ThreadPoolExecutor(5) as pool:
        answers = list(pool.map(lambda number: upload(session, f"{width}-{number}.png", content)[0], range(5)))
    # The largest may take longer than a request may: their worker is ended then, and no other.
    assert set(answers) <= ({201} if width == 3000 else {201, 500, 502, 504})
    assert request(BLOG + "/")[0] == 200
    assert "exited on signal 9" not in compose(host, "logs", "wordpress")


def test_large_uploads_at_the_same_time_kill_nothing(host):
    """Together they are more than the memory of nginx, and more than /tmp of PHP-FPM."""
    state = "docker inspect -f '{{.State.StartedAt}} {{.RestartCount}} {{.State.OOMKilled}}' blog-localhost-web-1 blog-localhost-wordpress-1"
    before = host.check_output(state)

    def on_their_way():
        command = ["find", "/var/tmp", "-type", "f", "!", "-name", "magick-*"]
        return {service: compose(host, "exec", "-T", service, *command).split() for service in ("web", "wordpress")}

    # What was ended half-way leaves its file until the hourly sweep.
    left = on_their_way()
    file = bytes(60 << 20)
    head = b'--x\r\nContent-Disposition: form-data; name="f"; filename="f"\r\nContent-Type: application/octet-stream\r\n\r\n'
    body = head + file + b"\r\n--x--\r\n"
    probe = f"{STACK}/web/probe.php"
    host.run_expect([0], f'echo \'<?php echo $_FILES["f"]["error"], " ", $_FILES["f"]["size"];\' >{probe}')
    try:
        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            headers = {"Content-Type": "multipart/form-data; boundary=x"}
            answers = list(pool.map(lambda _number: request(BLOG + "/probe.php", body, headers), range(5)))
        assert [(status, text) for status, _headers, text in answers] == [(200, f"0 {len(file)}")] * 5
        # Nobody has to be somebody, nor name a file, to send as much.
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            headers = {"Content-Type": "application/octet-stream"}
            assert list(pool.map(lambda _number: request(BLOG + "/", file, headers)[0], range(2))) == [200, 200]
    finally:
        host.run(f"rm -f {probe}")
    assert host.check_output(state) == before
    assert "exited on signal 9" not in compose(host, "logs", "web", "wordpress")
    assert on_their_way() == left


def test_imagick_has_a_share_and_goes_to_disk_beyond_it(host):
    """A picture of 48 megapixels needs 288 MB and more; a worker may hold 160."""
    limits = 'new Imagick; foreach (["MEMORY", "MAP"] as $n) echo Imagick::getResourceLimit(constant("Imagick::RESOURCETYPE_$n")), " ";'
    assert compose(host, "exec", "-T", "wordpress", "php", "-r", limits).split() == [str(160 << 20), "0"]
    work = (
        '$i = new Imagick; $i->newImage(8000, 6000, "red"); $i->resizeImage(300, 0, Imagick::FILTER_TRIANGLE, 1); echo $i->getImageHeight(),'
        'preg_replace("/.*VmHWM:\\s+(\\d+).*/s", " $1", file_get_contents("/proc/self/status"));'
    )
    height, kilobytes = compose(host, "exec", "-T", "wordpress", "php", "-r", work).split()
    assert height == "225" and int(kilobytes) < 256 << 10


def test_a_file_with_the_time_of_the_one_that_it_replaces_is_seen_after_a_change_of_code(host):
    """OPcache compares times only; packages and archives often say the same time for all files of all versions."""
    folder = f"{STACK}/web/wp-content/mu-plugins"
    plugin = f"{folder}/times.php"

    def put(word):
        host.run_expect(
            [0],
            f'mkdir -p {folder} && echo \'<?php const TIMES = "{word}"; add_action("wp_head", fn() => print("<!-- {word} -->"));\' '
            f">{plugin}.new && touch -d 1985-10-26 {plugin}.new && mv {plugin}.new {plugin}",
        )

    try:
        put("first")
        assert wp(host, "eval", "echo TIMES;") == wp(host, "eval", "echo TIMES;") == "first"
        assert "<!-- first -->" in request(BLOG + "/")[2]
        put("second")
        # What any change of code by a module ends with.
        assert changed(play(*extra(wordpress_plugins=[{"name": "hello", "state": "absent"}])))
        assert wp(host, "eval", "echo TIMES;") == "second"
        assert "<!-- second -->" in request(BLOG + "/")[2]
    finally:
        host.run(f"rm -f {plugin}")


@pytest.mark.parametrize(
    "path",
    [
        "/wp-admin/install.php",
        "/wp-admin/setup-config.php",
        "/wp-cron.php",
        "/xmlrpc.php",
        "/wp-config.php",
        "/.git/config",
        "/wp-admin/../wp-cron.php",
        "/wp-admin//install.php",
        "/wp-content/debug.log",
    ],
)
def test_closed_doors(path):
    assert request(BLOG + path)[0] in (403, 404)


def test_a_stranger_cannot_install_a_site_that_is_not_installed_yet(host):
    """The door is closed by nginx, whatever the database says."""
    form = urllib.parse.urlencode({"weblog_title": "mine", "user_name": "me"}).encode()
    assert request(BLOG + "/wp-admin/install.php?step=2", form)[0] == 403


def test_the_web_cannot_change_code(host):
    for service, path in (("wordpress", "index2.php"), ("wordpress", "wp-content/plugins/x.php"), ("web", "x.php")):
        result = host.run(f"cd {STACK} && docker compose exec -T {service} touch /var/www/html/{path} </dev/null")
        assert result.rc != 0 and "Read-only file system" in result.stderr
    assert wp(host, "eval", 'echo (int) wp_is_file_mod_allowed("x");') == "1"
    assert (
        compose(
            host, "exec", "-T", "cron", "sh", "-c", "touch /var/www/html/x && rm /var/www/html/x && echo ok"
        ).strip()
        == "ok"
    )


def test_containers_are_hardened_and_show_no_secret(host):
    names = [f"blog-localhost-{service}-1" for service in ("web", "wordpress", "database", "cron")]
    text = host.check_output("docker inspect " + " ".join(names))
    salts = (SECRETS / "blog.localhost" / "salts").read_text().strip()
    root = (SECRETS / "blog.localhost" / "db_root_password").read_text().strip()
    for secret in (DB_PASSWORD, PASSWORD, salts, root, json.dumps(DB_PASSWORD)[1:-1]):
        assert secret not in text
    for container in json.loads(text):
        settings = container["HostConfig"]
        assert container["Config"]["User"] not in ("", "root", "0"), container["Name"]
        assert settings["CapDrop"] == ["ALL"] and not settings["CapAdd"]
        assert settings["ReadonlyRootfs"] and "no-new-privileges:true" in settings["SecurityOpt"]
        assert settings["Memory"] > 0 and settings["PidsLimit"] > 0 and not settings["Privileged"]
        assert settings["LogConfig"]["Config"]["max-size"] == "10m"
        assert container["Config"]["Healthcheck"]["Test"]
        capabilities = host.check_output(f"grep -E 'Cap(Eff|Bnd)' /proc/{container['State']['Pid']}/status")
        assert set(re.findall(r"[0-9a-f]{16}", capabilities)) == {"0" * 16}
    assert host.file(f"{STACK}/secrets").mode == 0o700
    assert DB_PASSWORD not in host.check_output(f"grep -r '' {STACK}/web/wp-config.php {STACK}/config/wordpress")


def test_web_does_not_reach_the_database(host):
    assert host.run(f"cd {STACK} && docker compose exec -T web getent hosts database </dev/null").rc != 0


def test_odd_constants_are_exact(host):
    assert wp(host, "eval", 'echo base64_encode(ODD), " ", strlen(DB_PASSWORD);').split() == [
        "aXQncyBhJDFiIHg7XCA/PiAqLyAKPD9waHA=",
        str(len(DB_PASSWORD)),
    ]


def smtp_password(host):
    """The constant as the web and the command line know it."""
    host.run_expect([0], f"echo '<?php require \"wp-load.php\"; echo SMTP_PASSWORD;' >{STACK}/web/probe.php")
    try:
        return [request(BLOG + "/probe.php")[2], wp(host, "eval", "echo SMTP_PASSWORD;")]
    finally:
        host.run(f"rm -f {STACK}/web/probe.php")


def test_a_secret_constant_is_exact_and_stands_in_no_other_file(host):
    assert smtp_password(host) == [SMTP_PASSWORD] * 2
    assert host.run_expect([0], f"grep -rl unguessable {STACK}").stdout.split() == [f"{STACK}/secrets/wp_constants"]
    assert "unguessable" not in host.check_output("docker inspect $(docker ps --all --quiet)")


def test_down_and_up_by_hand_lose_nothing(host):
    before = wp(host, "post", "list", "--format=count")
    compose(host, "down")
    compose(host, "up", "-d", "--wait")
    assert request(BLOG + "/")[0] == 200
    assert wp(host, "post", "list", "--format=count") == before


def test_an_edited_theme_file_is_served_at_the_next_request(host):
    theme = wp(host, "theme", "list", "--status=active", "--field=name")
    request(BLOG + "/")
    functions = f"{STACK}/web/wp-content/themes/{theme}/functions.php"
    host.run_test(f"cp -p {functions} /root/functions.php")
    try:
        line = 'add_action("wp_head", function () { echo "<!-- edited on the host -->"; });'
        host.run_expect([0], f"echo '{line}' >>{functions}")
        assert "<!-- edited on the host -->" in request(BLOG + "/")[2]
    finally:
        host.run_expect([0], f"cp -p /root/functions.php {functions} && touch {functions}")


def test_a_recreated_pool_with_another_address_is_found(host):
    inspect = "docker inspect -f '{{(index .NetworkSettings.Networks \"blog-localhost_front\").IPAddress}}' blog-localhost-wordpress-1"
    before = host.check_output(inspect)
    image = host.check_output("docker inspect -f '{{.Config.Image}}' blog-localhost-web-1")
    compose(host, "rm", "--stop", "--force", "wordpress")
    try:
        # Somebody else sits on the old address now.
        host.run_expect([0], f"docker run -d --rm --name squatter --network blog-localhost_front {image}")
        assert before in host.check_output("docker inspect squatter")
        compose(host, "up", "-d", "--wait", "wordpress")
        assert host.check_output(inspect) != before
        end = time.monotonic() + 10
        while request(BLOG + "/")[0] != 200:
            assert time.monotonic() < end
            time.sleep(0.5)
    finally:
        host.run("docker rm -f squatter")


def test_forwarded_proto_is_believed_from_the_trusted_proxy_only(host):
    host.run_expect(
        [0],
        f'echo \'<?php echo is_string($_SERVER["HTTPS"] ?? null) ? "secure" : "plain", " ", $_SERVER["REMOTE_ADDR"],'
        f' " ", $_SERVER["HTTP_X_FORWARDED_PROTO"] ?? "";\' >{STACK}/web/probe.php',
    )
    headers = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    try:
        assert request(BLOG + "/probe.php", headers=headers)[2].split()[0] == "plain"
        code = (
            "import urllib.request as u;"
            f"print(u.urlopen(u.Request('http://{SUBNET}.1.11:{PORT}/probe.php', headers={headers!r}), timeout=20).read().decode())"
        )
        answer = subprocess.run(
            ["docker", "exec", f"{NAME}-web2", "python3", "-c", code], capture_output=True, text=True, check=True
        ).stdout
        assert answer.split() == ["secure", "203.0.113.9", "https"]
    finally:
        host.run(f"rm -f {STACK}/web/probe.php")


METRICS = "/var/lib/dockpress/metrics/site-blog-localhost.prom"


def values(text):
    return {name: float(value) for name, value in re.findall(r"^(\w+)\{[^}]*\} (\S+)$", text, re.M)}


def metrics(host):
    return values(host.file(METRICS).content_string)


def test_events_that_exit_or_throw_are_seen_and_none_stops_another_or_runs_twice(host):
    plugin = f"{STACK}/web/wp-content/mu-plugins/events.php"
    code = (
        '<?php add_action("t_exit", function () { exit(0); }); add_action("t_throw", function () { throw new Exception("x"); });'
        # Longer than the interval between two ticks.
        'add_action("t_slow", function () { update_option("t_slow", 1 + (int) get_option("t_slow")); sleep(5); });'
        'add_action("t_good", function () { update_option("t_good", 1 + (int) get_option("t_good")); });'
    )
    host.run_expect([0], f"mkdir -p $(dirname {plugin}) && echo '{code}' >{plugin}")
    try:
        before = metrics(host)
        schedule = '$t = time() - 60; foreach (["t_exit", "t_throw", "t_slow", "t_good"] as $i => $h) { wp_schedule_single_event($t + $i, $h); }'
        wp(host, "eval", schedule)
        end = time.monotonic() + 90
        while metrics(host)["dockpress_cron_event_failures_total"] < before["dockpress_cron_event_failures_total"] + 2:
            assert time.monotonic() < end, metrics(host)
            time.sleep(1)
        while metrics(host)["dockpress_cron_events_total"] < before["dockpress_cron_events_total"] + 4:
            assert time.monotonic() < end, metrics(host)
            time.sleep(1)
        time.sleep(4)
        assert [wp(host, "option", "get", name) for name in ("t_slow", "t_good")] == ["1", "1"]
        assert metrics(host)["dockpress_cron_event_failures_total"] == before["dockpress_cron_event_failures_total"] + 2
    finally:
        host.run(f"rm -f {plugin}")


def test_a_held_lock_makes_the_cron_service_wait(host):
    lock = "/run/lock/dockpress/blog.localhost.lock"
    skipped, looked = "dockpress_cron_skipped_ticks_total", "dockpress_cron_last_tick_timestamp_seconds"
    before = metrics(host)[skipped]
    # When it is taken and when it is about to be let go.
    taken, held = host.check_output(f"flock {lock} sh -c 'date +%s; sleep 8; cat {METRICS}'").split("\n", maxsplit=1)
    assert values(held)[skipped] > before
    assert values(held)[looked] <= int(taken), "a tick that was skipped counts as one that looked"
    end = time.monotonic() + 30
    while metrics(host)[looked] <= int(taken):
        assert time.monotonic() < end
        time.sleep(1)


def test_check_mode_predicts_and_a_changed_title_arrives(host):
    title = extra(wordpress_title="Another 100% $title")
    images = "docker image ls --no-trunc --quiet | sort"
    before = host.check_output(images)
    predicted = play("--check", *title)
    assert host.check_output(images) == before
    assert changed(predicted) == changed(play(*title)) != []
    assert "Another 100% $title" in request(BLOG + "/")[2]
    assert changed(play(*title)) == []
    play()


def test_a_changed_nginx_setting_runs_without_a_restart(host):
    started = "docker inspect -f '{{.Id}} {{.State.StartedAt}}' blog-localhost-web-1"
    before = host.check_output(started)
    setting = extra(wordpress_nginx_extra="add_header X-Tried yes always;")
    predicted = play("--check", *setting)
    assert changed(predicted)
    assert changed(play(*setting))
    assert request(BLOG + "/readme.html")[1].get("X-Tried") == "yes"
    assert host.check_output(started) == before
    play()


def test_a_container_that_the_engine_did_not_start_is_started_again(host):
    host.run_expect([0], "docker rm --force blog-localhost-web-1")
    with engine.broken(["docker", "exec", "-i", f"{NAME}-web1"], f"{STACK}/config/nginx", times=1) as left:
        assert changed(play())
        assert left() == 0
    assert request(BLOG + "/")[0] == 200


def test_changed_secrets_take_effect_and_are_not_shown(host):
    secrets = {
        "wordpress_db_password": "an'other$pass\\word",
        "wordpress_secret_constants": {"SMTP_PASSWORD": "inconceivable"},
    }
    result = play("--diff", *extra(**secrets))
    assert changed(result) and "unguessable" not in result.stdout and "inconceivable" not in result.stdout
    assert request(BLOG + "/")[0] == 200
    assert smtp_password(host) == ["inconceivable"] * 2
    assert changed(play())
    assert request(BLOG + "/")[0] == 200
    assert smtp_password(host) == [SMTP_PASSWORD] * 2


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"wordpress_db_password": ""}, "wordpress_db_password is not set"),
        ({"wordpress_docker_host": "web9"}, "wordpress_docker_host"),
        ({"wordpress_image": "docker.io/library/wordpress:7.1.1-apache"}, "wordpress_image"),
        ({"wordpress_domain": "no_hostname"}, "is no hostname"),
        ({"wordpress_secret_constants": {"DB_PASSWORD": "x"}}, "wordpress_secret_constants"),
        ({"wordpress_nginx_extra": "nonsense here;"}, "nginx does not take its configuration"),
        ({"wordpress_title": "x", "wordpress_nginx_extra": "# x", "stack_min_free_mb": 10**8}, "stack_min_free_mb"),
    ],
)
def test_bad_input_changes_nothing(host, variables, said):
    inspect = "docker inspect -f '{{.Id}}' blog-localhost-web-1 blog-localhost-wordpress-1 blog-localhost-database-1"
    look = f"find {STACK}/compose.yaml {STACK}/config -type f | sort | xargs sha256sum; {inspect}"
    before = host.check_output(look)
    result = play(*extra(**variables))
    assert result.returncode != 0 and said in result.stdout, result.stdout
    assert host.check_output(look) == before
    assert request(BLOG + "/")[0] == 200


def test_two_sites_with_one_port_are_refused(tmp_path):
    (tmp_path / "second.yml").write_text(
        "wordpress: {hosts: {second.localhost: {wordpress_docker_host: web1, wordpress_port: '{{ sandbox_port_base }}'}}}\n"
    )
    result = play("-i", str(tmp_path / "second.yml"), limit="second.localhost")
    assert result.returncode != 0 and "is also published by blog.localhost" in result.stdout


def test_an_image_without_php_fpm_leaves_the_site_running(host):
    image = host.check_output("docker inspect -f '{{.Config.Image}}' blog-localhost-web-1")
    host.run_expect([0], f"docker tag {image} example/php:fpm")
    try:
        result = play(*extra(wordpress_image="example/php:fpm"))
        assert result.returncode != 0 and "does not run PHP-FPM" in result.stdout
        assert request(BLOG + "/")[0] == 200
    finally:
        host.run("docker rmi example/php:fpm")


def test_a_network_answers_on_its_second_site():
    web2 = testinfra.get_host(f"docker://{NAME}-web2")
    if "/second/" not in wp(web2, "site", "list", "--field=path", stack="/srv/dockpress/network-localhost"):
        wp(web2, "site", "create", "--slug=second", "--title=The second", stack="/srv/dockpress/network-localhost")
    status, _headers, text = request(NETWORK + "/second/")
    assert status == 200 and "The second" in text
    assert request(NETWORK + "/")[0] == 200
    assert request(NETWORK + "/second/wp-admin/install.php")[0] == 403
    assert request(NETWORK + "/second/wp-login.php")[0] == 200


HOST_STEPS = [
    ("Engine, Compose plugin, and what the modules need", 3),
    ("Hold the engine back", 0),
    ("Apply the engine's configuration", 1),
    ("Put the rules in place on trial", 1),
]
SITE_STEPS = [
    ("Put the stack's files in place", 1),
    ("Start the containers", 3),
    ("Bring the site to its declared state", 2),
]


def test_a_site_whose_first_deployment_was_killed_is_finished_by_the_next_run(host, tmp_path):
    inventory = tmp_path / "half.yml"
    inventory.write_text(
        f"wordpress: {{hosts: {{half.localhost: {{wordpress_docker_host: web1, wordpress_port: {PORT + 9}}}}}}}\n"
    )
    options = {"playbook": "playbooks/wordpress.yml", "limit": "half.localhost"}
    stack = "/srv/dockpress/half-localhost"
    try:
        for task, seconds in SITE_STEPS:
            kill_within(task, seconds, "-i", str(inventory), **options)
        finished = play("-i", str(inventory), **options)
        assert finished.returncode == 0, finished.stdout
        assert changed(play("-i", str(inventory), **options)) == []
        assert wp(host, "user", "list", "--field=user_login", stack=stack) == "admin"
    finally:
        host.run(f"cd {stack} && docker compose down --volumes </dev/null; rm -rf {stack}")


@pytest.mark.skipif(not LONG, reason="DOCKPRESS_LONG")
def test_a_run_over_a_bare_host_killed_at_many_points_is_finished_by_the_next(tmp_path):
    hosts = [{"name": f"web{number}", "number": number} for number in (1, 2, 3)]
    inventory = tmp_path / "bare.yml"
    inventory.write_text(
        f"docker_hosts: {{hosts: {{web3: {{ansible_host: {NAME}-web3}}}}}}\n"
        "wordpress: {hosts: {bare.localhost: {wordpress_docker_host: web3}}}\n"
    )
    arguments = ["-i", str(inventory), *extra(sandbox_hosts=hosts)]
    options = {"playbook": "playbooks/site.yml", "limit": "web3,bare.localhost"}
    assert play(*arguments, playbook="playbooks/sandbox.yml", limit=None).returncode == 0
    try:
        for task, seconds in HOST_STEPS + SITE_STEPS:
            kill_within(task, seconds, *arguments, **options)
        finished = play(*arguments, **options)
        assert finished.returncode == 0, finished.stdout
        assert changed(play(*arguments, **options)) == []
        web3 = testinfra.get_host(f"docker://{NAME}-web3")
        assert wp(web3, "user", "list", "--field=user_login", stack="/srv/dockpress/bare-localhost") == "admin"
    finally:
        hosts[2]["state"] = "absent"
        play("-i", str(inventory), *extra(sandbox_hosts=hosts), playbook="playbooks/sandbox.yml", limit=None)


def test_pages_in_a_browser():
    pictures = ROOT / ".cache" / "artefacts"
    pictures.mkdir(parents=True, exist_ok=True)
    for name, path in (("front-page", "/"), ("login", "/wp-login.php")):
        target = pictures / f"{name}.png"
        target.unlink(missing_ok=True)
        subprocess.run(
            [
                "chromium",
                "--headless",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--hide-scrollbars",
                "--host-resolver-rules=MAP *.localhost 127.0.0.1",
                "--window-size=1280,900",
                f"--screenshot={target}",
                BLOG + path,
            ],
            check=True,
            capture_output=True,
            timeout=120,
        )
        assert target.stat().st_size > 10_000


def test_the_installed_collection_works(tmp_path):
    subprocess.run(
        ["ansible-galaxy", "collection", "build", "--output-path", str(tmp_path)],
        cwd=ROOT,
        check=True,
        capture_output=True,
    )
    (archive,) = tmp_path.glob("*.tar.gz")
    installed = tmp_path / "collections"
    subprocess.run(
        ["ansible-galaxy", "collection", "install", "--offline", "--no-deps", str(archive), "-p", str(installed)],
        cwd=tmp_path,
        check=True,
        capture_output=True,
        env=os.environ | {"ANSIBLE_COLLECTIONS_PATH": str(installed)},
    )
    environment = {"ANSIBLE_COLLECTIONS_PATH": str(installed), "ANSIBLE_CONFIG": str(tmp_path / "ansible.cfg")}
    (tmp_path / "ansible.cfg").write_text("[defaults]\ncallback_result_format = yaml\n")
    secrets = {"sandbox_dir": os.environ["SANDBOX_DIR"]}
    result = play(*extra(**secrets), playbook="dockpress.hosting.site", environment=environment)
    assert changed(result) == []
    # An inventory without the connection variables gets the block to paste.
    (tmp_path / "hosts.yml").write_text(
        "docker_hosts: {hosts: {web1: {ansible_host: a.example}}}\nwordpress: {hosts: {new.example.com: {wordpress_docker_host: web1, "
        "wordpress_admin_email: a@b.example, wordpress_admin_password: x, wordpress_db_password: y, "
        f"wordpress_db_root_password: z, wordpress_salts: {'s' * 32}}}}}}}\n"
    )
    result = subprocess.run(
        ["ansible-playbook", "dockpress.hosting.site", "-i", str(tmp_path / "hosts.yml"), "--limit", "new.example.com"],
        cwd=tmp_path,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode != 0 and "group_vars/wordpress.yml" in result.stdout + result.stderr
