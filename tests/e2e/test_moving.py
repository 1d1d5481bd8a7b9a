# SPDX-License-Identifier: BSD-2-Clause
"""
docs/moving.md: runs the configurations and commands of the page. Each old program works with its configuration; alpnbpf does
the same with the page's commands; and the old program can be restored.
"""
import os
import re
import shlex
import signal
import ssl
import subprocess

import pytest

import hellos
from hellos import ACME, acme_hello, hello, https_hello
from proxy_header import read_v1, read_v2
from router import BINARY, ROOT
from services import need, write_text
from visitors import NAME
from waiting import wait_until

with open(os.path.join(ROOT, "docs", "moving.md")) as page:
    CHAPTERS = dict(re.findall(r"^## From (\S+).*?$(.*?)(?=^## )", page.read(), re.MULTILINE | re.DOTALL))

NGINX = """
load_module /usr/lib/nginx/modules/ngx_stream_module.so;
daemon off; worker_processes 1; user root; pid {dir}/nginx.pid; error_log stderr error;
events {{ }}
{snippet}
"""


def snippets(chapter, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", CHAPTERS[chapter], re.MULTILINE | re.DOTALL)


def commands(chapter, program):
    return [shlex.split(line) for block in snippets(chapter, "sh") for line in block.splitlines() if line.startswith(program)]


class Ground:
    """The ACME client on 10443 and the web server, which report the connections they get."""

    def __init__(self, lab, acme=True):
        self.lab = lab
        self.acme = lab.listener(host="127.0.0.1", port=10443) if acme else None
        self.shows = False  # whether the web server sees the client's own address

    def web(self, port):
        return self.lab.listener(host="127.0.0.1", port=port)

    def passes(self, data, backend, header=None):
        """A connection to port 443 that says `data` reaches this backend, behind this PROXY header; and an answer comes back."""
        client = self.lab.connect(("127.0.0.1", 443))
        client.send(data)
        server = backend.accept()
        if header:
            assert header(server).source == client.local
        if self.shows and backend is not self.acme:
            assert server.sock.getpeername() == client.local
        assert server.read(len(data)) == data
        server.send(b"answer").close()
        assert client.read_to_end() == b"answer"
        client.close()

    def old(self, chapter):
        """The program of the page, with its configuration."""
        directory = self.lab.directory
        if chapter == "nginx":
            config = write_text(directory / "nginx.conf", NGINX.format(dir=directory, snippet=snippets(chapter, "nginx")[0]))
            command = [need("nginx"), "-p", str(directory), "-c", config]
            subprocess.run([*command, "-t"], check=True, capture_output=True)
        else:
            config = write_text(directory / "haproxy.cfg", snippets(chapter, "haproxy")[0])
            subprocess.run([need("haproxy"), "-c", "-f", config], check=True, capture_output=True)
            command = [need("haproxy"), "-db", "-f", config]
        child = self.lab.child(*command)
        wait_until(lambda: "0A" in states(443) or not child.running(), 10, "port 443")
        assert child.running(), child.text()
        return child

    def ualpn(self, words):
        return [need("ualpn"), *words[1:], "-s", self.lab.socket_path("ualpn.sock"), "-p", f"{self.lab.directory}/ualpn.pid"]

    def attach(self, words):
        self.shows = header_of(words) is None
        return self.lab.router(None, None, listen=(), command_line=[BINARY, *words[1:], "--log-level", "debug"])


def states(port):
    with open("/proc/self/net/tcp") as file:
        return {fields[3] for fields in map(str.split, file.readlines()[1:]) if int(fields[1].split(":")[1], 16) == port}


def header_of(words):
    return {None: None, "https=v1": read_v1, "https=v2": read_v2}[
        words[words.index("--proxy-protocol") + 1] if "--proxy-protocol" in words else None]


def split_by_place(chapter):
    front, place = commands(chapter, "alpnbpf attach")
    assert "127.0.0.1:8443" in front and "443" in place
    return front, place


@pytest.mark.parametrize("chapter", ["nginx", "HAProxy"])
def test_there_and_back(lab, chapter):
    ground = Ground(lab)
    web = ground.web(8443)
    front, _ = split_by_place(chapter)
    header = header_of(front)
    for _ in range(2):
        old = ground.old(chapter)
        ground.passes(https_hello(), web, header)
        ground.passes(acme_hello(), ground.acme)
        old.stop()
        router = ground.attach(front)
        ground.passes(https_hello(), web, header)
        ground.passes(acme_hello(), ground.acme)
        router.signal(signal.SIGTERM)
        assert router.wait() == 0
        router.ended, ground.shows = True, False


@pytest.mark.parametrize("chapter", ["nginx", "HAProxy"])
def test_in_place(lab, chapter):
    ground = Ground(lab)
    web = ground.web(443)
    ground.attach(split_by_place(chapter)[1])
    ground.passes(https_hello(), web)
    ground.passes(acme_hello(), ground.acme)


def test_nginx_matches_more(lab):
    """The row of the page about `\\b`: nginx sends it to the ACME client, alpnbpf does not."""
    ground = Ground(lab)
    web = ground.web(8443)
    other = hello(b"x-acme-tls/1")
    old = ground.old("nginx")
    ground.passes(other, ground.acme)
    old.stop()
    ground.attach(split_by_place("nginx")[0])
    ground.passes(other, web)


def test_haproxy_and_two_records(lab):
    """The row about several records: HAProxy takes it for HTTPS, alpnbpf reads it."""
    ground = Ground(lab)
    web = ground.web(8443)
    two = hellos.records(hellos.message(ACME), 64)
    old = ground.old("HAProxy")
    ground.passes(two, web, read_v2)
    old.stop()
    ground.attach(split_by_place("HAProxy")[0])
    ground.passes(two, ground.acme)


class Ualpn:
    """One with an authorization, and a validation of it as a CA does it."""

    def __init__(self, ground, words):
        self.ground = ground
        self.child = ground.lab.child(*ground.ualpn(words))
        # It listens before they are there, and closes what comes in between.
        wait_until(lambda: self.child.text().count("new worker starting") == 2, 10, "ualpn's workers")
        digest = "DEi0apzMOdMT2DAro57oIvn-wEzPiYcAYDh2Cvjra3I"
        result = subprocess.run(ground.ualpn(["ualpn"])[:3], input=f"auth {NAME} {digest}\n", capture_output=True, text=True)
        assert result.stdout.startswith("OK"), result

    def validates(self):
        context = ssl._create_unverified_context()
        context.set_alpn_protocols(["acme-tls/1"])
        client = self.ground.lab.connect(("127.0.0.1", 443))
        with context.wrap_socket(client.sock, server_hostname=NAME) as tls:
            return tls.selected_alpn_protocol() == "acme-tls/1"


def test_ualpn_replaced(lab):
    ground = Ground(lab, acme=False)
    web = ground.web(8443)
    front = commands("ualpn", "alpnbpf attach")[0]
    old = Ualpn(ground, commands("ualpn", "ualpn")[0])
    ground.passes(https_hello(), web, read_v1)
    assert old.validates()
    old.child.stop()
    ground.acme = lab.listener(host="127.0.0.1", port=10443)
    ground.attach(front)
    ground.passes(https_hello(), web, header_of(front))
    ground.passes(acme_hello(), ground.acme)


def test_ualpn_kept(lab):
    """Behind alpnbpf; a name it has no authorization for comes to the web server without a header, and does not come back."""
    ground = Ground(lab, acme=False)
    web = ground.web(8443)
    kept = Ualpn(ground, commands("ualpn", "ualpn")[1])
    router = ground.attach(commands("ualpn", "alpnbpf attach")[1])
    ground.passes(https_hello(), web)
    assert kept.validates()
    ground.shows = False  # it is ualpn's connection
    ground.passes(acme_hello().replace(NAME.encode(), NAME.encode().replace(b"www", b"new")), web)
    router.finish()
    assert router.totals()["takeovers"] == 2


def test_a_dead_responder(lab):
    """The row about an ACME client that is not listening."""
    ground = Ground(lab, acme=False)
    web = ground.web(8443)
    old = ground.old("nginx")
    client = lab.connect(("127.0.0.1", 443))
    client.send(acme_hello())
    assert client.read_to_end() == b""
    old.stop()
    ground.attach(split_by_place("nginx")[0])
    ground.passes(acme_hello(), web)
