# SPDX-License-Identifier: BSD-2-Clause
"""
The purpose of the program: a real ACME server (pebble, validating on :443) issues certificates to real ACME clients behind
it, while the web server on the same port answers every request. And the rules which keep a one-connection-at-a-time
responder usable.
"""
import socket
import ssl
import threading

import pytest
from cryptography import x509

from acme_client import AcmeClient, listening
from conftest import PLANES
from hellos import acme_hello, https_hello
from services import Pebble, need, start_nginx
from sockets import free_port
from waiting import now, pause, wait_until

NAME = "www.example.test"
RESPONDER = 10443


class Visitors(threading.Thread):
    """HTTPS requests, one connection each, as fast as possible, until stopped; keeps every failure."""

    def __init__(self, address, authority_file):
        super().__init__(daemon=True)
        self.address = address
        self.context = ssl.create_default_context(cafile=authority_file)
        self.context.set_alpn_protocols(["http/1.1"])
        self.served, self.failures = 0, []
        self._stop_asked = threading.Event()

    def _visit(self):
        with socket.create_connection(self.address, 10) as plain:
            with self.context.wrap_socket(plain, server_hostname=NAME) as tls:
                tls.sendall(f"GET /hello HTTP/1.0\r\nHost: {NAME}\r\n\r\n".encode())
                answer = b""
                while part := tls.recv(65536):
                    answer += part
        assert answer.startswith(b"HTTP/1.1 200") and answer.endswith(f"name={NAME}\n".encode()), answer

    def run(self):
        while not self._stop_asked.is_set():
            try:
                self._visit()
                self.served += 1
            except Exception as error:
                self.failures.append(repr(error))

    def finish(self):
        self._stop_asked.set()
        self.join(15)
        assert not self.is_alive()


class Town:
    """nginx, pebble and the program on :443."""

    def __init__(self, lab, authority, plane):
        self.lab, self.authority = lab, authority
        port = free_port()
        self.nginx = start_nginx(lab, port, authority)
        self.pebble = Pebble(lab, authority)
        self.router = lab.router(RESPONDER, port, listen=(), plane=plane)

    def close(self):
        self.lab.finish(self.router)
        for child in (self.nginx, self.pebble.child, self.pebble.dns):
            child.stop()


@pytest.fixture(scope="module", params=PLANES)
def town(request, module_lab, authority):
    town = Town(module_lab, authority, request.param)
    yield town
    town.close()


@pytest.fixture
def visitors(town):
    """Requests by IPv4 and IPv6 during the whole test."""
    threads = [Visitors((address, 443), town.authority.file) for address in ("127.0.0.1", "::1")]
    for thread in threads:
        thread.start()
    yield
    for thread in threads:
        wait_until(lambda: thread.failures or thread.served > 5, 10, "some requests to be served")
    for thread in threads:
        thread.finish()
    for thread in threads:
        assert not thread.failures, f"{len(thread.failures)} of {thread.served} requests failed: {thread.failures[:3]}"


ADDRESSES = {"v4": {"v4": ["127.0.0.1"]}, "v6": {"v6": ["::1"]}}


def acme_sessions(router):
    return [closed for closed in router.sessions() if closed.route == "acme"]


@pytest.mark.parametrize("family", ["v4", "v6"])
def test_s_server_as_responder(town, visitors, family):
    """As acme.sh: two names, a fresh openssl s_server for each, the port closed in between."""
    before = len(acme_sessions(town.router))
    client = AcmeClient(town.lab, town.pebble.directory_url, town.authority.file)
    for domain in (f"one.{family}.test", f"two.{family}.test"):
        town.pebble.resolve(domain, **ADDRESSES[family])
        certificate = client.issue(domain, RESPONDER)
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert names.get_values_for_type(x509.DNSName) == [domain]
        wait_until(lambda: not listening(RESPONDER), 5, "the responder to be gone")
    wait_until(lambda: len(acme_sessions(town.router)) >= before + 2, 5, "two ACME sessions in the log")
    source = {"v4": "127.0.0.1", "v6": "::1"}[family]
    assert all(source in closed.client for closed in acme_sessions(town.router)[before:])


