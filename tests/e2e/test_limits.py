# SPDX-License-Identifier: BSD-2-Clause
"""
What clients can exhaust: sessions, sessions of one source, descriptors. At each limit the program neither spins nor harms
its sessions, and serves new clients as soon as there is room.
"""
import os
import resource

import pytest

from control import status
from hellos import https_hello
from measures import cpu_share
from netns import run
from sockets import RESET
from waiting import wait_until

HELLO = https_hello()
IDLE = 0.05  # share of a CPU; of a program that does something ten times a second, much less


def works(client, server):
    client.send(b"ping")
    assert server.read(4) == b"ping"
    server.send(b"pong")
    assert client.read(4) == b"pong"


def is_served(lab, router, https):
    """A new client gets through to the backend. Its name tells its connection from those of clients long gone."""
    client, name = lab.connect(router), os.urandom(8)
    try:
        client.send(HELLO + name)
        while True:
            server = https.accept(timeout=1)
            if server.read(len(HELLO) + len(name)) == HELLO + name:
                break
            server.close()
        works(client, server)
        return client, server
    except (AssertionError, *RESET):
        client.close()
        return None


def turned_away(client):
    """Closed or reset soon, without being served."""
    try:
        client.send(HELLO)
    except RESET:
        return True
    return client.outcome(3) in ("end", "reset")


# --max-connections

@pytest.mark.alone
def test_session_table_full(lab, plane):
    """The existing sessions work; the next client is served only after one of them ends; no thread spins."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--max-connections", "4", "--workers", "1", plane=plane)
    sessions = [lab.session(router, HELLO, https) for _ in range(4)]
    extra = lab.connect(router)
    extra.send(HELLO)
    assert not https.pending(timeout=0.4), "a fifth session with --max-connections 4"
    for client, server in sessions:
        works(client, server)
    assert cpu_share(router) < IDLE
    client, server = sessions.pop()
    client.close()
    assert server.read_to_end() == b""
    server.close()
    router.closed(client)
    extra.reset()  # whether it waited or was turned away is not promised
    newcomer = wait_until(lambda: is_served(lab, router, https), 5, "service after a session ended")
    for client, server in [*sessions, newcomer]:
        works(client, server)


def test_never_more_than_max_connections(lab, plane):
    """With several workers as well: each has its share, and the kernel chooses the worker of a connection."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--max-connections", "6", "--workers", "3", "--connect-timeout", "1s", plane=plane)

    def one_more():
        lab.connect(router).send(HELLO)
        return status(router)["sessions"]["now"] == 6

    wait_until(one_more, 10, "six sessions")
    for _ in range(20):
        lab.connect(router).send(HELLO)
    for _ in range(6):
        assert https.accept().read(len(HELLO)) == HELLO
    assert not https.pending(timeout=0.5) and status(router)["sessions"]["total"] == 6


# --max-per-source

