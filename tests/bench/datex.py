#!/usr/bin/env python3
"""NDW's measured data (50 MB of XML): Portico beside lxml's iterparse on the same file, each run in a process of its own.

    cargo build --release -p ingest --example datex_file
    python3 tests/bench/datex.py <ndw_trafficspeed.xml[.gz]> [runs]

Both read the file as it is, gzip included, and count the same rows: one per index with a flow, a speed, the number of inputs, or a fault.
Negative values are absent. lxml clears each siteMeasurements behind it, as its documentation advises for bounded memory.
"""

import gzip
import json
import os
import pathlib
import resource
import statistics
import subprocess
import sys
import time

NS = "{http://datex2.eu/schema/2/2_0}"


def iterparse(path):
    from lxml import etree

    opened = gzip.open(path) if path.endswith(".gz") else open(path, "rb")
    sites = rows = 0
    start = time.perf_counter()
    with opened as source:
        for _, site in etree.iterparse(source, tag=NS + "siteMeasurements", events=("end",)):
            sites += 1
            for value in site.iterchildren(NS + "measuredValue"):
                row = {"index": int(value.get("index"))}
                for e in value.iter():
                    name = e.tag[len(NS):]
                    if name == "vehicleFlowRate":
                        row["flow"] = float(e.text)
                    elif name == "speed" and float(e.text) >= 0:
                        row["speed"] = float(e.text)
                    elif name in ("averageVehicleSpeed", "vehicleFlow"):
                        inputs = e.get("numberOfInputValuesUsed")
                        if inputs is not None:
                            row["inputs"] = int(inputs)
                    elif name == "dataError" and e.text == "true":
                        row["fault"] = True
                rows += len(row) > 1
            site.clear()
            while site.getprevious() is not None:
                del site.getparent()[0]
    secs = time.perf_counter() - start
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"records": sites, "rows": rows, "secs": round(secs, 3), "peak_mib": round(peak, 1)}))


def run(command):
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


def main():
    path = sys.argv[1]
    runs = int(sys.argv[2]) if len(sys.argv) > 2 else 5
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/portico-target"))
    ours = str(target / "release/examples/datex_file")
    contenders = {
        "Portico, parse to documents": [ours, path, "parse"],
        "Portico, to Arrow rows with contract and duplicates": [ours, path, "store"],
        "Python, lxml iterparse": [sys.executable, __file__, "--iterparse", path],
    }
    results = {name: [] for name in contenders}
    for _ in range(runs):
        # Turn by turn, so that a busy machine slows all alike.
        for name, command in contenders.items():
            results[name].append(run(command))
    for name, list_ in results.items():
        secs = [r["secs"] for r in list_]
        peak = max(r["peak_mib"] for r in list_)
        print(f"{name}: {list_[0]['records']} sites, {list_[0]['rows']} rows, {statistics.median(secs):.2f} s "
              f"({min(secs):.2f} to {max(secs):.2f}, {runs} runs), peak {peak:.0f} MiB")
    rows = {r["rows"] for list_ in results.values() for r in list_}
    if len(rows) != 1:
        raise SystemExit(f"the contenders count differently: {rows}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--iterparse"]:
        iterparse(sys.argv[2])
    else:
        main()
