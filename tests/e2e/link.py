# SPDX-License-Identifier: BSD-2-Clause
"""A client namespace behind link.c: a tun device on our side, with delay, loss, reordering or fragments on the way."""
import contextlib
import os
import subprocess

from netns import Namespace, run
from services import need

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "link.c")
QUEUE = 20000  # packets that wait for the process; the default of a tun device is 500


class Link:
    """As a VethPair: `server` addresses are on our side."""

    device = "e2e-link"

    def __init__(self, lab, mtu=1500, **options):
        self.namespace = Namespace()
        self.server4, self.client4 = "10.77.4.1", "10.77.4.2"
        self.server6, self.client6 = "fd00:77:4::1", "fd00:77:4::2"
        program = str(lab.directory / "link")
        if not os.path.exists(program):
            subprocess.run([need("cc"), "-O2", "-o", program, SOURCE], check=True)
        self.child = lab.child(program, f"/proc/{os.getpid()}/ns/net", self.device, self.namespace.path, "e2e-link-cli",
                               *[f"{name}={value}" for name, value in options.items()], name="link")
        self.child.wait_line("ready", 5)
        for prefix, device, v4, v6 in (([], self.device, self.server4, self.server6),
                                       (self.namespace.prefix(), "e2e-link-cli", self.client4, self.client6)):
            run(*prefix, "ip", "link", "set", device, "mtu", str(mtu), "txqueuelen", str(QUEUE), "up")
            run(*prefix, "ip", "addr", "add", f"{v4}/24", "dev", device)
            run(*prefix, "ip", "addr", "add", f"{v6}/64", "dev", device, "nodad")

    def close(self):
        self.child.stop()  # the devices go with it
        self.namespace.close()


@contextlib.contextmanager
def linked(lab, **options):
    link = Link(lab, **options)
    try:
        yield link
    finally:
        link.close()
