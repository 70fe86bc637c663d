#!/usr/bin/env python3
"""100,000 entities on the map page, and 100,000 in a polygon: frame times while dragging, and milliseconds of the question.

    npm ci --prefix web && python3 tests/bench/map.py

The browser draws with the graphics card if there is one; headless Chromium draws in software, on the cores that also serve.
"""

import json
import os
import pathlib
import random
import statistics
import subprocess
import time
import urllib.parse

from common import Portico, summary

HERE = pathlib.Path(__file__).parent
N = 100_000


def main():
    draw = random.Random(7)
    portico = Portico().start()
    try:
        now = int(time.time()) - 60
        for start in range(0, N, 20_000):
            lines = "".join(json.dumps({"id": f"m{i}", "observed_at": now, "period": "PT1M", "laeq": round(40 + draw.random() * 40, 1),
                                        "lon": round(draw.uniform(11.23, 11.43), 6), "lat": round(draw.uniform(44.42, 44.56), 6)}) + "\n"
                            for i in range(start, min(N, start + 20_000)))
            portico.request("/api/ingest/noise", lines.encode(), "application/x-ndjson")
        polygon = "11.24 44.43,11.42 44.43,11.42 44.55,11.24 44.55"
        query = urllib.parse.urlencode({"product": "noise", "polygon": polygon, "limit": str(N)})
        times = []
        for _ in range(20):
            start = time.perf_counter()
            raw = portico.request(f"/api/twin/entities?{query}")
            times.append((time.perf_counter() - start) * 1e3)
        answer = json.loads(raw)
        print(f"entities in a polygon, of {N}: {len(answer['features'])} inside, {summary(times, 1)} ms over HTTP with all of them written as GeoJSON")
        out = subprocess.run(["node", str(HERE / "map_smooth.mjs")], env=dict(os.environ, PORTICO_URL=f"http://{portico.http}"), check=True, capture_output=True, text=True)
        for name, figures in json.loads(out.stdout).items():
            print(f"{name} layer: first drawn after {figures['ready_ms']} ms; main thread {figures['main_thread_ms']} ms a frame; frames while dragging: p50 {figures['p50_ms']} ms, p95 {figures['p95_ms']} ms, longest {figures['max_ms']} ms")
    finally:
        portico.stop()
        portico.remove()


if __name__ == "__main__":
    main()
