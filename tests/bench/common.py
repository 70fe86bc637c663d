"""What the benches share: starting Portico on a directory of its own, CPU seconds of a process, and medians with ranges."""

import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import tempfile
import urllib.request
import base64

PASSWORD = "a password of benches"
TICKS = os.sysconf("SC_CLK_TCK")


def binary():
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", pathlib.Path.home() / ".cache/portico-target"))
    path = pathlib.Path(os.environ.get("BENCH_PORTICO", target / "release/portico"))
    if not path.is_file():
        raise SystemExit(f"{path} is absent: cargo build --release --bin portico")
    return str(path)


class Portico:
    """The release build, with a gateway `gate` and an admin `admin`."""

    def __init__(self, env=None, directory=None):
        self.directory = directory or tempfile.mkdtemp(prefix="portico-bench-")
        self.env = dict(os.environ, PORTICO_DATA_DIR=f"{self.directory}/data", PORTICO_HTTP_BIND="127.0.0.1:0", PORTICO_MQTT_BIND="127.0.0.1:0",
                        PORTICO_POSTGRES_BIND="127.0.0.1:0", PORTICO_FLIGHT_BIND="127.0.0.1:0", PORTICO_LORAWAN_BIND="127.0.0.1:0", PORTICO_LOG_LEVEL="warn", **(env or {}))
        secret = pathlib.Path(self.directory) / "password"
        if not secret.exists():
            secret.write_text(PASSWORD)
            for name, role, tenants in (("admin", "admin", []), ("gate", "gateway", ["--tenants", "bologna"])):
                subprocess.run([binary(), "user", "add", name, "--role", role, "--password-file", str(secret), *tenants], env=self.env, check=True)

    def start(self):
        self.process = subprocess.Popen([binary(), "serve"], env=self.env, stdout=subprocess.PIPE, text=True)
        ready = json.loads(self.process.stdout.readline())
        self.http, self.mqtt, self.postgres = ready["http"], ready["mqtt"], ready["postgres"]
        return self

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)

    def remove(self):
        shutil.rmtree(self.directory, ignore_errors=True)

    def request(self, path, body=None, kind="application/json"):
        request = urllib.request.Request(f"http://{self.http}{path}", data=body)
        request.add_header("Authorization", "Basic " + base64.b64encode(f"admin:{PASSWORD}".encode()).decode())
        if body is not None:
            request.add_header("Content-Type", kind)
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.read()

    def sql(self, query):
        return json.loads(self.request("/api/sql", json.dumps({"sql": query, "format": "json"}).encode()))["rows"]


def cpu_seconds(pid):
    """User and system time of a process, from /proc."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def rss_mib(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0


def summary(values, digits=0):
    return f"{statistics.median(values):,.{digits}f} ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
