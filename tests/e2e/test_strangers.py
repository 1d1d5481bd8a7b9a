# SPDX-License-Identifier: BSD-2-Clause
"""
Other users of the machine: a listener of theirs in the place of the ACME client's, or of the web server's, arms nothing and
gets nothing, whether it is there before the program or comes later.
"""
import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys

import pytest

from firewalls import sysctl
from control import UNPRIVILEGED, command, name_of, path_of, status
from hellos import acme_hello, https_hello
from in_place import ACME, proxied
from netns import run
from router import BINARY
from sockets import Listener, connect, free_port
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
    assert web.accept().read(5)
    assert stranger.got_none() and status(router)["sessions"]["total"] == 1  # no bypass to it


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
    wait_until(lambda: status(router)["events"]["owner_refused"], 5, "refused")
    assert stranger.got_none()


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


def test_nobody_else_is_the_first_after_root(lab, veth):
    """The web server comes after the program, and goes: who comes then is not the first."""
    port = free_port()
    router = lab.router(ACME, port, listen=(), bypass=True)
    with contextlib.closing(Listener(port=port)):
        client = lab.connect((veth.server4, 443), namespace=veth.namespace)
    stranger = Stranger(lab, "127.0.0.1", port)
    warned(router, "127.0.0.1", port, "https")
    client = lab.connect((veth.server4, 443), namespace=veth.namespace)
    client.send(https_hello())
    wait_until(lambda: status(router)["events"]["owner_refused"], 5, "refused")
    assert stranger.got_none()


def test_no_such_user():
    code, _, error = command("check", "--acme", str(ACME), "--https", "443", "--acme-user", "no-such-user")
    assert code == 2 and "no such user; use a user's name or number, or any" in error

# --- connections that the program makes itself: no bypass, rules, always armed, between two responders ---

NEVER = """
import select, socket, sys
host, port, how = sys.argv[1], int(sys.argv[2]), sys.argv[3]
family = socket.AF_INET6 if ":" in host else socket.AF_INET
def bare_ack_is_dropped(listener):
    import ctypes, os, struct
    os.seteuid(0)  # anybody may, but not on every kernel
    # ldb [13]; jeq #0x10, drop, else accept: of what the listener gets, the TCP flags
    code = b"".join(struct.pack("HBBI", *line) for line in [(0x30, 0, 0, 13), (0x15, 0, 1, 0x10), (6, 0, 0, 0), (6, 0, 0, 0xffff)])
    buffer = ctypes.create_string_buffer(code)
    listener.setsockopt(socket.SOL_SOCKET, 26, struct.pack("HL", 4, ctypes.addressof(buffer)))
    os.setresuid(65534, 65534, 65534)
def listen():
    if "cookie" in how:
        import os
        os.seteuid(65534)
    listener = socket.socket(family)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if "device" in how:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo")
    if "cookie" in how:
        bare_ack_is_dropped(listener)
    if "deferred" in how:
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, 30)
    listener.bind((host, port))
    listener.listen()
    listener.setblocking(False)
    return listener
def take(listener, seconds):
    while select.select([listener], [], [], seconds)[0]:
        try:
            connection, _ = listener.accept()
        except BlockingIOError:
            return
        print("got a client", flush=True)
        connection.settimeout(0.3)
        try:
            if connection.recv(1):
                print("got a byte", flush=True)
        except OSError:
            pass
        connection.close()
first = True
while True:
    try:
        listener = listen()
    except OSError:
        continue
    if first:
        print("listens", flush=True)
    first = False
    take(listener, 0.0002 if "comes and goes" in how else None)
    listener.close()
"""


class Thief:
    """A process of uid 65534 that listens, or whenever nobody else does; it says what it has got."""

    def __init__(self, lab, host, port, how=""):
        prefix = [] if "cookie" in how else UNPRIVILEGED
        self.child = lab.child(*prefix, sys.executable, "-c", NEVER, host, str(port), how, stdin=subprocess.DEVNULL)
        self.child.wait_line("listens")

    def got(self, what):
        return sum(f"got a {what}" in line for line in self.child.lines())


@pytest.mark.alone
@pytest.mark.parametrize("loopback", [False, True])
def test_a_stranger_who_is_no_peer_yet(lab, veth, loopback):
    """
    It takes connections by SYN cookies, and drops the acknowledgement of the handshake: nothing of the connection is there
    when it is asked whose it is, and the first bytes would make its socket.
    """
    web, port = lab.listener(), free_port()
    host = "127.0.0.1" if loopback else veth.server4
    with sysctl(net__ipv4__tcp_syncookies=2):
        thief = Thief(lab, host, port, "cookie")
        router = lab.router((host, port), web, "--arm", "always", listen=[("127.0.0.1", free_port())])
        for _ in range(3):
            for peer in lab.session(router, acme_hello(), web):
                peer.close()
        wait_until(lambda: status(router)["events"]["owner_refused"] == 3, 5, "refused")
        assert thief.got("byte") == 0


