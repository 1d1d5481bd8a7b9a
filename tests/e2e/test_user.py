# SPDX-License-Identifier: BSD-2-Clause
"""The user that the program runs as once it is set up, and what that user must be able to do: --user, and its default."""
import grp
import os
import pwd
import subprocess
import urllib.request

import pytest

from control import UNPRIVILEGED, command, name_of, path_of, status
from hellos import https_hello
from in_place import tasks
from netns import open_directory
from sockets import free_port

HELLO = https_hello()
USER = "alpnbpf"


def as_root_with(*names):
    """Root as containers have it: with a few capabilities."""
    names = ",".join(f"+{name}" for name in names)
    return ["setpriv", f"--inh-caps=-all,{names}", f"--bounding-set=-all,{names}", "--"]


# Another mount namespace, in which only the accounts of the machine exist.
WITHOUT_ACCOUNT = ["unshare", "--mount", "sh", "-c", 'umount /etc/passwd /etc/group; exec "$@"', "-"]


def identities(router):
    """(uid, gid, supplementary groups) of each thread: real, effective, saved and that of files are the same."""
    found = set()
    for pid, task in tasks(router):
        with open(f"/proc/{pid}/task/{task}/status") as file:
            lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        uids, gids = set(lines["Uid"].split()), set(lines["Gid"].split())
        assert len(uids) == len(gids) == 1, task
        found.add((int(uids.pop()), int(gids.pop()), tuple(map(int, lines["Groups"].split()))))
    return found


def account():
    entry = pwd.getpwnam(USER)
    return entry.pw_uid, entry.pw_gid, tuple(sorted(os.getgrouplist(USER, entry.pw_gid)))


def serve(lab, router, https):
    client, server = lab.session(router, HELLO, https)
    server.send(b"answer").close()
    assert client.read_to_end() == b"answer"
    client.close()


def as_user(uid, gid=None):
    return ["setpriv", "--reuid", str(uid), "--regid", str(gid or uid), "--clear-groups", "--"]


def test_root_becomes_alpnbpf(lab, plane):
    """Root and alpnbpf itself can ask it, nobody else; its files are gone at the end."""
    acme, https = lab.backends()
    port = free_port()
    router = lab.router(acme, https, "--metrics", port, plane=plane)
    assert router.find(f"info running as {USER}$") and not router.find(" warn ")
    ((uid, gid, groups),) = identities(router)
    assert (uid, gid, tuple(sorted(groups))) == account() and len(groups) > 1
    serve(lab, router, https)
    assert status(router)["sandbox"]["user"] == {"holds": True, "is": USER}
    assert metrics(port)['alpnbpf_sandbox{stage="user"}'] == "1"
    name = name_of(router)
    assert f"sandbox      user: {USER}; capabilities: none; " in command("status", "--name", name)[1]
    assert command("status", "--name", name, prefix=as_user(uid, gid))[0] == 0
    assert command("status", "--name", name, prefix=as_user(65534))[0] == 1
    # Not dumpable: another process of the same user learns nothing of it.
    assert subprocess.run([*as_user(uid, gid), "cat", f"/proc/{router.pid}/environ"], capture_output=True).returncode
    router.finish()
    assert not os.path.exists(path_of(name)) and not os.path.exists(path_of(name)[:-5] + ".lock")


