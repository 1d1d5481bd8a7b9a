# SPDX-License-Identifier: BSD-2-Clause
"""Half hellos in great number: their memory is bounded, and none of their connections is harmed."""
import os
import resource

import pytest

from control import status
from hellos import ACME as ACME_NAME
from hellos import alpn, body, common_extensions, handshake, message, padding, record
from in_place import armed
from memory_group import MemoryGroup
from waiting import wait_until
from watched import Plain, exchange

STORED = 1024 + os.cpu_count()  # STEER_PARTIAL_MOST; each CPU gives up a displaced one when it sees the next
COUNT = 2500
ALL = 9 << 20   # what they take; alpnbpf(8), LIMITS
ROOM = 14 << 20  # with those that the kernel is about to free
HALF = 3000
HALVES, HELD_HALF = 512, 1000  # STEER_HALVES_MOST; bytes that have the name
HELLOS = {name: record(message(name, extra=[padding(3500)])) for name in (b"h2", ACME_NAME)}


@pytest.fixture
def group():
    group = MemoryGroup()
    yield group
    group.close()


@pytest.fixture
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * COUNT:
        pytest.skip(f"only {hard} descriptors are allowed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_under_a_memory_limit(group, lab, veth, descriptors):
    """The program is not ended for want of memory; the oldest connections stay the web server's, the newest are watched."""
    plain = Plain(lab, veth, prefix=group.prefix())
    with armed(plain.router) as acme:
        idle = group.usage()
        group.limit(idle + ROOM)
        clients, servers = [], {}
        for number in range(COUNT):
            hello = HELLOS[ACME_NAME if number % 2 else b"h2"]
            clients.append((plain.client().send(hello[:HALF]), hello))
            while plain.web.pending():
                server = plain.web.accept_any()
                servers[server.sock.getpeername()] = server
        wait_until(lambda: group.usage() < idle + ALL, 10, "the memory of those that are stored, and no more")
        assert plain.router.running()
        for client, hello in clients[:20]:
            client.send(hello[HALF:])
            server = servers[client.local]
            assert server.read(len(hello)) == hello
            exchange(client, server)
        for client, hello in clients[-20:]:
            client.send(hello[HALF:])
            server = acme.accept() if hello == HELLOS[ACME_NAME] else servers[client.local]
            assert server.read(len(hello)) == hello
            exchange(client, server)
        assert sum(status(plain.router)["untakable"].values()) >= COUNT - STORED, status(plain.router)["untakable"]
        for client, _ in clients:
            client.close()
        for server in servers.values():
            server.close()
        wait_until(lambda: group.usage() < idle + (1 << 20), 10, "the end of what was stored")
    assert plain.totals()["takeovers_failed"] == 0


def test_more_than_there_are_places_for(lab, veth, descriptors):
    """
    Of held connections, whose first segment has named acme-tls/1: the clients of those that were displaced send again, and
    all reach the responder.
    """
    plain = Plain(lab, veth)
    hello = record(handshake(body([alpn(ACME_NAME), *common_extensions(), padding(1500)])))
    with armed(plain.router) as acme:
        clients = {}
        for _ in range(HALVES + 88):
            client = plain.client().send(hello[:HELD_HALF])
            clients[client.local] = client
        for client in clients.values():
            client.send(hello[HELD_HALF:])
        for _ in range(len(clients)):
            server = acme.accept()
            assert server.read(len(hello)) == hello
            server.send(b"answer").close()
        for client in clients.values():
            assert client.read(6) == b"answer"
            client.close()
        now = status(plain.router)
        assert now["events"]["takeovers"] == len(clients)
        assert not any(now["untakable"].values()), now["untakable"]
    assert plain.totals()["takeovers_failed"] == 0
