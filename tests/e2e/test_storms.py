# SPDX-License-Identifier: BSD-2-Clause
"""
A process that listens on the ACME port and closes again, thousands of times a second, so that the program is armed and
disarmed as often: visitors do not notice, the log does not grow with it, and a validation amid all that is served.
"""
import contextlib
import os
import statistics
import sys

import pytest

from calls import run
from control import status
from in_place import ACME, armed
from trial import Responder, raw_validations, raw_visits
from waiting import now, pause, wait_until
from web_servers import WebServer

STORM = os.path.join(os.path.dirname(os.path.abspath(__file__)), "arming_storm.py")
ROUNDS, VISITS = 4, 200
PACE = 250     # visits a second: far from what the machine can do, so that they wait for the program or for nothing
SLOWER = 1.10  # than in the same storm without the program
LINES_AT_ONCE = 20  # user/steering/arming.c


@contextlib.contextmanager
def storm(lab, held=0, prefix=()):
    child = lab.child(*prefix, sys.executable, STORM, str(ACME), str(held), name="storm")
    child.wait_line("storming")
    try:
        yield child
    finally:
        child.stop()


class Place:
    """nginx, and visitors of it by IPv4."""

    def __init__(self, lab, veth, authority):
        self.lab, self.veth, self.authority, self.responder = lab, veth, authority, None
        self.web = WebServer(lab, "nginx", 443, authority)

    @contextlib.contextmanager
    def attached(self, acme=ACME):
        router = self.lab.router(acme, 443, "--inspect", "watch", bypass=True, log_level="info",
                                 listen=[("0.0.0.0", 443), ("::", 443)])
        try:
            yield router
        finally:
            router.finish()

    def visits(self):
        """The median time of a visit in ms, of which none fails."""
        stream = raw_visits(self, (self.veth.server4, 443), VISITS, per_second=PACE)
        run(stream, namespace=self.veth.namespace)
        assert not stream.failures(), str(stream)
        return stream.milliseconds()


@pytest.fixture
def place(lab, veth, authority):
    return Place(lab, veth, authority)


def measure(place, held):
    """The median ratio of a round, with the program to without it, and the two times in ms."""
    rows = []
    with storm(place.lab, held):
        for _ in range(ROUNDS):
            without = place.visits()
            with place.attached():
                rows.append((place.visits(), without))
    ratio = statistics.median(after / before for after, before in rows)
    return ratio, *(statistics.median(column) for column in zip(*rows))


@pytest.mark.alone
@pytest.mark.parametrize("held", [0, pytest.param(0.001, marks=pytest.mark.long)], ids=["at_once", "held_1_ms"])
def test_visitors(place, held):
    """Other load on the machine falls on rounds with and without the program alike, but not on each: four measurements."""
    said = []
    for _ in range(4):
        ratio, with_it, without = measure(place, held)
        said.append(f"{with_it:.2f} ms, {without:.2f} ms without the program")
        print(said[-1], f"ratio {ratio:.2f}")
        if ratio <= SLOWER:
            return
    pytest.fail("a visit takes " + "; ".join(said))


def test_the_program(place):
    """The log and the main thread's time are bounded, whatever comes; what is left out is told; the end is right."""
    with place.attached() as router:
        with storm(place.lab) as child:
            router.wait_line("armed: ")
            place.visits()
            start = len(router.lines())
            began, used = now(), router.cpu_seconds()
            pause(3)
            share, logged = (router.cpu_seconds() - used) / (now() - began), len(router.lines()) - start
            assert status(router)["state"] == "running"
        assert int(child.lines()[-1].split()[0]) > 1000, child.lines()
        assert logged <= 2 * LINES_AT_ONCE + 8, f"{logged} lines in 3 s"
        assert share < 0.25, f"{share:.0%} of a CPU"
        with armed(router):
            assert router.find(r"\(armed \d+ more times since the last such line\)")
            assert status(router)["armed"]["now"]
        router.wait_line("disarmed: nothing listens", start=len(router.lines()) - 1)
        wait_until(lambda: not status(router)["armed"]["now"], 5, "disarmed")
        place.visits()


def test_validations(lab, veth, authority):
    """The responder listens all the time, and something else beside it comes and goes."""
    responder = Responder(lab, hosts=("127.0.0.2",))
    place = Place(lab, veth, authority)
    place.responder = responder
    with place.attached(("127.0.0.2", ACME)) as router, storm(lab):
        asked = raw_validations(place, (veth.server4, 443), 100)
        crowd = raw_visits(place, (veth.server4, 443), None, 2)
        run(asked, crowd, namespace=veth.namespace)
        assert not asked.failures() and not crowd.failures(), f"validations {asked}; visits {crowd}"
        assert status(router)["events"]["takeovers"] == 100


def test_strangers(place):
    """Of a user who is not the ACME client: they arm nothing, and one line names the user."""
    with place.attached() as router:
        with storm(place.lab, prefix=["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]):
            router.wait_line("warn the listener on .* is not used for --acme: it belongs to ")
            place.visits()
            start, began, used = len(router.lines()), now(), router.cpu_seconds()
            pause(2)
            share = (router.cpu_seconds() - used) / (now() - began)
            found = status(router)
        assert not found["armed"]["now"] and found["events"]["strangers"] > 1000, found["events"]
        assert len(router.lines()) == start, router.lines()[start:]
        assert share < 0.05, f"{share:.0%} of a CPU"