@pytest.mark.long
def test_lego(town, visitors, tmp_path):
    """A responder that serves many at once; a name of IPv4 and one of IPv6 in one order."""
    before = len(acme_sessions(town.router))
    for family in ADDRESSES:
        town.pebble.resolve(f"lego.{family}.test", **ADDRESSES[family])
    lego = town.lab.child(
        need("lego"), "--server", town.pebble.directory_url, "--accept-tos", "--email", "e2e@example.test", "--path",
        str(tmp_path), "--tls", "--tls.port", f":{RESPONDER}", *[f"--domains=lego.{family}.test" for family in
                                                                 ADDRESSES], "run",
        env={"LEGO_CA_CERTIFICATES": town.authority.file})
    assert lego.wait(60) == 0, lego.text()
    assert (tmp_path / "certificates" / "lego.v4.test.crt").read_text().startswith("-----BEGIN CERTIFICATE-----")
    wait_until(lambda: len(acme_sessions(town.router)) >= before + 2, 5, "two ACME sessions in the log")


def test_without_a_responder_the_web_server_is_asked(town, visitors):
    """Nothing listens on the ACME port: nginx gets the hello, refuses the protocol, and continues to serve."""
    context = ssl.create_default_context(cafile=town.authority.file)
    context.set_alpn_protocols(["acme-tls/1"])
    with socket.create_connection(("127.0.0.1", 443), 10) as plain:
        port = plain.getsockname()[1]
        try:
            with context.wrap_socket(plain, server_hostname=NAME) as tls:
                assert tls.selected_alpn_protocol() is None
        except ssl.SSLError as error:
            assert "ALERT" in str(error).upper()  # no_application_protocol, from nginx itself
    assert town.router.closed(port).route == "https"


def test_a_validation_that_hangs_does_not_block_the_next(lab, plane):
    """One connection at a time: --acme-timeout limits a validation, even while bytes keep coming."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--acme-timeout", "1s", plane=plane)
    client, server = lab.session(router, acme_hello(), acme)
    started = now()

    def talks_on():
        try:
            client.send(b"x")
            server.send(b"y")
        except OSError:
            return True
        return server.readable() and ended(server)

    wait_until(talks_on, 10, "the end of the ACME session", poll=0.05)
    assert 0.8 < now() - started < 10, "not the 10 s of the default"
    closed = router.closed(client)
    assert (closed.route, closed.cause) == ("acme", "acme_timeout")
    lab.session(router, acme_hello(), acme)


def ended(peer):
    """Has the peer's connection ended? Reads what has arrived."""
    peer.sock.settimeout(0.01)
    try:
        while True:
            if not peer.sock.recv(65536):
                return True
    except TimeoutError:
        return False
    except OSError:
        return True


def test_an_https_session_is_not_bound_by_the_acme_timeout(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--acme-timeout", "1s", plane=plane)
    client, server = lab.session(router, https_hello(), https)
    pause(1.6)
    server.send(b"still here")
    assert client.read(10) == b"still here"


def test_the_fin_reaches_the_responder_at_once(lab, plane):
    """The validator closes after the handshake; the responder is free for the next perspective at once."""
    acme, https = lab.backends()
    router = lab.router(acme, https, "--acme-timeout", "10m", plane=plane)  # longer than the test waits
    client, server = lab.session(router, acme_hello(), acme)
    server.send(b"server flight")
    assert client.read(13) == b"server flight"
    client.send(b"finished")
    client.close()
    assert server.read_to_end() == b"finished"
    server.close()
    assert router.closed(client).cause == "done"


def test_refused_by_acme_goes_to_https(lab, plane):
    """A web server may answer the challenge itself."""
    https = lab.listener()
    router = lab.router(("127.0.0.1", free_port()), https, plane=plane)
    client, server = lab.session(router, acme_hello(), https)
    server.send(b"from https").close()
    assert client.read_to_end() == b"from https"
    client.close()
    assert router.closed(client).route == "https"


def test_refused_by_acme_with_fallback_close(lab, plane):
    https = lab.listener()
    router = lab.router(("127.0.0.1", free_port()), https, "--acme-fallback", "close", "--connect-timeout", "10m",
                        plane=plane)  # longer than the test waits
    client = lab.connect(router)
    client.send(acme_hello())
    assert client.outcome() in ("end", "reset")
    assert https.unused()
    assert router.closed(client).cause == "connect_failed"


def test_responder_on_one_loopback_only(lab, plane):
    """acme.sh --listen-v6 binds V6ONLY, --listen-v4 the other: a bare port is tried on both."""
    for host in ("127.0.0.1", "::1"):
        acme, https = lab.listener(host=host), lab.listener(host=host)
        router = lab.router(acme.port, https.port, plane=plane)
        client, server = lab.session(router, acme_hello(), acme)
        server.send(b"found").close()
        assert client.read_to_end() == b"found"
        client.close()
        assert router.closed(client).route == "acme"
