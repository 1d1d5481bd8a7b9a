# SPDX-License-Identifier: BSD-2-Clause
"""
Under a service manager: the units as systemd reads them, and a test that plays the manager: user, capabilities and system
call filter of the unit, sockets that are passed, the notification socket, the watchdog.
"""
import ctypes
import json
import os
import re
import socket
import subprocess
import sys
from types import SimpleNamespace

import pytest

from as_service import allowed_by
from control import status
from hellos import acme_hello, https_hello
from router import BINARY, ROOT, is_sanitized
from sockets import free_port
from static_build import make
from test_sandbox import FIVE, SERVICE, expect_sandbox
from waiting import now, pause, wait_until

HELLO = https_hello()
AS_SERVICE = [sys.executable, os.path.join(ROOT, "tests", "e2e", "as_service.py")]
PTRACE_ATTACH, PTRACE_DETACH = 16, 17


@pytest.fixture(scope="module")
def units(tmp_path_factory):
    """Installed, so that the path in the unit is one of a program that is there."""
    prefix = tmp_path_factory.mktemp("installed")
    make("install", f"PREFIX={prefix}")
    return prefix / "lib" / "systemd" / "system"


# The units

def test_units_are_right(units):
    names = [str(units / name) for name in ("alpnbpf.service", "alpnbpf.socket")]
    run = subprocess.run(["systemd-analyze", "verify", "--man=no", *names], capture_output=True, text=True)
    assert run.returncode == 0 and "alpnbpf" not in run.stderr, run.stderr


def test_exposure(units):
    """On Debian 12 haproxy and nginx have 9.6."""
    run = subprocess.run(["systemd-analyze", "security", "--offline=true", "--no-pager", "--threshold=20",
                          str(units / "alpnbpf.service")], capture_output=True, text=True)
    level = re.search(r"Overall exposure level for alpnbpf.service: ([0-9.]+)", run.stdout)
    assert run.returncode == 0 and float(level.group(1)) <= 2.0, run.stdout


def test_user(units, tmp_path):
    (tmp_path / "etc").mkdir()
    subprocess.run(["systemd-sysusers", f"--root={tmp_path}", str(units.parents[1] / "sysusers.d" / "alpnbpf.conf")],
                   check=True, capture_output=True)
    line = (tmp_path / "etc" / "passwd").read_text().strip()
    assert line.startswith("alpnbpf:") and line.endswith("nologin")


def test_start_as_the_unit_says(lab, units, manager):
    """Its user, capabilities and filter permit the complete set-up, with all stages of the sandbox."""
    if is_sanitized():
        pytest.skip("LeakSanitizer takes ptrace(2), which no unit allows")
    acme, https = lab.backends()
    prefix = [*SERVICE, *AS_SERVICE, "--filter", ",".join(allowed_by(units / "alpnbpf.service")), "--"]
    router = lab.router(acme, https, plane="sockmap", listen=[("127.0.0.1", 443)], prefix=prefix, bypass=True,
                        env=manager.env)
    assert manager.wait("READY=1") and not router.find(" (warn|error) ")
    assert manager.wait("STATUS=") == "STATUS=serving: with bypass, armed while port " \
        f"{acme.port} has a listener, hellos read in passing, takeovers leave no trace, clients shown by peername; data plane sockmap (the self-test moved bytes in the kernel)"
    expect_sandbox_under_filter(router)
    client, server = lab.session(router, acme_hello(), acme)
    wait_until(lambda: status(router)["sessions"]["now"] == 1, 5, "the worker to have told of it")
    router.terminate()
    assert manager.wait("STOPPING=1")
    assert manager.wait("STATUS=") == "STATUS=draining: 1 sessions have 30000 ms to end"
    server.send(b"answer").close()
    assert client.read_to_end() == b"answer"
    client.close()
    router.finish()


def expect_sandbox_under_filter(router):
    expect_sandbox(router, bounding=FIVE)
    with open(f"/proc/{router.pid}/status") as file:
        filters = int(re.search(r"Seccomp_filters:\s+(\d+)", file.read()).group(1))
    assert filters == 2  # the unit's, and its own


# Sockets that are passed

def listening(host="127.0.0.1", port=None, v6only=True):
    sock = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if ":" in host:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, v6only)
    sock.bind((host, port or free_port()))
    sock.listen(64)
    return sock


