"""P1: whatever happens to dhatd, the target goes on, unprobed; whatever happens to the target,
dhatd keeps what it counted."""
import os
import random
import re
import signal
import subprocess

import pytest

from conftest import BUILD, TARGETS, until
from oracle import Profile, book_sums, code_differences, last_line_json, state_of
from served import Served

LIBC = "/lib/x86_64-linux-gnu/libc.so.6"
NO_PROCESS = 3


@pytest.fixture
def served(target, tmp_path):
    return Served(target, tmp_path)


def is_serving(served, more=100):
    seen = served.requests()
    until(lambda: served.requests() > seen + more, "more requests to be served")
    return True


def process_state(pid):
    """The letter of /proc/PID/stat."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        return stat.read().rpartition(")")[2].split()[0]


def test_killing_dhatd_under_load_leaves_a_clean_target(served, daemon):
    served.start_load()
    for _ in range(5):
        dhatd = daemon("attach", "--pid", served.pid)
        assert is_serving(served)
        assert dhatd.kill() == -signal.SIGKILL
        until(lambda: code_differences(served.pid) == {}, "clean code after kill -9")
        assert is_serving(served)
    served.end_load()
    assert served.quit() == 0


def test_killing_dhatd_while_it_attaches(served, daemon):
    chance = random.Random(7)
    served.start_load()
    for _ in range(12):
        dhatd = daemon("attach", "--pid", served.pid, wait=False)
        try:
            dhatd.wait(chance.uniform(0.0, 0.6))
        except subprocess.TimeoutExpired:
            pass
        dhatd.kill()
        until(lambda: code_differences(served.pid) == {}, "clean code after kill -9")
        assert is_serving(served, more=20)
    served.end_load()
    assert served.quit() == 0


def test_killed_target_leaves_its_profile(served, daemon, ctl, tmp_path):
    out = tmp_path / "last.json"
    dhatd = daemon("attach", "--pid", served.pid, "--no-inventory", "--output", out)
    served.start_load(connections=2, requests=300, pause_us=0)
    served.end_load()
    served.process.send_signal(signal.SIGKILL)
    served.process.wait()
    until(lambda: re.search("SIGKILL", state_of(ctl, served.pid)), "status to tell of the kill")
    kept = ctl("snapshot", "-o", tmp_path / "kept.json", ok=False)
    if dhatd.running:
        dhatd.stop()
    assert kept.status in (0, 12), kept.err  # dhatd ends when its only target has
    if kept.status == 0:
        assert Profile(tmp_path / "kept.json").with_function("remember_session")["ebk"] == 60
    assert Profile(out).with_function("remember_session")["ebk"] == 60


def test_targets_that_end_while_we_attach(daemon, ctl, target):
    """Short-lived processes, each attached to at another moment of its life: their lives are made as long as
    an attach takes here and now, more or less."""
    daemon("serve")
    life, outcomes = 0.1, []
    while len(outcomes) < 25 or len(set(outcomes)) < 2:
        sleeper = target("/usr/bin/perl", "-e", "$| = 1; print qq(ready\\n); select undef, undef, undef, shift; exit 7",
                         f"{life:.3f}")
        sleeper.expect("ready")
        answer = ctl("attach", "--pid", sleeper.pid, ok=False)
        assert answer.status in (0, NO_PROCESS), (answer.status, answer.err)
        outcomes.append(answer.status)
        life *= 0.7 if answer.status == 0 else 1.3
        assert sleeper.wait() == 7
    assert ctl("status").status == 0


def test_stopped_target(served, daemon, ctl, tmp_path):
    """A process under SIGSTOP is attached to without waking it, and detached likewise."""
    served.process.send_signal(signal.SIGSTOP)
    until(lambda: process_state(served.pid) == "T", "the target to stop")
    daemon("attach", "--pid", served.pid, "--no-inventory")
    assert process_state(served.pid) == "T"
    served.process.send_signal(signal.SIGCONT)
    served.start_load(connections=1, requests=100, pause_us=0)
    served.end_load()
    ctl("snapshot", "-o", tmp_path / "s.json")
    assert Profile(tmp_path / "s.json").with_function("remember_session")["ebk"] == 10
    served.process.send_signal(signal.SIGSTOP)
    until(lambda: process_state(served.pid) == "T", "the target to stop")
    ctl("detach", "--pid", served.pid)
    assert process_state(served.pid) == "T"
    assert code_differences(served.pid) == {}
    served.process.send_signal(signal.SIGCONT)
    assert served.quit() == 0


@pytest.mark.parametrize("tracer", ["gdb", "strace"])
def test_traced_target(tracer, served, daemon, ctl, target, tmp_path):
    """Another program holds the target by ptrace; it runs on, slowly under strace."""
    argv = {"gdb": ["/usr/bin/gdb", "-q", "-batch", "-nx", "-ex", "set debuginfod enabled off",
                    "-ex", "handle all nostop noprint pass", "-p", served.pid, "-ex", "shell echo held", "-ex", "continue"],
            "strace": ["/usr/bin/strace", "-f", "-o", "/dev/null", "-p", served.pid]}[tracer]
    tracing = target(*argv)

    def is_traced():
        with open(f"/proc/{served.pid}/status", encoding="utf-8") as status:
            return re.search(r"^TracerPid:\s+[1-9]", status.read(), re.M)
    until(is_traced, f"{tracer} to attach")
    if tracer == "gdb":
        tracing.expect("^held")  # what runs after that does so with its breakpoints
    until(lambda: process_state(served.pid) == "S", "the target to run")
    breakpoints = code_differences(served.pid)  # gdb has one in the dynamic loader
    daemon("attach", "--pid", served.pid, "--no-inventory")
    served.start_load(connections=2, requests=100, pause_us=0)
    served.end_load()
    ctl("snapshot", "-o", tmp_path / "t.json")
    profile = Profile(tmp_path / "t.json")
    assert profile.with_function("remember_session")["ebk"] == 20
    assert profile.exact, profile.reasons
    if tracer == "gdb":  # it could have a breakpoint over a probe
        assert ctl("detach", "--pid", served.pid, ok=False).status == 6
        assert served.quit() == 0
    else:
        ctl("detach", "--pid", served.pid)
        assert code_differences(served.pid) == breakpoints
        assert served.quit() == 0
    tracing.wait()


@pytest.mark.parametrize("comes_first", [True, False])
def test_probes_of_another_tool(comes_first, served, daemon, ctl, target, tmp_path):
    """bpftrace on the same functions, before us or after us; each sees every call."""
    def count(name):
        return (f"uprobe:{LIBC}:{name} /pid == {served.pid}/ "
                f'{{ @{name}s = count(); if (!@has_{name}) {{ @has_{name} = 1; printf("{name} is counted\\n"); }} }}')

    def start_bpftrace():
        """How many sessions are remembered until it counts: it says that it begins before its probes are there."""
        other = target("/usr/bin/bpftrace", "-p", served.pid, "-e",
                       'BEGIN { printf("probing\\n"); } ' + count("malloc") + count("free"))
        other.expect("probing")
        sessions = 0
        while other.out.count("is counted") < 2:
            served.start_load(connections=1, requests=10, pause_us=0)
            served.end_load()
            sessions += 1
        return other, sessions

    before = 0
    if comes_first:
        other, _ = start_bpftrace()
        dhatd = daemon("attach", "--pid", served.pid, "--no-inventory")
    else:
        dhatd = daemon("attach", "--pid", served.pid, "--no-inventory")
        other, before = start_bpftrace()
    served.start_load(connections=2, requests=250, pause_us=0)
    served.end_load()
    ctl("snapshot", "-o", tmp_path / "o.json")
    profile = Profile(tmp_path / "o.json")
    assert profile.with_function("remember_session")["ebk"] == before + 50
    assert profile.exact, profile.reasons
    if comes_first:
        assert dhatd.stop() == 0
        assert other.stop(signal.SIGINT) == 0
    else:
        assert other.stop(signal.SIGINT) == 0
        served.start_load(connections=2, requests=50, pause_us=0)
        served.end_load()
        ctl("snapshot", "-o", tmp_path / "o2.json")
        assert Profile(tmp_path / "o2.json").with_function("remember_session")["ebk"] == before + 60
        assert dhatd.stop() == 0
    # 550 requests at least: a malloc for the work and one for the answer each, one in ten a session
    counted = int(re.search(r"@mallocs: (\d+)", other.out)[1])
    assert counted >= 500 * 2 + 50
    until(lambda: code_differences(served.pid) == {}, "clean code after both")
    assert served.quit() == 0


def test_stacks_through_the_pending_returns_of_another_tool(daemon, ctl, target, tables, tmp_path):
    """Fifty return probes at once hide the return addresses of as many frames."""
    process = target("recursion", "--gate", "--hold", 50, 4)
    process.expect("ready")
    other = target("/usr/bin/bpftrace", "-p", process.pid, "-e",
                   'BEGIN { printf("probing\\n"); } '
                   f'uretprobe:{TARGETS}/recursion:descend /pid == {process.pid}/ {{ @returns = count(); }}')
    other.expect("probing")
    until(lambda: code_differences(process.pid), "its probe")
    daemon("attach", "--pid", process.pid, "--no-inventory")
    tables()
    process.say("go")
    process.expect("total_bytes")
    ctl("snapshot", "-o", tmp_path / "r.json")
    profile = Profile(tmp_path / "r.json")
    stacks = [[frame.function for frame in profile.frames(point)] for point in profile.points]
    stacks = [stack for stack in stacks if "descend" in stack]
    assert sorted(stack.count("descend") for stack in stacks) == list(range(1, 51))
    assert all("main" in stack and stack[-1] == "_start" for stack in stacks), stacks[-1]
    assert profile.sums()["tbk"] == last_line_json(process.out)["total_blocks"] == 200
    assert profile.exact, profile.reasons
    assert other.stop(signal.SIGINT) == 0
    assert re.search(r"@returns: 200", other.out)
    process.say("end")
    assert process.wait() == 0


def test_longjmp_out_of_an_allocator_call(daemon, ctl, target, tmp_path):
    """Calls that never return cost themselves only, and the verdict tells of them."""
    jumps = target("jumps", "--gate", "--hold", "400")
    jumps.expect("ready")
    daemon("attach", "--pid", jumps.pid, "--no-inventory")
    jumps.say("go")
    jumps.expect("abandoned")
    ctl("snapshot", "-o", tmp_path / "j.json")
    book, profile = last_line_json(jumps.out), Profile(tmp_path / "j.json")
    assert profile.sums()["tbk"] == book["total_blocks"]
    assert profile.sums()["tb"] == book["total_bytes"]
    assert profile.sums()["ebk"] == book["live_blocks"]
    assert profile.sums()["eb"] == book["live_bytes"]
    assert not profile.exact
    assert any(str(book["abandoned"]) in reason for reason in profile.reasons), profile.reasons
    jumps.say("end")
    assert jumps.wait() == 0


@pytest.mark.parametrize("place", ["above", "below"])
def test_signal_stack_inside_an_allocator_call(place, daemon, ctl, target, tmp_path):
    """A handler with a stack of its own, wherever that lies, does not make the call that it
    interrupts one that never returned; leaving both by siglongjmp does."""
    process = target("signal_stack", "--gate", "--hold", place, "400")
    process.expect("ready")
    daemon("attach", "--pid", process.pid, "--no-inventory", "--alloc", "signal_stack:take(size=arg1)",
           "--free", "signal_stack:give(ptr=arg1)")
    process.say("go")
    process.expect("abandoned")
    ctl("snapshot", "-o", tmp_path / "s.json")
    book, profile = last_line_json(process.out), Profile(tmp_path / "s.json")
    own = profile.allocated_in("signal_stack.c")
    assert {f: own[f] for f in ("tb", "tbk", "eb", "ebk")} == book_sums(book, ("tb", "tbk", "eb", "ebk"))
    assert profile.losses() == {"abandoned": book["abandoned"]}
    process.say("end")
    assert process.wait() == 0


@pytest.mark.parametrize("link", ["session", "multi", "perf"])
def test_exceptions_through_probed_calls(link, target, tmp_path, socket_path):
    """operator new that fails throws out of the allocator's shims; nothing may be pending there."""
    program = target(BUILD / "dhatd", "run", "--socket", socket_path, "--link", link, "--",
                     TARGETS / "exceptions", "300")
    assert program.wait() == 0, program.err
    assert last_line_json(program.out)["caught"] == 300


