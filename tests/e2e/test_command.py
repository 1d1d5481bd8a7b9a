# SPDX-License-Identifier: BSD-2-Clause
"""
`attach ... -- COMMAND`: the program as the init of a container. As PID 1 of a pid namespace of its own, with a real nginx or
a shell as the web server.
"""
import json
import os
import signal
import subprocess
import sys

import pytest

from as_service import __file__ as AS_SERVICE
from control import command as alpnbpf
from hellos import https_hello
from helpers import children
from measures import cpu_share
from router import BINARY
from sockets import free_port
from visitors import ask, client_context
from waiting import wait_until
from web_servers import WebServer

AS_INIT = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]


class Init:
    """The program as PID 1, whose own pid outside is `pid`."""

    def __init__(self, lab, https, *command, options=(), listen=None):
        self.port = free_port() if listen is None else listen
        where = [] if listen is not None else ["--listen", f"127.0.0.1:{self.port}"]
        self.outer = lab.child(*AS_INIT, BINARY, "attach", "--acme", "10443", "--https", str(https), "--log-level",
                               "debug", *where, *options, "--", *command)
        self.outer.wait_line(r"\bready\b", 15)
        self.pid = children(self.outer.pid)[0]

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout=10):
        return self.outer.wait(timeout)


@pytest.mark.parametrize("script,code", [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 128 + 9), ("kill -TERM $$", 128 + 15)])
def test_it_ends_with_the_commands_code(lab, script, code):
    https = lab.backends()[1]
    init = Init(lab, https.endpoint, "sh", "-c", f"read line < {fifo(lab)}; {script}")
    with open(fifo(lab), "w") as file:
        file.write("go\n")
    assert init.wait() == code
    assert f"sh exited with code {code}" in init.outer.text()


def fifo(lab):
    path = lab.directory / "fifo"
    if not path.exists():
        os.mkfifo(path)
    return path


@pytest.mark.parametrize("command,code,why", [
    (["/nowhere/server"], 127, "cannot start /nowhere/server: No such file or directory"),
    (["/etc/passwd"], 126, "cannot start /etc/passwd: Permission denied")])
def test_a_command_that_cannot_be_started(command, code, why):
    options = ("--acme", "10443", "--https", "8443", "--listen", f"127.0.0.1:{free_port()}", "--", *command)
    ended, _, error = alpnbpf("attach", *options)
    assert ended == code and why in error and "ready" not in error
    ended, out, _ = alpnbpf("check", *options)
    assert ended == 1 and f"FAIL command: {command[0]}: " in out


def test_a_start_that_fails_waits_for_the_command(lab):
    """Capabilities cannot be dropped. The command ignores SIGTERM: until it ends, the program has nothing to do."""
    acme, https = lab.backends()
    needed = lab.directory / "needed"
    needed.touch()
    child = lab.child("sh", "-c", "trap '' TERM; exec \"$@\"", "sh", sys.executable, AS_SERVICE, "--refuse", "capset", "--",
                      BINARY, "attach", "--acme", acme.endpoint, "--https", https.endpoint, "--listen",
                      f"127.0.0.1:{free_port()}", "--", "sh", "-c",
                      f"while test -e {needed} && kill -0 $PPID; do sleep 0.1; done")
    child.wait_line("cannot drop privileges: capabilities: Operation not permitted")
    child.wait_line("sending SIGTERM to sh")
    share = cpu_share(child)
    needed.unlink()
    assert child.wait() == 1 and share < 0.1


def test_no_command_after_the_dashes():
    code, _, error = alpnbpf("attach", "--acme", "10443", "--https", "8443", "--")
    assert code == 2 and "no command follows --" in error


def test_signals_are_passed_on(lab):
    https = lab.backends()[1]
    names = ("HUP", "USR1", "USR2", "QUIT", "WINCH")
    traps = "; ".join(f"trap 'echo got {name}' {name}" for name in names)
    init = Init(lab, https.endpoint, "sh", "-c", f"{traps}; trap 'echo got TERM; exit 3' TERM; echo trapped; "
                "tail -f /dev/null & while :; do wait; done")
    init.outer.wait_line("trapped")
    for name in names:
        init.signal(getattr(signal, f"SIG{name}"))
        init.outer.wait_line(f"got {name}")
    init.signal(signal.SIGTERM)
    assert init.wait() == 3
    lines = init.outer.text()
    assert lines.index("draining") < lines.index("sending SIGTERM to sh") < lines.index("got TERM")


