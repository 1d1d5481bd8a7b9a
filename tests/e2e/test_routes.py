# SPDX-License-Identifier: BSD-2-Clause
"""
--route: which backend a hello reaches, on every data plane, in every cut; that no other backend sees it; the PROXY header,
the deadlines and failures of a rule's backend; real TLS. What a rule may be is in tests/unit.
"""
import json
import re
import subprocess

import pytest

import in_place
from control import command as run, status
from hello_cases import MALFORMED, NOT_TLS
from hellos import ACME, alpn, body, common_extensions, handshake, hello, record, records, sni
from pattern import Pattern
from proxy_header import TLV_ALPN, TLV_AUTHORITY, read_v1, read_v2
from router import BINARY
from services import need, start_nginx
from senders import at_once, byte_by_byte, in_two
from sockets import Listener, free_port
from stream_thread import exchange
from waiting import SCALE, now, pause, wait_until

ALL_PLANES = ("user", "auto", "sockmap")
ANSWER = b"answer of the backend"


def message(host, *names, sni_last=False):
    """A handshake message with this server name (None: none) and these protocols."""
    parts = common_extensions()[1:] + ([alpn(*names)] if names else [])
    if host is not None:
        parts.insert(len(parts) if sni_last else 0, sni(host))
    return handshake(body(parts))


RULES = ("sni=www.example.org,*.app.example.org alpn=h2", "alpn=xmpp-client,\\x00\\xff",
         "sni=*.example.org,example.net")

# (route, server name, protocols)
CASES = [
    (1, b"www.example.org", [b"h2"]),
    (1, b"WWW.Example.ORG", [b"http/1.1", b"h2"]),
    (1, b"a.b.app.example.org", [b"h2", b"xmpp-client"]),  # the first match
    (2, b"www.example.org", [b"xmpp-client"]),
    (2, None, [b"xmpp-client"]),
    (2, b"elsewhere.test", [b"http/1.1", b"\x00\xff"]),
    (3, b"www.example.org", [b"http/1.1"]),
    (3, b"app.example.org", [b"h2"]),
    (3, b"example.NET", []),
    (3, b"a" * 241 + b".example.org", []),
    ("https", b"example.org", [b"h2"]),
    ("https", b"www.example.net", []),
    ("https", b"www.example.org.test", [b"h2"]),
    ("https", b"example.net.", []),  # RFC 6066: names come without the dot
    ("https", b"xexample.net", [b"xmpp-clien"]),
    ("https", None, [b"xmpp-client2", b"XMPP-CLIENT"]),
    ("https", None, []),
    ("acme", b"www.example.org", [ACME]),
    ("acme", b"www.example.org", [b"h2", ACME, b"xmpp-client"]),
]


class Ground:
    """One program with three rules, and five backends, shared by all cases of a data plane."""

    def __init__(self, lab, plane):
        self.lab, self.plane = lab, plane
        self.backends = {name: lab.listener() for name in ("acme", "https", "route-1", "route-2", "route-3")}
        options = [f"--route={rule} -> {self.backends[f'route-{number}'].endpoint}"
                   for number, rule in enumerate(RULES, 1)]
        # What is decided here is decided by the bytes: the deadline is longer than any test waits.
        self.router = lab.router(self.backends["acme"], self.backends["https"], "--hello-timeout", "10m", *options,
                                 plane=plane)

    def check(self, wire, route, send, bothered=()):
        """Send wire by `send`: the backend of `route` gets exactly it and answers; the others see no connection."""
        client = self.lab.connect(self.router)
        send(client, wire)
        server = self.backends[route].accept()
        assert server.read(len(wire)) == wire
        self.lab.finish_session(self.router, client, server, route, len(wire))
        for name, backend in self.backends.items():
            assert name == route or name in bothered or backend.untouched(), name


@pytest.fixture(scope="module", params=ALL_PLANES)
def ground(request, module_lab):
    ground = Ground(module_lab, request.param)
    yield ground
    module_lab.finish(ground.router)


def name_of(route):
    return f"route-{route}" if isinstance(route, int) else route


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[0]} {case[1]!r:.40} {case[2]}")
@pytest.mark.parametrize("sni_last", [False, True], ids=["", "sni last"])
def test_route(ground, case, sni_last):
    route, host, names = case
    ground.check(record(message(host, *names, sni_last=sni_last)), name_of(route), at_once)


@pytest.mark.parametrize("route,host,names", [CASES[1], CASES[5], CASES[8], CASES[12], CASES[18]])
def test_cuts(ground, route, host, names):
    """One of each route, as unsplit: slow clients, and TLS records of any size."""
    hello = message(host, *names)
    for send in (byte_by_byte, in_two):
        ground.check(record(hello), name_of(route), send)
    for size in (1, 7, 100):
        ground.check(records(hello, size), name_of(route), at_once)


