# SPDX-License-Identifier: BSD-2-Clause
"""
Real web servers on a given port, on every IPv4 and IPv6 address, with usual configurations that know nothing of alpnbpf.
Each answers /client with the address it sees, and logs it.
"""
import re

from children import wait_port
from netns import run
from services import need, write_text
from waiting import wait_until

NGINX = """
daemon off; worker_processes 2; user root; pid {dir}/nginx.pid; error_log stderr {log_level};
events {{ worker_connections 4096; }}
http {{
    log_format client "client=$remote_addr port=$remote_port"; access_log {dir}/access.log client; default_type text/plain;
    client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fastcgi;
    uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
    ssl_certificate {certificate}; ssl_certificate_key {key};
    server {{
        {listen}
        location = /client {{ return 200 "$remote_addr\\n"; }}
        location = /server {{ return 200 "$server_addr $server_port\\n"; }}
    }}
}}
"""

APACHE = """
ServerRoot {dir}
ServerName www.example.test
PidFile {dir}/apache.pid
DocumentRoot {dir}
ErrorLog {dir}/error.log
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
LoadModule include_module /usr/lib/apache2/modules/mod_include.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule setenvif_module /usr/lib/apache2/modules/mod_setenvif.so
TypesConfig /dev/null
LogFormat "client=%a port=%{{remote}}p" client
CustomLog {dir}/access.log client
{listen}
<VirtualHost *:{port}>
    SSLEngine on
    SSLCertificateFile {certificate}
    SSLCertificateKeyFile {key}
    <Directory {dir}>
        Require all granted
        Options +Includes
        SetOutputFilter INCLUDES
    </Directory>
</VirtualHost>
"""

HAPROXY = """
global
    maxconn 1000
    log stdout format raw local0
defaults
    mode http
    log global
    log-format "client=%ci port=%cp"
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend web
    {listen}
    http-request return status 200 content-type text/plain lf-string "%[src]\\n" if {{ path /client }}
    http-request return status 200 content-type text/plain lf-string "%[dst] %[dst_port]\\n"
"""


class WebServer:
    """One of them, running. `clients()` are the addresses in its access log."""

    def __init__(self, lab, kind, port, authority, hosts=("0.0.0.0", "[::]"), dual=False, wait=True, parameters="",
                 log_level="error"):
        self.lab, self.kind, self.port = lab, kind, port
        self.parameters = parameters + (" ipv6only=off" if dual else "")  # of nginx: of each `listen`
        self.directory = lab.directory / f"{kind}-{port}"
        self.directory.mkdir(parents=True, exist_ok=True)
        certificate, key = authority.server("www.example.test", "localhost", "127.0.0.1", "::1")
        values = {"dir": self.directory, "port": port, "certificate": certificate, "key": key,
                  "log_level": log_level}
        prepare = {"nginx": self._nginx, "apache": self._apache, "haproxy": self._haproxy}[kind]
        self.command = prepare(values, hosts)
        self.child = None
        if wait:
            self.start()

    def _nginx(self, values, hosts):
        listen = "\n".join(f"listen {host}:{self.port} ssl {self.parameters};" for host in hosts)
        config = write_text(self.directory / "nginx.conf", NGINX.format(listen=listen, **values))
        return [need("nginx"), "-c", config, "-p", str(self.directory)]

    def _apache(self, values, hosts):
        listen = "\n".join(f"Listen {host}:{self.port}" for host in hosts)
        (self.directory / "client").write_text('<!--#echo var="REMOTE_ADDR" -->\n')
        config = write_text(self.directory / "apache.conf", APACHE.format(listen=listen, **values))
        return [need("apache2"), "-f", config, "-DFOREGROUND"]

    def _haproxy(self, values, hosts):
        both = values["certificate"].replace(".pem", ".both")
        # A bare [::] of HAProxy would take IPv4 as well.
        listen = "\n    ".join(f"bind {host.strip('[]')}:{self.port} ssl crt {both}" +
                               (" v6only" if ":" in host else "") for host in hosts)
        return [need("haproxy"), "-db", "-f", write_text(self.directory / "haproxy.cfg",
                                                         HAPROXY.format(listen=listen, **values))]

    def start(self):
        self.child = self.lab.child(*self.command, name=self.kind)
        wait_port(("127.0.0.1", self.port), self.child)
        # This nginx, and not an earlier one that is about to exit: nginx retries for seconds.
        wait_until(lambda: f"pid={self.child.pid}," in run("ss", "-Htlnp", f"sport = :{self.port}"), 10,
                   f"{self.kind} on port {self.port}")

    def stop(self):
        self.child.stop()

    def log_lines(self):
        if self.kind == "haproxy":
            return self.child.lines()
        log = self.directory / "access.log"
        return log.read_text().splitlines() if log.exists() else []

    def errors(self, start=0):
        """What nginx has logged of connections, from line `start` of its output on: its level and its words."""
        lines = (re.search(r"\[(\w+)\] \d+#\d+: \*\d+ (.*?)(, client: .*)?$", line) for line in self.child.lines()[start:])
        return [f"{line.group(1)}: {line.group(2)}" for line in lines if line]

    def clients(self, start=0):
        """(address, port) of each request that was logged, from line `start` on."""
        pairs = (line.split() for line in self.log_lines()[start:] if line.startswith("client="))
        return [(address.split("=")[1].removeprefix("::ffff:"), int(port.split("=")[1])) for address, port in pairs]
