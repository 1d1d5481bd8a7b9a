# SPDX-License-Identifier: BSD-2-Clause
"""
Around the watch: what TCP agreed on is kept, firewalls, servers that restart, many takeovers at once; and what is reported
when hellos cannot be watched.
"""
import contextlib
import re
import socket
import subprocess

import pytest

from control import command, status
from hello_cases import record_or_records, sized
from hellos import acme_hello, https_hello, noise
from in_place import ACME, WITHOUT_CGROUP, Ground, armed, visitors
from netns import run
from rawtcp import RawPeer
from sockets import connect, free_port
from test_metrics import scrape
from waiting import now, pause, wait_until
from watched import BULK, H, Plain, answer, answered, end, exchange, validate


class Sniffer:
    """The TCP headers that come from a port to the client's namespace."""

    def __init__(self, namespace, port):
        self.port = port
        with namespace.inside():
            self.sock = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))

    def headers(self):
        """(flags, options by kind, payload length) of each, in order."""
        found = []
        self.sock.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                packet, origin = self.sock.recvfrom(65536)
                tcp = packet[(packet[0] & 15) * 4:]
                if packet[9] != 6 or origin[2] == socket.PACKET_OUTGOING or int.from_bytes(tcp[:2], "big") != self.port:
                    continue
                end = (tcp[12] >> 4) * 4
                found.append((tcp[13], self.options(tcp[20:end]), len(packet) - (packet[0] & 15) * 4 - end))
        return found

    @staticmethod
    def options(data):
        found = {}
        while data and data[0]:
            if data[0] == 1:
                data = data[1:]
                continue
            found[data[0]] = data[2:data[1]]
            data = data[data[1]:]
        return found


def test_what_tcp_agreed_on_lives_on(plain):
    """Timestamps, segment size and window scaling continue as the server's socket had them."""
    timestamps = 8
    sniffer = Sniffer(plain.veth.namespace, 443)
    with contextlib.closing(sniffer.sock), armed(plain.router) as acme:
        client = plain.client()
        client.send(acme_hello())
        server = acme.accept()
        assert server.read(H) == acme_hello()
        ours = run("ss", "-Htin", "sport = 443", "and", f"dport = :{client.local[1]}").split()
        exchange(client, server, BULK)
        headers = sniffer.headers()
    assert "mss:1448" in ours  # 1500 without the headers, and without the timestamps
    flags, options, _ = headers[0]
    assert flags & 18 == 18, "a SYN-ACK"
    agreed = int.from_bytes(options[timestamps][:4], "big")
    data = [options for _, options, length in headers if length]
    assert data and all(timestamps in options for options in data)
    steps = [(int.from_bytes(options[timestamps][:4], "big") - agreed) & 0xFFFFFFFF for options in data]
    assert steps == sorted(steps) and steps[-1] < 10000, "they never go back, and are milliseconds"
    assert plain.totals()["takeovers"] == 1


def agreed(client):
    """What ss shows of our end: (segment size, the rest)."""
    text = run("ss", "-Htino", "sport = :443", "and", f"dport = :{client.local[1]}")
    sizes = re.findall(r"\bmss:(\d+)", text)
    assert len(sizes) == 1, f"one socket, not this: {text!r}"
    rest = set(re.findall(r"\b(ts|sack|wscale:\d+,\d+)\b", text)) - {"wscale:0,0"}  # that of no scaling
    return int(sizes[0]), rest


@pytest.mark.parametrize("missing", [None, "timestamps", "sack", "window_scaling"])
def test_what_was_agreed_on(lab, veth, missing):
    """The new socket has the server's parameters, and is as fast. Its segments may be 12 bytes smaller."""
    plain = Plain(lab, veth)

    def setting(value):
        if missing:
            run(*veth.namespace.prefix(), "sysctl", "-qw", f"net.ipv4.tcp_{missing}={value}")

    with contextlib.ExitStack() as stack:
        stack.callback(setting, 1)
        setting(0)
        acme = stack.enter_context(armed(plain.router))
        other = plain.client()
        other.send(https_hello())
        server = plain.served(https_hello())
        size, rest = agreed(other)
        assert ("ts" in rest) == (missing != "timestamps") and ("sack" in rest) == (missing != "sack")
        began = now()
        exchange(other, server, BULK)
        as_usual = now() - began

        client = plain.client()
        client.send(acme_hello())
        server = acme.accept()
        assert server.read(H) == acme_hello()
        our_size, our_rest = agreed(client)
        assert our_rest == rest
        assert 1448 <= our_size <= size
        began = now()
        exchange(client, server, BULK)
        assert now() - began < 5 * as_usual + 0.5
    assert plain.totals()["takeovers"] == 1


