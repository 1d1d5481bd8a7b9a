# SPDX-License-Identifier: BSD-2-Clause
"""The processes below one: its command, and the repair helper."""
from children import children_of, comm_of
from children import others as children  # without those of the program
from waiting import wait_until

REPAIR = "alpnbpf-repair"

__all__ = ["children", "helper_of"]


def helper_of(pid):
    """The repair helper's pid."""
    return wait_until(lambda: next((child for child in children_of(pid) if comm_of(child) == REPAIR), None), 5,
                      "the repair helper")
