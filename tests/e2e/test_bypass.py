# SPDX-License-Identifier: BSD-2-Clause
"""
In front with the bypass: the web server has moved to another port, and still gets the clients' connections directly while no
ACME client listens. And the ways to show it the client's address while connections go through alpnbpf.
"""
import contextlib
import signal

import pytest

from hellos import acme_hello, https_hello
from in_place import ACME, descriptors, is_the_servers_own, proxied, responder, slow_request, switches, switches_at_rest
from netns import run
from sockets import Listener, free_port
from visitors import Visitor, ask, client_context
from waiting import wait_until
from web_servers import WebServer

LOOPBACKS = ("127.0.0.1", "[::1]")


class Front:
    """A web server on a port of its own, the program on :443, clients behind a veth pair."""

    def __init__(self, lab, authority, veth, kind="nginx", hosts=LOOPBACKS):
        self.lab, self.authority, self.veth, self.port = lab, authority, veth, free_port()
        self.web = WebServer(lab, kind, self.port, authority, hosts=hosts)
        self.context = client_context(authority.file)

    def attach(self, *options, inspect="steer", **keywords):
        """Steers by default, since most tests are about sessions; test_watch.py is about connections that are no sessions."""
        keywords.setdefault("bypass", True)
        return self.lab.router(ACME, self.port, "--inspect", inspect, *options, listen=(), **keywords)

    def server(self, family=4):
        return self.veth.server4 if family == 4 else self.veth.server6

    def ask(self, family=4, path="/client"):
        local, body = ask((self.server(family), 443), self.context, path, self.veth.namespace)
        return body.removeprefix("::ffff:"), local[0]


@pytest.fixture
def front(lab, authority, veth):
    return Front(lab, authority, veth)


@pytest.mark.alone
@pytest.mark.parametrize("kind", ["nginx", "apache", "haproxy"])
def test_bypass(lab, authority, veth, kind):
    """Directly to the server while not armed, through alpnbpf while armed; both with the client's own address."""
    front = Front(lab, authority, veth, kind)
    router = front.attach()
    before = switches_at_rest(router)
    for family in (4, 6):
        for _ in range(5):
            seen, own = front.ask(family)
            assert seen == own
    assert switches(router) == before and router.sessions() == []
    with responder() as acme:
        for family in (4, 6):
            seen, own = front.ask(family)
            assert seen == own
        client = lab.connect((front.server(), 443), namespace=veth.namespace)
        client.send(acme_hello())
        server = acme.accept()
        assert server.read(5)
        server.close()
        client.close()
        wait_until(lambda: len(proxied(router)) == 2 and len(proxied(router, "acme")) == 1, 5, "three in the log")
    front.ask()
    assert len(router.sessions()) == 3


def test_bypassed_connection_is_the_servers_own(front):
    front.attach()
    client = front.lab.connect((front.server(), 443), namespace=front.veth.namespace)
    assert is_the_servers_own(client)


def test_no_bypass(front):
    router = front.attach(bypass=False)
    assert front.ask()[0] == "127.0.0.1"
    wait_until(lambda: proxied(router), 5, "the session in the log")


@pytest.mark.parametrize("options", [("--proxy-protocol", "https=v2"), ("--arm", "always")])
def test_what_rules_a_bypass_out(front, options):
    """A server that expects a header must always get it; and if always armed, no connection can be bypassed."""
    router = front.attach(*options)
    client = front.lab.connect((front.server(), 443), namespace=front.veth.namespace)
    client.send(https_hello()).finish_sending()
    client.outcome()
    client.close()
    wait_until(lambda: len(router.sessions()) == 1, 5, "the session in the log")
    assert "bypass" not in router.find("ready: .*").group(0)


def test_server_that_restarts(front):
    """While the server is gone, we get the connection and refuse it; afterwards the server gets it again, without a reload."""
    router = front.attach("--connect-timeout", "300ms")
    front.ask()
    for _ in range(20):  # more often than there are places for listeners
        front.web.stop()
        front.web.start()
        seen, own = front.ask()
        assert seen == own
    assert router.sessions() == []
    front.web.stop()
    client = front.lab.connect((front.server(), 443), namespace=front.veth.namespace)
    client.send(https_hello())
    assert client.outcome() == "reset"
    wait_until(lambda: len(router.sessions()) == 1, 5, "the session in the log")


