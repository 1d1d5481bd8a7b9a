# SPDX-License-Identifier: BSD-2-Clause
"""Completions in the real shells: exactly what --help names, for every command; choices, files, and a command."""
import os
import re
import subprocess

import pytest

import shells
from router import BINARY, ROOT

OUTPUT = {"bash": "alpnbpf", "zsh": "_alpnbpf", "fish": "alpnbpf.fish"}


def help_of(*words):
    return subprocess.run([BINARY, *words], capture_output=True, text=True, check=True).stdout


COMMANDS = re.findall(r"^  ([a-z]+) ", help_of("help").split("Commands:")[1], re.MULTILINE)
HELP = {command: dict(re.findall(r"^  (--[a-z-]+)(?: (\S+))?", help_of(command, "--help"), re.MULTILINE))
        for command in COMMANDS if command not in ("help", "version")}


@pytest.fixture(scope="module")
def completions(tmp_path_factory):
    directory = tmp_path_factory.mktemp("completions")
    for shell, name in OUTPUT.items():
        text = subprocess.run([os.path.join(ROOT, "tools/completions/generate"), shell, BINARY], capture_output=True, text=True,
                              check=True).stdout
        (directory / name).write_text(text)
    return directory


@pytest.fixture(scope="module", params=list(OUTPUT))
def offered(request, completions):
    """A function that returns the shell's completions of the last word of a line."""
    complete = shells.Zsh(completions) if request.param == "zsh" else getattr(shells, request.param)
    yield lambda line: complete(completions, line)
    if request.param == "zsh":
        complete.close()


def test_commands(offered):
    assert offered("alpnbpf ") == set(COMMANDS)
    assert offered("alpnbpf he") == {"help"}
    assert offered("alpnbpf help ") == set(COMMANDS)


def test_options_are_those_of_help(offered):
    assert set(HELP) >= {"attach", "check", "inspect"}
    for command, options in HELP.items():
        assert offered(f"alpnbpf {command} --") - {"--"} == set(options), command


def choices(argument):
    head, _, rest = argument.rpartition("=")
    heads = ("https=", "acme=") if head == "ROUTE" else (head + "=" if head else "",)
    return {head + word for head in heads for word in rest.split("|") if word == word.lower()}


def test_choices_are_those_of_help(offered):
    tried = 0
    for command, options in HELP.items():
        for option, argument in options.items():
            if "|" in argument:
                tried += 1
                assert offered(f"alpnbpf {command} {option} ") == choices(argument), (command, option)
    assert tried >= 10


def test_a_word_that_was_begun(offered):
    assert offered("alpnbpf attach --data") == {"--dataplane"}
    assert offered("alpnbpf attach --acme 10443 --listen 127.0.0.1:443 --dataplane u") == {"user"}
    assert offered("alpnbpf attach --proxy-protocol https=") == {"https=v1", "https=v2"}
    assert {word.removeprefix("--dataplane=") for word in offered("alpnbpf attach --dataplane=s")} == {"sockmap"}


def test_nothing_is_made_up(offered):
    """No files are offered for a port or a duration."""
    for line in ("alpnbpf attach --acme ", "alpnbpf check --hello-timeout ", "alpnbpf version "):
        assert offered(line) <= {"10443"}, line


def test_files_and_commands(offered, completions):
    (completions / "site.conf").write_text("")
    for line in ("alpnbpf attach --config sit", "alpnbpf inspect sit"):
        assert offered(line) == {"site.conf"}
    assert offered("alpnbpf attach --acme 1 --https 2 -- unshar") == {"unshare"}
