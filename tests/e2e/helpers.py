# SPDX-License-Identifier: BSD-2-Clause
"""The processes below one: its command, and the repair helper."""
from waiting import wait_until

REPAIR = "alpnbpf-repair"


def _name(pid):
    try:
        with open(f"/proc/{pid}/comm") as file:
            return file.read().strip()
    except FileNotFoundError:
        return None


def _children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [int(child) for child in file.read().split()]


def children(pid):
    """Without the repair helper."""
    return [child for child in _children(pid) if _name(child) != REPAIR]


def helper_of(pid):
    """The repair helper's pid."""
    return wait_until(lambda: next((child for child in _children(pid) if _name(child) == REPAIR), None), 5, "the repair helper")
