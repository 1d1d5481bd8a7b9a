# SPDX-License-Identifier: BSD-2-Clause
"""
Connections that are held until their hello, as the web server sees them: idle ones, those that end at once, those that wait for
its greeting, and a queue that is full.
"""
import contextlib
import os
import signal
import socket

import pytest

from control import status
from firewalls import sysctl
from hellos import acme_hello, https_hello
from in_place import ACME, armed
from netns import run as command
from sockets import connect
from trial import HERE
from waiting import now, wait_until
from watched import H, Plain, exchange

SOON = 0.5    # s; a SYN or a SYN-ACK that is lost costs 1
ACCEPTED = 1  # s, after which the kernel retransmits the SYN-ACK of a held connection, and its answer is let through


@pytest.fixture
def plain(lab, veth):
    return Plain(lab, veth)


def accepted_after(plain, since):
    assert plain.web.pending(10), plain.web.known_to_kernel()
    seconds = now() - since
    return plain.web.accept_any(), seconds


@pytest.mark.alone
def test_an_idle_connection(plain):
    """It is the web server's after a second, as is what it says later; a validation that is so late is still one."""
    with armed(plain.router) as acme:
        for hello in (https_hello(), acme_hello()):
            began = now()
            client = plain.client()
            server, seconds = accepted_after(plain, began)
            assert seconds < ACCEPTED + 0.3, f"accepted after {seconds:.2f} s"
            client.send(hello)
            if hello == acme_hello():
                server.close()
                server = acme.accept()
            assert server.read(len(hello)) == hello
            exchange(client, server)
    assert plain.totals()["takeovers"] == 1


def test_clients_that_end_at_once(plain):
    """Health checks: they connect and close, or reset, with and without a hello. The next visitor is served."""
    with armed(plain.router):
        plain.client().close()
        assert plain.web.accept_any().read_to_end() == b""
        plain.client().finish_sending()
        assert plain.web.accept_any().read_to_end() == b""
        plain.client().send(https_hello()).close()
        assert plain.web.accept_any().read(len(https_hello())) == https_hello()
        for _ in range(50):
            plain.client().reset()
        client = plain.client().send(https_hello())
        server = plain.served_client(client, https_hello())
        exchange(client, server)
    assert plain.totals()["sessions"] == 0


@contextlib.contextmanager
def halted(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def test_an_idle_client_that_ends_beside_a_takeover(plain):
    """The web server has said nothing, so the next connection is held as well."""
    with armed(plain.router) as acme:
        with halted(plain.router.workers_pid):
            validation = plain.client().send(acme_hello())
            idle = plain.client()
            server = plain.web.accept_any(5)
            idle.close()
            assert server.read_to_end() == b""
        answer = acme.accept()
        assert answer.read(H) == acme_hello()
        exchange(validation, answer)
        held = status(plain.router)["events"]["held"]
        plain.client().reset()
        assert status(plain.router)["events"]["held"] == held + 1
    assert not plain.router.find("sends before its clients do")


def requests(port=443):
    """Connections that the kernel has as requests."""
    return len(command("ss", "-Htn", "state", "syn-recv", f"sport = {port}").splitlines())


def test_requests_that_are_reset_are_gone(plain):
    """Nothing of them is left in the listener's queue."""
    with armed(plain.router):
        for _ in range(50):
            plain.client().reset()
        assert status(plain.router)["events"]["held"] == 50
        wait_until(lambda: requests() == 0, 5, "the end of the requests")


def greeted(veth, timeout=5):
    """(seconds until the greeting, what it is) of a client that says nothing before."""
    began = now()
    client = connect((veth.server4, 443), namespace=veth.namespace)
    greeting = client.read(5)
    client.close()
    return now() - began, greeting


@pytest.mark.alone
def test_a_server_that_speaks_first(lab, veth):
    """Its clients wait for its greeting. One may wait until it is released; those after it are not held."""
    server = lab.child("/usr/bin/python3", os.path.join(HERE, "tls_server.py"), "--greeting", "--host", "0.0.0.0", "--port", "443",
                       name="server that greets")
    server.wait_line("listening")
    router = lab.router(ACME, 443, "--inspect", "watch", bypass=True, listen=[("0.0.0.0", 443)])
    with armed(router):
        waits = []
        for _ in range(10):
            seconds, greeting = greeted(veth)
            assert greeting == b"220 w"
            waits.append(seconds)
    assert sorted(waits)[-2] < SOON and max(waits) < ACCEPTED + SOON, waits


@pytest.mark.alone
def test_a_crowd_of_idle_connections(lab, veth):
    """A short queue, no SYN cookies, and 60 clients that say nothing: a visitor does not wait for a place."""
    web = lab.listener(host="0.0.0.0", port=443, backlog=16)
    router = lab.router(ACME, 443, "--inspect", "watch", bypass=True, listen=[("0.0.0.0", 443)])
    with sysctl(net__ipv4__tcp_syncookies=0), armed(router) as acme:
        idle = []
        for _ in range(60):
            with veth.namespace.inside():
                sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex((veth.server4, 443))
            idle.append(sock)
            while web.pending():  # as a web server does
                web.accept_any()
        began = now()
        client = lab.connect((veth.server4, 443), namespace=veth.namespace)
        assert now() - began < SOON, f"connecting took {now() - began:.2f} s"
        client.send(acme_hello())
        assert acme.accept().read(H) == acme_hello()
        for sock in idle:
            sock.close()
