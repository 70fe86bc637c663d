#!/usr/bin/env python3
"""P6: line protocol over HTTP, fsynced, beside VictoriaMetrics 1.79.5, InfluxDB 1.6.7 and PostgreSQL COPY, interleaved in one run.

    python3 tests/bench/lines.py --rows 1000000 --repetitions 5

Each row is one line with one tag and three fields; 5,000 lines a request, two connections. Portico answers after `fdatasync`, with each row
checked against its contract and told from duplicates; InfluxDB runs with `wal-fsync-delay = "0s"` and syncs each batch; VictoriaMetrics does
not sync; PostgreSQL takes the same batches as text with COPY, two sessions, each batch committed and synced as it is answered elsewhere, into a
table with one index (without which it can neither find a sensor's hour nor tell a duplicate), and, to show what the index costs, into one without.
All peers get the same lines, and afterwards each is asked how many rows it has. Peers that are not installed are left out and named.
Needs: victoria-metrics influxdb postgresql (apt).
"""

import argparse
import glob
import http.client
import json
import os
import pathlib
import pwd
import random
import shutil
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.parse
import urllib.request

from common import PASSWORD, TICKS, Portico, cpu_seconds, summary

SENSORS, BATCH, CONNECTIONS = 10_000, 5_000, 2
VM_PORT, INFLUX_PORT, PG_PORT = 18428, 18086, 18432


