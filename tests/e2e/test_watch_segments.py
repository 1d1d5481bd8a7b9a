# SPDX-License-Identifier: BSD-2-Clause
"""
Segments that a network cuts, loses, duplicates and corrupts, in the watch: a TCP peer in user space sends what no normal
kernel does, and retransmits what is not acknowledged, as every client does. And reused addresses and ports.
"""
import socket

import pytest

from hellos import acme_hello, https_hello, noise
from in_place import armed
from rawtcp import RawPeer
from sockets import Peer
from watched import H, answer, end

HELLOS = {"acme": acme_hello(), "https": https_hello()}
END = None  # of the hello, and of what is behind it in the same segment
BEHIND = 200

# What test_watch_hellos.CASES lacks: here the last segment has more than the hello, and what is missing comes again.
SCRIPTS = {
    "twice, then from its middle": [(0, 60), (0, 60), (30, END)],
    "a hole, filled exactly": [(0, 60), (100, END), (60, 100), (100, END)],
    "two times one byte": [(0, 1), (1, 2), (2, END)],
    "two pieces twice": [(0, 60), (60, 100), (0, 60), (60, 100), (60, END)],
    "over the cut, nothing new": [(0, 60), (60, 100), (20, 90), (100, END)],
}


@pytest.fixture
def plain(shared_plain):
    return shared_plain


@pytest.fixture
def raw(tun):
    peer = RawPeer(tun, wrap_at=70)  # sequence numbers wrap within the hello
    yield peer
    peer.reset()


def nothing_left(plain, takeovers):
    counted = plain.counted()
    assert counted["takeovers"] == takeovers and counted["takeovers_failed"] == 0


def served(plain, acme, route):
    """The side that has this route's hello."""
    if route == "https":
        return plain.served(HELLOS[route])
    server = acme.accept()
    assert server.read(H) == acme_hello()
    return server


def test_windows_for_a_client_without_scaling(plain, raw):
    """Without scaling, the window field is in bytes: scaled like others it would be a few bytes."""
    with armed(plain.router) as acme:
        raw.connect(443)
        before = len(raw.windows)
        raw.segment(acme_hello(), 0, H)
        server = served(plain, acme, "acme")
        raw.wait_acked(H)
        answer(raw, server)
        assert raw.windows[before:] and min(raw.windows[before:]) >= 10000, raw.windows
        end(raw, server, H)
    nothing_left(plain, 1)


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
    nothing_left(plain, int(route == "acme"))


@pytest.mark.parametrize("start, at", [(0, 20), (50, 70), (90, H - 1)], ids=["whole", "second", "last byte"])
def test_spoiled_segment(plain, raw, start, at):
    """A corrupted byte fails the checksum: the segment is ignored, and retransmitted correctly."""
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
    nothing_left(plain, 1)


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
    nothing_left(plain, int(route == "acme"))


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
    nothing_left(plain, 1)


def test_same_ends_again(plain):
    """The same address and port repeatedly: nothing of an earlier connection is in the way."""
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
    nothing_left(plain, 5)
