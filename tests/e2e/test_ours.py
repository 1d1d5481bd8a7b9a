# SPDX-License-Identifier: BSD-2-Clause
"""
The program's own connections to the web server: never steered back to it, shown as the client they are for, and never
confused with connections of other programs.
"""
import contextlib
import errno
import socket
import struct

import pytest

from hellos import acme_hello, https_hello
from in_place import ACME, Ground, answer, armed, descriptors, own_ends, proxied, responder, slow_request
from netns import run
from sockets import Listener, connect
from visitors import ask
from waiting import SCALE, wait_until
from watched import entries


def test_client_on_the_same_host(ground):
    """Routed like any other client, while our own connections are not, which would be an endless loop."""
    router = ground.attach()
    with responder() as acme:
        for host in ("127.0.0.1", "::1", ground.veth.server4):
            local, body = ask((host, 443), ground.context)
            assert body == local[0]
        client = ground.lab.connect(("127.0.0.1", 443))
        client.send(acme_hello())
        server = acme.accept()
        server.close()
        client.close()
    wait_until(lambda: len(proxied(router)) == 3 and len(proxied(router, "acme")) == 1, 5, "all four in the log")


def test_private_port_leads_nowhere(ground):
    """A client that connects to it is reset, not connected to itself."""
    router = ground.attach()
    lines = run("ss", "-Htlnp").splitlines()
    ports = {int(line.split()[3].rsplit(":", 1)[1]) for line in lines if f"pid={router.workers_pid}," in line}
    assert len(ports) == 2  # one a family
    for port in ports:
        for host in ("127.0.0.1", "::1"):
            with contextlib.suppress(ConnectionRefusedError):
                client = ground.lab.connect((host, port))
                client.send(https_hello())
                assert client.outcome() == "reset"
    router.finish()
    assert router.totals()["stray_refused"] == 2 and router.totals()["sessions"] == 0


def from_port(ground, local):
    """The server's answer to a client with this address and port."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.settimeout(10 * SCALE)
    sock.bind(local)
    sock.connect((ground.server(), 443))
    with ground.context.wrap_socket(sock, server_hostname="www.example.test") as tls:
        tls.sendall(b"GET /client HTTP/1.0\r\nHost: www.example.test\r\n\r\n")
        data = b""
        while part := tls.recv(65536):
            data += part
    return data.decode().splitlines()[-1]


def test_the_same_port_from_another_address(ground):
    """A local client with our port and another address is a normal client: steered, and shown unchanged."""
    router = ground.attach()
    with responder():
        for attempt in range(20):
            tls = slow_request(ground)
            wait_until(lambda: descriptors(router) == 1, 5, "a session")
            (_, port), = own_ends(router)
            try:
                seen = from_port(ground, ("127.0.0.1", port))
                break
            except OSError as error:  # a recent connection of another program uses that port
                assert error.errno == errno.EADDRINUSE and attempt < 19
                answer(tls)
                wait_until(lambda: descriptors(router) == 0, 5, "the end of the session")
        assert seen == "127.0.0.1"
        wait_until(lambda: f"127.0.0.1:{port}" in [closed.client for closed in proxied(router)], 5, "it in the log")
        assert answer(tls).endswith(ground.veth.client4)


def test_the_same_ends_later(ground):
    """A client that reuses the port of an ended session of ours is not shown as that session's client."""
    router = ground.attach()
    with responder():
        tls = slow_request(ground)
        wait_until(lambda: descriptors(router) == 1, 5, "a session")
        local, = own_ends(router)
        tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        tls.close()
        wait_until(lambda: len(proxied(router)) == 1, 5, "its end in the log")
        assert from_port(ground, local) == local[0]
        wait_until(lambda: len(proxied(router)) == 2, 5, "a session of the other one in the log")


@pytest.mark.parametrize("family", [4, 6])
def test_client_that_is_gone_when_the_server_accepts(ground, family):
    """It is still shown: a slow server logs the address of a client that has already reset."""
    ground.web.stop()
    server = Listener(host=ground.server(family), port=443)
    router = ground.attach()
    with responder():
        clients = [connect((ground.server(family), 443), namespace=ground.veth.namespace) for _ in range(20)]
        for client in clients:
            client.send(https_hello())
        wait_until(lambda: descriptors(router) == 20, 5, "their sessions")
        for client in clients:
            client.reset()
        wait_until(lambda: len(proxied(router)) == 20, 5, "the end of all in the log")
    seen = {server.sock.accept()[1][:2] for _ in range(20)}
    assert seen == {client.local[:2] for client in clients}
    server.close()


@pytest.mark.long
def test_what_is_remembered_is_bounded(lab, veth):
    """Entries of ended sessions: no more than a server's accept queue can hold."""
    web, at_once, hello = lab.listener(host="0.0.0.0", port=443), 8, https_hello()
    router = lab.router(ACME, 443, "--inspect", "steer", "--workers", "1", "--max-connections", "16", listen=(),
                        bypass=True, plane="user", log_level="info")
    with armed(router):
        for _ in range(5000 // at_once):
            clients = [connect((veth.server4, 443), namespace=veth.namespace).send(hello) for _ in range(at_once)]
            servers = [web.accept() for _ in clients]
            for client in clients:
                client.reset()
            for server in servers:
                assert server.outcome() == "reset"
                server.close()
        assert 3000 < entries(router, "alpnbpf_own") <= 4096 + 64 + 16  # some have had the same port
        assert entries(router, "alpnbpf_connect") == 0
    router.finish()
    assert router.totals()["sessions"] == 5000


def test_no_peername(ground):
    """--client-address none: the server sees our address."""
    ground.attach("--client-address", "none")
    with responder():
        seen, own = ground.ask()
        assert seen != own and seen == ground.veth.server4


def test_client_port_is_told_too(ground):
    router = ground.attach()
    with responder():
        local, _ = ask((ground.server(), 443), ground.context, "/client", ground.veth.namespace)
        wait_until(lambda: proxied(router), 5, "the session in the log")
    wait_until(lambda: (local[0], local[1]) in ground.web.clients(), 5, "the client in the server's log")


def test_dual_stack_listener(lab, authority, veth):
    """One socket for both families shows IPv4 clients as v4-mapped; so do we."""
    ground = Ground(lab, authority, veth, "nginx", hosts=("[::]",), dual=True)
    router = ground.attach()
    with responder():
        for family in (4, 6):
            seen, own = ground.ask(family)
            assert seen == own
        wait_until(lambda: len(proxied(router)) == 2, 5, "two sessions in the log")
