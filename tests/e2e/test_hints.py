# SPDX-License-Identifier: BSD-2-Clause
"""Known configuration mistakes: the log says what is wrong, and what to do."""
import socket

import pytest

from hellos import acme_hello, https_hello
from services import need, write_text
from sockets import free_port
from waiting import now, wait_until


def test_nobody_is_the_responder(lab):
    """Also with `--tlsport 443`: the ACME client uses another port than --acme."""
    https = lab.listener()
    port = free_port()
    router = lab.router(f"127.0.0.1:{port}", https)
    client, server = lab.session(router, acme_hello(), https)
    router.wait_line(rf"warn cannot connect to --acme 127\.0\.0\.1:{port}: Connection refused; nothing listens on port "
                     rf"{port}: is the ACME client's responder running, with that port \(acme\.sh --tlsport {port}, "
                     rf"lego --tls\.port :{port}\)\?; handing the connection to --https")
    client.close()
    server.close()


@pytest.mark.parametrize("listens,named,says", [
    ("::", "127.0.0.1", r"is bound to \[::\]:{port}, IPv6 only \(V6ONLY\): use that address, or the port alone"),
    ("::1", "127.0.0.1", r"is bound to \[::1\]:{port}: use that address, or the port alone"),
    ("127.0.0.1", "[::1]", r"is bound to 127\.0\.0\.1:{port}: use that address, or the port alone"),
])
def test_the_backend_listens_elsewhere(lab, listens, named, says):
    acme = lab.listener()
    port = free_port()
    sock = socket.socket(socket.AF_INET6 if ":" in listens else socket.AF_INET)
    if ":" in listens:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    with sock:
        sock.bind((listens, port))
        sock.listen()
        router = lab.router(acme, f"{named}:{port}", "--connect-timeout", "300ms")
        assert lab.connect(router).send(https_hello()).outcome() == "reset"
        router.wait_line(rf"warn cannot connect to --https .*Connection refused; the listener on port {port} "
                         + says.format(port=port))


def nginx_with_proxy_protocol(lab):
    port = free_port()
    directory = lab.directory / "nginx"
    directory.mkdir()
    config = write_text(directory / "nginx.conf", f"""
daemon off; worker_processes 1; user root; pid {directory}/pid; error_log stderr error;
events {{ }}
http {{
    access_log off; client_body_temp_path {directory}/1; proxy_temp_path {directory}/2; fastcgi_temp_path {directory}/3;
    uwsgi_temp_path {directory}/4; scgi_temp_path {directory}/5;
    server {{ listen 127.0.0.1:{port} proxy_protocol; }}
}}
""")
    nginx = lab.child(need("nginx"), "-c", str(config), "-p", str(directory))
    wait_until(lambda: can_connect(port) and nginx.running(), 10, "nginx")
    return port


def can_connect(port):
    try:
        socket.create_connection(("127.0.0.1", port), 1).close()
        return True
    except OSError:
        return False


def haproxy_without(lab):
    port = free_port()
    config = write_text(lab.directory / "haproxy.cfg", f"""
defaults
    mode tcp
    timeout client 10s
    timeout connect 1s
    timeout server 10s
frontend in
    bind 127.0.0.1:{port}
    tcp-request inspect-delay 5s
    tcp-request content reject unless {{ req.ssl_hello_type 1 }}
""")
    haproxy = lab.child(need("haproxy"), "-f", str(config))
    wait_until(lambda: can_connect(port) and haproxy.running(), 10, "haproxy")
    return port


def test_the_server_expects_a_header(lab):
    acme = lab.listener()
    router = lab.router(acme, f"127.0.0.1:{nginx_with_proxy_protocol(lab)}")
    client = lab.connect(router).send(https_hello())
    assert client.outcome() in ("end", "reset")
    client.close()
    router.wait_line(r"warn https -> 127\.0\.0\.1:\d+ (reset|closed) a connection without sending a byte, "
                     r"after a complete ClientHello: if it expects a PROXY header, use --proxy-protocol")


@pytest.mark.parametrize("plane", ["user", "sockmap"])
def test_the_server_expects_none(lab, plane):
    acme = lab.listener()
    router = lab.router(acme, f"127.0.0.1:{haproxy_without(lab)}", "--proxy-protocol", "https=v2", plane=plane)
    client = lab.connect(router).send(https_hello())
    assert client.outcome() in ("end", "reset")
    client.close()
    router.wait_line(r"warn https -> 127\.0\.0\.1:\d+ (reset|closed) a connection without sending a byte, "
                     r"right after a PROXY header: is it configured to expect one "
                     r"\(nginx: listen \.\.\. proxy_protocol; HAProxy: accept-proxy\)\?")


def test_once_a_second_with_a_count(lab):
    """At most one log line per second, however many clients want a backend that is down."""
    started = now()
    router = lab.router(lab.listener(), f"127.0.0.1:{free_port()}", "--connect-timeout", "50ms", log_level="info")
    for _ in range(30):
        assert lab.connect(router).send(https_hello()).outcome() == "reset"
    lines = [line for line in router.lines() if "connect" in line]
    assert 1 <= len(lines) <= now() - started + 2, lines
    wait_until(lambda: more_since(lab, router), 10, "a line with a count", poll=0.1)


def more_since(lab, router):
    lab.connect(router).send(https_hello()).outcome()
    return router.find(r"warn cannot connect to --https .* \((?!0 )\d+ more suppressed\)")


def test_no_hint_without_a_mistake(lab):
    """A client that leaves, a client without TLS, a server that answers: no hint."""
    acme, https = lab.backends()
    router = lab.router(acme, https)
    for hello, end in ((https_hello(), "client"), (b"GET / HTTP/1.0\r\n\r\n", "server"), (https_hello(), "answer")):
        client, server = lab.session(router, hello, https)
        if end == "answer":
            server.send(b"x")
            assert client.read(1) == b"x"
        (client if end == "client" else server).finish_sending()
        (server if end == "client" else client).read_to_end()
        client.close()
        server.close()
        router.closed(client)
    assert not router.find(" warn ")
