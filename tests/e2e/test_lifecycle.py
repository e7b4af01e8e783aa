"""What processes do in their lives: threads, forks, exec, dlopen, sudden death."""
import contextlib
import os
import random
import re
import signal
import socket
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD, DEADLINE, TARGETS, until
from oracle import book_sums, last_line_json, snapshot, state_of, states_of, status_of
from served import Served

LIVE = ("tb", "tbk", "eb", "ebk")


def gated(target, daemon, *argv):
    """A target that waits until we are attached, and again when it has printed its book."""
    process = target(argv[0], "--gate", "--hold", *argv[1:])
    process.expect("ready")
    daemon("attach", "--pid", process.pid, "--no-inventory")
    process.say("go")
    process.expect("total_bytes", 120)
    return process


def end(process):
    process.say("end")
    assert process.wait() == 0


def test_ten_thousand_threads(target, daemon, ctl, tmp_path):
    process = gated(target, daemon, "thread_churn", 10000)
    profile = snapshot(ctl, tmp_path)
    own = profile.allocated_in("thread_churn.c")
    assert {f: own[f] for f in LIVE} == book_sums(last_line_json(process.out), LIVE)
    assert profile.exact, profile.reasons
    end(process)


def test_blocks_of_other_threads(target, daemon, ctl, tmp_path):
    process = gated(target, daemon, "handoff", 20000)
    profile = snapshot(ctl, tmp_path)
    own = profile.allocated_in("handoff.c")
    assert {f: own[f] for f in LIVE} == book_sums(last_line_json(process.out), LIVE)
    assert profile.exact, profile.reasons
    end(process)


@pytest.mark.parametrize("kind, count", [("fork", 1000), ("vfork", 200), ("spawn", 200)])
def test_children_are_unharmed_and_leave_no_trace(kind, count, target, daemon, ctl, tmp_path):
    process = gated(target, daemon, "forks", count, kind)
    book = last_line_json(process.out)
    assert book["children"] == book["unharmed"] == count
    profile = snapshot(ctl, tmp_path)
    own = profile.allocated_in("forks.c")
    assert own == book_sums(book)
    assert not profile.with_function("child_work")["tbk"]
    assert profile.exact, profile.reasons
    end(process)


def test_exec_closes_the_profile_and_keeps_it(target, daemon, ctl, tmp_path, started):
    process = gated(target, daemon, "exec_chain", 3)
    # four links of the chain; the first was ours: 1,000 bytes kept, 4 bytes freed
    profile = snapshot(ctl, tmp_path)
    assert {f: profile.allocated_in("exec_chain.c")[f] for f in LIVE} == {
        "tb": 1004, "tbk": 2, "eb": 1000, "ebk": 1}
    assert state_of(ctl, process.pid).startswith("replaced")
    started[-1].expect_err(r"has executed another program at [0-9:]+; --follow-exec profiles that, too")
    # the new program can be attached to as such
    ctl("attach", "--pid", process.pid, "--no-inventory")
    assert snapshot(ctl, tmp_path, "new.json").allocated_in("exec_chain.c")["tbk"] == 0
    end(process)


def test_both_programs_of_a_process_have_a_file(target, daemon, ctl, tmp_path):
    shell = target("/bin/sh", "-c", "echo first; read line; exec /bin/sh -c 'echo second; read line'")
    shell.expect("first")
    dhatd = daemon("attach", "--pid", shell.pid, "--no-inventory", "--follow-exec", "-o", tmp_path / "kept.dhat")
    shell.say("go")
    shell.expect("second")
    until(lambda: any(state.startswith("attached") for state in states_of(ctl, shell.pid)[1:]),
          "the second to be attached to")
    assert dhatd.stop() == 0
    states = [ctl("stats", "--json", tmp_path / f"kept.{shell.pid}{number}.dhat").json()["target"]["state"]
              for number in ("", "-2")]
    assert states == ["replaced", "detached"]
    end(shell)


