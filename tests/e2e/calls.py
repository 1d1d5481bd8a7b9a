# SPDX-License-Identifier: BSD-2-Clause
"""
Many TLS connections at once from one thread. Each is a call: a generator of what its socket waits for. A validation has
succeeded only if the responder's certificate came, with ALPN acme-tls/1; a visit only if the web server saw its address.
"""
import contextlib
import errno
import os
import selectors
import socket
import ssl
import statistics
from collections import Counter

from hellos import (ACME, EXT_GROUPS, EXT_SIGNATURES, EXT_VERSIONS, alpn, body, extension, handshake, key_share, record, sni, u8,
                    u16)
from visitors import NAME
from waiting import SCALE, now

READ, WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
TWO_SEGMENTS = 1216  # bytes of a post-quantum key share: the hello has about 1.5 KB then
SERVER_HELLO, CERTIFICATE = 2, 11


class Wrong(Exception):
    """It was answered, but not as it should have been."""


def raw_hello(*names, share=TWO_SEGMENTS):
    """A hello of TLS 1.2 alone, so that the server's certificate comes unencrypted; a share of 0 fits one segment."""
    shares = [(0x11EC, share)] if share else []
    return record(handshake(body([
        sni(NAME.encode()), extension(EXT_GROUPS, u16(b"\x00\x1d\x00\x17")), extension(EXT_SIGNATURES, u16(b"\x04\x03\x08\x04")),
        extension(EXT_VERSIONS, u8(b"\x03\x03")), key_share(*shares, (0x001D, 32)), *([alpn(*names)] if names else [])])))


def validation_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE  # the certificate is compared
    context.set_alpn_protocols([ACME.decode()])
    return context


class Call:
    """One connection. `seconds` is from connect() to what it is for; `error` says why it failed."""

    def __init__(self, address):
        self.address = address
        self.sock = self.local = self.seconds = self.error = None

    def begin(self):
        self.sock = self.sock or socket.socket(socket.AF_INET6 if ":" in self.address[0] else socket.AF_INET)
        self.sock.setblocking(False)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.began = now()

    def connect(self):
        error = self.sock.connect_ex(self.address)
        if error == errno.EINPROGRESS:
            yield WRITE
            error = self.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))
        self.connected = now()
        self.local = self.sock.getsockname()

    def reached(self):
        self.seconds = now() - self.began

    def end(self):
        self.sock.close()


class TlsCall(Call):
    def __init__(self, address, context):
        super().__init__(address)
        self.context = context

    def negotiate(self):
        yield from self.connect()
        self.sock = self.context.wrap_socket(self.sock, server_hostname=NAME, do_handshake_on_connect=False)
        yield from self.retry(self.sock.do_handshake)

    @staticmethod
    def retry(operation, *arguments):
        while True:
            try:
                return operation(*arguments)
            except ssl.SSLWantReadError:
                yield READ
            except ssl.SSLWantWriteError:
                yield WRITE


class Validation(TlsCall):
    """As a CA does it: the certificate is what it comes for. `established` is called while it is there."""

    def __init__(self, address, context, certificate, established=None):
        super().__init__(address, context)
        self.certificate, self.established = certificate, established

    def steps(self):
        yield from self.negotiate()
        self.reached()
        if self.sock.getpeercert(True) != self.certificate:
            raise Wrong("the certificate is not the responder's")
        if self.sock.selected_alpn_protocol() != ACME.decode():
            raise Wrong(f"ALPN {self.sock.selected_alpn_protocol()}")
        if self.established:
            self.established(self)
        with contextlib.suppress(OSError):
            # In order: behind a firewall that drops resets, the other end would be there still when this port comes again.
            yield from self.retry(self.sock.unwrap)


class Visit(TlsCall):
    """A request for the client's own address, or what a firewall made of it; its time is that of the answer's first byte."""

    def __init__(self, address, context, seen_as=None):
        super().__init__(address, context)
        self.seen_as = seen_as

    def steps(self):
        yield from self.negotiate()
        self.sock.send(f"GET /client HTTP/1.0\r\nHost: {NAME}\r\n\r\n".encode())
        answer = yield from self.retry(self.sock.recv, 65536)
        self.reached()
        while part := (yield from self.retry(self.sock.recv, 65536)):
            answer += part
        head, _, seen = answer.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200"):
            raise Wrong(f"it answered {head[:40]!r}")
        seen = seen.decode().strip().removeprefix("::ffff:")
        if seen.partition("%")[0] != (self.seen_as or self.local[0].partition("%")[0]):
            raise Wrong(f"its address {self.local[0]} was seen as {seen}")


