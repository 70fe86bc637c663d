#!/usr/bin/env python3
"""P7 to P9: eight analytical queries over HTTP (Arrow) beside DuckDB and stock DataFusion on the same rows in Parquet.

    python3 tests/bench/olap.py --rows 10000000 --repetitions 7

Rows are generated once, written to one Parquet file in the order of time (zstd, row groups of a million), and sent to Portico
through its HTTP door, so that they went through contract, duplicates and log like any other. DuckDB and DataFusion run in this
process; Portico's times include HTTP and the encoding and decoding of Arrow. Two threads for each. Needs: duckdb datafusion pyarrow numpy h3
"""

import argparse
import io
import json
import math
import pathlib
import statistics
import tempfile
import time
import urllib.request

import duckdb
import h3
import numpy
import pyarrow
import pyarrow.ipc
import pyarrow.parquet

from common import Portico, rss_mib

SENSORS, DAYS, START = 10_000, 7, 1_759_276_800_000_000
KINDS = ["no2", "pm10", "noise", "temp", "traffic"]
WEST, SOUTH, EAST, NORTH = 11.30, 44.47, 11.35, 44.51


def places():
    random = numpy.random.default_rng(7)
    lon, lat = random.uniform(11.23, 11.43, SENSORS), random.uniform(44.42, 44.55, SENSORS)
    cells = numpy.array([h3.str_to_int(h3.latlng_to_cell(a, o, 12)) for o, a in zip(lon, lat)], dtype=numpy.int64)
    return lon, lat, cells


