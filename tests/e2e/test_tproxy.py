# SPDX-License-Identifier: BSD-2-Clause
"""A transparent proxy (TPROXY) as the web server: its visitors' addresses are not this machine's, and nothing is sent there."""
import contextlib
import socket
import threading

import pytest

from hellos import https_hello
from in_place import armed
from netns import run
from services import need

ORIGIN = "203.0.113.9"
RULES = f"""
table ip e2e_tproxy {{
    chain divert {{
        type filter hook prerouting priority mangle;
        iifname "e2e-srv" ip daddr {ORIGIN} tcp dport 443 tproxy to :443 meta mark set 1 accept
    }}
    chain leaves {{
        type filter hook output priority 0;
        ip daddr {ORIGIN} counter
    }}
}}
"""


@pytest.fixture
def transparent(veth, tmp_path):
    """The rules and routes of TPROXY, and a way for the client."""
    path = tmp_path / "rules"
    path.write_text(RULES)
    run("ip", "rule", "add", "fwmark", "1", "lookup", "100")
    run("ip", "route", "add", "local", "0.0.0.0/0", "dev", "lo", "table", "100")
    run(need("nft"), "-f", str(path))
    run(*veth.namespace.prefix(), "ip", "route", "add", ORIGIN, "via", veth.server4)
    yield
    run(*veth.namespace.prefix(), "ip", "route", "del", ORIGIN)
    run(need("nft"), "delete", "table", "ip", "e2e_tproxy")
    run("ip", "route", "del", "local", "0.0.0.0/0", "dev", "lo", "table", "100")
    run("ip", "rule", "del", "fwmark", "1")


class Proxy:
    """Accepts connections to any address, and says what it got."""

    def __init__(self):
        self._listener = socket.socket()
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.setsockopt(socket.IPPROTO_IP, 19, 1)  # IP_TRANSPARENT
        self._listener.bind(("0.0.0.0", 443))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self):
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            with sock, contextlib.suppress(OSError):
                sock.settimeout(10)
                if sock.recv(65536):
                    sock.sendall(b"the proxy")

    def close(self):
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._thread.join(10)


def test_the_proxy_has_its_visitors(lab, veth, transparent):
    proxy = Proxy()
    try:
        router = lab.router(10443, 443, "--inspect", "steer", listen=(), bypass=True, plane="user")
        with armed(router):
            for _ in range(3):
                with veth.namespace.inside():
                    client = socket.socket()
                with client:
                    client.settimeout(10)
                    client.connect((ORIGIN, 443))
                    client.sendall(https_hello())
                    assert client.recv(100) == b"the proxy"
        sent = run(need("nft"), "list", "chain", "ip", "e2e_tproxy", "leaves")
        # The proxy's own answers come from that address; nothing goes to it.
        assert "packets 0 " in sent, sent
    finally:
        proxy.close()