def metrics(port):
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
        return dict(line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#")


def test_without_the_account(lab):
    """A user of its own all the same, and not root."""
    acme, https = lab.backends()
    router = lab.router(acme, https, prefix=WITHOUT_ACCOUNT)
    if router.find(f"running as {USER}$"):
        pytest.skip("this machine has the user alpnbpf")
    assert router.find(f"warn there is no user {USER}, so uid 65443, .*; create it \\(useradd --system {USER}\\), or ")
    assert router.find("info running as uid 65443$") and identities(router) == {(65443, 65443, (65443,))}
    serve(lab, router, https)
    assert status(router)["sandbox"]["user"] == {"holds": True, "is": "uid 65443"}
    code, out, _ = command("check", "--acme", acme.endpoint, "--https", https.endpoint, "--listen", str(free_port()),
                           prefix=WITHOUT_ACCOUNT)
    assert code == 0 and f"warn user: there is no user {USER}, so uid 65443" in out


@pytest.mark.parametrize("user, expected", [("64999", (64999, 64999, (64999,))), ("nobody", (65534, 65534, (65534,)))])
def test_another_user(lab, user, expected):
    acme, https = lab.backends()
    router = lab.router(acme, https, "--user", user)
    assert identities(router) == {expected}
    serve(lab, router, https)


@pytest.mark.parametrize("user", ["root", "0"])
def test_root_stays_if_asked_for(lab, user):
    port = free_port()
    router = lab.router(*lab.backends(), "--user", user, "--metrics", port)
    assert router.find("info running as root$") and {found[0] for found in identities(router)} == {0}
    assert status(router)["sandbox"]["user"] == {"holds": False, "is": "root"}
    assert metrics(port)['alpnbpf_sandbox{stage="user"}'] == "0"


def check_refusal(lab, user, said, prefix=()):
    """By attach and by check."""
    acme, https = lab.backends()
    router = lab.failing_router(acme, https, "--user", user, prefix=prefix)
    assert router.wait(10) == 1 and f"error --user {user}: {said}" in router.text()
    code, out, _ = command("check", "--user", user, "--acme", acme.endpoint, "--https", https.endpoint, "--listen",
                           str(free_port()), prefix=prefix)
    assert code == 1 and f"FAIL user: --user {user}: {said}" in out


@pytest.mark.parametrize("user", ["nosuchuser", "4294967295", "-1", "12x"])
def test_an_unknown_user(lab, user):
    check_refusal(lab, user, "no such user")


def test_only_root_can_change(lab):
    check_refusal(lab, USER, "only root can run as another user, and this is uid 65534; leave out --user", UNPRIVILEGED)
    router = lab.router(*lab.backends(), "--user", "nobody", prefix=UNPRIVILEGED)  # which it is
    assert router.find("running as nobody$")


def test_root_without_the_right_to_change(lab):
    """As in a container without CAP_SETUID: it says so, and serves."""
    prefix = as_root_with("bpf", "net_admin", "perfmon", "net_bind_service")
    acme, https = lab.backends()
    router = lab.router(acme, https, prefix=prefix)
    assert router.find("warn staying root, because it cannot become another user: Operation not permitted "
                       r"\(missing CAP_SETUID, CAP_SETGID\)")
    assert status(router)["sandbox"]["user"] == {"holds": False, "is": "root"}
    serve(lab, router, https)
    check_refusal(lab, USER, "cannot run as this user: Operation not permitted (missing CAP_SETUID, CAP_SETGID)", prefix)


def test_root_of_a_user_namespace(lab):
    """In which only root exists."""
    prefix = ["unshare", "--user", "--map-root-user"]
    acme, https = lab.backends()
    router = lab.router(acme, https, prefix=prefix)
    said = "this user namespace or container forbids it; start alpnbpf as another user"
    assert router.find(f"warn staying root, because it cannot become another user: {said}")
    serve(lab, router, https)
    check_refusal(lab, USER, f"cannot run as this user: {said}", prefix)


def test_run_directory_of_root(lab):
    """Root without its override, as in containers, starts in it twice; each removes what it made."""
    folder = open_directory()
    os.chmod(folder, 0o755)
    prefix = as_root_with("bpf", "net_admin", "perfmon", "net_bind_service", "setuid", "setgid")
    for _ in range(2):
        router = lab.router(*lab.backends(), "--name", "one", env={"RUNTIME_DIRECTORY": folder}, prefix=prefix)
        assert not router.find("stays in") and os.listdir(folder)
        assert os.stat(f"{folder}/one.sock").st_uid == 0
        router.finish()
        found = os.stat(folder)
        assert (found.st_uid, found.st_gid, found.st_mode & 0o7777) == (0, account()[1], 0o775)
        assert os.listdir(folder) == []


def test_run_directory_of_others(lab):
    """Its other files are not ours to give away: then our own stay behind, until the next start."""
    folder = open_directory()
    os.chmod(folder, 0o755)
    with open(f"{folder}/other", "w"):
        pass
    env = {"RUNTIME_DIRECTORY": folder}
    router = lab.router(*lab.backends(), "--name", "one", "--metrics", f"unix:{folder}/metrics", env=env)
    assert router.find(f"info the control socket stays in {folder} at the end: {USER} may not remove it")
    assert router.find(f"info the metrics socket stays in {folder} at the end: {USER} may not remove it")
    router.finish()
    assert os.stat(folder).st_mode & 0o7777 == 0o755
    assert sorted(os.listdir(folder)) == ["metrics", "one.lock", "one.sock", "other"]
    router = lab.router(*lab.backends(), "--name", "one", "--metrics", f"unix:{folder}/metrics", env=env)
    assert command("status", "--name", "one", env=env)[0] == 0


def test_a_configuration_for_root_alone(lab):
    """A reload could not read it: that is said at the start, and the running configuration stays."""
    acme, https = lab.backends()
    config = lab.directory / "alpnbpf.conf"
    config.write_text("idle-timeout = 9m\n")
    config.chmod(0o600)
    router = lab.router(acme, https, "--config", config)
    assert router.find(f"warn --config {config}: {USER} cannot read it, so a reload will fail: Permission denied; ")
    code, _, error = command("reload", "--name", name_of(router))
    assert code == 1 and "Permission denied" in error
    serve(lab, router, https)
    config.chmod(0o644)
    assert command("reload", "--name", name_of(router))[0] == 0


def test_a_backend_for_root_alone(lab):
    """It is told of at the start, and the group of the socket mends it."""
    acme, https = lab.listener(), lab.listener(path=lab.socket_path("web"))
    os.chmod(https.path, 0o660)
    router = lab.router(acme, https)
    assert router.find(f"warn https -> .*: {USER} may not write to the socket; give it the socket's group, or choose ")
    os.chown(https.path, 0, grp.getgrnam("alpnbpf-test").gr_gid)
    serve(lab, router, https)
