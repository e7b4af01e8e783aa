"""A target chooses its name and arguments. They give no orders to the terminal of who watches it, and
forge no lines in a log."""
import os
import re
import shutil
import subprocess
import unicodedata

import pytest

from conftest import BUILD, DEADLINE, ROOT, TARGETS, until

# a title for the terminal, a cleared screen, a line of ours, no UTF-8, C1's CSI, right to left, DEL
HOSTILE = (b"x\x1b]0;PWNED\x07\x1b[2J\ndhatd: attached to 1 (init), all is fine\xff\xc2\x9b31m\xe2\x80\xae"
           b"\xe2\x81\xa6\xe2\x80\xa8\x7f\ttab")


def is_harmless(character):
    return character == "\n" or unicodedata.category(character) not in ("Cc", "Cf", "Zl", "Zp")


def check(output, prefix=None):
    """Harmless bytes only; and each line of a log begins as ours do."""
    text = output.decode()  # it is UTF-8
    bad = [hex(ord(character)) for character in text if not is_harmless(character)]
    assert not bad, (bad, text)
    for line in text.splitlines():
        assert not line.startswith("dhatd: attached to 1 "), text
        assert prefix is None or line.startswith(prefix), text
    return text


@pytest.fixture
def hostile(target, tmp_path):
    """hostile(program, *args): a copy of it under that name, which it also gets as an argument."""

    def start(program, *args):
        path = os.fsdecode(os.fsencode(tmp_path) + b"/" + HOSTILE)
        shutil.copy(TARGETS / program, path)
        name = os.fsdecode(HOSTILE)
        return target_of(path, *args, name)

    def target_of(path, *args):
        from conftest import Process
        process = Process([path, *args], tmp_path, "hostile")
        processes.append(process)
        return process

    processes = []
    yield start
    for process in processes:
        process.close()


def run(*argv, socket):
    return subprocess.run([str(a) for a in argv[:2]] + ["--socket", str(socket)] + [str(a) for a in argv[2:]],
                          capture_output=True, timeout=DEADLINE, stdin=subprocess.DEVNULL)


def test_nothing_that_is_printed(daemon, hostile, socket_path, tmp_path):
    program = hostile("inventory", "fragmented")
    program.expect("^end$")
    dhatd = daemon("attach", "--pid", program.pid)
    ctl = BUILD / "dhatctl"
    for command in (["status"], ["stats"], ["stats", "--json"], ["status", "--json"], ["rss"], ["plan", program.pid],
                    ["plan", "--json", program.pid], ["snapshot", "-o", tmp_path / "a.dhat"],
                    ["stats", tmp_path / "a.dhat"], ["export", tmp_path / "a.dhat", "-o", tmp_path / "a.json"],
                    ["attach", "--pid", program.pid], ["detach", "--pid", program.pid],
                    ["repair", "--pid", program.pid]):
        done = run(ctl, *command, socket=socket_path)
        check(done.stdout)
        check(done.stderr, "dhatctl: ")
        if "stat" in command[0]:
            assert b"PWNED" in done.stdout, command  # the name is there, and harmless
    check((tmp_path / "a.json").read_bytes())
    dhatd.stop()
    log = check(dhatd.err_path.read_bytes(), "dhatd: ")
    assert f"attached to {program.pid} (" in log and "x?]0;PWNED??[2J?dhatd: attached to 1" in log


def test_found_by_name(daemon, hostile):
    program = hostile("inventory", "fragmented")
    program.expect("^end$")
    dhatd = daemon("attach", "--name", "PWNED", pattern="attached to")
    dhatd.stop()
    assert "PWNED" in check(dhatd.err_path.read_bytes(), "dhatd: ")


def test_errors(daemon, hostile, socket_path):
    program = hostile("no_allocator")
    until(lambda: os.readlink(f"/proc/{program.pid}/exe").endswith("tab"), "exec")
    refused = daemon("attach", "--pid", program.pid, wait=False)
    assert refused.wait() == 7
    assert "PWNED" in check(refused.err_path.read_bytes(), "dhatd: ")
    daemon("serve")
    done = run(BUILD / "dhatctl", "attach", "--pid", program.pid, socket=socket_path)
    assert done.returncode == 7
    assert "PWNED" in check(done.stderr, "dhatctl: ")
    check(run(BUILD / "dhatctl", "plan", program.pid, socket=socket_path).stdout)


def test_stderr_is_written_to_in_one_place():
    """daemon/ and cli/ speak by proto/base/say.c, which cleans what it says."""
    direct = re.compile(r"fprintf\(stderr|fputs\([^;]*stderr|\bperror\(|\bd?printf\(2,")
    found = [str(path.relative_to(ROOT)) for folder in ("daemon", "cli", "proto")
             for path in (ROOT / folder).rglob("*.c") if direct.search(path.read_text())]
    assert found == []