def test_plugins_at_the_same_addresses(target, daemon, ctl, tmp_path):
    process = target("dlopen_loop", "--gate", "--hold", 200, 1000)
    process.expect("ready")
    daemon("attach", "--pid", process.pid, "--no-inventory")
    until(lambda: not status_of(ctl, process.pid)["tables_pending"], "the tables to be built")
    process.say("go")
    process.expect("total_bytes")
    book = last_line_json(process.out)
    assert book["same_address"] > 100  # else this would show nothing
    profile = snapshot(ctl, tmp_path)
    for plugin, size in (("first", 100), ("second", 200)):
        sums = profile.with_function(f"plugin_{plugin}_make")
        assert sums["tbk"] == book[f"{plugin}_made"], plugin
        assert sums["tb"] == size * book[f"{plugin}_made"], plugin
        assert sums["ebk"] == book[f"{plugin}_kept"], plugin
        assert sums["eb"] == size * book[f"{plugin}_kept"], plugin
    assert profile.exact, profile.reasons
    end(process)


def test_sudden_death_at_random_moments(target, daemon, ctl, tmp_path):
    """SIGKILL under load: what was counted stays, adds up, and is called what it is."""
    chance = random.Random(3)
    daemon("serve")
    for turn in range(8):
        directory = tmp_path / str(turn)
        directory.mkdir()
        served = Served(target, directory)
        load = served.start_load(connections=2, pause_us=50)
        ctl("attach", "--pid", served.pid, "--no-inventory")
        enough = served.requests() + chance.randrange(20, 400)
        until(lambda: served.requests() > enough, "requests")
        served.process.kill()
        load.kill()
        profile = snapshot(ctl, directory, "s.json", "--pid", served.pid)
        leak = profile.with_function("remember_session")
        sums = profile.sums()
        assert leak["ebk"] == leak["tbk"] > 0
        assert leak["eb"] == 128 * leak["ebk"]
        assert sums["ebk"] <= sums["tbk"] and sums["eb"] <= sums["gb"] <= sums["tb"]
        assert profile.exact, profile.reasons
    assert ctl("status").status == 0


def test_many_targets_at_once(target, daemon, ctl, tmp_path):
    """Sixteen under load at the same time, of three kinds: each has its own figures, and they are exact."""
    kinds = {"churn": (60000, 500), "handoff": (20000,), "thread_churn": (2000,)}
    processes = [(kind, target(kind, "--gate", "--hold", *kinds[kind])) for kind in (*kinds, "churn") * 4]
    daemon("serve")
    for _, process in processes:
        process.expect("ready")
        ctl("attach", "--pid", process.pid, "--no-inventory")
    for _, process in processes:
        process.say("go")
    books = {}
    for kind, process in processes:
        process.expect("total_bytes", 300)
        profile = snapshot(ctl, tmp_path, f"{process.pid}.json", "--pid", process.pid)
        own, book = profile.allocated_in(f"{kind}.c"), last_line_json(process.out)
        assert {f: own[f] for f in LIVE} == book_sums(book, LIVE), kind
        assert profile.exact, profile.reasons
        books.setdefault(kind, []).append(book["total_blocks"])
    assert {kind: len(b) for kind, b in books.items()} == {"churn": 8, "handoff": 4, "thread_churn": 4}
    assert min(min(b) for b in books.values()) > 5000
    for _, process in processes:
        end(process)


@pytest.mark.parametrize("how, word", [("exit 5", "5"), ("kill -ABRT $$", "SIGABRT"), ("kill -SEGV $$", "SIGSEGV")])
def test_end_of_the_target_is_told(how, word, target, daemon, ctl):
    process = target("/bin/bash", "-c", f"echo ready; read x; {how}")
    process.expect("ready")
    dhatd = daemon("serve")
    ctl("attach", "--pid", process.pid)
    process.say("go")
    process.wait()
    until(lambda: word in state_of(ctl, process.pid), "status to tell of it")
    assert dhatd.running
    # … and in a log that has times, at once
    stamp = r"dhatd: \d{4}-\d\d-\d\d \d\d:\d\d:\d\d "
    assert re.search(rf"^{stamp}answering at ", dhatd.err, re.M)
    dhatd.expect_err(rf"^{stamp}{process.pid} \(bash\) .*{word}.*; its profile stays$")
    assert re.search(rf"^{stamp}attached to {process.pid} \(bash\)", dhatd.err, re.M)
    status = next(t for t in ctl("status", "--json").json()["targets"])
    assert status["allocs_per_second"] == status["frees_per_second"] == 0
    assert "rate" not in ctl("status").out


