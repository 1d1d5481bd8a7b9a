# SPDX-License-Identifier: BSD-2-Clause
"""
What is compared: a direct connection, the peers, and the program in its ways. Each row is up during the whole run, once
before the load generator's server and once before an nginx that speaks TLS, and idle while the others are measured.
"""
import os
import re
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from children import Child, wait_port  # noqa: E402

LOAD = os.path.join(ROOT, "build", "bench-load")
ALPNBPF = os.path.join(ROOT, "alpnbpf")
PEERS = ("nginx", "haproxy")
ALL = ("direct", "nginx", "haproxy", "alpnbpf", "alpnbpf-sockmap", "alpnbpf-user", "front-armed", "in-place-idle",
       "in-place-armed", "in-place-steered")
ACME, RESPONDER = 10443, 10444  # nobody listens on the first; the second is listened on, so that who has it is armed
QUICK = ("direct", "nginx", "haproxy", "alpnbpf", "in-place-armed")

NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; worker_processes auto; user root; pid {dir}/stream-{port}.pid; error_log stderr error; worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
stream {{
    map $ssl_preread_alpn_protocols $backend {{
        ~\\bacme-tls/1\\b 127.0.0.1:10443;
        default 127.0.0.1:{backend};
    }}
    server {{ listen {port} reuseport; listen [::]:{port} reuseport; ssl_preread on; proxy_pass $backend; tcp_nodelay on; }}
}}
"""

HAPROXY = """
global
    maxconn 7800
    nbthread 2
defaults
    mode tcp
    option splice-auto
    timeout connect 5s
    timeout client 10m
    timeout server 10m
frontend tls
    bind :{port}
    bind [::]:{port} v6only
    tcp-request inspect-delay 5s
    tcp-request content accept if {{ req.ssl_hello_type 1 }}
    use_backend acme if {{ req.ssl_alpn acme-tls/1 }}
    default_backend web
backend acme
    server acme 127.0.0.1:10443
backend web
    server web 127.0.0.1:{backend}
"""

TLS_SERVER = """
daemon off; worker_processes auto; user root; pid {dir}/tls.pid; error_log stderr error; worker_rlimit_nofile 20000;
events {{ worker_connections 10000; }}
http {{
    access_log off; keepalive_requests 100000000; default_type application/octet-stream; root {dir};
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    ssl_certificate {dir}/tls.pem; ssl_certificate_key {dir}/tls.key;
    server {{ {listen} location / {{ }} }}
}}
"""


responders = []  # kept open


class Row:
    """Something between client and server: its port, and the processes whose memory counts."""

    def __init__(self, name, port, child=None):
        self.name, self.port, self.child = name, port, child

    def rss(self):
        if not self.child:
            return 0
        pids = [str(self.child.pid)] + subprocess.run(["pgrep", "-P", str(self.child.pid)], capture_output=True,
                                                      text=True).stdout.split()
        total = 0
        for pid in pids:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += int(re.search(r"^Pss:\s+(\d+)", file.read(), re.MULTILINE).group(1)) * 1024
        return total


class Servers:
    """The ports behind the routers, and the two that are served in place."""

    def __init__(self, first):
        self.backend, self.in_place_idle, self.in_place_armed, self.in_place_steered = range(first, first + 4)
        self.ports = (self.backend, self.in_place_idle, self.in_place_armed, self.in_place_steered)
        self.children = []

    def run(self, port, *command):
        self.children.append(Child(*command))
        wait_port(("127.0.0.1", port), self.children[-1])

    def stop(self):
        for child in self.children:
            child.stop()


def write(path, text):
    with open(path, "w") as file:
        file.write(text)
    return path


def start_load_servers():
    servers = Servers(8443)
    for port in servers.ports:
        servers.run(port, LOAD, "server", str(port))
    return servers


def start_tls_servers(directory):
    """One nginx with a P-256 key, and a file of 16 KiB."""
    servers = Servers(9443)
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                    "-days", "2", "-subj", "/CN=www.example.test", "-keyout", f"{directory}/tls.key", "-out",
                    f"{directory}/tls.pem"], check=True, capture_output=True)
    write(f"{directory}/16k", "x" * 16384)
    write(f"{directory}/1k", "x" * 1024)
    listen = " ".join(f"listen {port} ssl http2; listen [::]:{port} ssl http2;" for port in servers.ports)
    config = write(f"{directory}/tls.conf", TLS_SERVER.format(dir=directory, listen=listen))
    servers.run(servers.backend, "/usr/sbin/nginx", "-c", config, "-p", directory)
    return servers


def attach(*options, acme=ACME):
    child = Child(ALPNBPF, "attach", "--acme", str(acme), *map(str, options))
    child.wait_line(r"\bready\b", 15)
    return child


def attach_armed(*options):
    """Somebody listens on the ACME port, as long as this process lives."""
    if not responders:
        responders.append(socket.create_server(("127.0.0.1", RESPONDER)))
    child = attach(*options, "--inspect", "watch", acme=RESPONDER)
    child.wait_line(r"\barmed: ", 15)
    return child


def start_row(name, port, servers, directory):
    bypass = ["--https", servers.backend, "--listen", f"0.0.0.0:{port}", "--listen", f"[::]:{port}"]
    front = [*bypass, "--no-bypass"]
    if name == "direct":
        return Row(name, servers.backend)
    if name == "nginx":
        config = write(f"{directory}/stream-{port}.conf", NGINX.format(dir=directory, port=port, backend=servers.backend))
        return Row(name, port, Child("/usr/sbin/nginx", "-c", config, "-p", directory))
    if name == "haproxy":
        config = write(f"{directory}/haproxy-{port}.cfg", HAPROXY.format(port=port, backend=servers.backend))
        return Row(name, port, Child("/usr/sbin/haproxy", "-db", "-f", config))
    if name == "alpnbpf":
        return Row(name, port, attach(*front))
    if name in ("alpnbpf-sockmap", "alpnbpf-user"):
        return Row(name, port, attach(*front, "--dataplane", name.partition("-")[2]))
    if name == "front-armed":
        return Row(name, port, attach_armed(*bypass))
    if name == "in-place-idle":
        own = servers.in_place_idle
        return Row(name, own, attach("--https", own, "--listen", own))
    if name == "in-place-armed":
        own = servers.in_place_armed
        return Row(name, own, attach("--https", own, "--listen", own, "--arm", "always", "--inspect", "watch"))
    if name == "in-place-steered":
        own = servers.in_place_steered
        return Row(name, own, attach("--https", own, "--listen", own, "--arm", "always", "--inspect", "steer"))
    sys.exit(f"no row {name}: there are {', '.join(ALL)}")


def start(names, first_port, servers, directory):
    rows = []
    for port, name in enumerate(names, first_port):
        rows.append(start_row(name, port, servers, directory))
        wait_port(("127.0.0.1", rows[-1].port))
    return rows