def test_sessions_end_before_the_command(lab):
    """TERM: no new connections; existing ones finish, and only then the web server gets SIGTERM."""
    https = lab.backends()[1]
    init = Init(lab, https.endpoint, "sh", "-c", "trap 'echo got TERM; exit 0' TERM; echo trapped; "
                "tail -f /dev/null & while :; do wait; done", options=("--drain-timeout", "20s", "--no-bypass"))
    init.outer.wait_line("trapped")
    client = lab.connect(("127.0.0.1", init.port))
    client.send(https_hello())
    server = https.accept()
    init.signal(signal.SIGTERM)
    init.outer.wait_line("draining")
    assert server.read(len(https_hello())) == https_hello()
    server.send(b"answer")
    assert client.read(6) == b"answer" and "got TERM" not in init.outer.text()
    server.close()
    client.close()
    assert init.wait() == 0
    assert "got TERM" in init.outer.text()


def test_orphans_are_reaped(lab):
    https = lab.backends()[1]
    init = Init(lab, https.endpoint, "sh", "-c", "for i in 1 2 3 4 5; do (sh -c 'echo orphan' & ); done; "
                f"read line < {fifo(lab)}")
    wait_until(lambda: init.outer.text().count("orphan") == 5, 5, "the orphans' end")
    wait_until(lambda: len(children(init.pid)) == 1, 5, "nobody but the command")
    init.signal(signal.SIGTERM)
    assert init.wait() == 128 + 15


def test_the_command_is_as_it_would_be_without_us(lab):
    """The command has unblocked signals, the original descriptor limit, none of our descriptors, and no NOTIFY_SOCKET."""
    https = lab.backends()[1]
    script = "import json, os, resource, signal; print('seen ' + json.dumps([sorted(os.listdir('/proc/self/fd')), " \
        "resource.getrlimit(resource.RLIMIT_NOFILE)[0], [int(s) for s in signal.pthread_sigmask(0, [])], " \
        "os.environ.get('NOTIFY_SOCKET'), os.environ['GREETING']]), flush=True); input()"
    prefix = ["sh", "-c", "ulimit -Sn 1000; exec \"$@\"", "sh"]
    child = lab.child(*prefix, BINARY, "attach", "--acme", "10443", "--https", https.endpoint, "--listen",
                      f"127.0.0.1:{free_port()}", "--", "/usr/bin/python3", "-c", script, stdin=subprocess.PIPE,
                      env={"NOTIFY_SOCKET": str(lab.directory / "nobody"), "GREETING": "hello"})
    descriptors, limit, mask, *environment = json.loads(child.wait_line("seen (.*)").group(1))
    assert descriptors == ["0", "1", "2", "3"]  # 3 is the listing's own
    assert limit == 1000 and mask == [] and environment == [None, "hello"]
    child.signal(signal.SIGTERM)
    assert child.wait(10) == 128 + 15


def test_a_real_web_server(lab, authority, veth):
    """nginx as the child of PID 1, in place: served from the start, reloaded by HUP, ended in order."""
    web = WebServer(lab, "nginx", 443, authority, wait=False)
    init = Init(lab, 443, *web.command, listen=443)
    context = client_context(authority.file)

    def answers():
        try:
            return ask((veth.server4, 443), context, "/client", veth.namespace)
        except ConnectionRefusedError:
            return None

    local, body = wait_until(answers, 10, "an answer")
    assert body == local[0] and "nothing listens" not in init.outer.text()
    workers = set(children(children(init.pid)[0]))
    init.signal(signal.SIGHUP)
    wait_until(lambda: len(set(children(children(init.pid)[0])) - workers) == 2, 10, "two new workers")
    assert answers()
    init.signal(signal.SIGTERM)
    assert init.wait() == 0
