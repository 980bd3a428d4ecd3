"""Asks Prometheus for ranges; runs on the monitoring server, standard library only.

Standard input: {"queries": [...], "minutes": number, "points": number}. Prints the answers in the same order; Prometheus is
reached in its closed network, which the host is part of.
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
end = int(time.time())
start = end - int(wanted["minutes"] * 60)
step = max(1, (end - start) // wanted["points"])
answers = []
for query in wanted["queries"]:
    arguments = urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": step})
    try:
        with urllib.request.urlopen(f"http://{address}:9090/api/v1/query_range?{arguments}", timeout=30) as answer:
            series = json.load(answer)["data"]["result"]
        answers.append({"series": [{"labels": each["metric"], "values": each["values"]} for each in series]})
    except OSError as error:
        answers.append({"error": str(error), "series": []})
print(json.dumps({"start": start, "end": end, "answers": answers}))
