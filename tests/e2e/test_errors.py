"""Every way to fail has its exit code (proto/base/error.h) and a line that names the next step."""
import grp
import json
import os
import shutil
import socket
import subprocess
import tempfile
from pathlib import Path

import pytest

from conftest import BUILD, DEADLINE, TARGETS
from oracle import Profile

FAILED, USAGE, NO_PROCESS, NOT_PERMITTED, UNSUPPORTED, UNSUITABLE = 1, 2, 3, 4, 5, 6
NO_ALLOCATOR, ALREADY, NO_DAEMON, OUTPUT, BAD_FILE, PROTOCOL = 7, 8, 9, 10, 11, 12
NOBODY = 65534


def run(*argv, **options):
    return subprocess.run([str(a) for a in argv], capture_output=True, text=True, timeout=DEADLINE,
                          stdin=subprocess.DEVNULL, **options)


def assert_error(done, status, *words):
    """One line, who it is first, and what a person has to know in it."""
    err = done.err if hasattr(done, "err") else done.stderr
    code = done.status if hasattr(done, "status") else done.returncode
    assert code == status, (code, err)
    last = err.strip().splitlines()[-1]
    assert last.startswith(("dhatd: ", "dhatctl: ")), err
    for word in words:
        assert word.lower() in err.lower(), (word, err)


@pytest.fixture
def waves(target):
    process = target("waves")
    process.expect("ready")
    return process


@pytest.fixture
def public_directory():
    """Programs and sockets where an unprivileged user can reach them."""
    directory = Path(tempfile.mkdtemp(prefix="dhatd-test-"))
    directory.chmod(0o777)
    yield directory
    shutil.rmtree(directory)


@pytest.fixture
def full_disk(tmp_path):
    """A file system with room for one page."""
    directory = tmp_path / "full"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4k", "tmpfs", directory], check=True)
    yield directory
    subprocess.run(["umount", directory], check=True)


def gone_pid():
    process = subprocess.Popen(["/bin/true"])
    process.wait()
    return process.pid


def test_no_such_process(socket_path, daemon, ctl):
    pid = gone_pid()
    assert_error(run(BUILD / "dhatd", "attach", "--socket", socket_path, "--pid", pid), NO_PROCESS, str(pid))
    daemon("serve")
    assert_error(ctl("attach", "--pid", pid, ok=False), NO_PROCESS, str(pid))


def test_unprivileged_user_may_not_attach(public_directory, waves):
    program = shutil.copy(BUILD / "dhatd", public_directory)
    done = run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", program, "attach",
               "--socket", public_directory / "s", "--pid", waves.pid)
    assert_error(done, NOT_PERMITTED, "root")
    # nor is it sent to look for another place for its socket first
    for command in (["attach", waves.pid], ["serve"], ["run", "--", "/bin/true"]):
        done = run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", program, *command[:1],
                   "--socket", f"/run/dhatd-{waves.pid}.sock", *command[1:])
        assert_error(done, NOT_PERMITTED, "run it as root (sudo)")
        assert "socket" not in done.stderr


def test_unprivileged_user_may_not_look(public_directory, daemon, waves):
    program = shutil.copy(BUILD / "dhatctl", public_directory)
    path = public_directory / "s"
    daemon("attach", "--pid", waves.pid, socket=path)
    assert path.stat().st_mode & 0o077 == 0
    as_nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
    assert_error(run(*as_nobody, program, "status", "--socket", path), NOT_PERMITTED)
    path.chmod(0o777)  # even then: the daemon checks who is there
    assert_error(run(*as_nobody, program, "status", "--socket", path), NOT_PERMITTED)


def test_a_group_may_look_but_not_touch(public_directory, daemon, waves, target):
    """--group: what its members may do, who are not the owner, and what nobody else may."""
    program, group = shutil.copy(BUILD / "dhatctl", public_directory), grp.getgrnam("games")
    path = public_directory / "s"
    other = target("waves")
    other.expect("ready")
    daemon("attach", "--pid", waves.pid, "--group", group.gr_name, socket=path)
    waves.say("alloc 7 10")
    waves.expect('total_blocks":7')
    assert path.stat().st_gid == group.gr_gid and path.stat().st_mode & 0o777 == 0o660

    def ask(command, *args, groups=f"--groups={group.gr_gid}"):
        return run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", groups, program, command, "--socket", path,
                   *args)
    status = ask("status", "--json")
    assert status.returncode == 0, status.stderr
    assert json.loads(status.stdout)["targets"][0]["totals"]["total_blocks"] == 7
    out = public_directory / "seen.json"
    done = ask("snapshot", "-o", out)
    assert done.returncode == 0, done.stderr
    assert Profile(out).sums()["tbk"] == 7
    for command in ("attach", "detach", "plan"):
        pid = waves.pid if command == "detach" else other.pid
        assert_error(ask(command, "--pid", pid), NOT_PERMITTED)
    assert json.loads(ask("status", "--json").stdout)["targets"][0]["target"]["state"] == "attached"
    assert_error(ask("status", groups="--clear-groups"), NOT_PERMITTED)


def test_target_without_allocator(daemon, ctl, target):
    program = target("no_allocator")
    daemon("serve")
    assert_error(ctl("attach", "--pid", program.pid, ok=False), NO_ALLOCATOR, "--alloc")
    assert program.running


