#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
A TLS server as a process of its own, which serves many at once: a responder (RFC 8737) with --acme, else a web server that
answers with the client's address. With --greeting instead of TLS, a server that speaks first. Prints `listening` first.
"""
import argparse
import asyncio
import os
import socket
import ssl
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from hellos import ACME  # noqa: E402

IPPROTO_MPTCP = 262


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--host", action="append", required=True)
    parser.add_argument("--certificate")
    parser.add_argument("--key")
    parser.add_argument("--acme", action="store_true")
    parser.add_argument("--greeting", action="store_true")
    parser.add_argument("--device")
    parser.add_argument("--mptcp", action="store_true")
    parser.add_argument("--backlog", type=int, default=4096)
    return parser.parse_args()


def listener(options, host):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, IPPROTO_MPTCP if options.mptcp else 0)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if options.device:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, options.device.encode())
    sock.bind((host, options.port))
    return sock


async def respond(reader, writer):
    """A validation: the certificate was all."""
    try:
        await reader.read()
    except OSError:
        pass  # a client that does not wait for the end
    writer.close()


async def serve(reader, writer):
    try:
        if await reader.readuntil(b"\r\n\r\n"):
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + writer.get_extra_info("peername")[0].encode() + b"\n")
            await writer.drain()
    except (OSError, asyncio.IncompleteReadError) as error:
        print(repr(error), flush=True)
    writer.close()


async def greet(reader, writer):
    writer.write(b"220 www.example.test\r\n")
    try:
        writer.write(await reader.readline())
        await writer.drain()
    except OSError as error:
        print(repr(error), flush=True)
    writer.close()


async def main():
    options = arguments()
    context = None
    if not options.greeting:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(options.certificate, options.key)
        context.num_tickets = 0  # a client that closes without having read them would reset
        if options.acme:
            context.set_alpn_protocols([ACME.decode()])
    handler = greet if options.greeting else respond if options.acme else serve
    for host in options.host:
        await asyncio.start_server(handler, sock=listener(options, host), backlog=options.backlog, ssl=context)
    print("listening", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
