"""Completion of bash and zsh: whatever command and option the programs have, what their values may be, and what is
alive. In shells as people have them, at a terminal."""
import contextlib
import os
import pty
import re
import select
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from conftest import BUILD, DEADLINE, ROOT

PROGRAMS = ("dhatd", "dhatctl")


@pytest.fixture(scope="module")
def completions(tmp_path_factory):
    """The folder with bash/dhatd, zsh/_dhatd, …: as installed."""
    folder = tmp_path_factory.mktemp("completions")
    for program in PROGRAMS:
        for shell, name in (("bash", program), ("zsh", f"_{program}")):
            made = subprocess.run([ROOT / "daemon/package/completions", shell, BUILD / program], capture_output=True, check=True)
            assert not made.stderr, made.stderr
            (folder / shell).mkdir(exist_ok=True)
            (folder / shell / name).write_bytes(made.stdout)
            subprocess.run([shell, "-n", folder / shell / name], check=True)
    return folder


def help_of(program, *command):
    return subprocess.run([BUILD / program, *command, "--help"], capture_output=True, text=True, check=True).stdout


def commands_of(program):
    return re.findall(r"^  ([a-z]+) ", help_of(program), re.M)


def options_of(program, command):
    """As they stand in its help: "-p", "--pid=", "--wait" (a value is possible)."""
    for names in re.findall(r"^ {2,6}((?:-., )*(?:-.|--[a-z-]+)\S*)", help_of(program, command), re.M):
        for name in names.split(", "):
            yield re.sub(r"=.*", "=", name) if "[=" not in name else name.split("[=")[0]


def bash_replies(folder, program, lines):
    """What is offered for each line of words, of which the last one is being typed."""
    script = [f"source {folder}/bash/{program}"]
    for words in lines:
        listed = " ".join("'" + word + "'" for word in words)
        script.append(f"COMP_WORDS=({listed}); COMP_CWORD={len(words) - 1}; _{program} 2>/dev/null; echo \"${{COMPREPLY[*]}}\"")
    done = subprocess.run(["bash", "-c", "\n".join(script)], capture_output=True, text=True, check=True,
                          env=os.environ | {"PATH": f"{BUILD}:{os.environ['PATH']}"})
    return [line.split() for line in done.stdout.split("\n")[:len(lines)]]


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_of_every_command(program, completions):
    commands = commands_of(program)
    assert len(commands) >= 6
    offered = bash_replies(completions, program, [[program, ""], *([program, command, "-"] for command in commands)])
    assert set(commands) <= set(offered[0])
    in_zsh = (completions / "zsh" / f"_{program}").read_text()
    for command, in_bash in zip(commands, offered[1:]):
        options = list(options_of(program, command))
        assert "--help" in options and set(options) == set(in_bash), command
        block = re.search(rf"^\t{command}\) _arguments(.*?);;$", in_zsh, re.M | re.S)[1]
        assert {option.rstrip("=") for option in options} == set(re.findall(r"^\t\t'\*(-[^=+\[]+)", block, re.M)), command
        assert f"'{command}:" in in_zsh


def test_words_of_options_are_those_the_programs_take(completions):
    words = {("dhatctl", "stats", "--by"): "stack function line file object thread",
             ("dhatctl", "top", "--sort"): "live growth allocs blocks total lost",
             ("dhatctl", "stats", "--trim"): "allocator tokio std all",
             ("dhatctl", "assert", "--allow"): "partial inexact",
             ("dhatctl", "export", "--metric"): "live-bytes live-blocks peak-bytes peak-blocks total-bytes total-blocks",
             ("dhatd", "attach", "--link"): "session multi perf",
             ("dhatd", "run", "--sites"): "result entry"}
    for (program, command, option), expected in words.items():
        # "--by=li" comes as three words, "--by li" as two
        for line in ([program, command, option, "=", ""], [program, command, option, "="]):
            assert bash_replies(completions, program, [line]) == [expected.split()]
        assert f"{option}=" in (completions / "zsh" / f"_{program}").read_text()
    assert bash_replies(completions, "dhatctl", [["dhatctl", "stats", "--by", "fu"]]) == [["function"]]
    (formats,) = bash_replies(completions, "dhatctl", [["dhatctl", "export", "--format", "=", ""]])
    assert {"json", "dhat", "html", "pprof", "folded"} <= set(formats)


def running_in_the_kernel():
    """Its threads, as far as they are seen here: PF_KTHREAD in field 9 of /proc/PID/stat (linux/sched.h)."""
    found = set()
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it has ended
            if int(path.read_text().rpartition(")")[2].split()[6]) & 0x00200000:
                found.add(path.parent.name)
    return found


def test_what_is_alive(completions, daemon, target, socket_path, monkeypatch):
    calm = target("waves")
    calm.expect("ready")
    daemon("attach", "--pid", calm.pid)
    monkeypatch.setenv("DHATD_SOCKET", str(socket_path))
    watched, running = bash_replies(completions, "dhatctl", [["dhatctl", "status", ""], ["dhatctl", "attach", ""]])
    assert watched == [str(calm.pid)]
    assert {str(calm.pid), str(os.getpid())} <= set(running)
    assert not running_in_the_kernel() & set(running)
    numbers, names = bash_replies(completions, "dhatd", [["dhatd", "plan", "-p", str(calm.pid)[:-1]], ["dhatd", "plan", "--name", "=", "wav"]])
    assert str(calm.pid) in numbers and "waves" in names


class Terminal:
    """A shell at a terminal, and what it shows."""

    def __init__(self, argv, setup):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.execvpe(argv[0], argv, os.environ | {"TERM": "dumb", "PATH": f"{BUILD}:{os.environ['PATH']}"})
        self.seen = ""
        self.type(setup + "; echo set-up\n")
        self.expect(r"\nset-up")

    def type(self, text):
        os.write(self.fd, text.encode())

    def expect(self, pattern):
        end = time.monotonic() + DEADLINE
        while not re.search(pattern, self.seen):
            assert time.monotonic() < end, self.seen
            if select.select([self.fd], [], [], 0.1)[0]:
                self.seen += os.read(self.fd, 65536).decode(errors="replace").replace("\r", "")

    def close(self):
        os.close(self.fd)
        os.waitpid(self.pid, 0)


SHELLS = {
    "bash": (["bash", "--norc", "--noprofile", "-i"], "source {folder}/bash/dhatctl; source {folder}/bash/dhatd"),
    "zsh": (["zsh", "-f", "-i"], "fpath=({folder}/zsh $fpath); autoload -Uz compinit; compinit -u -D"),
}


@pytest.mark.parametrize("shell", SHELLS)
def test_at_a_terminal(shell, completions):
    if not shutil.which(shell):
        pytest.fail(f"{shell} is missing; run: sudo make deps-test")
    argv, setup = SHELLS[shell]
    terminal = Terminal(argv, setup.format(folder=completions))
    try:
        for typed, becomes in (("dhatctl susp\t", r"dhatctl suspects "), ("dhatctl stats --by=o\t", r"--by=object "),
                               ("dhatctl stats --sor\t", r"stats --sort="), ("dhatd attach --max-t\t", r"--max-targets="),
                               ("dhatd run -- /usr/bin/printe\t", r"/usr/bin/printenv "), ("dhatctl top --sort gr\t", r"--sort growth ")):
            terminal.seen = ""
            terminal.type(typed)
            terminal.expect(becomes)
            terminal.type("\x15")  # the line goes
    finally:
        terminal.close()
