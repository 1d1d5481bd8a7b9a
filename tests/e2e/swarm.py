#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
Many sessions at once, one process for all clients and one for all backend connections, each a single epoll loop. A
client names its session behind the hello; both ends then send a pattern of that session and check the other's.
Prints `listening PORT` (backend) first and one line of JSON at the end. Used by test_bulk.py.
"""
import argparse
import json
import os
import selectors
import socket
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from hellos import https_hello  # noqa: E402
from pattern import Pattern  # noqa: E402

CHUNK = 1 << 16
HELLO = https_hello()
NAME = 4  # bytes of the session's number behind the hello
PATTERNS = {"up": Pattern("up"), "down": Pattern("down")}
STRIDE = 7919  # where in the pattern the stream of a session starts


class End:
    """One end of one session."""

    def __init__(self, sock, role, size, number=None):
        self.sock, self.size, self.number = sock, size, number
        self.out, self.into = ("up", "down") if role == "client" else ("down", "up")
        self.prefix = bytearray()
        self.unsent = HELLO + number.to_bytes(NAME, "big") if role == "client" else b""
        self.sent = self.got = 0
        self.finished_sending = self.ended = False
        self.error = None

    def named(self):
        return self.number is not None

    def readable(self):
        if not self.named():
            part = self.sock.recv(len(HELLO) + NAME - len(self.prefix))
            self.prefix += part
            if not part:
                self.ended = True
                self.error = "end inside the hello" if self.prefix else "unused"
            elif len(self.prefix) == len(HELLO) + NAME:
                if self.prefix[:len(HELLO)] != HELLO:
                    self.error = "the hello was altered"
                self.number = int.from_bytes(self.prefix[len(HELLO):], "big")
            return
        data = self.sock.recv(CHUNK)
        if not data:
            self.ended = True
            if self.got != self.size:
                self.error = f"session {self.number}: end after {self.got} of {self.size} bytes"
            return
        wrong = PATTERNS[self.into].mismatch(self.number * STRIDE + self.got, data)
        if wrong is not None:
            self.error = f"session {self.number}: byte {wrong - self.number * STRIDE} differs"
        self.got += len(data)

    def writable(self):
        if self.unsent:
            self.unsent = self.unsent[self.sock.send(self.unsent):]
            return
        if self.sent < self.size:
            view = PATTERNS[self.out].view(self.number * STRIDE + self.sent, min(CHUNK, self.size - self.sent))
            self.sent += self.sock.send(view)
        if self.sent == self.size:
            self.sock.shutdown(socket.SHUT_WR)
            self.finished_sending = True

    def wants(self):
        events = 0 if self.ended else selectors.EVENT_READ
        if self.named() and not self.finished_sending:
            events |= selectors.EVENT_WRITE
        return events


class Loop:
    def __init__(self, options):
        self.options = options
        self.selector = selectors.DefaultSelector()
        self.listener = None
        self.done, self.errors = 0, []

    def add(self, end):
        end.sock.setblocking(False)
        self.selector.register(end.sock, end.wants(), end)

    def step(self, end, events):
        try:
            if events & selectors.EVENT_READ:
                end.readable()
            if events & selectors.EVENT_WRITE and not end.error:
                end.writable()
        except BlockingIOError:
            pass
        except OSError as error:
            end.error = f"session {end.number}: {type(error).__name__}, sent {end.sent}, got {end.got}"
        if end.error or not end.wants():
            self.selector.unregister(end.sock)
            end.sock.close()
            if end.error != "unused":
                self.done += 1
                if end.error:
                    self.errors.append(end.error)
        else:
            self.selector.modify(end.sock, end.wants(), end)

    def run(self):
        deadline = time.monotonic() + self.options.timeout
        while self.done < self.options.sessions:
            if time.monotonic() > deadline:
                self.errors.append(f"{self.options.sessions - self.done} sessions unfinished at the deadline")
                break
            for key, events in self.selector.select(0.2):
                if key.data is None:
                    sock, _ = self.listener.accept()
                    self.add(End(sock, "backend", self.options.size))
                else:
                    self.step(key.data, events)
        print(json.dumps({"done": self.done, "errors": self.errors[:20], "failed": len(self.errors)}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("role", choices=["client", "backend"])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--sessions", type=int, default=500)
    parser.add_argument("--size", type=int, default=300000)
    parser.add_argument("--timeout", type=float, default=60)
    options = parser.parse_args()
    loop = Loop(options)
    if options.role == "backend":
        loop.listener = socket.create_server(("127.0.0.1", options.port), backlog=2048)
        print(f"listening {loop.listener.getsockname()[1]}", flush=True)
        loop.selector.register(loop.listener, selectors.EVENT_READ, None)
    else:
        for number in range(options.sessions):
            loop.add(End(socket.create_connection(("127.0.0.1", options.port), 10), "client", options.size, number))
    loop.run()


if __name__ == "__main__":
    main()
