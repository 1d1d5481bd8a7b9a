# SPDX-License-Identifier: BSD-2-Clause
"""
A minimal container engine, for one container: namespaces, a root file system, a user, exactly the given capabilities, then
the program. The network namespace is the caller's: the pod's.

    python3 engine.py run  SETTINGS PROGRAM ARGUMENT ...    as PID 1; ends with its code
    python3 engine.py exec SETTINGS PROGRAM ARGUMENT ...    beside PID 1, as a probe is run
"""
import ctypes
import json
import os
import sys

CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC, CLONE_NEWPID = 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x20000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_BIND, MS_REC, MS_PRIVATE = 1, 2, 4, 8, 32, 4096, 16384, 1 << 18
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 1, 24, 38
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}[os.uname().machine]
CAPABILITIES = {"NET_BIND_SERVICE": 10, "NET_ADMIN": 12, "PERFMON": 38, "BPF": 39}
NAMESPACES = ("cgroup", "ipc", "uts", "pid", "mnt")

_libc = ctypes.CDLL(None, use_errno=True)


def call(name, *arguments):
    words = [ctypes.c_char_p(os.fsencode(a)) if isinstance(a, (str, os.PathLike)) else ctypes.c_ulong(a) if a is not None else None
             for a in arguments]
    if getattr(_libc, name)(*words) < 0:
        error = ctypes.get_errno()
        raise OSError(error, f"{name}{arguments}: {os.strerror(error)}")


def mount_all(root, uid):
    """Mounts the root, and what every engine puts into it."""
    call("mount", None, "/", None, MS_REC | MS_PRIVATE, None)
    call("mount", root, root, None, MS_BIND, None)
    for name in ("proc", "sys", "dev", "run"):
        os.makedirs(os.path.join(root, name), exist_ok=True)
    os.makedirs(os.path.join(root, "run/alpnbpf"), exist_ok=True)
    quiet = MS_NOSUID | MS_NODEV | MS_NOEXEC
    call("mount", "proc", root + "/proc", "proc", quiet, None)
    call("mount", "sysfs", root + "/sys", "sysfs", quiet | MS_RDONLY, None)
    call("mount", "cgroup", root + "/sys/fs/cgroup", "cgroup2", quiet | MS_RDONLY, None)
    call("mount", "tmpfs", root + "/dev", "tmpfs", MS_NOSUID | MS_NOEXEC, "mode=755")
    os.mknod(root + "/dev/null", 0o20666, os.makedev(1, 3))
    os.chmod(root + "/dev/null", 0o666)
    call("mount", "tmpfs", root + "/run/alpnbpf", "tmpfs", quiet, f"mode=750,uid={uid},gid={uid}")
    # Read-only; and without nosuid, should the folder be on such a file system: it would turn file capabilities off.
    call("mount", None, root, None, MS_REMOUNT | MS_BIND | MS_RDONLY, None)
    os.chdir(root)
    call("syscall", SYS_PIVOT_ROOT, ".", ".")
    call("umount2", ".", MNT_DETACH)
    os.chdir("/")


def become(settings):
    """Becomes the user, with exactly this bounding set; capabilities come from the file."""
    wanted = {CAPABILITIES[name] for name in settings["capabilities"]}
    with open("/proc/sys/kernel/cap_last_cap") as file:
        last = int(file.read())
    for capability in range(last + 1):
        if capability not in wanted:
            call("prctl", PR_CAPBSET_DROP, capability, 0, 0, 0)
    os.setgroups([])
    os.setresgid(*[settings["user"]] * 3)
    os.setresuid(*[settings["user"]] * 3)
    if settings.get("no_new_privs"):
        call("prctl", PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def start(command, settings, prepare):
    """In a child: the first of a new pid namespace, or one more of another."""
    child = os.fork()
    if child == 0:
        try:
            call("prctl", PR_SET_PDEATHSIG, 9, 0, 0, 0)
            prepare()
            become(settings)
            os.execve(command[0], command, settings.get("environment", {}))
        except OSError as error:
            print(f"engine: {command[0]}: {error.strerror}", file=sys.stderr, flush=True)
        os._exit(126)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def main():
    action, settings, command = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
    if action == "run":
        call("unshare", CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWPID)
        code = start(command, settings, lambda: mount_all(settings["root"], settings["user"]))
    else:
        handles = [os.open(f"/proc/{settings['pid']}/ns/{name}", os.O_RDONLY) for name in NAMESPACES]
        for handle in handles:
            call("setns", handle, 0)
        os.chdir("/")
        code = start(command, settings, lambda: None)
    sys.exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
