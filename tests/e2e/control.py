# SPDX-License-Identifier: BSD-2-Clause
"""Runs the program's commands, and sends requests to a control socket directly."""
import json
import os
import socket
import subprocess

from router import BINARY
from waiting import SCALE


# A prefix: another user, without capabilities.
UNPRIVILEGED = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "--inh-caps=-all",
                "--bounding-set=-all", "--"]


def command(*arguments, stdin=b"", env=None, prefix=(), binary=BINARY):
    """(exit code, stdout, stderr)."""
    result = subprocess.run([*prefix, str(binary), *map(str, arguments)], input=stdin, capture_output=True,
                            timeout=60 * SCALE, env={**os.environ, **(env or {})})
    return result.returncode, result.stdout.decode(), result.stderr.decode()


def name_of(router):
    """The default name of an instance: its first port."""
    return str(router.address()[1])


def status(router):
    """Asked as whoever started it: others than root and this user are not believed."""
    owner = os.stat(path_of(name_of(router))).st_uid
    prefix = ["setpriv", "--reuid", str(owner), "--clear-groups", "--"] if owner else ()
    code, out, error = command("status", "--json", "--name", name_of(router), prefix=prefix)
    assert code == 0, error
    return json.loads(out)


def sessions(router):
    code, out, error = command("sessions", "--json", "--name", name_of(router))
    assert code == 0, error
    return [json.loads(line) for line in out.splitlines()]


def path_of(name):
    return os.path.join(os.environ["RUNTIME_DIRECTORY"], f"{name}.sock")


def dial(path):
    peer = socket.socket(socket.AF_UNIX)
    peer.connect(path)  # with a timeout it would not wait for a place in the queue
    peer.settimeout(10 * SCALE)
    return peer


def read_all(peer):
    parts = []
    while part := peer.recv(65536):
        parts.append(part)
    return b"".join(parts).decode()


def ask(path, request):
    """The whole answer to one request."""
    peer = dial(path)
    with peer:
        peer.sendall(request)
        return read_all(peer)
