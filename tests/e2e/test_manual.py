# SPDX-License-Identifier: BSD-2-Clause
"""The manual page: the options of --help, neither more nor less."""
import os
import re
import subprocess

from router import BINARY, ROOT


def options_of_help():
    text = subprocess.run([BINARY, "attach", "--help"], capture_output=True, text=True, check=True).stdout
    return set(re.findall(r"^  (--[a-z-]+(?: \S+)?)", text, re.MULTILINE))


def options_of_manual():
    with open(os.path.join(ROOT, "tools", "man", "alpnbpf.8.scd")) as file:
        section = file.read().split("# OPTIONS\n")[1].split("\n# ")[0]
    lines = [line.replace("*", "").replace("_", "") for line in section.splitlines() if line.startswith("*--")]
    both = [part for line in lines for part in line.split(", ")]
    return {option for option in both if not option.startswith("-- ")}


def test_options_are_those_of_help():
    help_, manual = options_of_help(), options_of_manual()
    assert len(help_) > 20 and help_ == manual, help_ ^ manual
