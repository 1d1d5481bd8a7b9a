# SPDX-License-Identifier: BSD-2-Clause
"""Builds the static binary if necessary, and runs it in a root file system that has no other file."""
import fcntl
import os
import shutil
import subprocess

from router import ROOT

STATIC = os.path.join(ROOT, "build-static", "alpnbpf")


def build_static():
    """Its path."""
    make("static", "-j2")
    return STATIC


def make(*arguments, directory=ROOT):
    # The outer make's flags, and its SANITIZE=1, are about another build.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "SANITIZE")}
    with open(os.path.join(ROOT, "Makefile")) as lock:  # one at a time: tests of other processes make the same files
        fcntl.flock(lock, fcntl.LOCK_EX)
        result = subprocess.run(["make", "-C", directory, "--no-print-directory", *arguments], capture_output=True,
                                text=True, env=env)
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def root_with_nothing_but_it(directory):
    """A root file system of one file."""
    directory.mkdir()
    shutil.copy(build_static(), directory / "alpnbpf")
    return directory
