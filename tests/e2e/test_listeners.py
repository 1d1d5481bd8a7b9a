# SPDX-License-Identifier: BSD-2-Clause
"""
Listeners that existed before the program: found by the open files of processes, or, if those are not visible, by their
addresses (Linux 7.3 refuses that). A listener that cannot be tracked is reported everywhere.
"""
import contextlib
import platform
import re
import socket

import pytest

from conftest import free_port
from control import command, status
from hellos import https_hello
from in_place import ACME, proxied, responder
from router import BINARY
from sockets import Listener
from waiting import wait_until

IPPROTO_MPTCP = 262  # not in every Python
OTHER_PIDS = ["unshare", "--pid", "--fork", "--kill-child"]
UNTRACKED = "its listener cannot be tracked"


def refuses_addresses():
    return tuple(map(int, re.match(r"(\d+)\.(\d+)", platform.release()).groups())) >= (7, 3)


def found(router, port):
    """The number of listeners, of those found by open files, and of those found by addresses."""
    line = router.wait_line(rf"port {port}: (\d+) existing listeners, \d+ of them tracked: (\d+) found by open files, (\d+) by")
    return tuple(map(int, line.groups()))


@contextlib.contextmanager
def several_responders():
    """An address of their own, an address that several share, any address, the other family, and a device's."""
    with contextlib.ExitStack() as stack:
        listeners = [stack.enter_context(contextlib.closing(Listener(host=host, port=ACME, shared=True)))
                     for host in ("127.0.0.1", "127.0.0.2", "127.0.0.2", "127.0.0.2", "::1")]
        bound = stack.enter_context(contextlib.closing(socket.socket()))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
        bound.bind(("127.0.0.3", ACME))
        bound.listen()
        yield [*listeners, bound]


def test_all_are_found_by_their_files(ground):
    """Each is tracked: armed until the last one closes, without the main thread."""
    with several_responders() as listeners:
        router = ground.attach()
        assert found(router, ACME) == (6, 6, 0)
        for gone, listener in enumerate(listeners):
            ground.ask()
            wait_until(lambda expected=gone + 1: len(proxied(router)) == expected, 5, "armed")
            listener.close()
        ground.ask()
    assert len(proxied(router)) == 6 and not router.find("may lag")


def test_of_processes_that_cannot_be_seen(ground):
    """As in a container with the host's network: the ACME client's process is in none of our PID namespaces."""
    with responder() as acme:
        router = ground.attach(prefix=OTHER_PIDS)
        untracked = refuses_addresses()
        assert found(router, ACME) == (1, 0, 0 if untracked else 1)
        router.wait_line("armed: .*PID namespace" if untracked else "armed: .*; inspecting new connections$")
        assert ("cannot be tracked" in status(router)["armed"]["by"]) == untracked
        ground.ask()
        wait_until(lambda: len(proxied(router)) == 1, 5, "armed")
        acme.close()
        if untracked:
            router.wait_line("disarmed")
        ground.ask()
    assert len(proxied(router)) == 1
    assert command("detach", "--name", "443")[0] == 0  # a signal would be for unshare


def test_after_a_change_of_ports(lab, veth):
    """A reload finds them too, without capabilities."""
    ports = [free_port() for _ in range(4)]
    listeners = [lab.listener(port=port) for port in ports]
    config = lab.directory / "config"
    config.write_text(f"acme = {ports[0]}\nhttps = {ports[1]}\n")
    router = lab.router("", "", listen=(), command_line=[BINARY, "attach", "--config", str(config), "--log-level", "debug"])
    assert found(router, ports[0]) == found(router, ports[1]) == (1, 1, 0)
    config.write_text(f"acme = {ports[2]}\nhttps = {ports[3]}\n")
    assert command("reload", "--name", "443")[0] == 0
    assert found(router, ports[2]) == found(router, ports[3]) == (1, 1, 0)
    listeners[2].close()
    client = lab.connect((veth.server4, 443), namespace=veth.namespace)
    client.send(https_hello())
    assert listeners[3].accept().read(5) and not router.sessions()


def web_server(port, protocol=0, device=None):
    """On any address, as --https means it too."""
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if device:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, device.encode())
    listener.bind(("0.0.0.0", port))
    listener.listen()
    listener.settimeout(10)
    return contextlib.closing(listener)


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("options", [{"protocol": IPPROTO_MPTCP}, {"device": "lo"}], ids=["mptcp", "device"])
def test_a_web_server_that_cannot_be_bypassed_to(lab, veth, options, late):
    """
    A sockmap cannot hold an MPTCP listener, and a listener bound to a device must not get connections from other devices.
    Their connections go through the program, which reports it, until there is another listener.
    """
    port = free_port()
    arguments = (ACME, port, "--connect-timeout", "300ms", "--client-address", "none")

    def visit():
        client = lab.connect((veth.server4, 443), namespace=veth.namespace)
        client.send(https_hello())
        return client

    with contextlib.ExitStack() as stack:
        if not late:
            server = stack.enter_context(web_server(port, **options))
            code, out, _ = command("check", "--acme", ACME, "--https", port)
            assert code == 0 and re.search(rf"^warn +mode: with bypass, .*no bypass to 0.0.0.0:{port}: {UNTRACKED}", out,
                                           re.M), out
            server.accept()[0].close()  # check has tried it
        router = lab.router(*arguments, listen=(), bypass=True)
        if late:
            assert UNTRACKED not in status(router)["mode"]
            server = stack.enter_context(web_server(port, **options))
        router.wait_line(rf"warn no bypass to 0.0.0.0:{port}: {UNTRACKED} \(possibly MPTCP")
        assert f"no bypass to 0.0.0.0:{port}: {UNTRACKED}" in status(router)["mode"]
        client = visit()
        with contextlib.closing(server.accept()[0]) as accepted:
            assert accepted.getpeername()[0].startswith("127.")  # and not the visitor itself
        client.close()
        wait_until(lambda: len(router.sessions()) == 1, 5, "the session in the log")
    with web_server(port) as server:
        assert UNTRACKED not in status(router)["mode"]
        client = visit()
        with contextlib.closing(server.accept()[0]) as accepted:
            assert accepted.getpeername()[0] == veth.client4
        client.close()
    assert len(router.sessions()) == 1
