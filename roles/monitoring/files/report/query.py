"""Asks Prometheus for ranges; runs on the monitoring server, standard library only.

Standard input: {"queries": [...], "minutes": number, "points": number}. Prints the answers in the same order; Prometheus is
reached in its closed network, which the host is part of. A server that is younger than the range is shown from its first sample on.
"""

import json
import subprocess
import sys
import time
import urllib.parse
import urllib.request

wanted = json.load(sys.stdin)
container = json.loads(subprocess.check_output(["docker", "inspect", "monitoring-prometheus-1"]))[0]
address = container["NetworkSettings"]["Networks"]["monitoring_back"]["IPAddress"]


def ask(path, **arguments):
    url = f"http://{address}:9090/api/v1/{path}?{urllib.parse.urlencode(arguments)}"
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)["data"]["result"]


end = int(time.time())
start = end - int(wanted["minutes"] * 60)
for oldest in ask("query", query="min(prometheus_tsdb_lowest_timestamp_seconds)"):
    start = max(start, min(int(float(oldest["value"][1])), end - 60))
step = max(1, (end - start) // wanted["points"])
answers = []
for query in wanted["queries"]:
    try:
        series = ask("query_range", query=query, start=start, end=end, step=step)
        answers.append({"series": [{"labels": each["metric"], "values": each["values"]} for each in series]})
    except OSError as error:
        answers.append({"error": str(error), "series": []})
print(json.dumps({"start": start, "end": end, "step": step, "answers": answers}))