def test_memory_of_the_target_is_never_written(served, daemon, ctl):
    """No page of the target's data becomes different by attaching: its idle writable memory is the
    same before, during and after."""
    def writable():
        with open(f"/proc/{served.pid}/maps", encoding="utf-8") as maps:
            ranges = [line.split()[0] for line in maps if " rw-p " in line and "[v" not in line]
        with open(f"/proc/{served.pid}/mem", "rb", buffering=0) as memory:
            content = {}
            for text in ranges:
                start, end = (int(x, 16) for x in text.split("-"))
                memory.seek(start)
                content[text] = memory.read(end - start)
        return content

    served.start_load(connections=1, requests=50, pause_us=0)
    served.end_load()
    until(lambda: len(os.listdir(f"/proc/{served.pid}/task")) == 1, "the connection's thread to end")
    before = writable()
    daemon("attach", "--pid", served.pid)
    during = writable()
    ctl("detach", "--pid", served.pid)
    after = writable()
    assert before == during
    assert before == after


def test_two_who_watch_the_same_library(daemon, ctl, target, tmp_path):
    """The kernel has one probe for all who probe a place of a file, and asks a session of another process at each
    hit, too: it declines nothing, and what the stack pointer points to is written over. So sessions are at entries only."""
    script = tmp_path / "much.js"
    script.write_text("""
        const kept = [];
        for (let i = 0; i < 100; i++) require("fs").readdirSync("/usr/bin");  // scandir(3): reallocs
        for (let i = 0; i < 300000; i++) kept.push({ text: "t" + i, data: i % 10 ? null : Buffer.from("x".repeat(i % 500)) });
        console.log(JSON.stringify(kept).length, kept.map((k) => k.text + i(k)).join().length);
        function i(k) { return k.data ? k.data.toString("hex") : ""; }""")
    both = [daemon("run", "-o", tmp_path / f"{name}.json", "--", "/usr/bin/node", script, wait=False,
                   socket=tmp_path / f"{name}.sock") for name in "ab"]
    assert [one.wait() for one in both] == [0, 0]
    for name in "ab":
        profile = Profile(tmp_path / f"{name}.json")
        counters = {counter["name"]: counter["value"] for counter in profile.verdict["counters"]}
        assert counters["reallocs"] > 100 and counters["abandoned"] == 0, counters
        # how much V8 has of its own, and whether it has made code when that is looked at, is a matter of time
        assert profile.verdict["verdict"] in ("exact", "partial"), profile.reasons