class RawCall(Call):
    """A hello of raw_hello(): cheap, since nothing is computed, and as long as it has to be."""

    def __init__(self, address, hello, certificate, protocol=None, sock=None):
        super().__init__(address)
        self.sock = sock  # a connection that is there already, instead of a new one
        self.hello, self.certificate, self.protocol = hello, certificate, protocol

    def connect(self):
        with contextlib.suppress(OSError):
            self.local = self.sock.getpeername() and self.sock.getsockname()
            return
        yield from super().connect()

    def steps(self):
        yield from self.connect()
        yield WRITE
        if self.sock.send(self.hello) != len(self.hello):
            raise Wrong("the hello did not fit the send buffer")
        data, messages = b"", b""
        while True:
            yield READ
            part = self.sock.recv(65536)
            if not part:
                raise Wrong(f"it ended after {len(data)} bytes")
            data += part
            while len(data) >= 5 and len(data) >= 5 + int.from_bytes(data[3:5], "big"):
                end = 5 + int.from_bytes(data[3:5], "big")
                if data[0] != 22:
                    raise Wrong(f"a record of type {data[0]}: {data[5:end].hex()[:20]}")
                messages, data = messages + data[5:end], data[end:]
            if self.certificate_is_there(messages):
                return

    def certificate_is_there(self, messages):
        while len(messages) >= 4 and len(messages) >= 4 + int.from_bytes(messages[1:4], "big"):
            kind, end = messages[0], 4 + int.from_bytes(messages[1:4], "big")
            if kind == SERVER_HELLO and self.protocol and alpn(self.protocol) not in messages[:end]:
                raise Wrong("it agreed to no ALPN, or to another")
            if kind == CERTIFICATE:
                self.reached()
                if messages[10:10 + len(self.certificate)] != self.certificate:
                    raise Wrong("the certificate is of another server")
                return True
            messages = messages[end:]
        return False


class Stream:
    """
    `count` calls, `at_once` of them under way, or `per_second` of them begun; without a count, until all counted streams are
    done. `make` returns the next call.
    """

    def __init__(self, make, count=None, at_once=1, per_second=None):
        self.make, self.count, self.at_once, self.per_second = make, count, at_once, per_second
        self.done, self.begun, self.under_way, self.next_at = [], 0, 0, 0.0

    def may_begin(self, others_run):
        if self.count is not None and self.begun == self.count or self.count is None and not others_run:
            return False
        return now() >= self.next_at if self.per_second else self.under_way < self.at_once

    def take(self):
        if self.per_second:  # what a stall has delayed catches up, up to a second of it
            self.next_at = max(self.next_at or now(), now() - 1) + 1 / self.per_second
        self.begun += 1
        self.under_way += 1
        return self.make()

    def finished(self):
        return self.count is None or len(self.done) >= self.count

    # What became of them.

    def failures(self):
        """How many failed, by reason."""
        return Counter(call.error for call in self.done if call.error)

    def good(self):
        return [call for call in self.done if not call.error]

    def milliseconds(self, share=0.5):
        """The time that this share of the calls took at most."""
        times = sorted(call.seconds * 1000 for call in self.good())
        return times[min(len(times) - 1, int(len(times) * share))] if times else float("nan")

    def mean(self):
        return statistics.fmean(call.seconds * 1000 for call in self.good())

    def __str__(self):
        failures = ", ".join(f"{number} x {why}" for why, number in self.failures().most_common(4))
        return f"{len(self.good())} of {len(self.done)}" + (f" ({failures})" if failures else "")


class Runner:
    """Runs streams until they are done; see run()."""

    def __init__(self, streams, timeout):
        self.streams, self.timeout = streams, timeout
        self.selector = selectors.DefaultSelector()
        self.calls = {}  # descriptor -> (call, its generator, its stream), in the order of their beginning

    def begin(self, stream):
        call = stream.take()
        call.begin()
        number = call.sock.fileno()
        self.calls[number] = call, call.steps(), stream
        self.selector.register(number, WRITE, number)
        self.advance(number)

    def advance(self, number):
        call, steps, _ = self.calls[number]
        try:
            events = next(steps)
        except StopIteration:
            self.end(number)
        except (OSError, Wrong) as error:
            self.end(number, f"{type(error).__name__}: {getattr(error, 'reason', None) or error}")
        else:
            self.selector.modify(number, events, number)

    def end(self, number, error=None):
        call, _, stream = self.calls.pop(number)
        self.selector.unregister(number)
        call.error = error
        call.end()
        stream.under_way -= 1
        stream.done.append(call)

    def expire(self):
        for number, (call, _, _) in list(self.calls.items()):
            if now() - call.began < self.timeout:
                return  # those behind it are younger
            self.end(number, f"nothing more within {self.timeout:g} s")

    def run(self):
        while True:
            others_run = not all(stream.finished() for stream in self.streams)
            for stream in self.streams:
                while stream.may_begin(others_run):
                    self.begin(stream)
            if not self.calls and not others_run:
                break
            paced = [stream.next_at for stream in self.streams if stream.per_second and not stream.finished()]
            wait = min([0.2, *[at - now() for at in paced]])
            for key, _ in self.selector.select(max(0, wait)):
                self.advance(key.data)
            self.expire()
        self.selector.close()


def run(*streams, namespace=None, timeout=10):
    """Runs the streams' calls from a namespace, until all that have a count are done. Returns the streams."""
    with namespace.inside() if namespace else contextlib.nullcontext():
        Runner(streams, timeout * SCALE).run()
    return streams
