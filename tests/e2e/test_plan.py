"""dhatctl plan: what it finds in each kind of process, that an attach then does the same, and that what
it calls unsafe is refused by an attach and left as it was."""
import contextlib
import ctypes
import errno
import json
import os
import re
import shutil
import signal
import struct
import subprocess
from pathlib import Path

import pytest
from conftest import BUILD, TARGETS, until
from oracle import Profile, has_link

INITIAL_PID_NAMESPACE = 0xeffffffc  # PROC_PID_INIT_INO
PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2


def plan_of(ctl, pid, *args, status=0):
    """The plan, and that of `dhatd plan`, which needs no daemon, is the same; status: that of an attach."""
    answer = ctl("plan", "--json", "--pid", pid, *args, ok=False)
    assert answer.status == status, answer.out + answer.err
    plan = answer.json()
    assert plan["is_safe"] is (status == 0)
    return plan


def without_daemon(pid, *args):
    return subprocess.run([BUILD / "dhatd", "plan", "--json", "--pid", str(pid), *args], capture_output=True, text=True)


def hazard(plan, name, blocking):
    found = [h for h in plan["hazards"] if h["name"] == name]
    assert found, [h["name"] for h in plan["hazards"]]
    assert all(h["is_blocking"] is blocking for h in found)
    return " ".join(h["detail"] for h in found)


def build(tmp_path, name, source, *flags):
    path = tmp_path / name
    subprocess.run(["gcc", "-O1", "-fno-builtin", "-x", "c", "-", "-o", path, *flags], input=source,
                   text=True, check=True)
    return path


LOOP = """
#include <stdlib.h>
#include <stdio.h>
void *volatile p;
int main(void) { char line[9]; puts("ready"); fflush(stdout);
while (fgets(line, sizeof line, stdin)) { p = malloc(123); puts("done"); fflush(stdout); } return 0; }
"""


def is_untouched(process):
    """It answers, and no probe was ever in it: the kernel maps its page for them with the first."""
    process.say("")
    process.expect("^done")
    with open(f"/proc/{process.pid}/maps") as maps:
        return "[uprobes]" not in maps.read()


# ---- an ordinary process ------------------------------------------------------------------------

@pytest.mark.parametrize("options", [(), ("--anonymous",)], ids=["plain", "anonymous"])
def test_plan_is_what_attach_does(daemon, ctl, target, tmp_path, options):
    daemon("serve")
    process = target(build(tmp_path, "loop", LOOP))
    process.expect("^ready")
    plan = plan_of(ctl, process.pid, *options)
    assert plan["verdict"] == "safe to attach"
    assert {h["name"] for h in plan["hazards"]} <= ({"slow probe"} if options else set())
    assert [a.split()[0] for a in plan["target"]["allocators"]] == ["glibc"] + ["anonymous"] * len(options)
    assert plan["target"]["command"].endswith("/loop")
    assert is_untouched(process)
    assert ctl("status", "--json").json()["targets"] == []
    own = without_daemon(process.pid, *options)  # no daemon is needed for the same answer
    assert own.returncode == 0, own.stderr
    assert own.stderr == ""
    rates = ("allocs_per_second", "cost_percent", "cost_at_most_percent", "cost_basis")
    assert {k: v for k, v in json.loads(own.stdout).items() if k not in rates} == {
        k: v for k, v in plan.items() if k not in rates}
    functions = {p["function"]: p for p in plan["probes"]}
    assert {"malloc", "calloc", "realloc", "free", "posix_memalign", "aligned_alloc"} <= set(functions)
    assert all(p["is_emulated"] for p in plan["probes"] if p["allocator"] != "anonymous memory")
    assert ({"mmap", "munmap", "mremap"} <= set(functions)) == bool(options)

    ctl("attach", process.pid, *options)
    attached = ctl("status", "--json").json()["targets"][0]["probes"]
    keys = ("function", "role", "object", "function_vaddr", "site_vaddr", "file_offset", "instruction",
            "is_emulated", "returns_by", "link", "note", "allocator")
    assert sorted([p[k] for k in keys] for p in plan["probes"]) == sorted([p[k] for k in keys] for p in attached)
    assert "attached to it already" in plan_of(ctl, process.pid)["cost_basis"]


