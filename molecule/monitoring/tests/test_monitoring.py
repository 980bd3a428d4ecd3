"""The running fleet: targets, queries, labels, faults and their alerts. The faults come last, because they cost time."""

from __future__ import annotations

import functools
import html
import json
import os
import pathlib
import re
import subprocess
import sys
import time

import pytest
import yaml

ROOT = pathlib.Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests"))

import docs  # noqa: E402

INVENTORIES = f"{ROOT}/molecule/shared/inventory/,{ROOT}/molecule/monitoring/inventory/"
NAME = os.environ["SANDBOX_NAME"]
SUBNET = os.environ["SANDBOX_SUBNET"]
PORT_BASE = int(os.environ["SANDBOX_PORT_BASE"])
SITES = {"one.sandbox.test": "web1", "two.sandbox.test": "web2"}
DASHBOARDS = sorted((ROOT / "roles" / "monitoring" / "files" / "dashboards").glob("*.json"))

# Asks Prometheus or Alertmanager on the host, where their closed network can be reached.
ASK = """
import json, subprocess, sys, urllib.parse, urllib.request
service, port, paths = sys.argv[1], sys.argv[2], json.load(sys.stdin)
network = json.loads(subprocess.check_output(["docker", "inspect", f"monitoring-{service}-1"]))[0]["NetworkSettings"]["Networks"]
address = network["monitoring_back"]["IPAddress"]
answers = []
for path in paths:
    try:
        answers.append(json.load(urllib.request.urlopen(f"http://{address}:{port}{path}", timeout=10)))
    except OSError as error:
        answers.append({"status": "error", "error": str(error), "data": {"result": []}})
print(json.dumps(answers))
"""


