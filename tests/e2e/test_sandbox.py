# SPDX-License-Identifier: BSD-2-Clause
"""
The privileges that each thread keeps while the program serves: started as root, as a service, without privileges, with a
command, and with transparent connections. tests/unit/test_sandbox.c tests what the stages forbid.
"""
import os
import signal
import socket

import pytest

from children import others
from control import UNPRIVILEGED
from hellos import acme_hello, https_hello
from router import BINARY
from sockets import Peer, free_port
from waiting import wait_until

HELLO = https_hello()
NET_ADMIN, KILL, NET_RAW = 1 << 12, 1 << 5, 1 << 13
FIVE = 1 << 39 | NET_ADMIN | 1 << 38 | 1 << 10 | NET_RAW  # CAP_BPF, …, CAP_PERFMON, CAP_NET_BIND_SERVICE, …



def as_service(*names):
    names = ",".join(f"+{name}" for name in names)
    return ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", f"--inh-caps=-all,{names}",
            f"--ambient-caps=-all,{names}", f"--bounding-set=-all,{names}", "--no-new-privs", "--"]


# As the unit has it.
SERVICE = as_service("bpf", "net_admin", "perfmon", "net_bind_service", "net_raw")
WITHOUT_RAW = as_service("bpf", "net_admin", "perfmon", "net_bind_service")


def status(pid, task):
    with open(f"/proc/{pid}/task/{task}/status") as file:
        return dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)


def expect_sandbox(router, kept=0, bounding=0):
    """Of every thread of the main process and of the workers'."""
    expect_sandbox_of(router, router.pid, kept, bounding)
    expect_sandbox_of(router, router.workers_pid, 0, bounding)


def expect_sandbox_of(router, pid, kept, bounding):
    tasks = os.listdir(f"/proc/{pid}/task")
    assert tasks
    # LeakSanitizer cannot work under seccomp; the program says so.
    seccomp = "0" if router.find("system calls: not limited in a sanitizer build") else "2"
    for task in tasks:
        found = status(pid, task)
        capabilities = {name: int(found[name], 16) for name in ("CapEff", "CapPrm", "CapInh", "CapAmb", "CapBnd")}
        assert capabilities == {"CapEff": kept, "CapPrm": kept, "CapInh": 0, "CapAmb": 0, "CapBnd": bounding}, task
        assert (found["NoNewPrivs"], found["Seccomp"]) == ("1", seccomp), task


def test_as_root(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--workers", "3", plane=plane)
    expect_sandbox(router)
    for hello, backend in ((HELLO, https), (acme_hello(), acme)):
        client, server = lab.session(router, hello, backend)
        server.send(b"answer").close()
        assert client.read_to_end() == b"answer"
        client.close()
        assert router.closed(client).cause == "done"
    expect_sandbox(router)


@pytest.mark.parametrize("plane", ["auto", "sockmap"])
def test_as_service(lab, plane):
    """Five capabilities are enough for the set-up: the data plane, the bypass, the watch, a port below 1024."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane, prefix=SERVICE, listen=[("127.0.0.1", 443)], bypass=True)
    assert router.find("with bypass, armed while port .* hellos read in passing") and not router.find(" warn ")
    # Shrinking the bounding set takes CAP_SETPCAP, which a service does not have.
    expect_sandbox(router, bounding=FIVE)
    client, server = lab.session(router, acme_hello(), acme)  # the ACME client listens: armed
    server.send(b"answer").close()
    assert client.read_to_end() == b"answer"
    client.close()
    router.finish()
    assert router.totals()["takeovers"] == 1


@pytest.mark.parametrize("rights, options, said", [
    (WITHOUT_RAW, (), "while armed, new connections will be proxied, .*missing CAP_NET_RAW"),
    (SERVICE, ("--inspect", "steer"), None),
], ids=["no-raw", "steer"])
def test_what_takes_nothing_over_keeps_nothing(lab, rights, options, said):
    acme, https = lab.backends()
    router = lab.router(acme, https, *options, prefix=rights, bypass=True)
    assert router.find("ready: .* with bypass, armed while port") and not router.find("read in passing")
    assert bool(router.find("new connections will be proxied")) == bool(said) and (not said or router.find(said))
    expect_sandbox(router, bounding=FIVE if rights is SERVICE else FIVE & ~NET_RAW)
    client, server = lab.session(router, HELLO, https)
    server.send(b"answer").close()
    assert client.read_to_end() == b"answer"
    client.close()
    assert router.closed(client).cause == "done"


def test_watch_says_what_it_lacks(lab):
    acme, https = lab.backends()
    router = lab.failing_router(acme, https, "--inspect", "watch", prefix=WITHOUT_RAW, bypass=True)
    router.expected_exit = 1
    assert router.wait(10) == 1 and "--inspect watch: cannot open a raw socket" in router.text() and "CAP_NET_RAW" in router.text()


def test_arming_goes_on(lab):
    """It needs maps, a test run of a program, and the list of listeners, all without capabilities."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--inspect", "steer", prefix=SERVICE, bypass=True)
    router.wait_line("armed: the ACME client listens on 127.0.0.1", 5)
    acme.close()
    router.wait_line("disarmed", 5)
    again = lab.listener(port=acme.port)
    wait_until(lambda: len([line for line in router.lines() if " armed: " in line]) == 2, 5, "armed again")
    lab.session(router, acme_hello(), again)
    expect_sandbox(router, bounding=FIVE)


