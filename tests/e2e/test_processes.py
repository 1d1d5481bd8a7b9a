# SPDX-License-Identifier: BSD-2-Clause
"""
The main process and that of the workers: what the workers hold, and what becomes of connections when one of the two is
killed or stopped. tests/e2e/test_faults.py does that in the midst of takeovers, test_repair_helper.py to the helper.
"""
import contextlib
import json
import os
import re
import signal

import pytest

from children import children_of, comm_of
from control import status
from hellos import acme_hello, https_hello
from in_place import armed
from netns import run
from test_repair_helper import descriptors, facts, sockets_in
from waiting import wait_until
from watched import Plain, exchange, validate


@pytest.fixture(name="plain")
def _plain(lab, veth):
    return Plain(lab, veth)


@contextlib.contextmanager
def stopped(pid):
    os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: facts(pid)["State"].startswith("T"), 5, "stopped")
        yield
    finally:
        os.kill(pid, signal.SIGCONT)


def visit(plain):
    client = plain.client()
    client.send(https_hello())
    exchange(client, plain.served_client(client, https_hello()))


def works(client, server):
    server.send(b"more").close()
    assert client.read_to_end() == b"more"


def gone(pid):
    return not os.path.exists(f"/proc/{pid}") or facts(pid)["State"].startswith("Z")


def objects_of(pid, kind):
    """The names of the BPF maps or programs that a process has open."""
    ids = set()
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{name}") as file:
            ids |= set(re.findall(rf"^{kind}_id:\s*(\d+)$", file.read(), re.MULTILINE))
    return {json.loads(run("bpftool", "-j", kind, "show", "id", number))["name"] for number in ids}


@pytest.mark.parametrize("inspect", ["watch", "steer"])
def test_what_the_workers_hold(ground, inspect):
    """No capability, no link, no program but one that is asked, no socket but TCP's and those to the other processes; few maps, no folder."""
    router = ground.attach(inspect=inspect, plane="sockmap")
    workers = router.workers_pid
    assert int(facts(workers)["CapEff"], 16) == 0 and facts(workers)["PPid"] == str(router.pid)
    for table, column in (("netlink", 9), ("raw", 9), ("raw6", 9), ("packet", 8)):
        assert not sockets_in(table, column, workers), table
    kinds = {re.sub(r"\d+", "N", name) for name in descriptors(workers)}
    assert kinds <= {"/dev/null", "pipe:[N]", "socket:[N]", "anon_inode:[eventfd]", "anon_inode:[eventpoll]", "anon_inode:bpf-map",
                     "anon_inode:bpf-prog"}
    assert objects_of(workers, "prog") <= {"alpnbpf_owner"}
    assert objects_of(workers, "map") <= {"alpnbpf_socks", "alpnbpf_slots", "alpnbpf_ring", "alpnbpf_own", "alpnbpf_connect",
                                "alpnbpf_takeovr"}


@pytest.mark.parametrize("who", ["workers", "main"])
def test_killed(plain, who):
    """It ends as a whole and at once; connections of visitors are the web server's own, and stay."""
    router = plain.router
    with armed(router) as acme:
        validate(plain.client(), acme, acme_hello())
        before = plain.client()
        before.send(https_hello())
        server = plain.served_client(before, https_hello())
        workers = router.workers_pid
        family = [workers, *[pid for pid in children_of(router.pid) if comm_of(pid) == "alpnbpf-repair"]]
        os.kill(workers if who == "workers" else router.pid, signal.SIGKILL)
        assert router.wait(5) == (1 if who == "workers" else -signal.SIGKILL)
        router.ended = True
        wait_until(lambda: all(map(gone, family)), 5, "the end of all its processes")
        if who == "workers":
            assert router.find(rf"error the process of the workers \({workers}\) was killed by signal 9 \(Killed\)")
            assert router.find("shutting down now: a worker failed")
        works(before, server)
        visit(plain)


def test_killed_while_it_drains(lab):
    """Its sessions are gone with it: there is nothing more to wait for."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--drain-timeout", "1h")
    client, server = lab.session(router, https_hello(), https)
    router.terminate()
    router.wait_line("draining")
    os.kill(router.workers_pid, signal.SIGKILL)
    assert router.wait(5) == 1
    router.ended = True
    assert client.outcome() in ("reset", "end")
    server.close()


def test_the_workers_are_stopped(plain):
    """Visitors do not wait for them, status says that they do not answer, validations wait."""
    router = plain.router
    with armed(router) as acme:
        with stopped(router.workers_pid):
            visit(plain)
            client = plain.client()
            client.send(acme_hello())
            assert status(router)["complete"] is False
            visit(plain)
        server = acme.accept()
        assert server.read(len(acme_hello())) == acme_hello()
        exchange(client, server)
        assert status(router)["complete"] is True


def test_main_is_stopped(lab, plane):
    """Sessions go on, and new ones are accepted."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    before = lab.session(router, https_hello(), https)
    with stopped(router.pid):
        works(*before)
        for hello, backend in ((https_hello(), https), (acme_hello(), acme)):
            works(*lab.session(router, hello, backend))


def test_signals_of_a_terminal(lab):
    """They reach all processes of its group; only the main one acts on them."""
    acme, https = lab.backends()
    router = lab.router(acme, https)
    session = lab.session(router, https_hello(), https)
    for number in (signal.SIGHUP, signal.SIGINT, signal.SIGQUIT, signal.SIGTERM, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTSTP):
        os.kill(router.workers_pid, number)
    works(*session)
    works(*lab.session(router, https_hello(), https))
