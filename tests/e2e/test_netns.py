# SPDX-License-Identifier: BSD-2-Clause
"""
`--netns`: alpnbpf here, the web server and the ACME client in another network namespace, as that of a container; and what is
said where a container's port is published instead.
"""
import os
import re
import shutil

import pytest

from control import command, status
from hellos import acme_hello, https_hello
from in_place import ACME
from netns import run
from router import BINARY
from sockets import Listener, connect
from waiting import wait_until
from watched import H, exchange

NAME = "alpnbpf-e2e"
HTTPS = https_hello()


@pytest.fixture(params=["pid", "path", "name"])
def inside(request, lab, veth):
    """The value of --netns for the namespace behind the veth pair."""
    process = lab.child(*veth.namespace.prefix(), "sleep", "1000")
    wait_until(lambda: os.readlink(f"/proc/{process.pid}/exe").endswith("sleep"), 5, "in the namespace")
    if request.param != "name":
        yield str(process.pid) if request.param == "pid" else f"/proc/{process.pid}/ns/net"
        return
    run("ip", "netns", "attach", NAME, str(process.pid))
    yield NAME
    run("ip", "netns", "delete", NAME)


def listener(lab, veth, port):
    with veth.namespace.inside():
        lab.listeners.append(Listener("0.0.0.0", port=port))
    return lab.listeners[-1]


def called(lab, veth, hello, server):
    """A client from here that is served there by this listener, and its end there."""
    client = connect((veth.client4, 443)).send(hello)
    lab.peers.append(client)
    peer = server.accept()
    assert peer.read(len(hello)) == hello
    return client, peer


def test_served_there(lab, veth, inside):
    """Armed by a listener of that namespace; its web server's visitors are its own; the control socket is here."""
    web = listener(lab, veth, 443)
    router = lab.router(ACME, 443, "--inspect", "watch", "--netns", inside, bypass=True, listen=[("0.0.0.0", 443)])
    acme = listener(lab, veth, ACME)
    router.wait_line("armed: the ACME client listens on")
    visitor, server = called(lab, veth, HTTPS, web)
    assert server.sock.getpeername() == visitor.local
    exchange(visitor, server)
    exchange(*called(lab, veth, acme_hello(), acme))
    assert status(router)["events"]["takeovers"] == 1
    acme.close()
    router.wait_line("disarmed")


@pytest.mark.parametrize("which, why", [
    ("4999999", "there is no process 4999999"), ("no-such-name", "/run/netns/no-such-name does not exist; `ip netns` lists"),
    ("/etc/passwd", "/etc/passwd is not a network namespace"), ("", "has an empty value")])
def test_what_is_no_namespace(which, why):
    for name in ("attach", "check"):
        code, _, said = command(name, "--acme", "10443", "--https", "443", "--netns", which)
        assert code in (1, 2) and why in said, said
    assert command("check", "--netns", which or "x", "--help")[0] == 0


def test_from_a_file(lab, veth, inside, tmp_path):
    """Addresses of the file, too, are those of that namespace: the one to listen on exists only there."""
    (tmp_path / "alpnbpf.conf").write_text(f"acme = {ACME}\nhttps = 8443\nlisten = {veth.client4}:443\nnetns = {inside}\n")
    web = listener(lab, veth, 8443)
    router = lab.router(ACME, 8443, command_line=[BINARY, "attach", "--config", str(tmp_path / "alpnbpf.conf"),
                                                  "--dataplane", "user"])
    exchange(*called(lab, veth, HTTPS, web))
    router.finish()


@pytest.mark.parametrize("engine", ["docker-proxy", "conmon"])
def test_a_published_port(lab, tmp_path, engine):
    """What a container engine keeps the port with is not the web server, and the command to use is said."""
    shutil.copy("/usr/bin/python3", tmp_path / engine)
    lab.child(str(tmp_path / engine), "-c", "import socket, time; s = socket.create_server(('0.0.0.0', 443)); print('up', flush=True); "
              "time.sleep(1000)").wait_line("up")
    said = rf"{engine} \(pid \d+\) has port 443: a container's port, .* --netns \"\$\(docker inspect -f '\{{\{{\.State\.Pid\}}\}}'"
    _, found, _ = command("check", "--acme", "10443", "--https", "443")
    assert re.search("warn .*" + said, found), found
    router = lab.router(ACME, 443, listen=(), bypass=True)
    assert router.find("warn " + said), router.text()