def test_text(daemon, ctl, target, tmp_path):
    daemon("serve")
    process = target(build(tmp_path, "loop", LOOP))
    process.expect("^ready")
    out = ctl("plan", process.pid).out
    own = subprocess.run([BUILD / "dhatd", "plan", str(process.pid)], capture_output=True, text=True).stdout
    times = r"\d+\.\d s"
    assert re.sub(times, "", own) == re.sub(times, "", out)  # it is idle: the estimates are the same, too
    assert re.search(r"loop \(pid \d+\)\n  safe to attach\n", out)
    assert re.search(r"^ +malloc +libc\S*\+0x[0-9a-f]+ .* emulated", out, re.M)
    assert "\x1b" not in out


@pytest.mark.parametrize("name", ["glibc", "jemalloc", "tcmalloc", "mimalloc"])
def test_each_function_that_needs_two_traps_says_why(name, ctl, daemon, target):
    daemon("serve")
    process = target(TARGETS / "allocators" / name, "--gate")
    process.expect("ready")
    probes = plan_of(ctl, process.pid)["probes"]
    handing_out = [p for p in probes if p["returns_by"] not in ("", "result sites")]
    assert len(handing_out) > 3
    for probe in handing_out:
        assert probe["note"].startswith("two traps: "), probe
    notes = {p["function"]: p["note"] for p in probes if p["object"].endswith(("libc.so.6", f"lib{name}.so.2"))}
    assert notes["realloc"] == "two traps: the old block has to be told of before another is known"
    process.say("")


def test_idle_and_busy(daemon, ctl, target, tmp_path):
    daemon("serve")
    idle = target(build(tmp_path, "loop", LOOP))
    idle.expect("^ready")
    plan = plan_of(ctl, idle.pid)
    assert plan["allocs_per_second"] == 0 and plan["cost_percent"] == 0
    assert "did nothing" in plan["cost_basis"]
    # whose share of the processors is looked at for a part of a second
    busy = target(build(tmp_path, "busy", "#include <stdlib.h>\n#include <unistd.h>\nint main(void) { alarm(60);"
                                          "write(1, \"ready\\n\", 6); for (;;) { void *p = malloc(64); *(volatile char *)p = 1; free(p); } }"), urgent=True)
    busy.expect("ready")
    plan = plan_of(ctl, busy.pid)
    assert "samples of its CPU time" in plan["cost_basis"]
    assert plan["cost_at_most_percent"] < 0  # there is a rate
    # a pair takes 6 to 100 ns, and the process has at least a tenth of a core
    assert 1e5 < plan["allocs_per_second"] < 2e8
    assert plan["cost_percent"] > 20
    busy.kill()


def test_few_calls_are_counted(daemon, ctl, target, tmp_path):
    """One that is hardly ever in its allocator, and one that mostly sleeps, so that each of its calls takes long: what
    is said is true, and neither "low or 34 %" nor 60 times too much."""
    daemon("serve")
    source = """
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
static double now(clockid_t c) { struct timespec t; clock_gettime(c, &t); return t.tv_sec + t.tv_nsec / 1e9; }
int main(void) { /* 500 pairs for each second of its CPU time */
    alarm(120);
    write(1, "ready\\n", 6);
    for (double next = 0;; next += 0.002) {
        while (now(CLOCK_PROCESS_CPUTIME_ID) < next) for (volatile int i = 0; i < 10000; i++);
        free(malloc(100));
    }
}"""
    sleeper = ("#include <stdlib.h>\n#include <unistd.h>\nint main(void) { alarm(120); write(1, \"ready\\n\", 6); for (;;) { void *p[4];"
               "for (int i = 0; i < 4; i++) p[i] = malloc(100 + i * 40); for (int i = 0; i < 4; i++) free(p[i]); usleep(5000); } }")
    for name, code, most_pairs in (("rare", source, 500), ("sleeper", sleeper, 800)):
        process = target(build(tmp_path, name, code), urgent=True)
        process.expect("ready")
        plan = plan_of(ctl, process.pid)
        assert "low" not in plan["cost_basis"]
        if plan["cost_percent"] >= 0:  # the processor has breakpoints
            assert "counted by the processor's breakpoints" in plan["cost_basis"], plan
            assert 0 < plan["allocs_per_second"] < most_pairs * 1.2, plan
            price = int(re.search(r"each costs (\d+) ns more", plan["cost_basis"])[1])
            assert 200 < price < 20000 and plan["cost_percent"] == pytest.approx(plan["allocs_per_second"] * 2 * price / 1e7, rel=0.1)
        else:
            assert plan["cost_at_most_percent"] > 0 and "a bound" in plan["cost_basis"], plan
        process.kill()


