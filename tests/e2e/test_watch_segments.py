# SPDX-License-Identifier: BSD-2-Clause
"""
Segments that a network cuts, loses, doubles and spoils, before the watch on hellos: a TCP peer in user space sends
what no well-behaved kernel does, and repeats what is not acknowledged, as every client would. And what the two ends
agreed on, the same ends again, and the program's own end while a hello is half there.
"""
import contextlib
import os
import re
import socket

import pytest

from hello_cases import sized, record_or_records
from hellos import acme_hello, https_hello, noise
from in_place import ACME, armed
from netns import run
from rawtcp import RawPeer
from sockets import Peer
from waiting import SCALE, now, wait_until
from watched import BULK, H, Plain, entries, exchange

HELLOS = {"acme": acme_hello(), "https": https_hello()}
END = None  # of the hello, and of what is behind it in the same segment
BEHIND = 200

# What test_watch.CASES lacks: here the last segment has more than the hello, and what is missing comes again.
SCRIPTS = {
    "twice, then from its middle": [(0, 60), (0, 60), (30, END)],
    "a hole, filled exactly": [(0, 60), (100, END), (60, 100), (100, END)],
    "two times one byte": [(0, 1), (1, 2), (2, END)],
    "two pieces twice": [(0, 60), (60, 100), (0, 60), (60, 100), (60, END)],
    "over the cut, nothing new": [(0, 60), (60, 100), (20, 90), (100, END)],
}


class Client(RawPeer):
    """A peer that repeats what it misses the acknowledgement of."""

    def insist(self, stream, end, piece=1400):
        """Send up to `end` what is not acknowledged, in pieces, each until it is."""
        deadline = now() + 5 * SCALE
        while self.acked < end:
            assert not self.peer_reset, f"reset at {self.acked} of {end}"
            assert now() < deadline, f"stuck at {self.acked} of {end}"
            start, timer = self.acked, now() + 0.2
            self.segment(stream, start, min(start + piece, end))
            while self.acked == start and self._take(timer):
                pass


class Half:
    """A connection whose hello is half there, at the web server."""

    SEEN = 60

    def __init__(self, client, web):
        self.client = client.send(acme_hello()[:self.SEEN])
        self.server = web.accept()

    def served(self):
        """The rest comes: the web server has all of it, in the connection it had."""
        self.client.send(acme_hello()[self.SEEN:])
        assert self.server.read(H) == acme_hello()
        exchange(self.client, self.server)


@pytest.fixture
def raw(tun):
    peer = Client(tun, wrap_at=70)  # sequence numbers begin anew within the hello
    yield peer
    peer.reset()


def nothing_left(router, takeovers):
    """The map of those on their way to us is empty (it must be there to tell), and the counters agree."""
    wait_until(lambda: entries(router, "taken") == 0, 5, "nothing on its way to us")
    router.finish()
    totals = router.totals()
    assert totals["takeovers"] == takeovers and totals["takeovers_failed"] == 0


def served(plain, acme, route):
    """Who has that route's hello."""
    if route == "https":
        return plain.served(HELLOS[route])
    server = acme.accept()
    assert server.read(H) == acme_hello()
    return server


def answer(raw, server, count=20000):
    server.send(noise(count, "answer"))
    assert raw.wait_received(count) == noise(count, "answer")


def end(raw, server, sent):
    """Both ends in order, the client's first."""
    raw.finish(sent)
    assert server.read_to_end() == b""
    server.close()
    raw.wait_fin()


# --- segments ---


def test_windows_for_a_client_without_scaling(plain, raw):
    """The window field is in bytes then: scaled as for others it would be a few of them."""
    with armed(plain.router) as acme:
        raw.connect(443)
        before = len(raw.windows)
        raw.segment(acme_hello(), 0, H)
        server = served(plain, acme, "acme")
        raw.wait_acked(H)
        answer(raw, server)
        assert raw.windows[before:] and min(raw.windows[before:]) >= 10000, raw.windows
        end(raw, server, H)
    nothing_left(plain.router, 1)


@pytest.mark.parametrize("route", ["acme", "https"])
def test_shorter_retransmission(plain, raw, route):
    """Two segments came as one (GRO); the first of them comes again, its acknowledgement was late."""
    hello = HELLOS[route]
    with armed(plain.router) as acme:
        raw.connect(443)
        raw.segment(hello, 0, 80)
        raw.wait_acked(80)
        raw.segment(hello, 0, 40)
        raw.insist(hello, len(hello))
        server = served(plain, acme, route)
        answer(raw, server)
        end(raw, server, len(hello))
    nothing_left(plain.router, int(route == "acme"))


@pytest.mark.parametrize("hello, piece", [(acme_hello(), 100), (record_or_records(sized(8000, b"h2")), 1000)],
                         ids=["acme", "long"])
def test_untakable_in_pieces(lab, veth, tun, raw, hello, piece):
    """A web server bound to its device: what cannot be taken over stays its own, all of it."""
    stream = hello + noise(500, "behind")
    web = lab.listener(host="0.0.0.0", port=443)
    web.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tun.name.encode())
    router = lab.router(ACME, 443, "--inspect", "watch", listen=[("0.0.0.0", 443)], bypass=True)
    with armed(router):
        raw.connect(443)
        raw.insist(stream, len(stream), piece)
        server = web.accept()
        assert server.read(len(stream)) == stream
        answer(raw, server)
        end(raw, server, len(stream))
    nothing_left(router, 0)


