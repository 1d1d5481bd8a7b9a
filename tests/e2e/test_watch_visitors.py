# SPDX-License-Identifier: BSD-2-Clause
"""Visitors of nginx while connections are held until their hello: many, and those who say it late."""
import pytest

from calls import run, validation_context
from sites import both
from sockets import connect
from trial import Watched, unlogged, validations, visits
from visitors import client_context
from waiting import now, pause

SOON = 0.5  # s; a SYN or a SYN-ACK that is lost costs 1


@pytest.fixture(scope="module")
def watched(module_lab, authority):
    return Watched(module_lab, authority)


@pytest.mark.alone
def test_visits_by_the_thousand(watched, lab, veth):
    """40 at once, amid validations."""
    watched.arm(lab)
    logged = len(watched.web.clients())
    for place in both(veth):
        crowd = visits(place, watched.authority, 1500, 40)
        asked = validations(place, watched.responder, 30, 2)
        run(crowd, asked, namespace=veth.namespace)
        assert not crowd.failures() and not asked.failures(), f"visits {crowd}; validations {asked}"
        assert not unlogged(watched.web, [crowd], logged)
        assert crowd.milliseconds(1) < 1000 * SOON, f"the slowest visit took {crowd.milliseconds(1):.0f} ms"


@pytest.mark.alone
@pytest.mark.parametrize("wait", [0, 0.1, 0.9, 1.5])
def test_a_hello_that_comes_late(watched, lab, veth, wait):
    """As of a browser that connects ahead: neither its visit nor its validation takes longer than its own waiting."""
    watched.arm(lab)
    for context, certificate in ((client_context(watched.authority.file), None),
                                 (validation_context(), watched.responder.certificate)):
        peer = connect((veth.server4, 443), namespace=veth.namespace)
        pause(wait)
        began = now()
        with context.wrap_socket(peer.sock, server_hostname="www.example.test") as tls:
            assert now() - began < SOON, f"the handshake took {now() - began:.2f} s"
            assert certificate in (None, tls.getpeercert(True))