def test_an_end_is_told_when_it_comes(target, daemon, ctl):
    """dhatd attach: the profile stays, and dhatd with it; the terminal does not look as if it hung."""
    process = target("/bin/bash", "-c", "echo ready; read x; kill -SEGV $$")
    process.expect("ready")
    dhatd = daemon("attach", process.pid)
    assert f"attached to {process.pid} (bash), " in dhatd.err  # no arguments: they may hold passwords
    process.say("go")
    dhatd.expect_err(rf"^dhatd: {process.pid} \(bash\) killed at \d\d:\d\d:\d\d: signal 11 \(SIGSEGV\); "
                     "its profile stays, Ctrl-C ends dhatd$")
    ctl("stats", "--pid", process.pid)
    assert dhatd.running
    assert dhatd.stop(signal.SIGINT) == 0


def test_a_detach_is_told(target, daemon, ctl):
    process = target("waves")
    process.expect("ready")
    dhatd = daemon("serve")
    ctl("attach", process.pid)
    ctl("detach", process.pid)
    dhatd.expect_err(rf"^dhatd: \S+ \S+ detached from {process.pid} \(waves\); its profile stays$")
    assert re.search(r"; detached$", ctl("status").out, re.M)


def test_journald_knows_the_time(target, daemon, tmp_path, socket_path):
    """Under systemd stderr is the journal's: lines have no time of their own, and begin with their level."""
    argv = ["/bin/sh", "-c", f"JOURNAL_STREAM=$(stat -Lc %d:%i /proc/self/fd/2) exec {BUILD}/dhatd serve --socket {socket_path}"]
    dhatd = target(argv[0], *argv[1:])
    dhatd.expect_err("answering")
    process = target("waves")
    process.expect("ready")
    subprocess.run([BUILD / "dhatctl", "attach", str(process.pid), "--socket", socket_path], check=True)
    dhatd.expect_err(f"^<6>dhatd: attached to {process.pid} ")