def stat_of(pid):
    """Fields of its stat from the state on."""
    return open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()


def is_whole(pid):
    try:
        return not code_differences(pid)
    except OSError:  # what was mapped is gone by now
        return False


def has_ended(pid):
    try:
        return stat_of(pid)[0] == "Z"
    except OSError:
        return True


def ticks_of(pid):
    """It has used so much time; that of a process that stands still stays so."""
    return sum(int(field) for field in stat_of(pid)[11:13])


@pytest.mark.parametrize("user", [(), ("/usr/bin/setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")],
                         ids=["root", "another user"])
def test_killed_while_its_program_stands_still(daemon, user):
    """`dhatd run` stops its program when that loads code, and lets it go on. The kernel's promise to tell it of dhatd's
    death is gone when it becomes another user; and code is loaded while the last probes are still there."""
    program = TARGETS / "dlopen_loop"
    dhatd = daemon("run", "--follow-exec", "--", *user, program, "100000000", "100")

    pid = int(dhatd.expect_err(r"attached to (\d+) \(dlopen_loop\)").group(1))
    try:
        dhatd.send_signal(signal.SIGSTOP)  # it lets nobody go on now
        until(lambda: stat_of(pid)[0] == "T", "the program to stand still")
        dhatd.proc.kill()
        dhatd.proc.wait()
        until(lambda: stat_of(pid)[0] != "T", "it to go on")
        # it maps code all the time: nothing stops it again
        ran = ticks_of(pid)
        until(lambda: ticks_of(pid) > ran + 5, "it to work")
        until(lambda: is_whole(pid), "its code to be whole")
        ran = ticks_of(pid)
        until(lambda: ticks_of(pid) > ran + 5, "it to work on")
    finally:
        os.kill(pid, signal.SIGKILL)