@pytest.mark.parametrize("how", ["", "device", "deferred"])
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
def test_a_stranger_gets_no_validation(lab, host, how):
    """--arm always: connections are made without anybody having been seen to listen."""
    web, port = lab.listener(), free_port()
    thief = Thief(lab, host, port, how)
    router = lab.router(port, web, "--arm", "always", listen=[("127.0.0.1", free_port())])
    for number in range(3):
        client, server = lab.session(router, acme_hello(), web)
        server.close()
        client.close()
    assert thief.got("client") == 0
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    router.wait_line(f"warn the listener on {re.escape(place)} is not used for --acme: it belongs to uid 65534")
    assert status(router)["events"]["owner_refused"] == 3
    router.wait_line(r"cannot connect to --acme .*: (Connection refused|the listener there belongs to another user)")
    thief.child.stop()
    with contextlib.closing(Listener(host=host, port=port)) as acme:
        client, server = lab.session(router, acme_hello(), acme)
        server.send(b"answer").close()
        assert client.read_to_end() == b"answer"


@pytest.mark.parametrize("rule", [False, True], ids=["https", "rule"])
def test_a_stranger_at_another_address_of_a_backend(lab, veth, rule):
    """8443 means [::1]:8443, too. Clients of IPv6 are served at 127.0.0.1, and the first owner stays the first."""
    web = lab.listener(port=free_port())
    thief = Thief(lab, "::1", web.port)
    other = lab.listener(port=free_port())
    options = ["--route", f"sni=www.example.test -> {web.port}"] if rule else []
    router = lab.router(free_port(), other.port if rule else web.port, "--client-address", "peername", *options, listen=())
    hello = https_hello()
    for family in (6, 4, 6):
        client = lab.connect((veth.server6 if family == 6 else veth.server4, 443), namespace=veth.namespace)
        client.send(hello)
        server = web.accept()
        assert server.read(len(hello)) == hello
        server.close()
        client.close()
    assert thief.got("client") == 0
    web.sock.close()
    client = lab.connect((veth.server6, 443), namespace=veth.namespace)
    client.send(hello)
    wait_until(lambda: status(router)["events"]["owner_refused"], 5, "refused")
    assert thief.got("client") == 0


def test_a_stranger_between_two_responders(ground):
    """One comes for each name. A validation that waits for the next one goes to nobody else."""
    router = ground.attach("--arm", "always", inspect="steer")
    client = None
    for round_ in range(5):
        with contextlib.closing(Listener(port=ACME)) as acme:
            client = client or connect((ground.server(), 443), namespace=ground.veth.namespace).send(acme_hello())
            server = acme.accept()
            assert server.read(len(acme_hello())) == acme_hello()
            server.send(b"answer").close()
            assert client.read_to_end() == b"answer"
        client.close()
        thief = Thief(ground.lab, "127.0.0.1", ACME)
        client = connect((ground.server(), 443), namespace=ground.veth.namespace).send(acme_hello())
        wait_until(lambda: status(router)["events"]["owner_refused"] > round_, 5, "refused")
        thief.child.stop()
        assert thief.got("client") == 0


@pytest.mark.long
@pytest.mark.parametrize("how", ["comes and goes", "comes and goes, deferred"])
def test_a_stranger_that_comes_in_the_very_moment(lab, how):
    """Thousands of times a second, while connections are made all the time: some reach it, and bring nothing."""
    web, port = lab.listener(), free_port()
    thief = Thief(lab, "127.0.0.1", port, how)
    router = lab.router(port, web, "--arm", "always", listen=[("127.0.0.1", free_port())])
    for _ in range(500):
        client, server = lab.session(router, acme_hello(), web)
        server.close()
        client.close()
    assert thief.got("byte") == 0
    assert status(router)["events"]["owner_refused"] > 20


