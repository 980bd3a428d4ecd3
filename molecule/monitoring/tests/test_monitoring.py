"""The running fleet: targets, queries, labels, faults and their alerts. The faults come last, because they cost time."""

from __future__ import annotations

import datetime
import functools
import html
import json
import os
import pathlib
import re
import subprocess
import time

import pytest
import yaml
from live import LONG, NAME, PATIENCE, ask, on, play, process, queries, query, received, started, wait

import docs

ROOT = pathlib.Path(__file__).resolve().parents[3]
INVENTORIES = f"{ROOT}/molecule/shared/inventory/,{ROOT}/molecule/monitoring/inventory/"
SUBNET = os.environ["SANDBOX_SUBNET"]
PORT_BASE = int(os.environ["SANDBOX_PORT_BASE"])
SITES = {"one.sandbox.test": "web1", "two.sandbox.test": "web2"}
DASHBOARDS = sorted((ROOT / "roles" / "monitoring" / "files" / "dashboards").glob("*.json"))


@functools.cache
def panels() -> list[tuple[str, str]]:
    found = []
    for path in DASHBOARDS:
        for panel in json.loads(path.read_text(encoding="utf-8"))["panels"]:
            for target in panel["targets"]:
                expression = re.sub(r"\$(host|site|stack)\b", ".*", target["expr"])
                expression = expression.replace("$__rate_interval", "2m" if LONG else "1m").replace("$__range", "5m")
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
    image = on("web2", "docker", "inspect", "--format", "{{.Config.Image}}", "two-sandbox-test-web-1").strip()
    on(
        "web2", "docker", "run", "--detach", "--name", "test-secret", "--network", "none", "--entrypoint", "sleep",
        "--env", "API_PASSWORD=in-the-clear", "--label", "token=in-the-clear", image, "600",
    )  # fmt: skip
    try:
        wait("the new container is seen", 60, lambda: query('container_last_seen{name="test-secret"}'))
        series = query("container_last_seen")
        for host in SITES.values():
            running = set(on(host, "docker", "ps", "--format", "{{.Names}}").split())
            assert {each["metric"]["name"] for each in series if each["metric"]["host"] == host} == running
        labels = [each["metric"] for each in query('{job="cadvisor"}')]
        assert not {label for each in labels for label in each if label.startswith("container_")}
        assert "in-the-clear" not in json.dumps(labels)
    finally:
        on("web2", "docker", "rm", "--force", "test-secret")


@pytest.fixture(scope="module")
def backed_up():
    """One site has a backup that a drill has restored, and a job has ended well."""
    job = "/var/lib/dockpress/metrics/job-test.prom"
    on("web1", "sh", "-c", f"cat >{job} && chmod 0644 {job}", text='dockpress_job_success{job_name="test"} 1\n')
    play("playbooks/backup.yml", "playbooks/drill.yml", "--limit", "one.sandbox.test")
    yield
    on("web1", "rm", job)


@pytest.mark.usefixtures("backed_up")
def test_every_query_of_every_panel_returns_data():
    def empty():
        names = [name for name, _expression in panels()]
        results = queries(*(expression for _name, expression in panels()))
        return {name for name, result in zip(names, results, strict=True) if not result}

    wait("every panel has data", 60, lambda: not empty() or print(empty()), pause=5)


def test_ages_of_backup_drill_and_cron_belong_to_sites_of_the_inventory():
    """What a site that is no more has left on a host raises no alert and shows nowhere."""
    left = on("web1", "cat", "/var/lib/dockpress/metrics/backup-one.sandbox.test.prom").replace(
        "one.sandbox", "gone.sandbox"
    )
    on(
        "web1",
        "sh",
        "-c",
        "cat >/var/lib/dockpress/metrics/test.prom && chmod 0644 /var/lib/dockpress/metrics/test.prom",
        text=left,
    )
    try:
        ghost = 'dockpress_backup_last_success_timestamp_seconds{site="gone.sandbox.test"}'
        wait("the file is read", 20, lambda: query(ghost))
        for age in ("backup", "drill"):
            (found,) = query(f"site:{age}_age:seconds")
            assert (found["metric"]["site"], found["metric"]["host"]) == ("one.sandbox.test", "web1")
            assert 0 < float(found["value"][1]) < 1800
        assert {each["metric"]["site"]: each["metric"]["host"] for each in query("site:cron_age:seconds")} == SITES
    finally:
        on("web1", "rm", "/var/lib/dockpress/metrics/test.prom")


