# SPDX-License-Identifier: BSD-2-Clause
"""
Segments that somebody sends in a client's name, and that TCP refuses: the watch must not believe them either. The server gets
every byte as the client sent it, and a hello goes where it belongs.
"""
import random

import pytest

from hellos import ACME as ACME_NAME
from hellos import acme_hello, https_hello, message, noise, padding, record
from in_place import armed
from rawtcp import ACK, RST, SYN, RawPeer
from watched import H, answer, end

# A record that announces 16 KB of a ClientHello: whoever believes it waits for the rest.
ENDLESS = b"\x16\x03\x01\x40\x00\x01\x00\x3f\xfc\x03\x03" + bytes(1400)
LONG = record(message(b"h2", extra=[padding(5000)]))

# What is wrong with the segment, as arguments of RawPeer.forge().
REFUSED = {
    "acknowledges what was not sent": {"acknowledge": 1000},
    "acknowledges far more": {"acknowledge": 0x40000000},
    "no acknowledgement": {"flags": 0},
    "wrong checksum": {"spoiled": 0},
    "old timestamp": {"age": 0x10000000},
}
# A request refuses that, too; a socket takes bytes in order with any old acknowledgement (tcp_rcv_established).
REFUSED_AT_FIRST = {**REFUSED, "acknowledges what is long past": {"acknowledge": -0x20000000}}


@pytest.fixture
def plain(shared_plain):
    return shared_plain


@pytest.fixture
def raw(tun):
    peer = RawPeer(tun, wrap_at=H // 2, timestamps=True)
    yield peer
    peer.reset()


def is_of(connection, raw):
    try:
        return connection.sock.getpeername()[1] == raw.local_port
    except OSError:  # it was taken over, and reset
        return False


def received(plain, acme, raw, stream):
    """The end that has this connection, all of it."""
    server = acme.accept() if ACME_NAME in stream else plain.web.accept_any()
    while ACME_NAME not in stream and not is_of(server, raw):
        server.close()
        server = plain.web.accept_any()
    assert server.read(len(stream)) == stream
    return server


@pytest.mark.parametrize("wrong", REFUSED_AT_FIRST)
def test_a_longer_hello_before_the_validations(plain, raw, wrong):
    """The responder gets the validation, though another hello was seen ahead of it."""
    with armed(plain.router) as acme:
        raw.connect(443)
        raw.forge(ENDLESS, 0, **REFUSED_AT_FIRST[wrong])
        raw.insist(acme_hello(), H)
        server = received(plain, acme, raw, acme_hello())
        answer(raw, server)
        end(raw, server, H)
    assert plain.counted()["takeovers"] == 1


@pytest.mark.parametrize("hello", [acme_hello(), https_hello()], ids=["acme", "https"])
@pytest.mark.parametrize("wrong", REFUSED)
def test_the_other_hello(plain, raw, wrong, hello):
    """The hello of the other route, in the client's place, also while its own is half there."""
    other = https_hello() if hello == acme_hello() else acme_hello()
    with armed(plain.router) as acme:
        raw.connect(443)
        raw.forge(other, 0, **REFUSED[wrong])
        raw.segment(hello, 0, 60)
        raw.wait_acked(60)
        raw.forge(other[60:], 60, **REFUSED[wrong])
        raw.insist(hello, len(hello))
        server = received(plain, acme, raw, hello)
        answer(raw, server)
        end(raw, server, len(hello))
    assert plain.counted()["takeovers"] == int(hello == acme_hello())


@pytest.mark.parametrize("wrong", REFUSED)
def test_other_bytes_of_a_long_hello(plain, raw, wrong):
    """The web server gets the client's bytes, not those that came in its place."""
    stream = LONG + noise(3000, "behind")
    with armed(plain.router) as acme:
        raw.connect(443)
        for start in range(0, len(stream), 600):
            if start == 1200:
                raw.forge(noise(1000, "forged"), 1000, **REFUSED[wrong])
                raw.forge(noise(600, "forged"), 1200, **REFUSED[wrong])
            raw.segment(stream, start, min(start + 600, len(stream)))
        raw.insist(stream, len(stream))
        server = received(plain, acme, raw, stream)
        answer(raw, server)
        end(raw, server, len(stream))


@pytest.mark.parametrize("wrong", REFUSED)
def test_other_bytes_after_the_hello(plain, raw, wrong):
    """The socket that continues a connection refuses them, too, though repair told it no timestamp of the client's."""
    stream = acme_hello() + noise(3000, "behind")
    with armed(plain.router) as acme:
        raw.connect(443)
        raw.insist(stream, H)
        server = acme.accept()
        raw.forge(noise(1000, "forged"), H, **REFUSED[wrong])
        raw.insist(stream, len(stream))
        assert server.read(len(stream)) == stream
        answer(raw, server)
        end(raw, server, len(stream))


def pieces(chance, length):
    """Where a client cuts its stream."""
    at = 0
    while at < length:
        size = min(chance.choice([1, 2, 5, 40, 300, 1400]), length - at)
        yield at, at + size
        at += size


def crafted(seed):
    """A random stream, and its pieces with forged ones between them."""
    chance = random.Random(seed)
    names = [ACME_NAME] if chance.random() < 0.5 else [b"h2"]
    extra = [padding(chance.choice([0, 10, 300, 1200, 2500, 6000]))] if chance.random() < 0.5 else []
    hello = record(message(*names, extra=extra, first=chance.random() < 0.3))
    stream = hello + noise(chance.choice([0, 1, 100, 3000]), str(seed))
    script = []
    for start, stop in list(pieces(chance, len(stream)))[:40]:
        while chance.random() < 0.4:
            at = max(0, start + chance.randrange(-200, 300))
            payload = chance.choice([ENDLESS, acme_hello(), https_hello(), noise(1400, str(chance.random()))])
            script.append((at, payload[:chance.choice([1, 40, 300, 1400])], chance.choice(list(REFUSED.values()))))
        script.append((start, stop, None))
    return stream, script


@pytest.mark.parametrize("seeds", [range(at, at + 200) for at in range(0, 2000, 200)], ids=str)
def test_at_random(plain, tun, seeds):
    with armed(plain.router) as acme:
        for number in seeds:
            stream, script = crafted(number)
            raw = RawPeer(tun, wrap_at=number * 7, timestamps=True).connect(443)
            for at, what, wrong in script:
                raw.segment(stream, at, what) if wrong is None else raw.forge(what, at, **wrong)
            raw.insist(stream, len(stream))
            server = received(plain, acme, raw, stream)
            end(raw, server, len(stream))
    assert plain.counted()["takeovers_failed"] == 0


def test_a_held_connection_ends_no_more_easily(plain, raw):
    """A reset or a SYN within the window, but not exactly where it should be, ends no connection, held or not."""
    with armed(plain.router) as acme:
        raw.connect(443)
        for offset in (1, 100, 5000):
            for flags in (RST, RST | ACK, SYN, SYN | ACK):
                raw.forge(b"", offset, flags=flags)
        raw.insist(acme_hello(), H)
        server = received(plain, acme, raw, acme_hello())
        answer(raw, server)
        end(raw, server, H)
