# SPDX-License-Identifier: BSD-2-Clause
"""The command line: usage errors that name their option, `check` line by line, `inspect`, log formats, exit codes."""
import contextlib
import json
import os

import pytest

from control import UNPRIVILEGED, command as alpnbpf
from hello_cases import CASES
from hellos import acme_hello, https_hello, noise
from netns import Namespace, run
from sockets import free_port

USAGE, FAILED, DONE = 2, 1, 0


# Usage

BASE = ["--acme", "10443", "--https", "8443"]


@pytest.mark.parametrize("command", ["attach", "check"])
@pytest.mark.parametrize("arguments,named", [
    ([], "--acme"),
    (["--acme", "10443"], "--https"),
    (["--https", "8443"], "--acme"),
    (["--acme", "0", "--https", "8443"], "--acme"),
    (["--acme", "65536", "--https", "8443"], "--acme"),
    (["--acme", "10443", "--https", "-1"], "--https"),
    (["--acme", "10443", "--https", "8443x"], "--https"),
    (["--acme", "10443", "--https", "[::1:8443"], "--https"),
    (["--acme", "10443", "--https", "unix:"], "--https"),
    (["--acme", "10443", "--https", "127.0.0.1:"], "--https"),
    (["--acme", "443", "--https", "8443"], "--acme"),
    (["--acme", "10443", "--https", "443", "--client-address", "proxy-v2"], "--client-address"),
    ([*BASE, "--listen", "0.0.0.0:0"], "--listen"),
    ([*BASE, "--listen", "0.0.0.0:65536"], "--listen"),
    ([*BASE, "--listen", "300.1.1.1:443"], "--listen"),
    ([*BASE, "--arm", "sometimes"], "--arm"),
    ([*BASE, "--client-address", "shown"], "--client-address"),
    ([*BASE, "--route", "sni=a.test 9443"], "--route"),
    ([*BASE, "--route", "sni=a.test -> 443"], "--route"),
    ([*BASE, "--proxy-protocol", "route-1=v2"], "--proxy-protocol"),
    ([*BASE, "--proxy-protocol", "https"], "--proxy-protocol"),
    ([*BASE, "--proxy-protocol", "https=v3"], "--proxy-protocol"),
    ([*BASE, "--proxy-protocol", "smtp=v1"], "--proxy-protocol"),
    ([*BASE, "--proxy-tlv", "sni"], "--proxy-tlv"),
    ([*BASE, "--proxy-tlv", "alpn"], "--proxy-tlv"),
    ([*BASE, "--hello-timeout", "5 s"], "--hello-timeout"),
    ([*BASE, "--hello-timeout", "0"], "--hello-timeout"),
    ([*BASE, "--connect-timeout", "-1s"], "--connect-timeout"),
    ([*BASE, "--idle-timeout", "10d"], "--idle-timeout"),
    ([*BASE, "--acme-timeout", ""], "--acme-timeout"),
    ([*BASE, "--drain-timeout", "99999999h"], "--drain-timeout"),
    ([*BASE, "--acme-fallback", "reset"], "--acme-fallback"),
    ([*BASE, "--max-connections", "0"], "--max-connections"),
    ([*BASE, "--max-connections", "many"], "--max-connections"),
    ([*BASE, "--max-per-source", "-3"], "--max-per-source"),
    ([*BASE, "--workers", "0"], "--workers"),
    ([*BASE, "--buffer", "1"], "--buffer"),
    ([*BASE, "--buffer", "1T"], "--buffer"),
    ([*BASE, "--dataplane", "kernel"], "--dataplane"),
    ([*BASE, "--log-level", "loud"], "--log-level"),
    ([*BASE, "--log-format", "xml"], "--log-format"),
    ([*BASE, "--unknown"], "--unknown"),
    ([*BASE, "--hello"], "--hello"),
    ([*BASE, "stray"], "stray"),
    ([*BASE, "--listen"], "--listen"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else None)
def test_usage_error_names_its_option(command, arguments, named):
    code, out, err = alpnbpf(command, *arguments)
    assert code == USAGE
    assert out == ""
    assert named in err
    assert len(err.strip().splitlines()) == 1, "one sentence, not a page"


@pytest.mark.parametrize("arguments, says", [
    ([], "Usage: alpnbpf COMMAND"), (["no-such-command"], 'unknown command "no-such-command"'),
    (["att"], 'unknown command "att"'), (["inspect", "a", "b"], "give one FILE, not a and b"),
    (["inspect", "--bad"], "unknown option --bad"), (["--bad"], 'give a command before "--bad"'),
])
def test_usage_errors(arguments, says):
    code, out, err = alpnbpf(*arguments)
    assert code == USAGE and not out and says in err


@pytest.mark.parametrize("arguments, says", [
    (["help"], "Usage: alpnbpf COMMAND"), (["--help"], "Usage: alpnbpf COMMAND"), (["version"], "alpnbpf "),
    (["--version"], "alpnbpf "), (["attach", "--version"], "alpnbpf "), (["attach", "--help"], "Usage: alpnbpf attach"),
    (["check", "--help"], "Usage: alpnbpf attach"), (["inspect", "--help"], "Usage: alpnbpf inspect"),
    (["help", "inspect"], "Usage: alpnbpf inspect"),
])
def test_help_and_version(arguments, says):
    code, out, err = alpnbpf(*arguments)
    assert code == DONE and out.startswith(says) and not err


# check

def check(*arguments, prefix=()):
    code, out, _ = alpnbpf("check", *arguments, prefix=prefix)
    return code, out.splitlines()


def verdict(lines, *words):
    """ok, warn or FAIL of the line with these words."""
    found = [line for line in lines if all(word in line for word in words)]
    assert len(found) == 1, (words, lines)
    return found[0].split()[0]


def test_check_everything_fine(lab):
    acme, https = lab.backends()
    code, lines = check("--acme", acme.endpoint, "--https", https.endpoint)
    assert code == DONE
    assert verdict(lines, "sockmap:") == "ok"
    assert verdict(lines, "listen", "0.0.0.0:443") == "ok" and verdict(lines, "listen", "[::]:443") == "ok"
    assert verdict(lines, "--https", https.endpoint) == "ok" and verdict(lines, "--acme", acme.endpoint) == "ok"
    assert "0 failed" in lines[-1]


def test_check_without_a_web_server_fails_and_without_acme_does_not(lab):
    listener = lab.listener()
    code, lines = check("--acme", f"127.0.0.1:{free_port()}", "--https", listener.endpoint)
    assert code == DONE and verdict(lines, "--acme") == "warn"
    code, lines = check("--acme", listener.endpoint, "--https", f"127.0.0.1:{free_port()}")
    assert code == FAILED and verdict(lines, "--https") == "FAIL"


def test_check_with_a_port_taken(lab):
    acme, https = lab.backends()
    holder = lab.listener()
    code, lines = check("--acme", acme.endpoint, "--https", https.endpoint, "--listen", holder.endpoint)
    assert code == FAILED
    assert verdict(lines, "listen", holder.endpoint, f"pid {os.getpid()}") == "FAIL"
    holder.close()


def test_check_beside_a_running_program(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane, listen=())
    code, lines = check("--acme", acme.endpoint, "--https", https.endpoint)
    assert code == FAILED
    assert verdict(lines, "listen", "0.0.0.0:443", "alpnbpf-workers", str(router.workers_pid)) == "FAIL"


@pytest.mark.parametrize("choice,expected,code", [("auto", "warn", DONE), ("sockmap", "FAIL", FAILED)])
def test_check_unprivileged(lab, choice, expected, code):
    acme, https = lab.backends()
    got, lines = check("--acme", acme.endpoint, "--https", https.endpoint, "--listen", f"127.0.0.1:{free_port()}",
                       "--dataplane", choice, prefix=UNPRIVILEGED)
    assert got == code
    assert verdict(lines, "sockmap:") == expected


def test_check_while_loopback_is_down():
    """SOCK_DESTROY cannot be tried then, but it is used: nothing is reset instead."""
    with contextlib.closing(Namespace()) as place:
        run(*place.prefix(), "ip", "link", "set", "lo", "down")
        _, lines = check("--acme", "10443", "--https", "443", prefix=place.prefix())
    assert verdict(lines, "takeovers may leave traces: SOCK_DESTROY could not be tried: a connection over loopback failed",
                   "it is used all the same, and if it fails, new connections are steered") == "warn"


def test_check_leaves_no_trace(lab):
    """check neither listens nor sends a byte to a backend."""
    acme, https = lab.backends()
    check("--acme", acme.endpoint, "--https", https.endpoint)
    assert https.unused() and acme.unused()


# inspect

@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_inspect_agrees_with_the_table(case):
    """inspect uses the parser of the data path."""
    code, out, _ = alpnbpf("inspect", "-", stdin=case.whole())
    assert code == DONE
    assert out.splitlines()[0].split() == ["route", case.route]


def test_inspect_a_file_as_hex(tmp_path):
    path = tmp_path / "hello.hex"
    path.write_text(acme_hello().hex(" ") + "\n")
    code, out, _ = alpnbpf("inspect", path)
    assert code == DONE and "acme-tls/1" in out and "www.example.test" in out
    assert out.splitlines()[0].split() == ["route", "acme"]


def test_inspect_json(tmp_path):
    path = tmp_path / "hello.bin"
    path.write_bytes(https_hello())
    code, out, _ = alpnbpf("inspect", "--json", path)
    answer = json.loads(out)
    assert code == DONE
    assert answer["route"] == "https" and answer["sni"] == "www.example.test" and answer["alpn"] == ["h2", "http/1.1"]
    assert answer["complete"] is True and answer["records"] == 1


@pytest.mark.parametrize("data", [b"", noise(5000, "a"), acme_hello()[:77], bytes(3)])
def test_inspect_anything(data):
    """inspect answers any input."""
    code, out, _ = alpnbpf("inspect", stdin=data)
    assert code == DONE and out.splitlines()[0].split() == ["route", "https"]


def test_inspect_a_missing_file(tmp_path):
    code, out, err = alpnbpf("inspect", tmp_path / "nothing")
    assert code == FAILED and out == "" and "No such file" in err


# Logs

def test_json_log(lab, plane):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--log-format", "json", plane=plane)
    client, server = lab.session(router, https_hello(), https)
    client.close()
    server.close()
    router.closed(client)
    router.finish()
    entries = [json.loads(line) for line in router.lines()]
    assert len(entries) >= 3
    assert all(entry["level"] in ("error", "warn", "info", "debug") and entry["message"] for entry in entries), entries


def test_quiet_log(lab, plane):
    """At --log-level warn, a normal run logs nothing."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane, log_level="warn")
    client, server = lab.session(router, https_hello(), https)
    server.send(b"answer")
    assert client.read(6) == b"answer"
    client.close()
    server.close()
    router.finish()
    assert router.text() == ""


def test_an_acme_validation_is_one_line_at_info(lab, plane):
    """Operators look for it: client, SNI, outcome."""
    acme, https = lab.backends()
    router = lab.router(acme, https, plane=plane, log_level="info")
    client, server = lab.session(router, acme_hello(), acme)
    server.close()
    client.read_to_end()
    client.close()
    router.finish()
    lines = [line for line in router.lines() if "www.example.test" in line]
    assert len(lines) == 1 and "acme" in lines[0].lower() and str(client.local[1]) in lines[0]
