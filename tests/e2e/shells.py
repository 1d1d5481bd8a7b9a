# SPDX-License-Identifier: BSD-2-Clause
"""What the real shells offer for the start of a command line, with the completions of this program."""
import os
import pty
import re
import subprocess
import threading

from services import need
from waiting import wait_until


def bash(directory, line):
    """As bash calls the function: words broken at blanks, = and :."""
    words = [part for word in re.split(r" +", line) for part in re.findall(r"[=:]|[^=:]+", word) or [""]]
    script = f'source {directory}/alpnbpf; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _alpnbpf; ' \
        'printf "%s\\n" "${COMPREPLY[@]}"; complete -p alpnbpf >&2'
    result = subprocess.run([need("bash"), "--norc", "-c", script, "bash", *words], capture_output=True, text=True, check=True,
                            cwd=directory)
    assert "complete -F _alpnbpf alpnbpf" in result.stderr, result.stderr
    replaced = words[-1] if words[-1] not in ("=", ":") else ""
    before = line.split(" ")[-1].removesuffix(replaced)
    return {before + reply for reply in result.stdout.split("\n") if reply}


def fish(directory, line):
    script = f"source {directory}/alpnbpf.fish; complete -C $argv[1]"
    result = subprocess.run([need("fish"), "--no-config", "-c", script, line], capture_output=True, text=True, check=True,
                            cwd=directory, env={**os.environ, "HOME": str(directory)})
    assert not result.stderr, result.stderr
    return {reply.split("\t")[0] for reply in result.stdout.splitlines()}


class Zsh:
    """One that believes it has a terminal; what its completion would offer goes to a file, as well as to the terminal."""

    SETUP = """
        PS1= PS2= RPS1=; unsetopt zle_bracketed_paste 2>/dev/null; fpath=({directory} $fpath)
        autoload -Uz compinit; compinit -u -D
        compadd() {{
            local -a hits; builtin compadd -O hits "$@"; builtin print -rl -- $hits >>{offers}; builtin compadd "$@"
        }}
        show() {{ zle complete-word; builtin print -r -- END >>{offers}; zle kill-buffer }}
        zle -N show; bindkey '^T' show; bindkey -r '^[' 2>/dev/null
        builtin print -r -- START >{offers}
    """

    def __init__(self, directory):
        self.offers = directory / "zsh-offers"
        setup = directory / "zsh-setup"
        setup.write_text(self.SETUP.format(directory=directory, offers=self.offers))
        master, slave = pty.openpty()
        self.process = subprocess.Popen([need("zsh"), "-f", "-i"], stdin=slave, stdout=slave, stderr=slave,
                                        start_new_session=True, cwd=directory, env={**os.environ, "TERM": "dumb"})
        os.close(slave)
        self.terminal = master
        threading.Thread(target=self._drain, daemon=True).start()
        self.type(f"source {setup}\n")
        wait_until(lambda: self.offers.exists() and "START" in self.offers.read_text(), 10, "zsh with its completions")

    def _drain(self):
        try:
            while os.read(self.terminal, 65536):
                pass
        except OSError:
            pass

    def type(self, text):
        os.write(self.terminal, text.encode())

    def __call__(self, _, line):
        self.offers.write_text("")
        self.type(line + "\x14")
        wait_until(lambda: "END\n" in self.offers.read_text(), 10, f"an answer of zsh to {line}")
        return {offer for offer in self.offers.read_text().split("\n") if offer not in ("", "END")}

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.terminal)
