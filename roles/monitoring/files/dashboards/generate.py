"""Writes the dashboards' JSON next to this file, or with --check says which of them is not up to date.

The JSON is classic v1 (what Grafana's file provisioning takes), with fixed uids, and with the fixed uid of the data source.
playbooks/report.yml draws the same panels from the same JSON where no Grafana runs.
"""

from __future__ import annotations

import json
import pathlib
import sys

from grafana_foundation_sdk.builders import common as options
from grafana_foundation_sdk.builders import dashboard, prometheus, stat, table, timeseries
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.models import common
from grafana_foundation_sdk.models import dashboard as models

HERE = pathlib.Path(__file__).resolve().parent
DATA_SOURCE = models.DataSourceRef(type_val="prometheus", uid="dockpress-prometheus")
# The newest classic schema that the pinned grafana-foundation-sdk knows; Grafana migrates older ones by itself.
SCHEMA = 41
ON_HOST = 'host=~"$host"'
ON_SITE = 'host=~"$host",site=~"$site"'


def target(expr: str, legend: str, *, instant: bool = False, as_table: bool = False) -> prometheus.Dataquery:
    """One query. Its letter is given when the panel is made."""
    query = prometheus.Dataquery().expr(expr).legend_format(legend).datasource(DATA_SOURCE)
    if instant or as_table:
        query = query.instant()
    return query.format("table" if as_table else "time_series")


def fill(panel, title: str, targets: list, *, description: str, width: int, height: int, unit: str):
    if description:
        panel = panel.description(description)
    panel = panel.title(title).datasource(DATA_SOURCE).span(width).height(height).unit(unit)
    for letter, query in zip("ABCDEFGH", targets, strict=False):
        panel = panel.with_target(query.ref_id(letter))
    return panel


def chart(title: str, unit: str, *targets, description: str = "", width: int = 12, stacked: bool = False):
    """Lines over time. ``unit`` is one of Grafana's units; zero is always shown."""
    panel = (
        timeseries.Panel()
        .min(0)
        .line_width(1)
        .fill_opacity(20 if stacked else 5)
        .show_points(common.VisibilityMode.NEVER)
    )
    if stacked:
        panel = panel.stacking(options.StackingConfig().mode(common.StackingMode.NORMAL).group("A"))
    return fill(panel, title, list(targets), description=description, width=width, height=8, unit=unit)


def words(good: str, bad: str) -> list:
    """Value mappings of what is 1 when all is well and 0 otherwise."""
    said = {
        "1": models.ValueMappingResult(text=good, color="green"),
        "0": models.ValueMappingResult(text=bad, color="red"),
    }
    return [models.ValueMap(options=said)]


def number(
    title: str,
    unit: str,
    query,
    *,
    mappings: list | None = None,
    bad_above: float | None = None,
    bad_below: float | None = None,
    description: str = "",
):
    """One big figure, red beyond its bound."""
    steps = [models.Threshold(value=None, color="green")]
    if bad_above is not None:
        steps.append(models.Threshold(value=bad_above, color="red"))
    if bad_below is not None:
        steps = [models.Threshold(value=None, color="red"), models.Threshold(value=bad_below, color="green")]
    thresholds = dashboard.ThresholdsConfig().mode(models.ThresholdsMode.ABSOLUTE).steps(steps)
    panel = stat.Panel().thresholds(thresholds).mappings(mappings or [])
    return fill(panel, title, [query], description=description, width=4, height=4, unit=unit)


def rows(title: str, unit: str, query, *, mappings: list | None = None, description: str = "", width: int = 24):
    """A table with a line a series."""
    return fill(
        table.Panel().mappings(mappings or []),
        title,
        [query],
        description=description,
        width=width,
        height=8,
        unit=unit,
    )