@pytest.mark.parametrize("kind", ["nginx", "apache", "haproxy"])
def test_server_that_restarts(lab, authority, veth, kind):
    """A takeover does not keep the server from binding its port again."""
    ground = Ground(lab, authority, veth, kind)
    router = ground.attach(inspect="watch")
    with armed(router) as acme:
        for closes_first in (True, False):
            client = lab.connect((ground.server(), 443), namespace=veth.namespace)
            client.send(acme_hello())
            server = acme.accept()
            assert server.read(H) == acme_hello()
            (server if closes_first else client).close()
            (client if closes_first else server).close()
        held = lab.connect((ground.server(), 443), namespace=veth.namespace)
        held.send(acme_hello())
        acme.accept()
        ground.web.stop()
        ground.web.start()
        seen, own = ground.ask()
        assert seen == own


@contextlib.contextmanager
def stateful_firewall():
    """A firewall that admits only packets of known connections."""
    rules = """table inet e2e {
        chain input { type filter hook input priority 0; policy drop;
            ct state invalid drop; ct state established,related accept; iif lo accept;
            tcp dport 443 tcp flags & (fin|syn|rst|ack) == syn ct state new accept; meta l4proto ipv6-icmp accept; }
    }"""
    subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
    try:
        yield
    finally:
        run("nft", "delete", "table", "inet", "e2e")


def test_stateful_firewall(plain):
    """The reset to the server must not make the firewall block the connection."""
    with stateful_firewall(), armed(plain.router) as acme:
        for _ in range(3):
            validate(plain.client(), acme, acme_hello(), count=BULK)
            other = plain.client()
            other.send(https_hello())
            server = plain.served(https_hello())
            exchange(other, server)
    assert plain.totals()["takeovers"] == 3


@pytest.mark.long
def test_idle_behind_a_stateful_firewall(lab, veth):
    """Also if it is idle for longer than connection tracking keeps an entry after a reset."""
    plain = Plain(lab, veth)
    hello = record_or_records(sized(8000, b"h2"))
    with stateful_firewall(), armed(plain.router):
        client = plain.client()
        client.send_split(hello, 1000)
        server = plain.served(hello)
        pause(12)  # nf_conntrack_tcp_timeout_close is 10
        client.send(b"request")  # if our side sent first, it would be tracked again
        assert server.read(7) == b"request"
        exchange(client, server)
    assert plain.totals()["takeovers"] == 1


def test_many_at_once(ground):
    """More validations at once than any CA makes, while visitors come."""
    router = ground.attach(inspect="watch")
    count = 150
    with visitors(ground) as crowd, armed(router) as acme:
        clients = [connect((ground.server(), 443), namespace=ground.veth.namespace) for _ in range(count)]
        for number, client in enumerate(clients):
            hello = acme_hello()
            client.send(hello[:number % H])
        for number, client in enumerate(clients):
            client.send(acme_hello()[number % H:])
        servers = answered(acme, count)
        for client in clients:
            assert client.read(6) == b"answer"
            client.close()
        for server in servers:
            assert server.read_to_end() == b""
        for visitor in crowd:
            visitor.wait_more(3)
    router.finish()
    # A visitor that came in the moment before hellos were watched was steered.
    assert router.totals()["takeovers"] == router.totals()["hello_acme"] == count


def test_table_full(lab, veth):
    """
    No free slot: a validation is taken over when the client sends its hello again and there is room, and the web server
    keeps a connection whose hello is only long. Nobody is reset.
    """
    plain = Plain(lab, veth, "--max-connections", "1", "--workers", "1")
    long = record_or_records(sized(8000, b"h2"))
    with armed(plain.router) as acme:
        first = plain.client()
        first.send(acme_hello())
        holder = acme.accept()
        second = plain.client()
        second.send(acme_hello())
        visitor = plain.client()
        visitor.send(long)
        exchange(visitor, plain.served(long))
        wait_until(lambda: status(plain.router)["late"]["network"] >= 1, 5, "the second to be put off")
        first.close()
        holder.close()
        server = acme.accept()
        assert server.read(H) == acme_hello()
        exchange(second, server)
    totals = plain.totals()
    assert totals["takeovers"] == 2 and totals["takeovers_failed"] == 0
    assert totals["untakable_room"] == 1


def test_room_of_all_workers(lab, veth):
    """One worker makes the sockets, all of them have the sessions."""
    plain = Plain(lab, veth, "--max-connections", "32", "--workers", "4")
    with armed(plain.router) as acme:
        clients = [plain.client() for _ in range(8)]  # the share of a network, and of a worker
        for client in clients:
            client.send(acme_hello())
        servers = answered(acme, len(clients))
        assert status(plain.router)["sessions"]["now"] == 8
        ninth = plain.client()
        ninth.send(acme_hello())
        wait_until(lambda: status(plain.router)["late"]["network"] >= 1, 5, "the ninth to be put off")
        for peer in clients + servers:
            peer.close()
        server = acme.accept()
        assert server.read(H) == acme_hello()
        exchange(ninth, server)
    assert plain.totals()["takeovers"] == 9


