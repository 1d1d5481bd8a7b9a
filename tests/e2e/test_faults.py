# SPDX-License-Identifier: BSD-2-Clause
"""
A process of the program is killed, stopped, or out of memory in the middle of a thousand takeovers, while visitors come:
none of them is harmed, and nothing stays behind.
"""
import contextlib
import json
import os
import re
import resource
import signal
import threading

import pytest

from calls import RawCall, Stream, raw_hello, run
from control import status
from firewalls import sysctl
from hellos import ACME as ACME_NAME
from helpers import helper_of
from in_place import ACME, armed
from memory_group import MemoryGroup
from netns import run as command
from trial import Responder, armed_by, der, raw_visits
from waiting import SCALE, pause, wait_until
from web_servers import WebServer

VALIDATIONS, AT_ONCE = 1000, 50
REFUSED = "a record of type 21: 0278"  # how nginx answers acme-tls/1: with the alert no_application_protocol
TAKEN = 4096  # takeovers under way, and 4 MiB of records: bpf/takeover.bpf.h
STOP = 3  # seconds; as long as a client waits for its second retransmission, so that it loses three segments to it


@pytest.fixture(autouse=True)
def descriptors():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 20000), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


class Town:
    """nginx, the program that watches, a responder, and a crowd of visitors and CAs."""

    def __init__(self, lab, veth, authority, **options):
        self.lab, self.veth, self.authority = lab, veth, authority
        self.web = WebServer(lab, "nginx", 443, authority, **options)
        self.responder = self.router = None

    def attach(self, *options, **keywords):
        self.router = self.lab.router(ACME, 443, "--inspect", "watch", *options, bypass=True, log_level="info",
                                      listen=[("0.0.0.0", 443), ("::", 443)], **keywords)

    def arm(self):
        start = len(self.router.lines())
        self.responder = Responder(self.lab)
        armed_by(self.router, start)
        wait_until(lambda: status(self.router)["armed"]["now"], 5, "armed")

    def addresses(self):
        return (self.veth.server4, 443), (self.veth.server6, 443)

    def crowd(self, count=VALIDATIONS, at=VALIDATIONS // 2, action=None, timeout=10):
        """`action` comes when validation `at` begins. Returns the validations, and the visits beside them."""
        hello, addresses = raw_hello(ACME_NAME), self.addresses()
        begun = []

        def validation():
            begun.append(None)
            if len(begun) == at and action:
                action()
            return RawCall(addresses[len(begun) % 2], hello, self.responder.certificate, ACME_NAME)

        asked = Stream(validation, count, AT_ONCE)
        visits = [raw_visits(self, address, None, 3) for address in addresses]
        run(asked, *visits, namespace=self.veth.namespace, timeout=timeout)
        for stream in visits:
            assert stream.done and not stream.failures(), f"visits {stream}; validations {asked}"
        return asked, visits

    def serves(self, count=20):
        """Both, and each with the other's certificate to none."""
        asked, _ = self.crowd(count, 0)
        assert not asked.failures(), str(asked)


@pytest.fixture
def town(lab, veth, authority):
    return Town(lab, veth, authority)


def programs_of(pid):
    """The BPF programs that a process has open, itself or by a link."""
    ids = set()
    for name in os.listdir(f"/proc/{pid}/fdinfo"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/fdinfo/{name}") as file:
            ids |= {int(found) for found in re.findall(r"^prog_id:\s*(\d+)$", file.read(), re.MULTILINE)}
    return ids


def loaded():
    return {program["id"] for program in json.loads(command("bpftool", "-j", "prog", "show"))}


def no_more_than_those_it_had(asked):
    """
    What becomes of validations when the program ends: those that it had taken over end, the web server has the others, and
    none is left in silence.
    """
    failures = asked.failures()
    silent = sum(number for why, number in failures.items() if "nothing more within" in why)
    servers = sum(number for why, number in failures.items() if REFUSED in why)
    assert silent == 0, str(asked)
    assert sum(failures.values()) - servers <= 2 * AT_ONCE, str(asked)
    assert len(asked.good()) >= VALIDATIONS // 3, str(asked)


def killed(town, asked, programs):
    """The program has ended for good: nothing of it is left, the web server has all of its port, and it can start again."""
    no_more_than_those_it_had(asked)
    assert town.router.wait() in (-signal.SIGKILL, 1)  # 1: another process than the main one was killed
    town.router.ended = True
    wait_until(lambda: not programs & loaded(), 5, "the end of its programs")
    visits = [raw_visits(town, address, 50) for address in town.addresses()]
    run(*visits, namespace=town.veth.namespace)
    assert not any(stream.failures() for stream in visits)
    town.attach()
    armed_by(town.router)
    town.serves()


def pid_of(router, who):
    return router.pid if who == "main" else router.workers_pid


@pytest.mark.parametrize("who", ["main", "workers"])
def test_killed(town, who):
    town.attach()
    town.arm()
    programs = programs_of(town.router.pid)
    assert len(programs) > 4
    asked, _ = town.crowd(action=lambda: os.kill(pid_of(town.router, who), signal.SIGKILL))
    killed(town, asked, programs)


def without_helper(town, asked):
    """Those that it was about to take over stay the web server's; the others are steered, and validations with them."""
    router = town.router
    assert router.running()
    router.wait_line(r"the repair helper \(process \d+\) has ended: nothing can be taken over any more")
    failures = asked.failures()
    assert sum(failures.values()) <= 2 * AT_ONCE and not any("nothing more within" in why for why in failures), str(asked)
    wait_until(lambda: not status(router)["takeovers"]["possible"], 5, "status to say so")
    taken = status(router)["events"]["takeovers"]
    town.serves(100)
    found = status(router)["events"]
    assert found["takeovers"] == taken and found["steered"] >= 100


def test_helper_killed(town):
    town.attach()
    town.arm()
    helper = helper_of(town.router.pid)
    asked, _ = town.crowd(action=lambda: os.kill(helper, signal.SIGKILL))
    without_helper(town, asked)


def state_of(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0]


PROCESSES = {"main": lambda router: router.pid, "workers": lambda router: router.workers_pid,
             "repair helper": lambda router: helper_of(router.pid)}


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("seconds", [STOP, pytest.param(10, marks=pytest.mark.long)])
def test_stopped(town, process, seconds):
    """
    Validations that have begun wait for it (not for main), visitors do not. After 10 s without the helper, a takeover is given up: the web
    server has those that were under way.
    """
    town.attach()
    town.arm()
    pid = PROCESSES[process](town.router)

    def stop():
        os.kill(pid, signal.SIGSTOP)
        wait_until(lambda: state_of(pid) == "T", 5, "it to stop")
        timer.start()

    timer = threading.Timer(seconds, lambda: os.kill(pid, signal.SIGCONT))
    try:
        asked, visits = town.crowd(action=stop, timeout=10 + 2 * seconds)
    finally:
        timer.cancel()
        os.kill(pid, signal.SIGCONT)
    given_up = 2 * AT_ONCE if process == "repair helper" and seconds >= 10 else 0
    assert set(asked.failures()) <= {f"Wrong: {REFUSED}"} and sum(asked.failures().values()) <= given_up, str(asked)
    times = sorted(call.seconds for stream in visits for call in stream.done)
    assert times[-1] < 1 * SCALE, f"a visit took {times[-1]:.2f} s"
    town.serves()


@pytest.mark.parametrize("what,count,share", [("table", TAKEN + 300, 0), pytest.param("ring", 1800, 2500, marks=pytest.mark.long)])
def test_more_than_there_is_room_for(lab, veth, authority, what, count, share):
    """
    Stopped until more validations have begun than can be under way: those without a place, or whose network has enough
    sessions, are taken over when their clients send again. Visitors of the same time have the web server.
    """
    with sysctl(net__core__somaxconn=16384, net__ipv4__tcp_max_syn_backlog=16384):
        town = Town(lab, veth, authority, parameters="backlog=16384")
        town.attach()
        town.arm()
        hello, address = raw_hello(ACME_NAME, share=share), town.addresses()[0]
        begun, workers = [], town.router.workers_pid

        def validation():
            begun.append(None)
            if len(begun) == count:
                timer.start()  # once their hellos have been sent
            return RawCall(address, hello, town.responder.certificate, ACME_NAME)

        timer = threading.Timer(2, lambda: os.kill(workers, signal.SIGCONT))
        asked = Stream(validation, count, count)
        visits = raw_visits(town, address, None, 3)
        os.kill(workers, signal.SIGSTOP)
        try:
            run(asked, visits, namespace=veth.namespace, timeout=60)
        finally:
            os.kill(workers, signal.SIGCONT)
        assert visits.done and not visits.failures(), str(visits)
        assert not asked.failures(), str(asked)
        found = status(town.router)
        assert found["late"][what] > 0 and found["events"]["takeovers"] == count, found
        assert found["events"]["takeovers_failed"] == 0


@pytest.fixture
def group():
    group = MemoryGroup()
    yield group
    group.close()


def test_out_of_memory(group, town):
    """The kernel ends it where it wants memory, or refuses some: in the middle of takeovers, too."""
    town.attach(prefix=group.prefix())
    town.arm()
    programs = programs_of(town.router.pid)
    asked, _ = town.crowd(action=lambda: group.limit(group.usage() + (256 << 10)))
    if not town.router.running():
        killed(town, asked, programs)
        return
    silent = [why for why in asked.failures() if "nothing more within" in why]
    assert not silent, str(asked)
    group.limit(1 << 40)
    town.serves()


@pytest.mark.parametrize("process", ["workers", "repair helper"])
def test_one_out_of_memory(group, town, process):
    """What it has from then on is charged to its group: without room there, it fails, or is ended."""
    town.attach()
    town.arm()
    programs = programs_of(town.router.pid)
    group.add(PROCESSES[process](town.router))
    asked, _ = town.crowd(action=lambda: group.limit(group.usage() + (64 << 10)))
    print(process, asked)
    if process == "repair helper" and town.router.find("the repair helper .* has ended"):
        without_helper(town, asked)
    elif process == "workers" and town.router.find("the process of the workers .* was killed"):
        killed(town, asked, programs)
    else:
        assert town.router.running() and not any("nothing more within" in why for why in asked.failures()), str(asked)
        group.limit(1 << 40)
        town.serves()


@pytest.mark.parametrize("room", [0, 64 << 10, 1 << 20])
def test_armed_without_memory(group, town, room):
    """The links of the watch are charged to the program's group: it is armed and disarmed with hardly any room there."""
    town.attach(prefix=group.prefix())
    group.limit(group.usage() + room)
    stop = threading.Event()
    visits = [raw_visits(town, address, 300, per_second=150) for address in town.addresses()]

    def come():
        run(*visits, namespace=town.veth.namespace)
        stop.set()

    crowd = threading.Thread(target=come)
    crowd.start()
    while not stop.is_set() and town.router.running():
        start = len(town.router.lines())
        try:
            with armed(town.router):
                pause(0.05)
            town.router.wait_line("disarmed: ", start=start)
        except (AssertionError, OSError):
            assert not town.router.running()
    crowd.join()
    assert not any(stream.failures() for stream in visits), "; ".join(map(str, visits))
    if not town.router.running():
        assert town.router.wait() == -signal.SIGKILL
        town.router.ended = True
        return
    group.limit(1 << 40)
    town.arm()
    town.serves()
