#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""
Runs a command as a service manager would start it:
as_service.py [--fds N,N] [--watchdog USEC] [--filter CALL,CALL] [--refuse CALL,CALL] -- COMMAND ...
Moves the descriptors to 3, 4, ...; LISTEN_PID and WATCHDOG_PID are the command's. --filter allows only these system calls,
--refuse all others.
"""
import argparse
import ctypes
import fcntl
import os
import subprocess

PR_SET_NO_NEW_PRIVS = 38
ALLOW, ERRNO_EPERM = 0x7FFF0000, 0x00050001


def filter_groups():
    """{"@group": [names and groups]}, as systemd has them built in."""
    groups, group = {}, None
    for line in subprocess.run(["systemd-analyze", "syscall-filter"], capture_output=True, text=True,
                               check=True).stdout.splitlines():
        word = line.strip()
        if line.startswith("@"):
            group = groups.setdefault(line.strip(), [])
        elif line.startswith(" ") and group is not None and word and not word.startswith("#"):
            group.append(word)
    return groups


def expand(names, groups):
    found = set()
    for name in names:
        found |= expand(groups[name], groups) if name.startswith("@") else {name}
    return found


def allowed_by(unit):
    """The calls that the lines SystemCallFilter= of a unit leave, in their order."""
    groups, allowed = filter_groups(), set()
    with open(unit) as file:
        lines = [line.strip().partition("=")[2] for line in file if line.startswith("SystemCallFilter=")]
    for line in lines:
        if line.startswith("~"):
            allowed -= expand(line[1:].split(), groups)
        else:
            allowed |= expand(line.split(), groups)
    return allowed | expand(["@default"], groups)


def load_filter(names, these, others):
    seccomp = ctypes.CDLL("libseccomp.so.2")
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(ctypes.c_uint32(others)))
    for name in names:
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number >= 0 and seccomp.seccomp_rule_add_array(context, ctypes.c_uint32(these), number, 0, None):
            raise OSError(f"seccomp: no rule for {name}")
    ctypes.CDLL(None).prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    if seccomp.seccomp_load(context):
        raise OSError("seccomp: the filter cannot be loaded")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--fds", type=lambda text: [int(fd) for fd in text.split(",")], default=[])
    parser.add_argument("--watchdog", type=int)
    parser.add_argument("--filter")
    parser.add_argument("--refuse")
    parser.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    high = [fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, 100) for fd in arguments.fds]  # out of the way of 3, 4, …
    for number, fd in enumerate(high, 3):
        os.dup2(fd, number)
    for fd in set(arguments.fds) - set(range(3, 3 + len(high))):
        os.close(fd)
    if high:
        os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=str(len(high)))
    if arguments.watchdog:
        os.environ.update(WATCHDOG_PID=str(os.getpid()), WATCHDOG_USEC=str(arguments.watchdog))
    if arguments.filter:
        load_filter(arguments.filter.split(","), ALLOW, ERRNO_EPERM)
    if arguments.refuse:
        load_filter(arguments.refuse.split(","), ERRNO_EPERM, ALLOW)
    os.execvp(arguments.command[0], arguments.command)


if __name__ == "__main__":
    main()