def test_what_the_demo_says_about_its_monitoring():
    """What ends `make demo`, on this fleet: where monitoring is, in words and for scripts, and a page of charts."""
    said = play("playbooks/sandbox_info.yml")
    folder = pathlib.Path(os.environ["SANDBOX_DIR"]).resolve()
    facts = json.loads((folder / "demo.json").read_text(encoding="utf-8"))["monitoring"]
    assert facts["docker_host"] == "web1"
    assert "<title>Fleet report</title>" in pathlib.Path(facts["report"]).read_text(encoding="utf-8")
    assert facts["grafana"] == f"http://localhost:{PORT_BASE + 9}"
    assert pathlib.Path(facts["grafana_password_file"]).exists()
    for address in (facts["report"], facts["grafana"]):
        assert address in said


def test_without_an_image_of_grafana_everything_else_comes_up():
    """Nothing is changed here: what the play says is what it would do."""
    image = "registry.sandbox.test:5000/grafana/grafana:none"
    said = play(
        "playbooks/monitoring.yml",
        "--limit",
        "web1",
        "--check",
        "-e",
        f"monitoring_grafana_image={image}",
    )
    assert f"Grafana is left out: {image} cannot be had on web1. Everything else comes up" in " ".join(said.split())


def test_report_shows_every_panel(tmp_path):
    """The page for where no Grafana runs: every panel has its title there, and every one that has data has a chart."""
    page = tmp_path / "fleet.html"
    docs.run("report", REPORT=str(page), ANSIBLE_INVENTORY=INVENTORIES)
    text = html.unescape(page.read_text(encoding="utf-8"))
    for name, _expression in panels():
        assert name.split(": ", 1)[1] in text, name
    assert text.count("<svg") > 10


@pytest.mark.usefixtures("backed_up")
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
        "abs",
        "timestamp",
    }
    selectors = set()
    for _name, expression in rules():
        bare = re.sub(r"\b(by|on|group_left|without|ignoring)\s*\([^)]*\)", " ", expression)
        selectors |= {
            (name, labels)
            for name, labels in words.findall(bare)
            if name not in language and not re.fullmatch(r"[smhd]", name)
        }
    selectors = sorted(selectors)
    assert len(selectors) > 40
    results = queries(*(name + labels for name, labels in selectors))
    missing = [name + labels for (name, labels), result in zip(selectors, results, strict=True) if not result]
    assert missing == []


def test_alerts_are_quiet_on_a_sound_fleet():
    firing = query('ALERTS{alertstate="firing",alertname!="Watchdog"}')
    assert firing == []
    wait("the dead-man's switch hears of the fleet", 30, lambda: received("watchdog"))


def test_cadvisor_gets_the_kernels_log_where_the_host_has_one():
    """A host of the sandbox has none; what comes with it is asked of the host, so that the test holds on a real one, too."""
    there = on(
        "web1", "sh", "-c", "test $(stat -L -c %t:%T /dev/kmsg) = 1:b && head -c 0 /dev/kmsg && echo yes", check=False
    )
    settings = json.loads(on("web1", "docker", "inspect", "host-metrics-cadvisor-1"))[0]["HostConfig"]
    devices = [(each["PathOnHost"], each["CgroupPermissions"]) for each in settings["Devices"] or []]
    capabilities = {each.removeprefix("CAP_") for each in settings["CapAdd"]}
    assert devices == ([("/dev/kmsg", "r")] if there else [])
    assert capabilities == {"DAC_READ_SEARCH"} | ({"SYSLOG"} if there else set())
    assert settings["CapDrop"] == ["ALL"] and settings["ReadonlyRootfs"]


