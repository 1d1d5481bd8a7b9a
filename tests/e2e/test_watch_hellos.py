# SPDX-License-Identifier: BSD-2-Clause
"""Hellos read in passing, in all forms: in pieces, long, with bytes after them, cut and lost by a network."""
import pytest

from hellos import ACME as ACME_NAME
from hellos import acme_hello, https_hello, message, noise, padding, record
from in_place import armed
from rawtcp import RawPeer
from watched import H, exchange, validate


@pytest.fixture
def plain(shared_plain):
    return shared_plain


# --- forms of hellos ---


@pytest.mark.parametrize("size", [1, 7, 100])
def test_pieces(plain, size):
    hello = acme_hello()
    with armed(plain.router) as acme:
        client = plain.client()
        validate(client, acme, hello, split=size)
        other = plain.client()
        other.send_split(https_hello(), size)
        server = plain.served(https_hello())
        exchange(other, server)
    totals = plain.counted()
    assert totals["sessions"] == totals["takeovers"] == 1


@pytest.mark.parametrize("length", [2000, 3600, 6000, 9000, 15000])
@pytest.mark.parametrize("route", ["acme", "https"])
def test_long_hellos(plain, length, route):
    """A hello that is too long to store is taken over before it is decided; the bytes are the same."""
    hello = record(message(ACME_NAME if route == "acme" else b"h2", extra=[padding(length)]))
    with armed(plain.router) as acme:
        client = plain.client()
        client.send_split(hello, 1400)
        if route == "acme":
            server = acme.accept()
            assert server.read(len(hello)) == hello
        else:
            server = plain.served(hello)
        exchange(client, server)
    totals = plain.counted()
    assert totals["takeovers_failed"] == 0
    assert route == "https" or totals["takeovers"] == 1


def test_more_behind_the_hello(plain):
    """Bytes that a client sends right after the hello are not lost, however many."""
    with armed(plain.router) as acme:
        for count in (1, 4096, 100000):
            client = plain.client()
            client.send(acme_hello() + noise(count))
            server = acme.accept()
            assert server.read(len(acme_hello())) == acme_hello()
            assert server.read(count) == noise(count)
            exchange(client, server)
    assert plain.counted()["takeovers"] == 3


def test_end_behind_the_hello(plain):
    with armed(plain.router) as acme:
        client = plain.client()
        client.send(acme_hello())
        client.finish_sending()
        server = acme.accept()
        assert server.read_to_end() == acme_hello()
        server.send(b"answer")
        server.close()
        assert client.read_to_end() == b"answer"
    assert plain.counted()["takeovers"] == 1


# --- segments of a network that loses and reorders ---

# The segments of the hello, in order of appearance.
CASES = {
    "twice": [(0, H), (0, H)],
    "second half first": [(H // 2, H), (0, H // 2), (H // 2, H)],
    "three, the last first": [(150, H), (0, 80), (80, 150), (150, H)],
    "in the middle twice": [(0, 50), (50, 100), (50, 100), (100, H)],
    "cut anew": [(0, 50), (0, 120), (0, H)],
    "overlapping": [(0, 50), (30, 100), (90, H)],
    "all again, and more": [(0, 40), (40, 80), (0, H)],
    "a piece of the last": [(0, 40), (40, 80), (40, 50), (45, 80), (80, H)],
    "one by one, each with the last byte": [(max(0, n - 1), n + 1) for n in range(H)],
}


@pytest.fixture
def raw(tun):
    peer = RawPeer(tun, wrap_at=H // 2)  # sequence numbers wrap within the hello
    yield peer
    peer.reset()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("route", ["acme", "https"])
def test_crafted_segments(plain, raw, route, case):
    stream = (acme_hello() if route == "acme" else https_hello()) + noise(300)
    length = len(stream) - 300
    with armed(plain.router) as acme:
        raw.connect(443)
        for start, end in CASES[case]:
            raw.segment(stream, min(start, length), length if end == H else min(end, length))
        server = acme.accept() if route == "acme" else plain.served(stream[:length])
        raw.wait_acked(length)
        raw.segment(stream, length, length + 300)
        assert server.read(len(stream)) == stream if route == "acme" else server.read(300) == stream[length:]
        server.send(noise(1000, "answer"))
        assert raw.wait_received(1000) == noise(1000, "answer")
        server.close()
        raw.wait_fin()
        raw.finish(length + 300)
        raw.wait_acked(length + 301)
    totals = plain.counted()
    assert totals["takeovers"] == totals["sessions"] == (route == "acme")
    assert totals["takeovers_failed"] == 0


def test_handshake_without_its_last_packet(plain, raw):
    """The client's acknowledgement is lost: the server has no socket yet when the hello arrives."""
    stream = acme_hello()
    with armed(plain.router) as acme:
        raw.connect(443, acknowledge=False)
        raw.segment(stream, 0, 100)
        raw.segment(stream, 100, H)
        server = acme.accept()
        assert server.read(H) == stream
        server.close()
        raw.wait_fin()
        raw.finish(H)
        raw.wait_acked(H + 1)
    assert plain.counted()["takeovers"] == 1


def test_reset_between_pieces(plain, raw):
    """The client gives up: nothing is left of it, and the next one is served."""
    with armed(plain.router) as acme:
        raw.connect(443)
        raw.segment(acme_hello(), 0, 100)
        raw.wait_acked(100)
        raw.reset()
        validate(plain.client(), acme, acme_hello())
    assert plain.counted()["takeovers"] == 1
