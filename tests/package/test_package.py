# SPDX-License-Identifier: BSD-2-Clause
"""
The Debian package: built, then installed, configured, upgraded, removed and purged in a copy-on-write view of this machine,
whose upper layer shows each file that was touched. `make check-package`; needs root.
"""
import ctypes
import glob
import os
import re
import shutil
import subprocess
import time

import pytest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CONFIG = "etc/alpnbpf/alpnbpf.conf"
UNITS = sorted(os.path.basename(name).removesuffix(".in") for kind in ("service", "socket")
               for name in glob.glob(os.path.join(ROOT, "tools/systemd", f"*.{kind}*")))
SYSUSERS = ["alpnbpf.conf"] if os.path.exists(os.path.join(ROOT, "tools/systemd/alpnbpf.sysusers")) else []
# Files that dpkg, adduser and triggers of other packages write themselves.
NOT_OURS = re.compile(r"(var/(lib/(dpkg|man-db|systemd/deb-systemd-helper-enabled)|log|cache|tmp|backups)|tmp|root|run|proc|sys|dev)(/|$)"
                      r"|etc/(passwd|group|shadow|gshadow|subuid|subgid)-?$|etc/\.pwd\.lock$")


def run(*command, code=0):
    result = subprocess.run(command, capture_output=True, text=True)
    assert code is None or result.returncode == code, f"{' '.join(command)}:\n{result.stdout}{result.stderr}"
    return result.stdout + result.stderr


@pytest.fixture(scope="session")
def package():
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    started = time.time()
    result = subprocess.run(["make", "-C", ROOT, "deb"], capture_output=True, text=True, env=env)
    assert result.returncode == 0, result.stdout[-5000:] + result.stderr[-2000:]
    built = [name for name in glob.glob(os.path.join(ROOT, "build", "alpnbpf_*.deb")) if os.path.getmtime(name) >= started - 1]
    assert len(built) == 1, built
    return built[0]


