# SPDX-License-Identifier: BSD-2-Clause
"""Real servers as children of a test: nginx, HAProxy, pebble and its DNS, with configurations made for the run."""
import json
import shutil

import pytest

from children import wait_port
from pattern import Pattern
from sockets import free_port


def need(program):
    """Skip, with the reason, where a real peer is not installed."""
    path = shutil.which(program) or shutil.which(program, path="/usr/sbin:/sbin")
    if not path:
        pytest.skip(f"{program} is not installed")
    return path


def write_text(path, text):
    with open(path, "w") as file:
        file.write(text)
    return str(path)


NGINX = """
daemon off; worker_processes 1; user root; pid {dir}/nginx.pid; error_log stderr error;
events {{ worker_connections 4096; }}
http {{
    access_log off; default_type text/plain; sendfile on; keepalive_timeout 30s;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi; client_max_body_size 1g;
    ssl_certificate {certificate}; ssl_certificate_key {key}; ssl_protocols TLSv1.2 TLSv1.3;
    server {{
        listen 127.0.0.1:{port} ssl http2 {proxy};
        listen [::1]:{port} ssl http2 {proxy};
        root {root};
        location = /hello {{ return 200 "protocol=$server_protocol name=$ssl_server_name\\n"; }}
        location = /client {{ return 200 "{who}\\n"; }}
        location /upload/ {{ alias {uploads}/; dav_methods PUT; }}
    }}
}}
"""

FILES = {"small": 10_000, "half": 512 * 1024, "large": 32 * 1024 * 1024}


def start_nginx(lab, port, authority, proxy_protocol=False):
    """A web server with TLS and h2 on both loopbacks; returns its Child."""
    directory = lab.directory / f"nginx-{port}"
    root = directory / "root"
    uploads = directory / "uploads"
    root.mkdir(parents=True)
    uploads.mkdir()
    for name, size in FILES.items():
        (root / name).write_bytes(Pattern(name).bytes(0, size))
    certificate, key = authority.server("www.example.test", "localhost", "127.0.0.1", "::1")
    who = "$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr $proxy_protocol_server_port"
    config = write_text(directory / "nginx.conf", NGINX.format(
        dir=directory, root=root, uploads=uploads, port=port, certificate=certificate, key=key,
        proxy="proxy_protocol" if proxy_protocol else "", who=who if proxy_protocol else "$remote_addr"))
    child = lab.child(need("nginx"), "-c", config, "-p", str(directory), name="nginx")
    wait_port(("127.0.0.1", port), child)
    return child


HAPROXY = """
global
    maxconn 1000
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend web
    bind 127.0.0.1:{port} {proxy} ssl crt {both} alpn h2,http/1.1
    http-request return status 200 content-type text/plain lf-string "%[src] %[src_port] %[dst] %[dst_port]"
"""


def start_haproxy(lab, port, authority, proxy_protocol=True):
    certificate, _ = authority.server("www.example.test", "localhost")
    config = write_text(lab.directory / f"haproxy-{port}.cfg", HAPROXY.format(
        port=port, both=certificate.replace(".pem", ".both"), proxy="accept-proxy" if proxy_protocol else ""))
    child = lab.child(need("haproxy"), "-db", "-f", config, name="haproxy")
    wait_port(("127.0.0.1", port), child)
    return child


class Pebble:
    """The ACME server with a DNS of its own; it validates on port 443 of the addresses from that DNS."""

    def __init__(self, lab, authority):
        dns, management, self.port, pebble_management = (free_port() for _ in range(4))
        certificate, key = authority.server("localhost", "127.0.0.1")
        self.directory_url = f"https://127.0.0.1:{self.port}/dir"
        self._management = f"http://127.0.0.1:{management}"
        self.dns = lab.child(need("pebble-challtestsrv"), "-dns01", f"127.0.0.1:{dns}", "-http01", "", "-https01", "",
                             "-tlsalpn01", "", "-management", f"127.0.0.1:{management}", "-defaultIPv4", "",
                             "-defaultIPv6", "", name="challtestsrv")
        wait_port(("127.0.0.1", management), self.dns)
        config = write_text(lab.directory / "pebble.json", json.dumps({"pebble": {
            "listenAddress": f"127.0.0.1:{self.port}", "managementListenAddress": f"127.0.0.1:{pebble_management}",
            "certificate": certificate, "privateKey": key, "httpPort": 443, "tlsPort": 443,
            "ocspResponderURL": "", "externalAccountBindingRequired": False}}))
        self.child = lab.child(need("pebble"), "-config", config, "-dnsserver", f"127.0.0.1:{dns}", name="pebble",
                               env={"PEBBLE_VA_NOSLEEP": "1", "PEBBLE_WFE_NONCEREJECT": "0"})
        wait_port(("127.0.0.1", self.port), self.child)

    def resolve(self, name, v4=(), v6=()):
        """What the DNS answers for a name."""
        import urllib.request
        for kind, addresses in (("a", v4), ("aaaa", v6)):
            if addresses:
                body = json.dumps({"host": name, "addresses": list(addresses)}).encode()
                urllib.request.urlopen(f"{self._management}/add-{kind}", body, 5).close()