def test_what_is_no_hello_goes_to_https(ground):
    for case in MALFORMED + NOT_TLS:
        ground.check(case.whole(), "https", at_once)


@pytest.mark.parametrize("content", [b"", b"\x00", b"\x00\x00", b"\x00\x03\x00\x00\x00", b"\x00\x0f\x00\x00\x0fwww.example.org",
                                     b"\x00\x12\x00\x00\x10www.example.org"])
def test_malformed_server_name_goes_to_https(ground, content):
    extension = b"\x00\x00" + len(content).to_bytes(2, "big") + content
    ground.check(record(handshake(body([alpn(b"xmpp-client"), extension]))), "https", at_once)


def test_half_a_hello(lab, plane):
    """Only https gets an incomplete hello: at the end of the stream, and at --hello-timeout."""
    acme, https = lab.backends()
    rule = lab.listener()
    router = lab.router(acme, https, f"--route=sni=*.example.org -> {rule.endpoint}", "--hello-timeout", "300ms",
                        plane=plane)
    half = record(message(b"www.example.org", b"h2"))[:-3]
    for end in (True, False):
        client = lab.connect(router)
        client.send(half)
        if end:
            client.finish_sending()
        server = https.accept()
        assert server.read(len(half)) == half
        server.close()
        client.close()
        assert router.closed(client).route == "https"
    assert rule.untouched() and acme.untouched()


WWW = record(message(b"www.example.org", b"h2", b"http/1.1"))
SIZE = 3 * (1 << 20) + 77


@pytest.mark.parametrize("plane", ALL_PLANES)
@pytest.mark.parametrize("form", ["v4", "v6", "unix"])
def test_bulk(lab, plane, form):
    """Both directions at once, to every kind of backend; in the kernel where that is asked for and possible."""
    up, down = Pattern("up").bytes(0, SIZE), Pattern("down").bytes(0, SIZE)
    rule = {"v4": lambda: lab.listener(), "v6": lambda: lab.listener(host="::1"),
            "unix": lambda: lab.listener(path=lab.socket_path("rule.sock"))}[form]()
    router = lab.router(*lab.backends(), f"--route=sni=www.example.org -> {rule.endpoint}", plane=plane)
    client, server = lab.session(router, WWW, rule)
    exchange(client, server, up, down)
    closed = router.closed(client)
    assert (closed.route, closed.cause, closed.up, closed.down) == ("route-1", "done", len(WWW) + SIZE, SIZE)
    assert (closed.up_kernel + closed.down_kernel > 0) == (plane == "sockmap" and form != "unix")


@pytest.mark.parametrize("plane", ALL_PLANES)
@pytest.mark.parametrize("send", [at_once, in_two])
def test_proxy_header(lab, plane, send):
    """Only for the routes that asked for it, with the names of this hello."""
    acme, https = lab.backends()
    first, second = lab.listener(), lab.listener()
    router = lab.router(acme, https, f"--route=sni=www.example.org -> {first.endpoint}",
                        f"--route=sni=*.example.org -> {second.endpoint}", "--proxy-protocol", "route-1=v2",
                        "--proxy-protocol", "https=v1", "--proxy-tlv", "alpn,authority", plane=plane)
    for wire, backend, reader in ((WWW, first, read_v2), (record(message(b"b.example.org")), second, None),
                                  (record(message(b"c.test", b"h2")), https, read_v1)):
        client = lab.connect(router)
        send(client, wire)
        server = backend.accept()
        header = reader(server) if reader else None
        assert server.read(len(wire)) == wire
        if header:
            assert header.source == client.local and header.destination == router.address()
        if backend is first:
            assert header.tlvs == [(TLV_ALPN, b"h2"), (TLV_AUTHORITY, b"www.example.org")]
        server.close()
        client.close()
    assert first.untouched() and second.untouched() and https.untouched()


@pytest.mark.parametrize("plane", ALL_PLANES)
def test_unreachable(lab, plane):
    """As with https: tried again within --connect-timeout, then the client is reset; https gets nothing of it."""
    acme, https = lab.backends()
    port = free_port()
    router = lab.router(acme, https, f"--route=sni=www.example.org -> 127.0.0.1:{port}", "--connect-timeout", "1s",
                        plane=plane)
    started = now()
    client = lab.connect(router)
    client.send(WWW)
    assert client.outcome() == "reset"
    assert 0.7 < now() - started < 5, "not the 5 s of the default"
    closed = router.closed(client)
    assert (closed.route, closed.cause) == ("route-1", "connect_failed")
    router.wait_line(rf"warn cannot connect to route-1 -> 127\.0\.0\.1:{port} within 1000 ms: Connection refused; "
                       rf"nothing listens on port {port}; resetting the client")
    router = lab.router(acme, https, f"--route=sni=www.example.org -> 127.0.0.1:{port}", "--connect-timeout", "1m",
                        plane=plane)
    client = lab.connect(router)
    client.send(WWW)
    wait_until(lambda: status(router)["events"]["connect_retries"] > 0, 5, "another try")
    lab.listeners.append(Listener(port=port))
    assert lab.listeners[-1].accept().read(len(WWW)) == WWW
    assert https.untouched() and acme.untouched()