def test_killed_while_its_program_stands_at_its_end(daemon):
    """As above, where it is stopped to be looked at: it ends all the same."""
    dhatd = daemon("run", "--assert", "lost.bytes == 0", "--", "/usr/bin/setpriv", "--reuid=65534", "--regid=65534",
                   "--clear-groups", TARGETS / "owners")
    pid = int(dhatd.expect_err(r"attached to (\d+) \(owners\)").group(1))
    dhatd.expect("ready")
    dhatd.send_signal(signal.SIGSTOP)
    dhatd.say("make")
    dhatd.expect("made")
    dhatd.say("end")
    until(lambda: stat_of(pid)[0] == "T", "it to stand at its end")
    dhatd.proc.kill()
    dhatd.proc.wait()
    until(lambda: has_ended(pid), "it to end")


def test_ended_while_its_program_comes_to_its_end(daemon, tmp_path):
    """dhatd lets go of the probe there, which takes a while: whoever comes to it goes on."""
    mark = tmp_path / "slow"
    dhatd = daemon("run", "--assert", "lost.bytes == 0", "--follow-exec", "--", "/usr/bin/setpriv", "--reuid=65534",
                   "--regid=65534", "--clear-groups", TARGETS / "owners",
                   env={**os.environ, "LD_PRELOAD": str(TARGETS / "slow_unlink.so"), "SLOW_UNLINK": str(mark)})
    pid = int(dhatd.expect_err(r"attached to (\d+) \(owners\)").group(1))
    dhatd.expect("ready")
    dhatd.say("make")
    dhatd.expect("made")
    mark.touch()
    try:
        dhatd.send_signal(signal.SIGTERM)
        until(lambda: mark.stat().st_size, "dhatd to let go of its probes")
        dhatd.say("end")
        until(lambda: has_ended(pid), "it to end", 20)
    finally:
        mark.unlink()
        if not has_ended(pid):
            os.kill(pid, signal.SIGKILL)