def test_plan_without_a_daemon_is_named(ctl):
    answer = ctl("plan", "1", ok=False)
    assert answer.status == 9 and "`sudo dhatd plan --pid 1' needs none" in answer.err


def test_custom_allocator(daemon, ctl, target, tmp_path):
    daemon("serve")
    source = LOOP.replace("void *volatile p;", "void *volatile p; static char pool[4096];"
                          "__attribute__((noinline)) void *take(int a, unsigned long n) { return a ? pool + n : 0; }"
                          "__attribute__((noinline)) void give(void *q) { *(char *)q = 0; }")
    process = target(build(tmp_path, "loop", source))
    process.expect("^ready")
    plan = plan_of(ctl, process.pid, "--alloc", "loop:take(size=arg2)", "--free", "loop:give(ptr=arg1)")
    assert {"take", "give", "malloc"} <= {p["function"] for p in plan["probes"]}
    answer = ctl("plan", process.pid, "--alloc", "loop:nobody(size=arg2)", ok=False)
    assert answer.status == 2 and "nobody" in answer.err
    answer = ctl("plan", process.pid, "--alloc", "loop:take(size=arg9)", ok=False)
    assert answer.status == 2 and "arg1 to arg6" in answer.err


def test_wrong_command_lines(daemon, ctl):
    daemon("serve")
    assert ctl("plan", ok=False).status == 2
    assert ctl("plan", "x", ok=False).status == 2
    assert ctl("plan", "1", "2", ok=False).status == 2


# ---- hazards in the way: the plan says so, attach refuses, nothing has changed ---------------------

def refused(ctl, pid, name, status):
    plan = plan_of(ctl, pid, status=status)
    detail = hazard(plan, name, True)
    assert plan["verdict"] == f"cannot be attached to: {detail}"
    if name != "myself":  # it is nobody else's
        own = without_daemon(pid)
        assert own.returncode == status and detail in json.loads(own.stdout)["verdict"]
    answer = ctl("attach", pid, ok=False)
    assert answer.status == status, answer.err
    assert answer.err.startswith("dhatctl: attach: ")
    assert status != 7 or detail in answer.err  # why there is no allocator: attach knows it, too
    return detail


def test_no_process(daemon, ctl):
    daemon("serve")
    done = subprocess.Popen(["true"])
    done.wait()
    refused(ctl, done.pid, "no process", 3)


