# SPDX-License-Identifier: BSD-2-Clause
"""`make install` into a separate folder, and `make uninstall`, which keeps files of others."""
import os
import re
import subprocess

import pytest

from control import command
from router import ROOT
from static_build import make

# Present if this tree has units for systemd.
SYSTEMD = {"alpnbpf.service.in": "lib/systemd/system/alpnbpf.service", "alpnbpf.socket": "lib/systemd/system/alpnbpf.socket",
           "alpnbpf.sysusers": "lib/sysusers.d/alpnbpf.conf"}
DOCUMENTS = os.listdir(os.path.join(ROOT, "docs"))
UNITS = {target for source, target in SYSTEMD.items() if os.path.exists(os.path.join(ROOT, "tools/systemd", source))}


def tree(directory):
    return {os.path.relpath(os.path.join(folder, name), directory) for folder, _, names in os.walk(directory) for name in names}


@pytest.mark.parametrize("prefix", ["usr", "opt/alpnbpf"])
def test_install_and_uninstall(tmp_path, prefix):
    where = [f"DESTDIR={tmp_path}", f"PREFIX=/{prefix}"]
    make("install", *where)
    assert tree(tmp_path) == {f"{prefix}/{name}" for name in (
        "sbin/alpnbpf", "share/man/man8/alpnbpf.8", "share/doc/alpnbpf/README.md",
        *(f"share/doc/alpnbpf/docs/{name}" for name in DOCUMENTS), "share/doc/alpnbpf/examples/alpnbpf.conf",
        "share/bash-completion/completions/alpnbpf",
        "share/zsh/site-functions/_alpnbpf", "share/fish/vendor_completions.d/alpnbpf.fish", *UNITS)}
    binary = tmp_path / prefix / "sbin/alpnbpf"
    assert os.stat(binary).st_mode & 0o7777 == 0o755
    assert os.listxattr(binary) == []  # whoever may execute it must not get capabilities by that
    assert subprocess.run([binary, "version"], capture_output=True, text=True, check=True).stdout.startswith("alpnbpf ")
    page = (tmp_path / prefix / "share/man/man8/alpnbpf.8").read_text()
    assert '.TH "alpnbpf" "8"' in page and "In place" in page

    foreign = tmp_path / prefix / "share/zsh/site-functions/_other"
    foreign.write_text("")
    make("uninstall", *where)
    assert tree(tmp_path) == {f"{prefix}/share/zsh/site-functions/_other"}
    assert not (tmp_path / prefix / "share/doc/alpnbpf").exists()


def test_file_capabilities_are_for_a_group_alone():
    """
    Whoever may execute a file with capabilities has them. Nothing that installs gives it any, and where a document or the
    image does, the file was restricted before.
    """
    places = subprocess.run(["grep", "-rlE", r"\b(setcap|setpcaps|cap_set_file|CAP_SETFCAP)\b", "--include=*", "README.md", "docs", "tools", "Makefile"],
                            cwd=ROOT, capture_output=True, text=True).stdout.split()
    places = [place for place in places if not place.startswith("tools/bench")]
    assert sorted(places) == ["docs/OPERATIONS.md", "docs/containers.md", "tools/container/Containerfile"]
    for place in places:
        with open(os.path.join(ROOT, place)) as file:
            text = file.read()
        for use in re.finditer(r"setcap cap_", text):
            assert re.search(r"(chmod|-m) 0750 ", text[max(0, use.start() - 300):use.start()]), place


def test_the_example_configuration(tmp_path):
    """What the package puts into /etc: valid as it stands, and with every line that is a comment in it."""
    example = os.path.join(ROOT, "tools", "alpnbpf.conf")
    with open(example) as file:
        lines = file.read().splitlines()
    assert [line for line in lines if line and not line.startswith("#")] == ["acme = 10443", "https = 443"]
    options = [line.lstrip("#") for line in lines if line.startswith("#") and " = " in line and not line.startswith("# ")]
    assert len(options) >= 6
    front = next(option for option in options if option.startswith("https"))
    in_front = [front if line.startswith("https") else line for line in lines]
    path = tmp_path / "alpnbpf.conf"

    def run(name, config):
        path.write_text("\n".join(config) + "\n")
        return command(name, "--config", path)

    for config in lines, in_front:
        code, out, error = run("check", config)
        assert code in (0, 1) and "check: " in out, error
    for option in options:  # read in full, though but for the routes nothing of it is used
        assert option == front or run("inspect", [*in_front, option])[0] == 0, option