CROSSING = """
import select, socket, sys
host, port, first, last = sys.argv[1], *map(int, sys.argv[2:5])
def bound(number):
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.bind((host, number))
    return sock
waiting = [bound(port) for _ in range(first, last + 1)]  # before the server listens
print("bound", flush=True)
sys.stdin.readline()
# SYNs to a listener whose queue is full are dropped: the sockets wait, and are still waiting when it is gone.
for number, sock in zip(range(first, last + 1), waiting):
    full = bound(number)
    full.listen(0)
    fillers = [socket.socket() for _ in range(3)]
    for filler in fillers:
        filler.setblocking(False)
        filler.connect_ex((host, number))
    sock.setblocking(False)
    sock.connect_ex((host, number))
    for other in (*fillers, full):
        other.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\\1\\0\\0\\0\\0\\0\\0\\0")
        other.close()
print("waits", flush=True)
while waiting:
    for sock in select.select(waiting, [], [])[0]:
        waiting.remove(sock)
        try:
            print("got a byte" if sock.recv(1) else "got an end", flush=True)
        except OSError as error:
            print(error, flush=True)
"""


@pytest.mark.parametrize("in_place", [False, True], ids=["validation", "visitor in place"])
def test_a_stranger_whose_connection_crosses_ours(lab, veth, in_place):
    """
    It has bound the port before the server listens, which SO_REUSEADDR allows, and waits for us to connect from the ports to
    which it connects: a simultaneous open, without a listener of its own.
    """
    port, acme = free_port(), free_port()
    host = veth.server4 if in_place else "127.0.0.1"
    child = lab.child(*UNPRIVILEGED, sys.executable, "-c", CROSSING, host, str(port), "40000", "40031", stdin=subprocess.PIPE)
    child.wait_line("bound")
    lab.listener(host="0.0.0.0" if in_place else host, port=port)
    if in_place:
        lab.listener(port=acme)
        router = lab.router(acme, port, "--inspect", "steer", listen=[("0.0.0.0", port)], bypass=True)
        router.wait_line("armed")
        clients = [lab.connect((host, port), namespace=veth.namespace) for _ in range(8)]
    else:
        router = lab.router(port, lab.listener(), "--arm", "always", listen=[("127.0.0.1", free_port())])
        clients = [lab.connect(router) for _ in range(8)]
    with sysctl(net__ipv4__ip_local_port_range="40000 40031"):
        child.process.stdin.write(b"\n")
        child.process.stdin.flush()
        child.wait_line("waits")
        for client in clients:
            client.send(https_hello() if in_place else acme_hello())
        wait_until(lambda: status(router)["events"]["owner_refused"] or child.find("got a byte"), 5, "refused")
    assert not child.find("got a byte")
    router.wait_line(f"warn the listener on .*:{port} is not used for --{'https' if in_place else 'acme'}: it belongs to uid 65534")


def test_a_web_server_that_restarts(lab, veth):
    """Its listener is another one: no client notices."""
    port = free_port()
    router = lab.router(free_port(), port, listen=())
    for _ in range(5):
        with contextlib.closing(Listener(port=port)) as web:
            for _ in range(3):
                client = lab.connect((veth.server4, 443), namespace=veth.namespace)
                client.send(https_hello())
                server = web.accept()
                while not server.sock.recv(1):  # the connection that was of no use has ended at once
                    server = web.accept()
                server.close()
                client.close()
    assert status(router)["events"]["owner_refused"] == 0


def test_a_backend_that_a_packet_filter_redirects(lab, veth):
    """The administrator has decided that: as container engines publish ports."""
    if not shutil.which("nft"):
        pytest.skip("nft is not installed")
    web, port = lab.listener(port=free_port()), free_port()
    router = lab.router(free_port(), f"127.0.0.1:{port}", listen=())
    rules = (f"table ip published {{ chain output {{ type nat hook output priority -100; "
             f"ip daddr 127.0.0.1 tcp dport {port} redirect to :{web.port}; }}; }}")
    run("nft", rules)
    try:
        client = lab.connect((veth.server4, 443), namespace=veth.namespace)
        client.send(https_hello())
        assert web.accept().read(5)
    finally:
        run("nft", "delete table ip published")
    assert status(router)["events"]["owner_refused"] == 0


def test_in_place_each_address_keeps_its_server(lab, veth):
    """Another user's service at an address of its own, on the web server's port: armed or not, its clients reach it."""
    port, acme = free_port(), free_port()
    web = lab.listener(host="127.0.0.1", port=port)
    other = Stranger(lab, veth.server4, port)
    router = lab.router(acme, port, "--inspect", "steer", listen=[("0.0.0.0", port)], bypass=True)
    with contextlib.closing(Listener(port=acme)):
        router.wait_line("armed: the ACME client listens")
        client = lab.connect((veth.server4, port), namespace=veth.namespace)
        client.send(https_hello())
        wait_until(lambda: not other.got_none(), 5, "its client")
    assert status(router)["events"]["owner_refused"] == 0 and not web.pending()


