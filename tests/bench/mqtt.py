#!/usr/bin/env python3
"""P1, P4, P5: durable MQTT ingest beside Mosquitto (not durable) and the fdatasync ceiling, interleaved in one run.

    python3 tests/bench/mqtt.py --repetitions 5
"""

import argparse
import json
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

from common import PASSWORD, Portico, cpu_seconds, summary

HERE = pathlib.Path(__file__).parent


def blast(port, run, connections, window, messages, user=None):
    command = [sys.executable, str(HERE / "mqtt_blast.py"), "--port", str(port), "--run", str(run), "--connections", str(connections),
               "--window", str(window), "--messages", str(messages), "--sensors", "100"]
    if user:
        command += ["--user", user, "--password", PASSWORD]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--repetitions", type=int, default=5)
    p.add_argument("--messages", type=int, default=500_000)
    args = p.parse_args()
    folder = tempfile.mkdtemp(prefix="portico-bench-peers-")
    conf = pathlib.Path(folder) / "mosquitto.conf"
    conf.write_text("listener 18830 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 0\nmax_queued_messages 0\n")
    mosquitto = subprocess.Popen(["mosquitto", "-c", str(conf)], stderr=subprocess.DEVNULL)
    ceiling = subprocess.Popen([sys.executable, str(HERE / "wal_broker.py"), "--file", f"{folder}/ceiling.wal"], stdout=subprocess.PIPE, text=True)
    ceiling.stdout.readline()
    portico = Portico().start()
    port = int(portico.mqtt.rsplit(":", 1)[1])
    peers = {"portico (durable)": (port, "gate", portico.process.pid), "mosquitto (not durable)": (18830, None, mosquitto.pid), "fdatasync ceiling": (18831, None, ceiling.pid)}
    run = 0
    try:
        for name, (connections, window, messages) in {"50 x 90": (50, 90, args.messages), "4 x 1000": (4, 1000, args.messages), "1 x 1": (1, 1, 3000)}.items():
            rates, cpus, p50 = {k: [] for k in peers}, {k: [] for k in peers}, {k: [] for k in peers}
            for _ in range(args.repetitions):
                for peer, (peer_port, user, pid) in peers.items():
                    run += 1
                    before = cpu_seconds(pid)
                    out = blast(peer_port, run, connections, window, messages, user)
                    rates[peer].append(out["rate"])
                    cpus[peer].append((cpu_seconds(pid) - before) / out["acked"] * 1e6)
                    p50[peer].append(out["p50_ms"])
            print(f"\n{name}: acknowledged messages per second, median (range); CPU microseconds per message; p50 ms of a window")
            for peer in peers:
                print(f"  {peer:26} {summary(rates[peer]):>36}  {statistics.median(cpus[peer]):6.2f} us  {statistics.median(p50[peer]):8.2f} ms")
            ours = statistics.median(rates["portico (durable)"])
            print(f"  ratio to mosquitto {ours / statistics.median(rates['mosquitto (not durable)']):.2f}, to the ceiling {ours / statistics.median(rates['fdatasync ceiling']):.2f}")
        start = time.perf_counter()
        stored = portico.sql("SELECT count(*), (SELECT sum(quarantined) FROM ops.ledger) FROM bologna.noise")
        print(f"\nrows and quarantined messages in SQL after the last acknowledgement: {stored[0]}, asked in {time.perf_counter() - start:.2f} s")
    finally:
        portico.stop()
        portico.remove()
        mosquitto.kill()
        ceiling.kill()


if __name__ == "__main__":
    main()
