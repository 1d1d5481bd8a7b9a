# SPDX-License-Identifier: BSD-2-Clause
"""The ACME client or the program ends while hellos are read in passing: every connection continues where it is."""
import os
import signal

import pytest

from control import status
from hellos import acme_hello, https_hello
from in_place import ACME, armed
from waiting import wait_until
from watched import H, Plain, exchange


class Half:
    """A connection to the web server with half of its hello."""

    SEEN = 60

    def __init__(self, client, web):
        self.client = client.send(acme_hello()[:self.SEEN])
        self.server = web.accept()

    def served(self):
        """The rest is sent: the web server gets all of it, on the same connection."""
        self.client.send(acme_hello()[self.SEEN:])
        assert self.server.read(H) == acme_hello()
        exchange(self.client, self.server)


def test_disarmed_in_the_midst(plain):
    """The hello began while armed, and then the ACME client stopped listening: https gets it."""
    hello = acme_hello()
    with armed(plain.router):
        client = plain.client()
        client.send(hello[:100])
        wait_until(lambda: plain.web.pending(), 5, "the connection at the server")
    client.send(hello[100:])
    server = plain.served(hello)
    exchange(client, server)
    totals = plain.totals()
    assert totals["takeovers"] == totals["acme_fallbacks"]


def test_sessions_live_through_detaching(lab, veth):
    plain = Plain(lab, veth)
    with armed(plain.router) as acme:
        client = plain.client()
        client.send(acme_hello())
        server = acme.accept()
        assert server.read(H) == acme_hello()
        plain.router.terminate()
        wait_until(lambda: status(plain.router)["state"] == "draining", 5, "it to drain")
        other = plain.client()
        other.send(acme_hello())  # no longer inspected
        assert plain.web.accept().read(H) == acme_hello()
        exchange(client, server)
    assert plain.totals()["end_done"] == 1


def test_killed(lab, veth):
    """kill -9: connections that were taken over are lost, the web server's are not."""
    plain = Plain(lab, veth)
    with armed(plain.router) as acme:
        other = plain.client()
        other.send(https_hello()[:50])
        client = plain.client()
        client.send(acme_hello())
        acme.accept()
        plain.router.signal(signal.SIGKILL)
        assert client.outcome() in ("end", "reset")
        other.send(https_hello()[50:])
        server = plain.web.accept()
        assert server.read(len(https_hello())) == https_hello()
        exchange(other, server)
    plain.router.expected_exit = -signal.SIGKILL
    plain.router.abandon()


def test_end_in_the_midst(plain):
    with armed(plain.router):
        half = Half(plain.client(), plain.web)
        plain.router.finish()
        half.served()


@pytest.mark.parametrize("attempt", range(3))
def test_draining_without_worker_0(lab, veth, attempt):
    """
    A session may be worker 1's (the kernel chooses, hence the attempts): worker 0 ends at once, and a hello that is
    half there must not wait for it.
    """
    web = lab.listener(host="0.0.0.0", port=443)
    router = lab.router(ACME, 443, "--inspect", "watch", "--workers", "2", "--drain-timeout", "20",
                        listen=[("0.0.0.0", 443), ("127.0.0.1", 7443)])
    with armed(router):
        held = lab.connect(("127.0.0.1", 7443)).send(https_hello())
        server = web.accept()
        assert server.read(len(https_hello())) == https_hello()
        half = Half(lab.connect((veth.server4, 443), namespace=veth.namespace), web)
        threads = len(os.listdir(f"/proc/{router.workers_pid}/task"))
        router.terminate()
        router.wait_line("draining", 5)
        wait_until(lambda: len(os.listdir(f"/proc/{router.workers_pid}/task")) < threads, 5, "the end of the idle worker")
        half.served()
        assert router.running()
        exchange(held, server)
    router.finish()