def test_already_attached(daemon, ctl, waves):
    daemon("attach", "--pid", waves.pid)
    assert_error(ctl("attach", "--pid", waves.pid, ok=False), ALREADY, str(waves.pid))
    ctl("snapshot", "-o", "still.json")


def test_detaching_what_is_not_attached(daemon, ctl, waves):
    daemon("serve")
    done = ctl("detach", "--pid", waves.pid, ok=False)
    assert done.status != 0 and str(waves.pid) in done.err


def test_socket_in_use(daemon, socket_path, waves):
    daemon("attach", "--pid", waves.pid)
    assert_error(run(BUILD / "dhatd", "serve", "--socket", socket_path), ALREADY, str(socket_path), "--socket")


def test_socket_of_a_dead_daemon_is_replaced(daemon, ctl, socket_path, waves):
    daemon("attach", "--pid", waves.pid).kill()
    assert socket_path.exists()
    daemon("attach", "--pid", waves.pid)
    ctl("status")


def test_something_else_at_the_sockets_place_is_left_alone(socket_path):
    socket_path.write_text("mine")
    done = run(BUILD / "dhatd", "serve", "--socket", socket_path)
    assert done.returncode not in (0, None) and str(socket_path) in done.stderr
    assert socket_path.read_text() == "mine"


def test_socket_path_too_long(tmp_path):
    done = run(BUILD / "dhatd", "serve", "--socket", tmp_path / ("s" * 120))
    assert done.returncode != 0 and "long" in done.stderr, done.stderr


def test_disk_full(daemon, ctl, tmp_path, full_disk, waves):
    out = full_disk / "end.json"
    dhatd = daemon("attach", "--pid", waves.pid, "--output", out)
    waves.say("alloc 100 50")
    waves.expect("total_blocks\":100")
    full = full_disk / "x.json"
    assert_error(ctl("snapshot", "-o", full, ok=False), OUTPUT, str(full), "space")
    assert list(full_disk.iterdir()) == []  # no half a file
    ctl("snapshot", "-o", tmp_path / "x.json")  # nothing was lost
    assert Profile(tmp_path / "x.json").sums()["tbk"] >= 100
    assert dhatd.stop() == OUTPUT
    assert str(out) in dhatd.err
    assert list(full_disk.iterdir()) == []


def test_output_directory_that_is_not_there(daemon, ctl, tmp_path, waves):
    daemon("attach", "--pid", waves.pid)
    missing = tmp_path / "no" / "such" / "x.json"
    assert_error(ctl("snapshot", "-o", missing, ok=False), OUTPUT, str(missing))


def test_nobody_answers(ctl, socket_path):
    assert_error(ctl("status", ok=False), NO_DAEMON, str(socket_path))
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(socket_path))
    assert_error(ctl("status", ok=False), NO_DAEMON, str(socket_path))


@pytest.mark.parametrize("content", [b"", b"{}", b"\0" * 100, b"\xff" * 5000, b"DHAT" * 7])
def test_file_that_is_no_snapshot(content, ctl, tmp_path):
    bad, out = tmp_path / "bad.dhat", tmp_path / "out.json"
    bad.write_bytes(content)
    done = run(BUILD / "dhatctl", "export", bad, "-o", out)
    assert_error(done, BAD_FILE, str(bad))
    assert not out.exists()


def test_truncated_snapshot_file(daemon, ctl, tmp_path, waves):
    daemon("attach", "--pid", waves.pid)
    waves.say("alloc 10 10")
    waves.expect("total_blocks")
    whole, cut, out = tmp_path / "w.dhat", tmp_path / "cut.dhat", tmp_path / "out.json"
    ctl("snapshot", "-o", whole)
    data = whole.read_bytes()
    for size in range(0, len(data), max(1, len(data) // 40)):
        cut.write_bytes(data[:size])
        assert_error(run(BUILD / "dhatctl", "export", cut, "-o", out), BAD_FILE, str(cut))
    assert not out.exists()


@pytest.mark.parametrize("argv", [
    ["dhatd"], ["dhatd", "attach"], ["dhatd", "attach", "--pid", "x"], ["dhatd", "attach", "--pid", "-1"],
    ["dhatd", "nonsense"], ["dhatd", "run"], ["dhatd", "attach", "--pid", "1", "--ring-size", "1000"],
    ["dhatd", "attach", "--pid", "1", "--link", "rope"], ["dhatctl"], ["dhatctl", "nonsense"],
    ["dhatctl", "snapshot", "--nonsense"], ["dhatctl", "attach"], ["dhatctl", "attach", "--pid", "99999999999"],
    ["dhatctl", "export"], ["dhatctl", "status", "superfluous"]])
def test_wrong_command_lines(argv, socket_path):
    done = run(BUILD / argv[0], *argv[1:], env=os.environ | {"DHATD_SOCKET": str(socket_path)})
    assert done.returncode == USAGE, (done.returncode, done.stdout, done.stderr)
    assert done.stdout == ""
    assert "--help" in done.stderr, done.stderr


def test_program_that_cannot_be_run(socket_path, tmp_path):
    done = run(BUILD / "dhatd", "run", "--socket", socket_path, "--", tmp_path / "nothing")
    assert done.returncode != 0 and str(tmp_path / "nothing") in done.stderr, done.stderr


def test_kernel_without_bpf(socket_path, waves):
    done = run(TARGETS / "without_bpf", BUILD / "dhatd", "attach", "--socket", socket_path, "--pid", waves.pid)
    assert_error(done, UNSUPPORTED, "bpf")
    assert not socket_path.exists()