def test_without_rights(lab):
    acme, https = lab.backends()
    router = lab.router(acme, https, prefix=UNPRIVILEGED)
    expect_sandbox(router)
    lab.session(router, HELLO, https)


def test_transparent_keeps_what_it_needs(lab):
    """And nothing else. A client's port below 1024 cannot be bound, so another port is used."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--client-address", "transparent")
    assert router.find("keeping CAP_NET_ADMIN")
    expect_sandbox(router, kept=NET_ADMIN)
    low = socket.socket()
    low.bind(("127.0.0.3", 1001))
    low.connect(router.address())
    client = Peer(low)
    lab.peers.append(client)
    client.send(HELLO)
    server = https.accept()
    assert server.read(len(HELLO)) == HELLO
    host, port = server.sock.getpeername()
    assert host == "127.0.0.3" and port >= 1024


def test_transparent_sockets_are_made_in_time(lab):
    """The main thread makes some 40 in advance, and more as workers take them: nobody waits long, at once or in a row."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--client-address", "transparent")
    clients = []
    for number in range(200):
        clients.append(lab.connect(router, source=f"127.0.0.{2 + number % 4}"))
        clients[-1].send(HELLO)
    seen = []
    for _ in clients:
        server = https.accept()
        assert server.read(len(HELLO)) == HELLO
        seen.append(server.sock.getpeername()[0])
        server.send(b"answer").close()
    assert sorted(seen) == sorted(client.local[0] for client in clients)  # their ports are taken, by themselves
    for client in clients:
        assert client.read_to_end() == b"answer"
        client.close()
    # While main does not run, new ones have to wait, and sessions go on.
    os.kill(router.pid, signal.SIGSTOP)
    try:
        late = [lab.connect(router) for _ in range(100)]
        for client in late:
            client.send(HELLO)
        https.accept().read(len(HELLO))
    finally:
        os.kill(router.pid, signal.SIGCONT)
    for _ in late[1:]:
        assert https.accept().read(len(HELLO)) == HELLO


def test_command_keeps_its_rights(lab):
    """The command starts with our original privileges, and may change its user: TERM still ends it."""
    listen = free_port()
    acme, https = lab.backends()
    router = lab.router(acme, https, listen=[("127.0.0.1", listen)], command_line=[
        *command_line(acme, https, listen), "--", "setpriv", "--reuid", "65534", "--clear-groups", "sleep", "1000"])
    child = others(router.pid)[0]
    wait_until(lambda: status(child, child)["Name"] == "sleep", 5, "the command")
    found, own = status(child, child), status(os.getpid(), os.getpid())
    assert found["Uid"].split()[0] == "65534" and found["NoNewPrivs"] == own["NoNewPrivs"]
    assert (found["Seccomp"], found["CapBnd"]) == (own["Seccomp"], own["CapBnd"])
    expect_sandbox(router, kept=KILL)
    router.expected_exit = 128 + signal.SIGTERM
    router.finish()


def command_line(acme, https, port):
    return [BINARY, "attach", "--acme", acme.endpoint, "--https", https.endpoint, "--listen", f"127.0.0.1:{port}",
            "--log-level", "debug", "--no-bypass"]


def test_run_directory(lab):
    """The service manager sets the run directory; the debug log lists what may be read and written."""
    folder = lab.directory / "run"
    folder.mkdir()
    router = lab.router(*lab.backends(), env={"RUNTIME_DIRECTORY": str(folder)})
    if not router.find("no Landlock in this kernel"):
        assert router.find(f"sandbox: files: may read and write {folder}$") and router.find("files: may read /etc$")


def test_large_buffer_is_told(lab):
    """A socket buffer above net.core.wmem_max needs a capability, which only the set-up has, for listeners."""
    router = lab.router(*lab.backends(), "--buffer", "64M")
    assert router.find(r"--buffer 67108864: buffering \d+ bytes per backend connection instead of 16777216, because net\.core\.[rw]mem_max is")
    assert not lab.router(*lab.backends()).find("--buffer")
