"""The uncached front page: a site of role wordpress beside the chapter's stack, on one host, in turns."""

from __future__ import annotations

import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import urllib.request

import chapter
import common

ROUNDS, SECONDS, CONNECTIONS = 6, 20, 8
OURS = "site01.localhost"
# Who, its Host header, its port, its containers.
SIDES = {
    "ours": (
        f"{OURS}:{common.PORT + 1}",
        common.PORT + 1,
        ("site01-localhost-web-1", "site01-localhost-wordpress-1", "site01-localhost-database-1"),
    ),
    "chapter": ("chapter.localhost", chapter.PORT, ("chapter-web-1", "chapter-wordpress-1", "chapter-mysql-1")),
}
# wrk's own count leaves redirects out.
DONE = """
local threads = {}
function setup(thread) table.insert(threads, thread) end
function init() wrong = 0 end
function response(status) if status ~= 200 then wrong = wrong + 1 end end
function done(summary, latency)
  local e, bad = summary.errors, 0
  for _, thread in ipairs(threads) do bad = bad + thread:get("wrong") end
  io.write(string.format('\\n{"requests": %d, "seconds": %f, "errors": %d, "p50": %f, "p99": %f}\\n', summary.requests, summary.duration / 1e6,
    bad + e.connect + e.read + e.write + e.timeout, latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
"""
PROCESSOR = """
import docker, sys
api = docker.from_env().api
print(*(api.stats(name, stream=False, one_shot=True)["cpu_stats"]["cpu_usage"]["total_usage"] for name in sys.argv[1:]))
"""


def page(side: str) -> bytes:
    host, port, _containers = SIDES[side]
    with urllib.request.urlopen(urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Host": host})) as answer:
        return answer.read()


def processor(side: str) -> list[float]:
    """Processor time that each container has used, in milliseconds."""
    names = " ".join(SIDES[side][2])
    return [int(word) / 1e6 for word in common.on_host(f"python3 - {names} <<'END'\n{PROCESSOR}\nEND\n").split()]


def load(side: str, seconds: int, script: str) -> dict:
    host, port, _containers = SIDES[side]
    before = processor(side)
    command = [
        "wrk",
        "--threads=1",
        f"--connections={CONNECTIONS}",
        f"--duration={seconds}s",
        "--timeout=30s",
        f"--header=Host: {host}",
    ]
    command += [f"--script={script}", f"http://127.0.0.1:{port}/"]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    found = json.loads(done.stdout.splitlines()[-1])
    found["rate"] = found["requests"] / found["seconds"]
    found["processor"] = [(b - a) / found["requests"] for a, b in zip(before, processor(side), strict=True)]
    return found


def measure(rounds: int = ROUNDS, seconds: int = SECONDS) -> dict[str, list[dict]]:
    """Rounds of both sides, in turns, after one of each that is not counted."""
    found: dict[str, list[dict]] = {side: [] for side in SIDES}
    with tempfile.TemporaryDirectory() as folder:
        script = pathlib.Path(folder) / "done.lua"
        script.write_text(DONE)
        for number in range(rounds + 1):
            for side in SIDES:
                result = load(side, seconds if number else 5, str(script))
                if number:
                    found[side].append(result)
    return found


def prepare() -> None:
    common.need("wrk")
    common.sandbox(OURS)
    chapter.start()
    chapter.empty()
    common.on_host(chapter.IN_ITS_FOLDER + chapter.INSTALL.format(url="http://chapter.localhost"))
    # The same page on both sides, and no call to the outside, which a sandbox does not reach.
    common.on_host(
        chapter.IN_ITS_FOLDER + "docker compose run --rm wp config set WP_HTTP_BLOCK_EXTERNAL true --raw </dev/null\n"
        "docker compose run --rm wp option update blogname site01.localhost </dev/null\n"
    )
    sizes = {side: len(page(side)) for side in SIDES}
    if abs(sizes["ours"] - sizes["chapter"]) > 2000:
        sys.exit(f"The two sides serve different pages: {sizes} bytes")


def report() -> list[str]:
    prepare()
    found = measure()
    middle = {
        side: {key: statistics.median(run[key] for run in runs) for key in ("rate", "p50", "p99")}
        for side, runs in found.items()
    }
    ratio = statistics.median(a["rate"] / b["rate"] for a, b in zip(found["ours"], found["chapter"], strict=True))
    lines = [
        f"Uncached front page ({len(page('ours')) / 1000:.0f} kB), {CONNECTIONS} connections, medians of {ROUNDS} rounds of {SECONDS} s in turns,",
        f"load generator on the same processor. Ours against the chapter's: **{ratio:.2f}**",
        "",
        "| | requests/s | p50 ms | p99 ms | errors | processor ms a request: nginx, PHP-FPM, database |",
        "|---|---|---|---|---|---|",
    ]
    for side, name in (("chapter", "the chapter's stack"), ("ours", "role `wordpress`")):
        runs = found[side]
        errors = f"{sum(run['errors'] for run in runs):.0f} of {sum(run['requests'] for run in runs)}"
        times = ", ".join(f"{statistics.median(run['processor'][part] for run in runs):.1f}" for part in range(3))
        values = middle[side]
        lines.append(
            f"| {name} | {values['rate']:.1f} | {values['p50']:.0f} | {values['p99']:.0f} | {errors} | {times} |"
        )
    return lines
