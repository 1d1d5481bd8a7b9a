# SPDX-License-Identifier: BSD-2-Clause
"""
Large amounts of data, byte-exact: transfers in both directions at once, slow readers, many sessions, and no stall while both
ends are ready. The peers are processes of their own and check every byte against a known pattern.
"""
import json
import os
import sys

import pytest

from waiting import SCALE

HERE = os.path.dirname(os.path.abspath(__file__))
MIB = 1 << 20
GIB = 1 << 30


def peer(lab, script, *arguments, prefix=()):
    return lab.child(*prefix, sys.executable, os.path.join(HERE, script), *map(str, arguments), name=script)


def start_backend(lab, script, *arguments):
    """(process, its port); it listens when this returns."""
    child = peer(lab, script, "backend", *arguments)
    return child, int(child.wait_line(r"listening (\d+)").group(1))


def result(child, timeout=120):
    assert child.wait(timeout) == 0, child.text()
    return json.loads(child.lines()[-1])


class Transfer:
    """One session between a stream_peer client and a stream_peer backend, through a program of its own, or directly."""

    def __init__(self, lab, plane, up=0, down=0, router_options=(), client_options=(), backend_options=(), veth=None,
                 acme=False, timeout=120):
        flags = ["--timeout", timeout * SCALE] + (["--acme"] if acme else [])
        host = veth.server4 if veth and not plane else "127.0.0.1"
        backend, port = start_backend(lab, "stream_peer.py", *flags, "--host", host, "--send", down, "--receive", up,
                                      *backend_options)
        if plane:
            unused, chosen = lab.listener(), (host, port)
            listen = {"listen": [(veth.server4, 443)]} if veth else {}
            self.router = lab.router(chosen if acme else unused, unused if acme else chosen, *router_options, plane=plane,
                                     **listen)
            host, port = self.router.address()
        client = peer(lab, "stream_peer.py", "client", "--host", host, "--port", port, *flags, "--send", up,
                      "--receive", down, *client_options, prefix=veth.namespace.prefix() if veth else ())
        self.client = result(client, timeout + 10)
        self.backend = result(backend, timeout + 10)
        self.up, self.down = up, down

    def check_exact(self):
        assert not self.client["errors"] and not self.backend["errors"], (self.client, self.backend)
        assert (self.client["sent"], self.backend["received"]) == (self.up, self.up)
        assert (self.backend["sent"], self.client["received"]) == (self.down, self.down)
        closed = self.router.closed(self.client["local_port"])
        assert closed.cause == "done"
        # The hello comes before the pattern.
        assert 0 < closed.up - self.up < 1000 and closed.down == self.down
        return closed

    def gaps(self):
        return self.client["gaps"] + self.backend["gaps"]


@pytest.mark.long
def test_one_gigabyte_each_way(lab, plane):
    transfer = Transfer(lab, plane, up=GIB, down=GIB)
    closed = transfer.check_exact()
    if plane == "user":
        assert closed.up_kernel == 0 and closed.down_kernel == 0


@pytest.mark.long
@pytest.mark.parametrize("direction", ["up", "down"])
def test_one_gigabyte_one_way(lab, plane, direction):
    Transfer(lab, plane, **{direction: GIB}).check_exact()


@pytest.mark.long
@pytest.mark.parametrize("direction", ["up", "down"])
def test_bulk_over_veth(lab, plane, veth, direction):
    """Segments of 1,460 bytes, a client with another path than the backend."""
    Transfer(lab, plane, **{direction: 512 * MIB}, veth=veth).check_exact()


def test_bulk_on_the_acme_route(lab, plane):
    """An unusual use of the route, which must be exact too."""
    Transfer(lab, plane, up=16 * MIB, down=16 * MIB, acme=True).check_exact()


@pytest.mark.long
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("buffer", ["1M", "128K"])
def test_slow_reader(lab, plane, direction, buffer):
    """The reader pauses for 20 ms out of every 40, so that back-pressure sets in and ends repeatedly."""
    reader = {"client_options" if direction == "down" else "backend_options": ["--stall", 20]}
    Transfer(lab, plane, **{direction: 96 * MIB}, router_options=["--buffer", buffer], **reader).check_exact()


@pytest.mark.long
def test_slow_readers_both_ways(lab, plane):
    Transfer(lab, plane, up=64 * MIB, down=64 * MIB, client_options=["--stall", 15],
             backend_options=["--stall", 25]).check_exact()


@pytest.mark.long
@pytest.mark.parametrize("direction", ["up", "down"])
def test_slow_reader_over_veth(lab, plane, veth, direction):
    reader = {"client_options" if direction == "down" else "backend_options": ["--stall", 20]}
    Transfer(lab, plane, **{direction: 96 * MIB}, veth=veth, **reader).check_exact()


@pytest.mark.alone
@pytest.mark.long
@pytest.mark.parametrize("direction", ["up", "down"])
@pytest.mark.parametrize("path", ["loopback", "veth"])
def test_no_gap_between_willing_ends(lab, plane, veth, path, direction):
    """
    A lost window update leaves the sender to its persist timer: 200 ms of silence in a flow whose both ends are
    willing. It comes back systematically. A machine that has no time for the ends makes gaps as well: a run with one
    counts if the same transfer without any program, right behind it, has none, and two of those are too many.
    """
    amount = {direction: 384 * MIB, "veth": veth if path == "veth" else None}
    seen, disturbed = [], 0
    while len(seen) < 2:
        transfer = Transfer(lab, plane, **amount)
        transfer.check_exact()
        transfer.router.finish()
        if not transfer.gaps():
            return
        if Transfer(lab, None, **amount).gaps():
            disturbed += 1
            assert disturbed < 10, "even without the program no transfer goes through without a gap"
        else:
            seen.append(transfer.gaps())
    pytest.fail(f"[offset, ms] of the gaps of a timer, run by run: {seen}")


@pytest.mark.long
def test_500_sessions_at_once(lab, plane):
    sessions, size = 500, 300_000
    backend, port = start_backend(lab, "swarm.py", "--sessions", sessions, "--size", size)
    router = lab.router(lab.listener(), ("127.0.0.1", port), plane=plane)
    client = peer(lab, "swarm.py", "client", "--port", router.address()[1], "--sessions", sessions, "--size", size)
    for end in (result(client), result(backend)):
        assert end == {"done": sessions, "errors": [], "failed": 0}
    router.finish()
    closed = router.sessions()
    assert len(closed) == sessions and {c.cause for c in closed} == {"done"}
    assert {c.down for c in closed} == {size}
    assert len({c.up for c in closed}) == 1 and closed[0].up > size
    assert router.totals()["sessions"] == sessions