def test_an_exec_that_cannot_be_told_stops_nobody(daemon):
    """The ring is full of frees: who is stopped then would be let go on by nobody."""
    dhatd = daemon("run", "--follow-exec", "--ring-size", "64K", "--", TARGETS / "waves")
    pid = int(dhatd.expect_err(r"attached to (\d+) \(waves\)").group(1))
    try:
        dhatd.say("alloc 5000 16")
        until(lambda: dhatd.out.count("live_blocks") == 1, "the blocks")
        dhatd.send_signal(signal.SIGSTOP)
        dhatd.say("free 5000")
        until(lambda: dhatd.out.count("live_blocks") == 2, "the frees")
        dhatd.say("exec")
        # the ring may have room for just that yet; then it waits for dhatd
        until(lambda: stat_of(pid)[0] == "T" or dhatd.out.count("ready") == 2, "the exec")
        dhatd.send_signal(signal.SIGCONT)
        until(lambda: dhatd.out.count("ready") == 2, "the program to begin anew")
    finally:
        os.kill(pid, signal.SIGKILL)
        dhatd.send_signal(signal.SIGCONT)


def guards_of(dhatd):
    """The processes that would let its program go on."""
    children = [child for thread in os.listdir(f"/proc/{dhatd.pid}/task")
                for child in open(f"/proc/{dhatd.pid}/task/{thread}/children").read().split()]
    return [child for child in children if open(f"/proc/{child}/comm").read() == "dhatd-guard\n"]


def test_one_lets_it_go_on_however_often_it_executes(daemon):
    dhatd = daemon("run", "--follow-exec", "-o", os.devnull, "--", TARGETS / "waves")
    for count in range(1, 4):
        until(lambda: dhatd.out.count("ready") == count, "the program to begin")
        until(lambda: dhatd.err.count("(waves), ") == count, "it to be attached to")
        dhatd.say("exec")
    until(lambda: dhatd.out.count("ready") == 4, "the last one")
    until(lambda: len(guards_of(dhatd)) == 1, "the guards of those before to have gone")