def activated(lab, acme, https, *sockets, options=(), service=(), before=(), fails=False, bypass=False, **keywords):
    """The program with these sockets; without --listen, unless options say so."""
    numbers = ",".join(str(sock.fileno()) for sock in sockets)
    command = [*before, *AS_SERVICE, *service, "--fds", numbers, "--", BINARY, "attach", "--acme", acme.endpoint, "--https",
               https.endpoint, "--log-level", "debug", *(() if bypass else ("--no-bypass",)), *options]
    start = lab.failing_router if fails else lab.router
    return start(acme, https, command_line=command, pass_fds=[sock.fileno() for sock in sockets],
                 listen=[sock.getsockname()[:2] for sock in sockets], **keywords)


def test_listen_fds(lab, plane):
    """With three workers, each of which accepts its share; port 443 needs no capability."""
    acme, https = lab.backends()
    with listening(port=443) as v4, listening("::1", 443) as v6:
        router = activated(lab, acme, https, v4, v6, options=["--workers", "3", "--dataplane", plane])
        assert router.find(r"ready: listening on 127\.0\.0\.1:443, \[::1\]:443; ")
        assert v4.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0  # set, as it was not
        for family in (4, 6):
            for hello, backend in ((HELLO, https), (acme_hello(), acme)):
                client, server = lab.session(router, hello, backend, family=family)
                server.send(b"answer").close()
                assert client.read_to_end() == b"answer"
                client.close()
        router.finish()
        assert router.totals()["sessions"] == 4


def test_connections_wait_for_the_next_one(lab):
    """No connection is refused while it restarts."""
    acme, https = lab.backends()
    with listening() as sock:
        first = activated(lab, acme, https, sock, options=["--workers", "2"])
        old, served = lab.session(first, HELLO, https)
        wait_until(lambda: len(workers_of(first)) == 2, 5, "both workers, by their names")
        first.terminate()
        first.wait_line("draining", 5)
        wait_until(lambda: len(workers_of(first)) <= 1, 5, "the end of the idle worker")
        assert status(first)["complete"]  # so the other has answered, and before that closed its listener
        client = lab.connect(first)
        client.send(HELLO)
        served.close()
        old.close()
        first.finish()
        assert not https.pending(0.1)
        activated(lab, acme, https, sock)
        server = https.accept()
        assert server.read(len(HELLO)) == HELLO
        server.send(b"answer").close()
        assert client.read_to_end() == b"answer"


def test_both_families_in_one(lab):
    """As with ListenStream=443."""
    acme, https = lab.backends()
    with listening("::", v6only=False) as sock:
        port = sock.getsockname()[1]
        router = activated(lab, acme, https, sock, options=["--proxy-protocol", "https=v1"])
        for host, family in (("127.0.0.1", "TCP4"), ("::1", "TCP6")):
            client = lab.connect((host, port))
            client.send(HELLO)
            server = https.accept()
            source = client.sock.getsockname()[1]
            line = f"PROXY {family} {host} {host} {source} {port}\r\n".encode()
            assert server.read(len(line)) == line


@pytest.mark.parametrize("host", ["127.0.0.1", "::"])
def test_bypass(lab, host):
    """The web server gets the connections of both families directly while no ACME client listens."""
    https = lab.listener()
    acme = SimpleNamespace(endpoint=f"127.0.0.1:{free_port()}")
    with listening(host, v6only=False) as sock:
        router = activated(lab, acme, https, sock, bypass=True)
        assert router.find("ready: .* with bypass")
        client = lab.connect(("127.0.0.1", sock.getsockname()[1]))
        client.send(HELLO)
        server = https.accept()
        assert server.read(len(HELLO)) == HELLO
        assert server.sock.getpeername() == client.sock.getsockname()
        router.finish()
        assert router.totals()["sessions"] == 0


def test_listen_may_name_the_same(lab):
    with listening() as sock:
        port = sock.getsockname()[1]
        activated(lab, *lab.backends(), sock, options=["--listen", f"127.0.0.1:{port}"])


def expect_refusal(lab, sock, text, *options, code=2, https=None):
    router = activated(lab, lab.listener(), https or lab.listener(), sock, options=options, fails=True)
    router.expected_exit = code
    assert router.wait(10) == code
    assert re.search(text, router.text()), router.text()


def test_listen_that_differs(lab):
    with listening() as sock:
        expect_refusal(lab, sock, r"--listen: .*\(LISTEN_FDS\).*none of them listens on 127\.0\.0\.1:1;", "--listen",
                       "127.0.0.1:1")
    with listening() as sock, listening() as other:
        port = sock.getsockname()[1]
        router = activated(lab, *lab.backends(), sock, other, options=["--listen", f"127.0.0.1:{port}"], fails=True)
        router.expected_exit = 2
        assert router.wait(10) == 2 and f"listens on 127.0.0.1:{other.getsockname()[1]}, which" in router.text()