# --- where it is not possible ---


@pytest.mark.parametrize("options, why", [(("--no-bypass",), "no connection goes directly to the web server"),
                                          (("--proxy-protocol", "https=v2"), "PROXY header"),
                                          (("--route", "sni=a.test -> 9443"), "--route is given")])
def test_asked_for_where_it_cannot_be(lab, options, why):
    acme, https = lab.backends()
    router = lab.failing_router(acme, https, "--inspect", "watch", *options, bypass=True)
    router.wait(10)
    assert router.find(rf"error --inspect watch: .*{why}.*; use auto or steer"), router.text()


@pytest.mark.parametrize("rights, why", [("-net_raw", "missing CAP_NET_RAW"),
                                         ("-net_bind_service", "missing CAP_NET_BIND_SERVICE")])
def test_without_a_right(lab, veth, rights, why):
    """Then all connections are steered, which is reported."""
    web = lab.listener(host="0.0.0.0", port=443)
    prefix = ["setpriv", f"--bounding-set={rights}", f"--inh-caps={rights}"]
    report = command("check", "--acme", ACME, "--https", 443, prefix=prefix)[1]
    assert re.search(rf"^warn mode: .* ClientHellos cannot be inspected in passing: .*{why}", report, re.MULTILINE), report
    router = lab.router(ACME, 443, prefix=prefix, listen=[("0.0.0.0", 443)], bypass=True)
    assert router.find(rf"info while armed, new connections will be proxied, because ClientHellos cannot be inspected in passing: .*{why}")
    assert not router.find("hellos read in passing")
    with armed(router) as acme:
        validate(lab.connect((veth.server4, 443), namespace=veth.namespace), acme, acme_hello())
        client = lab.connect((veth.server4, 443), namespace=veth.namespace)
        client.send(https_hello())
        server = web.accept()
        assert server.read(len(https_hello())) == https_hello()
        exchange(client, server)
    router.finish()
    assert router.totals()["sessions"] == 2 and router.totals()["takeovers"] == 0


def test_without_a_cgroup(lab, veth):
    lab.listener(host="0.0.0.0", port=443)
    router = lab.failing_router(ACME, 443, "--inspect", "watch", prefix=WITHOUT_CGROUP, listen=[("0.0.0.0", 443)],
                                bypass=True)
    router.wait(10)
    assert "no cgroup v2" in router.text()


def test_what_the_server_keeps_is_reported(lab, veth):
    """It has sent bytes before the hello came: it keeps the connection."""
    web = lab.listener(host="0.0.0.0", port=443)
    metrics, front = free_port(), free_port()
    router = lab.router(ACME, 443, "--inspect", "watch", "--metrics", metrics, bypass=True,
                        listen=[("0.0.0.0", 443), ("127.0.0.1", front)])
    with armed(router) as acme:
        client = lab.connect((veth.server4, 443), namespace=veth.namespace)
        server = web.accept_any()
        server.send(b"welcome")
        assert client.read(7) == b"welcome"
        client.send(acme_hello())
        assert server.read(H) == acme_hello()
        router.wait_line("warn 1 connections so far could not be taken over and stayed with the web server", 5)
        assert scrape(metrics)['alpnbpf_untakable_total{reason="answered"}'] == 1
        held = lab.connect(("127.0.0.1", front)).send(acme_hello())
        assert acme.accept().read(H) == acme_hello()
        assert status(router)["untakable"]["answered"] == 1
        router.terminate()
        router.wait_line("draining", 5)
        assert scrape(metrics)['alpnbpf_untakable_total{reason="answered"}'] == 1
        held.close()
    client.close()


@pytest.mark.parametrize("hello, piece", [(acme_hello(), 100), (record_or_records(sized(8000, b"h2")), 1000)],
                         ids=["acme", "long"])
def test_a_server_bound_to_its_device(lab, tun, hello, piece):
    """Its connections are taken over too, with all their bytes, also from a socket that exists already."""
    stream = hello + noise(500, "behind")
    plain = Plain(lab, tun)
    plain.web.sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, tun.name.encode())
    raw = RawPeer(tun)
    with armed(plain.router) as acme:
        raw.connect(443)
        raw.insist(stream, len(stream), piece)
        assert f"%{tun.name}:443" in run("ss", "-Htn", "sport = :443")
        server = acme.accept() if hello == acme_hello() else plain.served(stream)
        if hello == acme_hello():
            assert server.read(len(stream)) == stream
        answer(raw, server)
        end(raw, server, len(stream))
    assert plain.totals()["takeovers"] == 1