def test_server_that_reloads(front):
    """nginx replaces its workers and keeps the listening socket."""
    router = front.attach()
    visitor = Visitor((front.server(), 443), front.authority.file, front.veth.namespace)
    visitor.start()
    for _ in range(5):
        front.web.child.signal(signal.SIGHUP)
        visitor.wait_more()
    visitor.finish()
    assert router.sessions() == []


def test_listeners_that_share_their_port(lab, veth):
    """SO_REUSEPORT: the kernel distributes the connections; after the last listener has closed, we get them."""
    port = free_port()
    group = [Listener(port=port, shared=True) for _ in range(4)]
    router = lab.router(ACME, port, "--connect-timeout", "100ms", listen=(), bypass=True)
    late = [Listener(port=port, shared=True) for _ in range(4)]

    def connect():
        client = lab.connect((veth.server4, 443), namespace=veth.namespace)
        client.send(https_hello())
        return client

    clients = [connect() for _ in range(64)]
    everybody = group + late
    taken = [0] * len(everybody)

    def take():
        for number, listener in enumerate(everybody):
            while listener.pending():
                listener.accept_any()
                taken[number] += 1
        return sum(taken) == 64

    wait_until(take, 5, "all of them accepted")
    assert all(taken), taken
    for client in clients:
        client.close()
    for listener in everybody:
        listener.close()
    assert connect().outcome() == "reset"
    wait_until(lambda: router.sessions(), 5, "a session in the log")
    assert len(router.sessions()) == 1


def test_one_family_only(lab, authority, veth):
    """A server on 127.0.0.1 only: IPv4 is bypassed, IPv6 goes through alpnbpf."""
    front = Front(lab, authority, veth, hosts=("127.0.0.1",))
    router = front.attach()
    assert front.ask(4)[0] == veth.client4
    assert router.sessions() == []
    assert front.ask(6)[0] == "127.0.0.1"  # the family of a socket cannot change: it cannot be shown an IPv6 client
    wait_until(lambda: len(proxied(router)) == 1, 5, "the session in the log")


def test_a_listener_that_is_not_meant(lab, authority, veth):
    """--https 8443 means 127.0.0.1 and ::1; a listener on another address with that port is another program."""
    port = free_port()
    other = Listener(host=veth.server4, port=port)
    https = Listener(host="127.0.0.1", port=port)
    router = lab.router(ACME, port, listen=(), bypass=True)
    late = Listener(host="127.0.0.9", port=port)
    client = lab.connect((veth.server4, 443), namespace=veth.namespace)
    client.send(https_hello())
    assert https.accept().read(5)
    assert other.untouched() and late.untouched()
    assert router.sessions() == []
    for listener in (other, https, late):
        listener.close()


def test_a_listener_armed_before_attach(front):
    """Several listeners, some with the same address: all are found, and alpnbpf is armed until the last one closes."""
    with contextlib.ExitStack() as stack:
        shared = [Listener(port=ACME, shared=True) for _ in range(5)]
        stack.enter_context(responder(host="::1"))
        router = front.attach()
        front.ask()
        for listener in shared:
            listener.close()
        front.ask()
    front.ask()
    wait_until(lambda: len(proxied(router)) == 2, 5, "two sessions in the log")
    front.ask()
    assert len(router.sessions()) == 2


@pytest.mark.parametrize("way", ["none", "peername", "transparent"])
def test_server_of_one_family(lab, authority, veth, way):
    """Its socket cannot show a client of the other family, but that client is served, and at once."""
    front = Front(lab, authority, veth, hosts=("127.0.0.1",))
    router = front.attach("--client-address", way, bypass=False)
    assert front.ask(6)[0] == "127.0.0.1"
    router.finish()
    assert router.totals()["connect_retries"] == 0


# The client's address.