def test_not_in_place(lab):
    with listening() as sock:
        port = sock.getsockname()[1]
        expect_refusal(lab, sock, r"in place the web server itself listens there; disable the socket unit",
                       https=SimpleNamespace(endpoint=str(port)))


@pytest.mark.parametrize("make,text", [
    (lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM), "not a stream socket"),
    (lambda: socket.socket(socket.AF_INET), "not listening"),
    (lambda: socket.socket(socket.AF_UNIX), "neither IPv4 nor IPv6"),
    (lambda: open("/dev/null", "rb"), "not a socket"),
], ids=["udp", "not-listening", "unix", "file"])
def test_what_is_no_listener(lab, make, text):
    acme, https = lab.backends()
    with make() as sock:
        router = lab.failing_router(acme, https, pass_fds=[sock.fileno()], command_line=[
            *AS_SERVICE, "--fds", str(sock.fileno()), "--", BINARY, "attach", "--acme", "1", "--https", "2"])
        router.expected_exit = 2
        assert router.wait(10) == 2
        assert "LISTEN_FDS: cannot use descriptor 3: " + text in router.text(), router.text()


def test_of_another_process(lab):
    """LISTEN_PID of a parent process that did not clear it."""
    router = lab.router(*lab.backends(), env={"LISTEN_PID": "1", "LISTEN_FDS": "1"})
    assert router.find("ready: listening on 127.0.0.1:")


def test_command_gets_nothing_of_it(lab, manager):
    acme, https = lab.backends()
    show = "import json, os; print(json.dumps([sorted(n for n in os.environ if n[:6] in ('LISTEN', 'WATCHD', 'NOTIFY')), " \
        "sorted(os.listdir('/proc/self/fd'))]), flush=True); input()"
    with listening() as sock:
        router = activated(lab, acme, https, sock, service=["--watchdog", "60000000"], options=[
            "--", sys.executable, "-c", show], env=manager.env)
        found = json.loads(router.wait_line(r"^(\[\[.*)$", 10).group(1))
        assert found == [[], ["0", "1", "2", "3"]]  # 3: the folder itself
        router.expected_exit = router.wait(10)  # it has no input


# The watchdog

def workers_of(router):
    found = []
    for task in os.listdir(f"/proc/{router.workers_pid}/task"):
        with open(f"/proc/{router.workers_pid}/task/{task}/comm") as file:
            if file.read().startswith("worker "):
                found.append(int(task))
    return found


class Stopped:
    """One thread whose loop does not turn; the others continue."""

    def __init__(self, task):
        self.task = task
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

    def __enter__(self):
        assert self.libc.ptrace(PTRACE_ATTACH, self.task, None, None) == 0, os.strerror(ctypes.get_errno())
        os.waitpid(self.task, 0x40000000)  # __WALL

    def __exit__(self, *_):
        self.libc.ptrace(PTRACE_DETACH, self.task, None, None)


@pytest.mark.alone
def test_watchdog(lab, manager):
    """Notifications at twice the requested rate; none while one worker hangs; again once it continues."""
    acme, https = lab.backends()
    interval = 0.4
    router = lab.router(acme, https, "--workers", "2", env=manager.env,
                        prefix=[*AS_SERVICE, "--watchdog", str(int(interval * 1e6)), "--"])
    manager.wait("READY=1")
    manager.wait("WATCHDOG=1")
    started = now()
    for _ in range(5):
        manager.wait("WATCHDOG=1")
    assert now() - started < 5 * interval
    client, server = lab.session(router, HELLO, https)
    for worker in workers_of(router):
        with Stopped(worker):
            pause(interval)  # it may have answered just before
            manager.forget()
            assert manager.hears_within(3 * interval) is None
        manager.wait("WATCHDOG=1")
    server.send(b"answer").close()
    assert client.read_to_end() == b"answer"


def test_watchdog_while_it_drains(lab, manager):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--workers", "2", env=manager.env,
                        prefix=[*AS_SERVICE, "--watchdog", "400000", "--"])
    client, server = lab.session(router, HELLO, https)
    router.terminate()
    manager.wait("STOPPING=1")
    wait_until(lambda: len(workers_of(router)) == 1, 5, "the worker without a session to end")
    for _ in range(3):
        manager.wait("WATCHDOG=1")
    server.close()
    client.close()
    router.finish()


def test_watchdog_is_of_another_process(lab, manager):
    router = lab.router(*lab.backends(), env={**manager.env, "WATCHDOG_USEC": "100000",
                                              "WATCHDOG_PID": "1"})
    manager.wait("STATUS=")
    assert manager.hears_within(0.5) is None
    router.finish()