def test_zombie(daemon, ctl):
    daemon("serve")
    child = subprocess.Popen(["true"])
    until(lambda: open(f"/proc/{child.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "Z")
    refused(ctl, child.pid, "zombie", 3)
    child.wait()


def test_kernel_thread(daemon, ctl):
    daemon("serve")

    def is_kernel_thread(pid):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/stat") as stat:
            return int(stat.read().rsplit(")", 1)[1].split()[6]) & 0x200000  # PF_KTHREAD
        return False
    threads = [pid for pid in os.listdir("/proc") if pid.isdigit() and is_kernel_thread(pid)]
    if not threads:  # in a pid namespace of its own there is none to be seen, nor to be attached to by mistake
        assert os.stat("/proc/self/ns/pid").st_ino != INITIAL_PID_NAMESPACE
    for pid in threads[:1]:
        refused(ctl, pid, "kernel thread", 6)


def test_dhatd_itself(daemon, ctl):
    dhatd = daemon("serve")
    refused(ctl, dhatd.pid, "myself", 6)


def test_32_bit(daemon, ctl, target, tmp_path):
    daemon("serve")
    base, code = 0x8048000, bytes([0xb8, 29, 0, 0, 0, 0xcd, 0x80, 0xeb, 0xf7])  # pause(), for ever
    size = 52 + 32 + len(code)
    head = b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
    segment = struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 4096)
    path = tmp_path / "tiny"
    path.write_bytes(head + segment + code)
    path.chmod(0o755)
    try:
        process = target(path)
    except OSError as error:  # a kernel for 64 bits alone: test_preflight.c shows what is said of the file
        assert error.errno == errno.ENOEXEC
        return
    until(lambda: os.readlink(f"/proc/{process.pid}/exe") == str(path))
    refused(ctl, process.pid, "32-bit", 6)
    assert process.running


def test_emulator(daemon, ctl, target, tmp_path):
    daemon("serve")
    process = target(shutil.copy(build(tmp_path, "loop", LOOP), tmp_path / "qemu-aarch64"))
    process.expect("^ready")
    refused(ctl, process.pid, "emulator", 6)
    assert is_untouched(process)


def replaced(process):
    """As an upgrade does it: another file has the name by now. The process must have begun."""
    path = Path(process.argv[0])
    shutil.copy("/bin/true", path.with_name("new")).rename(path)
    assert os.readlink(f"/proc/{process.pid}/exe").endswith(" (deleted)")


@pytest.mark.parametrize("is_replaced", [False, True])
def test_static_and_stripped(is_replaced, daemon, ctl, target, tmp_path):
    daemon("serve")
    process = target(build(tmp_path, "loop", LOOP, "-static", "-s"))
    process.expect("^ready")
    if is_replaced:
        replaced(process)
    detail = refused(ctl, process.pid, "static and stripped", 7)
    assert "--alloc 'BINARY+0xADDRESS(" in detail and "FUNCTION" not in detail  # it has no names to be given
    assert is_untouched(process)
    if is_replaced:
        return
    started = subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "run.sock", "--", process.argv[0]],
                             capture_output=True, text=True, stdin=subprocess.DEVNULL)
    assert started.returncode == 7 and detail in started.stderr and started.stdout == ""  # it has not begun


def test_stripped_program_by_address(daemon, ctl, target, tmp_path):
    """What the error says to do, done."""
    daemon("serve")
    path = build(tmp_path, "loop", LOOP, "-static")
    symbols = {s: a for a, _, s in (line.split() for line in
               subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout.splitlines()
               if len(line.split()) == 3)}
    subprocess.run(["strip", path], check=True)
    process = target(path)
    process.expect("^ready")
    spec = f"loop+0x{symbols['malloc']}(size=arg1)"
    assert [p["function"] for p in plan_of(ctl, process.pid, "--alloc", spec)["probes"]] == [f"+0x{symbols['malloc']}"]
    ctl("attach", process.pid, "--alloc", spec, "--no-inventory")
    for _ in range(3):
        process.say("")
    until(lambda: process.out.count("done") == 3)
    ctl("snapshot", "--pid", process.pid, "-o", tmp_path / "loop.json")
    points = Profile(tmp_path / "loop.json").points
    assert [(p["tb"], p["tbk"]) for p in points] == [(3 * 123, 3)]


GO = '__attribute__((section(".go.buildinfo"), used)) static const char go[32] = "\\xff Go buildinf:";\n'


