# SPDX-License-Identifier: BSD-2-Clause
"""
What all tests share: a private network namespace for the whole run, so that :443 is free and no packet leaves; the `lab`
fixture, which starts the program and its peers and ends them in the right order; and a check of the kernel log.
"""
import os
import pathlib
import shutil
import sys
import threading
import warnings

import pytest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import netns  # noqa: E402
from certs import Authority  # noqa: E402
from children import Child  # noqa: E402
from in_place import Ground  # noqa: E402
from kernel_log import KernelLog, is_known  # noqa: E402
from rawtcp import Tun  # noqa: E402
from router import BINARY, Router  # noqa: E402
from service_manager import Manager  # noqa: E402
from sockets import Listener, connect, free_port  # noqa: E402
from waiting import SCALE  # noqa: E402
from watched import Plain  # noqa: E402

PLANES = ("sockmap", "user")


def pytest_configure(config):
    if config.option.collectonly or config.option.help:
        return
    if os.geteuid() != 0:
        pytest.exit("the end-to-end tests need root: sudo make check-e2e", returncode=1)
    if not os.access(BINARY, os.X_OK):
        pytest.exit(f"{BINARY} is not there: run make first, or set ALPNBPF", returncode=1)
    netns.enter_private()
    # The control sockets of this test process, separate from those of the machine and of other test processes.
    os.environ["RUNTIME_DIRECTORY"] = netns.open_directory()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """After a failure, shows the logs of its programs, and makes its lab skip the checks of an orderly end."""
    outcome = yield
    report = outcome.get_result()
    if not report.failed:
        return
    for lab in (value for value in item.funcargs.values() if isinstance(value, Lab)):
        lab.failed = True
        for number, router in enumerate(lab.routers[-3:]):
            lines = router.lines()
            report.sections.append((f"alpnbpf log {number}", "\n".join(lines[-80:])))
        for child in lab.children:
            if child.lines():
                report.sections.append((f"what {child.name} said", "\n".join(child.lines()[-20:])))


@pytest.fixture(scope="session", autouse=True)
def kernel_log():
    """Fails if the kernel logs a warning about us during the run."""
    log = KernelLog()
    yield
    reports = list(log.reports())
    log.close()
    for report in filter(is_known, reports):
        warnings.warn("the kernel's accounting of a closed socket: " + " | ".join(report[:4]), stacklevel=1)
    reports = [report for report in reports if not is_known(report)]
    assert not reports, "the kernel warned:\n" + "\n\n".join("\n".join(report[:40]) for report in reports)


@pytest.fixture(autouse=True)
def no_thread_left():
    """
    A test's threads end with it. One that stays in accept() keeps the closed listener of its test alive, and the port
    taken; when a signal of the process restarts the call (ERESTARTSYS: by descriptor number), it continues on
    the listener of a later test that has that number, and takes its connections.
    """
    before = set(threading.enumerate())
    yield
    left = set(threading.enumerate()) - before
    for thread in left:
        thread.join(10 * SCALE)
    assert not {thread for thread in left if thread.is_alive()}


@pytest.fixture(scope="session")
def veth():
    """A client namespace behind a veth pair."""
    pair = netns.VethPair()
    yield pair
    pair.close()


@pytest.fixture(scope="module")
def tun():
    """The tun device of rawtcp.py's peers."""
    tun = Tun()
    yield tun
    tun.close()


