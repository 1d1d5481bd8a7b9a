# SPDX-License-Identifier: BSD-2-Clause
"""
The rows: a direct connection, the peers, and alpnbpf in its modes. A row runs only while it is measured: its BPF programs on
the cgroup or the network namespace would add to the cost of the others.
"""
import contextlib
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
ACME, RESPONDER = 10443, 10444  # a process listens on the second while an armed row is measured
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


class Row:
    """A program between client and server: its port, and its processes, whose memory is measured."""

    def __init__(self, name, port, begin=None):
        self.name, self.port, self._begin, self.child, self._end = name, port, begin, None, contextlib.ExitStack()

    def __enter__(self):
        if self._begin:
            self.child = self._begin(self._end)
        wait_port(("127.0.0.1", self.port), self.child)
        return self

    def __exit__(self, *failure):
        self._end.close()
        self.child = None

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
    """The server's port behind the routers, and the one served in place."""

    def __init__(self, first):
        self.ports = (self.backend, self.in_place) = range(first, first + 2)
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


def program(*command):
    """Returns a function that starts the program, and stops it when the row's exit stack is closed."""
    def begin(end):
        child = Child(*command)
        end.callback(child.stop)
        return child
    return begin


def attach(*options, acme=ACME):
    def begin(end):
        child = program(ALPNBPF, "attach", "--acme", str(acme), *map(str, options))(end)
        child.wait_line(r"\bready\b", 15)
        return child
    return begin


def attach_armed(*options):
    """A process listens on the ACME port meanwhile."""
    def begin(end):
        end.enter_context(socket.create_server(("127.0.0.1", RESPONDER)))
        child = attach(*options, "--inspect", "watch", acme=RESPONDER)(end)
        child.wait_line(r"\barmed: ", 15)
        return child
    return begin


def make(name, port, servers, directory):
    bypass = ["--https", servers.backend, "--listen", f"0.0.0.0:{port}", "--listen", f"[::]:{port}"]
    front = [*bypass, "--no-bypass"]
    in_place = ["--https", servers.in_place, "--listen", servers.in_place]
    if name == "direct":
        return Row(name, servers.backend)
    if name == "nginx":
        config = write(f"{directory}/stream-{port}.conf", NGINX.format(dir=directory, port=port, backend=servers.backend))
        return Row(name, port, program("/usr/sbin/nginx", "-c", config, "-p", directory))
    if name == "haproxy":
        config = write(f"{directory}/haproxy-{port}.cfg", HAPROXY.format(port=port, backend=servers.backend))
        return Row(name, port, program("/usr/sbin/haproxy", "-db", "-f", config))
    if name == "alpnbpf":
        return Row(name, port, attach(*front))
    if name in ("alpnbpf-sockmap", "alpnbpf-user"):
        return Row(name, port, attach(*front, "--dataplane", name.partition("-")[2]))
    if name == "front-armed":
        return Row(name, port, attach_armed(*bypass))
    if name == "in-place-idle":
        return Row(name, servers.in_place, attach(*in_place))
    if name == "in-place-armed":
        return Row(name, servers.in_place, attach_armed(*in_place))
    if name == "in-place-steered":
        return Row(name, servers.in_place, attach(*in_place, "--arm", "always", "--inspect", "steer"))
    sys.exit(f"unknown row {name}; rows: {', '.join(ALL)}")


def make_all(names, first_port, servers, directory):
    return [make(name, port, servers, directory) for port, name in enumerate(names, first_port)]
