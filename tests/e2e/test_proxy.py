# SPDX-License-Identifier: BSD-2-Clause
"""
The client's address by PROXY protocol: as read by a real nginx and a real HAProxy, byte for byte by our own reader, for
IPv4, IPv6 and both at once on the default listeners; and only to the backends it was asked for.
"""
import subprocess

import pytest

from hellos import acme_hello, common_extensions, alpn, body, extension, handshake, https_hello, record, records, sni
from proxy_header import READERS, TLV_ALPN, TLV_AUTHORITY, read_v2
from services import need, start_haproxy, start_nginx
from sockets import free_port
from waiting import SCALE

NAME = "www.example.test"
VERSIONS = ("v1", "v2")


class Servers:
    """An nginx and an HAProxy which want the header."""

    def __init__(self, lab, authority):
        self.ports = {"nginx": free_port(), "haproxy": free_port()}
        self.authority = authority
        start_nginx(lab, self.ports["nginx"], authority, proxy_protocol=True)
        start_haproxy(lab, self.ports["haproxy"], authority)


@pytest.fixture(scope="module")
def servers(module_lab, authority):
    return Servers(module_lab, authority)


def seen_by(servers, address, port, prefix=()):
    """(the client as the server sees it, the client's real port)."""
    host = f"[{address}]" if ":" in address else address
    result = subprocess.run(
        [*prefix, need("curl"), "--silent", "--show-error", "--fail", "--http1.1", "--cacert", servers.authority.file,
         "--resolve", f"{NAME}:{port}:{host}", "--write-out", "\n%{local_port}", f"https://{NAME}:{port}/client"],
        capture_output=True, text=True, timeout=20 * SCALE)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.split()
    return lines[:4], int(lines[4])


