"""dhatd --output: refused at the start if it cannot be, and at the end a profile is kept in any case."""
import json
import os
import pwd
import re
import shutil
import signal
import stat
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD, Process, until
from oracle import Profile
from test_errors import assert_error, full_disk, run, waves  # noqa: F401 (fixtures)
from test_formats import pprof, total_of

OUTPUT, USAGE = 10, 2


def read_only(tmp_path):
    directory = tmp_path / "read-only"
    directory.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", directory], check=True)
    return directory


@pytest.mark.parametrize("command", ["attach", "run"])
def test_refused_at_the_start(command, socket_path, tmp_path, waves, full_disk):  # noqa: F811
    """Before anything is attached to, or started."""
    (full_disk / "filler").write_bytes(b"x" * 4096)
    fixed = read_only(tmp_path)
    (tmp_path / "ran").unlink(missing_ok=True)
    what = ["--pid", waves.pid] if command == "attach" else ["--", "/usr/bin/touch", tmp_path / "ran"]
    try:
        for path, status, word in ((tmp_path / "none" / "x.json", OUTPUT, "No such file"),
                                   (tmp_path, OUTPUT, "directory"), (fixed / "x.json", OUTPUT, "Read-only"),
                                   (full_disk / "x.json", OUTPUT, "space"), ("x.xlsx", USAGE, "there are: .json")):
            done = run(BUILD / "dhatd", command, "--socket", socket_path, "-o", path, *what, cwd=tmp_path)
            assert_error(done, status, str(path), word)
            assert "attached" not in done.stderr
    finally:
        subprocess.run(["umount", fixed], check=True)
    assert [p.name for p in full_disk.iterdir()] == ["filler"]
    assert not (tmp_path / "ran").exists()
    assert "[uprobes]" not in Path(f"/proc/{waves.pid}/maps").read_text()


def allocate(process, count):
    process.say(f"alloc {count} 50")
    process.expect(f'total_blocks":{count}')


def total_blocks(path):
    """Read back in the format that its name says; a name that says nothing means DHAT JSON."""
    if path.name.endswith(".pb.gz"):
        return total_of(pprof("-top", "-unit=count", "-sample_index=alloc_objects", path))
    return Profile(path).sums()["tbk"]


@pytest.mark.parametrize("suffix", [".json", ".pb.gz"])
def test_what_cannot_be_written_there_is_written_elsewhere(suffix, daemon, tmp_path, waves, full_disk):  # noqa: F811
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    dhatd = daemon("attach", waves.pid, "--no-inventory", "-o", full_disk / f"end{suffix}", env={"TMPDIR": str(elsewhere)})
    allocate(waves, 100)
    (full_disk / "filler").write_bytes(b"x" * 4096)
    assert dhatd.stop(signal.SIGINT) == OUTPUT
    path = re.search(rf"cannot write {full_disk}/end{suffix}: .* the profile of {waves.pid} is in (\S+) instead", dhatd.err)
    assert path and Path(path[1]).parent == elsewhere, dhatd.err
    assert path[1].endswith(suffix) and total_blocks(Path(path[1])) == 100
    assert [p.name for p in full_disk.iterdir()] == ["filler"]


def test_what_can_be_written_nowhere_is_kept(daemon, ctl, tmp_path, socket_path, waves):  # noqa: F811
    """No file may grow beyond a page, wherever: dhatd stays until the profile is fetched."""
    argv = ["/usr/bin/prlimit", "--fsize=4096:unlimited", BUILD / "dhatd"]
    dhatd = Process([*argv, "attach", waves.pid, "--no-inventory", "--socket", socket_path, "-o", "x.json"], tmp_path, "limited")
    try:
        dhatd.expect_err("answering")
        allocate(waves, 100)
        dhatd.send_signal(signal.SIGINT)
        dhatd.expect_err(f"the profile of {waves.pid} could not be written anywhere, and is kept: "
                         rf"dhatctl snapshot --socket {socket_path} --pid {waves.pid} -o FILE")
        ctl("snapshot", "--pid", waves.pid, "-o", tmp_path / "fetched.json")
        assert Profile(tmp_path / "fetched.json").sums()["tbk"] == 100
        # a second signal tries again; now there is room
        subprocess.run(["prlimit", "--fsize=unlimited:unlimited", "--pid", str(dhatd.pid)], check=True)
        assert dhatd.stop(signal.SIGINT) == 0, dhatd.err
        assert Profile(tmp_path / "x.json").sums()["tbk"] == 100
    finally:
        dhatd.close()