class View:
    """This machine, as `root`; all writes go to `upper`."""

    def __init__(self, directory):
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.unshare(0x00020000) == 0, os.strerror(ctypes.get_errno())  # CLONE_NEWNS
        run("mount", "--make-rprivate", "/")
        run("mount", "-t", "tmpfs", "none", directory)
        self.upper, self.root = directory / "upper", directory / "root"
        for folder in (self.upper, directory / "work", self.root):
            folder.mkdir()
        run("mount", "-t", "overlay", "overlay", "-o",
            f"lowerdir=/,upperdir={self.upper},workdir={directory / 'work'}", self.root)
        for kind, where in (("proc", "proc"), ("sysfs", "sys"), ("tmpfs", "run")):
            run("mount", "-t", kind, kind, self.root / where)
        run("mount", "--bind", "/dev", self.root / "dev")
        # No services start in the view.
        policy = self.root / "usr/sbin/policy-rc.d"
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)
        # It seems to run systemd: actions on services are recorded.
        (self.root / "run/systemd/system").mkdir(parents=True)
        (self.root / "usr/bin/deb-systemd-invoke").unlink()
        invoke = self.root / "usr/bin/deb-systemd-invoke"
        invoke.write_text('#!/bin/sh\necho "$@" >>/run/invoked\n')
        invoke.chmod(0o755)
        # A machine without the package.
        self.run("dpkg", "--purge", "alpnbpf", code=None)
        self.start = self.changes()

    def run(self, *command, code=0):
        return run("chroot", self.root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8", *command, code=code)

    def invoked(self):
        """The service actions since the last call."""
        path = self.root / "run/invoked"
        asked = path.read_text().splitlines() if path.exists() else []
        path.unlink(missing_ok=True)
        return asked

    def changes(self):
        """Files, links and removed files of the upper layer that are not dpkg's own; and the account files."""
        paths = (os.path.relpath(os.path.join(folder, name), self.upper) for folder, folders, names in os.walk(self.upper)
                 for name in names + [name for name in folders if os.path.islink(os.path.join(folder, name))])
        accounts = [(self.root / "etc" / name).read_text() for name in ("passwd", "group")]
        return {path for path in paths if not NOT_OURS.match(path)}, accounts


@pytest.fixture(scope="session")
def view(package, tmp_path_factory):
    view = View(tmp_path_factory.mktemp("view"))
    shutil.copy(package, view.root / "tmp/alpnbpf.deb")
    return view


def links(view):
    """What is enabled."""
    return [name for name in glob.glob(f"{view.root}/etc/systemd/system/**/*alpnbpf*", recursive=True) if os.path.islink(name)]


def test_version_and_dependencies(package):
    with open(os.path.join(ROOT, "Makefile")) as file:
        version = re.search(r"^VERSION := (\S+)", file.read(), re.MULTILINE).group(1)
    fields = dict(line.split(": ", 1) for line in run("dpkg-deb", "--field", package).splitlines() if re.match(r"\w[\w-]*: ", line))
    assert fields["Package"] == "alpnbpf" and fields["Version"] == version and fields["Section"] == "net"
    assert "libbpf1" in fields["Depends"] and "libc6" in fields["Depends"]


def test_build_dependencies_are_those_of_make_deps():
    with open(os.path.join(ROOT, "tools/deps")) as file:
        known = set(re.search(r'^build="([^"]*)"', file.read(), re.MULTILINE).group(1).split())
    with open(os.path.join(ROOT, "tools/debian/control")) as file:
        wanted = re.search(r"^Build-Depends: (.*?)\n\n", file.read() + "\n\n", re.MULTILINE | re.DOTALL).group(1)
    wanted = re.sub(r"\n\S.*", "", wanted, flags=re.DOTALL)
    names = {part.strip().split()[0] for part in wanted.split(",") if "<!nocheck>" not in part}
    # What build-essential brings is not to be named.
    assert names - {"debhelper-compat"} == known - {"make", "gcc", "libc6-dev"}


def test_lintian(package):
    run("lintian", "--allow-root", "--fail-on", "error", package)


def documents():
    """Of docs/; what is more than 4 KiB is compressed, as Debian's policy asks for."""
    for path in glob.glob(os.path.join(ROOT, "docs", "*.md")):
        yield f"usr/share/doc/alpnbpf/docs/{os.path.basename(path)}" + (".gz" if os.path.getsize(path) > 4096 else "")


def test_contents(package):
    names = {line.split(maxsplit=5)[5].removeprefix("./") for line in run("dpkg-deb", "--contents", package).splitlines()
             if not line.startswith("d")}
    assert names == {
        CONFIG, "usr/sbin/alpnbpf", "usr/share/man/man8/alpnbpf.8.gz", "usr/share/bash-completion/completions/alpnbpf",
        "usr/share/zsh/vendor-completions/_alpnbpf", "usr/share/fish/vendor_completions.d/alpnbpf.fish",
        *(f"usr/share/doc/alpnbpf/{name}" for name in ("README.md.gz", "changelog.gz", "copyright")), *documents(),
        *(f"lib/systemd/system/{unit}" for unit in UNITS), *(f"usr/lib/sysusers.d/{name}" for name in SYSUSERS)}


def check_rights(view):
    """Nobody gains any by executing what is installed: neither by the package's files nor by what its scripts do."""
    for name in view.run("dpkg", "--listfiles", "alpnbpf").split("\n"):
        path = f"{view.root}{name}"
        if name and not os.path.islink(path):
            assert not os.stat(path).st_mode & 0o6002, name
            assert "security.capability" not in os.listxattr(path), name


def test_a_life_of_the_package(view):
    # Installed: it runs, with a user and a configuration, and nothing is started or enabled.
    view.run("dpkg", "--install", "/tmp/alpnbpf.deb")
    check_rights(view)
    assert view.run("alpnbpf", "version").startswith("alpnbpf ")
    assert "/usr/share/man/man8/alpnbpf.8" in view.run("dpkg", "--listfiles", "alpnbpf")
    assert "check: " in view.run("alpnbpf", "check", "--config", f"/{CONFIG}", code=None)
    assert re.search(r"^alpnbpf:x:\d+:\d+:.*:/nonexistent:/usr/sbin/nologin$", view.run("getent", "passwd", "alpnbpf"), re.MULTILINE)
    assert not links(view) and not view.invoked()
    if shutil.which("zsh"):
        assert view.run("zsh", "-fc", "autoload -U compinit; compinit -D; echo $_comps[alpnbpf]").strip() == "_alpnbpf"

    # Enabled by the administrator.
    offline = ("env", "SYSTEMD_OFFLINE=1", "systemctl")
    for unit in UNITS:
        assert view.run(*offline, "is-enabled", unit, code=None).strip() in ("disabled", "static"), unit
        view.run(*offline, "enable", unit)
    assert bool(links(view)) == bool(UNITS)

    # Installed again, as an upgrade does: the configuration stays.
    config = view.root / CONFIG
    config.write_text(config.read_text() + "log-level = warn\n")
    view.run("dpkg", "--force-confold", "--install", "/tmp/alpnbpf.deb")
    assert config.read_text().endswith("log-level = warn\n") and bool(links(view)) == bool(UNITS)

    assert view.invoked() == (["try-restart " + " ".join(UNITS)] if UNITS else [])

    # Removed: the configuration stays. Purged: nothing does.
    view.run("dpkg", "--remove", "alpnbpf")
    assert view.invoked()[:1] == (["stop alpnbpf.socket alpnbpf.service"] if UNITS else [])
    assert config.exists() and not (view.root / "usr/sbin/alpnbpf").exists()
    view.run("dpkg", "--purge", "alpnbpf")
    assert view.changes() == view.start
    assert not links(view) and not (view.root / "etc/alpnbpf").exists()
    assert not list((view.root / "var/lib/systemd").rglob("*alpnbpf*"))
