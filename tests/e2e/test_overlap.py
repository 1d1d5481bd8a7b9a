# SPDX-License-Identifier: BSD-2-Clause
"""
Overlapping TCP segments. The kernel hands the verdict whole segments, including bytes it had before; the backend must still
get the exact stream. A TCP peer in user space sends each case; the sockmap plane must have trimmed, the user plane never has
to.
"""
import random

import pytest

from hellos import acme_hello, https_hello, noise
from rawtcp import RawPeer
from waiting import wait_until

HELLO = https_hello()
H = len(HELLO)
LETTERS = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
FIN = "fin"

# name: the segments behind the hello, (start, end) or (start, end, FIN), and whether any reaches the verdict twice in
# part. Segments in the tuple's order; the stream is LETTERS.
CASES = {
    "second starts inside the first": ([(0, 10), (5, 20)], True),
    "A-J, F-T, then on": ([(0, 10), (5, 20), (20, 52)], True),
    "cut anew and longer": ([(0, 10), (0, 25), (25, 52)], True),
    "one byte more each time": ([(0, n) for n in range(1, 30)], True),
    "hole filled by a wider segment": ([(0, 10), (20, 30), (5, 25), (30, 52)], True),
    "two holes, one segment for both": ([(0, 5), (10, 15), (20, 25), (3, 30)], True),
    "islands that overlap each other, covered whole": ([(0, 5), (20, 30), (15, 25), (10, 18), (5, 40)], False),
    "last segment first": ([(30, 52), (20, 35), (10, 25), (0, 15)], True),
    "overlap by one byte": ([(0, 10), (9, 20), (19, 52)], True),
    "exact duplicate": ([(0, 10), (0, 10), (10, 52)], False),
    "a piece of what was there": ([(0, 30), (5, 20), (29, 30), (30, 52)], False),
    "in order, nothing twice": ([(0, 10), (10, 20), (20, 52)], False),
    "out of order, nothing twice": ([(10, 20), (0, 10), (20, 52)], False),
    "FIN in an overlapping segment": ([(0, 10), (5, 20, FIN)], True),
    "FIN on the byte it follows": ([(0, 10), (10, 20), (19, 20, FIN)], True),
    "bare FIN, then the segment again with its FIN": ([(0, 20), (20, 20, FIN), (10, 20, FIN)], False),
    "data and FIN twice": ([(0, 20, FIN), (0, 20, FIN)], False),
    "FIN ahead of the hole, filled wider": ([(0, 5), (20, 30, FIN), (3, 25)], True),
}


@pytest.fixture
def raw(tun):
    """Peers which are reset when the test ends, so that nothing of it is left in the kernel."""
    peers = []

    def make():
        peers.append(RawPeer(tun, wrap_at=H + 12))  # within the letters
        return peers[-1]

    yield make
    for peer in peers:
        peer.reset()


@pytest.fixture
def ground(lab, plane, tun):
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane, listen=[(tun.server, 443)])
    return router, https, acme


def end_session(raw_peer, server, router, fin_sent, stream_end):
    """Close both directions in order and return the session's log line."""
    if not fin_sent:
        raw_peer.finish(stream_end)
    assert server.read_to_end() == b""
    server.close()
    raw_peer.wait_fin()
    return router.closed(raw_peer.local_port)


@pytest.mark.parametrize("case", CASES)
def test_crafted_segments(ground, plane, raw, case):
    router, https, _ = ground
    segments, overlaps = CASES[case]
    stream = HELLO + LETTERS
    end = H + max(segment[1] for segment in segments)
    peer = raw().connect(443)
    peer.segment(stream, 0, H)
    server = https.accept()
    assert server.read(H) == HELLO
    server.send(b"go")
    assert peer.wait_received(2) == b"go"
    fin_sent = False
    for start, stop, *fin in segments:
        fin_sent = fin_sent or bool(fin)
        peer.segment(stream, H + start, H + stop, fin=bool(fin))
    peer.wait_acked(end + fin_sent)
    assert server.read(end - H) == stream[H:end]
    server.send(b"and back")
    assert peer.wait_received(10) == b"goand back"
    closed = end_session(peer, server, router, fin_sent, end)
    assert (closed.cause, closed.up, closed.down) == ("done", end, 10)
    if plane == "sockmap" and overlaps:
        assert closed.trimmed > 0, "no overlap reached the verdict: the case tests nothing"
    if plane == "user" or not overlaps:
        assert closed.trimmed == 0


@pytest.mark.parametrize("route", ["https", "acme"])
@pytest.mark.parametrize("step,back", [(40, 10), (25, 24), (100, 60), (7, 3)])
def test_overlaps_inside_the_hello(ground, plane, raw, route, step, back):
    """The parser must not read a byte twice either."""
    router, https, acme = ground
    hello, backend = (HELLO, https) if route == "https" else (acme_hello(), acme)
    stream = hello + LETTERS
    peer = raw().connect(443)
    at = 0
    while at < len(stream):
        peer.segment(stream, max(0, at - back), min(at + step, len(stream)))
        at += step
    peer.wait_acked(len(stream))
    server = backend.accept()
    assert server.read(len(stream)) == stream
    closed = end_session(peer, server, router, False, len(stream))
    assert (closed.route, closed.cause, closed.up) == (route, "done", len(stream))
    if plane == "sockmap":
        assert closed.trimmed > 0


