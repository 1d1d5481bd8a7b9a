# SPDX-License-Identifier: BSD-2-Clause
"""
README.md, docs/ and the manual: alpnbpf accepts each of its commands in them, and their configuration file; it prints the
output shown; and the web servers of docs/in-front.md, configured as described there, serve what is described there.
docs/moving.md: test_moving.py.
"""
import glob
import os
import re
import shlex
import subprocess

import pytest

from children import wait_port
from control import command, name_of, status
from hellos import acme_hello
from in_place import armed
from router import BINARY, ROOT
from services import need, write_text
from visitors import NAME
from waiting import wait_until
from web_servers import APACHE

MANUAL = os.path.join(ROOT, "tools", "man", "alpnbpf.8.scd")
PAGES = [os.path.join(ROOT, "README.md"), *sorted(glob.glob(os.path.join(ROOT, "docs", "*.md"))), MANUAL]
COMMANDS = ("attach", "check", "status", "sessions", "trace", "reload", "detach", "inspect")
CONFIG = os.path.join(ROOT, "tools", "alpnbpf.conf")


def text_of(path):
    with open(path) as file:
        return file.read()


def blocks(path):
    """Code: fenced, indented by four blanks, or in a line."""
    text = text_of(path)
    fenced = re.findall(r"^```[^\n]*\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return fenced + re.findall(r"^ {4}(?=alpnbpf )(.*)$", text, re.MULTILINE) + re.findall(r"`((?:sudo )?alpnbpf [^`\n]*)`", text)


def commands(path):
    """The words of each `alpnbpf COMMAND ...`, whatever runs it; what is only hinted at (...) is not one."""
    for block in blocks(path):
        for line in re.sub(r"\\\n\s*", "", block).splitlines():
            found = re.search(rf"(?<![\w/.-])alpnbpf ((?:{'|'.join(COMMANDS)})\b.*)", re.sub(r" +# .*", "", line))
            words = shlex.split(found.group(1)) if found and "..." not in line else []
            if words and words not in (["attach"], ["check"]):  # the name of the command
                yield words


EVERY = [(os.path.basename(path), words) for path in PAGES for words in commands(path)]


def test_there_are_some():
    assert {words[0] for _, words in EVERY} == set(COMMANDS)
    assert len(EVERY) > 30


@pytest.mark.parametrize("page,words", EVERY, ids=lambda part: part if isinstance(part, str) else " ".join(part)[:60])
def test_commands(page, words):
    """Right usage: exit code 2 tells that it is not. Instead of attach, check, which takes the same and ends."""
    if "--" in words:
        words = words[:words.index("--")]
    # Names that do not resolve here, and the file that exists only after an installation.
    words = [re.sub(r"^[\w-]+(\.[\w-]+)*\.(com|org|svc):", "192.0.2.1:", word) for word in words]
    words = [CONFIG if word == "/etc/alpnbpf/alpnbpf.conf" else word for word in words]
    arguments = [BINARY, "check" if words[0] == "attach" else words[0], *words[1:]]
    result = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60)
    assert result.returncode in (0, 1), result.stderr


def test_configuration_file(tmp_path):
    """That of the manual."""
    block = next(block for block in blocks(MANUAL) if "acme = " in block)
    result = subprocess.run([BINARY, "check", "--config", write_text(tmp_path / "conf", block)], capture_output=True, text=True)
    assert result.returncode in (0, 1) and "route-1" in result.stdout, result.stderr


def shown(start):
    """The lines below `$ sudo alpnbpf ...` of docs/OPERATIONS.md, up to "...", without what differs from one run to the next."""
    page = os.path.join(ROOT, "docs", "OPERATIONS.md")
    block = next(block for block in blocks(page) if block.startswith(f"$ sudo alpnbpf {start}"))
    return masked(block.replace("www.example.com", NAME).split("\n...")[0].split("\n", 1)[1])


def masked(text):
    return [re.sub(r"\d[\w.:-]*", "N", line) for line in text.strip().splitlines()]


def test_output_of_check(ground):
    assert masked(command("check", "--acme", "10443", "--https", "443")[1]) == shown("check")


def test_output_of_status_and_trace(ground):
    router = ground.attach(inspect="watch", plane="auto")
    lines = shown("status")
    with armed(router) as acme:
        assert masked(command("status", "--name", name_of(router))[1])[:len(lines)] == lines
        trace = ground.lab.child(BINARY, "trace", "--name", name_of(router))
        wait_until(lambda: status(router)["watchers"] == 1, 5, "the watcher")
        client = ground.lab.connect((ground.server(), 443), namespace=ground.veth.namespace)
        client.send(acme_hello())
        acme.accept()
        wait_until(trace.lines, 5, "a line of trace")
        assert masked(trace.lines()[0]) == shown("trace")


def after(language, header=False):
    """The lines of docs/in-front.md for a web server: those that follow `# after`."""
    block, = re.findall(rf"^```{language}\n(.*?)^```$", text_of(os.path.join(ROOT, "docs", "in-front.md")), re.MULTILINE | re.DOTALL)
    parts = re.split(r"^# (after.*)$\n", block, flags=re.MULTILINE)
    return parts[4 if header else 2]


