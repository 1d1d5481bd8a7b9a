# SPDX-License-Identifier: BSD-2-Clause
"""A route that is gone for a moment: TCP lives through that, and so does whatever is taken over meanwhile."""
import socket
import threading

import pytest

from calls import RawCall, Stream, raw_hello, run
from control import status
from hellos import ACME as ACME_NAME
from netns import run as command
from trial import Watched, der


@pytest.fixture
def watched(lab, authority):
    return Watched(lab, authority)


def connected(veth, address):
    """A connection that is there, and has said nothing yet."""
    with veth.namespace.inside():
        sock = socket.create_connection(address, 5)
    sock.setblocking(False)
    return sock


def test_a_route_that_is_gone_for_a_second(watched, lab, veth):
    """The clients' routes go before their hellos come, and come back: nobody is reset."""
    watched.arm(lab)
    web = der(f"{watched.authority.directory}/www.example.test.pem")
    kinds = {"validations": (raw_hello(ACME_NAME), watched.responder.certificate, ACME_NAME),
             "visits": (raw_hello(b"http/1.1"), web, None), "long hellos": (raw_hello(b"http/1.1", share=6000), web, None)}
    routes = [["-4", "route", "%s", "10.77.1.0/24", "dev", veth.device, "src", veth.server4],
              ["-6", "route", "%s", "fd00:77:1::/64", "dev", veth.device]]

    def all_routes(verb):
        for words in routes:
            command("ip", *[verb if word == "%s" else word for word in words])

    calls = {kind: [RawCall(address, *what, sock=connected(veth, address))
                    for address in ((veth.server4, 443), (veth.server6, 443)) for _ in range(10)]
             for kind, what in kinds.items()}
    streams = {kind: Stream(iter(some).__next__, len(some), len(some)) for kind, some in calls.items()}
    all_routes("del")
    timer = threading.Timer(1, all_routes, ["add"])
    timer.start()
    run(*streams.values(), namespace=veth.namespace)
    timer.join()
    failed = [f"{kind}: {stream}" for kind, stream in streams.items() if stream.failures()]
    assert not failed, "; ".join(failed)


def test_more_wait_than_there_are_places_for(watched, lab, veth):
    """600 validations wait for their route: 256 for their next step, the others in the ring. All are served."""
    watched.arm(lab)
    hello, address = raw_hello(ACME_NAME, share=0), (veth.server4, 443)
    before = status(watched.router)["events"]
    calls = [RawCall(address, hello, watched.responder.certificate, ACME_NAME, sock=connected(veth, address))
             for _ in range(600)]
    route = ["ip", "-4", "route", "%s", "10.77.1.0/24", "dev", veth.device, "src", veth.server4]
    stream = Stream(iter(calls).__next__, len(calls), len(calls))
    command(*[word.replace("%s", "del") for word in route])
    timer = threading.Timer(1, lambda: command(*[word.replace("%s", "add") for word in route]))
    timer.start()
    run(stream, namespace=veth.namespace, timeout=20)
    timer.join()
    assert not stream.failures(), str(stream)
    after = status(watched.router)["events"]
    assert after["takeovers"] - before["takeovers"] == len(calls)
    assert after["takeovers_failed"] == before["takeovers_failed"]