def test_alerts_hold_back_those_of_the_same_cause_and_no_others():
    """Made-up alerts. They end before a message about them is due."""
    silenced = [
        {"alertname": "ContainerMemoryNearLimit", "stack": "one", "name": "a"},
        {"alertname": "HostOomKill"},
        {"alertname": "ContainerUnhealthy", "stack": "two", "name": "c"},
        {"alertname": "SiteDown", "site": "four.example"},
        {"alertname": "ContainerUnhealthy", "site": "four.example", "stack": "four", "name": "f"},
    ]
    told_of = [
        {"alertname": "ContainerOomKilled", "stack": "one", "name": "a"},
        {"alertname": "ContainerMemoryNearLimit", "stack": "one", "name": "b"},
        {"alertname": "ContainerCrashLoop", "stack": "two", "name": "c"},
        {"alertname": "ContainerUnhealthy", "stack": "three", "name": "d"},
        {"alertname": "ContainerCrashLoop", "name": "by-hand"},
        {"alertname": "ContainerUnhealthy", "name": "by-hand-too"},
        {"alertname": "ContainerMissing", "site": "four.example", "stack": "four", "service": "database"},
        {"alertname": "SiteDown", "site": "five.example"},
    ]
    end = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=5.5)
    alerts = [{"labels": each | {"host": "nowhere"}, "endsAt": end.isoformat()} for each in silenced + told_of]
    address = "http://127.0.0.1:9093/api/v2/alerts"
    command = (
        f"wget -q -O /dev/null --header 'Content-Type: application/json' --post-data '{json.dumps(alerts)}' {address}"
        f" && sleep 1 && wget -q -O - {address}"
    )
    answer = json.loads(on("web1", "docker", "exec", "monitoring-alertmanager-1", "sh", "-c", command))

    def texts(found: list[dict]) -> list[str]:
        return sorted(json.dumps({**labels, "host": "nowhere"}, sort_keys=True) for labels in found)

    mine = [each for each in answer if each["labels"].get("host") == "nowhere"]
    assert texts([each["labels"] for each in mine if each["status"]["inhibitedBy"]]) == texts(silenced)
    assert texts([each["labels"] for each in mine if not each["status"]["inhibitedBy"]]) == texts(told_of)


def test_only_grafana_answers_from_outside():
    """The control machine stands in the public and in the private network, as web2 does: neither is the server."""
    web1 = f"{SUBNET}.1.11"
    ports = (8080, 9090, 9091, 9093, 9100, 9104, 9113, 9115, 9443)
    asked = {
        (address, port): ["curl", "-sS", "-m", "4", "-k", f"https://{address}:{port}/"]
        for address in (web1, f"{SUBNET}.2.11")
        for port in ports
    }
    # web1, the server, reaches this port of web2: see the next test. No line of the inventory opens it.
    connect = f"timeout 4 bash -c '</dev/tcp/{SUBNET}.2.11/9443' || exit 28"
    asked["web2"] = ["docker", "exec", f"{NAME}-web2", "bash", "-c", connect]
    running = {
        key: subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        for key, command in asked.items()
    }
    for key, asking in running.items():
        text = asking.communicate()[0]
        # Refused, or no answer at all.
        assert asking.returncode in (7, 28), f"{key}: {text}"
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


