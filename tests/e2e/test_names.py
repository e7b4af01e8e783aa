"""Names in real profiles: those that addr2line gives, of deleted files too, and none lost but with a
reason when the worker that finds them is killed."""
import os
import re
import signal
import struct
import subprocess
import threading
from pathlib import Path

import pytest

from conftest import TARGETS, until
from wire import fields


class Frame:
    """A frame of a lossless profile; see proto/wire/dhat.proto."""

    def __init__(self, data):
        got = fields(data)
        self.object = b"".join(v for n, v in got if n == 2).decode()
        self.vaddr = sum(v for n, v in got if n == 4)
        self.is_exact = any(v for n, v in got if n == 5)
        self.reason = b"".join(v for n, v in got if n == 7).decode()
        self.locations = [Location(v) for n, v in got if n == 6]


class Location:
    def __init__(self, data):
        got = dict(fields(data))
        self.function = got.get(1, b"").decode()
        self.raw = got.get(2, b"").decode() or self.function
        self.file = got.get(3, b"").decode()
        self.line = got.get(4, 0)


def parts(path):
    """The SnapshotParts of a .dhat file (proto/profile/snapshot_file.h)."""
    data = path.read_bytes()
    assert data[:8] == b"DHATSNAP"
    at = 16
    while True:
        size, = struct.unpack_from("<I", data, at)
        if size == 0xffffffff:
            return
        yield fields(data[at + 4:at + 4 + size])
        at += 4 + size


def frames(path):
    return [Frame(frame) for part in parts(path) for number, batch in part if number == 2
            for _, frame in fields(batch)]


def addr2line(path, addresses):
    """{address: [(function, file, line)]}, innermost first."""
    out = subprocess.run(["addr2line", "-afi", "-e", str(path)], input="\n".join(map(hex, addresses)),
                         capture_output=True, text=True, check=True).stdout.splitlines()
    result, at = {}, 0
    while at < len(out):
        chain = result.setdefault(int(out[at], 16), [])
        at += 1
        while at < len(out) and not re.match("0x[0-9a-f]{16}$", out[at]):
            file, line = out[at + 1].split(" ")[0].rsplit(":", 1)
            chain.append((out[at], file, 0 if line == "?" else int(line)))
            at += 2
    return result


# in C++ addr2line names inlined functions of local types by the symbol around them: lines only
@pytest.mark.parametrize("program, with_functions", [("stacks_cxx", False), ("stacks_rust", True),
                                                     ("every_function", True)])
def test_names_are_those_of_addr2line(daemon, tmp_path, program, with_functions):
    profile = tmp_path / "profile.dhat"
    dhatd = daemon("run", "--output", profile, "--", TARGETS / program, "3")
    assert dhatd.wait() == 0
    own = [f for f in frames(profile) if f.object == os.path.realpath(TARGETS / program)]
    assert len(own) > 10
    judge = addr2line(TARGETS / program, {f.vaddr - (not f.is_exact) for f in own})
    inlined = 0
    for frame in own:
        theirs = judge[frame.vaddr - (not frame.is_exact)]
        ours = [(at.raw, at.file, at.line) for at in frame.locations]
        inlined += len(ours) > 1
        assert [line for _, _, line in ours] == [line for _, _, line in theirs], (hex(frame.vaddr), ours, theirs)
        if with_functions:
            # without a mangled name, ours says where the function stands in the source
            assert all(name == other or name.endswith("::" + other)
                       for (name, _, _), (other, _, _) in zip(ours, theirs)), (ours, theirs)
            assert [Path(f).name for _, f, line in ours if line] == \
                   [Path(f).name for _, f, line in theirs if line]
        assert all(at.function and not at.function.startswith(("_Z", "_R")) for at in frame.locations)
    if program != "every_function":
        assert inlined > 10


def counted(ctl):
    """Blocks until now; `status` asks for no names."""
    return int(ctl("status", "--json").json()["targets"][0]["totals"]["total_blocks"])


def test_deleted_program(daemon, target, ctl, tmp_path):
    """The file is gone from its directory, not from the process."""
    copy = tmp_path / "removed"
    copy.write_bytes((TARGETS / "waves").read_bytes())
    copy.chmod(0o755)
    process = target(str(copy))
    process.say("alloc 1 1")
    process.expect("blocks")
    copy.unlink()
    daemon("attach", "--pid", process.pid)
    process.say("alloc 100 10")
    until(lambda: counted(ctl) >= 100, "the allocations")
    ctl("snapshot", "-o", tmp_path / "a.dhat")
    named = {at.function for f in frames(tmp_path / "a.dhat") for at in f.locations}
    assert "take" in named and "main" in named


def workers(dhatd):
    """Process ids of dhatd's workers."""
    children = Path(f"/proc/{dhatd.pid}/task").glob("*/children")
    return {int(pid) for file in children for pid in file.read_text().split()
            if b"--worker" in Path(f"/proc/{pid}/cmdline").read_bytes()}


def has_request(pid):
    """A descriptor waits in the socket of a (stopped) worker, or it has just taken one."""
    return (re.search(r"^scm_fds:\s+[1-9]", Path(f"/proc/{pid}/fdinfo/3").read_text(), re.M)
            or any(int(fd) > 3 for fd in os.listdir(f"/proc/{pid}/fd")))


