"""Triggers and the flight recorder: a profile is kept, a command run, and it is said, once for each reason."""
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

from codebytes import pair_ns
from conftest import BUILD, TARGETS, Process, until
from oracle import last_line_json
from test_containers import inside  # noqa: F401
from test_lifecycle import memory_group


@pytest.fixture
def kept(tmp_path):
    """kept(): what has been kept until now, as (words of the name, headline facts)."""
    folder = tmp_path / "kept"

    def find():
        return sorted(folder.glob("*.dhat")) if folder.exists() else []
    find.folder = folder
    return find


@pytest.fixture
def pager(tmp_path):
    """A command that writes down its environment; pager.calls(): of each call, in order."""
    path = tmp_path / "pager"
    path.write_text('#!/bin/sh\nenv -0 | grep -z ^DHATD_ >"$1/$$.part" && mv "$1/$$.part" "$1/$$.call"\n')
    path.chmod(0o755)
    folder = tmp_path / "calls"
    folder.mkdir()

    class Pager:
        command = f"{path} {folder}"

        def calls(self):
            files = sorted(folder.glob("*.call"), key=lambda f: f.stat().st_mtime_ns)
            return [dict(line.split("=", 1) for line in f.read_text().split("\0") if line) for f in files]
    return Pager()


def live_bytes(path):
    done = subprocess.run([BUILD / "dhatctl", "stats", "--json", path], capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["totals"]["live_bytes"]


def word_of(path):
    return path.stem.rsplit("-", 1)[1]


def test_fires_once_keeps_and_tells(daemon, target, kept, pager):
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--no-inventory", "--record", kept.folder, "--on", "live > 1M", "--on",
                   "exit", "--exec", pager.command)
    waves.say("alloc 500 1000")
    waves.expect('total_blocks":500')
    waves.say("alloc 1000 1000")
    dhatd.expect_err(r"^dhatd: live>1M: waves \(pid \d+\): 1\.4 MiB live, .* MiB resident; 1\.4 MiB of it, 100%, from "
                     r"take at .*waves\.c:\d+; kept in ")
    waves.say("alloc 1000 1000")  # it stays true
    waves.expect('total_blocks":2500')
    waves.say("quit")
    assert waves.wait() == 0
    dhatd.expect_err(r"^dhatd: exit: ")
    assert dhatd.stop() == 0
    assert [word_of(path) for path in kept()] == ["exit", "live"] or [word_of(p) for p in kept()] == ["live", "exit"]
    by_word = {word_of(path): path for path in kept()}
    assert live_bytes(by_word["live"]) == 1500000
    assert by_word["live"].stat().st_mode & 0o777 == 0o600 and kept.folder.stat().st_mode & 0o777 == 0o700
    assert re.fullmatch(rf"waves-{waves.pid}-\d{{8}}T\d{{6}}Z-live\.dhat", by_word["live"].name)
    first, last = until(lambda: len(pager.calls()) == 2 and pager.calls(), "the commands to end")
    assert first["DHATD_EVENT"] == "live>1M" and first["DHATD_SNAPSHOT"] == str(by_word["live"])
    assert first["DHATD_PID"] == str(waves.pid) and first["DHATD_LIVE_BYTES"] == "1500000"
    assert first["DHATD_HEADLINE"].startswith(f"waves (pid {waves.pid}): 1.4 MiB live")
    assert first["DHATD_VERDICT"] == "exact" and first["DHATD_STATE"] == "attached"
    assert last["DHATD_EVENT"] == "exit" and last["DHATD_STATE"] == "exited: exit status 0"
    assert int(last["DHATD_RSS_BYTES"]) > 1500000  # as it was read last


def test_asked_by_a_signal_and_now_and_then(daemon, target, kept):
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--record", kept.folder, "--every", "1s", "--keep", "2")
    until(lambda: len(kept()) == 2, "two to be kept")
    first = kept()[0]
    until(lambda: not first.exists(), "the oldest to go")
    dhatd.send_signal(signal.SIGUSR2)
    dhatd.expect_err(r"^dhatd: SIGUSR2: waves ")
    assert sorted(map(word_of, kept())) == ["every", "every", "signal"]
    assert dhatd.stop() == 0 and waves.running