@pytest.mark.parametrize("suffix", [".json", ".pb.gz", ""])
def test_each_of_several_has_its_file(suffix, daemon, target, tmp_path):
    several = []
    for blocks in (10, 20):
        process = target("waves")
        process.expect("ready")
        several.append((process, blocks))
    dhatd = daemon("attach", *(p.pid for p, _ in several), "--no-inventory", "-o", f"x{suffix}")
    for process, blocks in several:
        allocate(process, blocks)
    assert dhatd.stop(signal.SIGINT) == 0, dhatd.err
    for process, blocks in several:
        assert total_blocks(tmp_path / f"x.{process.pid}{suffix}") == blocks
    assert not (tmp_path / f"x{suffix}").exists()


def test_detached_from_and_attached_to_again(daemon, ctl, tmp_path, waves):  # noqa: F811
    """Each profile has its file."""
    dhatd = daemon("attach", waves.pid, "--no-inventory", "-o", "x.json")
    allocate(waves, 10)
    ctl("detach", "--pid", waves.pid)
    ctl("attach", "--pid", waves.pid, "--no-inventory")
    waves.say("alloc 20 50")
    waves.expect('total_blocks":30')
    assert dhatd.stop(signal.SIGINT) == 0, dhatd.err
    assert [total_blocks(tmp_path / f"x.{waves.pid}{number}.json") for number in ("", "-2")] == [10, 20]


def test_interrupted_while_the_second_is_attached_to(daemon, target, tmp_path, waves):  # noqa: F811
    """What was attached to by then has its file all the same."""
    other = target(shutil.which("node") or "/usr/bin/python3", "-i")
    until(lambda: os.readlink(f"/proc/{other.pid}/exe").rsplit("/", 1)[1][:3] in ("nod", "pyt"), "exec")
    dhatd = daemon("attach", waves.pid, other.pid, "--no-inventory", "-o", "x.json", pattern=f"attached to {waves.pid}")
    dhatd.send_signal(signal.SIGINT)
    dhatd.wait()
    assert Profile(next(tmp_path.glob("x*.json"))).data["pid"] in (waves.pid, other.pid)
    files = {json.loads(p.read_text())["pid"] for p in tmp_path.glob("x*.json")}
    assert waves.pid in files
    assert files == {int(pid) for pid in re.findall(r"attached to (\d+)", dhatd.err)}


def test_the_file_is_the_one_behind_sudos(daemon, tmp_path, waves):  # noqa: F811
    nobody = pwd.getpwnam("nobody")
    dhatd = daemon("attach", waves.pid, "-o", "x.json",
                   env={"SUDO_UID": str(nobody.pw_uid), "SUDO_GID": str(nobody.pw_gid)})
    assert dhatd.stop() == 0
    written = (tmp_path / "x.json").stat()
    assert (written.st_uid, written.st_gid) == (nobody.pw_uid, nobody.pw_gid)
    assert stat.S_IMODE(written.st_mode) == 0o600


def test_totals_read_as_dhatctls_do(daemon, waves):  # noqa: F811
    dhatd = daemon("attach", waves.pid, "--no-inventory")
    allocate(waves, 1234)
    assert dhatd.stop(signal.SIGINT) == 0
    assert f"dhatd: {waves.pid} (waves) detached\n" in dhatd.err
    assert "dhatd:   Total:     61,700 bytes in 1,234 blocks\n" in dhatd.err
