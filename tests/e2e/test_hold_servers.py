# SPDX-License-Identifier: BSD-2-Clause
"""Hold, with servers of special kinds: short queues, servers that speak first, MPTCP, SYN cookies."""
import contextlib
import socket

import pytest

from control import status
from hellos import acme_hello, https_hello, noise
from in_place import ACME, armed
from netns import run
from rawtcp import RawPeer
from sockets import Peer
from waiting import now
from watched import H, Plain, answer, end, exchange, validate

IPPROTO_MPTCP = 262
HTTPS = len(https_hello())


@pytest.fixture
def sysctl():
    """Sets a value of this network namespace for the time of a test."""
    before = []

    def change(name, value):
        before.append((name, run("sysctl", "-n", name).strip()))
        run("sysctl", "-qw", f"{name}={value}")

    yield change
    for name, value in before:
        run("sysctl", "-qw", f"{name}={value}")


@pytest.fixture
def raw(tun):
    peer = RawPeer(tun, wrap_at=H // 2)  # sequence numbers wrap within the hello
    yield peer
    peer.reset()


def accepted_of(listener, client):
    """The server's side of this client's connection."""
    while True:
        server = listener.accept_any()
        with contextlib.suppress(OSError):  # one that was taken over has no peer any more
            if server.sock.getpeername() == client.local:
                return server


def held(router):
    return status(router)["events"]["held"]


@pytest.mark.parametrize("cookies", ["0", "1"])
def test_a_queue_that_fills(lab, veth, sysctl, cookies):
    """Connections that say nothing take no place that a visitor needs: at half of the queue, nothing is held."""
    sysctl("net.ipv4.tcp_syncookies", cookies)
    plain = Plain(lab, veth)
    plain.web.sock.listen(16)
    with armed(plain.router) as acme:
        idle = [plain.client() for _ in range(12)]
        assert 0 < held(plain.router) < 12
        began = now()
        client = plain.client()
        assert now() - began < 0.5
        client.send(https_hello())
        server = accepted_of(plain.web, client)
        assert server.read(HTTPS) == https_hello()
        exchange(client, server)
        validate(plain.client(), acme, acme_hello())
        for one in idle:
            one.close()


def test_a_server_that_speaks_first(lab, veth):
    """The first client waits for a second; then it is known."""
    plain = Plain(lab, veth)
    with armed(plain.router):
        for known in (False, True):
            began = now()
            client = plain.client()
            server = plain.web.accept_any()
            server.send(b"welcome")
            assert client.read(7) == b"welcome"
            assert not known or now() - began < 0.5
            exchange(client, server)
        assert held(plain.router) == 1


def test_clients_without_mptcp_of_an_mptcp_server(lab, veth):
    """Every request of such a listener is marked; what counts is what the client asked for."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind(("0.0.0.0", 443))
    listener.listen(64)
    router = lab.router(ACME, 443, "--inspect", "watch", listen=[("0.0.0.0", 443)], bypass=True)
    with armed(router) as acme:
        for _ in range(5):
            validate(lab.connect((veth.server4, 443), namespace=veth.namespace), acme, acme_hello())
        assert held(router) == 5
        with veth.namespace.inside():
            sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, IPPROTO_MPTCP)
        sock.settimeout(10)
        sock.connect((veth.server4, 443))
        accepted, _ = listener.accept()
        exchange(Peer(sock), Peer(accepted))
        assert held(router) == 5
    listener.close()
    router.finish()
    assert router.totals()["takeovers"] == 5


# --- SYN cookies: there is no request ---


@pytest.fixture
def cookies(lab, veth, sysctl):
    sysctl("net.ipv4.tcp_syncookies", "2")
    return Plain(lab, veth)


def test_syn_cookies(cookies):
    with armed(cookies.router) as acme:
        validate(cookies.client(), acme, acme_hello())
        client = cookies.client()
        client.send(https_hello())
        server = cookies.served(https_hello())
        exchange(client, server)
    assert cookies.totals()["takeovers"] == 1


@pytest.mark.parametrize("cut", [None, 100], ids=["whole", "in pieces"])
def test_syn_cookies_with_the_hello_first(cookies, raw, cut):
    """The acknowledgement is lost: the hello makes the socket, which TCP gives it at once."""
    stream = acme_hello() + noise(300)
    with armed(cookies.router) as acme:
        raw.connect(443, acknowledge=False)
        if cut:
            raw.segment(stream, 0, cut)
        raw.segment(stream, cut or 0, H)
        server = acme.accept()
        assert server.read(H) == stream[:H]
        raw.insist(stream, H + 300)
        assert server.read(300) == stream[H:]
        answer(raw, server)
        end(raw, server, H + 300)
    assert cookies.totals()["takeovers"] == 1


@pytest.fixture
def address_of_another_device(veth):
    address = "10.77.9.1"
    run("ip", "addr", "add", f"{address}/32", "dev", "lo")
    run(*veth.namespace.prefix(), "ip", "route", "add", address, "via", veth.server4)
    yield address
    run(*veth.namespace.prefix(), "ip", "route", "del", address)
    run("ip", "addr", "del", f"{address}/32", "dev", "lo")


def test_an_idle_client_of_a_server_bound_to_a_device(lab, veth, address_of_another_device):
    """Not held: what is sent over loopback would not find the request, and the kernel would reset the client."""
    web = lab.listener(host="0.0.0.0", port=443)
    web.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, veth.device.encode())
    router = lab.router(ACME, 443, "--inspect", "watch", listen=[("0.0.0.0", 443)], bypass=True)
    with armed(router) as acme:
        for address in (veth.server4, address_of_another_device):
            began = now()
            client = lab.connect((address, 443), namespace=veth.namespace)
            server = accepted_of(web, client)
            assert now() - began < 0.5
            client.send(https_hello())
            assert server.read(HTTPS) == https_hello()
            exchange(client, server)
            validate(lab.connect((address, 443), namespace=veth.namespace), acme, acme_hello())
    router.finish()
    assert router.totals()["takeovers"] == 2
