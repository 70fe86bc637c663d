"""One simulated hour of the acosta scenario through MQTT at ten times the pace of life: every detector interval in the lake beside the output
file of SUMO alone, run with the same seed.

    python3 tests/bench/sumo.py [interval in seconds; the scenario's own when absent]

SUMO_HOME names the simulator, PORTICO_SHARED the data, BENCH_PORTICO the program, SUMO_SPEED another pace.
"""

import csv
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree as xml

import common

SECS, SEED, START, START_UTC = 3600, 7, "2026-11-24T08:00", "2026-11-24T07:00:00Z"
HOME = pathlib.Path(os.environ["SUMO_HOME"])
DATA = pathlib.Path(os.environ.get("PORTICO_SHARED", "../shared")) / "data/sumo"
SPEED = os.environ.get("SUMO_SPEED", "10")


def alone(interval):
    """SUMO without Portico: what its detectors write."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="sumo-alone-"))
    for path in (DATA / "acosta").iterdir():
        if interval and path.name == "acosta_detectors.add.xml":
            (directory / path.name).write_text(path.read_text().replace('freq="1800"', f'freq="{interval}"'))
        else:
            (directory / path.name).symlink_to(path.resolve())
    command = [HOME / "bin/sumo", "-c", "run.sumocfg", "--no-warnings", "true", "--seed", str(SEED), "--end", str(SECS)]
    begin = time.monotonic()
    subprocess.run(command, cwd=directory, check=True, env=dict(os.environ, SUMO_HOME=str(HOME)), stdout=subprocess.DEVNULL)
    print(f"SUMO alone: {SECS} s simulated in {time.monotonic() - begin:.1f} s")
    return directory / "e1_output.xml"


def expected(output):
    codes = {r["sumo_e1_id"]: r["codice_spira"] for r in csv.DictReader(open(DATA / "sumo_e1_to_codice_spira.csv"))}
    out = {}
    for i in xml.parse(output).getroot().iter("interval"):
        name, lane = re.fullmatch(r"(.*)__l(\d+)", i.get("id")).groups()
        code = codes.get(i.get("id"), name.replace("_", " ")).replace(" ", "-").lower()
        speed = float(i.get("speed"))
        key = (f"urn:ngsi-ld:TrafficFlowObserved:bologna:{code}", int(lane), int(float(i.get("begin"))))
        out[key] = (int(i.get("nVehContrib")), float(i.get("occupancy")), None if speed < 0 else round(speed, 2))
    return out


def main():
    interval = sys.argv[1] if len(sys.argv) > 1 else None
    want = expected(alone(interval))
    portico = common.Portico()
    secret = f"{portico.directory}/password"
    user = ["user", "add", "sumo", "--role", "gateway", "--tenants", "bologna", "--subscribe", "command/bologna/#", "--password-file", secret]
    subprocess.run([common.binary(), *user], env=portico.env, check=True)
    portico.start()
    command = [common.binary(), "sumo", "--user", "sumo", "--password-file", secret, "--broker", f"mqtt://{portico.mqtt}", "--seed", str(SEED),
               "--scenario", DATA / "acosta", "--crosswalk", DATA / "sumo_e1_to_codice_spira.csv", "--start", START, "--speed", SPEED, "--duration", str(SECS)]
    begin = time.monotonic()
    subprocess.run(command + (["--interval", interval] if interval else []), env=portico.env, check=True)
    print(f"through MQTT at speed {SPEED}: {time.monotonic() - begin:.1f} s")
    rows = portico.sql("SELECT entity_id, \"index\", CAST(date_part('epoch', observed_at) - date_part('epoch', TIMESTAMP '" + START_UTC
                       + "') AS BIGINT), inputs, occupancy, speed FROM bologna.traffic_measure")
    have = {(r[0], r[1], int(r[2])): (r[3], r[4], None if r[5] is None else round(r[5] / 3.6, 2)) for r in map(values, rows)}
    off = [(k, want.get(k), have.get(k)) for k in want.keys() | have.keys() if want.get(k) != have.get(k)]
    vehicles = sum(v[0] for v in want.values())
    print(f"{len(want)} intervals in SUMO's file ({vehicles} vehicles), {len(have)} in the lake, {len(off)} differ")
    for line in off[:10]:
        print("  ", *line)
    states = values(portico.sql("SELECT count(*) FROM bologna.traffic_signal")[0])[0]
    refused = values(portico.sql("SELECT count(*) FROM ops.quarantine")[0])[0]
    print(f"{states} states of signals, {refused} messages in quarantine")
    portico.stop()
    portico.remove()
    raise SystemExit(1 if off else 0)


def values(row):
    return list(row.values()) if isinstance(row, dict) else row


if __name__ == "__main__":
    main()
