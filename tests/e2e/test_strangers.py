# SPDX-License-Identifier: BSD-2-Clause
"""
Other users of the machine: a listener of theirs in the place of the ACME client's, or of the web server's, arms nothing and
gets nothing, whether it is there before the program or comes later.
"""
import contextlib
import socket
import subprocess
import sys

import pytest

from control import UNPRIVILEGED, command, status
from hellos import https_hello
from in_place import ACME, proxied
from router import BINARY
from sockets import Listener, free_port
from waiting import wait_until

LISTEN = """
import socket, sys
host, port, only, times = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
family = socket.AF_INET6 if ":" in host else socket.AF_INET
for time in range(times):
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        listener.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, only)
    listener.bind((host, port))
    listener.listen()
    if time + 1 < times:
        listener.close()
print("listens", flush=True)
while True:
    connection, client = listener.accept()
    print("got a client", client, flush=True)
    connection.close()
"""


class Stranger:
    """A process of uid 65534 that listens; `times` over, and then stays."""

    def __init__(self, lab, host, port, only=True, times=1):
        self.child = lab.child(*UNPRIVILEGED, sys.executable, "-c", LISTEN, host, str(port), str(int(only)), str(times),
                               stdin=subprocess.DEVNULL)
        self.child.wait_line("listens")

    def got_none(self):
        return not any("got a client" in line for line in self.child.lines())

    def stop(self):
        self.child.stop()


def refused(router):
    return status(router)["events"]["strangers"]


WARNING = r"warn the listener on {} is not used for --{}: it belongs to uid 65534 \(nobody\), (?:python3\S* \(pid \d+\)|ss -tlnp shows its process); .*--{}-user 65534"


def warned(router, host, port, kind):
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    return router.wait_line(WARNING.format(place.replace("[", r"\[").replace("]", r"\]"), kind, kind))


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::"])
def test_a_stranger_at_the_acme_port(ground, host, late):
    """It arms nothing, and is named once."""
    if late:
        router = ground.attach()
        stranger = Stranger(ground.lab, host, ACME)
    else:
        stranger = Stranger(ground.lab, host, ACME)
        router = ground.attach()
    warned(router, host, ACME, "acme")
    for _ in range(3):
        ground.ask()
    assert not status(router)["armed"]["now"] and not router.find("armed:") and not proxied(router)
    assert refused(router) == int(late) and stranger.got_none()
    stranger.stop()
    with contextlib.closing(Listener(port=ACME)):
        router.wait_line("armed: the ACME client listens")


def test_a_stranger_that_comes_and_goes(ground):
    """Thousands a second are counted, and are one line."""
    router = ground.attach()
    stranger = Stranger(ground.lab, "127.0.0.1", ACME, times=3000)
    wait_until(lambda: refused(router) == 3000, 5, "counted")
    warned(router, "127.0.0.1", ACME, "acme")
    stranger.stop()
    with contextlib.closing(Listener(port=ACME)):
        router.wait_line("armed: the ACME client listens")
    assert sum("is not used for" in line for line in router.lines()) == 1


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("user", ["nobody", "65534", "any"])
def test_the_user_that_was_named(ground, user, late):
    if not late:
        Stranger(ground.lab, "127.0.0.1", ACME)
    router = ground.attach("--acme-user", user)
    if late:
        Stranger(ground.lab, "127.0.0.1", ACME)
    router.wait_line("armed: the ACME client listens")
    assert refused(router) == 0


def test_a_reload_names_the_user(lab):
    port, web = free_port(), lab.listener(port=free_port())
    config = lab.directory / "config"
    config.write_text(f"acme = {port}\nhttps = {web.port}\n")
    stranger = Stranger(lab, "127.0.0.1", port)
    router = lab.router("", "", listen=(), command_line=[BINARY, "attach", "--config", str(config)])
    warned(router, "127.0.0.1", port, "acme")
    config.write_text(f"acme = {port}\nhttps = {web.port}\nacme-user = nobody\n")
    assert command("reload", "--name", "443")[0] == 0
    router.wait_line("armed: the ACME client listens")
    config.write_text(f"acme = {port}\nhttps = {web.port}\n")
    assert command("reload", "--name", "443")[0] == 0
    wait_until(lambda: not status(router)["armed"]["now"], 5, "disarmed")
    stranger.stop()


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_the_other_family_of_a_web_server(lab, veth, late):
    """--https 127.0.0.1:8443 never gives IPv6 clients to whoever listens on [::]:8443, root or not."""
    web = lab.listener(port=free_port())
    stranger = None if late else Stranger(lab, "::", web.port)
    router = lab.router(ACME, f"127.0.0.1:{web.port}", listen=(), bypass=True)
    stranger = stranger or Stranger(lab, "::", web.port)
    for number in range(3):
        client = lab.connect((veth.server6, 443), namespace=veth.namespace)
        client.send(https_hello())
        assert web.accept().read(5)
    assert stranger.got_none()
    assert len(router.sessions()) + status(router)["sessions"]["now"] == 3


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_a_stranger_at_another_address_of_the_web_server(lab, veth, late):
    """--https 8443 means [::1]:8443, too: the bypass needs the first owner, root, or --https-user, and says who it is not."""
    web = lab.listener(port=free_port())
    stranger = None if late else Stranger(lab, "::1", web.port)
    router = lab.router(ACME, web.port, listen=(), bypass=True)
    stranger = stranger or Stranger(lab, "::1", web.port)
    warned(router, "::1", web.port, "https")
    client = lab.connect((veth.server6, 443), namespace=veth.namespace)
    client.send(https_hello())
    wait_until(router.sessions, 5, "a session: no bypass to it")


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
def test_nobody_is_the_first_where_a_user_was_named(lab, veth, late):
    """With --https-user, a stranger that listens first gets nothing either."""
    port = free_port()
    stranger = None if late else Stranger(lab, "127.0.0.1", port)
    router = lab.router(ACME, port, "--https-user", "daemon", listen=(), bypass=True)
    stranger = stranger or Stranger(lab, "127.0.0.1", port)
    warned(router, "127.0.0.1", port, "https")
    client = lab.connect((veth.server4, 443), namespace=veth.namespace)
    client.send(https_hello())
    wait_until(router.sessions, 5, "a session: no bypass to it")


def test_the_first_owner_of_a_web_server(lab, veth):
    """A web server that runs as a user of its own is used without an option."""
    port = free_port()
    router = lab.router(ACME, port, listen=(), bypass=True)
    first = Stranger(lab, "127.0.0.1", port)
    with socket.socket(socket.AF_INET6) as second:
        second.bind(("::1", port))
        second.listen()
    lab.connect((veth.server4, 443), namespace=veth.namespace)
    wait_until(lambda: not first.got_none(), 5, "its client")
    assert refused(router) == 0 and not router.sessions()


def test_no_such_user():
    code, _, error = command("check", "--acme", str(ACME), "--https", "443", "--acme-user", "no-such-user")
    assert code == 2 and "no such user; use a user's name or number, or any" in error
