# SPDX-License-Identifier: BSD-2-Clause
"""
The first bytes of a connection decide its route, however they are cut, and reach the backend unaltered. The table of cases
is in hello_cases.py; here are the cuts, the deadlines and the early ends.
"""
import pytest

from control import status
from hello_cases import CASES, IN_EVERY_WAY, TO_ACME
from hellos import (ACME, EXT_ALPN, acme_hello, body, extension, handshake, https_hello, message, noise, record,
                    records)
from conftest import PLANES
from senders import at_once, byte_by_byte
from waiting import now, pause, wait_until

ANSWER = b"answer of the backend"


class Ground:
    """One program and its two backends, shared by all cases of a data plane."""

    def __init__(self, lab, plane):
        self.lab = lab
        self.acme, self.https = lab.backends()
        # What is decided here is decided by the bytes: the deadline is longer than any test waits.
        self.router = lab.router(self.acme, self.https, "--hello-timeout", "10m", plane=plane)

    def check(self, wire, route, send, family=4):
        """Send wire by `send`; the backend of `route` gets exactly it, answers, and both ends end in order."""
        chosen = self.acme if route == "acme" else self.https
        client = self.lab.connect(self.router, family=family)
        send(client, wire)
        server = chosen.accept()
        assert server.read(len(wire)) == wire
        self.lab.finish_session(self.router, client, server, route, len(wire))
        other = self.https if route == "acme" else self.acme
        if route == "https":
            assert other.untouched(), "the ACME responder must not see connections which are not for it"
        else:
            assert other.unused(), "the web server got bytes of an ACME validation"


@pytest.fixture(scope="module", params=PLANES)
def ground(request, module_lab):
    ground = Ground(module_lab, request.param)
    yield ground
    module_lab.finish(ground.router)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_route(ground, case):
    ground.check(case.whole(), case.route, at_once)


@pytest.mark.parametrize("case", IN_EVERY_WAY, ids=lambda case: case.name)
def test_route_with_bytes_behind_the_hello(ground, case):
    """Early data, or the rest of a flight, in the same segment."""
    ground.check(case.whole() + record(noise(700, "early"), kind=23), case.route, at_once)


@pytest.mark.parametrize("case", IN_EVERY_WAY, ids=lambda case: case.name)
def test_route_byte_by_byte(ground, case):
    ground.check(case.whole(), case.route, byte_by_byte)


@pytest.mark.parametrize("case", [case for case in IN_EVERY_WAY if case.message], ids=lambda case: case.name)
def test_route_in_many_records(ground, case):
    """TLS records of 7 bytes: every length field of the hello is cut somewhere."""
    ground.check(records(case.message, 7), case.route, at_once)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 64, 100])
def test_records_of_any_size_in_segments_of_any_size(ground, size):
    wire = records(message(b"h2", ACME), size)
    ground.check(wire, "acme", lambda client, data: client.send_split(data, size + 4))


@pytest.mark.parametrize("cut", [1, 5, 6, 9, 43, 44, 200])
def test_two_records(ground, cut):
    """A hello over two records, which HAProxy reads wrongly and sslh fails."""
    whole = message(ACME)
    ground.check(record(whole[:cut]) + record(whole[cut:]), "acme", at_once)


@pytest.mark.parametrize("case", TO_ACME[:3], ids=lambda case: case.name)
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99])
def test_half_a_hello_then_a_pause(ground, case, share):
    """As in tldr.fail: the second half comes later; the route must not be decided before."""
    wire = case.whole()
    cut = max(1, int(len(wire) * share))

    def send(client, data):
        client.send(data[:cut])
        pause(0.15)
        assert ground.acme.untouched(), "connected to ACME before the hello was whole"
        client.send(data[cut:])

    ground.check(wire, "acme", send)


@pytest.mark.parametrize("route", ["acme", "https"])
def test_ipv6(ground, route):
    ground.check(acme_hello() if route == "acme" else https_hello(), route, at_once, family=6)


def test_fin_before_the_hello_is_complete(ground):
    """The bytes and the FIN go to the web server, which may still answer."""
    part = acme_hello()[:60]
    client = ground.lab.connect(ground.router)
    client.send(part).finish_sending()
    server = ground.https.accept()
    assert server.read_to_end() == part
    server.send(ANSWER).close()
    assert client.read_to_end() == ANSWER
    client.close()
    closed = ground.router.closed(client)
    assert (closed.route, closed.cause) == ("https", "done")
    assert ground.acme.untouched()


