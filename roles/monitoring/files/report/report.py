"""Draws the dashboards as one HTML page with SVG charts, for machines without Grafana.

Calls: `report.py queries MINUTES DASHBOARD...` prints the queries of all panels as JSON;
`report.py page OUT DASHBOARD...` reads what query.py answered from standard input and writes the page.
"""

from __future__ import annotations

import datetime
import html
import io
import json
import pathlib
import re
import sys

POINTS = 240
STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:75rem;padding:0 1rem;color:#222}
h1,h2{font-weight:600}figure{margin:0}.grid{display:grid;grid-template-columns:repeat(24,1fr);gap:.75rem}
.grid>*{border:1px solid #ddd;border-radius:6px;padding:.6rem;overflow:auto}h3{font-size:.95rem;margin:0 0 .3rem}
.number{font-size:1.8rem}.note{color:#666;font-size:.8rem;margin:.2rem 0 0}svg{width:100%;height:auto}
table{border-collapse:collapse;font-size:.8rem;width:100%}td,th{text-align:left;padding:.15rem .5rem;border-bottom:1px solid #eee}
@media(max-width:50rem){.grid>*{grid-column:1/-1!important}}"""


def panels(paths: list[str]) -> list[tuple[dict, list[dict]]]:
    boards = [json.loads(pathlib.Path(path).read_text(encoding="utf-8")) for path in paths]
    return [(board, [panel for panel in board["panels"] if panel.get("targets")]) for board in boards]


def expression(target: dict, minutes: float) -> str:
    """A query with all hosts and sites, and Grafana's own variables filled in."""
    text = re.sub(r"\$(host|site|stack)\b", ".*", target["expr"])
    return text.replace("$__rate_interval", "2m").replace("$__range", f"{max(1, int(minutes))}m")


def human(value: float, unit: str) -> str:
    """A value with its unit; bytes and seconds in readable steps."""
    if unit == "percentunit":
        return f"{value * 100:.1f} %"
    if unit in ("bytes", "Bps"):
        step = next((step for step in range(4, 0, -1) if abs(value) >= 1024**step), 0)
        return f"{value / 1024**step:.3g} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][step]}{'/s' if unit == 'Bps' else ''}"
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.3g} s"
    return f"{value:.4g}" + ("/s" if unit == "reqps" else "")


def legend(target: dict, labels: dict) -> str:
    return (
        re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match.group(1), ""), target["legendFormat"]).strip()
        or "value"
    )


def lines(panel: dict, answers: list[dict]) -> list[tuple[str, list[tuple[datetime.datetime, float]]]]:
    result = []
    for target, answer in zip(panel["targets"], answers, strict=True):
        for series in answer["series"]:
            values = [
                (datetime.datetime.fromtimestamp(at, datetime.UTC), float(value)) for at, value in series["values"]
            ]
            result.append((legend(target, series["labels"]), values))
    return sorted(result, key=lambda line: line[0])


def chart(panel: dict, answers: list[dict], start: int, end: int) -> str:
    import matplotlib as mpl

    mpl.use("svg")
    from matplotlib import dates, pyplot, ticker

    defaults = panel["fieldConfig"]["defaults"]
    figure, axes = pyplot.subplots(figsize=(7.2, 2.7), layout="constrained")
    drawn = lines(panel, answers)
    for name, values in drawn:
        axes.plot(*zip(*values, strict=True), label=name[:48], linewidth=1)
    axes.set_xlim(
        datetime.datetime.fromtimestamp(start, datetime.UTC), datetime.datetime.fromtimestamp(end, datetime.UTC)
    )
    axes.set_ylim(bottom=0)
    axes.yaxis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _position: human(value, defaults.get("unit", "")))
    )
    axes.xaxis.set_major_locator(dates.AutoDateLocator(maxticks=6))
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(axes.xaxis.get_major_locator()))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    if drawn:
        axes.legend(fontsize=6, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), ncols=1 + len(drawn) // 17)
    sink = io.StringIO()
    figure.savefig(sink, format="svg", metadata={"Date": None})
    pyplot.close(figure)
    return sink.getvalue()[sink.getvalue().index("<svg") :]


def number(panel: dict, answers: list[dict]) -> str:
    unit = panel["fieldConfig"]["defaults"].get("unit", "")
    values = [series["values"][-1][1] for answer in answers for series in answer["series"]]
    return f'<div class="number">{html.escape(", ".join(human(float(value), unit) for value in values) or "no data")}</div>'


def rows(panel: dict, answers: list[dict], end: int) -> str:
    unit = panel["fieldConfig"]["defaults"].get("unit", "")
    # An instant query: only what is there at the end of the range.
    series = [each for answer in answers for each in answer["series"] if each["values"][-1][0] >= end - 120]
    names = sorted({name for each in series for name in each["labels"]} - {"__name__"})
    head = "".join(f"<th>{html.escape(name)}</th>" for name in [*names, "value"])
    lines_ = sorted(
        [*(each["labels"].get(name, "") for name in names), human(float(each["values"][-1][1]), unit)]
        for each in series
    )
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in line) + "</tr>" for line in lines_)
    return f"<table><tr>{head}</tr>{body}</table>" if series else "<p>nothing</p>"


def page(paths: list[str], answer: dict) -> str:
    remaining = iter(answer["answers"])
    span = [
        datetime.datetime.fromtimestamp(answer[key], datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
        for key in ("start", "end")
    ]
    parts = [f"<h1>Fleet report</h1><p>{span[0]} to {span[1]}</p>"]
    for board, found in panels(paths):
        parts.append(f"<h2>{html.escape(board['title'])}</h2><div class='grid'>")
        for panel in found:
            answers = [next(remaining) for _target in panel["targets"]]
            if panel["type"] == "stat":
                body = number(panel, answers)
            elif panel["type"] == "table":
                body = rows(panel, answers, answer["end"])
            else:
                body = chart(panel, answers, answer["start"], answer["end"])
            note = html.escape(panel.get("description") or "")
            errors = "".join(
                f'<p class="note">{html.escape(each["error"])}</p>' for each in answers if each.get("error")
            )
            parts.append(
                f"<figure style='grid-column:span {panel['gridPos']['w']}'><h3>{html.escape(panel['title'])}</h3>{body}"
                f"{f'<p class=note>{note}</p>' if note else ''}{errors}</figure>"
            )
        parts.append("</div>")
    return f"<!doctype html><html lang='en'><meta charset='utf-8'><title>Fleet report</title><style>{STYLE}</style>{''.join(parts)}</html>\n"


def main() -> int:
    task, first, *paths = sys.argv[1:]
    if task == "queries":
        found = [
            expression(target, float(first))
            for _board, each in panels(paths)
            for panel in each
            for target in panel["targets"]
        ]
        print(json.dumps({"queries": found, "minutes": float(first), "points": POINTS}))
        return 0
    pathlib.Path(first).write_text(page(paths, json.load(sys.stdin)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
