# SPDX-License-Identifier: BSD-2-Clause
"""Stops one thread of a process, as if it hung, by ptrace(2), while the others continue."""
import contextlib
import ctypes
import os

from waiting import wait_until

PTRACE_DETACH, PTRACE_SEIZE, PTRACE_INTERRUPT = 17, 0x4206, 0x4207
WALL = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


def _ptrace(request, thread):
    if _libc.ptrace(request, thread, None, None):
        raise OSError(ctypes.get_errno(), "ptrace")


def thread_of(pid, name):
    """None if there is no such thread, or it has not set its name yet."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/comm") as file:
            if file.read().strip() == name:
                return int(thread)
    return None


@contextlib.contextmanager
def stopped(pid, name):
    """The thread `name` of the process, until the end of the block. From one thread of the test."""
    thread = wait_until(lambda: thread_of(pid, name), 5, f"a thread {name}")
    _ptrace(PTRACE_SEIZE, thread)
    _ptrace(PTRACE_INTERRUPT, thread)
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        _ptrace(PTRACE_DETACH, thread)