def test_killed_for_want_of_memory(daemon, target, kept, pager):
    """The last profile is there, and says who has killed it."""
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--no-inventory", "--record", kept.folder, "--on", "oom", "--on",
                   "cgroup.memory.max", "--exec", pager.command)
    directory, procs = memory_group(f"dhat-test-{waves.pid}")
    try:
        procs.write_text(str(waves.pid))
        waves.say("alloc 500000 1000")
        assert waves.wait() == -signal.SIGKILL
    finally:
        until(lambda: procs.read_text() == "", "the group to be empty")
        directory.rmdir()
    dhatd.expect_err(r"^dhatd: oom: waves ")
    assert dhatd.stop() == 0
    oom = next(path for path in kept() if word_of(path) == "oom")
    assert live_bytes(oom) > 20000 * 1000
    call = until(lambda: [c for c in pager.calls() if c["DHATD_EVENT"] == "oom"], "the command to end")[0]
    assert call["DHATD_STATE"] == "killed: signal 9 (SIGKILL), the kernel's OOM killer"
    assert int(call["DHATD_RSS_BYTES"]) > 1000000


def test_a_kill_is_no_oom(daemon, target, kept):
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--record", kept.folder, "--on", "oom", "--on", "exit")
    waves.kill()
    dhatd.expect_err(r"^dhatd: exit: waves ")
    assert dhatd.stop() == 0
    assert [word_of(path) for path in kept()] == ["exit"]


def test_each_reading_comes_true(daemon, target, kept):
    """What is resident, what grows, what watching costs, and NULL from an allocator; live, exit and the others have tests of their own."""
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--no-inventory", "--record", kept.folder, "--on", "rss>20M", "--on", "growth>1M/s",
                   "--on", "overhead>0.01%")

    def fires(trigger):
        """Sooner or later: it goes on allocating, as what is of a second is not known at the first look."""
        def said():
            waves.say("alloc 100 1000")
            return re.search(rf"^dhatd: (?:[^:]*; )?{trigger}(?:; [^:]*)?: waves ", dhatd.err, re.M)
        until(said, f"{trigger} to fire")
    waves.say("alloc 30000 1000")
    for trigger in "rss>20M", "overhead>0.01%", "growth>1M/s":
        fires(trigger)
    assert dhatd.stop() == 0
    code = "import ctypes, sys; print('ready', flush=True); sys.stdin.readline(); c = ctypes.CDLL(None); c.malloc(ctypes.c_size_t(2**62)); sys.stdin.readline()"
    python = target("/usr/bin/python3", "-c", code)
    python.expect("ready")
    dhatd = daemon("attach", python.pid, "--no-inventory", "--record", kept.folder, "--on", "failed-allocation")
    python.say("")
    dhatd.expect_err("^dhatd: failed-allocation: python3")
    assert dhatd.stop() == 0 and python.running


def test_an_end_at_the_last_moment(daemon, target, kept):
    """dhatd is told to end before it has seen that the process has: that fires all the same."""
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--no-inventory", "--record", kept.folder, "--on", "exit")
    dhatd.send_signal(signal.SIGSTOP)
    waves.say("quit")
    assert waves.wait() == 0
    dhatd.send_signal(signal.SIGTERM)
    dhatd.send_signal(signal.SIGCONT)
    dhatd.expect_err("^dhatd: exit: waves ")
    assert dhatd.wait() == 0
    assert [word_of(path) for path in kept()] == ["exit"]


