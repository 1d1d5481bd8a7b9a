# SPDX-License-Identifier: BSD-2-Clause
"""`make static`: small, without shared libraries, and complete; host names without glibc's modules."""
import os
import subprocess

import pytest

from children import wait_port
from hellos import acme_hello, https_hello
from router import ROOT
from services import need
from sockets import free_port
from static_build import build_static, root_with_nothing_but_it

TWO_MEBIBYTES = 2 << 20


@pytest.fixture(scope="module")
def binary():
    return build_static()


def output(*command):
    return subprocess.run(command, capture_output=True, text=True).stdout


def test_it_is_small_static_and_stripped(binary):
    assert os.path.getsize(binary) <= TWO_MEBIBYTES
    kind = output("file", binary)
    assert "static" in kind and ", stripped" in kind and "dynamically" not in kind, kind
    headers = output("readelf", "--wide", "--program-headers", "--dynamic", binary)
    assert "INTERP" not in headers and "(NEEDED)" not in headers
    assert "GNU_STACK" in headers and "RWE" not in headers
    with open(binary, "rb") as file:
        assert ROOT.encode() not in file.read(), "the folder of the build is in it"


def test_one_session_each_way(lab, plane, binary):
    acme, https = lab.backends()
    port = free_port()
    router = lab.router(acme, https, listen=[("127.0.0.1", port)], command_line=[
        binary, "attach", "--acme", acme.endpoint, "--https", https.endpoint, "--listen", f"127.0.0.1:{port}",
        "--dataplane", plane, "--log-level", "debug", "--no-bypass"])
    for hello, backend in ((https_hello(), https), (acme_hello(), acme)):
        client, server = lab.session(router, hello, backend)
        server.send(b"answer").close()
        assert client.read_to_end() == b"answer"
        client.close()
    assert {session.route for session in [router.closed(peer) for peer in lab.peers]} == {"https", "acme"}


@pytest.mark.parametrize("nsswitch", [None, "hosts: mdns4_minimal [NOTFOUND=return] resolve files dns\n"])
def test_names_of_hosts_and_dns(lab, nsswitch):
    """In a root with nothing but it: no glibc, no modules; also where nsswitch.conf asks for some."""
    root = root_with_nothing_but_it(lab.directory / "root")
    (root / "etc").mkdir()
    (root / "etc/hosts").write_text("127.0.0.1 localhost\n::1 localhost\n127.0.0.1 web\n")
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    if nsswitch:
        (root / "etc/nsswitch.conf").write_text(nsswitch)
    management = free_port()
    dns = lab.child(need("pebble-challtestsrv"), "-dns01", "127.0.0.1:53", "-http01", "", "-https01", "", "-tlsalpn01", "",
                    "-management", f"127.0.0.1:{management}", "-defaultIPv4", "127.0.0.1", "-defaultIPv6", "")
    wait_port(("127.0.0.1", management), dns)
    acme, https = lab.backends()
    port = free_port()
    router = lab.router(acme, https, listen=[("127.0.0.1", port)], command_line=[
        "unshare", "--root", str(root), "/alpnbpf", "attach", "--acme", f"responder.example.test:{acme.port}",
        "--https", f"web:{https.port}", "--listen", f"127.0.0.1:{port}", "--log-level", "debug", "--no-bypass"])
    for hello, backend in ((https_hello(), https), (acme_hello(), acme)):
        lab.session(router, hello, backend)