def on(host: str, *command: str, text: str | None = None, check: bool = True) -> str:
    """Run a command on a host of the sandbox and return what it prints."""
    done = subprocess.run(
        ["docker", "exec", *(["--interactive"] if text is not None else []), f"{NAME}-{host}", *command],
        input=text, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return done.stdout


def ask(service: str, port: int, *paths: str) -> list:
    return json.loads(on("web1", "python3", "-c", ASK, service, str(port), text=json.dumps(paths)))


def queries(*expressions: str) -> list[list[dict]]:
    from urllib.parse import urlencode

    answers = ask("prometheus", 9090, *("/api/v1/query?" + urlencode({"query": each}) for each in expressions))
    for expression, answer in zip(expressions, answers, strict=True):
        assert answer["status"] == "success", f"{expression}: {answer}"
    return [answer["data"]["result"] for answer in answers]


def query(expression: str) -> list[dict]:
    return queries(expression)[0]


def wait(what: str, seconds: float, good, pause: float = 2):
    """Ask again until ``good`` returns something true."""
    end = time.monotonic() + seconds
    while not (result := good()):
        assert time.monotonic() < end, f"not within {seconds} s: {what}"
        time.sleep(pause)
    return result


def received(kind: str) -> list[dict]:
    lines = on("web1", "cat", "/var/tmp/received.jsonl", check=False).splitlines()
    return [line["content"] for line in map(json.loads, lines) if line["kind"] == kind]


@functools.cache
def panels() -> list[tuple[str, str]]:
    found = []
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                expression = re.sub(r"\$(host|site|stack)\b", ".*", target["expr"])
                expression = expression.replace("$__rate_interval", "1m").replace("$__range", "5m")
                found.append((f"{path.stem}: {panel['title']}", expression))
    return found


def rules() -> list[tuple[str, str]]:
    """Every rule in force, with its expression, from the running Prometheus."""
    groups = ask("prometheus", 9090, "/api/v1/rules")[0]["data"]["groups"]
    return [(rule["name"], rule["query"]) for group in groups for rule in group["rules"]]


def test_every_target_is_up():
    def all_up():
        targets = ask("prometheus", 9090, "/api/v1/targets")[0]["data"]["activeTargets"]
        down = {target["scrapeUrl"]: target["lastError"] for target in targets if target["health"] != "up"}
        return {target["labels"]["job"] for target in targets} if targets and not down else None

    jobs = wait("every target is up", 40, all_up)
    assert jobs == {
        "node",
        "cadvisor",
        "mysqld",
        "php-fpm",
        "nginx",
        "site",
        "tls",
        "prometheus",
        "alertmanager",
        "blackbox",
    }


def test_labels_of_hosts_and_sites():
    names = [
        "mysql_up",
        "phpfpm_active_processes",
        "nginx_http_requests_total",
        'probe_success{job="site"}',
        "dockpress:site_expected",
    ]
    wait("all sites answer", 40, lambda: all(len(result) == 2 for result in queries(*names)))
    for name, result in zip(names, queries(*names), strict=True):
        assert {each["metric"]["site"]: each["metric"]["host"] for each in result} == SITES, name
        assert {each["metric"]["env"] for each in result} == {"local"} or name.startswith("nginx"), name
    assert [each["value"][1] for each in query('probe_success{job="site"} == 1 and mysql_up == 1 or mysql_up')] == [
        "1",
        "1",
    ]


def test_named_series_are_the_running_containers_and_hold_no_secret():
    series = query("container_last_seen")
    for host in ("web1", "web2"):
        running = set(on(host, "docker", "ps", "--format", "{{.Names}}").split())
        assert {each["metric"]["name"] for each in series if each["metric"]["host"] == host} == running
    labels = {label for each in query('{job="cadvisor"}') for label in each["metric"]}
    assert not {label for label in labels if label.startswith("container_")}


# Queries that have nothing to show on a sound fleet, and why.
MAY_BE_EMPTY = {
    "wordpress: Newest backup": "no backup has been taken in this scenario",
    "wordpress: Last drill": "no drill has been run in this scenario",
    "wordpress: Backup age": "no backup has been taken in this scenario",
    "fleet: Oldest backup": "no backup has been taken in this scenario",
}


def test_every_query_of_every_panel_returns_data():
    def empty():
        names = [name for name, _expression in panels()]
        results = queries(*(expression for _name, expression in panels()))
        return {name for name, result in zip(names, results, strict=True) if not result}

    wait("every panel has data", 60, lambda: empty() <= set(MAY_BE_EMPTY), pause=5)


def test_report_shows_every_panel(tmp_path):
    """The page for where no Grafana runs: every panel has its title there, and every one that has data has a chart."""
    page = tmp_path / "fleet.html"
    docs.run("report", REPORT=str(page), ANSIBLE_INVENTORY=INVENTORIES)
    text = html.unescape(page.read_text(encoding="utf-8"))
    for name, _expression in panels():
        assert name.split(": ", 1)[1] in text, name
    assert text.count("<svg") > 10


# Series that rules ask for and that are not there on a sound fleet, and why.
MAY_BE_MISSING = {
    "dockpress_backup_last_success_timestamp_seconds": "no backup has been taken in this scenario",
    "dockpress_drill_last_success_timestamp_seconds": "no drill has been run in this scenario",
    "site:backup_age:seconds": "no backup has been taken in this scenario",
    "site:drill_age:seconds": "no drill has been run in this scenario",
}


def test_every_selector_of_every_rule_matches():
    words = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(\{[^}]*\})?(?=[\s)\[]|$)")
    language = {
        "by",
        "on",
        "and",
        "or",
        "unless",
        "group_left",
        "bool",
        "sum",
        "avg",
        "min",
        "max",
        "time",
        "vector",
        "ignoring",
        "without",
    }
    selectors = set()
    for _name, expression in rules():
        bare = re.sub(r"\b(by|on|group_left|without|ignoring)\s*\([^)]*\)", " ", expression)
        selectors |= {
            (name, labels)
            for name, labels in words.findall(bare)
            if name not in language and not re.fullmatch(r"[smhd]", name)
        }
    selectors = sorted((name, labels) for name, labels in selectors if name not in MAY_BE_MISSING)
    assert len(selectors) > 40
    results = queries(*(name + labels for name, labels in selectors))
    missing = [name + labels for (name, labels), result in zip(selectors, results, strict=True) if not result]
    assert missing == []


