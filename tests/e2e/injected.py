# SPDX-License-Identifier: BSD-2-Clause
"""
A debugger's hand in a process: makes one of its threads do system calls, as code of an attacker in it would, under the
same seccomp list, capabilities and Landlock rules. x86-64 only. One thread of the test uses it.
"""
import ctypes
import os
import platform
import re

HERE = platform.machine() == "x86_64"

CALLS = {  # numbers of x86-64
    "read": 0, "write": 1, "open": 2, "mmap": 9, "mprotect": 10, "ioctl": 16, "pipe": 22, "dup": 32, "socket": 41, "connect": 42,
    "sendto": 44, "recvfrom": 45, "shutdown": 48, "bind": 49, "listen": 50, "socketpair": 53, "setsockopt": 54, "getsockopt": 55,
    "clone": 56, "fork": 57, "execve": 59, "kill": 62, "fcntl": 72, "chdir": 80, "rename": 82, "mkdir": 83, "unlink": 87,
    "chmod": 90, "ptrace": 101, "setuid": 105, "capset": 126, "prctl": 157, "chroot": 161, "mount": 165, "init_module": 175,
    "tgkill": 234, "add_key": 248, "keyctl": 250, "unshare": 272, "splice": 275, "perf_event_open": 298, "prlimit64": 302,
    "setns": 308, "process_vm_readv": 310, "process_vm_writev": 311, "seccomp": 317, "memfd_create": 319, "bpf": 321,
    "execveat": 322, "userfaultfd": 323, "pkey_mprotect": 329, "openat": 257, "pidfd_send_signal": 424, "io_uring_setup": 425,
    "pidfd_open": 434, "clone3": 435, "openat2": 437, "pidfd_getfd": 438, "close": 3,
}

GETREGS, SETREGS, SINGLESTEP, DETACH, SEIZE, INTERRUPT = 12, 13, 9, 17, 0x4206, 0x4207
WALL = 0x40000000
NAMES = ("r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs eflags rsp ss fs_base gs_base ds es fs "
         "gs").split()
SYSCALL = b"\x0f\x05"
ROOM, BELOW = 16384, 4096  # scratch on the thread's stack, and its distance from what is in use

_libc = ctypes.CDLL(None, use_errno=True)
_libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
_libc.ptrace.restype = ctypes.c_long


class Registers(ctypes.Structure):
    _fields_ = [(name, ctypes.c_ulonglong) for name in NAMES]


def _ptrace(request, tid, data=None):
    if _libc.ptrace(request, tid, None, data) < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"ptrace {request:#x}: {os.strerror(number)}")


class Hand:
    """In the thread `tid` of the process `pid`; the other threads go on."""

    def __init__(self, pid, tid=None):
        self.pid, self.tid = pid, tid or pid

    def __enter__(self):
        _ptrace(SEIZE, self.tid)
        _ptrace(INTERRUPT, self.tid)
        os.waitpid(self.tid, WALL)
        self._before = Registers()
        _ptrace(GETREGS, self.tid, ctypes.addressof(self._before))
        self._memory = open(f"/proc/{self.pid}/mem", "r+b", buffering=0)
        self._code = self.peek(self._before.rip, len(SYSCALL))
        self.poke(self._before.rip, SYSCALL)
        self.scratch = (self._before.rsp - BELOW - ROOM) & ~0xFFF
        self._kept = self.peek(self.scratch, ROOM)
        return self

    def __exit__(self, *_):
        self.poke(self._before.rip, self._code)
        self.poke(self.scratch, self._kept)
        _ptrace(SETREGS, self.tid, ctypes.addressof(self._before))
        self._memory.close()
        _ptrace(DETACH, self.tid)

    def peek(self, address, count):
        return os.pread(self._memory.fileno(), count, address)

    def poke(self, address, data):
        assert os.pwrite(self._memory.fileno(), data, address) == len(data)

    def call(self, name, *arguments):
        """Bytes are put into the thread's memory. The result as the kernel gives it: negative is an error's number."""
        registers = Registers.from_buffer_copy(self._before)
        values, at = [], self.scratch
        for argument in arguments:
            if isinstance(argument, str):
                argument = argument.encode() + b"\0"
            if isinstance(argument, bytes):
                self.poke(at, argument)
                values.append(at)
                at += (len(argument) + 15) & ~15
            else:
                values.append(argument & 0xFFFFFFFFFFFFFFFF)
        registers.rax, registers.orig_rax = CALLS[name], 0xFFFFFFFFFFFFFFFF  # nothing to restart
        for register, value in zip(("rdi", "rsi", "rdx", "r10", "r8", "r9"), values + [0] * (6 - len(values))):
            setattr(registers, register, value)
        _ptrace(SETREGS, self.tid, ctypes.addressof(registers))
        _ptrace(SINGLESTEP, self.tid)
        _, status = os.waitpid(self.tid, WALL)
        assert os.WIFSTOPPED(status), f"{name} ended the thread: {status:#x}"
        _ptrace(GETREGS, self.tid, ctypes.addressof(registers))
        return ctypes.c_long(registers.rax).value

    def argument(self, count, skip=0):
        """What the last call has left in the bytes of its first such argument, or behind `skip` bytes."""
        return self.peek(self.scratch + skip, count)


def maps_of(pid):
    """Its BPF maps: {descriptor: (name, type)}; needs bpftool for the names."""
    import json
    from netns import run

    found = {}
    for fd in os.listdir(f"/proc/{pid}/fdinfo"):
        with open(f"/proc/{pid}/fdinfo/{fd}") as file:
            number = re.search(r"^map_id:\s*(\d+)", file.read(), re.M)
        if number:
            about = json.loads(run("bpftool", "-j", "map", "show", "id", number.group(1)))
            found[int(fd)] = (about["name"], about["type"], about["bytes_key"], about["bytes_value"])
    return found
