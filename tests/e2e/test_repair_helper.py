# SPDX-License-Identifier: BSD-2-Clause
"""
The repair helper: it has the rights that takeovers need, and the process that reads bytes of the network has none of
them. Stopped or killed in the midst of takeovers, it harms no visitor. tests/unit/test_ladder.c tests what it refuses.
"""
import os
import signal
import time

import pytest

from control import status
from hellos import acme_hello, https_hello
from helpers import helper_of
from in_place import armed
from waiting import wait_until
from watched import Plain, exchange

NET_ADMIN, NET_BIND_SERVICE = 1 << 12, 1 << 10


@pytest.fixture(name="plain")
def _plain(lab, veth):
    return Plain(lab, veth)


def facts(pid):
    with open(f"/proc/{pid}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def descriptors(pid):
    return [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]


def sockets_in(table, column, pid):
    """The inodes of a table of /proc/net that this process has open."""
    with open(f"/proc/net/{table}") as file:
        inodes = {line.split()[column] for line in file.readlines()[1:]}
    return {name[8:-1] for name in descriptors(pid) if name.startswith("socket:")} & inodes


def visit(plain):
    client = plain.client()
    client.send(https_hello())
    exchange(client, plain.served_client(client, https_hello()))


def end_all(router, acme, validations):
    """Those that were taken over: unanswered, they would keep the turns with the responder."""
    def ended():
        while acme.pending():
            acme.accept_any().close()
        return status(router)["sessions"]["now"] == 0

    for client in validations:
        client.close()
    wait_until(ended, 5, "the end of the validations that were taken over")


def test_rights(plain):
    router, helper = plain.router, helper_of(plain.router.pid)
    with armed(router) as acme:
        client = plain.client()
        client.send(acme_hello())
        server = acme.accept()
        assert server.read(len(acme_hello())) == acme_hello()
        exchange(client, server)
        for task in os.listdir(f"/proc/{router.pid}/task"):
            assert int(facts(f"{router.pid}/task/{task}")["CapPrm"], 16) == 0
        found = facts(helper)
        assert found["Uid"] == facts(router.pid)["Uid"] and found["Groups"] == facts(router.pid)["Groups"]
        assert int(found["CapPrm"], 16) == int(found["CapEff"], 16) == NET_ADMIN | NET_BIND_SERVICE
        assert found["NoNewPrivs"] == "1" and found["Threads"] == "1"
        assert found["Seccomp"] == ("0" if router.find("not limited in a sanitizer build") else "2")
        # Raw sockets are the helper's; it has no other file, no listener, no connection.
        assert not sockets_in("raw", 9, router.pid) and len(sockets_in("raw", 9, helper)) == 1
        assert not sockets_in("raw6", 9, router.pid) and len(sockets_in("raw6", 9, helper)) == 1
        assert not sockets_in("tcp", 9, helper) and not sockets_in("tcp6", 9, helper)
        plainly = [name for name in descriptors(helper) if not name.startswith(("socket:", "anon_inode:"))]
        assert [name for name in plainly if name != "/dev/null" and "cgroup" not in name] == []
        links = [name for name in descriptors(helper) if name in ("anon_inode:bpf_link", "anon_inode:bpf-link")]
        assert len(links) == 2  # of the watch
    assert plain.totals()["takeovers"] == 1
    assert not os.path.exists(f"/proc/{helper}")


def test_terminal_signals(plain):
    """What a terminal or a service manager sends to all does not end it before the sessions have ended."""
    helper = helper_of(plain.router.pid)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(helper, number)
    with armed(plain.router) as acme:
        client = plain.client()
        client.send(acme_hello())
        assert acme.accept().read(len(acme_hello())) == acme_hello()
        client.close()
    assert plain.totals()["takeovers"] == 1


def test_killed(plain):
    """Visitors go on, what is new is steered, and status, log and metrics say so."""
    router, helper = plain.router, helper_of(plain.router.pid)
    with armed(router) as acme:
        visitors = [plain.client() for _ in range(4)]
        for client in visitors:
            client.send(https_hello()[:60])
        validations = [plain.client() for _ in range(20)]
        for number, client in enumerate(validations):
            client.send(acme_hello())
            if number == 10:
                os.kill(helper, signal.SIGKILL)
        for client in visitors:
            client.send(https_hello()[60:])
        for client in visitors:
            exchange(client, plain.served_client(client, https_hello()))
        router.wait_line(r"the repair helper \(process \d+\) has ended: nothing can be taken over any more", 5)
        now = status(router)
        assert not now["takeovers"]["possible"] and "repair helper" in now["takeovers"]["why_not"]
        assert "hellos read in passing" not in now["mode"]
        wait_until(plain._nothing_on_its_way, 5, "no entry left behind")
        end_all(router, acme, validations)
        # Steered: a visitor and a validation.
        takeovers = status(router)["events"]["takeovers"]
        visit(plain)
        client = plain.client()
        client.send(acme_hello())
        server = acme.accept()
        assert server.read(len(acme_hello())) == acme_hello()
        exchange(client, server)
        assert status(router)["events"]["takeovers"] == takeovers
    visit(plain)
    router.finish()


def test_stopped(plain):
    """Nothing waits for it but takeovers: visitors and sessions go on, and the program is told apart from one that hangs."""
    router, helper = plain.router, helper_of(plain.router.pid)
    with armed(router) as acme:
        client = plain.client()
        client.send(acme_hello())
        session = acme.accept()
        assert session.read(len(acme_hello())) == acme_hello()
        os.kill(helper, signal.SIGSTOP)
        try:
            late = plain.client()
            late.send(acme_hello())
            until, slowest = time.monotonic() + 3, 0
            while time.monotonic() < until:
                begun = time.monotonic()
                visit(plain)
                session.send(b"answer")
                assert client.read(6) == b"answer"
                status(router)
                slowest = max(slowest, time.monotonic() - begun)
            assert slowest < 0.5
            assert router.find("the repair helper has not answered for a second")
            steered = plain.client()
            steered.send(acme_hello())
            server = acme.accept()
            assert server.read(len(acme_hello())) == acme_hello()
            exchange(steered, server)
        finally:
            os.kill(helper, signal.SIGCONT)
        server = acme.accept()  # its takeover goes on
        assert server.read(len(acme_hello())) == acme_hello()
        exchange(late, server)
        exchange(client, session)
    # Armed anew, it watches again.
    router.wait_line(" info disarmed", 5)
    with armed(router) as acme:
        before = status(router)["events"]["takeovers"]
        client = plain.client()
        client.send(acme_hello())
        server = acme.accept()
        assert server.read(len(acme_hello())) == acme_hello()
        exchange(client, server)
        assert status(router)["events"]["takeovers"] == before + 1
    plain.totals()