def test_a_service_manager_is_told(daemon, tmp_path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(120)
        dhatd = daemon("serve", wait=False, env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
        assert manager.recv(100) == b"READY=1"
        assert "answering at" in dhatd.err
        assert dhatd.stop() == 0
        assert manager.recv(100) == b"STOPPING=1"


def test_children_that_are_there_already_are_followed(target, daemon, ctl):
    family = pool_family(target, lambda *args: None, "--follow-fork")
    child = order(family, "fork")
    daemon("attach", family.pid, "--no-inventory", "--follow-fork")
    until(lambda: state_of(ctl, child).startswith("attached"), "the child to be attached")


def memory_group(name, size=64 << 20):
    """A memory cgroup: (its directory, the file that takes pids), cgroup v1 or v2."""
    v1, v2 = Path("/sys/fs/cgroup/memory"), Path("/sys/fs/cgroup")
    directory = (v1 if (v1 / "memory.limit_in_bytes").exists() else v2) / name
    directory.mkdir()
    limit = directory / ("memory.limit_in_bytes" if v1 in directory.parents else "memory.max")
    limit.write_text(str(size))
    return directory, directory / "cgroup.procs"


def test_out_of_memory_kill_leaves_the_profile(target, daemon, ctl, tmp_path):
    waves = target("waves")
    waves.expect("ready")
    daemon("attach", "--pid", waves.pid, "--no-inventory")
    waves.say("alloc 500 1000")
    waves.expect('total_blocks":500')
    directory, procs = memory_group(f"dhat-test-{waves.pid}")
    try:
        procs.write_text(str(waves.pid))
        waves.say("alloc 500000 1000")
        assert waves.wait() == -signal.SIGKILL
    finally:
        until(lambda: procs.read_text() == "", "the group to be empty")
        directory.rmdir()
    until(lambda: "SIGKILL" in state_of(ctl, waves.pid), "status to tell of the kill")
    assert state_of(ctl, waves.pid).endswith("signal 9 (SIGKILL), the kernel's OOM killer")
    profile = snapshot(ctl, tmp_path)
    take = profile.with_function("take")
    assert take["tbk"] > 20000  # it got that far
    assert take["ebk"] == take["tbk"] and take["eb"] == 1000 * take["ebk"]
    assert profile.exact, profile.reasons


def test_follow_fork_gives_each_child_its_own_profile(target, daemon, ctl, tmp_path):
    """Child number i makes i blocks and frees the one that its parent left it, once we are there."""
    family = target("family", "--gate", 4)
    family.expect("ready")
    daemon("attach", "--pid", family.pid, "--no-inventory", "--follow-fork")
    family.say("go")
    family.expect("children")
    children = last_line_json(family.out)["children"]
    until(lambda: all(state_of(ctl, pid).startswith("attached") for pid in children), "the children to be attached")
    family.say("work")
    family.expect("worked")
    parent = snapshot(ctl, tmp_path, "parent.json", "--pid", family.pid)
    assert {f: parent.allocated_in("family.c")[f] for f in LIVE} == {"tb": 500, "tbk": 1, "eb": 500, "ebk": 1}
    assert parent.exact, parent.reasons
    for number, pid in enumerate(children, 1):
        child = snapshot(ctl, tmp_path, f"{pid}.json", "--pid", pid)
        assert child.data["pid"] == pid
        assert {f: child.allocated_in("family.c")[f] for f in LIVE} == {
            "tb": 1000 * number, "tbk": number, "eb": 1000 * number, "ebk": number}
        assert child.with_function("child_block")["tbk"] == number
        assert child.verdict["totals"]["freed_before_blocks"] == 1
        assert child.exact, child.reasons
    family.say("end")
    assert family.wait() == 0


def test_followed_exec_goes_on_with_a_new_profile(target, daemon, ctl, tmp_path):
    """Each program has its own figures, the one that is replaced too."""
    process = target("exec_chain", "--gate", "--hold", 1, "each")
    process.expect("ready")
    daemon("attach", "--pid", process.pid, "--no-inventory", "--follow-exec")
    process.say("go")
    process.expect(r"ready(.|\n)*ready")
    until(lambda: state_of(ctl, process.pid).startswith("attached"), "the new program to be attached")
    assert states_of(ctl, process.pid)[0].startswith("replaced")  # the old profile is kept
    process.say("go")
    process.expect("total_bytes")
    totals = [t["totals"] for t in ctl("status", "--json").json()["targets"] if t["target"]["pid"] == process.pid]
    # 1,000 bytes kept, and as many as the link's number freed
    assert [(t["total_blocks"], t["total_bytes"], t["live_blocks"], t["live_bytes"]) for t in totals] == [
        (2, 1002, 1, 1000), (2, 1001, 1, 1000)]
    profile = snapshot(ctl, tmp_path)
    assert {f: profile.allocated_in("exec_chain.c")[f] for f in LIVE} == {
        "tb": 1001, "tbk": 2, "eb": 1000, "ebk": 1}
    assert profile.exact, profile.reasons
    end(process)


def proc_figures(pid):
    """RSS in bytes and open files, of dhatd and the processes it started."""
    rss = fds = 0
    pids = [pid]
    for task in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(FileNotFoundError):  # a connection's thread that has just ended
            with open(f"/proc/{pid}/task/{task}/children", encoding="utf-8") as children:
                pids += [int(p) for p in children.read().split()]
    for one in pids:
        with open(f"/proc/{one}/status", encoding="utf-8") as status:
            rss += int(re.search(r"VmRSS:\s+(\d+)", status.read())[1]) << 10
        fds += len(os.listdir(f"/proc/{one}/fd"))
    return rss, fds


def test_dhatd_itself_does_not_leak(target, daemon, ctl, tmp_path):
    served = Served(target, tmp_path)
    dhatd = daemon("serve")

    def cycle():
        ctl("attach", "--pid", served.pid)
        served.start_load(connections=1, requests=50, pause_us=0)
        served.end_load()
        snapshot(ctl, tmp_path)
        ctl("detach", "--pid", served.pid)

    figures = []
    for _ in range(40):
        cycle()
        figures.append(proc_figures(dhatd.pid))
    # a connection may just be about to be closed, so the low points count
    assert min(fds for _, fds in figures[-10:]) <= min(fds for _, fds in figures[:10])
    # its heap fills in the first cycles, the sooner the less else is going on, and then goes up and down by a
    # mebibyte (arenas of threads): it grows for ever if the late low points lie above the early high ones.
    # AddressSanitizer keeps what is freed, and finds leaks by itself
    def growth(then):
        return min(rss for rss, _ in figures[-10:]) - max(rss for rss, _ in figures[then - 10:then])
    if growth(20) > 1 << 20 and not os.environ.get("DHATD_SANITIZED"):
        for _ in range(40):
            cycle()
            figures.append(proc_figures(dhatd.pid))
        assert growth(40) <= 1 << 20, figures
    assert dhatd.stop(signal.SIGTERM) == 0


def pool_family(target, daemon, follow):
    """A program with an allocator that only --alloc and --free name, followed in one way."""
    family = target("pool_family")
    family.expect("ready")
    daemon("attach", "--pid", family.pid, "--no-inventory", follow, "--alloc", "pool_family:pool_take(size=arg1)",
           "--free", "pool_family:pool_give(ptr=arg1)")
    return family


def order(family, line):
    answers = family.out.count("done")
    family.say(line)
    until(lambda: family.out.count("done") > answers, f"{line} to be done")
    return int(family.out.split()[-1])


def test_followed_child_keeps_the_allocators_that_were_named(target, daemon, ctl, tmp_path):
    family = pool_family(target, daemon, "--follow-fork")
    order(family, "take 5 100")
    child = order(family, "fork")
    until(lambda: state_of(ctl, child).startswith("attached"), "the child to be attached")
    assert order(family, "child take 7 1000") == child
    order(family, "child give 3")
    parent = snapshot(ctl, tmp_path, "parent.json", "--pid", family.pid).with_function("pool_take")
    assert (parent["tbk"], parent["tb"]) == (0, 0)  # it is the allocator: its callers have the blocks
    parent = snapshot(ctl, tmp_path, "parent.json", "--pid", family.pid).sums()
    assert (parent["tbk"], parent["tb"], parent["ebk"]) == (5, 500, 5)
    profile = snapshot(ctl, tmp_path, "child.json", "--pid", child)
    assert profile.data["pid"] == child
    sums = profile.allocated_in("pool_family.c")
    assert (sums["tbk"], sums["tb"], sums["ebk"], sums["eb"]) == (7, 7000, 4, 4000)
    assert profile.exact, profile.reasons


def test_followed_exec_keeps_the_allocators_that_were_named(target, daemon, ctl, tmp_path):
    family = pool_family(target, daemon, "--follow-exec")
    order(family, "take 5 100")
    family.say("exec")
    family.expect("again")
    until(lambda: [s.split(":")[0] for s in states_of(ctl, family.pid)] == ["replaced", "attached"],
          "the new program to be attached")
    order(family, "take 3 2000")
    sums = snapshot(ctl, tmp_path, "after.json", "--pid", family.pid).allocated_in("pool_family.c")
    assert sums["tb"] in (6000, 6100) and sums["eb"] == sums["tb"]  # its first malloc may be seen, too


def test_followed_program_without_them_says_so(target, daemon, ctl):
    family = pool_family(target, daemon, "--follow-exec")
    family.say(f"exec {TARGETS}/waves")
    until(lambda: [s.split(":")[0] for s in states_of(ctl, family.pid)] == ["replaced", "attached"],
          "the new program to be attached")
    notes = ctl("stats", "--pid", family.pid, "--json").json()
    assert "names nothing that the program" in str(notes), notes


def test_child_that_cannot_be_followed_is_told(target, daemon, ctl):
    """An exec into a program without an allocator: the profile of before says what became of it."""
    family = pool_family(target, daemon, "--follow-exec")
    family.say(f"exec {TARGETS}/no_allocator")
    # after so many tries
    until(lambda: "was not followed" in ctl("stats", "--pid", family.pid).out, "the profile to say so", 3 * DEADLINE)