def test_max_per_source(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--max-per-source", "3", plane=plane)
    sessions = [lab.session(router, HELLO, https) for _ in range(3)]
    assert turned_away(lab.connect(router)), "a fourth session from one address"
    lab.session(router, HELLO, https, source="127.0.0.2")
    client, server = sessions.pop()
    client.close()
    server.read_to_end()
    server.close()
    wait_until(lambda: status(router)["sessions"]["now"] == 3, 5, "the end of one")
    lab.session(router, HELLO, https)
    for client, server in sessions:
        works(client, server)


@pytest.fixture
def more_addresses(veth):
    """Two more of the client namespace: one in the /64 of its usual address, one in another."""
    inside = veth.namespace.prefix()
    same, other = "fd00:77:1::3", "fd00:77:9::1"
    for address in (same, other):
        run(*inside, "ip", "addr", "add", f"{address}/64", "dev", "e2e-cli", "nodad")
    run("ip", "-6", "route", "add", "fd00:77:9::/64", "dev", "e2e-srv")
    yield same, other  # named first by a test: its connections end before their addresses go
    run("ip", "-6", "route", "del", "fd00:77:9::/64", "dev", "e2e-srv")
    for address in (same, other):
        run(*inside, "ip", "addr", "del", f"{address}/64", "dev", "e2e-cli")


def test_max_per_source_counts_ipv6_by_64(more_addresses, lab, plane, veth):
    """A customer has a /64, and any number of addresses in it."""
    same, other = more_addresses
    acme, https = lab.backends()
    router = lab.router(acme, https, "--max-per-source", "2", plane=plane, listen=[(veth.server6, 443)])

    def session(source):
        return lab.session(router, HELLO, https, family=6, source=source, namespace=veth.namespace)

    session(veth.client6)
    session(same)
    assert turned_away(lab.connect(router, family=6, source=same, namespace=veth.namespace))
    session(other)


# Descriptors

@pytest.mark.alone
def test_out_of_descriptors(lab, plane):
    """EMFILE in accept(): pauses without spinning, keeps its sessions, recovers."""
    acme, https = lab.backends()
    # Limits of another user's process may be set by CAP_SYS_RESOURCE alone.
    router = lab.router(acme, https, "--workers", "1", "--user", "root", plane=plane)
    sessions = [lab.session(router, HELLO, https) for _ in range(3)]
    # From now on there are descriptors for about two sessions more.
    usual = resource.prlimit(router.workers_pid, resource.RLIMIT_NOFILE)
    resource.prlimit(router.workers_pid, resource.RLIMIT_NOFILE, (router.descriptors() + 5, usual[1]))
    crowd = [lab.connect(router) for _ in range(12)]
    for client in crowd:
        client.send(HELLO)
    wait_until(lambda: router.descriptors() >= resource.prlimit(router.workers_pid, resource.RLIMIT_NOFILE)[0] - 1, 5,
               "the program to run out of descriptors")
    for client, server in sessions:
        works(client, server)
    assert cpu_share(router) < IDLE
    for client in crowd:
        client.reset()
    resource.prlimit(router.workers_pid, resource.RLIMIT_NOFILE, usual)
    wait_until(lambda: is_served(lab, router, https), 5, "service with descriptors again")
    for client, server in sessions:
        works(client, server)
    lab_close_sessions(sessions)
    for connection in https.accepted:
        connection.close()
    for peer in lab.peers:
        peer.close()
    router.finish()
    assert router.totals()["accept_backoffs"] > 0


def lab_close_sessions(sessions):
    for client, server in sessions:
        client.close()
        server.close()


@pytest.mark.alone
def test_started_with_few_descriptors(lab, plane):
    """The limit at its start decides how many sessions it accepts, and it stays within that limit."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--workers", "1", plane=plane, prefix=["prlimit", "--nofile=64:64"])
    clients = [lab.connect(router) for _ in range(60)]
    for client in clients:
        client.send(HELLO)
    limit = int(router.find(r"ready: .* (\d+) sessions at most").group(1))
    assert 5 <= limit < 32
    served = [https.accept() for _ in range(limit)]
    assert not https.pending(timeout=0.5)
    assert cpu_share(router) < IDLE
    for peer in [*clients, *served]:
        peer.reset()
    for connection in https.accepted:
        connection.close()
    wait_until(lambda: is_served(lab, router, https), 5, "service after the crowd is gone")


# Many silent clients

@pytest.mark.alone
@pytest.mark.parametrize("defer", [True, False], ids=["defer_accept", "no_defer_accept"])
def test_silent_crowd_does_not_keep_others_out(lab, plane, defer):
    acme, https = lab.backends()
    router = lab.router(acme, https, *([] if defer else ["--no-defer-accept"]), plane=plane)
    for _ in range(200):
        lab.connect(router)
    client, server = lab.session(router, HELLO, https)
    works(client, server)
    assert cpu_share(router) < IDLE