def bodies(rows, start_s):
    """Requests of line protocol, in the order of time: each round has one reading of every sensor. And the same rows for COPY."""
    rng = random.Random(start_s)
    lines, copies, text, copy = [], [], [], []
    for i in range(rows):
        sensor, at = i % SENSORS, start_s * 1_000_000_000 + (i // SENSORS) * 1_000_000_000
        t, h, p = round(rng.uniform(-5, 35), 2), round(rng.uniform(20, 99), 1), round(rng.uniform(980, 1040), 1)
        text.append(f"weather,id=s{sensor:05d} temperature={t},humidity={h},pressure={p} {at}")
        copy.append(f"{at // 1_000_000_000}\ts{sensor:05d}\t{t}\t{h}\t{p}")
        if len(text) == BATCH or i + 1 == rows:
            lines.append(("\n".join(text) + "\n").encode())
            copies.append(("\n".join(copy) + "\n").encode())
            text, copy = [], []
    return lines, copies


class Http:
    """A peer that takes line protocol."""

    def __init__(self, name, address, path, pid, headers=None, count=None):
        self.name, self.address, self.path, self.pid, self.headers, self.count = name, address, path, pid, headers or {}, count

    def cpu(self):
        return cpu_seconds(self.pid)

    def load(self, lines, _):
        errors = []

        def send(part):
            try:
                connection = http.client.HTTPConnection(self.address, timeout=600)
                for body in part:
                    connection.request("POST", self.path, body, self.headers)
                    answer = connection.getresponse()
                    said = answer.read()
                    if answer.status not in (200, 204):
                        raise SystemExit(f"{self.name}: {answer.status} {said[:300]}")
                connection.close()
            except BaseException as e:  # noqa: BLE001, told to the main thread
                errors.append(e)

        run(send, [lines[i::CONNECTIONS] for i in range(CONNECTIONS)])
        if errors:
            raise errors[0]


def run(work, parts):
    threads = [threading.Thread(target=work, args=(part,)) for part in parts]
    start = time.perf_counter()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    return time.perf_counter() - start


def get(url):
    with urllib.request.urlopen(url, timeout=60) as answer:
        return answer.read().decode()


def wait_for(url, process):
    for _ in range(600):
        try:
            return get(url)
        except OSError:
            if process.poll() is not None:
                raise SystemExit(f"{process.args[0]} ended")
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def victoria(folder):
    binary = shutil.which("victoria-metrics")
    if not binary:
        return print("victoria-metrics is not installed")
    process = subprocess.Popen([binary, f"-storageDataPath={folder}/vm", f"-httpListenAddr=127.0.0.1:{VM_PORT}"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    address = f"127.0.0.1:{VM_PORT}"
    wait_for(f"http://{address}/health", process)

    def count():
        found = [line for line in get(f"http://{address}/metrics").splitlines() if line.startswith('vm_rows_inserted_total{type="influx"}')]
        return int(float(found[0].split()[-1])) // 3 if found else 0

    return Http("victoriametrics (no fsync)", address, "/write", process.pid, count=count), process


def influx(folder):
    binary = shutil.which("influxd")
    if not binary:
        return print("influxdb is not installed")
    conf = pathlib.Path(folder) / "influx.conf"
    conf.write_text(f"""reporting-disabled = true
bind-address = "127.0.0.1:18088"
[meta]
  dir = "{folder}/influx/meta"
[data]
  dir = "{folder}/influx/data"
  wal-dir = "{folder}/influx/wal"
  wal-fsync-delay = "0s"
  query-log-enabled = false
[http]
  bind-address = "127.0.0.1:{INFLUX_PORT}"
  log-enabled = false
  max-body-size = 0
[monitor]
  store-enabled = false
""")
    process = subprocess.Popen([binary, "-config", str(conf)], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    address = f"127.0.0.1:{INFLUX_PORT}"
    wait_for(f"http://{address}/ping", process)
    ask = lambda q: json.loads(get(f"http://{address}/query?db=bench&q=" + urllib.parse.quote(q)))
    urllib.request.urlopen(urllib.request.Request(f"http://{address}/query?q=" + urllib.parse.quote("CREATE DATABASE bench"), data=b"")).read()
    count = lambda: ask("SELECT count(temperature) FROM weather")["results"][0]["series"][0]["values"][0][1]
    return Http("influxdb (fsync)", address, "/write?db=bench", process.pid, count=count), process


class Postgres:
    """The server."""

    def __init__(self, folder):
        found = [os.path.dirname(p) for p in [shutil.which("initdb")] if p] + sorted(glob.glob("/usr/lib/postgresql/*/bin"))
        self.bin = next(b for b in found if os.path.exists(f"{b}/initdb"))
        self.data = f"{folder}/pg"
        os.mkdir(self.data)
        self.prefix = []
        if os.geteuid() == 0:
            # PostgreSQL refuses to run as root.
            user = next(u for u in ("postgres", "nobody") if any(p.pw_name == u for p in pwd.getpwall()))
            os.chmod(folder, 0o755)
            shutil.chown(self.data, user)
            self.prefix = ["runuser", "-u", user, "--"]
        quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": "/"}
        subprocess.run([*self.prefix, f"{self.bin}/initdb", "-D", self.data, "-U", "bench", "-A", "trust"], **quiet)
        options = f"-p {PG_PORT} -k {self.data} -h 127.0.0.1 -c shared_buffers=512MB -c max_wal_size=8GB"
        subprocess.run([*self.prefix, f"{self.bin}/pg_ctl", "-D", self.data, "-w", "-o", options, "-l", f"{self.data}/log", "start"], **quiet)
        self.pid = int(pathlib.Path(self.data, "postmaster.pid").read_text().split()[0])

    def command(self, sql):
        return ["psql", "-h", "127.0.0.1", "-p", str(PG_PORT), "-U", "bench", "-d", "postgres", "-qAt", "-c", sql]

    def sql(self, sql):
        return subprocess.run(self.command(sql), check=True, capture_output=True, text=True).stdout.strip()

    def cpu(self):
        """With the sessions that have ended."""
        fields = pathlib.Path(f"/proc/{self.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return sum(int(f) for f in fields[11:15]) / TICKS

    def stop(self):
        subprocess.run([*self.prefix, f"{self.bin}/pg_ctl", "-D", self.data, "-m", "fast", "stop"], check=True, stdout=subprocess.DEVNULL, cwd="/")


class Copy:
    """One table of the server, each batch a transaction."""

    def __init__(self, server, index):
        self.server, self.table = server, "indexed" if index else "plain"
        self.name = f"postgresql COPY ({'one index' if index else 'no index'})"
        server.sql(f"CREATE TABLE {self.table} (at bigint, id text, temperature float8, humidity float8, pressure float8)")
        if index:
            server.sql(f"CREATE INDEX ON {self.table} (id, at)")

    def cpu(self):
        return self.server.cpu()

    def load(self, _, copies):
        command = self.server.command("")[:-2] + ["-f", "-"]

        def send(part):
            session = subprocess.Popen(command, stdin=subprocess.PIPE)
            for body in part:
                session.stdin.write(f"COPY {self.table} FROM STDIN;\n".encode() + body + b"\\.\n")
            session.stdin.close()
            if session.wait() != 0:
                raise SystemExit("COPY failed")

        run(send, [copies[i::CONNECTIONS] for i in range(CONNECTIONS)])

    def count(self):
        return int(self.server.sql(f"SELECT count(*) FROM {self.table}"))


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", type=int, default=1_000_000)
    p.add_argument("--repetitions", type=int, default=5)
    args = p.parse_args()
    folder = tempfile.mkdtemp(prefix="portico-bench-lines-")
    portico = Portico({"PORTICO_HTTP_BODY_BYTES_MAX": str(64 << 20)}).start()
    count = lambda: portico.sql("SELECT count(*) AS n FROM bologna.weather")[0][0]
    query = urllib.parse.urlencode({"db": "bench", "u": "gate", "p": PASSWORD})
    peers, processes = [Http("portico (fsync)", portico.http, f"/write?{query}", portico.process.pid, count=count)], []
    for start in (victoria, influx):
        started = start(folder)
        if started:
            peers.append(started[0])
            processes.append(started[1])
    postgres = Postgres(folder) if shutil.which("psql") else print("postgresql is not installed")
    if postgres:
        peers += [Copy(postgres, index=True), Copy(postgres, index=False)]
    rates, cpus = {p.name: [] for p in peers}, {p.name: [] for p in peers}
    # A day ago, so that neither clocks nor retention speak; each repetition is later than the one before, as live data are.
    rounds = max(1, args.rows // SENSORS) + 1
    first = int(time.time()) - 86_400
    try:
        for repetition in range(args.repetitions + 1):
            lines, copies = bodies(args.rows, first + repetition * rounds)
            for peer in peers:
                before, start = peer.cpu(), time.perf_counter()
                peer.load(lines, copies)
                spent = time.perf_counter() - start
                # The first round warms up.
                if repetition:
                    rates[peer.name].append(args.rows / spent)
                    cpus[peer.name].append((peer.cpu() - before) / args.rows * 1e6)
        wanted = args.rows * (args.repetitions + 1)
        print(f"\nrows per second, median (range); CPU microseconds of the server per row; rows it has (sent {wanted:,})")
        for peer in peers:
            have = peer.count()
            print(f"  {peer.name:28} {summary(rates[peer.name]):>36}  {statistics.median(cpus[peer.name]):6.2f} us  {have:,}{'' if have == wanted else '  NOT ALL'}")
        ours = statistics.median(rates[peers[0].name])
        goals = {"victoriametrics (no fsync)": 1.5, "influxdb (fsync)": 2.5, "postgresql COPY (one index)": 3.0}
        for peer in peers[1:]:
            print(f"  ratio to {peer.name}: {ours / statistics.median(rates[peer.name]):.2f}" + (f" (goal P6: {goals[peer.name]})" if peer.name in goals else ""))
        portico.stop()
    finally:
        portico.process.kill()
        portico.remove()
        for process in processes:
            process.terminate()
            process.wait(60)
        if postgres:
            postgres.stop()
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
