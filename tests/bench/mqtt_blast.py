#!/usr/bin/env python3
"""Publishes QoS 1 messages as fast as a broker acknowledges them, and tells the rate of acknowledgements.

The packets are made before the clock starts, and acknowledgements are only counted, so that the client is never the limit.
Prints one JSON line: acked, started (epoch seconds of the first publish), seconds, rate, p50 and p99 of the time from sending a window's last message to its acknowledgement.
"""

import argparse
import json
import selectors
import socket
import struct
import time


def varint(n):
    out = bytearray()
    while True:
        n, digit = divmod(n, 128)
        out.append(digit | (0x80 if n else 0))
        if not n:
            return bytes(out)


def text(s):
    raw = s.encode()
    return struct.pack(">H", len(raw)) + raw


def connect(args, name):
    sock = socket.create_connection((args.host, args.port))
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    flags = 0x02 | (0xC0 if args.user else 0)
    body = text("MQTT") + bytes([4, flags]) + struct.pack(">H", 0) + text(name)
    if args.user:
        body += text(args.user) + text(args.password)
    sock.sendall(b"\x10" + varint(len(body)) + body)
    answer = sock.recv(4)
    if len(answer) < 4 or answer[3] != 0:
        raise SystemExit(f"connection refused: {answer!r}")
    return sock


def packets(args, conn, count, base_ms):
    """Packets of one connection and the offset at which each ends. Every message is a new observation of a sensor; all have one size."""
    out, ends = bytearray(), []
    for i in range(count):
        sensor = i % args.sensors
        topic = args.topic.format(conn=conn, sensor=sensor).encode()
        payload = b'{"observed_at":%d,"period":"PT1M","laeq":%.1f' % (base_ms + (i // args.sensors) * 1000, 40 + (i * 7 + conn) % 400 / 10)
        payload += b',"lamax":%.1f,"la90":%.1f' % (60 + i % 300 / 10, 35 + i % 100 / 10)
        payload += b" " * max(0, args.size - len(payload) - 1) + b"}"
        body = struct.pack(">H", len(topic)) + topic + struct.pack(">H", i % 65535 + 1) + payload
        out += b"\x32" + varint(len(body)) + body
        ends.append(len(out))
    return bytes(out), ends


class Connection:
    def __init__(self, args, index, count, base_ms):
        self.sock = connect(args, f"blast-{args.run}-{index}")
        self.sock.setblocking(False)
        self.data, self.ends = packets(args, index, count, base_ms)
        self.view = memoryview(self.data)
        self.count, self.window = count, args.window
        self.allowed, self.sent_bytes, self.acked, self.rest = 0, 0, 0, 0
        self.sent_at, self.marks = [], []

    def allow(self):
        self.allowed = min(self.count, self.acked + self.window)

    def send(self):
        """True when there is more to send than the socket took."""
        end = self.ends[self.allowed - 1] if self.allowed else 0
        while self.sent_bytes < end:
            try:
                self.sent_bytes += self.sock.send(self.view[self.sent_bytes:end])
            except BlockingIOError:
                return True
        self.sent_at.append((self.allowed, time.perf_counter()))
        return False

    def receive(self):
        got = self.sock.recv(1 << 18)
        if not got:
            raise SystemExit("the broker closed the connection")
        self.rest += len(got)
        self.acked += self.rest // 4
        self.rest %= 4
        now = time.perf_counter()
        while self.sent_at and self.sent_at[0][0] <= self.acked:
            self.marks.append(now - self.sent_at.pop(0)[1])


def run(conns, seconds_max):
    selector = selectors.DefaultSelector()
    start = time.perf_counter()
    for c in conns:
        c.allow()
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if c.send() else 0)
        selector.register(c.sock, events, c)
    open_conns = len(conns)
    while open_conns:
        for key, events in selector.select(timeout=30):
            c = key.data
            if events & selectors.EVENT_READ:
                c.receive()
                c.allow()
            more = c.send() if c.sent_bytes < (c.ends[c.allowed - 1] if c.allowed else 0) else False
            if c.acked >= c.count:
                selector.unregister(c.sock)
                open_conns -= 1
            else:
                selector.modify(c.sock, selectors.EVENT_READ | (selectors.EVENT_WRITE if more else 0), c)
        if time.perf_counter() - start > seconds_max:
            raise SystemExit("took too long")
    return time.perf_counter() - start


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--port", type=int, default=1883)
    p.add_argument("--user")
    p.add_argument("--password")
    p.add_argument("--topic", default="portico/bologna/noise/c{conn:03d}-s{sensor:03d}")
    p.add_argument("--connections", type=int, default=50)
    p.add_argument("--window", type=int, default=90)
    p.add_argument("--messages", type=int, default=500_000)
    p.add_argument("--sensors", type=int, default=100, help="sensors per connection")
    p.add_argument("--size", type=int, default=128)
    p.add_argument("--run", type=int, default=0, help="moves the observations in time, so that runs do not repeat each other")
    p.add_argument("--seconds-max", type=float, default=120)
    args = p.parse_args()
    base_ms = 1_700_000_000_000 + args.run * 20_000_000
    per = args.messages // args.connections
    conns = [Connection(args, i, per, base_ms) for i in range(args.connections)]
    started = time.time()
    seconds = run(conns, args.seconds_max)
    marks = sorted(m for c in conns for m in c.marks) or [0]
    acked = sum(c.acked for c in conns)
    print(json.dumps({
        "acked": acked, "started": started, "seconds": round(seconds, 3), "rate": round(acked / seconds),
        "p50_ms": round(marks[len(marks) // 2] * 1e3, 3), "p99_ms": round(marks[int(len(marks) * 0.99)] * 1e3, 3),
    }))


if __name__ == "__main__":
    main()