def test_whose_listeners(lab):
    """`check` and `status` say whose are used, and `check` which are not."""
    web, port = lab.listener(port=free_port()), free_port()
    thief = Thief(lab, "127.0.0.1", port)
    options = ["--acme", str(port), "--https", str(web.port), "--listen", str(free_port()), "--no-bypass"]
    code, out, _ = command("check", *options)
    assert code == 0
    assert re.search(rf"^ok   owners: acme -> {port}: used if it belongs to uid 0 \(root\), uid \d+( \(alpnbpf\))?$", out, re.M)
    assert re.search(rf"^ok   owners: https -> {web.port}: used if it belongs to uid 0 \(root\)$", out, re.M)
    assert re.search(rf"^warn owners: the listener on 127\.0\.0\.1:{port} is not used for --acme: it belongs to uid 65534 "
                     r"\(nobody\), python3\S* \(pid \d+\); if that is right, use --acme-user 65534$", out, re.M)
    assert "owners: " not in command("check", *options, "--acme-user", "any", "--https-user", "any")[1]
    router = lab.router(port, web.port, listen=[("127.0.0.1", free_port())])
    routes = {route["name"]: route for route in status(router)["routes"]}
    assert re.fullmatch(r"uid 0 \(root\), uid \d+( \(alpnbpf\))?", routes["acme"]["listeners_of"])
    assert routes["https"]["listeners_of"] == "uid 0 (root)"
    lab.session(router, https_hello(), web)
    text = command("status", "--name", name_of(router))[1]
    assert f"listeners of acme: {routes['acme']['listeners_of']}\n" in text
    assert f"listeners of https: {routes['https']['listeners_of']}\n" in text
    assert thief.got("byte") == 0


# --- names and files that others can have ---

IMPOSTOR = """
import os, socket, sys
server = socket.socket(socket.AF_UNIX)
server.bind(sys.argv[1])
os.chmod(sys.argv[1], 0o666)
server.listen()
print("listens", flush=True)
while True:
    connection, _ = server.accept()
    try:
        print("asked:", connection.recv(100), flush=True)
        connection.sendall(b"ok\\nalpnbpf 9.9, all is well\\n")
    except OSError:
        pass
    connection.close()
"""


def test_a_stranger_in_the_place_of_the_control_socket(lab):
    """Of the group that the run directory was given to, say: it is asked nothing, and its answers are not shown."""
    router = lab.router(*lab.backends(), "--name", "one")
    os.unlink(path_of("one"))
    impostor = lab.child(*UNPRIVILEGED, sys.executable, "-c", IMPOSTOR, path_of("one"), stdin=subprocess.DEVNULL)
    impostor.wait_line("listens")
    for words in (("status",), ("status", "--ready"), ("sessions",), ("reload",), ("detach",), ("trace",)):
        for name in ((), ("--name", "one")):
            code, out, error = command(*words, *name)
            assert code == 1 and not out
            assert "--ready" in words or "whoever listens there is uid 65534 (nobody): neither root, nor this user, nor the owner of " in error
    assert not any("asked: b'" in line and "asked: b''" not in line for line in impostor.lines())
    assert command("status", "--name", "one", prefix=UNPRIVILEGED)[1].startswith("alpnbpf 9.9")  # its own user's
    impostor.stop()
    assert router.running()


def test_a_configuration_that_everybody_can_write_to(lab):
    """It is not read: not at the start, nor at a reload, which changes nothing."""
    acme, https = lab.backends()
    config = lab.directory / "alpnbpf.conf"
    config.write_text("idle-timeout = 9m\n")
    config.chmod(0o646)
    said = f"--config {config}: everybody can write to it; chmod o-w {config}"
    words = ("--acme", acme.endpoint, "--https", https.endpoint, "--config", config)
    for name in ("attach", "check", "inspect"):
        code, _, error = command(name, *(words if name != "inspect" else words[-2:]))
        assert code == 2 and said in error, name
    config.chmod(0o644)
    router = lab.router(acme, https, "--config", config)
    assert not router.find(" warn ")
    config.chmod(0o646)
    code, _, error = command("reload", "--name", name_of(router))
    assert code == 1 and said in error


@pytest.mark.parametrize("owner, group, mode, folder, said", [
    (0, 0, 0o664, 0o755, None), (0, 0, 0o644, 0o1777, None),
    (65534, 0, 0o644, 0o755, "it belongs to uid 65534"), (0, 65534, 0o664, 0o755, "the group 65534 can write to it"),
    (0, 0, 0o644, 0o777, "everybody can replace it, because everybody can write to its folder")])