def test_promtool_of_the_server_tests_the_rules(tmp_path):
    """The cases of tests/unit with the promtool that the server runs: here none of them is skipped."""
    binary = tmp_path / "promtool"
    with binary.open("wb") as sink:
        copy = [
            "docker",
            "exec",
            f"{NAME}-web1",
            "docker",
            "exec",
            "monitoring-prometheus-1",
            "cat",
            "/usr/bin/promtool",
        ]
        subprocess.run(copy, stdout=sink, check=True)
    binary.chmod(0o755)
    done = subprocess.run(
        ["pytest", "-q", "-p", "no:cacheprovider", "-k", "promtool", "tests/unit/roles/monitoring"],
        cwd=ROOT, env=os.environ | {"PROMTOOL": str(binary), "PY_COLORS": "0"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    assert re.search(r"^2 passed", done.stdout, re.MULTILINE), done.stdout
    assert "skipped" not in done.stdout, done.stdout


def configuration() -> str:
    """Checksums of all that the server reads."""
    return on("web1", "find", "/srv/dockpress/monitoring/config", "-type", "f", "-exec", "sha256sum", "{}", "+")


@pytest.fixture(scope="module")
def own_rules(tmp_path_factory):
    """A rule file that does not parse, and a good one."""
    folder = tmp_path_factory.mktemp("rules")
    (folder / "bad.yml").write_text(
        "groups: [{name: bad, rules: [{record: 'own:bad', expr: 'sum('}]}]\n", encoding="utf-8"
    )
    (folder / "good.yml").write_text(
        "groups: [{name: own, rules: [{record: 'own:one', expr: vector(1)}]}]\n", encoding="utf-8"
    )
    return folder


@pytest.mark.parametrize(
    ("variables", "words"),
    [
        ({"monitoring_rule_files": ["{rules}/bad.yml"]}, ["Prometheus would not take its new configuration"]),
        ({"monitoring_retention_size": "900TB"}, ["monitoring_retention_size is 900TB", "more than 85 %"]),
        (
            {
                "monitoring_default_receiver": "nobody-knows",
                "monitoring_alert_settings": {"site_down_after": "1m"},
                "monitoring_receivers": [{"name": "ops", "slack_configs": [{"api_url": "http://in.the.clear"}]}],
            },
            [
                "monitoring_default_receiver is nobody-knows",
                "monitoring_alert_settings has site_down_after",
                "monitoring_receivers[0].slack_configs[0].api_url is a secret in the clear",
            ],
        ),
    ],
)
def test_bad_input_is_refused_before_anything_changes(own_rules, variables, words):
    before = configuration()
    text = json.dumps(variables).replace("{rules}", str(own_rules))
    refused = play("playbooks/monitoring.yml", "--limit", "web1", "-e", text, good=False)
    assert [each for each in words if each not in refused] == [], refused
    assert configuration() == before


def test_changed_rules_are_reloaded_without_a_restart_and_a_changed_secret_arrives(own_rules):
    """Alertmanager, which uses the secret, is made anew; Prometheus does not even see it. The receiver takes either address."""
    started = query("process_start_time_seconds{job='prometheus'}")[0]["value"][1]
    read = ("docker", "exec", "monitoring-alertmanager-1", "cat", "/run/secrets/slack")
    address = f"http://{SUBNET}.2.11:8090/slack"
    assert on("web1", *read) == address
    changed = json.dumps(
        {"monitoring_rule_files": [str(own_rules / "good.yml")], "monitoring_secrets": {"slack": f"{address}/"}}
    )
    play("playbooks/monitoring.yml", "--limit", "web1", "-e", changed)
    wait("the new rule is in force", 20, lambda: query("own:one"))
    assert query("process_start_time_seconds{job='prometheus'}")[0]["value"][1] == started
    assert on("web1", *read) == f"{address}/"
    assert on("web1", "docker", "exec", "monitoring-prometheus-1", "ls", "/run").split().count("secrets") == 0


def test_a_database_that_refuses_the_exporters_user_fails_the_play_after_everything_else_is_up():
    def sql(user: str, text: str) -> None:
        client = f"MYSQL_PWD=$(cat /run/secrets/db_root_password) mariadb --user={user} --protocol=socket"
        on("web1", "docker", "exec", "-i", "one-sandbox-test-database-1", "sh", "-c", client, text=text)

    names = "'{0}'@'localhost' TO '{1}'@'localhost', '{2}'@'%' TO '{3}'@'%'"
    sql("root", "RENAME USER " + names.format("root", "away", "dockpress_exporter", "exporter_away"))
    try:
        said = play("playbooks/monitoring.yml", "--limit", "web1", good=False)
    finally:
        sql("away", "RENAME USER " + names.format("away", "root", "exporter_away", "dockpress_exporter"))
    assert "one.sandbox.test: no account for the mysqld exporter could be made" in said
    assert "wordpress_db_root_password is not the password" in said
    # web1 is the server as well: the rule of the test before is gone from it.
    wait("the server has its own rules again", 20, lambda: "own:one" not in dict(rules()))
    # The password that the exporter had is still the one that it takes.
    wait("the database is measured again", 40, lambda: query('mysql_up{site="one.sandbox.test"} == 1'))


def firing() -> dict[str, list]:
    """What fires, as Prometheus has it, as Alertmanager has it, and as it was told.

    What was told and not taken back is not told anew. It is taken back late when it ends within seconds of a reload: Prometheus
    then knows no Alertmanager for a moment, and says it again after a minute.
    """
    held = [alert["labels"] for alert in ask("alertmanager", 9093, "/api/v2/alerts")[0]]
    last = {}
    for message in received("webhook"):
        for alert in message["alerts"]:
            last[json.dumps(alert["labels"], sort_keys=True)] = alert["status"]
    return {
        "Prometheus": [each["metric"] for each in query('ALERTS{alertstate="firing",alertname!="Watchdog"}')],
        "Alertmanager": [labels for labels in held if labels["alertname"] != "Watchdog"],
        "told": [labels for labels, status in last.items() if status == "firing"],
    }


def wait_for_quiet(seconds: float = 120):
    wait("every target is up", 60, lambda: all(each["value"][1] == "1" for each in query("up")))
    wait("nothing fires", seconds, lambda: not any(firing().values()), seen=firing)


def test_history_survives_a_kill():
    # What fires when it is killed would seem to fire for five minutes more.
    wait_for_quiet()
    first = "min_over_time(timestamp(up{job='prometheus'})[1h:2s])"
    before = query(first)[0]["value"][1]
    killed = process("monitoring-prometheus-1")
    on("web1", "kill", "-9", str(killed))

    def back():
        answer = ask("prometheus", 9090, "/api/v1/query?query=up")[0]
        return answer["data"]["result"] and process("monitoring-prometheus-1") not in (0, killed)

    wait("Prometheus is back", 120, back)
    # What it has not seen since its start it does not miss until the last sample is five minutes old.
    seen = f"timestamp(up) < {time.time()}"
    wait("everything is scraped anew", 60, lambda: not query(seen))
    assert abs(float(query(first)[0]["value"][1]) - float(before)) < 5


def told(kind: str, since: int, status: str = "firing") -> list[dict]:
    """Labels of the alerts that have been sent since then."""
    messages = received(kind)[since:]
    return [alert["labels"] for message in messages for alert in message["alerts"] if alert["status"] == status]


def test_a_container_that_is_gone_is_told_and_one_made_anew_is_not():
    wait_for_quiet()
    since = len(received("webhook"))
    folder = "/srv/dockpress/one-sandbox-test"
    on(
        "web1",
        "docker",
        "compose",
        "--project-directory",
        folder,
        "up",
        "--detach",
        "--no-deps",
        "--force-recreate",
        "cron",
    )
    on("web2", "docker", "stop", "two-sandbox-test-cron-1")
    try:
        wait("the missing container is told", 120, lambda: told("webhook", since))
        assert {
            tuple(each.get(name) for name in ("alertname", "host", "site", "service"))
            for each in told("webhook", since)
        } == {("ContainerMissing", "web2", "two.sandbox.test", "cron")}
    finally:
        on("web2", "docker", "start", "two-sandbox-test-cron-1")
    wait("it resolves", 120, lambda: told("webhook", since, "resolved"))


@pytest.fixture(scope="module")
def faults():
    """Four faults at once: a stopped database, a container that dies again and again, a full volume, a host cut off."""
    wait_for_quiet()
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
        # A death that comes before the one before it was seen by cAdvisor and by a scrape counts for nothing.
        for _death in range(5 if LONG else 4):
            before = wait("the container runs and is seen", 60, lambda: started("one-sandbox-test-cron-1"))
            on("web1", "kill", "-9", str(process("one-sandbox-test-cron-1")))
            wait("its new start is seen", 60, lambda old=before: started("one-sandbox-test-cron-1") not in (None, old))
        expected = {
            ("DatabaseDown", "web1"),
            ("ContainerCrashLoop", "web1"),
            ("HostDiskFull", "web1"),
            ("HostDown", "web2"),
        }

        def alerts():
            return {(labels["alertname"], labels["host"]) for labels in told("webhook", since)}

        wait("all four alerts are told", 60, lambda: alerts() >= expected, seen=lambda: f"{alerts()}, {firing()}")
        # Long enough for whatever else would have come: its duration, the group's wait, a look at the rules.
        time.sleep(25 * PATIENCE)
        yield {
            "told": alerts(),
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
        since = faults["since"]
        return {(each["alertname"], each["host"]) for each in told("webhook", since, "resolved")} >= faults["expected"]

    wait("all four alerts resolve", 200, resolved)
    wait_for_quiet(60)