class Lab:
    """What one test (or module) starts. Ends the clients first, then the program with its checks, then the rest."""

    def __init__(self, directory):
        self.directory = directory
        self._open = None
        self.failed = False
        self.routers, self.listeners, self.peers, self.children = [], [], [], []

    def listener(self, **options):
        self.listeners.append(Listener(**options))
        return self.listeners[-1]

    def socket_path(self, name):
        """For a unix socket; of other users, too."""
        self._open = self._open or netns.open_directory()
        return os.path.join(self._open, name)

    def backends(self, **options):
        """The usual two backends: acme, https."""
        return self.listener(**options), self.listener(**options)

    def router(self, acme, https, *options, **keywords):
        """The program on a free port of both loopbacks, unless listen= says otherwise."""
        port = free_port()
        keywords.setdefault("listen", [("127.0.0.1", port), ("::1", port)])
        router = Router(acme, https, *options, wait=False, **keywords)
        self.routers.append(router)
        router.wait_ready()
        return router

    def failing_router(self, acme, https, *options, **keywords):
        """The program with a configuration that must not start: does not wait for it, expects exit code 1."""
        router = Router(acme, https, *options, wait=False, **keywords)
        router.expected_exit = 1
        self.routers.append(router)
        return router

    def connect(self, target, family=4, **options):
        """A client of a router or of an address."""
        is_router = isinstance(target, Router)
        line = len(target.lines()) if is_router else 0
        self.peers.append(connect(target.address(family) if is_router else target, **options))
        self.peers[-1].log_line = line
        return self.peers[-1]

    def session(self, router, hello, backend, **options):
        """An established session: (client end, backend end), the hello already through."""
        client = self.connect(router, **options)
        client.send(hello)
        server = backend.accept()
        assert server.read(len(hello)) == hello
        return client, server

    def finish_session(self, router, client, server, route, sent):
        """Finishes a session whose first bytes have arrived: an answer, both ends in order, and its log line."""
        answer = b"answer of the backend"
        server.send(answer)
        assert client.read(len(answer)) == answer
        client.finish_sending()
        assert server.read_to_end() == b""
        server.close()
        assert client.read_to_end() == b""
        client.close()
        closed = router.closed(client)
        assert (closed.route, closed.cause) == (route, "done")
        assert (closed.up, closed.down) == (sent, len(answer))

    def child(self, *command, **options):
        self.children.append(Child(*command, **options))
        return self.children[-1]

    def finish(self, router):
        """Ends a program that several tests share: its clients first."""
        for peer in self.peers:
            peer.close()
        router.abandon() if self.failed else router.finish()

    def close(self):
        for peer in self.peers:
            peer.close()
        for listener in self.listeners:
            listener.close()
        try:
            for router in self.routers:
                router.abandon() if self.failed else router.finish()
        finally:
            for router in self.routers:
                if not router.ended:
                    router.abandon()
            for child in reversed(self.children):
                child.stop()


@pytest.fixture
def tmp_path():
    """Not pytest's own, which is for root alone: the program reads files as another user."""
    path = pathlib.Path(netns.open_directory())
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture
def lab(tmp_path):
    lab = Lab(tmp_path)
    yield lab
    lab.close()


@pytest.fixture(scope="module")
def module_lab():
    """A lab that the tests of a module share, for things that are slow to start."""
    lab = Lab(pathlib.Path(netns.open_directory()))
    yield lab
    lab.close()


@pytest.fixture
def manager():
    """A service manager for the program to talk to."""
    manager = Manager()
    yield manager
    manager.close()


@pytest.fixture(scope="session")
def authority(tmp_path_factory):
    """The certificate authority of the run."""
    return Authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture
def ground(lab, authority, veth):
    """In place: nginx on :443, clients behind the veth pair."""
    return Ground(lab, authority, veth, "nginx")


@pytest.fixture(params=[False, True], ids=["accepted", "deferred"])
def plain(lab, veth, request):
    """In place: a web server that the test plays, with and without TCP_DEFER_ACCEPT; the program watches."""
    return Plain(lab, veth, deferred=request.param)


@pytest.fixture(scope="module", params=[False, True], ids=["accepted", "deferred"])
def module_plain(module_lab, veth, request):
    plain = Plain(module_lab, veth, deferred=request.param)
    yield plain
    plain.web.close()
    module_lab.finish(plain.router)


@pytest.fixture
def shared_plain(module_plain):
    """The same, for modules that use port 443 for nothing else: starting it takes longer than most of their tests."""
    module_plain.begin()
    yield module_plain
    module_plain.end()


@pytest.fixture(params=PLANES)
def plane(request):
    return request.param