@pytest.mark.parametrize("server", ["nginx", "haproxy"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_real_servers(lab, servers, plane, server, version, address):
    router = lab.router(lab.listener(), servers.ports[server], "--proxy-protocol", f"https={version}", plane=plane)
    port = router.address()[1]
    (source, source_port, destination, destination_port), local_port = seen_by(servers, address, port)
    assert (source, int(source_port)) == (address, local_port)
    assert (destination, int(destination_port)) == (address, port)


@pytest.mark.parametrize("server", ["nginx", "haproxy"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("family", [4, 6])
def test_a_client_from_elsewhere(lab, servers, veth, server, version, family):
    """Not a loopback address, and the destination is the one the client used."""
    here, there = (veth.server4, veth.client4) if family == 4 else (veth.server6, veth.client6)
    router = lab.router(lab.listener(), servers.ports[server], "--proxy-protocol", f"https={version}", listen=[
        (here, 443)])
    (source, source_port, destination, destination_port), local_port = seen_by(
        servers, here, 443, veth.namespace.prefix())
    assert (source, int(source_port), destination, int(destination_port)) == (there, local_port, here, 443)
    assert router.running()


@pytest.mark.parametrize("version", VERSIONS)
def test_ipv4_client_of_the_default_listeners(lab, plane, version):
    """0.0.0.0:443 and [::]:443 together: each client is announced in its own family."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--proxy-protocol", f"https={version}", listen=(), plane=plane)
    for family, name, address in ((4, "TCP4", "127.0.0.1"), (6, "TCP6", "::1")):
        client = lab.connect(router, family=family)
        client.send(https_hello())
        server = https.accept()
        header = READERS[version](server)
        assert (header.family, header.source) == (name, client.local[:2])
        assert header.destination == (address, 443)
        assert server.read(len(https_hello())) == https_hello()


@pytest.mark.parametrize("version", VERSIONS)
def test_v4_mapped_listener(lab, plane, version):
    """An IPv4-mapped address: the client is announced as IPv4."""
    acme, https = lab.backends()
    port = free_port()
    router = lab.router(acme, https, "--proxy-protocol", f"https={version}", listen=[("::ffff:127.0.0.1", port)],
                        plane=plane)
    client = lab.connect(("127.0.0.1", port))
    client.send(https_hello())
    header = READERS[version](https.accept())
    assert (header.family, header.source) == ("TCP4", client.local)
    assert header.destination == ("127.0.0.1", port)
    assert router.running()


@pytest.mark.parametrize("route", ["https", "acme"])
@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("family", [4, 6])
def test_header_exactly_once_before_the_hello(lab, plane, route, version, family):
    """And the session behind it is exact and counted without it."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--proxy-protocol", f"{route}={version}", plane=plane)
    hello, backend = (https_hello(), https) if route == "https" else (acme_hello(), acme)
    client = lab.connect(router, family=family)
    client.send(hello)
    server = backend.accept()
    header = READERS[version](server)
    assert header.family == ("TCP4" if family == 4 else "TCP6")
    assert header.source == client.local[:2] and header.destination == router.address(family)
    assert header.tlvs == []
    server.send(b"answer")
    assert client.read(6) == b"answer"
    client.send(b"more").finish_sending()
    assert server.read_to_end() == hello + b"more"
    server.close()
    assert client.read_to_end() == b""
    closed = router.closed(client)
    assert (closed.up, closed.down) == (len(hello) + 4, 6)


@pytest.mark.parametrize("asked,other", [("https", "acme"), ("acme", "https")])
def test_only_the_backend_it_was_asked_for(lab, plane, asked, other):
    """lego and s_server cannot parse the header; they must not get it."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--proxy-protocol", f"{asked}=v2", plane=plane)
    hello, backend = (https_hello(), https) if other == "https" else (acme_hello(), acme)
    lab.session(router, hello, backend)  # reads the hello first thing


def test_different_versions_for_both(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--proxy-protocol", "https=v2", "--proxy-protocol", "acme=v1", plane=plane)
    for hello, backend, version in ((https_hello(), https, "v2"), (acme_hello(), acme, "v1")):
        client = lab.connect(router)
        client.send(hello)
        server = backend.accept()
        assert READERS[version](server).source == client.local[:2]
        assert server.read(len(hello)) == hello


def test_fallback_gets_the_header_of_the_backend_it_reaches(lab, plane):
    """The ACME client refuses; only https has asked for the header, and gets it."""
    https = lab.listener()
    router = lab.router(("127.0.0.1", free_port()), https, "--proxy-protocol", "https=v1", plane=plane)
    client = lab.connect(router)
    client.send(acme_hello())
    server = https.accept()
    assert READERS["v1"](server).source == client.local[:2]
    assert server.read(len(acme_hello())) == acme_hello()


def hello_with(name, *protocols, shuffled=False):
    parts = [sni(name), *common_extensions()[1:], alpn(*protocols)]
    if shuffled:
        parts = [extension(0x0A0A, b""), parts[-1], *parts[1:-1], parts[0]]
    return handshake(body(parts))


@pytest.mark.parametrize("shuffled", [False, True])
@pytest.mark.parametrize("in_records", [16384, 11])
def test_tlvs(lab, plane, shuffled, in_records):
    """PP2_TYPE_AUTHORITY is the server name; PP2_TYPE_ALPN what the client offers first."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--proxy-protocol", "https=v2", "--proxy-protocol", "acme=v2", "--proxy-tlv",
                        "alpn", "--proxy-tlv", "authority", plane=plane)
    for protocols, backend in (((b"h2", b"http/1.1"), https), ((b"acme-tls/1",), acme)):
        wire = records(hello_with(b"shop.example.test", *protocols, shuffled=shuffled), in_records)
        client = lab.connect(router)
        client.send(wire)
        server = backend.accept()
        header = read_v2(server)
        assert header.source == client.local[:2]
        assert dict(header.tlvs) == {TLV_ALPN: protocols[0], TLV_AUTHORITY: b"shop.example.test"}
        assert len(header.tlvs) == 2
        assert server.read(len(wire)) == wire


def test_tlv_only_what_was_asked(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--proxy-protocol", "https=v2", "--proxy-tlv", "authority", plane=plane)
    client = lab.connect(router)
    wire = record(hello_with(b"shop.example.test", b"h2"))
    client.send(wire)
    server = https.accept()
    assert read_v2(server).tlvs == [(TLV_AUTHORITY, b"shop.example.test")]
    assert server.read(len(wire)) == wire


def test_no_tlv_without_a_hello(lab, plane):
    """Not TLS: the header has the addresses, but no TLVs."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--proxy-protocol", "https=v2", "--proxy-tlv", "alpn", "--proxy-tlv", "authority",
                        plane=plane)
    client = lab.connect(router)
    client.send(b"SSH-2.0-test\r\n")
    server = https.accept()
    header = read_v2(server)
    assert header.source == client.local[:2] and header.tlvs == []
    assert server.read(14) == b"SSH-2.0-test\r\n"


@pytest.mark.parametrize("version", VERSIONS)
def test_over_a_unix_socket(lab, plane, version):
    acme = lab.listener()
    https = lab.listener(path=lab.socket_path("web.sock"))
    router = lab.router(acme, https, "--proxy-protocol", f"https={version}", plane=plane)
    client = lab.connect(router)
    client.send(https_hello())
    server = https.accept()
    assert READERS[version](server).source == client.local[:2]
    assert server.read(len(https_hello())) == https_hello()