def batches(rows, size=100_000):
    """In the order of time: each round has one reading of every sensor."""
    lon, lat, cells = places()
    rounds = rows // SENSORS
    step = DAYS * 86_400_000_000 // rounds
    random = numpy.random.default_rng(11)
    for start in range(0, rows, size):
        index = numpy.arange(start, min(start + size, rows))
        sensor = index % SENSORS
        at = START + (index // SENSORS) * step + sensor * (step // SENSORS)
        yield pyarrow.table({
            "ts": pyarrow.array(at, pyarrow.timestamp("us", tz="UTC")), "sensor": pyarrow.array([f"urn:ngsi-ld:Device:bologna:s{s:05d}" for s in sensor]),
            "district": sensor % 18, "kind": pyarrow.array([KINDS[s % 5] for s in sensor]), "lon": lon[sensor], "lat": lat[sensor], "h3": cells[sensor],
            "value": numpy.round(random.gamma(4, 10, len(index)), 2),
        })


def load(portico, path, rows):
    """Parquet for the peers, and the same rows over HTTP for Portico. Seconds of the HTTP part."""
    spent, writer = 0.0, None
    for table in batches(rows):
        writer = writer or pyarrow.parquet.ParquetWriter(path, table.schema, compression="zstd")
        writer.write_table(table, row_group_size=1_000_000)
        columns = table.select(["ts", "sensor", "district", "kind", "lon", "lat", "value"]).to_pydict()
        micros = table["ts"].cast(pyarrow.int64()).to_pylist()
        lines = "\n".join(
            f'{{"id":"{s}","observed_at":{t / 1e6:.6f},"district":{d},"kind":"{k}","lon":{o!r},"lat":{a!r},"value":{v!r}}}'
            for s, t, d, k, o, a, v in zip(columns["sensor"], micros, columns["district"], columns["kind"], columns["lon"], columns["lat"], columns["value"]))
        start = time.perf_counter()
        receipt = json.loads(portico.request("/api/ingest/reading", lines.encode(), "application/x-ndjson"))
        spent += time.perf_counter() - start
        if receipt["received"] != receipt["stored"] + receipt["late"]:
            raise SystemExit(f"not stored as sent: {receipt}")
    writer.close()
    return spent


def queries(dialect):
    """The eight queries of the peers' page, section 2, in the words of each engine."""
    day, hour = "2025-10-03", ("2025-10-03T08:00:00Z", "2025-10-03T09:00:00Z")
    box = f"lon BETWEEN {WEST} AND {EAST} AND lat BETWEEN {SOUTH} AND {NORTH}"
    if dialect == "portico":
        t, ts, sensor = "bologna.reading", "observed_at", "entity_id"
        last, bucket = f"last_value(value ORDER BY {ts})", f"date_bin(INTERVAL '5 minutes', {ts})"
        p95 = "approx_percentile_cont(value, 0.95)"
    elif dialect == "duckdb":
        t, ts, sensor = "reading", "ts", "sensor"
        last, bucket, p95 = f"arg_max(value, {ts})", f"time_bucket(INTERVAL '5 minutes', {ts})", "quantile_cont(value, 0.95)"
    else:
        t, ts, sensor = "reading", "ts", "sensor"
        last, bucket = f"last_value(value ORDER BY {ts})", f"date_bin(INTERVAL '5 minutes', {ts})"
        p95 = "approx_percentile_cont(value, 0.95)"
    instant = (lambda x: f"TIMESTAMPTZ '{x}'") if dialect == "duckdb" else (lambda x: f"'{x}'::timestamptz") if dialect == "portico" else (lambda x: f"arrow_cast('{x}', 'Timestamp(Microsecond, Some(\"UTC\"))')")
    # A parent at resolution 9 by arithmetic, the same for each: three digits dropped.
    parent = "(h3 >> 18)" if dialect == "duckdb" else "(h3 >> 18)"
    newest = f"SELECT {sensor}, value AS v FROM {t}_latest" if dialect == "portico" else f"SELECT {sensor}, {last} AS v FROM {t} GROUP BY {sensor}"
    return {
        "P9 newest value, kept at ingest": newest,
        "Q1 last value per sensor": f"SELECT {sensor}, {last} AS v FROM {t} GROUP BY {sensor}",
        "Q2 5 min mean per district, a day": f"SELECT district, {bucket} AS b, avg(value) AS v FROM {t} WHERE {ts} >= {instant(day + 'T00:00:00Z')} AND {ts} < {instant('2025-10-04T00:00:00Z')} GROUP BY 1, 2",
        "Q3 bbox and H3 cells": f"SELECT {parent} AS cell, count(*) AS n, avg(value) AS v FROM {t} WHERE {box} GROUP BY 1",
        "Q4 top 20 sensors of a kind": f"SELECT {sensor}, avg(value) AS v FROM {t} WHERE kind = 'no2' GROUP BY 1 ORDER BY 2 DESC LIMIT 20",
        "Q5 distinct sensors and cells": f"SELECT kind, count(DISTINCT {sensor}) AS s, count(DISTINCT h3) AS c FROM {t} GROUP BY 1",
        "Q6 sum of a column": f"SELECT sum(value) AS v FROM {t}",
        "Q7 one sensor, one hour": f"SELECT {ts}, value FROM {t} WHERE {sensor} = 'urn:ngsi-ld:Device:bologna:s04321' AND {ts} >= {instant(hour[0])} AND {ts} < {instant(hour[1])} ORDER BY 1",
        "Q8 p95 per district": f"SELECT district, {p95} AS v FROM {t} GROUP BY 1",
    }


def over_http(portico):
    def ask(sql):
        raw = portico.request("/api/sql", json.dumps({"sql": sql, "format": "arrow"}).encode())
        return pyarrow.ipc.open_stream(io.BytesIO(raw)).read_all()
    return ask


def engines(portico, path):
    duck = duckdb.connect(config={"threads": 2})
    duck.sql(f"CREATE VIEW reading AS SELECT * FROM read_parquet('{path}')")
    out = {"portico": over_http(portico), "duckdb": lambda sql: duck.sql(sql).to_arrow_table()}
    try:
        import datafusion
        context = datafusion.SessionContext(datafusion.SessionConfig().with_target_partitions(2).set("datafusion.execution.parquet.pushdown_filters", "true"))
        context.register_parquet("reading", str(path))
        out["datafusion"] = lambda sql: context.sql(sql).to_arrow_table()
    except ImportError:
        print("datafusion is not installed: pip install datafusion")
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=10_000_000)
    p.add_argument("--repetitions", type=int, default=7)
    args = p.parse_args()
    folder = pathlib.Path(tempfile.mkdtemp(prefix="portico-bench-olap-"))
    path = folder / "reading.parquet"
    contracts = str(pathlib.Path(__file__).parent / "contracts")
    portico = Portico({"PORTICO_DATA_CONTRACTS": contracts, "PORTICO_HTTP_BODY_BYTES_MAX": str(128 << 20), "PORTICO_LAKE_COMPACT_SECS": "20"}).start()
    try:
        spent = load(portico, path, args.rows)
        print(f"loaded {args.rows:,} rows over HTTP at {args.rows / spent:,.0f} rows/s")
        portico.stop()
        start = time.perf_counter()
        portico.start()
        print(f"start on {args.rows:,} rows: {time.perf_counter() - start:.2f} s, resident {rss_mib(portico.process.pid):.0f} MiB")
        data = pathlib.Path(portico.directory) / "data/tables/bologna/reading"
        size = sum(f.stat().st_size for f in data.rglob("*.parquet"))
        print(f"bytes per row: {size / args.rows:.1f} in Portico's tables, {path.stat().st_size / args.rows:.1f} in the peers' file")
        measure(engines(portico, path), args.repetitions)
        portico.stop()
    finally:
        portico.process.kill()
        portico.remove()
        path.unlink(missing_ok=True)


def measure(engines, repetitions):
    texts = {name: queries(name) for name in engines}
    medians = {name: [] for name in engines}
    print(f"\n{'median ms of ' + str(repetitions):36}" + "".join(f"{n:>22}" for n in engines))
    for query in texts["duckdb"]:
        times = {name: [] for name in engines}
        for _ in range(repetitions + 1):
            for name, run in engines.items():
                start = time.perf_counter()
                run(texts[name][query])
                times[name].append((time.perf_counter() - start) * 1e3)
        line, last = f"{query:36}", {}
        for name in engines:
            counted = times[name][1:]
            if query.startswith("Q"):
                medians[name].append(statistics.median(counted))
            last[name] = statistics.median(counted)
            line += f"{statistics.median(counted):9.1f} ({min(counted):.0f}-{max(counted):.0f})".rjust(22)
        print(line + f"   to duckdb {last['portico'] / last['duckdb']:.2f}")
    means = {n: math.exp(statistics.fmean(map(math.log, m))) for n, m in medians.items()}
    print(f"{'geometric mean':36}" + "".join(f"{m:22.1f}" for m in means.values()))
    for name in engines:
        if name != "portico":
            print(f"portico takes {means['portico'] / means[name]:.2f} of {name}'s time")


if __name__ == "__main__":
    main()
