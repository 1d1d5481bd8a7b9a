# SPDX-License-Identifier: BSD-2-Clause
"""
Visitors that say nothing at first, in networks of all kinds, while armed: each is the web server's as soon as it is not held
any longer, and nothing resets it.
"""
import contextlib

import pytest

from control import status
from firewalls import firewall
from hellos import https_hello
from in_place import ACME, armed
from sites import NETWORKS, both, link_local_place
from sockets import connect
from waiting import now
from watched import exchange

HELLO = https_hello()
SOON = 0.5  # s; the kernel asks again after 1
IDLE = 3    # clients of each place
# There are no requests; and its own sequence numbers, so the kernel asks again.
SPECIAL = {"syn_cookies": {"held": False}, "synproxy": {"soon": 1.5}}


def idle_clients(lab, web, places, soon=SOON):
    """Connects, waits for the web server to accept, and then only speaks."""
    for place in places:
        for _ in range(IDLE):
            client = connect(place.address, namespace=place.namespace)
            lab.peers.append(client)
            began = now()
            server = web.accept_any(5)
            seconds = now() - began
            client.send(HELLO)
            assert server.read(len(HELLO)) == HELLO
            exchange(client, server)
            assert seconds < soon, f"{place.address}: accepted after {seconds:.2f} s"


@contextlib.contextmanager
def watching(lab, port=443, **listener):
    web = lab.listener(host="::", port=port, **listener)
    router = lab.router(ACME, port, "--inspect", "watch", bypass=True, listen=[("0.0.0.0", port), ("::", port)])
    with armed(router):
        yield web, router


@pytest.mark.alone
@pytest.mark.parametrize("name", NETWORKS)
def test_network(lab, veth, name):
    with NETWORKS[name](lab, veth) as site, watching(lab) as (web, router):
        special = SPECIAL.get(name, {})
        idle_clients(lab, web, site.places, special.get("soon", SOON))
        held = status(router)["events"]["held"]
        assert held == (IDLE * len(site.places) if special.get("held", True) else 0)


@pytest.mark.alone
def test_redirected(lab, veth):
    """The acknowledgement has the port that the client's packets have, before the firewall changes it."""
    with firewall("redirect", veth), watching(lab, port=8443) as (web, router):
        idle_clients(lab, web, both(veth))
        assert status(router)["events"]["held"] == 2 * IDLE


@pytest.mark.alone
def test_bound_to_a_device(lab, veth):
    with watching(lab, device=veth.device) as (web, router):
        idle_clients(lab, web, [*both(veth), link_local_place(veth)])
        assert status(router)["events"]["held"] == 3 * IDLE


@pytest.mark.alone
def test_of_this_machine(lab, veth):
    """Their packets come over loopback."""
    with watching(lab) as (web, router):
        for address in (veth.server4, veth.server6, "127.0.0.1", "::1"):
            client = connect((address, 443))
            lab.peers.append(client)
            began = now()
            server = web.accept_any(5)
            assert now() - began < SOON
            client.send(HELLO)
            assert server.read(len(HELLO)) == HELLO
            exchange(client, server)
        assert status(router)["events"]["held"] == 4
