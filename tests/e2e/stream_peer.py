#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
One end of one fast connection, as a process of its own: sends a pattern and checks the pattern that comes, both at
once. Prints `listening PORT` (or nothing) first and one line of JSON at the end. Used by test_bulk.py.
"""
import argparse
import json
import os
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from hellos import acme_hello, https_hello  # noqa: E402
from pattern import Pattern  # noqa: E402

CHUNK = 1 << 18
GAP = 0.19  # seconds without data that are reported; a TCP timer takes at least 0.2


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["client", "backend"])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--acme", action="store_true", help="the hello of an ACME validation instead of a browser's")
    parser.add_argument("--send", type=int, default=0)
    parser.add_argument("--receive", type=int, default=0)
    parser.add_argument("--stall", type=int, default=0, help="read for so many ms, then do not read for as long")
    parser.add_argument("--timeout", type=float, default=60)
    return parser.parse_args()


class Reader:
    """Receives to the end of the stream; how long it waited for data is measured around recv() alone."""

    def __init__(self, sock, seed, options):
        self.sock, self.options = sock, options
        self.pattern = Pattern(seed)
        self.got, self.error, self.gaps = 0, None, []

    def run(self):
        try:
            self._receive()
        except OSError as error:
            self.error = f"{type(error).__name__} after {self.got} bytes"

    def _receive(self):
        stall = self.options.stall / 1000
        pause_at = time.monotonic() + stall
        while True:
            before = time.monotonic()
            data = self.sock.recv(CHUNK)
            after = time.monotonic()
            if not data:
                break
            if self.got and after - before > GAP:
                self.gaps.append([self.got, round((after - before) * 1000)])
            wrong = self.pattern.mismatch(self.got, data)
            if wrong is not None:
                source = self.pattern.locate(data[wrong - self.got:])
                self.error = f"byte {wrong} differs; what came is byte {source} of the period"
                return
            self.got += len(data)
            if stall and after >= pause_at:
                threading.Event().wait(stall)
                pause_at = time.monotonic() + stall
        if self.got != self.options.receive:
            self.error = f"end after {self.got} of {self.options.receive} bytes"


class Writer:
    def __init__(self, sock, seed, options):
        self.sock, self.options = sock, options
        self.pattern = Pattern(seed)
        self.sent, self.error = 0, None

    def run(self):
        try:
            while self.sent < self.options.send:
                self.sent += self.sock.send(self.pattern.view(self.sent, min(CHUNK, self.options.send - self.sent)))
            self.sock.shutdown(socket.SHUT_WR)
        except OSError as error:
            self.error = f"{type(error).__name__} after {self.sent} bytes"


def connect(options):
    if options.role == "client":
        sock = socket.create_connection((options.host, options.port), options.timeout)
        sock.sendall(acme_hello() if options.acme else https_hello())
        return sock
    listener = socket.create_server((options.host, options.port),
                                    family=socket.AF_INET6 if ":" in options.host else socket.AF_INET)
    print(f"listening {listener.getsockname()[1]}", flush=True)
    listener.settimeout(options.timeout)
    expected = acme_hello() if options.acme else https_hello()
    while True:
        sock, _ = listener.accept()
        sock.settimeout(options.timeout)
        first = sock.recv(len(expected), socket.MSG_WAITALL)
        if first == expected:
            return sock
        if first:
            raise SystemExit(f"the hello came as {first[:64]!r}")
        sock.close()  # a connection that was made ahead and not used


def main():
    options = arguments()
    sock = connect(options)
    sock.settimeout(options.timeout)
    mine, theirs = ("up", "down") if options.role == "client" else ("down", "up")
    reader, writer = Reader(sock, theirs, options), Writer(sock, mine, options)
    started = time.monotonic()
    thread = threading.Thread(target=writer.run)
    thread.start()
    reader.run()
    if reader.error:
        sock.close()
    thread.join()
    print(json.dumps({
        "sent": writer.sent, "received": reader.got, "gaps": reader.gaps, "seconds": round(time.monotonic() - started, 3),
        "local_port": None if reader.error else sock.getsockname()[1],
        "errors": [error for error in (reader.error, writer.error) if error]}))


if __name__ == "__main__":
    main()
