# SPDX-License-Identifier: BSD-2-Clause
"""
Validations and visitors at once, from one or several places, while the program watches: how many were served, what
connection tracking and the web server know of the validations, and how they were taken over.
"""
import os
import ssl
from collections import Counter
from dataclasses import dataclass, field

from calls import RawCall, Stream, Validation, Visit, raw_hello, run, validation_context
from certs import challenge_certificate
from control import status
from firewalls import Conntrack
from hellos import ACME as ACME_NAME
from in_place import ACME
from visitors import client_context
from waiting import wait_until
from web_servers import WebServer

HERE = os.path.dirname(os.path.abspath(__file__))


@dataclass
class Place:
    """Where clients are, the address that they call, and what the web server takes for theirs if it is another."""
    namespace: object
    address: tuple
    seen_as: str = None


def tls_server(lab, certificate, key, *options, port, hosts, name):
    """A TLS server of tls_server.py, listening."""
    listen = [word for host in hosts for word in ("--host", host)]
    child = lab.child("/usr/bin/python3", os.path.join(HERE, "tls_server.py"), "--certificate", certificate, "--key", key,
                      "--port", str(port), *listen, *options, name=name)
    child.wait_line("listening", 10)
    return child


def der(certificate):
    with open(certificate) as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


class Responder:
    """
    An ACME client's responder that serves many at once, as lego's does, and the certificate that it shows. On every address,
    so that clients may also reach it directly.
    """

    def __init__(self, lab, hosts=("0.0.0.0", "::"), port=ACME):
        file, key = challenge_certificate(lab.directory, "www.example.test", bytes(32))
        self.certificate = der(file)
        self.child = tls_server(lab, file, key, "--acme", port=port, hosts=hosts, name="responder")

    def stop(self):
        self.child.stop()


class PythonServer:
    """A web server for listeners that nginx cannot have: bound to a device, MPTCP. It logs nothing of its clients."""

    def __init__(self, lab, authority, *options, port=443, hosts=("0.0.0.0", "::")):
        certificate, key = authority.server("www.example.test", "localhost", "127.0.0.1", "::1")
        self.child = tls_server(lab, certificate, key, *options, port=port, hosts=hosts, name="web server")

    def errors(self, start=0):
        return self.child.lines()[start:]

    def clients(self, start=0):
        return None


@dataclass
class Outcome:
    """What became of a trial."""
    validations: list  # a Stream for each place
    visits: list
    tracked: Counter = field(default_factory=Counter)  # states of the validations' entries, while they were established
    errors: list = field(default_factory=list)         # of the web server
    unlogged: list = field(default_factory=list)       # visits that its log does not have with their address
    events: dict = field(default_factory=dict)         # the program's counters, as far as they grew

    def __str__(self):
        return "; ".join([
            "validations " + " + ".join(map(str, self.validations)), "visits " + " + ".join(map(str, self.visits)),
            f"conntrack {dict(self.tracked)}", f"web server's log {self.errors[:4]}", f"events {self.events}"])

    def faults(self, count, silent=True):
        """What is not as promised, in words. `silent`: each was taken over while it was a request still."""
        faults = [f"{kind} from {number}: {stream}" for kind, streams in (("validations", self.validations), ("visits", self.visits))
                  for number, stream in enumerate(streams) if stream.failures() or not stream.done]
        if self.unlogged:
            faults.append(f"the web server's log lacks {len(self.unlogged)} visits, of {self.unlogged[0].local}")
        if self.events.get("takeovers") != count * len(self.validations):
            faults.append("not every validation was taken over")
        # A client on a busy machine may be later with its hello than a connection is held.
        late = self.events.get("released", 0)
        if silent and len(self.errors) > late:
            faults.append("the web server has logged connections that were taken over")
        if silent and sum(self.tracked[known] for known in set(self.tracked) - {None, "ESTABLISHED"}) > late:
            faults.append("connection tracking does not have every validation as ESTABLISHED")
        return faults


def validations(place, responder, count, at_once=5, established=None, **options):
    context = validation_context()
    return Stream(lambda: Validation(place.address, context, responder.certificate, established), count, at_once, **options)


def visits(place, authority, count=None, at_once=2, **options):
    context = client_context(authority.file)
    return Stream(lambda: Visit(place.address, context, place.seen_as), count, at_once, **options)


def raw_validations(watched, address, count, at_once=5, **options):
    """Cheap ones; their hellos have two segments."""
    hello, certificate = raw_hello(ACME_NAME), watched.responder.certificate
    return Stream(lambda: RawCall(address, hello, certificate, ACME_NAME), count, at_once, **options)


def raw_visits(watched, address, count, at_once=5, **options):
    hello = raw_hello(b"http/1.1")
    certificate = der(f"{watched.authority.directory}/www.example.test.pem")
    return Stream(lambda: RawCall(address, hello, certificate), count, at_once, **options)


def armed_by(router, start=0):
    wait_until(lambda: router.find(r"armed: the ACME client listens on", start), 5, "armed")


def unlogged(web, streams, start):
    """Visits that the log does not have; where a firewall changes the source, the port is the client's still."""
    def missing():
        logged = set(web.clients(start))
        return [visit for stream in streams for visit in stream.good()
                if ((visit.seen_as or visit.local[0].partition("%")[0]), visit.local[1]) not in logged]

    if web.clients() is None:
        return []
    try:
        wait_until(lambda: not missing(), 5, "the visits in the web server's log")
    except AssertionError:
        return missing()
    return []


class Watched:
    """A web server, by default nginx on :443, and the program that watches once a responder listens."""

    def __init__(self, lab, authority, *options, port=443, web=None, verbosity="debug", **keywords):
        self.authority = authority
        self.web = web or WebServer(lab, "nginx", port, authority, log_level="info", **keywords)
        self.router = lab.router(ACME, port, *options, "--inspect", "watch", bypass=True, log_level=verbosity,
                                 listen=[("0.0.0.0", port), ("::", port)])
        self.responder = None

    def arm(self, lab):
        """With a responder of this lab: what the program has learned while it was armed before is forgotten."""
        wait_until(lambda: not status(self.router)["armed"]["now"], 5, "disarmed")
        start = len(self.router.lines())
        self.responder = Responder(lab)
        armed_by(self.router, start)
        return self

    def trial(self, places, count):
        return trial(self.router, self.web, self.responder, self.authority, places, count)

    def check(self, places, count, silent=True):
        outcome = self.trial(places, count)
        faults = outcome.faults(count, silent)
        if faults:
            raise AssertionError("; ".join(faults) + f"\n{outcome}")
        return outcome


def trial(router, web, responder, authority, places, count, at_once=5):
    """`count` validations from each place, one place after another, beside visitors from there."""
    conntrack, before = Conntrack(), status(router)["events"]
    lines, logged = len(web.child.lines()), len(web.clients() or ())
    outcome = Outcome([], [])

    def look(call):
        outcome.tracked[conntrack.state(call.local[1])] += 1

    for place in places:
        wanted = validations(place, responder, count, at_once, look), visits(place, authority)
        run(*wanted, namespace=place.namespace)
        outcome.validations.append(wanted[0])
        outcome.visits.append(wanted[1])
    outcome.unlogged = unlogged(web, outcome.visits, logged)
    outcome.errors = web.errors(lines)
    after = status(router)["events"]
    outcome.events = {name: after[name] - before[name] for name in after if after[name] != before[name]}
    return outcome
