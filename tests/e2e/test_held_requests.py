# SPDX-License-Identifier: BSD-2-Clause
"""
Hold: while armed, a connection stays a request of the kernel until its ClientHello comes, and is no easier to end than
an established one.
"""
import pytest

from hellos import acme_hello, hello, https_hello, noise
from in_place import armed
from rawtcp import ACK, FIN, RST, SYN, RawPeer
from waiting import now
from watched import H, Plain, answer, end, exchange, validate

HTTPS = len(https_hello())


@pytest.fixture(scope="module")
def module_plain(module_lab, veth):
    plain = Plain(module_lab, veth)
    yield plain
    plain.web.close()
    module_lab.finish(plain.router)


@pytest.fixture
def plain(shared_plain):
    return shared_plain


@pytest.fixture
def raw(tun):
    peer = RawPeer(tun, wrap_at=H // 2)  # sequence numbers wrap within the hello
    yield peer
    peer.reset()


def held(plain):
    return plain.increase()["held"]


def test_until_the_hello(plain, raw):
    """The web server gets the hello with its connection."""
    with armed(plain.router):
        raw.connect(443)
        raw.segment(https_hello(), 0, HTTPS)
        server = plain.served(https_hello())
        answer(raw, server)
        end(raw, server, HTTPS)
    assert held(plain) == 1
    assert plain.counted()["takeovers"] == 0


@pytest.mark.alone
def test_not_for_long(plain, raw):
    """Without a hello, the connection is the web server's soon, long before the kernel sends its SYN-ACK again."""
    with armed(plain.router):
        began = now()
        raw.connect(443)
        server = plain.web.accept_any()
        assert now() - began < 0.5
        raw.segment(https_hello(), 0, HTTPS)
        assert server.read(HTTPS) == https_hello()
        answer(raw, server)
        end(raw, server, HTTPS)
    assert held(plain) == 1


def test_not_when_unarmed(plain, raw):
    raw.connect(443)
    server = plain.web.accept_any()
    assert held(plain) == 0
    server.close()


@pytest.mark.parametrize("route", ["acme", "https"])
def test_a_hello_after_a_while(plain, route):
    """The web server has a socket by then."""
    first = acme_hello() if route == "acme" else https_hello()
    with armed(plain.router) as acme:
        client = plain.client()
        server = plain.web.accept_any()
        client.send(first)
        if route == "acme":
            server = acme.accept()
        assert server.read(len(first)) == first
        exchange(client, server)
    assert plain.counted()["takeovers"] == (route == "acme")


# What an attacker would send who knows the addresses and ports, but no sequence number: within the window or not.
INJECTED = {
    "a reset in the window": (1, RST, 0),
    "a reset with an acknowledgement": (100, RST | ACK, 0),
    "a SYN in the window": (1, SYN, 0),
    "a SYN-ACK in the window": (500, SYN | ACK, 0),
    "an acknowledgement of what was not sent": (0, ACK, 1000),
    "a FIN of another place": (70000, FIN | ACK, 0),
}


@pytest.mark.parametrize("case", INJECTED)
@pytest.mark.parametrize("route", ["acme", "https"])
def test_what_would_not_end_a_connection(plain, raw, route, case):
    """A request is no weaker than a socket: only the exact reset ends it (RFC 5961)."""
    first = acme_hello() if route == "acme" else https_hello()
    offset, flags, acknowledge = INJECTED[case]
    with armed(plain.router) as acme:
        raw.connect(443)
        raw.inject(offset, flags, acknowledge=acknowledge)
        raw.segment(first, 0, len(first))
        server = acme.accept() if route == "acme" else plain.served(first)
        assert route == "https" or server.read(H) == first
        answer(raw, server)
        end(raw, server, len(first))
    assert plain.counted()["takeovers_failed"] == 0


def test_the_clients_reset(plain, raw):
    with armed(plain.router) as acme:
        raw.connect(443)
        raw.inject(0, RST)
        validate(plain.client(), acme, acme_hello())
    assert plain.counted()["takeovers"] == 1


PIECES = {
    "two": [(0, 120), (120, H)],
    "three": [(0, 120), (120, 150), (150, H)],
    "the first twice": [(0, 190), (0, 120), (120, H)],
    "the second before the first": [(190, H), (0, 120), (120, H)],
    "with a gap": [(0, 120), (150, H), (120, 150), (150, H)],
    "over the cut": [(0, 120), (100, H)],
}


@pytest.mark.parametrize("case", PIECES)
def test_a_validation_in_segments(plain, raw, case):
    """Once acme-tls/1 has been named, its segments are held, too."""
    stream = hello(b"acme-tls/1", first=True) + noise(300)
    with armed(plain.router) as acme:
        raw.connect(443)
        for start, stop in PIECES[case]:
            raw.segment(stream, start, stop)
        server = acme.accept()
        assert server.read(H) == stream[:H]
        raw.wait_acked(H)
        raw.insist(stream, H + 300)
        assert server.read(300) == stream[H:]
        answer(raw, server)
        end(raw, server, H + 300)
        assert case.startswith("the second") or not plain.web.pending()
    assert plain.counted()["takeovers"] == 1
