# SPDX-License-Identifier: BSD-2-Clause
"""
Start and end: readiness reported to the service manager, ports in use, missing rights, draining on TERM, and a second TERM.
"""
import os
import pty
import re
import signal
import socket
import subprocess

from control import UNPRIVILEGED, status
from hellos import acme_hello, https_hello
from pattern import Pattern
from router import BINARY
from sockets import connect, free_port
from stream_thread import sending
from waiting import SCALE, now, pause, wait_until

HELLO = https_hello()
SIZE = 4 << 20
DOWN = Pattern("down").bytes(0, SIZE)


# Draining

def test_term_without_sessions(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    router.finish(timeout=3)
    assert router.totals()["sessions"] == 0


def test_live_transfer_finishes(lab, plane):
    """New connections are refused at once; the current transfer finishes; then exit code 0."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    client, server = lab.session(router, HELLO, https)
    with sending(server, DOWN, then_end=True):
        assert client.read(SIZE // 2) == DOWN[:SIZE // 2]
        router.terminate()
        wait_until(lambda: refused(router.address()), 3, "the listener to be closed")
        pause(0.3)
        assert router.running()
        assert client.read(SIZE // 2) == DOWN[SIZE // 2:]
    client.send(b"even the other way").finish_sending()
    assert server.read_to_end() == b"even the other way"
    assert client.read_to_end() == b""
    assert router.wait(5) == 0
    assert router.closed(client).cause == "done"


def refused(address):
    """No process listens any more; a connection that comes while the listener closes gets a reset."""
    try:
        connect(address).close()
        return False
    except (ConnectionRefusedError, ConnectionResetError):
        return True


def test_second_term_at_once(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--drain-timeout", "10m", plane=plane)  # longer than the test waits
    client, _ = lab.session(router, HELLO, https)
    router.terminate()
    wait_until(lambda: refused(router.address()), 3, "the listener to be closed")
    assert router.running()
    router.terminate()
    assert router.wait() == 0
    assert client.outcome() in ("end", "reset")
    assert router.closed(client).cause == "shutdown"


def test_int_is_now(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--drain-timeout", "10m", plane=plane)
    client, server = lab.session(router, HELLO, https)
    router.signal(signal.SIGINT)
    assert router.wait() == 0
    assert client.outcome() in ("end", "reset") and server.outcome() in ("end", "reset")


def test_hup_ends_nothing(lab, plane):
    """Other programs reload on HUP; an operator who expects that must not lose sessions."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    client, server = lab.session(router, HELLO, https)
    router.signal(signal.SIGHUP)
    router.wait_line("reloaded: nothing changed", 5)
    client.send(b"still")
    assert server.read(5) == b"still"
    lab.session(router, HELLO, https)


def test_hup_and_the_terminal(lab):
    """Started from a terminal: HUP reloads, but ends the program once the terminal is gone."""
    master, terminal = pty.openpty()
    port = free_port()
    command = [BINARY, "attach", "--acme", "20998", "--https", "20999", "--no-bypass", "--listen", f"127.0.0.1:{port}"]
    process = subprocess.Popen(command, stdin=terminal, stdout=terminal, stderr=terminal, start_new_session=True)
    os.close(terminal)
    said = b""
    try:
        for signal_number, words in ((None, b"ready: "), (signal.SIGHUP, b"reloaded: nothing changed")):
            if signal_number:
                process.send_signal(signal_number)
            while words not in said:
                said += os.read(master, 4096)
        os.close(master)
        process.send_signal(signal.SIGHUP)
        assert process.wait(10 * SCALE) == 0
    finally:
        process.kill()
        process.wait()


def test_drain_timeout(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--drain-timeout", "1s", plane=plane)
    client, _ = lab.session(router, HELLO, https)
    started = now()
    router.terminate()
    assert router.wait() == 0
    assert 0.8 < now() - started < 30, "not the 30 s of the default"
    assert client.outcome() in ("end", "reset")


def test_term_while_a_hello_is_incomplete(lab, plane):
    """Accepted before the TERM, it is served like any other."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    client = lab.connect(router)
    client.send(acme_hello()[:50])
    wait_until(lambda: status(router)["sessions"]["now"] == 1, 5, "the session")
    router.terminate()
    wait_until(lambda: refused(router.address()), 3, "the listener to be closed")
    client.send(acme_hello()[50:])
    server = acme.accept()
    assert server.read(len(acme_hello())) == acme_hello()
    server.close()
    client.close()
    assert router.wait(5) == 0


def test_restart_on_the_same_port(lab, plane):
    """Connections in TIME_WAIT do not keep the port."""
    acme, https = lab.backends()
    listen = [("127.0.0.1", free_port())]
    for _ in range(2):
        router = lab.router(acme, https, plane=plane, listen=listen)
        client, server = lab.session(router, HELLO, https)
        server.send(b"bye").close()  # the backend ends first, so the program's own end is the one in TIME_WAIT
        assert client.read_to_end() == b"bye"
        client.close()
        router.finish()


# Starting

def test_notify_socket(lab, manager):
    """READY=1 in one datagram when connections are accepted, STOPPING=1 on TERM."""
    acme, https = lab.backends()
    router = lab.router(acme, https, env=manager.env)
    manager.wait("READY=1")
    lab.session(router, HELLO, https)
    router.terminate()
    manager.wait("STOPPING=1")


def test_abstract_notify_socket(lab):
    name = f"e2e-notify-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name)
        manager.settimeout(10 * SCALE)
        lab.router(*lab.backends(), env={"NOTIFY_SOCKET": "@" + name})
        assert "READY=1" in manager.recv(4096).decode().split("\n")


def test_port_taken(lab, plane):
    """The message names the port and its holder."""
    acme, https = lab.backends()
    holder = lab.listener()
    router = lab.failing_router(acme, https, listen=[("127.0.0.1", holder.port)], plane=plane)
    assert router.wait(10) == 1
    with open("/proc/self/comm") as file:
        comm = file.read().strip()
    text = router.text()
    assert str(holder.port) in text and comm in text and str(os.getpid()) in text
    assert not re.search(r"\bready\b", text)


def test_address_not_of_this_machine(lab):
    router = lab.failing_router(*lab.backends(), listen=[("192.0.2.1", 443)])
    assert router.wait(10) == 1
    assert "192.0.2.1" in router.text()


def test_unprivileged_falls_back_to_user(lab):
    """`auto` without the rights for BPF: one warning, and everything works."""
    acme, https = lab.backends()
    router = lab.router(acme, https, prefix=UNPRIVILEGED, plane="auto")
    about = [line for line in router.lines() if " warn " in line and "sockmap" in line]
    assert len(about) == 1 and router.find("ready: .* data plane user .sockmap unavailable, see the log"), router.text()
    assert re.search("CAP_|permitted", about[0]), about[0]
    client, server = lab.session(router, HELLO, https)
    with sending(server, DOWN, then_end=True):
        assert client.read_to_end() == DOWN
    client.close()
    server.close()
    closed = router.closed(client)
    assert (closed.up_kernel, closed.down_kernel) == (0, 0)
    assert (closed.up_user, closed.down_user) == (len(HELLO), SIZE)


def test_unprivileged_sockmap_is_refused(lab):
    router = lab.failing_router(*lab.backends(), listen=[("127.0.0.1", free_port())], plane="sockmap",
                                prefix=UNPRIVILEGED)
    assert router.wait(10) == 1
    assert "sockmap" in router.text() and not re.search(r"\bready\b", router.text())


def test_auto_has_the_kernel(lab):
    """As root on this kernel the self-test passes, and one line reports it. test_promotion.py tests what moves when."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane="auto")
    assert router.find(r"ready: .*data plane auto \(the self-test moved bytes in the kernel\)")


def test_sockmap_from_the_first_byte(lab):
    acme, https = lab.backends()
    router = lab.router(acme, https, plane="sockmap")
    assert router.find(r"ready: .*data plane sockmap")
    client, server = lab.session(router, HELLO, https)
    server.send(b"answer").close()
    assert client.read_to_end() == b"answer"
    client.close()
    closed = router.closed(client)
    assert closed.up_kernel == len(HELLO) and closed.down_kernel == 6


def test_totals_add_up(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane)
    for _ in range(10):
        client, server = lab.session(router, HELLO, https)
        server.send(b"answer").close()
        assert client.read_to_end() == b"answer"
        client.close()
        router.closed(client)
    client, server = lab.session(router, HELLO, https)
    client.reset()
    assert server.outcome() == "reset"
    router.closed(client)
    router.finish()
    totals = router.totals()
    assert totals["sessions"] == totals["hello_https"] == 11
    assert "hello_acme" not in totals and totals["hello_silent"] == totals["trimmed_bytes"] == 0
    assert totals["accept_backoffs"] == 0
    assert sum(value for key, value in totals.items() if "client_reset" in key) == 1
