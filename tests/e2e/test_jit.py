"""Names of code made at run time: from a perf map and a jitdump of the target's owner, and of nobody else."""
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from conftest import DEADLINE, TARGETS, until
from test_containers import NAMESPACES

ROUNDS = 10
BY_DUMP = {1000: "jitted_first", 1001: "jitted_second in:main.js:7"}
# a map does not say when
NAMES = {**BY_DUMP, 1001: "jitted_second in:main.js:7 or jitted_gone (its address was used again)"}


@pytest.fixture
def maps():
    """Paths in /tmp, removed at the end."""
    paths = []
    yield paths
    for path in paths:
        Path(path).unlink(missing_ok=True)


def stacks(stats):
    """{size of a block: (functions, innermost first; reason to end)}"""
    return {point["total_bytes"] // point["total_blocks"]:
            ([frame["locations"][0]["function"] if frame["locations"] else "" for frame in point["frames"]], point["stop"])
            for point in stats["points"] if point["total_blocks"] == ROUNDS}


def has_names(stats, names):
    found = stacks(stats)
    assert set(found) == set(names)
    for size, name in names.items():
        functions, stop = found[size]
        assert stop == "complete" and functions[:3] == [name, "call", "main"] and functions[-1] == "_start"


def start(target, daemon, how, maps, **options):
    program = target("jit", "--gate", "--hold", how, ROUNDS, **options)
    program.expect("ready")
    maps.append(f"/tmp/perf-{program.pid}.map")
    daemon("attach", "--pid", program.pid)
    return program


@pytest.mark.parametrize("how", ["map", "dump"])
def test_names(how, target, daemon, ctl, maps):
    names = BY_DUMP if how == "dump" else NAMES
    program = start(target, daemon, how, maps)
    program.say("go")
    program.expect("total_blocks")
    until(lambda: "code made at run time" not in ctl("stats").out, "dhatd to see what was mapped just now")
    has_names(ctl("stats", "--json").json(), names)
    assert re.search(r"^ +jitted_first +0x[0-9a-f]+, in no file$", ctl("stats").out, re.M)
    program.say("end")
    until(lambda: ctl("status", "--json").json()["targets"][0]["target"]["state"] == "exited")
    if how == "dump":  # it is held open; a map is looked for below its number, as long as nobody else has that
        Path(f"jit-{program.pid}.dump").unlink(missing_ok=True)
    has_names(ctl("stats", "--json").json(), names)


def test_without_a_map(target, daemon, ctl, maps):
    program = start(target, daemon, "none", maps)
    program.say("go")
    program.expect("total_blocks")
    stats = ctl("stats", "--json").json()
    has_names(stats, {1000: "", 1001: ""})
    assert any(f"2 places in code made at run time have no name: its maker wrote no /tmp/perf-{program.pid}.map" in note
               for note in stats["notes"])


@pytest.mark.parametrize("trick", ["symlink", "fifo", "device", "other owner", "older"])
def test_what_others_put_there_is_not_read(trick, target, daemon, ctl, maps, tmp_path):
    """Anybody may make files in /tmp: a link to the right map, a FIFO that nobody writes to, …"""
    program = start(target, daemon, "map", maps)
    program.say("go")
    program.expect("total_blocks")
    path = Path(maps[0])
    real = tmp_path / "real.map"
    shutil.move(path, real)
    if trick == "symlink":
        path.symlink_to(real)
    elif trick == "fifo":
        os.mkfifo(path)
    elif trick == "device":
        os.mknod(path, 0o020600, os.makedev(1, 5))  # /dev/zero
    else:
        shutil.copy(real, path)
        if trick == "other owner":
            os.chown(path, 65534, 65534)
        else:
            os.utime(path, (1e9, 1e9))
    stats = ctl("stats", "--json").json()
    has_names(stats, {1000: "", 1001: ""})
    path.unlink()
    shutil.move(real, path)
    has_names(ctl("stats", "--json").json(), NAMES)


def test_of_another_user(target, daemon, ctl, maps):
    """His map is read, with his eyes: not where he may not read it."""
    program = start(target, daemon, "map", maps, user=65534, group=65534)
    program.say("go")
    program.expect("total_blocks")
    has_names(ctl("stats", "--json").json(), NAMES)
    os.chmod(maps[0], 0)
    has_names(ctl("stats", "--json").json(), {1000: "", 1001: ""})


def test_in_a_container(target, daemon, ctl):
    """Below the number that it has there, where its /tmp is."""
    inside = f"mount -t tmpfs none /tmp; exec {TARGETS}/jit --gate --hold map {ROUNDS}"
    container = target("/usr/bin/unshare", *NAMESPACES, "sh", "-c", inside)
    container.expect("ready")
    children = Path(f"/proc/{container.pid}/task/{container.pid}/children").read_text(encoding="ascii").split()
    daemon("attach", "--pid", children[0])
    container.say("go")
    container.expect("total_blocks")
    has_names(ctl("stats", "--json").json(), NAMES)
    assert not Path("/tmp/perf-1.map").exists()


