# SPDX-License-Identifier: BSD-2-Clause
"""
Hellos read in passing: while armed, the web server's connections stay its own, and what is not for it is taken over
from the hello on. The client must notice nothing, whatever way its hello comes in, and neither must the server's other
clients.
"""
import re
import socket
import subprocess

import pytest

from hellos import ACME as ACME_NAME
from hellos import acme_hello, https_hello, message, noise, padding, record
from in_place import Ground, armed, proxied, switches
from rawtcp import RawPeer
from services import need
from test_bypass import Front
from visitors import ask
from waiting import now, wait_until
from watched import BULK, H, Plain, exchange, validate


# --- what is whose ---


@pytest.mark.parametrize("plane", ["sockmap", "user"])
@pytest.mark.parametrize("family", [4, 6])
def test_only_the_validation_is_taken_over(ground, plane, family):
    router = ground.attach(plane=plane, inspect="auto")
    with armed(router) as acme:
        seen, own = ground.ask(family)
        assert seen == own
        client = ground.lab.connect((ground.server(family), 443), namespace=ground.veth.namespace)
        validate(client, acme, acme_hello(), count=BULK)
        wait_until(lambda: len(proxied(router, "acme")) == 1, 5, "the validation in the log")
        seen, own = ground.ask(family)
        assert seen == own
    router.finish()
    assert router.totals()["sessions"] == router.totals()["takeovers"] == 1
    assert own in proxied(router, "acme")[0].client


@pytest.mark.parametrize("kind", ["nginx", "apache", "haproxy"])
def test_in_front(lab, authority, veth, kind):
    """The web server at another port: the same by the bypass."""
    front = Front(lab, authority, veth, kind)
    router = front.attach(inspect="watch", plane="auto")
    with armed(router) as acme:
        for family in (4, 6):
            seen, own = front.ask(family)
            assert seen == own
            client = lab.connect((front.server(family), 443), namespace=veth.namespace)
            validate(client, acme, acme_hello())
    router.finish()
    assert router.totals()["sessions"] == router.totals()["takeovers"] == 2


def test_dual_stack_listener(lab, authority, veth):
    """One [::]:443 for both: IPv4 clients are v4-mapped there."""
    ground = Ground(lab, authority, veth, "nginx", hosts=("[::]",), dual=True)
    router = ground.attach(inspect="watch")
    with armed(router) as acme:
        for family in (4, 6):
            seen, own = ground.ask(family)
            assert seen == own
            validate(lab.connect((ground.server(family), 443), namespace=veth.namespace), acme, acme_hello())
    router.finish()
    assert router.totals()["sessions"] == router.totals()["takeovers"] == 2


LONGER_HEADERS = {4: (socket.IPPROTO_IP, socket.IP_OPTIONS, b"\x01\x01\x01\x00"),
                  6: (socket.IPPROTO_IPV6, socket.IPV6_DSTOPTS, b"\x00\x00\x01\x04\x00\x00\x00\x00")}  # PadN


@pytest.mark.parametrize("split", [None, 60])
@pytest.mark.parametrize("family", LONGER_HEADERS)
def test_ip_options(ground, family, split):
    """TCP's header does not begin where it does as a rule: three NOPs, or a header of destination options before it."""
    router = ground.attach(inspect="watch")
    with armed(router) as acme:
        client = ground.lab.connect((ground.server(family), 443), namespace=ground.veth.namespace)
        client.sock.setsockopt(*LONGER_HEADERS[family])
        validate(client, acme, acme_hello(), split)
    router.finish()
    assert router.totals()["sessions"] == router.totals()["takeovers"] == 1


def test_client_on_the_same_host(ground):
    router = ground.attach(inspect="watch")
    with armed(router) as acme:
        for family, address in ((4, "127.0.0.1"), (6, "::1"), (4, ground.server())):
            validate(ground.lab.connect((address, 443)), acme, acme_hello())
            assert ask((address, 443), ground.context, "/client")[1].removeprefix("::ffff:") == address
    router.finish()
    assert router.totals()["sessions"] == router.totals()["takeovers"] == 3


def test_the_web_server_answers_itself(lab, veth):
    """The responder cannot be reached: https gets the validation, through a connection that is not taken over again."""
    plain = Plain(lab, veth, "--arm", "always", "--connect-timeout", "300ms")
    client = plain.client()
    client.send(acme_hello())
    server = plain.served(acme_hello())
    exchange(client, server)
    totals = plain.totals()
    assert totals["takeovers"] == totals["acme_fallbacks"] == 1


@pytest.mark.alone
def test_no_wake_up_while_armed(ground):
    """Requests of others cost us nothing, though each hello is looked at."""
    router = ground.attach(inspect="watch", log_level="info")
    with armed(router):
        before, began = switches(router), now()
        output = ground.lab.child(need("h2load"), "--h1", "-n", "2000", "-c", "20", "-m", "1",
                                  f"https://{ground.server()}/client")
        assert output.wait(60) == 0 and "2000 succeeded" in output.text(), output.text()
        # The main thread looks once a second whether it is still armed.
        assert switches(router) - before < 10 + 5 * (now() - began)
    router.finish()
    assert router.totals()["sessions"] == 0


def attached(router):
    """Programs of it that see packets of the cgroup's sockets."""
    links = subprocess.run(f"cat /proc/{router.pid}/fdinfo/*", shell=True, capture_output=True, text=True).stdout
    return len(re.findall(r"link_type:\s+cgroup\n(?:.+\n)*?attach_type:\s+0\n", links))


def test_nobody_looks_at_packets_while_unarmed(ground):
    router = ground.attach(inspect="watch")
    for _ in range(3):
        assert attached(router) == 0
        with armed(router):
            assert attached(router) == 1
        wait_until(lambda: attached(router) == 0, 5, "detached")


# --- how hellos come ---


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
    totals = plain.totals()
    assert totals["sessions"] == totals["takeovers"] == 1


@pytest.mark.parametrize("length", [2000, 3600, 6000, 9000, 15000])
@pytest.mark.parametrize("route", ["acme", "https"])
def test_long_hellos(plain, length, route):
    """What does not fit what is kept is taken over undecided; the bytes are the same."""
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
    totals = plain.totals()
    assert totals["takeovers_failed"] == 0
    assert route == "https" or totals["takeovers"] == 1


def test_more_behind_the_hello(plain):
    """What a client sends in the same breath is not lost, however much it is."""
    with armed(plain.router) as acme:
        for count in (1, 4096, 100000):
            client = plain.client()
            client.send(acme_hello() + noise(count))
            server = acme.accept()
            assert server.read(len(acme_hello())) == acme_hello()
            assert server.read(count) == noise(count)
            exchange(client, server)
    assert plain.totals()["takeovers"] == 3


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
    assert plain.totals()["takeovers"] == 1


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
    peer = RawPeer(tun, wrap_at=H // 2)  # sequence numbers begin anew within the hello
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
    totals = plain.totals()
    assert totals["takeovers"] == totals["sessions"] == (route == "acme")
    assert totals["takeovers_failed"] == 0


def test_handshake_without_its_last_packet(plain, raw):
    """The client's acknowledgement is lost: the hello comes to a server that has no socket for it yet."""
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
    assert plain.totals()["takeovers"] == 1


def test_reset_between_pieces(plain, raw):
    """The client gives up: nothing of it is left, and the next is served."""
    with armed(plain.router) as acme:
        raw.connect(443)
        raw.segment(acme_hello(), 0, 100)
        raw.wait_acked(100)
        raw.reset()
        validate(plain.client(), acme, acme_hello())
    assert plain.totals()["takeovers"] == 1
