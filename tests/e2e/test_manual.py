# SPDX-License-Identifier: BSD-2-Clause
"""The manual page: the options of --help, neither more nor less; and it is installed, and removed again."""
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


def test_readme_has_them_too():
    with open(os.path.join(ROOT, "README.md")) as file:
        section = file.read().split("\n## Options\n")[1].split("\n## ")[0]
    named = set(re.findall(r"`(--[a-z-]+)", section))
    assert {option.partition(" ")[0] for option in options_of_help()} <= named


def test_install_and_uninstall(tmp_path):
    command = ["make", "-C", ROOT, f"DESTDIR={tmp_path}", "PREFIX=/usr"]
    subprocess.run([*command, "install"], check=True, capture_output=True)
    installed = {os.path.relpath(os.path.join(folder, name), tmp_path) for folder, _, names in os.walk(tmp_path)
                 for name in names}
    assert installed == {"usr/sbin/alpnbpf", "usr/share/doc/alpnbpf/README.md", "usr/share/man/man8/alpnbpf.8",
                         "usr/lib/systemd/system/alpnbpf.service", "usr/lib/systemd/system/alpnbpf.socket",
                         "usr/lib/sysusers.d/alpnbpf.conf"}
    unit = (tmp_path / "usr/lib/systemd/system/alpnbpf.service").read_text()
    assert "ExecStart=/usr/sbin/alpnbpf attach --config /etc/alpnbpf/alpnbpf.conf\n" in unit and "@" not in \
        "".join(line for line in unit.splitlines() if line.startswith("Exec"))
    with open(tmp_path / "usr/share/man/man8/alpnbpf.8") as file:
        page = file.read()
    assert '.TH "alpnbpf" "8"' in page and "In place" in page
    subprocess.run([*command, "uninstall"], check=True, capture_output=True)
    assert not [names for _, _, names in os.walk(tmp_path) if names]