def fetch(path, authority, *options):
    curl = [need("curl"), "--silent", "--show-error", "--cacert", authority.file, "--interface", "127.0.0.2", "--resolve",
               f"{NAME}:443:127.0.0.1", *options, f"https://{NAME}{path}"]
    result = subprocess.run(curl, capture_output=True, text=True, timeout=30)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def serve(lab, authority, server, header):
    """The web server on 8443, with the lines of the page."""
    certificate, key = authority.server(NAME)
    directory = lab.directory / server
    directory.mkdir()
    (directory / "folder").mkdir()
    lines = after(server, header).replace("/etc/haproxy/site.pem", certificate.replace(".pem", ".both"))
    if server == "nginx":
        config = f"""daemon off; worker_processes 1; user root; pid {directory}/pid; error_log stderr error; events {{ }}
            http {{ access_log off; root {directory}; server {{ {lines} ssl_certificate {certificate}; ssl_certificate_key {key};
            location = /client {{ default_type text/plain; return 200 $remote_addr; }} }} }}"""
        server_command = [need("nginx"), "-c", write_text(directory / "conf", config), "-p", str(directory)]
    elif server == "apache":
        (directory / "client").write_text('<!--#echo var="REMOTE_ADDR" -->')
        modules = "".join(f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n" for name in ("remoteip", "dir"))
        listen, host = lines.split("\n", 1)
        config = APACHE.format(dir=directory, certificate=certificate, key=key, listen=modules + listen, port=8443)
        config = config.replace("<VirtualHost *:8443>\n", host)
        server_command = [need("apache2"), "-f", write_text(directory / "conf", config), "-DFOREGROUND"]
    else:
        config = f"""defaults
            mode http
            timeout connect 5s
            timeout client 30s
            timeout server 30s
        frontend web
            {lines}
            http-request return status 200 content-type text/plain lf-string %[src]
        """
        server_command = [need("haproxy"), "-db", "-f", write_text(directory / "conf", re.sub(r"^ {8}", "", config, flags=re.MULTILINE))]
    wait_port(("127.0.0.1", 8443), lab.child(*server_command, name=server))


@pytest.mark.parametrize("header", [False, True], ids=["bypass", "header"])
@pytest.mark.parametrize("server", ["nginx", "apache", "haproxy"])
def test_web_servers_in_front(lab, authority, server, header):
    """It sees the client's address; if its redirects contain a port, the page warns of that."""
    serve(lab, authority, server, header)
    lab.router(None, None, listen=(), command_line=[
        BINARY, "attach", "--acme", "10443", "--https", "127.0.0.1:8443", *(["--proxy-protocol", "https=v2"] if header else [])])
    assert fetch("/client", authority) == "127.0.0.2"
    if server == "apache":
        assert fetch("/folder", authority, "--output", "/dev/null", "--write-out", "%{redirect_url}") == f"https://{NAME}/folder/"