@pytest.mark.parametrize("start, at", [(0, 20), (50, 70), (90, H - 1)], ids=["whole", "second", "last byte"])
def test_spoiled_segment(plain, raw, start, at):
    """A byte changes on the way, the checksum tells: it counts for nothing, and comes again right."""
    with armed(plain.router) as acme:
        raw.connect(443)
        if start:
            raw.segment(acme_hello(), 0, start)
            raw.wait_acked(start)
        raw.segment(acme_hello(), start, H, spoiled=at)
        raw.insist(acme_hello(), H)
        server = served(plain, acme, "acme")
        answer(raw, server)
        end(raw, server, H)
    nothing_left(plain.router, 1)


@pytest.mark.parametrize("script", SCRIPTS)
@pytest.mark.parametrize("route", ["acme", "https"])
def test_orders(plain, raw, route, script):
    hello = HELLOS[route]
    stream = hello + noise(3000, "behind")
    with armed(plain.router) as acme:
        raw.connect(443)
        for start, stop in SCRIPTS[script]:
            raw.segment(stream, start, stop or len(hello) + BEHIND)
        raw.insist(stream, len(hello) + BEHIND)
        raw.insist(stream, len(stream), 700)
        server = served(plain, acme, route)
        assert server.read(3000) == stream[len(hello):]
        answer(raw, server)
        end(raw, server, len(stream))
    nothing_left(plain.router, int(route == "acme"))


@pytest.mark.parametrize("cut", [0, 60], ids=["whole", "cut"])
@pytest.mark.parametrize("fin", [False, True], ids=["open", "fin"])
def test_hello_acknowledges_the_handshake(plain, raw, cut, fin):
    """The last packet of the handshake is lost: the hello is what the server sees first, perhaps with its FIN."""
    with armed(plain.router) as acme:
        raw.connect(443, acknowledge=False)
        if cut:
            raw.segment(acme_hello(), 0, cut)
        raw.segment(acme_hello(), cut, H, fin=fin)
        server = served(plain, acme, "acme")
        raw.wait_acked(H)
        if fin:
            raw.finish(H)  # again
            assert server.read_to_end() == b""
            raw.wait_acked(H + 1)
        answer(raw, server, 100)
        if fin:
            server.close()
            raw.wait_fin()
        else:
            end(raw, server, H)
    nothing_left(plain.router, 1)


# --- with the kernel's TCP ---


def agreed(client):
    """What ss shows of our end: (segment size, the rest)."""
    text = run("ss", "-Htino", "sport = :443", "and", f"dport = :{client.local[1]}")
    sizes = re.findall(r"\bmss:(\d+)", text)
    assert len(sizes) == 1, f"one socket, not this: {text!r}"
    rest = set(re.findall(r"\b(ts|sack|wscale:\d+,\d+)\b", text)) - {"wscale:0,0"}  # that of no scaling
    return int(sizes[0]), rest


@pytest.mark.parametrize("missing", [None, "timestamps", "sack", "window_scaling"])
def test_what_was_agreed_on(lab, veth, missing):
    """The socket in its place has what the server's has, and is as fast. Of the segments, 12 bytes may be missing."""
    plain = Plain(lab, veth)

    def setting(value):
        if missing:
            run(*veth.namespace.prefix(), "sysctl", "-qw", f"net.ipv4.tcp_{missing}={value}")

    with contextlib.ExitStack() as stack:
        stack.callback(setting, 1)
        setting(0)
        acme = stack.enter_context(armed(plain.router))
        other = plain.client()
        other.send(https_hello())
        server = plain.served(https_hello())
        size, rest = agreed(other)
        assert ("ts" in rest) == (missing != "timestamps") and ("sack" in rest) == (missing != "sack")
        began = now()
        exchange(other, server, BULK)
        as_usual = now() - began

        client = plain.client()
        client.send(acme_hello())
        server = served(plain, acme, "acme")
        our_size, our_rest = agreed(client)
        assert our_rest == rest
        assert 1448 <= our_size <= size
        began = now()
        exchange(client, server, BULK)
        assert now() - began < 5 * as_usual + 0.5
    nothing_left(plain.router, 1)


def test_same_ends_again(plain):
    """The same address and port, again and again: nothing of the one before is in its way."""
    with armed(plain.router) as acme:
        for _ in range(5):
            with plain.veth.namespace.inside():
                sock = socket.socket()
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((plain.veth.client4, 55555))
            sock.connect((plain.veth.server4, 443))
            client = Peer(sock)
            client.send(acme_hello())
            served(plain, acme, "acme")
            client.reset()
    nothing_left(plain.router, 5)


# --- the end of the program ---


def test_end_in_the_midst(plain):
    with armed(plain.router):
        half = Half(plain.client(), plain.web)
        plain.router.finish()
        half.served()


@pytest.mark.parametrize("attempt", range(3))
def test_draining_without_worker_0(lab, veth, attempt):
    """
    A session may be worker 1's (the kernel chooses, hence the attempts): worker 0 ends at once, and a hello that is
    half there must not wait for it.
    """
    web = lab.listener(host="0.0.0.0", port=443)
    router = lab.router(ACME, 443, "--inspect", "watch", "--workers", "2", "--drain-timeout", "20",
                        listen=[("0.0.0.0", 443), ("127.0.0.1", 7443)])
    with armed(router):
        held = lab.connect(("127.0.0.1", 7443)).send(https_hello())
        server = web.accept()
        assert server.read(len(https_hello())) == https_hello()
        half = Half(lab.connect((veth.server4, 443), namespace=veth.namespace), web)
        threads = len(os.listdir(f"/proc/{router.pid}/task"))
        router.terminate()
        router.wait_line("draining", 5)
        wait_until(lambda: len(os.listdir(f"/proc/{router.pid}/task")) < threads, 5, "the end of the idle worker")
        half.served()
        assert router.running()
        exchange(held, server)
    router.finish()
