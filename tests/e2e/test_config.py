# SPDX-License-Identifier: BSD-2-Clause
"""The configuration file, as attach and check take it. What its lines mean is in tests/unit/test_config_file.c."""
import pytest

from control import command
from hellos import acme_hello, https_hello
from router import BINARY
from sockets import free_port


@pytest.fixture
def config(lab, tmp_path):
    """(its path, the backends it names, the port it listens on)"""
    acme, https = lab.backends()
    port = free_port()
    path = tmp_path / "alpnbpf.conf"
    path.write_text(f"# a comment\nacme = {acme.endpoint}\nhttps = {https.endpoint}\nlisten = 127.0.0.1:{port}\n"
                    "no-bypass\nlog-level = debug  # sessions, too\n")
    return path, acme, https, port


def attach(lab, path, port, *more):
    return lab.router("", "", listen=[("127.0.0.1", port)],
                      command_line=[BINARY, "attach", "--config", str(path), *more])


def test_attach(lab, config):
    path, acme, https, port = config
    router = attach(lab, path, port)
    for hello, backend in ((https_hello(), https), (acme_hello(), acme)):
        client, server = lab.session(router, hello, backend)
        server.close()
        assert client.read_to_end() == b""
        client.close()
        router.closed(client)


def test_the_command_line_comes_first(lab, config):
    path, _, https, _ = config
    port = free_port()
    router = attach(lab, path, port, "--listen", f"127.0.0.1:{port}")
    client, server = lab.session(router, https_hello(), https)
    assert router.find(rf"ready: listening on 127\.0\.0\.1:{port}; ")
    server.close()
    client.close()


def test_check(config):
    path, *_ = config
    code, out, _ = command("check", "--config", path)
    assert code == 0 and "0 failed" in out
    with open(path, "a") as file:
        file.write("\nworkers = none\n")
    for more in ([], ["--workers", "2"]):  # a mistake is one, whatever replaces it
        code, out, error = command("check", "--config", path, *more)
        assert code == 2 and out == ""
        assert f"{path}:8: workers none: not a number from 1 to 256" in error
    code, _, error = command("check", "--config", "/nowhere/alpnbpf.conf")
    assert code == 2 and "--config /nowhere/alpnbpf.conf: No such file or directory" in error