def test_by_another_clock(target, daemon, ctl):
    """In a time namespace of its own the times of its jitdump are none of ours."""
    unshare = target("/usr/bin/unshare", "--time", "--monotonic", "1000000", "--fork", TARGETS / "jit", "--gate", "--hold", "dump", ROUNDS)
    unshare.expect("ready")
    children = Path(f"/proc/{unshare.pid}/task/{unshare.pid}/children").read_text(encoding="ascii").split()
    daemon("attach", "--pid", children[0])
    unshare.say("go")
    unshare.expect("total_blocks")
    until(lambda: "code made at run time" not in ctl("stats").out, "dhatd to see what was mapped just now")
    has_names(ctl("stats", "--json").json(), NAMES)


SCRIPT = """\
function keeps_buffers(kept) { for (let i = 0; i < 500; i++) kept.push(Buffer.allocUnsafeSlow(5000 + i)); return kept; }
function asks_for_them(kept) { return keeps_buffers(kept); }
process.stdin.once("data", () => {
    let kept = [];
    for (let i = 0; i < 40; i++) { kept = []; asks_for_them(kept); }
    console.log("done", kept.length);
    process.stdin.once("data", () => process.exit(0));
});
console.log("ready");
"""


def test_node(target, daemon, ctl, maps, tmp_path):
    (tmp_path / "script.js").write_text(SCRIPT)
    node = target("/usr/bin/node", "--perf-basic-prof", "--interpreted-frames-native-stack", "script.js", cwd=tmp_path)
    maps.append(f"/tmp/perf-{node.pid}.map")
    node.expect("ready")
    daemon("attach", "--pid", node.pid)
    until(lambda: not ctl("status", "--json").json()["targets"][0]["tables_pending"], "the tables")
    node.say("go")
    node.expect("done")
    stats = ctl("stats", "--json", "--sort", "total", "--top", 1000).json()
    big = [point for point in stats["points"] if point["total_bytes"] >= 5000 * point["total_blocks"] > 0 and
           "AllocateUninitialized" in json.dumps(point["frames"]) and point["stop"] == "complete"]
    named = [point for point in big if re.search('"JS:[^"]*keeps_buffers [^"]*script.js:1:.*"JS:[^"]*asks_for_them ',
                                                 json.dumps(point["frames"]))]
    assert sum(point["total_blocks"] for point in named) > 0.99 * 40 * 500
    assert sum(point["total_blocks"] for point in named) > 0.99 * sum(point["total_blocks"] for point in big)


JAVA = """\
import java.nio.ByteBuffer;
import java.util.ArrayList;

public class Keeps {
    static void keepBuffers(ArrayList<ByteBuffer> kept) {
        for (int i = 0; i < 1000; i++)
            kept.add(ByteBuffer.allocateDirect(4000));
    }

    public static void main(String[] args) throws Exception {
        for (int i = 0; i < 60; i++)  // until it is compiled
            keepBuffers(new ArrayList<>());
        System.out.println("ready");
        System.in.read();
        ArrayList<ByteBuffer> kept = new ArrayList<>();
        for (int i = 0; i < 5; i++)
            keepBuffers(kept);
        System.out.println("done " + kept.size());
        System.in.read();
    }
}
"""


def test_java(target, daemon, ctl, maps, tmp_path):
    """Asked for its map at any time; it keeps frame pointers if it is told to. Whoever calls what is to be compiled waits for
    that (-Xbatch)."""
    (tmp_path / "Keeps.java").write_text(JAVA)
    java = target("/usr/bin/java", "-Xbatch", "-XX:+PreserveFramePointer", "-Xmx128m", "-XX:MaxDirectMemorySize=1g", "Keeps.java",
                  cwd=tmp_path)
    maps.append(f"/tmp/perf-{java.pid}.map")
    java.expect("ready")
    daemon("attach", "--pid", java.pid)
    until(lambda: not ctl("status", "--json").json()["targets"][0]["tables_pending"], "the tables")
    java.say("")
    java.expect("done 5000")
    subprocess.run(["/usr/bin/jcmd", str(java.pid), "Compiler.perfmap"], check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
    stats = ctl("stats", "--json", "--sort", "total", "--top", 100).json()
    big = [point for point in stats["points"] if point["total_bytes"] >= 4000 * point["total_blocks"] > 0 and
           "Unsafe_AllocateMemory0" in json.dumps(point["frames"])]
    functions = [[location["function"] for frame in point["frames"] for location in frame["locations"]] for point in big]
    assert sum(point["total_blocks"] for point in big) >= 5000
    named = [point for point, names in zip(big, functions) if any("Keeps.keepBuffers" in name for name in names)]
    assert sum(point["total_blocks"] for point in named) > 2500  # the rest may be interpreted
    assert all(point["stop"] == "complete" for point in named)