def test_timeouts_are_those_of_https(lab, plane):
    rule = lab.listener()
    router = lab.router(*lab.backends(), f"--route=sni=www.example.org -> {rule.endpoint}", "--idle-timeout", "1s",
                        "--acme-timeout", "300ms", plane=plane)
    client, server = lab.session(router, WWW, rule)
    pause(0.6)
    server.send(ANSWER)
    assert client.read(len(ANSWER)) == ANSWER
    assert client.outcome() == "end"
    assert router.closed(client).cause == "idle_timeout"


def s_client(address, host, *protocols, authority):
    """(the server's answer to a request, the protocol agreed on)"""
    result = subprocess.run(
        [need("openssl"), "s_client", "-connect", f"{address[0]}:{address[1]}", "-servername", host, "-CAfile",
         authority.file, "-ign_eof", *(["-alpn", ",".join(protocols)] if protocols else [])],
        input=f"GET /hello HTTP/1.0\r\nHost: {host}\r\n\r\n", capture_output=True, text=True, timeout=20 * SCALE)
    agreed = re.search(r"ALPN protocol: (\S+)", result.stdout)
    return result.stdout, agreed and agreed.group(1)


@pytest.mark.parametrize("plane", ALL_PLANES)
def test_openssl_and_nginx(lab, authority, plane):
    """Two web servers and a TLS server of a protocol of its own behind one port."""
    ports = {name: free_port() for name in ("https", "route", "echo")}
    for name in ("https", "route"):
        start_nginx(lab, ports[name], authority)
    certificate, key = authority.server("echo.example.test")
    echo = lab.child(need("openssl"), "s_server", "-accept", f"127.0.0.1:{ports['echo']}", "-cert", certificate, "-key",
                     key, "-alpn", "echo/1", "-rev", "-quiet")
    router = lab.router(lab.listener(), ports["https"], f"--route=sni=*.example.test -> {ports['route']}",
                        f"--route=alpn=echo/1 -> {ports['echo']}", plane=plane)
    for host, protocols, route in (("www.example.test", ["http/1.1"], "route-1"), ("localhost", ["http/1.1"], "https"),
                                   ("a.example.test", [], "route-1")):
        before = len(router.sessions())
        answer, protocol = s_client(router.address(), host, *protocols, authority=authority)
        assert f"name={host}" in answer and protocol == (protocols[0] if protocols else None)
        wait_until(lambda: len(router.sessions()) > before, 5, "the session in the log")
        assert [closed.route for closed in router.sessions()[before:]] == [route]
    command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{router.address()[1]}", "-alpn", "echo/1", "-quiet"]
    client = subprocess.run(command, input="abc\nCLOSE\n", capture_output=True, text=True, timeout=20 * SCALE)
    assert client.stdout == "cba\n", client.stderr
    assert echo.running()


@pytest.fixture
def web_server(lab, authority, veth):
    return in_place.Ground(lab, authority, veth, "nginx")


def test_in_place(lab, web_server):
    """The web server keeps :443 and its clients' addresses; one name of it is another server's."""
    ground, rule = web_server, lab.listener()
    router = ground.attach(f"--route=sni=other.example.test -> {rule.endpoint}")
    assert router.find(r"ready: .*in place, armed always \(--route is given\)")
    for family in (4, 6):
        seen, own = ground.ask(family)
        assert seen == own
        wire = record(message(b"other.example.test", b"h2"))
        client = lab.connect((ground.server(family), 443), namespace=ground.veth.namespace)
        client.send(wire)
        server = rule.accept()
        assert server.read(len(wire)) == wire
        server.send(ANSWER).close()
        assert client.read_to_end() == ANSWER


# Rules in the other commands.

def test_ready_line_and_bypass(lab):
    """With rules, all connections are inspected; the ready line stays one line, even with 32 rules."""
    acme, https = lab.backends()
    rules = [f"--route=alpn=p{number} -> 127.0.0.{number}:{free_port()}" for number in range(1, 33)]
    router = lab.router(acme, https, *rules, bypass=True)
    line = router.find(r"ready: (.*)").group(1)
    assert "; front; " in line and re.search(r"https -> \S+, route-1 -> 127\.0\.0\.1:\d+, route-2 -> ", line)
    assert re.search(r", route-\d+ -> \S+ and \d+ more; ", line) and len(line) < 1000
    client, server = lab.session(router, hello(b"h2"), https)
    server.close()
    client.close()
    assert router.closed(client).route == "https"


