"""Draws the dashboards as one HTML page with SVG charts, for machines without Grafana.

Calls: `report.py queries MINUTES DASHBOARD...` prints the queries of all panels as JSON;
`report.py page OUT DASHBOARD...` reads what query.py answered from standard input and writes the page.
"""

from __future__ import annotations

import datetime
import html
import io
import json
import math
import os
import pathlib
import re
import sys

POINTS = 240
# Told apart by people who do not see all colours; repeated where there are more lines.
COLOURS = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#7a6fc4", "#8c8c8c", "#b2df8a", "#a6761d"]
STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:0 auto;max-width:90rem;padding:1.2rem;color:#1f2530;background:#f4f5f7}
h1{font-size:1.5rem;margin:0}h2{font-size:1.15rem;margin:2rem 0 .6rem}h3{font-size:.85rem;font-weight:600;margin:0 0 .35rem}
header p{color:#5a6270;margin:.2rem 0 .8rem}nav a{display:inline-block;margin:0 1rem .3rem 0;color:#0065a3}
.grid{display:grid;grid-template-columns:repeat(24,1fr);gap:.7rem}
figure{margin:0;background:#fff;border:1px solid #dfe2e7;border-radius:6px;padding:.65rem .75rem;min-width:0;overflow:hidden}
.number{font-size:1.7rem;font-weight:600;line-height:1.2}.green{color:#1a7f37}.red{color:#c62828}.note{color:#5a6270;font-size:.78rem;margin:.3rem 0 0}
svg{display:block;width:100%;height:auto}
.drawing{overflow:auto;background:#fff;border:1px solid #dfe2e7}.drawing svg{width:auto}
.legend,.table{max-height:11rem;overflow:auto}
.legend{list-style:none;margin:.3rem 0 0;padding:0;font-size:.76rem;display:grid;grid-template-columns:repeat(auto-fill,minmax(17rem,1fr));gap:0 1rem}
.legend li{display:flex;align-items:center;gap:.4rem}.legend i{flex:none;width:.9rem;height:.25rem;border-radius:2px}
.legend span{flex:1;overflow:hidden;text-overflow:ellipsis;white-space:nowrap}.table{max-height:20rem}
table{border-collapse:collapse;font-size:.8rem;width:100%}th{position:sticky;top:0;background:#fff;color:#5a6270;font-weight:600}
td,th{text-align:left;padding:.2rem .6rem .2rem 0;border-bottom:1px solid #eceef1;white-space:nowrap}
td:last-child,th:last-child{text-align:right;padding-right:.2rem}
@media(max-width:62rem){figure{grid-column:1/-1!important}figure.stat{grid-column:span 8!important}}
@media(max-width:36rem){body{padding:.6rem}figure.stat{grid-column:span 12!important}}
@media print{body{background:#fff}figure{break-inside:avoid}.legend,.table{max-height:none}}
"""


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
        return f"{value * 100:.3g} %"
    if unit in ("bytes", "Bps"):
        step = next((step for step in range(4, 0, -1) if abs(value) >= 1024**step), 0)
        return f"{value / 1024**step:.4g} {['B', 'KiB', 'MiB', 'GiB', 'TiB'][step]}{'/s' if unit == 'Bps' else ''}"
    if unit == "s":
        for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
            if abs(value) >= size:
                return f"{value / size:.3g} {name}"
        return f"{value:.3g} s" if abs(value) >= 1 or not value else f"{value * 1000:.3g} ms"
    return f"{round(value, 4):.4g}" + ("/s" if unit == "reqps" else "")


def say(value: float, defaults: dict) -> tuple[str, str]:
    """A value in words, and its colour: by the panel's value mappings, or its unit and thresholds."""
    for mapping in defaults.get("mappings", []):
        word = mapping["options"].get(f"{value:g}") if mapping["type"] == "value" else None
        if word:
            return word["text"], word.get("color", "")
    steps = defaults.get("thresholds", {}).get("steps", [])
    colour = next((step["color"] for step in reversed(steps) if step["value"] is None or value >= step["value"]), "")
    return human(value, defaults.get("unit", "")), colour


def legend(target: dict, labels: dict) -> str:
    return (
        re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda match: labels.get(match.group(1), ""), target["legendFormat"]).strip()
        or "value"
    )


def lines(panel: dict, answers: list[dict], grid: list[int]) -> list[tuple[str, list[float]]]:
    """Name and values of every line, by name. Where a series has no sample its line has a gap."""
    result = []
    for target, answer in zip(panel["targets"], answers, strict=True):
        for series in answer["series"]:
            known = {int(at): float(value) for at, value in series["values"]}
            result.append((legend(target, series["labels"]), [known.get(at, math.nan) for at in grid]))
    return sorted(result, key=lambda line: line[0])


def chart(panel: dict, answers: list[dict], grid: list[int]) -> str:
    import matplotlib as mpl

    mpl.use("svg")
    mpl.rcParams.update({"svg.fonttype": "none", "svg.hashsalt": panel["title"], "font.family": "sans-serif"})
    from matplotlib import dates, pyplot, ticker

    defaults = panel["fieldConfig"]["defaults"]
    stacked = defaults.get("custom", {}).get("stacking", {}).get("mode") == "normal"
    wide = panel["gridPos"]["w"] > 12
    figure, axes = pyplot.subplots(figsize=(14 if wide else 7, 2.5), layout="constrained")
    drawn = lines(panel, answers, grid)
    if not drawn:
        pyplot.close(figure)
        return "<p class='note'>nothing in this time</p>"
    at = [datetime.datetime.fromtimestamp(moment, datetime.UTC) for moment in grid]
    colours = [COLOURS[position % len(COLOURS)] for position in range(len(drawn))]
    if stacked:
        values = [[0 if math.isnan(value) else value for value in line] for _name, line in drawn]
        axes.stackplot(at, values, colors=colours, alpha=0.75, linewidth=0)
    else:
        for (_name, values), colour in zip(drawn, colours, strict=True):
            axes.plot(at, values, color=colour, linewidth=1.3)
    axes.set_xlim(at[0], at[-1])
    axes.set_ylim(bottom=0)
    if axes.get_ylim()[1] < 1e-9 or all(not value or math.isnan(value) for _name, line in drawn for value in line):
        axes.set_ylim(0, 1)
    binary = 2.0 ** math.ceil(math.log2(axes.get_ylim()[1] / 5))
    axes.yaxis.set_major_locator(
        ticker.MultipleLocator(binary) if defaults.get("unit") in ("bytes", "Bps") else ticker.MaxNLocator(5)
    )
    axes.yaxis.set_major_formatter(
        ticker.FuncFormatter(lambda value, _position: human(value, defaults.get("unit", "")))
    )
    locator = dates.AutoDateLocator(maxticks=20 if wide else 12)
    axes.xaxis.set_major_locator(locator)
    axes.xaxis.set_major_formatter(dates.ConciseDateFormatter(locator, show_offset=grid[-1] - grid[0] > 86400))
    axes.grid(color="#e6e8ec", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors="#5a6270", labelsize=8, length=0)
    axes.spines[:].set_visible(False)
    sink = io.StringIO()
    figure.savefig(sink, format="svg", transparent=True, metadata={"Date": None})
    pyplot.close(figure)
    items = "".join(
        f"<li><i style='background:{colour}'></i><span>{html.escape(name)}</span><b>{latest(line, defaults)}</b></li>"
        for (name, line), colour in zip(drawn, colours, strict=True)
    )
    return f"{sink.getvalue()[sink.getvalue().index('<svg') :]}<ul class='legend'>{items}</ul>"


def latest(line: list[float], defaults: dict) -> str:
    """The value at the end of the range, if there is one."""
    recent = [value for value in line[-3:] if not math.isnan(value)]
    return html.escape(human(recent[-1], defaults.get("unit", ""))) if recent else "gone"


def current(answers: list[dict], grid: list[int]) -> list[dict]:
    """What an instant query at the end of the range would give."""
    return [each for answer in answers for each in answer["series"] if int(each["values"][-1][0]) >= grid[-3:][0]]


def number(panel: dict, answers: list[dict], grid: list[int]) -> str:
    said = [say(float(each["values"][-1][1]), panel["fieldConfig"]["defaults"]) for each in current(answers, grid)]
    words = ", ".join(f"<span class='{html.escape(colour)}'>{html.escape(text)}</span>" for text, colour in said)
    return f"<div class='number'>{words or '–'}</div>"


def rows(panel: dict, answers: list[dict], grid: list[int]) -> str:
    series = current(answers, grid)
    names = sorted({name for each in series for name in each["labels"]} - {"__name__"})
    head = "".join(f"<th>{html.escape(name)}</th>" for name in [*names, ""])
    body = ""
    for each in sorted(series, key=lambda one: [one["labels"].get(name, "") for name in names]):
        text, colour = say(float(each["values"][-1][1]), panel["fieldConfig"]["defaults"])
        cells = "".join(f"<td>{html.escape(each['labels'].get(name, ''))}</td>" for name in names)
        body += f"<tr>{cells}<td class='{html.escape(colour)}'>{html.escape(text)}</td></tr>"
    return f"<div class='table'><table><tr>{head}</tr>{body}</table></div>" if series else "<p class='note'>nothing</p>"


DRAW = {"stat": number, "table": rows}


def drawing(path: str) -> str:
    """A section with the SVG of a file, in its own size; nothing without a file."""
    if not path:
        return ""
    svg = pathlib.Path(path).read_text(encoding="utf-8")
    return f"<h2 id='runs'>What runs</h2><div class='drawing'>{svg[svg.index('<svg') :]}</div>"


def page(paths: list[str], answer: dict, svg: str = "") -> str:
    remaining = iter(answer["answers"])
    grid = list(range(answer["start"], answer["end"] + 1, answer["step"]))
    span = [
        datetime.datetime.fromtimestamp(answer[key], datetime.UTC).strftime("%Y-%m-%d %H:%M")
        for key in ("start", "end")
    ]
    boards = panels(paths)
    links = "".join(f"<a href='#{board['uid']}'>{html.escape(board['title'])}</a>" for board, _found in boards)
    links += "<a href='#runs'>What runs</a>" if svg else ""
    parts = [f"<header><h1>Fleet report</h1><p>{span[0]} to {span[1]} UTC</p><nav>{links}</nav></header>"]
    for board, found in boards:
        parts.append(f"<h2 id='{board['uid']}'>{html.escape(board['title'])}</h2><div class='grid'>")
        for panel in found:
            answers = [next(remaining) for _target in panel["targets"]]
            notes = [panel.get("description") or "", *(each.get("error", "") for each in answers)]
            parts.append(
                f"<figure class='{panel['type']}' style='grid-column:span {panel['gridPos']['w']}'>"
                f"<h3>{html.escape(panel['title'])}</h3>{DRAW.get(panel['type'], chart)(panel, answers, grid)}"
                f"{''.join(f'<p class=note>{html.escape(note)}</p>' for note in notes if note)}</figure>"
            )
        parts.append("</div>")
    parts.append(drawing(svg))
    return (
        "<!doctype html><html lang='en'><meta charset='utf-8'><meta name='viewport' content='width=device-width'>"
        f"<title>Fleet report</title><style>{STYLE}</style>{''.join(parts)}</html>\n"
    )


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
    pathlib.Path(first).write_text(page(paths, json.load(sys.stdin), os.environ.get("DRAWING", "")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