def test_a_wish_during_the_start(daemon, target, kept, socket_path):
    """It is done when there is something to keep."""
    several = [target("waves") for _ in range(3)]
    for waves in several:
        waves.expect("ready")
    dhatd = daemon("attach", *(waves.pid for waves in several), "--no-inventory", "--record", kept.folder, wait=False)
    until(socket_path.exists, "it to be starting")
    dhatd.send_signal(signal.SIGUSR2)
    until(lambda: len(re.findall("^dhatd: SIGUSR2: waves ", dhatd.err, re.M)) == 3, "three to be kept")
    assert dhatd.stop() == 0


def test_names_do_no_harm(daemon, target, kept, pager, tmp_path):
    """A program may be called anything."""
    name = "a;$(touch bad)\n`touch bad`\x1b[2J"
    os.symlink(BUILD / "tests/targets/waves", tmp_path / name)
    waves = target("/bin/sh", "-c", 'exec "$0"', tmp_path / name)
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--record", kept.folder, "--on", "exit", "--exec", pager.command, cwd=tmp_path)
    waves.say("quit")
    dhatd.expect_err("^dhatd: exit: ")
    call = until(pager.calls, "the command to end")[0]
    assert not re.search(r"[\x00-\x1f]", "".join(call.values()))
    assert dhatd.stop() == 0
    assert not re.search(r"[\x00-\x09\x0b-\x1f]", dhatd.err)
    assert not (tmp_path / "bad").exists() and len(kept()) == 1


def test_nowhere_to_keep_is_said_at_once(daemon, target, tmp_path):
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--record", tmp_path / "no/such", "--on", "exit", wait=False)
    assert dhatd.wait() == 10
    assert "cannot make the folder" in dhatd.err


def test_what_the_host_does_not_tell_is_said(daemon, target, kept):
    """A trigger that cannot come true here would be waited for in vain."""
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", waves.pid, "--no-inventory", "--record", kept.folder, "--on", "cgroup.memory.high", "--on", "live>1")
    waves.say("alloc 1 1000")
    dhatd.expect_err("^dhatd: live>1: ")
    group = Path(f"/proc/{waves.pid}/cgroup").read_text().partition("0::")[2].strip()
    told = group and Path(f"/sys/fs/cgroup{group}/memory.events").exists()
    assert bool(told) != (f"process {waves.pid}: 'cgroup.memory.high' will not come true" in dhatd.err)
    assert "'live>1' will not" not in dhatd.err
    assert dhatd.stop() == 0


def test_what_a_container_does_not_see_is_said(started, target, kept, tmp_path, socket_path):
    """From a control group namespace of its own, the paths of others' groups lead nowhere."""
    waves = target("waves")
    waves.expect("ready")
    directory, procs = memory_group(f"dhat-test-{waves.pid}")
    options = f"--socket {socket_path} --no-inventory --record {kept.folder} --on cgroup.memory.max"
    dhatd = Process(["sh", "-c", f"echo $$ >{procs}; exec unshare -C {BUILD}/dhatd attach {waves.pid} {options}"], tmp_path, "dhatd")
    started.append(dhatd)
    try:
        dhatd.expect_err(f"process {waves.pid}: 'cgroup.memory.max' will not come true: dhatd is in a control group namespace of its own")
        assert dhatd.stop() == 0
    finally:
        dhatd.close()
        until(lambda: procs.read_text() == "", "the group to be empty")
        directory.rmdir()


