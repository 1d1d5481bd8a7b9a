# SPDX-License-Identifier: BSD-2-Clause
"""How a client sends its first bytes."""
from waiting import pause


def at_once(client, wire):
    client.send(wire)


def byte_by_byte(client, wire):
    client.send_split(wire, 1)


def in_two(client, wire):
    """A slow client: the program has accepted and parsed the first half before the second is sent."""
    client.send(wire[:len(wire) // 2])
    pause(0.1)
    client.send(wire[len(wire) // 2:])
