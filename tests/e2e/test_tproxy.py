# SPDX-License-Identifier: BSD-2-Clause
"""A transparent proxy (TPROXY) as the web server: its visitors' addresses are not this machine's, and nothing is sent there."""
import socket

import pytest

from control import status
from hellos import acme_hello, https_hello
from in_place import ACME, armed
from netns import run
from services import need
from sockets import Listener, connect
from waiting import now
from watched import H, exchange

IP_TRANSPARENT, IPV6_TRANSPARENT = 19, 75
ORIGINS = {4: "203.0.113.9", 6: "2001:db8:9::9"}
SOON = 0.5  # s; a connection that is held any longer is the web server's after 1
RULES = """
table %(table)s e2e_tproxy {
    chain divert {
        type filter hook prerouting priority mangle;
        iifname "e2e-srv" %(table)s daddr %(origin)s tcp dport 443 tproxy to :443 meta mark set 1 accept
    }
    chain leaves {
        type filter hook output priority 0;
        %(table)s daddr %(origin)s counter
    }
}
"""


class Transparent:
    """The rules and routes of TPROXY, a way for the client, and the proxy's listener."""

    def __init__(self, veth, family, directory):
        self.veth, self.origin, self.table = veth, ORIGINS[family], "ip" if family == 4 else "ip6"
        self.ip = ["ip", f"-{family}"]
        gateway, everything = (veth.server4, "0.0.0.0/0") if family == 4 else (veth.server6, "::/0")
        path = directory / "rules"
        path.write_text(RULES % {"table": self.table, "origin": self.origin})
        run(need("nft"), "-f", str(path))
        self._routes = [("rule", "add", "fwmark", "1", "lookup", "100"),
                        ("route", "add", "local", everything, "dev", "lo", "table", "100")]
        for words in self._routes:
            run(*self.ip, *words)
        run(*veth.namespace.prefix(), *self.ip, "route", "add", self.origin, "via", gateway)
        level, option = (socket.IPPROTO_IP, IP_TRANSPARENT) if family == 4 else (socket.IPPROTO_IPV6, IPV6_TRANSPARENT)
        self.proxy = Listener("0.0.0.0" if family == 4 else "::", port=443)
        self.proxy.sock.setsockopt(level, option, 1)

    def client(self):
        return connect((self.origin, 443), namespace=self.veth.namespace)

    def sent_to_origin(self):
        """Packets of this machine to the origin. The proxy's own answers come from that address; none goes to it."""
        return run(need("nft"), "list", "chain", self.table, "e2e_tproxy", "leaves")

    def close(self):
        self.proxy.close()
        run(*self.veth.namespace.prefix(), *self.ip, "route", "del", self.origin)
        for words in self._routes:
            run(*self.ip, *["del" if word == "add" else word for word in words])
        run(need("nft"), "delete", "table", self.table, "e2e_tproxy")


@pytest.fixture(params=[4, 6], ids=["IPv4", "IPv6"])
def transparent(request, veth, tmp_path):
    site = Transparent(veth, request.param, tmp_path)
    yield site
    site.close()


def a_visit(lab, transparent):
    client = transparent.client().send(https_hello())
    lab.peers.append(client)
    server = transparent.proxy.accept()
    assert server.read(len(https_hello())) == https_hello()
    exchange(client, server)


@pytest.mark.parametrize("inspect", ["steer", "watch"])
def test_the_proxy_has_its_visitors(lab, transparent, inspect):
    router = lab.router(ACME, 443, "--inspect", inspect, listen=(), bypass=True, plane="user")
    with armed(router):
        for _ in range(3):
            a_visit(lab, transparent)
    assert "packets 0 " in transparent.sent_to_origin()


@pytest.mark.alone
def test_an_idle_visitor(lab, transparent):
    """It is held, and released by a packet that goes the way of the client's, by TPROXY."""
    router = lab.router(ACME, 443, "--inspect", "watch", listen=(), bypass=True, plane="user")
    with armed(router):
        for _ in range(3):
            client = transparent.client()
            lab.peers.append(client)
            began = now()
            server = transparent.proxy.accept_any(5)
            assert now() - began < SOON
            client.send(https_hello())
            assert server.read(len(https_hello())) == https_hello()
            exchange(client, server)
        assert status(router)["events"]["held"] == 3
    assert "packets 0 " in transparent.sent_to_origin()


def test_a_validation(lab, transparent):
    """It is taken over while it is a request: nothing has to be sent to remove it."""
    router = lab.router(ACME, 443, "--inspect", "watch", listen=(), bypass=True, plane="user")
    with armed(router) as acme:
        for _ in range(3):
            client = transparent.client().send(acme_hello())
            lab.peers.append(client)
            server = acme.accept()
            assert server.read(H) == acme_hello()
            exchange(client, server)
    assert router.finish() is None and router.totals()["takeovers"] == 3
    assert "packets 0 " in transparent.sent_to_origin()
