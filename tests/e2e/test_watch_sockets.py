# SPDX-License-Identifier: BSD-2-Clause
"""
The sockets whose connections the watch takes over, and those it leaves alone: web servers on addresses that are routed to
this machine, servers that have sent data, MPTCP, and the program's own connections.
"""
import contextlib
import os
import socket

import pytest

from control import status
from hellos import acme_hello, https_hello, noise
from in_place import ACME, armed, visitors
from netns import run
from sockets import Peer, connect, free_port
from waiting import wait_until
from watched import H, Plain, exchange, validate

IPPROTO_MPTCP = 262
ROUTED = {4: "10.77.9.5", 6: "fd00:77:9::5"}


@pytest.fixture
def routed(veth):
    """Prefixes of this machine that no interface has."""
    rules = []
    for family, via in ((4, veth.server4), (6, veth.server6)):
        prefix = "10.77.9.0/24" if family == 4 else "fd00:77:9::/64"
        rules += [["ip", f"-{family}", "route", "%s", "local", prefix, "dev", "lo"],
                  [*veth.namespace.prefix(), "ip", f"-{family}", "route", "%s", prefix, "via", via]]
    for rule in rules:
        run(*[word.replace("%s", "add") for word in rule])
    yield ROUTED
    for rule in rules:
        run(*[word.replace("%s", "del") for word in rule])


@pytest.mark.parametrize("family", ROUTED)
def test_an_address_of_a_routed_prefix(routed, lab, veth, family):
    """The web server has it by listening on every address; our socket must bind to it."""
    host = {4: "0.0.0.0", 6: "::"}[family]
    web = lab.listener(host=host, port=443)
    router = lab.router(ACME, 443, "--inspect", "watch", listen=[(host, 443)], bypass=True)
    with armed(router) as acme:
        validate(lab.connect((routed[family], 443), namespace=veth.namespace), acme, acme_hello())
        client = lab.connect((routed[family], 443), namespace=veth.namespace)
        client.send(https_hello())
        server = web.accept()
        assert server.read(len(https_hello())) == https_hello()
        exchange(client, server)
    router.finish()
    assert router.totals()["takeovers"] == 1 and router.totals()["takeovers_failed"] == 0


@pytest.mark.parametrize("ends", [False, True])
def test_a_server_that_spoke_first(lab, veth, ends):
    """The client has received bytes, or the FIN: no other socket could continue that connection."""
    plain = Plain(lab, veth)
    with armed(plain.router) as acme:
        client = plain.client()
        server = plain.web.accept_any()
        if ends:
            server.finish_sending()
        else:
            server.send(b"welcome")
            assert client.read(7) == b"welcome"
        wait_until(lambda: "unacked" not in run("ss", "-Htin", "sport = 443", "and", f"dport = :{client.local[1]}"),
                   5, "it to be acknowledged")
        client.send(acme_hello() + noise(5000))
        assert server.read(H + 5000) == acme_hello() + noise(5000)
        assert acme.untouched()
        assert status(plain.router)["untakable"]["answered"] == 1
        server.close()
        client.close()
    assert plain.totals()["takeovers"] == 0


def mptcp_web(lab, host, port=None):
    """A web server that listens as Go's net.Listen does."""
    web = lab.listener(host=host, port=port)
    web.sock.close()
    web.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    web.sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    web.sock.bind((host, web.port))
    web.sock.listen()
    return web


def test_mptcp_stays_the_servers(lab, veth):
    """A TCP socket cannot continue a subflow. A client without MPTCP is taken over as usual."""
    web = mptcp_web(lab, "0.0.0.0", 443)
    router = lab.router(ACME, 443, "--inspect", "watch", listen=[("0.0.0.0", 443)], bypass=True)
    with armed(router) as acme:
        with veth.namespace.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
        sock.settimeout(10)
        sock.connect((veth.server4, 443))
        client = Peer(sock)
        client.send(acme_hello()[:100])
        server = web.accept()
        client.send(acme_hello()[100:])
        assert server.read(H) == acme_hello()
        exchange(client, server)
        assert status(router)["untakable"]["mptcp"] == 1
        validate(lab.connect((veth.server4, 443), namespace=veth.namespace), acme, acme_hello())
    router.finish()
    assert router.totals()["takeovers"] == 1


def test_our_own_connections_are_not_taken_over(lab, veth):
    """In front of a server that a sockmap cannot hold, all connections are ours, also with hellos in pieces."""
    web = mptcp_web(lab, "127.0.0.1")
    router = lab.router(ACME, web.port, "--inspect", "watch", "--max-per-source", "1", "--no-defer-accept",
                        listen=[("0.0.0.0", free_port())], bypass=True)
    with armed(router) as acme:
        address = (veth.server4, router.address()[1])
        for split in (None, 60):
            validate(lab.connect(address, namespace=veth.namespace), acme, acme_hello(), split)
            wait_until(lambda: status(router)["sessions"]["now"] == 0, 5, "the end of the only one this source may have")
            client = lab.connect(address, namespace=veth.namespace)
            client.send_split(https_hello(), split) if split else client.send(https_hello())
            server = web.accept()
            assert server.read(len(https_hello())) == https_hello()
            exchange(client, server)
            wait_until(lambda: status(router)["sessions"]["now"] == 0, 5, "its end")
    router.finish()
    assert router.totals()["sessions"] == 4 and router.totals()["takeovers"] == 0


@contextlib.contextmanager
def late_loopback(directory):
    """Packets over loopback are delivered by the other CPU, after the sending call has returned (RPS)."""
    directory.mkdir()
    run("mount", "-t", "sysfs", "sysfs", str(directory))  # that of this network namespace
    path = directory / "class/net/lo/queues/rx-0/rps_cpus"
    try:
        path.write_text(f"{(1 << os.cpu_count()) - 1:x}")
        yield
        path.write_text("0")
    finally:
        run("umount", str(directory))


def test_late_loopback(ground):
    """The reset is still under way when our socket is created, and must not close it."""
    router = ground.attach(inspect="watch")
    count = 40  # the responder closes each at once, so that it gets them two at a time
    with late_loopback(ground.lab.directory / "sys"), visitors(ground) as crowd, armed(router) as acme:
        for _ in range(3):
            clients = [connect((ground.server(), 443), namespace=ground.veth.namespace) for _ in range(count)]
            for client in clients:
                client.send(acme_hello())
            for _ in clients:
                server = acme.accept()
                assert server.read(H) == acme_hello()
                server.send(b"answer").close()
            for client in clients:
                assert client.read(6) == b"answer"
                client.close()
        for visitor in crowd:
            visitor.wait_more(3)
    router.finish()
    totals = router.totals()
    assert totals["takeovers"] == totals["hello_acme"] == 3 * count and totals["takeovers_failed"] == 0