def test_fin_right_behind_the_hello(ground):
    """A complete hello and its FIN, probably in one batch: the hello decides the route."""
    client = ground.lab.connect(ground.router)
    client.send(acme_hello()).finish_sending()
    server = ground.acme.accept()
    assert server.read_to_end() == acme_hello()
    server.send(ANSWER).close()
    assert client.read_to_end() == ANSWER
    client.close()
    assert ground.router.closed(client).route == "acme"


def test_fin_without_a_byte(ground):
    """A port scanner: there is nothing to route, and the connection ends."""
    client = ground.lab.connect(ground.router)
    client.finish_sending()
    assert client.outcome() in ("end", "reset")
    assert ground.https.unused() and ground.acme.untouched()


def test_reset_before_the_hello_is_complete(ground):
    client = ground.lab.connect(ground.router)
    client.send(acme_hello()[:60])
    wait_until(lambda: status(ground.router)["sessions"]["now"] == 1, 5, "the session")
    client.reset()
    assert ground.router.closed(client).cause == "client_reset"
    assert ground.acme.untouched()


# The deadlines, with programs of their own.

def test_hello_timeout_with_some_bytes(lab, plane):
    """An unfinished hello goes to the web server after --hello-timeout, and its later bytes as well."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--hello-timeout", "1s", plane=plane)
    client = lab.connect(router)
    started = now()
    client.send(acme_hello()[:60])
    server = https.accept()
    assert server.read(60) == acme_hello()[:60]
    assert 0.8 < now() - started < 5, "not the 5 s of the default"
    client.send(acme_hello()[60:]).finish_sending()
    assert server.read_to_end() == acme_hello()[60:]
    server.send(ANSWER).close()
    assert client.read_to_end() == ANSWER
    client.close()
    assert router.closed(client).route == "https"
    assert acme.untouched()
    router.finish()
    assert router.totals()["hello_timeout"] == 1


@pytest.mark.parametrize("defer", [True, False], ids=["defer_accept", "no_defer_accept"])
def test_hello_timeout_with_nothing(lab, plane, defer):
    """The connection of a silent client is closed, and no backend sees it."""
    acme, https = lab.backends()
    options = ["--hello-timeout", "1s"] + ([] if defer else ["--no-defer-accept"])
    router = lab.router(acme, https, *options, plane=plane)
    client = lab.connect(router)
    started = now()
    assert client.outcome(timeout=20) in ("end", "reset")
    assert now() - started > 0.8
    assert https.unused() and acme.untouched()
    if not defer:  # deferred, the kernel may end the connection before anybody accepts it
        assert router.closed(client).cause == "hello_silent"
        router.finish()
        assert router.totals()["hello_silent"] == 1


def test_late_hello_without_defer_accept(lab, plane):
    """The connection is accepted before its first byte: nothing is connected until the hello is there."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--no-defer-accept", plane=plane)
    for backend, hello in ((acme, acme_hello()), (https, https_hello())):
        client = lab.connect(router)
        pause(0.1)
        assert not acme.pending() and not https.pending()
        client.send(hello)
        server = backend.accept()
        assert server.read(len(hello)) == hello
        server.close()
        client.close()


def test_counters_of_the_hello(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    too_large = record(b"\x01\xff\xff\xff" + noise(64))
    malformed = handshake(body([extension(EXT_ALPN, b"")]))
    for wire, backend, times in ((https_hello(), https, 3), (acme_hello(), acme, 2), (b"SSH-2.0-x\r\n", https, 1),
                                 (record(malformed), https, 1), (too_large, https, 1)):
        for _ in range(times):
            client, server = lab.session(router, wire, backend)
            client.finish_sending()
            server.close()
            client.read_to_end()
            client.close()
            router.closed(client)
    router.finish()
    totals = router.totals()
    assert totals["sessions"] == 8
    assert totals["hello_https"] == 3 and totals["hello_acme"] == 2
    assert totals["hello_not_tls"] == totals["hello_malformed"] == totals["hello_too_large"] == 1