@pytest.fixture
def config(lab, tmp_path):
    """(path of a configuration file with a rule that has a listener, and that listener)"""
    acme, https = lab.backends()
    rule = lab.listener()
    path = tmp_path / "alpnbpf.conf"
    path.write_text(f"acme = {acme.endpoint}\nhttps = {https.endpoint}\nlisten = 127.0.0.1:{free_port()}\n"
                    f"route = sni=*.example.org alpn=h2 -> {rule.endpoint}   # the application\n"
                    "log-level = debug\nno-bypass\n")
    return path, rule


def test_attach_with_a_file(lab, config):
    path, rule = config
    port = int(re.search(r"listen = 127\.0\.0\.1:(\d+)", path.read_text()).group(1))
    router = lab.router("", "", listen=[("127.0.0.1", port)], command_line=[BINARY, "attach", "--config", str(path)])
    client, server = lab.session(router, WWW, rule)
    server.close()
    client.close()
    assert router.closed(client).route == "route-1"


def test_check(config):
    path, rule = config
    code, out, _ = run("check", "--config", path)
    assert code == 0
    assert f"ok   route-1 (sni=*.example.org alpn=h2) -> {rule.endpoint}: {rule.endpoint} accepts\n" in out
    with open(path, "a") as file:
        file.write(f"route = sni=dead.test -> 127.0.0.1:{free_port()}\n")
    code, out, _ = run("check", "--config", path)
    assert code == 1
    assert re.search(r"^FAIL route-2 \(sni=dead\.test\) -> \S+: \S+: refused: nothing listens there; start its server", out,
                     re.MULTILINE)


@pytest.mark.parametrize("command", ["attach", "check", "inspect"])
@pytest.mark.parametrize("line,says", [
    ("route = sni=a.test", "7: route sni=a.test: no \"->\""),
    ("route = alpn=acme-tls/1 -> 1", "7: route alpn=acme-tls/1 -> 1: \"acme-tls/1\" always goes to --acme"),
    ("route = sni=x.example.org alpn=h2 -> 1", "7: route sni=x.example.org alpn=h2 -> 1: can never match: route-1"),
    ("route = sni=a.test -> nowhere.invalid:1", "7: route sni=a.test -> nowhere.invalid:1: "),
    ("route = sni=a.test -> {listen}", "7: route sni=a.test -> {listen} leads back to listening port"),
    ("proxy-protocol = route-2=v1", "7: proxy-protocol route-2=v1: route-2 does not exist (--route options given: 1)"),
])
def test_mistakes_name_their_line(config, command, line, says):
    path, _ = config
    listen = re.search(r"listen = (\S+)", path.read_text()).group(1)
    with open(path, "a") as file:
        file.write(line.format(listen=listen) + "\n")
    code, out, error = run(command, "--config", path)
    assert (code, out) == (2, "")
    assert error.startswith(f"alpnbpf {command}: {path}:" + says.format(listen=listen)), error


def test_inspect(config):
    path, rule = config
    code, out, _ = run("inspect", "--config", path, stdin=WWW)
    assert code == 0
    assert out.startswith(f"route     route-1 (sni=*.example.org alpn=h2 -> {rule.endpoint})\nreason ")
    answer = json.loads(run("inspect", "--config", path, "--json", stdin=WWW)[1])
    assert (answer["route"], answer["backend"], answer["rule"]) == ("route-1", rule.endpoint, "sni=*.example.org alpn=h2")
    assert answer["result"] == "rule"
    for wire, route in ((record(message(b"example.org", b"h2")), "https"), (record(message(b"a.example.org", ACME)), "acme"),
                        (WWW[:-1], "https")):
        answer = json.loads(run("inspect", "--json", f"--config={path}", stdin=wire)[1])
        assert (answer["route"], answer["rule"]) == (route, None)
        assert answer["backend"] in path.read_text()


def test_inspect_with_rules_of_the_command_line(config):
    """They replace the file's rules; without a file, the other backends are unknown."""
    path, _ = config
    rules = ["--route", "sni=other.test -> 9443", "--route=alpn=h2,\\x22 -> unix:/run/a\"b"]
    for more in ([], ["--config", path]):
        answer = json.loads(run("inspect", "--json", *rules, *more, stdin=WWW)[1])
        assert (answer["route"], answer["backend"], answer["rule"]) == ("route-2", "unix:/run/a\"b", "alpn=h2,\"")
    answer = json.loads(run("inspect", "--json", *rules, stdin=hello(b"http/1.1"))[1])
    assert (answer["route"], answer["backend"], answer["rule"]) == ("https", None, None)
    code, out, error = run("inspect", "--route", "sni=a")
    assert (code, out) == (2, "") and error.startswith("alpnbpf inspect: --route sni=a: no \"->\"")
    assert run("inspect", "--route")[0] == 2