@pytest.mark.parametrize("is_replaced", [False, True])
def test_go(is_replaced, daemon, ctl, target, tmp_path):
    daemon("serve")
    source = GO + "#include <unistd.h>\nint main(void) { char c; while (read(0, &c, 1) == 1) write(1, \"done\\n\", 5); return 0; }"
    bare = target(build(tmp_path, "bare", source, "-static", "-s"))
    if is_replaced:
        bare.say("")
        bare.expect("done")
        replaced(bare)
    assert "pprof" in refused(ctl, bare.pid, "go", 7)
    assert is_untouched(bare)
    with_c = target(build(tmp_path, "cgo", GO + LOOP))
    with_c.expect("^ready")
    if is_replaced:
        replaced(with_c)
    plan = plan_of(ctl, with_c.pid)
    said = hazard(plan, "go", False)
    assert "C code" in said and plan["verdict"] == "safe to attach; the numbers will be partial"
    # … and so they are
    assert said in ctl("attach", with_c.pid).out
    verdict = ctl("stats", "--json").json()["verdict"]
    assert verdict["word"] == "partial" and said in verdict["reasons"]
    if is_replaced:
        return
    for status, path, word in ((7, bare.argv[0], "pprof"), (0, "/bin/true", "")):
        done = subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "run.sock", "--", path],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == status and word in done.stderr, done.stderr


# ---- hazards that are only told ----------------------------------------------------------------------

def allow_everything():
    libc = ctypes.CDLL(None, use_errno=True)
    allow = ctypes.create_string_buffer(struct.pack("<HBBI", 6, 0, 0, 0x7fff0000))
    program = struct.pack("<HxxxxxxQ", 1, ctypes.addressof(allow))
    libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) == 0


def test_told_hazards(daemon, ctl, target, tmp_path):
    daemon("serve")
    loop = build(tmp_path, "loop", LOOP)
    filtered = target(loop, preexec_fn=allow_everything)
    filtered.expect("^ready")
    assert "1 seccomp filter" in hazard(plan_of(ctl, filtered.pid), "seccomp", False)
    stopped = target(loop)
    stopped.expect("^ready")
    stopped.send_signal(signal.SIGSTOP)
    until(lambda: open(f"/proc/{stopped.pid}/stat").read().rsplit(")", 1)[1].split()[0] == "T")
    hazard(plan_of(ctl, stopped.pid), "stopped", False)
    stopped.send_signal(signal.SIGCONT)
    traced = target("/usr/bin/strace", "-o", "/dev/null", loop)
    traced.expect("^ready")
    child = until(lambda: open(f"/proc/{traced.pid}/task/{traced.pid}/children").read().split())[0]
    assert "strace" in hazard(plan_of(ctl, child), "traced", False)


def test_container(daemon, ctl, target, tmp_path):
    daemon("serve")
    loop = build(tmp_path, "loop", LOOP)
    outer = target("/usr/bin/unshare", "--mount", "--pid", "--fork", "--kill-child", loop)
    outer.expect("^ready")
    pid = until(lambda: open(f"/proc/{outer.pid}/task/{outer.pid}/children").read().split())[0]
    plan = plan_of(ctl, pid)
    detail = hazard(plan, "container", False)
    assert "mount, pid" in detail and "inside it is process 1;" in detail
    assert plan["target"]["namespace_pids"] == [int(pid), 1]


# ---- exits instead of return probes --------------------------------------------------------------------

@pytest.mark.parametrize("link", ["session", "multi", "perf"])
def test_exits_count_what_returns_count(daemon, ctl, target, tmp_path, link):
    """The same program, seen at its returns and at its exits: the same profile."""
    figures = []
    for n, options in enumerate([(), ("--no-return-probes",)]):
        output = tmp_path / f"{n}.json"
        dhatd = daemon("run", "--link", link, "--output", output, *options, "--", TARGETS / "every_function",
                       socket=tmp_path / f"{n}.sock", wait=False)
        if not has_link(link):
            assert dhatd.wait() == 5 and link in dhatd.err, dhatd.err
            return
        assert dhatd.wait() == 0, dhatd.err
        profile = Profile(output)
        assert profile.exact, profile.reasons
        figures.append(sorted((p["tb"], p["tbk"], p["eb"], p["ebk"]) for p in profile.points))
    assert figures[0] == figures[1]
    assert len(figures[0]) > 5