def variable(name: str, label: str, query: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .query(query)
        .datasource(DATA_SOURCE)
        .refresh(models.VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(models.VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .all_value(".*")
        .current(models.VariableOption(selected=True, text="All", value="$__all"))
    )


def board(uid: str, title: str, variables: list, panels: list) -> dict:
    builder = (
        dashboard.Dashboard(title)
        .uid(uid)
        .tags(["dockpress"])
        .readonly()
        .refresh("30s")
        .time("now-3h", "now")
        .timezone("browser")
        .tooltip(models.DashboardCursorSync.CROSSHAIR)
        .link(
            dashboard.DashboardLink("Dashboards")
            .type(models.DashboardLinkType.DASHBOARDS)
            .url("")
            .tags(["dockpress"])
            .as_dropdown(True)
        )
    )
    for each in variables:
        builder = builder.with_variable(each)
    for each in panels:
        builder = builder.with_panel(each) if not isinstance(each, str) else builder.with_row(dashboard.Row(each))
    content = json.loads(json.dumps(builder.build(), cls=JSONEncoder))
    for position, panel in enumerate(content["panels"], 1):
        panel["id"] = position
        # Releases of the SDK differ in what they write out though nobody has set it.
        for key in ("options", "transformations"):
            if not panel.get(key):
                panel.pop(key, None)
        if not panel["fieldConfig"]["defaults"].get("mappings"):
            panel["fieldConfig"]["defaults"].pop("mappings", None)
    for each in content["templating"]["list"]:
        for key in ("id", "allowCustomValue", "hide"):
            each.pop(key, None)
    content.pop("style", None)
    return {**content, "id": None, "schemaVersion": SCHEMA}


HOST = variable("host", "Host", 'label_values(up{job="node"}, host)')
SITE = variable("site", "Site", 'label_values(dockpress:site_expected{host=~"$host"}, site)')


def docker_monitoring() -> dict:
    stack = variable("stack", "Stack", 'label_values(container_last_seen{host=~"$host"}, stack)')
    named = f'{ON_HOST},stack=~"$stack",name!=""'
    by_name = "sum by (host, name)"
    return board(
        "dockpress-docker",
        "Docker Monitoring",
        [HOST, stack],
        [
            number("Hosts", "short", target(f'sum(up{{job="node",{ON_HOST}}})', "hosts")),
            number("Containers", "short", target(f"count(container_last_seen{{{named}}})", "containers")),
            number(
                "Missing",
                "short",
                target(
                    f'count(dockpress:container_expected{{{ON_HOST},stack=~"$stack"}} unless on (host, stack, service) '
                    f"container_last_seen{{{named}}}) or vector(0)",
                    "missing",
                ),
                bad_above=1,
                description="Services of the inventory without a running container.",
            ),
            number(
                "Unhealthy",
                "short",
                target(f"count(container_health_state{{{named}}} == 0) or vector(0)", "unhealthy"),
                bad_above=1,
            ),
            number("CPU", "percentunit", target(f"avg(host:cpu_busy:ratio{{{ON_HOST}}})", "busy"), bad_above=0.9),
            number(
                "Memory left",
                "percentunit",
                target(f"min(host:memory_available:ratio{{{ON_HOST}}})", "least"),
                bad_below=0.1,
            ),
            chart(
                "CPU by container",
                "none",
                target(
                    f"{by_name} (rate(container_cpu_usage_seconds_total{{{named}}}[$__rate_interval]))",
                    "{{host}} {{name}}",
                ),
                description="Cores in use.",
                stacked=True,
            ),
            chart(
                "Memory by container",
                "bytes",
                target(f"{by_name} (container_memory_working_set_bytes{{{named}}})", "{{host}} {{name}}"),
                description="Working set: what the memory limit counts.",
                stacked=True,
            ),
            chart(
                "Memory against the limit",
                "percentunit",
                target(f'container:memory_limit:ratio{{{ON_HOST},stack=~"$stack"}}', "{{host}} {{name}}"),
                description="Only containers with a limit.",
            ),
            chart(
                "Restarts",
                "short",
                target(f'container:restarts:changes{{{ON_HOST},stack=~"$stack"}}', "{{host}} {{name}}"),
                description="Restarts of one and the same container in the window of the alert ContainerCrashLoop.",
            ),
            chart(
                "Network received by container",
                "Bps",
                target(
                    f"{by_name} (rate(container_network_receive_bytes_total{{{named}}}[$__rate_interval]))",
                    "{{host}} {{name}}",
                ),
            ),
            chart(
                "Network sent by container",
                "Bps",
                target(
                    f"{by_name} (rate(container_network_transmit_bytes_total{{{named}}}[$__rate_interval]))",
                    "{{host}} {{name}}",
                ),
            ),
            chart(
                "Disk used by host",
                "percentunit",
                target(f"1 - host:filesystem_free:ratio{{{ON_HOST}}}", "{{host}} {{mountpoint}}"),
            ),
            chart(
                "Disk traffic by host",
                "Bps",
                target(
                    f"sum by (host) (rate(node_disk_read_bytes_total{{{ON_HOST}}}[$__rate_interval]))", "{{host}} read"
                ),
                target(
                    f"sum by (host) (rate(node_disk_written_bytes_total{{{ON_HOST}}}[$__rate_interval]))",
                    "{{host}} written",
                ),
                description="Docker cannot tell it by container on every kernel, so it is shown by host.",
            ),
            rows(
                "Running for",
                "s",
                target(
                    f"time() - max by (host, stack, service, name) (container_start_time_seconds{{{named}}})",
                    "",
                    as_table=True,
                ),
            ),
        ],
    )


def fleet() -> dict:
    return board(
        "dockpress-fleet",
        "Fleet",
        [HOST],
        [
            number(
                "Hosts down",
                "short",
                target(f'count(up{{job="node",{ON_HOST}}} == 0) or vector(0)', "down"),
                bad_above=1,
            ),
            number(
                "Sites down",
                "short",
                target(f'count(probe_success{{job="site",{ON_HOST}}} == 0) or vector(0)', "down"),
                bad_above=1,
            ),
            number("Sites", "short", target(f"count(dockpress:site_expected{{{ON_HOST}}})", "sites")),
            number(
                "Alerts",
                "short",
                target('count(ALERTS{alertstate="firing",severity=~"critical|warning"}) or vector(0)', "firing"),
                bad_above=1,
            ),
            number("Targets down", "short", target(f"count(up{{{ON_HOST}}} == 0) or vector(0)", "down"), bad_above=1),
            number(
                "Oldest backup", "s", target(f"max(site:backup_age:seconds{{{ON_HOST}}})", "oldest"), bad_above=129600
            ),
            chart("CPU busy", "percentunit", target(f"host:cpu_busy:ratio{{{ON_HOST}}}", "{{host}}")),
            chart("Memory available", "percentunit", target(f"host:memory_available:ratio{{{ON_HOST}}}", "{{host}}")),
            chart(
                "Load", "none", target(f"node_load5{{{ON_HOST}}}", "{{host}}"), description="Five-minute load average."
            ),
            chart(
                "Disk free",
                "percentunit",
                target(f"host:filesystem_free:ratio{{{ON_HOST}}}", "{{host}} {{mountpoint}}"),
            ),
            chart(
                "Inodes free", "percentunit", target(f"host:inodes_free:ratio{{{ON_HOST}}}", "{{host}} {{mountpoint}}")
            ),
            chart(
                "Network",
                "Bps",
                target(
                    f'sum by (host) (rate(host_network_receive_bytes_total{{{ON_HOST},interface!~"lo|veth.*|br-.*|docker.*"}}[$__rate_interval]))',
                    "{{host}} received",
                ),
                target(
                    f'sum by (host) (rate(host_network_transmit_bytes_total{{{ON_HOST},interface!~"lo|veth.*|br-.*|docker.*"}}[$__rate_interval]))',
                    "{{host}} sent",
                ),
            ),
            chart("Probe latency by site", "s", target(f'probe_duration_seconds{{job="site",{ON_HOST}}}', "{{site}}")),
            chart(
                "Requests by site",
                "reqps",
                target(f"sum by (site) (rate(nginx_http_requests_total{{{ON_HOST}}}[$__rate_interval]))", "{{site}}"),
                stacked=True,
            ),
            rows(
                "Sites",
                "none",
                target(f'max by (host, env, site) (probe_success{{job="site",{ON_HOST}}})', "", as_table=True),
                mappings=words("answers", "down"),
                width=12,
            ),
            rows(
                "Targets",
                "none",
                target(f"min by (host, job, site) (up{{{ON_HOST}}})", "", as_table=True),
                mappings=words("up", "down"),
                width=12,
            ),
        ],
    )


def wordpress_site() -> dict:
    return board(
        "dockpress-wordpress",
        "WordPress site",
        [HOST, SITE],
        [
            number(
                "Answers",
                "none",
                target(f'min(probe_success{{job="site",{ON_SITE}}})', "answers"),
                mappings=words("yes", "no"),
            ),
            number(
                "Availability",
                "percentunit",
                target(f'avg(avg_over_time(probe_success{{job="site",{ON_SITE}}}[$__range]))', "in the range shown"),
                bad_below=0.995,
            ),
            number(
                "Latency", "s", target(f'max(probe_duration_seconds{{job="site",{ON_SITE}}})', "slowest"), bad_above=2
            ),
            number("Newest backup", "s", target(f"max(site:backup_age:seconds{{{ON_SITE}}})", "age"), bad_above=129600),
            number("Last drill", "s", target(f"max(site:drill_age:seconds{{{ON_SITE}}})", "age"), bad_above=3024000),
            number(
                "Cron last ran",
                "s",
                target(f"max(site:cron_age:seconds{{{ON_SITE}}})", "ago"),
                bad_above=1800,
            ),
            chart(
                "Requests",
                "reqps",
                target(f"rate(nginx_http_requests_total{{{ON_SITE}}}[$__rate_interval])", "{{site}}"),
            ),
            chart(
                "Failed probes",
                "percentunit",
                target(f"site:probe_failed:ratio5m{{{ON_SITE}}}", "{{site}}"),
                description="In five minutes.",
            ),
            chart(
                "Probe latency",
                "s",
                target(
                    f'sum by (site, phase) (probe_http_duration_seconds{{job="site",{ON_SITE}}})', "{{site}} {{phase}}"
                ),
                description="By phase of the request, as the monitoring server sees it.",
                stacked=True,
            ),
            chart(
                "HTTP status",
                "none",
                target(f'probe_http_status_code{{job="site",{ON_SITE}}}', "{{site}}"),
                description="Of the probe; 0: no answer.",
            ),
            chart(
                "PHP-FPM processes",
                "short",
                target(f"phpfpm_active_processes{{{ON_SITE}}}", "{{site}} busy"),
                target(f"phpfpm_idle_processes{{{ON_SITE}}}", "{{site}} idle"),
            ),
            chart(
                "PHP-FPM queue",
                "short",
                target(f"phpfpm_listen_queue{{{ON_SITE}}}", "{{site}} waiting"),
                description="Requests that wait for a process.",
            ),
            chart(
                "Database queries",
                "reqps",
                target(f"rate(mysql_global_status_queries{{{ON_SITE}}}[$__rate_interval])", "{{site}}"),
                target(f"rate(mysql_global_status_slow_queries{{{ON_SITE}}}[$__rate_interval])", "{{site}} slow"),
            ),
            chart(
                "Database connections",
                "short",
                target(f"mysql_global_status_threads_connected{{{ON_SITE}}}", "{{site}} open"),
                target(f"mysql_global_status_threads_running{{{ON_SITE}}}", "{{site}} at work"),
            ),
            chart("Open web connections", "short", target(f"nginx_connections_active{{{ON_SITE}}}", "{{site}}")),
            chart("Backup age", "s", target(f"site:backup_age:seconds{{{ON_SITE}}}", "{{site}}")),
        ],
    )


def alerts() -> dict:
    firing = 'ALERTS{alertstate="firing",host=~"$host|"}'
    return board(
        "dockpress-alerts",
        "Alerts",
        [HOST],
        [
            number(
                "Critical",
                "short",
                target('count(ALERTS{alertstate="firing",severity="critical"}) or vector(0)', "firing"),
                bad_above=1,
            ),
            number(
                "Warnings",
                "short",
                target('count(ALERTS{alertstate="firing",severity="warning"}) or vector(0)', "firing"),
                bad_above=1,
            ),
            number("Pending", "short", target('count(ALERTS{alertstate="pending"}) or vector(0)', "pending")),
            number(
                "Watchdog",
                "short",
                target('count(ALERTS{alertname="Watchdog",alertstate="firing"}) or vector(0)', "fires"),
                mappings=words("fires", "silent"),
                description="Always fires; if it does not, alerting itself is broken.",
            ),
            number(
                "Alertmanagers",
                "short",
                target("min(prometheus_notifications_alertmanagers_discovered)", "known"),
                bad_below=1,
            ),
            number(
                "Configuration",
                "short",
                target("min(prometheus_config_last_reload_successful)", "loaded"),
                mappings=words("loaded", "refused"),
            ),
            rows(
                "Firing now",
                "none",
                target(f"max by (alertname, severity, host, site, stack, service) ({firing})", "", as_table=True),
            ),
            chart("Firing", "short", target(f"count by (alertname) ({firing})", "{{alertname}}"), stacked=True),
            chart(
                "Notifications",
                "short",
                target(
                    "sum by (integration) (increase(alertmanager_notifications_total[$__range]))",
                    "{{integration}} sent",
                ),
                target(
                    "sum by (integration) (increase(alertmanager_notifications_failed_total[$__range]))",
                    "{{integration}} failed",
                ),
            ),
            chart(
                "Samples stored",
                "short",
                target("rate(prometheus_tsdb_head_samples_appended_total[$__rate_interval])", "{{type}} a second"),
            ),
            chart("Series", "short", target("prometheus_tsdb_head_series", "in memory")),
        ],
    )


def main() -> int:
    stale = []
    for content in (docker_monitoring(), fleet(), wordpress_site(), alerts()):
        path = HERE / f"{content['uid'].removeprefix('dockpress-')}.json"
        text = json.dumps(content, indent=2, sort_keys=True) + "\n"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            stale.append(path.name)
            if "--check" not in sys.argv[1:]:
                path.write_text(text, encoding="utf-8")
    if "--check" in sys.argv[1:] and stale:
        print(
            f"not up to date: {', '.join(stale)}; run {pathlib.Path(__file__).relative_to(pathlib.Path.cwd())}",
            file=sys.stderr,
        )
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
