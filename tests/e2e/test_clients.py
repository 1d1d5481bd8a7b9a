# SPDX-License-Identifier: BSD-2-Clause
"""
Real clients reach a real nginx through the program on :443: openssl, curl, GnuTLS, node, chromium. Downloads of clients that
keep up stay in the kernel.
"""
import re
import shutil
import subprocess

import pytest

from conftest import PLANES
from pattern import Pattern
from services import FILES, need, start_nginx, write_text
from sockets import free_port
from waiting import SCALE

NAME = "www.example.test"
REQUEST = f"GET /hello HTTP/1.1\r\nHost: {NAME}\r\nConnection: close\r\n\r\n"


class Site:
    def __init__(self, lab, authority, plane):
        self.directory, self.authority = lab.directory, authority
        port = free_port()
        self.nginx = start_nginx(lab, port, authority)
        self.uploads = lab.directory / f"nginx-{port}" / "uploads"
        # The defaults: 0.0.0.0:443 and [::]:443.
        self.router = lab.router(lab.listener(), port, listen=(), plane=plane)

    def curl(self, url, *options, family=4):
        """(stdout, local port of the connection)."""
        address = "127.0.0.1" if family == 4 else "[::1]"
        output = run(need("curl"), "--silent", "--show-error", "--fail", "--cacert", self.authority.file, "--resolve",
                     f"{NAME}:443:{address}", "--write-out", "\nlocal_port=%{local_port}", *options,
                     f"https://{NAME}{url}")
        body, _, port = output.rpartition("\nlocal_port=")
        return body, int(port)


def run(*command, stdin="", timeout=30):
    result = subprocess.run(command, input=stdin, capture_output=True, text=True, timeout=timeout * SCALE)
    assert result.returncode == 0, f"{command[0]} ended with {result.returncode}:\n{result.stdout}\n{result.stderr}"
    return result.stdout


@pytest.fixture(scope="module", params=PLANES)
def site(request, module_lab, authority):
    site = Site(module_lab, authority, request.param)
    yield site
    module_lab.finish(site.router)
    site.nginx.stop()


@pytest.mark.parametrize("family", [4, 6])
@pytest.mark.parametrize("version,protocol", [("--http1.1", "HTTP/1.1"), ("--http2", "HTTP/2.0")])
def test_curl(site, family, version, protocol):
    body, port = site.curl("/hello", version, family=family)
    assert body == f"protocol={protocol} name={NAME}\n"
    closed = site.router.closed(port)
    # curl may end with data unread (TLS close_notify), so the end of either kind is right.
    assert closed.route == "https" and closed.cause in ("done", "client_reset")


@pytest.mark.parametrize("tls", ["-tls1_2", "-tls1_3"])
@pytest.mark.parametrize("protocol", ["http/1.1", None])
def test_openssl(site, tls, protocol):
    output = run(need("openssl"), "s_client", "-connect", "127.0.0.1:443", "-servername", NAME, "-CAfile",
                 site.authority.file, "-verify_return_error", "-verify_hostname", NAME, tls, "-ign_eof",
                 *(["-alpn", protocol] if protocol else []), stdin=REQUEST)
    assert f"protocol=HTTP/1.1 name={NAME}" in output
    assert (f"ALPN protocol: {protocol}" if protocol else "No ALPN negotiated") in output
    assert "Verification: OK" in output


def test_openssl_resumes_a_session(site):
    """The hello of a resumption carries a ticket and a binder behind the usual extensions."""
    ticket = str(site.directory / "ticket.pem")
    base = [need("openssl"), "s_client", "-connect", "127.0.0.1:443", "-servername", NAME, "-CAfile",
            site.authority.file, "-verify_return_error", "-alpn", "http/1.1", "-ign_eof"]
    run(*base, "-sess_out", ticket, stdin=REQUEST)
    output = run(*base, "-sess_in", ticket, stdin=REQUEST)
    assert "Reused, TLS" in output and f"protocol=HTTP/1.1 name={NAME}" in output


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_gnutls(site, address):
    output = run(need("gnutls-cli"), "--x509cafile", site.authority.file, "--sni-hostname", NAME, "--verify-hostname",
                 NAME, "--alpn", "http/1.1", "--port", "443", address, stdin=REQUEST)
    assert f"protocol=HTTP/1.1 name={NAME}" in output
    assert re.search(r"Application protocol: http/1\.1", output)