def test_a_configuration_that_others_can_change(lab, owner, group, mode, folder, said):
    acme, https = lab.backends()
    config = lab.directory / "alpnbpf.conf"
    config.write_text("idle-timeout = 9m\n")
    os.chown(config, owner, group)
    config.chmod(mode)
    lab.directory.chmod(folder)
    router = lab.router(acme, https, "--config", config)
    out = command("check", "--acme", acme.endpoint, "--https", https.endpoint, "--listen", free_port(), "--config", config)[1]
    assert bool(said) == bool(router.find(re.escape(f"warn --config {config}: {said}"))) == (f"warn config: {config}: {said}" in out)


# --- where the ACME client listens ---

@pytest.mark.parametrize("inspect", ["watch", "steer"])
@pytest.mark.parametrize("host", ["127.0.0.2", "own4", "own6", "127.0.0.1", "::"])
def test_the_responder_is_found_where_it_listens(ground, host, inspect):
    """--acme 10443: at any address of this machine, at the first connection."""
    host = {"own4": ground.veth.server4, "own6": ground.veth.server6}.get(host, host)
    router = ground.attach(inspect=inspect)
    for _ in range(3):
        with contextlib.closing(Listener(host=host, port=ACME)) as acme:
            router.wait_line("armed: the ACME client listens")
            client = connect((ground.server(), 443), namespace=ground.veth.namespace)
            client.send(acme_hello())
            server = acme.accept()
            assert server.read(len(acme_hello())) == acme_hello()
            server.send(b"answer").close()
            assert client.read_to_end() == b"answer"
        wait_until(lambda: not status(router)["armed"]["now"], 5, "disarmed")
    assert not router.find("cannot connect to --acme")


@pytest.mark.parametrize("inspect", ["watch", "steer"])
def test_a_responder_among_hundreds_of_strangers(ground, inspect):
    """Which listen on its port, at other addresses of the loopback, and take no room in any list."""
    script = (f"import socket; kept = [socket.create_server((f'127.1.{{n}}.1', {ACME})) for n in range(150)]; "
              f"kept += [socket.create_server((f'127.2.{{n}}.1', {ACME})) for n in range(150)]; print('up', flush=True); input()")
    with contextlib.closing(Listener(host="127.0.0.2", port=ACME)) as acme:
        ground.lab.child(*UNPRIVILEGED, sys.executable, "-c", script, stdin=subprocess.PIPE).wait_line("up")
        router = ground.attach(inspect=inspect)
        router.wait_line("armed: the ACME client listens on 127.0.0.2:10443; inspecting new connections$")
        client = connect((ground.server(), 443), namespace=ground.veth.namespace).send(acme_hello())
        server = acme.accept()
        assert server.read(len(acme_hello())) == acme_hello()
        server.send(b"answer").close()
        assert client.read_to_end() == b"answer"
    router.wait_line("disarmed")


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("host, reached", [("127.0.0.2", False), ("::1", False), ("0.0.0.0", True), ("::", True),
                                           ("127.0.0.1", True)])
def test_an_address_that_was_named(lab, veth, host, reached, late):
    """--acme 127.0.0.1:10443: only a listener that a connection to that address reaches arms."""
    web = lab.listener(port=free_port())
    other = None if late else lab.listener(host=host, port=ACME)
    router = lab.router(f"127.0.0.1:{ACME}", web.port, listen=(), bypass=True)
    other = other or lab.listener(host=host, port=ACME)
    if reached:
        router.wait_line("armed: the ACME client listens")
    lab.connect((veth.server4, 443), namespace=veth.namespace)
    assert status(router)["armed"]["now"] == reached and bool(router.find("armed: ")) == reached


def test_a_reload_names_an_address(lab, veth):
    web = lab.listener(port=free_port())
    config = lab.directory / "config"
    config.write_text(f"acme = 127.0.0.1:{ACME}\nhttps = {web.port}\n")
    router = lab.router("", "", listen=(), command_line=[BINARY, "attach", "--config", str(config)])
    lab.listener(host="127.0.0.2", port=ACME)
    assert not status(router)["armed"]["now"]
    for text, expected in ((f"{ACME}", True), (f"127.0.0.1:{ACME}", False), (f"127.0.0.2:{ACME}", True)):
        config.write_text(f"acme = {text}\nhttps = {web.port}\n")
        assert command("reload", "--name", "443")[0] == 0
        assert status(router)["armed"]["now"] == expected, text