@pytest.mark.parametrize("plane", ["sockmap", "user"])
@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("way", ["peername", "transparent"])
def test_client_address_in_front(front, way, family, plane):
    router = front.attach("--client-address", way, bypass=False, plane=plane)
    for _ in range(3):
        seen, own = front.ask(family)
        assert seen == own
    wait_until(lambda: len(proxied(router)) == 3, 5, "the sessions in the log")


@pytest.mark.parametrize("family", [4, 6])
def test_transparent_in_place(lab, authority, veth, family):
    web = WebServer(lab, "nginx", 443, authority)
    router = lab.router(ACME, 443, "--client-address", "transparent", "--inspect", "steer", listen=(), bypass=True)
    context = client_context(authority.file)
    address = (veth.server4 if family == 4 else veth.server6, 443)
    with responder():
        for _ in range(3):
            local, body = ask(address, context, "/client", veth.namespace)
            assert body == local[0]
        wait_until(lambda: len(proxied(router)) == 3, 5, "the sessions in the log")
    wait_until(lambda: local[:2] in web.clients(), 5, "the client's port in the server's log")


@pytest.mark.parametrize("way", ["peername", "transparent"])
def test_link_local_client_in_place(lab, authority, veth, way):
    """`transparent` cannot show it, since its address means nothing on another interface; but it is served."""
    WebServer(lab, "nginx", 443, authority)
    router = lab.router(ACME, 443, "--client-address", way, "--inspect", "steer", listen=(), bypass=True)
    (server, _), (client, scope) = (link_local(*end) for end in (("e2e-srv",), ("e2e-cli", veth.namespace.prefix())))
    with responder():
        local, body = ask((server, 443, 0, scope), client_context(authority.file), "/client", veth.namespace)
        assert local[0].partition("%")[0] == client
        assert body.partition("%")[0] == (client if way == "peername" else server)
        wait_until(lambda: len(proxied(router)) == 1, 5, "the session in the log")
    router.finish()
    assert router.totals()["connect_retries"] == 0


def link_local(device, prefix=()):
    """The device's own address, once the kernel is sure of it, and its index."""
    def find():
        lines = run(*prefix, "ip", "-o", "-6", "addr", "show", "dev", device, "scope", "link", "-tentative").splitlines()
        return lines and (lines[0].split()[3].partition("/")[0], int(lines[0].partition(":")[0]))

    return wait_until(find, 10, f"a link-local address of {device}")


def rules():
    return [line for flag in ("-4", "-6") for line in run("ip", flag, "rule").splitlines() if "10443" in line]


def test_policy_routing_comes_and_goes(front):
    """It is set up, and removed at the end; the next process takes over what a killed one left."""
    assert rules() == []
    router = front.attach("--client-address", "transparent")
    assert len(rules()) == 2
    router.signal(signal.SIGKILL)
    router.process.wait()
    router.ended = True
    assert len(rules()) == 2
    again = front.attach("--client-address", "transparent")
    assert len(rules()) == 2
    second = front.lab.failing_router(ACME, front.port, "--client-address", "transparent",
                                      listen=[("127.0.0.1", free_port())])
    assert second.wait() == 1 and "--client-address transparent" in second.text() and f"pid {again.pid}" in second.text()
    assert len(rules()) == 2
    again.finish()
    assert rules() == [] and run("ip", "route", "show", "table", "all").count("table 10443") == 0


def test_peername_is_shown_to_the_server_alone(front):
    """Only the web server sees the client's address; other sockets see our end."""
    front.attach("--client-address", "peername", bypass=False)
    listener = Listener()
    client = front.lab.connect((listener.host, listener.port))
    server = listener.accept_any()
    assert server.sock.getpeername() == client.local
    assert front.ask()[0] == front.veth.client4
    listener.close()


def test_sessions_outlive_the_bypass(front):
    """A session that began while armed continues through alpnbpf afterwards."""
    router = front.attach()
    with responder():
        tls = slow_request(front)
        wait_until(lambda: descriptors(router, front.port) == 1, 5, "a session")
    front.ask()
    assert descriptors(router, front.port) == 1 and descriptors(router) == 0
    tls.sendall(b"\r\n")
    assert tls.recv(4096).decode().strip().endswith(front.veth.client4)
    tls.close()