def test_worker_killed_in_the_middle(daemon, target, ctl, tables, tmp_path):
    """The snapshot is whole, its frames say why they have no names, and the next one has them."""
    first, second = target("waves"), target("churn", "--gate", "--hold", 1000, 10)
    for process in (first, second):
        process.expect("ready")
    dhatd = daemon("attach", "--pid", first.pid)
    ctl("attach", "--pid", second.pid)
    first.say("alloc 100 10")
    second.say("go")
    second.expect("total_blocks")
    tables()  # nobody else begins then
    before = workers(dhatd)
    # the first snapshot starts the worker that finds names. It is stopped when it has nothing to do, and killed
    # once dhatd waits for what it has to say of another program
    ctl("snapshot", "--pid", first.pid, "-o", tmp_path / "first.dhat")
    victim, = workers(dhatd) - before
    os.kill(victim, signal.SIGSTOP)
    thread = threading.Thread(target=ctl, args=("snapshot", "--pid", second.pid, "-o", tmp_path / "cut.dhat"))
    thread.start()
    until(lambda: has_request(victim), "a request")
    os.kill(victim, signal.SIGKILL)
    thread.join()
    ctl("snapshot", "--pid", second.pid, "-o", tmp_path / "whole.dhat")
    own = os.path.realpath(TARGETS / "churn")
    cut, whole = ([f for f in frames(tmp_path / name) if f.object == own] for name in ("cut.dhat", "whole.dhat"))
    assert len(cut) == len(whole) > 0
    assert all("ended by signal 9 (SIGKILL)" in f.reason and not f.locations for f in cut), [f.reason for f in cut]
    assert not any(f.reason for f in whole)
    assert "main" in {at.function for f in whole for at in f.locations}


PACKED = r"""
#include <stdlib.h>
void *volatile keep[300];
static inline __attribute__((always_inline)) void *inner(int n) { return malloc(n + 20); }
static inline __attribute__((always_inline)) void *middle(int n) { return inner(n * 2); }
__attribute__((noinline)) void outer(int n)
{
	keep[n] = middle(n);
}
int main(void)
{
	for (int i = 0; i < 300; i++)
		outer(i);
	return 0;
}
"""
WHOLE = "gcc -gdwarf-5 -O2 blocks.c -o whole"


@pytest.mark.parametrize("how", [
    # beyond what Debian 12's libdw reads: unpacked by us, in the confined worker
    "cp whole p && objcopy --compress-debug-sections=zstd p",
    "cp whole p && objcopy --only-keep-debug --compress-debug-sections=zstd p p.debug && "
    "objcopy -S --add-gnu-debuglink=p.debug p",
    "gcc -gdwarf-5 -gsplit-dwarf -O2 blocks.c -o p",
    "gcc -gdwarf-5 -gsplit-dwarf -O2 blocks.c -o p && objcopy --compress-debug-sections=zstd p-blocks.dwo",
    # (with DWARF 5 of gcc, LLVM 14's does not always come to an end)
    "gcc -gdwarf-4 -gsplit-dwarf -O2 blocks.c -o p && llvm-dwp -e p -o p.dwp && rm p-blocks.dwo",
], ids=["zstd", "zstd-debuglink", "dwo", "dwo-zstd", "dwp"])
def test_packed_debug_information(how, daemon, ctl, tmp_path):
    (tmp_path / "blocks.c").write_text(PACKED)
    subprocess.run(f"{WHOLE} && {how}", shell=True, cwd=tmp_path, check=True)
    profile = tmp_path / "profile.dhat"
    assert daemon("run", "--output", profile, "--", tmp_path / "p").wait() == 0
    own = [f for f in frames(profile) if f.object == str(tmp_path / "p")]
    judge = addr2line(tmp_path / "whole", {f.vaddr - (not f.is_exact) for f in own})
    seen = set()
    for frame in own:
        ours = [(at.function, at.file, at.line) for at in frame.locations]
        if ours[0][0] != "_start":
            assert ours == judge[frame.vaddr - (not frame.is_exact)] and frame.reason == ""
        seen |= {function for function, _, _ in ours}
    assert {"inner", "middle", "outer", "main"} <= seen
    assert "Note:" not in ctl("stats", profile).out


def test_split_debug_information_that_is_lacking(daemon, ctl, tmp_path):
    """The function is told, not the line of another that was inlined into it, and the text says why."""
    (tmp_path / "blocks.c").write_text(PACKED)
    subprocess.run("gcc -gdwarf-5 -gsplit-dwarf -O2 blocks.c -o p && rm p-blocks.dwo", shell=True, cwd=tmp_path, check=True)
    profile = tmp_path / "profile.dhat"
    assert daemon("run", "--output", profile, "--", tmp_path / "p").wait() == 0
    own = [f for f in frames(profile) if f.object == str(tmp_path / "p") and f.locations[0].function != "_start"]
    assert {f.locations[0].function for f in own} == {"outer", "main"}
    for frame in own:
        assert [(at.file, at.line) for at in frame.locations] == [("", 0)]
        assert "split debug file (.dwo or .dwp) was not found" in frame.reason
    told = " ".join(ctl("stats", profile).out.split())
    assert re.search(r"Note: 2 frames of \S+/p: line and inlined calls unknown: its split debug file", told)