def test_the_group_beside_a_container_is_seen(inside, kept, tmp_path, socket_path):  # noqa: F811
    """As in a pod: control groups and mounts of our own, and the first process, which has all of them, is seen."""
    (ours, our_procs), (theirs, their_procs) = (memory_group(f"dhat-test-{os.getpid()}-{name}", size) for name, size in (("a", 1 << 30), ("b", 64 << 20)))
    mount = f"umount -l {ours.parent} && mount -t {'cgroup -o memory' if ours.parent.name == 'memory' else 'cgroup2'} none {ours.parent}"
    try:
        waves = inside.start("sh", "-c", f"echo $$ >{their_procs}; exec {TARGETS}/waves")
        waves.expect("ready")
        pid = last_line_json(waves.out)["pid"]
        command = f"{BUILD}/dhatd attach {pid} --socket {socket_path} --no-inventory --record {kept.folder} --on cgroup.memory.max --on 'rss>1'"
        dhatd = inside.start("sh", "-c", f'echo $$ >{our_procs}; exec unshare -C -m sh -c "{mount} && exec {command}"')
        dhatd.expect_err("^dhatd: rss>1: waves ")  # it has been looked at: what was counted then is of before
        # pages of a file: they can be taken back, and nobody is killed
        subprocess.run(["sh", "-c", f"echo $$ >{their_procs}; exec dd if=/dev/zero of={tmp_path}/file bs=1M count=100 status=none"], check=True)
        dhatd.expect_err(r"^dhatd: cgroup\.memory\.max: waves ")
        assert "will not come true" not in dhatd.err
    finally:
        inside.first.kill()
        for directory, procs in (ours, our_procs), (theirs, their_procs):
            until(lambda procs=procs: procs.read_text() == "", "the group to be empty")
            directory.rmdir()


def test_cost(daemon, ctl, tables, target):
    """By the number of calls and their price, never more than the process uses; beside its own CPU time, without and with us, in one
    run: right within the bound that dhatd(8) states."""
    pairs = target("pairs", 10)
    pairs.expect("ready")
    without = pair_ns(pairs, 300)
    daemon("attach", pairs.pid, "--no-inventory")
    tables()
    costs = pair_ns(pairs, 300) - without

    def busy():
        pairs.say("run 1500")
        return next((t for t in ctl("status", "--json").json()["targets"] if t["allocs_per_second"] > 1000), None)
    status = until(busy, "it to be busy for a second")
    said = status["alloc_cost_ns"] + status["free_cost_ns"]
    assert costs / 3 < said < costs * 3
    assert 0 < status["cost_percent"] <= status["cpu_percent"]
    priced = (status["allocs_per_second"] * status["alloc_cost_ns"] + status["frees_per_second"] * status["free_cost_ns"]) / 1e7
    assert status["cost_percent"] == pytest.approx(min(priced, status["cpu_percent"]), rel=0.01)
    assert re.search(r"cost +about [\d.]+% of a core, of the [\d.]+% that the process uses; taken for [\d.]+ us an allocation", ctl("status").out)


def test_what_costs_too_much_is_let_go_and_stays_so(daemon, ctl, target, tmp_path):
    """One of two processes of a name; neither a reload nor another that begins brings it back."""
    program = tmp_path / "costly"
    os.symlink(BUILD / "tests/targets/pairs", program)
    busy, calm = target(program, 10), target(program, 10)
    config = tmp_path / "conf"
    config.write_text(f"[watch it]\ncommand = ^{program} \nmax-overhead = 0.5% for 2s\n")
    dhatd = daemon("serve", "--config", config, "--record", tmp_path)

    def state_of(process):
        return next((t["target"]["state"] for t in ctl("status", "--json").json()["targets"]
                     if t["target"]["pid"] == process.pid), None)
    until(lambda: state_of(busy) == state_of(calm) == "attached", "both to be attached to")
    busy.say("run 60000")
    dhatd.expect_err(rf"process {busy.pid}: detached by itself: watching it took [\d.]+% of a core for 2.0 s, more than the 0.5% ")
    config.write_text(config.read_text() + "keep = 3\n")  # the section's search begins anew
    dhatd.send_signal(signal.SIGHUP)
    dhatd.expect_err("read .*conf again")
    third = target(program, 10)
    until(lambda: state_of(third) == "attached", "another to be attached to")
    assert state_of(busy) == "detached" and state_of(calm) == "attached" and busy.running
    status = next(t for t in ctl("status", "--json").json()["targets"] if t["target"]["pid"] == busy.pid)
    assert any(note.startswith("detached by itself") for note in status["notes"]) and status["totals"]["total_blocks"]
    assert dhatd.stop() == 0
