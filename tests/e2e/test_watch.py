# SPDX-License-Identifier: BSD-2-Clause
"""
Hellos read in passing: while armed, the web server keeps its connections, and a connection for another route is taken over
from the hello on. Neither the client nor the server's other clients notice. test_watch_hellos.py and test_watch_segments.py
have the ways in which a hello can arrive.
"""
import re
import socket
import subprocess

import pytest

from hellos import acme_hello
from helpers import helper_of
from in_place import Ground, armed, proxied, switches
from services import need
from test_bypass import Front
from visitors import ask
from waiting import now, wait_until
from watched import Plain, exchange, validate


@pytest.mark.parametrize("plane", ["sockmap", "user"])
@pytest.mark.parametrize("family", [4, 6])
def test_only_the_validation_is_taken_over(ground, plane, family):
    router = ground.attach(plane=plane, inspect="auto")
    with armed(router) as acme:
        seen, own = ground.ask(family)
        assert seen == own
        client = ground.lab.connect((ground.server(family), 443), namespace=ground.veth.namespace)
        validate(client, acme, acme_hello())
        wait_until(lambda: len(proxied(router, "acme")) == 1, 5, "the validation in the log")
        seen, own = ground.ask(family)
        assert seen == own
    router.finish()
    assert router.totals()["sessions"] == router.totals()["takeovers"] == 1
    assert own in proxied(router, "acme")[0].client


@pytest.mark.parametrize("kind", ["nginx", "apache", "haproxy"])
def test_in_front(lab, authority, veth, kind):
    """The web server on another port, with the bypass."""
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
    """The TCP header is not at its usual offset: after three NOPs, or after a header of destination options."""
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
    """The responder is unreachable: https gets the validation, on a connection that is not taken over again."""
    plain = Plain(lab, veth, "--arm", "always", "--connect-timeout", "300ms")
    client = plain.client()
    client.send(acme_hello())
    server = plain.served(acme_hello())
    exchange(client, server)
    totals = plain.totals()
    assert totals["takeovers"] == totals["acme_fallbacks"] == 1


@pytest.mark.alone
def test_no_wake_up_while_armed(ground):
    """Other clients' requests do not wake us, although each hello is inspected."""
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
    """Programs that see packets of the cgroup's sockets; the repair helper attaches them."""
    links = subprocess.run(f"cat /proc/{helper_of(router.pid)}/fdinfo/*", shell=True, capture_output=True, text=True).stdout
    return len(re.findall(r"link_type:\s+cgroup\n(?:.+\n)*?attach_type:\s+0\n", links))


def test_nobody_looks_at_packets_while_unarmed(ground):
    router = ground.attach(inspect="watch")
    for _ in range(3):
        assert attached(router) == 0
        with armed(router):
            assert attached(router) == 1
        wait_until(lambda: attached(router) == 0, 5, "detached")
