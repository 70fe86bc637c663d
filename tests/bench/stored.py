#!/usr/bin/env python3
"""P3 and P4: durable MQTT beside RabbitMQ's, and from the broker to a table beside Mosquitto piped into PostgreSQL's COPY.

    apt-get install rabbitmq-server mosquitto mosquitto-clients postgresql
    python3 tests/bench/stored.py --repetitions 5

P3 counts acknowledgements (RabbitMQ's come when its durable queue has the message). P4 runs from the first publish until SQL counts
every message. The PostgreSQL side gets the bare payload as jsonb in one transaction; Portico's rows are decoded and checked.
"""

import argparse
import json
import os
import pathlib
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time

from common import PASSWORD, Portico, summary

HERE = pathlib.Path(__file__).parent


def blast(port, run, messages, user=None, background=False):
    command = [sys.executable, str(HERE / "mqtt_blast.py"), "--port", str(port), "--run", str(run), "--connections", "4", "--window", "1000",
               "--messages", str(messages), "--sensors", "100"] + (["--user", user, "--password", PASSWORD] if user else [])
    if background:
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def wait_for(port, seconds=60):
    end = time.time() + seconds
    while time.time() < end:
        with socket.socket() as s:
            if s.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    raise SystemExit(f"nothing listens on {port}")


def rabbit(folder):
    """A node of its own with a persistent session that queues everything."""
    env = dict(os.environ, HOME=folder, RABBITMQ_NODENAME="bench@localhost", RABBITMQ_MNESIA_BASE=f"{folder}/mnesia", RABBITMQ_LOG_BASE=f"{folder}/log",
               RABBITMQ_ENABLED_PLUGINS_FILE=f"{folder}/plugins", RABBITMQ_CONFIG_FILE=f"{folder}/rabbit", RABBITMQ_NODE_PORT="18672")
    pathlib.Path(f"{folder}/plugins").write_text("[rabbitmq_mqtt].\n")
    pathlib.Path(f"{folder}/rabbit.conf").write_text("mqtt.listeners.tcp.default = 127.0.0.1:18832\nmqtt.allow_anonymous = false\n")
    server = subprocess.Popen(["/usr/lib/rabbitmq/bin/rabbitmq-server"], env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wait_for(18832)
    control = lambda *a: subprocess.run(["/usr/lib/rabbitmq/bin/rabbitmqctl", *a], env=env, check=True, stdout=subprocess.DEVNULL)
    control("add_user", "gate", PASSWORD)
    control("set_permissions", "gate", ".*", ".*", ".*")
    subscribe = ["mosquitto_sub", "-p", "18832", "-u", "gate", "-P", PASSWORD, "-i", "keeper", "-c", "-q", "1", "-t", "portico/#", "-E"]
    subprocess.run(subscribe, check=True)
    return server, lambda: control("purge_queue", "mqtt-subscription-keeperqos1")


def postgres(folder):
    """A cluster of its own; PostgreSQL refuses to run as root."""
    shutil.chown(folder, "postgres")
    bin_dir = next(pathlib.Path("/usr/lib/postgresql").glob("*/bin"))
    as_postgres = lambda *a: subprocess.run(["runuser", "-u", "postgres", "--", *a], check=True, stdout=subprocess.DEVNULL)
    as_postgres(f"{bin_dir}/initdb", "-D", f"{folder}/pg", "-A", "trust")
    as_postgres(f"{bin_dir}/pg_ctl", "-D", f"{folder}/pg", "-o", f"-p 18434 -k {folder} -c listen_addresses=127.0.0.1", "-l", f"{folder}/pg.log", "-w", "start")
    return lambda: as_postgres(f"{bin_dir}/pg_ctl", "-D", f"{folder}/pg", "-m", "immediate", "stop")


PSQL = ["psql", "-X", "-q", "-h", "127.0.0.1", "-p", "18434", "-U", "postgres", "-v", "ON_ERROR_STOP=1"]


def glue(run, messages):
    """Seconds from the first publish to the end of COPY's transaction."""
    subprocess.run([*PSQL, "-c", "DROP TABLE IF EXISTS t; CREATE TABLE t(topic text, doc jsonb)"], check=True, stderr=subprocess.DEVNULL)
    pipe = f"mosquitto_sub -p 18830 -q 1 -i glue -t 'portico/#' -C {messages} -F '%t\t%p' | {' '.join(PSQL)} -c 'COPY t FROM STDIN'"
    copy = subprocess.Popen(["bash", "-c", pipe])
    time.sleep(1)  # mosquitto_sub does not say when it is subscribed
    sender = blast(18830, run, messages, background=True)
    if copy.wait(300):
        raise SystemExit("the glue broke")
    seconds = time.time() - json.loads(sender.communicate()[0])["started"]
    n = int(subprocess.run([*PSQL, "-A", "-t", "-c", "SELECT count(*) FROM t"], check=True, capture_output=True, text=True).stdout)
    assert n == messages, n
    return seconds


def ours(portico, port, run, messages, before):
    sender = blast(port, run, messages, "gate", background=True)
    while portico.sql("SELECT count(*) FROM bologna.noise")[0][0] < before + messages:
        time.sleep(0.01)
    seconds = time.time()
    return seconds - json.loads(sender.communicate()[0])["started"]


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--repetitions", type=int, default=5)
    p.add_argument("--messages", type=int, default=200_000)
    args = p.parse_args()
    folder = tempfile.mkdtemp(prefix="portico-bench-stored-")
    os.chmod(folder, 0o755)
    conf = pathlib.Path(folder) / "mosquitto.conf"
    conf.write_text("listener 18830 127.0.0.1\nallow_anonymous true\npersistence false\nmax_inflight_messages 0\nmax_queued_messages 0\n")
    mosquitto = subprocess.Popen(["mosquitto", "-c", str(conf)], stderr=subprocess.DEVNULL)
    queue, purge = rabbit(tempfile.mkdtemp(prefix="portico-bench-rabbit-"))
    stop_postgres = postgres(tempfile.mkdtemp(prefix="portico-bench-pg-"))
    portico = Portico().start()
    port = int(portico.mqtt.rsplit(":", 1)[1])
    acks, tables, stored = {"portico": [], "rabbitmq": []}, {"portico": [], "glue": []}, 0
    try:
        for run in range(1, args.repetitions + 1):
            acks["portico"].append(blast(port, 2 * run, args.messages, "gate")["rate"])
            stored += args.messages
            acks["rabbitmq"].append(blast(18832, run, args.messages // 10, "gate")["rate"])
            purge()
            tables["portico"].append(args.messages / ours(portico, port, 2 * run + 1, args.messages, stored))
            stored += args.messages
            tables["glue"].append(args.messages / glue(run, args.messages))
        for title, rates, peer in (("P3 acknowledged per second, 4 x 1000", acks, "rabbitmq"), ("P4 broker to table, messages per second", tables, "glue")):
            print(f"\n{title}, median (range)")
            for name, values in rates.items():
                print(f"  {name:10} {summary(values)}")
            print(f"  ratio {statistics.median(rates['portico']) / statistics.median(rates[peer]):.1f}")
    finally:
        portico.stop()
        portico.remove()
        mosquitto.kill()
        queue.terminate()
        stop_postgres()


if __name__ == "__main__":
    main()
