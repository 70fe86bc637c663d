#!/usr/bin/env python3
"""The physical ceiling of "acknowledge only after fdatasync": a broker that parses nothing.

It expects the fixed-size packets of mqtt_blast.py, appends what it read in a round to a file, calls fdatasync once,
and answers each packet with the PUBACK of its id. What a real broker does besides is decoding, checking and telling duplicates.
"""

import argparse
import os
import selectors
import socket

import numpy


class Peer:
    def __init__(self, sock):
        self.sock, self.stride, self.id_at, self.rest, self.ready = sock, 0, 0, b"", False

    def packets(self, data):
        """Acknowledgements of all whole packets; the first tells how long every one is."""
        data = self.rest + data
        if not self.stride:
            length, shift, at = 0, 0, 1
            while True:
                byte = data[at]
                length |= (byte & 127) << shift
                shift, at = shift + 7, at + 1
                if not byte & 128:
                    break
            topic = int.from_bytes(data[at:at + 2], "big")
            self.stride, self.id_at = at + length, at + 2 + topic
        n = len(data) // self.stride
        self.rest = data[n * self.stride:]
        whole = numpy.frombuffer(data, dtype=numpy.uint8, count=n * self.stride).reshape(n, self.stride)
        acks = numpy.empty((n, 4), dtype=numpy.uint8)
        acks[:, 0], acks[:, 1] = 0x40, 2
        acks[:, 2:] = whole[:, self.id_at:self.id_at + 2]
        return acks.tobytes()


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--port", type=int, default=18831)
    p.add_argument("--file", required=True)
    args = p.parse_args()
    log = os.open(args.file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    server = socket.create_server(("127.0.0.1", args.port), backlog=256)
    selector = selectors.DefaultSelector()
    selector.register(server, selectors.EVENT_READ, None)
    print("ready", flush=True)
    while True:
        answers, written = [], []
        for key, _ in selector.select():
            if key.data is None:
                sock, _ = server.accept()
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                selector.register(sock, selectors.EVENT_READ, Peer(sock))
                continue
            peer = key.data
            data = peer.sock.recv(1 << 20)
            if not data:
                selector.unregister(peer.sock)
                peer.sock.close()
            elif not peer.ready:
                peer.ready = True
                peer.sock.sendall(b"\x20\x02\x00\x00")
            else:
                written.append(data)
                answers.append((peer, peer.packets(data)))
        if written:
            os.writev(log, written[:1000])
            os.fdatasync(log)
            for peer, acks in answers:
                peer.sock.sendall(acks)


if __name__ == "__main__":
    main()