def random_segments(rng, length):
    """Every byte at least once, in pieces that overlap, some far too early, all within one receive window."""
    at, pieces = 0, []
    while at < length:
        stop = min(length, at + rng.randint(1, 1200))
        start = max(0, at - rng.choice([0, 0, 1, rng.randint(1, 1400 - (stop - at))]))
        pieces.append((start, stop))
        at = stop
    for _ in range(len(pieces) // 2):  # neighbours change places, some come twice
        index = rng.randrange(len(pieces) - 1)
        pieces[index], pieces[index + 1] = pieces[index + 1], pieces[index]
        if rng.random() < 0.3:
            pieces.insert(rng.randrange(len(pieces)), pieces[index])
    return pieces


@pytest.mark.parametrize("seed", range(12))
def test_random_cuts(ground, plane, raw, seed):
    """A stream of 20,000 bytes, half of the time with its FIN inside the mess; deterministic by its seed."""
    router, https, _ = ground
    rng = random.Random(seed)
    stream = HELLO + noise(20_000, f"stream {seed}")
    peer = raw().connect(443)
    peer.segment(stream, 0, H)
    fin = seed % 2 == 1
    server = None
    if fin:  # a client whose FIN is there before accept() cannot be put into the map: let the session stand first
        server = https.accept()
        assert server.read(H) == HELLO
    for start, stop in random_segments(rng, len(stream) - H):
        last = H + stop == len(stream)
        peer.segment(stream, H + start, H + stop, fin=fin and last)
    peer.wait_acked(len(stream) + fin)
    if server:
        assert server.read(len(stream) - H) == stream[H:]
    else:
        server = https.accept()
        assert server.read(len(stream)) == stream
    closed = end_session(peer, server, router, fin, len(stream))
    assert (closed.cause, closed.up) == ("done", len(stream))
    if plane == "sockmap":
        assert closed.trimmed > 0


def test_overlaps_while_the_backend_does_not_read(lab, plane, raw, tun):
    """Back-pressure and overlap together: what is passed to user space is trimmed like what is redirected."""
    acme, https = lab.backends(receive_buffer=4096)
    router = lab.router(acme, https, "--buffer", "128K", plane=plane, listen=[(tun.server, 443)])
    stream = HELLO + noise(60_000, "slow")
    peer = raw().connect(443)
    peer.segment(stream, 0, H)
    server = https.accept()
    at = H
    while at < len(stream):
        stop = min(at + 1000, len(stream))
        peer.segment(stream, max(H, at - 400), stop)
        at = stop
        if (at - H) % 10_000 == 0:
            peer.wait_acked(at)
    assert server.read(len(stream)) == stream
    peer.wait_acked(len(stream))
    closed = end_session(peer, server, router, False, len(stream))
    assert (closed.cause, closed.up) == ("done", len(stream))
    if plane == "sockmap":
        assert closed.trimmed > 0


@pytest.mark.parametrize("case", [name for name, (_, overlaps) in CASES.items() if overlaps])
def test_overlaps_from_the_backend(lab, plane, raw, tun, case):
    """The same towards the client: nothing in the design distinguishes the directions."""
    segments, _ = CASES[case]
    end = max(segment[1] for segment in segments)
    port = tun.port()
    router = lab.router(lab.listener(), (tun.client, port), plane=plane)
    client = lab.connect(router)
    client.send(HELLO)
    backend = raw().accept(port)
    assert backend.wait_received(H) == HELLO
    fin_sent = False
    for start, stop, *fin in segments:
        fin_sent = fin_sent or bool(fin)
        backend.segment(LETTERS, start, stop, fin=bool(fin))
    backend.wait_acked(end + fin_sent)
    assert client.read(end) == LETTERS[:end]
    client.finish_sending()
    backend.wait_fin()
    if not fin_sent:
        backend.finish(end)
    assert client.read_to_end() == b""
    client.close()
    closed = router.closed(client)
    assert (closed.cause, closed.up, closed.down) == ("done", H, end)
    if plane == "sockmap":
        assert closed.trimmed > 0


def test_many_raw_sessions_leave_nothing_behind(ground, raw):
    """A peer that vanishes with a reset in the middle of an overlap."""
    router, https, _ = ground
    for _ in range(20):
        peer = raw().connect(443)
        stream = HELLO + LETTERS
        peer.segment(stream, 0, H)
        server = https.accept()
        peer.segment(stream, H, H + 10)
        peer.segment(stream, H + 5, H + 20)
        peer.wait_acked(H + 20)
        assert server.read(H + 20) == stream[:H + 20]
        peer.reset()
        assert server.outcome() == "reset"
        wait_until(lambda: router.closed(peer.local_port).cause == "client_reset", 5, "client_reset in the log")
