# SPDX-License-Identifier: BSD-2-Clause
"""
Many sessions at a time, which differ in everything: route, sizes, cuts, pauses, the end that closes first, reads late or
resets. What arrives must be a prefix of what was sent, and all of it if neither end resets. Seeded: a failure names a
session that can be run again.
"""
import random
import socket
import threading

import pytest

from hellos import acme_hello, hello, https_hello
from pattern import Pattern
from sockets import RESET
from waiting import SCALE, pause, wait_until

MARK, NAME = b"\xffchaos\xff", 4  # behind the hello: a mark and the session's number
UP, DOWN = Pattern("up"), Pattern("down")
HELLOS = [https_hello(), acme_hello(), hello(), hello(b"x-acme-tls/1"), b"GET / HTTP/1.0\r\n\r\n"]
SESSIONS, AT_ONCE = 400, 40


class Plan:
    """What one session does, from its number alone."""

    def __init__(self, seed, number):
        rng = random.Random(seed * 100003 + number)
        self.number = number
        self.hello = rng.choice(HELLOS)
        self.sizes = [rng.choice([0, 1, 700, 20_000, rng.randrange(1_500_000)]) for _ in range(2)]  # up, down
        self.chunk = [rng.choice([1, 50, 1400, 9000, 65536, 400_000]) for _ in range(2)]
        self.late = [rng.random() * 0.05 if rng.random() < 0.3 else 0 for _ in range(2)]  # reads after a pause
        self.small_buffer = rng.random() < 0.2
        self.resetter = rng.choice([0, 1]) if rng.random() < 0.2 else None
        self.reset_after = rng.randrange(200_000)
        for side in range(2):  # a byte at a time is for little data
            self.chunk[side] = max(self.chunk[side], self.sizes[side] // 400)


class End(threading.Thread):
    """One end of a session: writes in a thread of its own, reads here, and keeps what went wrong."""

    def __init__(self, sock, plan, side):
        super().__init__(daemon=True)
        self.sock, self.plan, self.side = sock, plan, side
        self.out, self.into = (UP, DOWN) if side == 0 else (DOWN, UP)
        self.got, self.reset, self.error = 0, False, None

    def _write(self):
        size, chunk = self.plan.sizes[self.side], self.plan.chunk[self.side]
        sent = 0
        try:
            while sent < size:
                if self.plan.resetter == self.side and sent >= self.plan.reset_after:
                    break
                sent += self.sock.send(self.out.view(sent, min(chunk, size - sent)))
            if self.plan.resetter == self.side:
                self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")
                self.sock.shutdown(socket.SHUT_RD)  # the reader below ends, and closes with a reset
            else:
                self.sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.reset = True

    def run(self):
        writer = threading.Thread(target=self._write, daemon=True)
        writer.start()
        try:
            pause(self.plan.late[self.side])
            while data := self.sock.recv(1 << 18):
                wrong = self.into.mismatch(self.got, data)
                if wrong is not None:
                    self.error = f"byte {wrong} differs"
                    break
                self.got += len(data)
        except RESET:
            self.reset = True
        except OSError as error:
            self.error = repr(error)
        writer.join(20 * SCALE)
        if writer.is_alive():
            self.error = self.error or "the writer hangs"
        self.sock.close()


class Backends:
    """Accepts on both, and starts the backend's end of each session by the number behind its hello."""

    def __init__(self, seed, *listeners):
        self.seed, self.ends, self.listeners = seed, {}, listeners
        self.threads = [threading.Thread(target=self._accept, args=(listener.sock,), daemon=True) for listener in listeners]
        for thread in self.threads:
            thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *failure):
        """close() alone would not wake accept(): the call holds the listener."""
        for listener in self.listeners:
            listener.sock.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(10 * SCALE)

    def _accept(self, listener):
        while True:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(sock,), daemon=True).start()

    def _serve(self, sock):
        sock.settimeout(20 * SCALE)
        try:
            first = b""
            while MARK not in first or len(first) < first.index(MARK) + len(MARK) + NAME:
                seen = len(first)
                first = sock.recv(4096, socket.MSG_PEEK)
                if len(first) == seen == 0:
                    sock.close()  # made ahead and not used
                    return
                if len(first) == seen:
                    pause(0.001)
            length = first.index(MARK) + len(MARK) + NAME
            first = sock.recv(length)
            number = int.from_bytes(first[-NAME:], "big")
            assert first[:-NAME - len(MARK)] == Plan(self.seed, number).hello
            end = End(sock, Plan(self.seed, number), 1)
            end.start()
            self.ends[number] = end
        except OSError:
            sock.close()


def run_session(seed, number, address, backends, failures):
    plan = Plan(seed, number)
    sock = socket.socket()
    sock.settimeout(20 * SCALE)
    if plan.small_buffer:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    sock.connect(address)
    sock.sendall(plan.hello + MARK + number.to_bytes(NAME, "big"))
    client = End(sock, plan, 0)
    client.start()
    client.join(40 * SCALE)
    if plan.resetter is None:  # an early reset may have kept it from the backend
        wait_until(lambda: number in backends.ends, 5, "the session at a backend")
    server = backends.ends.get(number)
    if server:
        server.join(40 * SCALE)
    ends = [end for end in (client, server) if end]
    errors = [f"{'client' if end.side == 0 else 'backend'}: {end.error or 'hangs'}" for end in ends
              if end.error or end.is_alive()]
    if plan.resetter is None and not errors:
        if not server or client.reset or server.reset:
            errors.append("reset or not served, though neither end reset")
        elif (server.got, client.got) != tuple(plan.sizes):
            errors.append(f"{server.got} of {plan.sizes[0]} up, {client.got} of {plan.sizes[1]} down")
    if errors:
        details = {key: value for key, value in vars(plan).items() if key != "hello"}
        failures.append(f"session {number}: {'; '.join(errors)}: {details}, hello {HELLOS.index(plan.hello)}")


@pytest.mark.long
@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("buffer", ["1M", "64K"])
def test_chaos(lab, plane, seed, buffer):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--buffer", buffer, plane=plane, log_level="info")
    numbers, failures = iter(range(SESSIONS)), []
    lock = threading.Lock()

    def work():
        while True:
            with lock:
                number = next(numbers, None)
            if number is None or len(failures) > 5:
                return
            try:
                run_session(seed, number, router.address(), backends, failures)
            except Exception as error:
                failures.append(f"session {number}: {error!r}")

    threads = [threading.Thread(target=work, daemon=True) for _ in range(AT_ONCE)]
    with Backends(seed, acme, https) as backends:
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(90 * SCALE)
    assert not any(thread.is_alive() for thread in threads), "sessions hang"
    assert not failures, "\n".join(failures)
    router.finish()
    totals = router.totals()
    assert totals["sessions"] == SESSIONS
    assert not {key for key in totals if key in ("end_gap", "end_trim", "end_redirect", "end_lost", "end_local_error")}