def test_alerts_are_quiet_on_a_sound_fleet():
    firing = query('ALERTS{alertstate="firing",alertname!="Watchdog"}')
    assert firing == []
    wait("the dead-man's switch hears of the fleet", 30, lambda: received("watchdog"))


def test_only_grafana_answers_from_outside():
    """From another machine of the public network: the control machine stands in it."""
    web1 = f"{SUBNET}.1.11"
    asked = {
        port: subprocess.Popen(
            ["curl", "-sS", "-m", "4", "-k", f"https://{web1}:{port}/"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for port in (8080, 9090, 9091, 9093, 9100, 9104, 9113, 9115, 9443)
    }
    for port, process in asked.items():
        text = process.communicate()[0]
        # Refused, or no answer at all.
        assert process.returncode in (7, 28), f"{port}: {text}"
    address = f"http://{web1}:{PORT_BASE + 9}"
    health = subprocess.run(
        ["curl", "-sS", "-m", "5", f"{address}/api/health"], capture_output=True, text=True, check=True
    ).stdout
    assert json.loads(health)["placeholder"] == "this is not Grafana"


# Opens a metrics port with the certificate in a folder, or with none, and prints the status and the page.
OPEN = """
import ssl, sys, urllib.error, urllib.request
url, authority, folder = sys.argv[1:]
context = ssl.create_default_context(cafile=authority)
if folder:
    context.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
try:
    with urllib.request.urlopen(url, context=context, timeout=10) as answer:
        print(answer.status, answer.read().decode())
except urllib.error.HTTPError as error:
    print(error.code)
"""


def test_metrics_port_wants_the_fleets_certificate():
    def opened(folder: str) -> str:
        authority = "/var/lib/dockpress/metrics-authority/ca.crt"
        return on("web1", "python3", "-c", OPEN, f"https://{SUBNET}.2.12:9443/node", authority, folder)

    assert opened("").startswith("400")
    # A host's own certificate is of the same authority, but for servers.
    assert opened("/var/lib/dockpress/host-metrics/tls").startswith("400")
    assert "node_load1 " in opened("/var/lib/dockpress/monitoring/tls")


def test_grafana_can_read_its_provisioning():
    """The placeholder runs as Grafana's user (472) and lists the files that it could open."""
    page = subprocess.run(
        ["curl", "-sS", f"http://{SUBNET}.1.11:{PORT_BASE + 9}/readable"], capture_output=True, text=True, check=True
    ).stdout
    assert set(page.split()) == {
        "/etc/grafana/provisioning/datasources/prometheus.yml",
        "/etc/grafana/provisioning/dashboards/dockpress.yml",
        *(f"/etc/grafana/dashboards/{path.name}" for path in DASHBOARDS),
    }
    source = yaml.safe_load(
        on("web1", "cat", "/srv/dockpress/monitoring/config/grafana/provisioning/datasources/prometheus.yml")
    )
    assert source["datasources"][0]["uid"] == "dockpress-prometheus"
    inspected = json.loads(on("web1", "docker", "inspect", "monitoring-grafana-1"))[0]
    assert not [each for each in inspected["Config"]["Env"] if each.startswith("GF_SECURITY_ADMIN_PASSWORD=")]
    assert set(inspected["NetworkSettings"]["Networks"]) == {"monitoring_front", "monitoring_back"}


def test_remote_write_reaches_another_prometheus():
    def there():
        text = on(
            "web1",
            "docker",
            "exec",
            "test-remote",
            "promtool",
            "query",
            "instant",
            "http://127.0.0.1:9090",
            'up{job="node"}',
        )
        return 'host="web1"' in text and 'host="web2"' in text

    wait("samples arrive", 40, there)


def test_exporters_see_no_data():
    grants = on(
        "web1", "docker", "exec", "one-sandbox-test-database-1", "sh", "-c",
        'MYSQL_PWD=$(cat /run/secrets/db_root_password) mariadb -uroot -N -e "SHOW GRANTS FOR dockpress_exporter"',
    )  # fmt: skip
    assert "SELECT" not in grants
    assert "PROCESS" in grants


def play(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        ["ansible-playbook", "playbooks/monitoring.yml", "-i", "molecule/shared/inventory", "-i", "molecule/monitoring/inventory", *arguments],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_promtool_of_the_image_tests_the_rules(tmp_path):
    """The cases of tests/unit with the promtool that the server runs."""
    image = on("web1", "docker", "inspect", "--format", "{{.Config.Image}}", "monitoring-prometheus-1").strip()
    outer = subprocess.run(
        ["docker", "images", "--format", "{{.Repository}}:{{.Tag}}", "dockpress/prometheus"],
        capture_output=True,
        text=True,
        check=True,
    )
    binary = tmp_path / "promtool"
    made = subprocess.run(
        ["docker", "create", outer.stdout.split()[0]], capture_output=True, text=True, check=True
    ).stdout.strip()
    try:
        subprocess.run(["docker", "cp", f"{made}:/usr/bin/promtool", str(binary)], check=True, capture_output=True)
    finally:
        subprocess.run(["docker", "rm", "--volumes", made], check=True, capture_output=True)
    done = subprocess.run(
        ["pytest", "-q", "-p", "no:cacheprovider", "tests/unit/roles/monitoring"],
        cwd=ROOT, env=os.environ | {"PROMTOOL": str(binary)}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert "skipped" not in done.stdout, f"{image}: {done.stdout}"


def test_changed_rules_are_reloaded_without_a_restart_and_bad_ones_refused(tmp_path):
    started = query("process_start_time_seconds{job='prometheus'}")[0]["value"][1]
    good = tmp_path / "own.yml"
    good.write_text("groups: [{name: own, rules: [{record: 'own:one', expr: vector(1)}]}]\n", encoding="utf-8")
    bad = tmp_path / "bad.yml"
    bad.write_text("groups: [{name: bad, rules: [{record: 'own:bad', expr: 'sum('}]}]\n", encoding="utf-8")

    before = on(
        "web1",
        "find",
        "/srv/dockpress/monitoring/config",
        "-type",
        "f",
        "-newermt",
        "@0",
        "-exec",
        "sha256sum",
        "{}",
        "+",
    )
    refused = play("--limit", "web1", "-e", json.dumps({"monitoring_rule_files": [str(bad)]}))
    assert refused.returncode != 0
    assert "Prometheus would not take its new configuration" in refused.stdout
    refused = play("--limit", "web1", "-e", json.dumps({"monitoring_default_receiver": "nobody-knows"}))
    assert refused.returncode != 0
    assert "monitoring_default_receiver is nobody-knows" in refused.stdout
    refused = play("--limit", "web1", "-e", json.dumps({"monitoring_retention_size": "900TB"}))
    assert refused.returncode != 0
    assert "more than 85 %" in refused.stdout
    assert before == on(
        "web1",
        "find",
        "/srv/dockpress/monitoring/config",
        "-type",
        "f",
        "-newermt",
        "@0",
        "-exec",
        "sha256sum",
        "{}",
        "+",
    )

    done = play("--limit", "web1", "-e", json.dumps({"monitoring_rule_files": [str(good)]}))
    assert done.returncode == 0, done.stdout
    wait("the new rule is in force", 20, lambda: query("own:one"))
    assert query("process_start_time_seconds{job='prometheus'}")[0]["value"][1] == started


def test_history_survives_a_kill():
    first = query("min_over_time(timestamp(up{job='prometheus'})[1h:2s])")[0]["value"][1]
    pid = on("web1", "docker", "inspect", "--format", "{{.State.Pid}}", "monitoring-prometheus-1").strip()
    on("web1", "kill", "-9", pid)
    wait(
        "Prometheus is back",
        40,
        lambda: (
            ask("prometheus", 9090, "/-/ready?")[0]
            and on("web1", "docker", "inspect", "--format", "{{.State.Pid}}", "monitoring-prometheus-1").strip()
            not in ("0", pid)
        ),
    )
    wait(
        "it answers",
        40,
        lambda: ask("prometheus", 9090, "/api/v1/query?query=up")[0]["status"] == "success" and query("up"),
    )
    again = query("min_over_time(timestamp(up{job='prometheus'})[1h:2s])")[0]["value"][1]
    assert abs(float(again) - float(first)) < 5


@pytest.fixture(scope="module")
def faults():
    """Four faults at once: a stopped database, a container that dies again and again, a full volume, a host cut off."""
    wait("every target is up", 60, lambda: all(each["value"][1] == "1" for each in query("up")))
    wait("nothing fires", 120, lambda: not query('ALERTS{alertstate="firing",alertname!="Watchdog"}'))
    since = len(received("webhook"))
    on(
        "web1",
        "sh",
        "-c",
        "mkdir -p /srv/small && mount -t tmpfs -o size=8m tmpfs /srv/small && head -c 7900000 /dev/zero >/srv/small/full",
    )
    on("web1", "docker", "stop", "--time", "5", "one-sandbox-test-database-1")
    subprocess.run(["docker", "pause", f"{NAME}-web2"], check=True, capture_output=True)
    try:
        deadline = time.monotonic() + 45
        kills = 0
        while time.monotonic() < deadline and kills < 4:
            pid = on("web1", "docker", "inspect", "--format", "{{.State.Pid}}", "one-sandbox-test-cron-1").strip()
            if pid != "0":
                on("web1", "kill", "-9", pid, check=False)
                kills += 1
            time.sleep(6)
        expected = {
            ("DatabaseDown", "web1"),
            ("ContainerCrashLoop", "web1"),
            ("HostDiskFull", "web1"),
            ("HostDown", "web2"),
        }

        def told():
            alerts = {
                (alert["labels"]["alertname"], alert["labels"]["host"])
                for message in received("webhook")[since:]
                for alert in message["alerts"]
                if alert["status"] == "firing"
            }
            return alerts if alerts >= expected else None

        wait("all four alerts are told", 60, told)
        # Long enough for whatever else would have come: its duration, the group's wait, a look at the rules.
        time.sleep(25)
        yield {
            "told": told(),
            "expected": expected,
            "mails": received("mail"),
            "slack": received("slack"),
            "since": since,
        }
    finally:
        subprocess.run(["docker", "unpause", f"{NAME}-web2"], check=False, capture_output=True)
        on("web1", "docker", "start", "one-sandbox-test-database-1", check=False)
        on("web1", "umount", "/srv/small", check=False)


def test_the_right_alerts_and_no_others(faults):
    assert faults["told"] == faults["expected"]


def test_mail_says_where_and_what_to_do(faults):
    mail = next(mail for mail in faults["mails"] if "DatabaseDown" in mail["subject"])
    assert mail["to"] == ["ops@sandbox.test"]
    assert "site one.sandbox.test" in mail["subject"]
    assert "Host:      web1" in mail["text"]
    assert "What to do: Look at the database's log" in mail["text"]
    assert "/DatabaseDown.md" in mail["text"]
    assert "error" not in mail["text"].lower()
    assert any("DatabaseDown" in json.dumps(message) for message in faults["slack"])


def test_everything_resolves_after_repair(faults):
    subprocess.run(["docker", "unpause", f"{NAME}-web2"], check=True, capture_output=True)
    on("web1", "docker", "start", "one-sandbox-test-database-1")
    on("web1", "umount", "/srv/small")

    def resolved():
        alerts = {
            (alert["labels"]["alertname"], alert["labels"]["host"])
            for message in received("webhook")[faults["since"] :]
            for alert in message["alerts"]
            if alert["status"] == "resolved"
        }
        return alerts >= faults["expected"]

    wait("all four alerts resolve", 200, resolved)
    wait("nothing fires", 60, lambda: not query('ALERTS{alertstate="firing",alertname!="Watchdog"}'))