NODE = """
const fs = require('fs'), https = require('https'), http2 = require('http2');
const ca = fs.readFileSync(process.argv[2]), host = process.argv[3], servername = process.argv[4];
https.get({ host, servername, ca, path: '/hello', agent: false, headers: { host: servername } }, response => {
  response.setEncoding('utf8');
  response.on('data', data => process.stdout.write('https ' + data));
});
const session = http2.connect('https://' + (host.includes(':') ? '[' + host + ']' : host), { ca, servername });
const request = session.request({ ':path': '/hello', ':authority': servername });
request.setEncoding('utf8');
request.on('data', data => process.stdout.write('http2 ' + data));
request.on('end', () => session.close());
request.end();
"""


@pytest.mark.parametrize("address", ["127.0.0.1", "::1"])
def test_node(site, address):
    script = write_text(site.directory / "client.js", NODE)
    output = run(need("node"), script, site.authority.file, address, NAME)
    assert f"https protocol=HTTP/1.1 name={NAME}" in output
    assert f"http2 protocol=HTTP/2.0 name={NAME}" in output


def test_chromium(site, tmp_path):
    """Its hello has GREASE, shuffled extensions and, lately, a post-quantum key share."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser")
    if not chromium:
        pytest.skip("chromium is not installed")
    output = run(chromium, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--dump-dom",
                 "--ignore-certificate-errors", f"--user-data-dir={tmp_path}", "--no-first-run",
                 f"--host-resolver-rules=MAP {NAME} 127.0.0.1", f"https://{NAME}/hello", timeout=60)
    assert f"protocol=HTTP/2.0 name={NAME}" in output


@pytest.mark.parametrize("times", [1, 64])
def test_download_stays_in_the_kernel(site, times, tmp_path):
    """
    A client that keeps up costs user space nothing, from the hello to the last byte. Each answer is less than what a
    session may hold, and the next is asked for when all of it is there: it does keep up, whatever else the machine does.
    """
    _, port = site.curl(f"/half?[1-{times}]", "--http1.1", "--output", str(tmp_path / "#1"))
    expected = Pattern("half").bytes(0, FILES["half"])
    assert all((tmp_path / str(number)).read_bytes() == expected for number in range(1, times + 1))
    closed = site.router.closed(port)
    assert closed.down > times * FILES["half"]
    if "sockmap" in str(site.router.process.args):
        assert (closed.down_user, closed.up_user) == (0, 0)
    else:
        assert (closed.down_kernel, closed.up_kernel) == (0, 0)


def test_large_download_and_upload(site, tmp_path):
    source, target = tmp_path / "up", tmp_path / "down"
    source.write_bytes(Pattern("upload").bytes(0, FILES["large"]))
    site.curl("/large", "--http2", "--output", str(target))
    assert target.read_bytes() == Pattern("large").bytes(0, FILES["large"])
    site.curl("/upload/up", "--http1.1", "--upload-file", str(source))
    assert (site.uploads / "up").read_bytes() == source.read_bytes()
    (site.uploads / "up").unlink()


def test_many_small_requests_one_after_the_other(site):
    """Each on a new connection; none fails."""
    urls = [f"https://{NAME}/hello"] * 60
    output = run(need("curl"), "--silent", "--show-error", "--fail", "--cacert", site.authority.file, "--resolve",
                 f"{NAME}:443:127.0.0.1", "--header", "Connection: close", "--http1.1", *urls)
    assert output.count(f"protocol=HTTP/1.1 name={NAME}") == 60
