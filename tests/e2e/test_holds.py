"""dhatctl holds: each way of holding a block there is; what nothing holds; what is refused."""
import os
import re
import signal
import struct
import shutil
import subprocess
from pathlib import Path

import pytest

from conftest import BUILD, ROOT, TARGETS, until
from test_allocators import JEMALLOC, MIMALLOC, TCMALLOC
from test_http import Curl, url_of
from test_tokio import Service

COUNT = 1000
LOST = {"lost_plain": COUNT, "lost_by_itself": COUNT, "lost_in_pairs": 2 * COUNT, "lost_list": COUNT,
        "lost_later": COUNT}
ROOTS = {"held_by_list": "global list", "held_inside": "global ring", "held_by_buckets": "global buckets",
         "held_by_end": "global ends", "held_with_low_tag": "global low_tags", "held_by_epoll": "epoll data",
         "held_in_blocks": "global tree", "held_by_register": "the registers of thread holders",
         "held_by_running_register": "the registers of thread holders",
         "held_by_stack": "the stack of thread holders, in wait_in_thread",
         "held_by_thread_local": "the thread-local memory of thread holders",
         "held_by_key": "the thread-local memory of thread holders"}


def holds_of(ctl, *options):
    told = ctl("holds", "--json", "--top", "1000", "--by", "function", *options).json()
    return told["holds"], {row["name"].split(" ")[0]: row for row in told["rows"]}


@pytest.fixture
def holders(daemon, ctl, target, tmp_path):
    """Its file is gone by then, as after an upgrade."""
    program = target(shutil.copy(TARGETS / "holders", tmp_path / "holders"))
    program.expect("ready")
    (tmp_path / "holders").unlink()
    daemon("attach", "--pid", program.pid)
    program.say("make")
    program.expect("made")
    return program


def pss_of(pid):
    return int(re.search(r"^Pss:\s+(\d+) kB", Path(f"/proc/{pid}/smaps_rollup").read_text(), re.M)[1])


def variable(pid, name):
    """Where a variable of the program is, and the word that is there."""
    symbols = subprocess.run(["nm", TARGETS / "holders"], capture_output=True, text=True, check=True).stdout
    base = int(Path(f"/proc/{pid}/maps").read_text().split("-")[0], 16)
    address = base + int(re.search(rf"^(\w+) . {name}$", symbols, re.M)[1], 16)
    return address, word_at(pid, address)


def word_at(pid, address):
    with open(f"/proc/{pid}/mem", "rb") as memory:
        memory.seek(address)
        return struct.unpack("Q", memory.read(8))[0]


def check_addresses(pid, ctl):
    where, head = variable(pid, "list")
    third = word_at(pid, word_at(pid, head))
    text = ctl("holds", "--why", hex(third + 5)).out
    assert "is at +5 of a block of 64 bytes from held_by_list (" in text and "It is held by\n" in text, text
    assert f"{word_at(pid, head):#x} held_by_list (" in text and ", and 1 more of these" in text, text
    assert text.index("1 more of these") < text.index("\n      global list\n"), text
    text = ctl("holds", "--why", hex(where)).out
    assert f"{where:#x} is in no live block: it is in global list, and what it points to is held." in text, text
    stack = re.search(r"-(\w+) .*\[stack\]$", Path(f"/proc/{pid}/maps").read_text(), re.M)[1]
    assert "in the stack of thread holders" in ctl("holds", "--why", hex(int(stack, 16) - 64)).out
    assert "is nowhere in the memory" in ctl("holds", "--why", "0x8").out
    assert "no address" in ctl("holds", "--why", "list", ok=False).err
    ctl("mark", "here")
    assert "Of what was allocated since here: nothing is lost" in ctl("holds", "--since", "here", "--lost").out
    assert "has no mark there" in ctl("holds", "--since", "there", ok=False).err


def everywhere_told(holders, ctl, kept, rows):
    """The last answer is part of what is asked later, without another look."""
    stats = {row["function"]: row for row in ctl("stats", "--by", "function", "--json", "--top", "1000").json()["points"]}
    for name, row in stats.items():
        assert row["lost_bytes"] == rows[name]["lost_bytes"], (name, row)
    text = ctl("stats", "--by", "function", "--top", "30").out
    assert "As of a scan " in text and "lost: they hold one another in cycles" in text and "<- global ring" in text
    suspects = ctl("suspects", "--by", "function", "--json").json()["suspects"]
    assert suspects[0]["lost_bytes"] == rows["lost_in_pairs"]["lost_bytes"]
    assert ctl("explain", holders.pid).out.splitlines()[-1].startswith(f"Next: dhatctl holds --lost {holders.pid} ")
    top = ctl("top", "--batch", "--count", "1", "--sort", "lost", "--by", "function").out
    assert " LOST " in top and re.search(r"^.*LOST.*\n.* lost_in_pairs ", top, re.M)
    failed = ctl("assert", "stack(/lost_plain/).lost.blocks == 0", "stack(/held_by_list/).lost.bytes == 0", kept, ok=False)
    assert failed.status == 15 and "1 of 2 assertions does not hold" in failed.out


def test_each_kind(holders, ctl, tmp_path):
    kept, without = tmp_path / "holders.dhat", tmp_path / "without.dhat"
    ctl("snapshot", "-o", without)
    assert "does not say who holds" in ctl("holds", without, ok=False).err
    undecided = ctl("assert", "lost.bytes == 0", without, ok=False)
    assert undecided.status == 13 and "snapshot --holds" in undecided.out
    before = pss_of(holders.pid)
    ctl("snapshot", "--holds", "-o", kept)
    whole, rows = holds_of(ctl, kept)
    assert abs(pss_of(holders.pid) - before) <= 64  # its own doing: buffers of its line
    assert not whole["refusals"] and whole["scans"] >= 3
    for name, row in rows.items():
        lost, live = row["lost_blocks"], row["live_blocks"]
        if name.startswith("held"):
            assert row["held_blocks"] == live, (name, row)
        elif name.startswith("tagged"):
            assert row["unknown_blocks"] == live, (name, row)
        elif name.startswith("lost"):
            # a word left over on a stack may point to some
            assert live == LOST[name] and lost >= 0.98 * live and lost + row["unknown_blocks"] == live, (name, row)
    assert rows["lost_in_pairs"]["in_cycles_blocks"] == rows["lost_in_pairs"]["lost_blocks"]
    assert rows["lost_plain"]["in_cycles_blocks"] == rows["lost_plain"]["under_lost_blocks"] == 0
    assert rows["lost_list"]["under_lost_blocks"] == COUNT - 1
    for name, root in ROOTS.items():
        assert rows[name]["chains"][0]["root"] == root, (name, rows[name]["chains"])
    text = ctl("holds", kept, "--site", "held_by_epoll").out
    assert "held by epoll data" in text and "from lost_plain" not in text
    assert rows["held_by_list"]["chains"][0]["self"] == {"at": 0, "of": 64, "member": ".next"}
    assert rows["held_inside"]["from_inside_blocks"] == COUNT and rows["held_inside"]["into"] == {"at": 64, "of": 200}
    assert rows["held_by_mapping"]["chains"][0]["root"] == "memory that it mapped itself"
    assert "lost: they hold one another in cycles" in ctl("holds", kept, "--lost").out
    check_addresses(holders.pid, ctl)
    everywhere_told(holders, ctl, kept, rows)
    # those were freed by an address in a pipe, which nobody can see: the site is believed no more
    holders.say("free")
    holders.expect("freed")
    whole, rows = holds_of(ctl)
    assert int(whole["withdrawn_blocks"]) >= 0.98 * COUNT
    assert rows["lost_plain"]["lost_blocks"] >= 0.98 * COUNT
    assert rows.get("lost_later", {"lost_blocks": 0})["lost_blocks"] == 0


ALLOCATORS = {
    "jemalloc": ("holders", JEMALLOC),
    "tcmalloc": ("holders", TCMALLOC),
    "mimalloc": ("holders", MIMALLOC),
    "musl": ("allocators/holders-musl", None),
}


@pytest.mark.parametrize("name", ALLOCATORS)
def test_other_allocators(daemon, ctl, target, name):
    """Their own tables and free lists hold nothing that is lost, and lose nothing that is held."""
    path, library = ALLOCATORS[name]
    program = target(TARGETS / path, env={"LD_PRELOAD": str(library)} if library else None)
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    program.say("make")
    program.expect("made")
    whole, rows = holds_of(ctl)
    assert not whole["refusals"]
    for kind, row in rows.items():
        if kind.startswith("held"):
            assert row["lost_blocks"] == row["unseen_blocks"] == 0, (kind, row)
        elif kind.startswith("lost"):
            assert row["live_blocks"] == LOST[kind]
            # of a list one word that is left over holds all that is behind it
            assert kind == "lost_list" or row["lost_blocks"] >= 0.95 * row["live_blocks"], (kind, row)


def test_owners(daemon, ctl, tmp_path):
    """C++: types by their vtables, cycles as loops with what ends them, where pointers stand. And the answer is part of
    what dhatd itself tells later: by HTTP, in the file at the end, and to the conditions of a run."""
    dhatd = daemon("run", "--listen", "127.0.0.1:0", "--output", tmp_path / "end.dhat", "--assert", "lost.bytes == 0", "--",
                   TARGETS / "owners")
    dhatd.expect("ready")
    dhatd.say("make")
    dhatd.expect("made")
    told = ctl("holds", "--json", "--by", "line").json()
    rows = {row["type"]: row for row in told["rows"] if row["type"]}
    session, peer, circle, square = (rows[name] for name in ("Session", "Peer", "Circle", "Square"))
    assert session["lost_blocks"] >= 980 and peer["lost_blocks"] >= 980
    assert session["lost_blocks"] == session["in_cycles_blocks"]
    cycle, = told["cycles"]
    assert {name.split("(")[0] for name in cycle["links"]} == {"make_session", "make_peer"} and cycle["length"] == 2
    # 16 bytes of counts and vtable before each object
    sizes = {name.split("(")[0]: place for name, place in zip(cycle["links"], cycle["places"])}
    assert sizes == {"make_session": {"at": 56, "of": 72}, "make_peer": {"at": 88, "of": 104}}
    assert "weak_ptr" in cycle["cure"]
    assert [(row["live_blocks"], row["live_bytes"]) for row in (circle, square)] == [(100, 4800), (100, 11200)]
    for row in circle, square:
        chain = row["chains"][0]
        assert chain["root"] + chain["in_root"] == "global registry.shapes" and chain["held_blocks"] == 100
    slices, = (row for row in told["rows"] if row["live_bytes"] == 50 * 16384)
    assert slices["from_inside_blocks"] >= 48 and slices["into"] == {"at": 100, "of": 16384}
    text = ctl("holds", "--site", "make_peer").out
    assert re.search(r"make_session\(\) \(.*\) \[Session\] at \+56 of 72 -> make_peer", text), text
    (tmp_path / "http.dhat").write_bytes(Curl(url_of(dhatd) + "snapshot").body)
    dhatd.say("")
    assert dhatd.wait() == 15  # the exit status of conditions that do not hold
    assert re.search(r"FAILS.*lost\.bytes == 0", dhatd.err) and "as of a scan" in dhatd.err, dhatd.err
    for name in "http.dhat", "end.dhat":
        kept, _ = holds_of(ctl, tmp_path / name)
        assert not kept["refusals"] and int(kept["lost"]["blocks"]) >= 1960, kept["lost"]


DECLARED = {"typed_session": "struct session", "typed_message": "struct message", "typed_places": "point",
            "typed_tail": "struct tail", "typed_friends": "struct session *[3]"}


def test_declared(daemon, ctl):
    """C: types that only declarations tell, members by which one holds another; and no name where a declaration says what
    is not so: casts, unions, void, bases, pointers into blocks."""
    dhatd = daemon("run", "--", TARGETS / "declared")
    dhatd.expect("made")
    _, rows = holds_of(ctl)
    assert {name: row["type"] for name, row in rows.items() if row["type"]} == DECLARED
    assert {name for name in rows if name.startswith("other_")} == {
        "other_blob", "other_either", "other_small", "other_large", "other_mixed", "other_label", "other_middle",
        "other_derived", "other_behind"}
    member = {name: row["chains"][0]["places"][0]["member"] for name, row in rows.items()
              if row["chains"] and row["chains"][0]["places"] and (row["chains"][0]["places"][0] or {}).get("member")}
    assert member == {"typed_message": ".box.first", "typed_places": ".box.places", "typed_tail": ".tail",
                      "typed_friends": ".friends", "other_blob": ".blob", "other_either": ".either",
                      "other_small": ".small", "other_large": ".large", "other_mixed": ".mixed", "other_label": ".label",
                      "other_middle": ".middle"}
    chain = rows["typed_message"]["chains"][0]
    assert chain["self"] == {"at": 24, "of": 32, "member": ".next"} and chain["root"] == "global sessions"
    text = ctl("holds", "--site", "typed_message", "--by", "function").out
    assert re.search(r"from typed_message.*\[struct message\]", text), text
    assert re.search(r"\.next \(\+24 of 32\).* <- typed_session.*\[struct session\] at \.box\.first \(\+8 of 96\)"
                     r" <- global sessions", " ".join(text.split())), text


def test_last_look(tmp_path):
    """A condition on what is lost needs nobody who asks: the program is looked at as it ends, behind wrappers, too, and
    however short it runs; how long it was stopped for that is said. What is killed cannot be decided."""
    def judged(*program, said="\n\n"):
        done = subprocess.run([BUILD / "dhatd", "run", "--socket", tmp_path / "run.sock", "--assert", "lost.blocks == 0", "--",
                               *program], input=said, capture_output=True, text=True, timeout=60)
        return done.returncode, done.stderr

    code, told = judged("sh", "-c", f"exec {TARGETS / 'owners'}")
    assert code == 15 and re.search(r"as process \d+ ended: it stood still for [\d.]+ s, in which .* were read", told), told
    lost = int(re.search(r"FAILS lost\.blocks == 0: ([\d,]+) blocks", told)[1].replace(",", ""))
    assert 1960 <= lost <= 2000 and "lost in make_session()" in told and "lost in make_peer()" in told, told
    code, told = judged("/bin/true")
    assert code == 0 and "ok    lost.blocks == 0: 0 blocks" in told, told
    for program in "allocators/musl", "allocators/musl-static":  # its exit() does not lead through _exit()
        code, told = judged(TARGETS / program)
        assert "looked for what is lost as process" in told and "ok    lost.blocks == 0: 0 blocks" in told, told
    code, told = judged("sh", "-c", "kill -9 $$")
    assert code == 128 + signal.SIGKILL and "cannot be decided: nobody has looked" in told, told


def test_rust_owners(daemon, ctl, target):
    """Rc's cycles; what a Box<dyn …> points to is named by the vtable beside the pointer."""
    program = target("owners_rust")
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    program.say("make")
    program.expect("made")
    told = ctl("holds", "--json", "--by", "line", "--top", "100").json()
    node, = (row for row in told["rows"] if "make_node" in row["name"])
    assert (node["live_blocks"], node["live_bytes"]) == (1000, 1000 * (16 + 56))
    assert node["lost_blocks"] == node["in_cycles_blocks"] >= 980
    cycle, = told["cycles"]
    assert cycle["length"] == 2 and "Rc::downgrade" in cycle["cure"], cycle
    for name, size in ("Circle", 32 + 24), ("Square", 72 + 24):
        row, = (row for row in told["rows"] if row["type"] == f"owners_rust::{name}")
        assert (row["live_blocks"], row["live_bytes"], row["held_blocks"]) == (100, 100 * size, 100), row


def test_glib_and_python(daemon, ctl, target, tables):
    """GObjects that hold one another, and Python's objects that an extension has forgotten."""
    program = target("/usr/bin/python3", ROOT / "tests/targets/owners.py", "keep",
                     env={"PYTHONMALLOC": "malloc", "G_SLICE": "always-malloc"})
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    tables()  # one loop of sites wants whole stacks
    program.say("")
    program.expect("made")
    told = ctl("holds", "--json", "--by", "function", "--top", "1000", "--whole-names").json()
    assert not told["holds"]["refusals"]
    # both kinds of bytes have one stack: that of the interpreter's loop
    forgotten, = (row for row in told["rows"] if row["lost_bytes"] == row["lost_blocks"] * (33 + 7000) > 0)
    # stale pointers hold some: 47 of 300 in a run with Python 3.13, 11 of the pairs in another
    assert 200 <= forgotten["lost_blocks"] <= 300 and forgotten["held_bytes"] >= 300 * (33 + 9000)
    cycles = [cycle for cycle in told["cycles"] if cycle["lost_blocks"] >= 4 * 250]
    assert len(cycles) == 1 and "GWeakRef" in cycles[0]["cure"], told["cycles"]


TOKIO = [("system", "current"), ("v0", "multi"), ("rjem", "multi")]


@pytest.mark.parametrize("program, runtime", TOKIO)
def test_tokio(daemon, ctl, target, program, runtime):
    """Sessions that hold each other are lost; forgotten tasks are held by the runtime's list of tasks."""
    service = Service(target(TARGETS / "tokio" / program, runtime))
    daemon("attach", "--pid", service.pid)
    service.drive("cycle", 500)
    service.drive("forget", 1000)
    told = ctl("holds", "--json", "--top", "1000", "--by", "function", "--whole-names").json()
    rows = {row["name"].split(" (")[0]: row for row in told["rows"]}
    assert not told["holds"]["refusals"]
    cycle, = (row for name, row in rows.items() if "Session" in name and "open" in name)
    assert (cycle["live_blocks"], cycle["live_bytes"]) == (4 * 500, 2 * 500 * (56 + 500))
    assert cycle["lost_blocks"] >= 0.97 * cycle["live_blocks"], cycle
    assert cycle["in_cycles_blocks"] + cycle["under_lost_blocks"] == cycle["lost_blocks"]
    loop, = told["cycles"]
    assert "Session" in loop["links"][0] and loop["length"] == 2
    place, = loop["places"]
    assert place["of"] == 56 and place["at"] in (24, 48)  # the order of fields is the compiler's: Rust 1.63, 1.85
    assert "Arc::downgrade" in loop["cure"]
    for name, row in rows.items():
        if "forget_task" in name or "spawn_inner" in name:
            assert row["lost_blocks"] == row["unseen_blocks"] == 0, (name, row)
    task, = (row for name, row in rows.items() if "forget_task" in name and row["live_blocks"] >= 2000)
    assert (task["live_blocks"], task["live_bytes"]) == (2000, 1000 * (40 + 1000))
    assert any("spawn" in link for chain in task["chains"] for link in chain["links"])
    spawned, = (row for name, row in rows.items() if "spawn" in name and row["live_blocks"] >= 1000)
    expected = "Tokio task tokio_service::requests::audit_for_ever" if program == "v0" else "Tokio task"
    assert expected in spawned["type"], spawned["type"]
    # the run queues of several workers keep pointers to tasks that ran, and these are the shorter way
    assert runtime == "multi" or "Tokio's list of tasks (OwnedTasks)" in ctl("holds", "--by", "function", "--site", "spawn").out


def test_no_call_is_interrupted(daemon, ctl, target):
    """Nobody notices a scan: epoll_wait and others end with EINTR when a thread is stopped."""
    program = target("interrupted")
    program.expect("ready")
    daemon("attach", "--pid", program.pid)
    program.say("make")
    program.expect("interrupted 0")
    program.say("lose it")
    program.expect("interrupted 0")
    scans, wanted = 0, int(os.environ.get("DHATD_SCANS", 6))  # make test-healthy: 100
    while scans < wanted:
        whole, rows = holds_of(ctl)
        assert whole["scans"] >= 3 and rows["main"]["lost_blocks"] == 1
        scans += whole["scans"]
    program.say("ask")
    program.expect("interrupted 0")


def test_lost_events_refuse_lost(daemon, ctl, target):
    """A list of blocks with holes says nothing of what is lost; the answer comes after one scan."""
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", "--pid", waves.pid, "--no-inventory", "--ring-size", "1M")
    dhatd.send_signal(signal.SIGSTOP)
    waves.say("alloc 40000 100")
    until(lambda: waves.out.count("\n") >= 2, "the allocations")
    dhatd.send_signal(signal.SIGCONT)
    whole, _ = holds_of(ctl)
    assert "lost" not in whole or not whole["lost"]
    assert any("inexact" in reason for reason in whole["refusals"]), whole["refusals"]
    assert "Nothing is called lost" in ctl("holds").out


@pytest.fixture
def restless(daemon, target):
    """restless(words, library, *options): the program, attached to, that has done what these words say."""
    def start(words, library=None, *options):
        program = target("restless", env={"LD_PRELOAD": str(library)} if library else None)
        program.expect("ready")
        daemon("attach", "--pid", program.pid, *options)
        program.do = lambda words: [(program.say(word), program.expect(word)) for word in words]
        program.do(words)
        return program
    return start


@pytest.mark.parametrize("library", [None, JEMALLOC], ids=["glibc", "jemalloc"])
def test_what_is_held_by_blocks_from_before(restless, ctl, library):
    """They are not known: what they hold is not lost, and its chain ends there."""
    restless(["late"], library, "--no-inventory")
    _, rows = holds_of(ctl)
    late = rows["held_late"]
    assert late["live_blocks"] == COUNT and late["lost_blocks"] == late["unseen_blocks"] == 0, late
    assert any("dhatd does not know" in chain["root"] for chain in late["chains"]), late


def test_a_process_that_does_not_keep_still(restless, ctl, tmp_path):
    """One of its mappings is of 3 GiB; threads come and go, children are forked; in the end it is another
    program: what is held is called lost in no answer, and each question has one."""
    program = restless([])
    for words, options in (("late", "far"), []), (("busy",), ["--stop"]):
        program.do(words)
        _, rows = holds_of(ctl, *options)
        assert not [name for name, row in rows.items() if row["lost_blocks"]], rows
        assert (rows["held_late"]["held_blocks"], rows["held_far"]["held_blocks"]) == (COUNT, 1)
        assert rows["held_far"]["chains"][0]["root"] == "memory that it mapped itself"
    asking = subprocess.Popen([BUILD / "dhatctl", "holds", "--socket", tmp_path / "dhatd.sock"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.PIPE, text=True)
    program.say("exec")
    until(lambda: program.out.count("ready") == 2, "the other program")
    refusal = asking.communicate()[1]
    assert asking.returncode == 0 or "runs another program now" in refusal or "is not watched any more" in refusal, refusal
    ctl("status")


def test_much_of_it(restless, ctl):
    """60,000 mappings, a thousand threads with a block each on their stacks, blocks that only an io_uring has."""
    restless(["mappings", "threads", "ring"])
    told, rows = holds_of(ctl)
    many = rows["held_by_one_of_many"]
    assert (many["live_blocks"], many["held_blocks"]) == (COUNT, COUNT), many
    assert {chain["root"].rsplit(" ", 1)[0] for chain in many["chains"]} == {"the stack of thread restless, in"}
    assert rows["held_as_buffer"]["chains"][0]["root"] == "buffers of an io_uring"
    assert rows["held_by_queue"]["chains"][0]["root"] == "the queues of an io_uring"
    assert any("it has an io_uring, whose requests the kernel keeps" in text for text in told["refusals"])
    assert not [name for name, row in rows.items() if row["lost_blocks"]]


@pytest.mark.parametrize("library", [None, JEMALLOC, TCMALLOC, MIMALLOC], ids=["glibc", "jemalloc", "tcmalloc", "mimalloc"])
def test_what_lies_before_free_memory(library, restless, ctl):
    """Where free memory begins, as allocators keep it in their lists, the block before ends: that holds nothing. (But in
    tcmalloc's own variables: a list of each size, 30 of which are of one and the same.)"""
    restless(["lose"], library)
    _, rows = holds_of(ctl)
    for name in "lost_small", "lost_even", "lost_among_equals":
        row = rows[name]
        in_variables = sum(chain["held_blocks"] for chain in row["chains"]
                           if chain["is_past_end"] and "variable of libtcmalloc" in chain["root"])
        assert row["live_blocks"] == COUNT and row["lost_blocks"] + min(in_variables, 50) >= COUNT - 10, row
    assert rows["held_between"]["lost_blocks"] == 0


def test_a_list_that_grows_in_front(restless, ctl):
    """By the links of its newest nodes, which the table of blocks does not have: what they point to ends there."""
    restless(["push"])
    told, rows = holds_of(ctl)
    assert not told["refusals"]
    assert rows["held_in_list"]["held_blocks"] == COUNT and rows["pushed"]["lost_blocks"] == 0, rows


def test_what_does_not_come_to_rest(restless, ctl):
    """Blocks that nothing holds, and that are freed one by one, are lost in no answer."""
    restless(["melt"])
    told, rows = holds_of(ctl)
    assert told["scans"] == 10 and rows["melting"]["lost_blocks"] == 0 < rows["melting"]["unseen_blocks"]
    assert len(told["refusals"]) == 1 and "ask again when it does less" in told["refusals"][0], told["refusals"]


FORKER = """
import mmap, os, sys
memory = mmap.mmap(-1, 64 << 20, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
memory[:] = b"x" * len(memory)
child = os.fork()
if not child:
    while True:
        sys.stdin.readline() or os._exit(0)
print("child", child, flush=True)
sys.stdin.readline()
"""


def test_shared_pages_stay_shared(daemon, ctl, target):
    """Reading what a child shares with its parent gives it no copy: Pss stays half of it."""
    parent = target("/usr/bin/python3", "-c", FORKER)
    child = int(parent.expect(r"^child (\d+)$")[1])
    daemon("attach", "--pid", child, "--no-inventory")
    before = pss_of(child)
    assert 32 << 10 < before < 60 << 10
    holds_of(ctl)
    assert abs(pss_of(child) - before) < 2 << 10


def held_threads(pid):
    """Threads that somebody holds by ptrace, or that stand still."""
    texts = [task.read_text() for task in Path(f"/proc/{pid}/task").glob("*/status")]
    return [text for text in texts if not re.search(r"^TracerPid:\t0$", text, re.M) or re.search(r"^State:\t[tT]", text, re.M)]


def test_stop(daemon, ctl, target, tmp_path):
    """By wish its threads stand still: one look is enough; and it goes on, whoever is killed meanwhile."""
    waves = target("waves")
    waves.expect("ready")
    dhatd = daemon("attach", "--pid", waves.pid)
    waves.say("alloc 300000 100")
    until(lambda: waves.out.count("\n") >= 2, "the allocations")
    whole, _ = holds_of(ctl, "--stop")
    assert whole["scans"] == 1 and int(whole["stopped_ns"]) > 0 and not whole["refusals"]
    assert not held_threads(waves.pid) and "stood still for" in ctl("holds", "--stop").out
    for victim in ("dhatctl", "dhatd"):
        until(lambda: ctl("holds", "--stop", ok=False).status == 0, "the look before to end")
        asking = subprocess.Popen([BUILD / "dhatctl", "holds", "--stop", "--socket", tmp_path / "dhatd.sock"],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until(lambda: held_threads(waves.pid), "the stop")
        (asking if victim == "dhatctl" else dhatd).kill()
        until(lambda: not held_threads(waves.pid), f"it to go on without {victim}")
        asking.wait()
    waves.say("alloc 10 100")
    until(lambda: waves.out.count("\n") >= 3, "its answer")


FRAMES = {"run_worker": "worker-3", "serve_request": "worker-3", "read_body": "worker-3", "handle_signal": "worker-4",
          "run_interrupted": "worker-4", "run_busy": "worker-5", "hold_in_main": "frames"}


def test_frames(daemon, ctl, target):
    """A thread's stack is told with the function whose frame it is, unless the thread ran meanwhile (as one that never
    waits does, where a processor is free for it)."""
    frames = target("frames")
    frames.expect("ready")
    daemon("attach", "--pid", frames.pid)
    frames.say("make")
    frames.expect("made")
    tasks = Path(f"/proc/{frames.pid}/task")
    until(lambda: [re.search(r"^State:\t(.)", status.read_text(), re.M)[1] for status in tasks.glob("*/status")].count("S") == 3,
          "all to wait but one")
    for options in [], ["--stop"]:
        _, rows = holds_of(ctl, *options)
        for name, thread in FRAMES.items():
            roots = [chain["root"] for chain in rows[f"held_by_{name}"]["chains"]]
            if name == "run_busy" and not options:
                roots = [roots[0].removesuffix(f", in {name}") + f", in {name}"]
            assert roots == [f"the stack of thread {thread}, in {name}"], (options, name)
        # on a stack that a thread has left for its signal stack, below where it has left it
        assert rows["stale_below_signal"]["unknown_blocks"] == 1, rows["stale_below_signal"]
    whole = ctl("holds", "--site", "held_by_member").out
    assert " held by global response_cache.tables[1].entries[2]\n" in whole, whole
    frames.say("end")
    assert frames.wait() == 0


def test_members_of_the_group_stop_nobody(daemon, ctl, target, tmp_path):
    waves = target("waves")
    waves.expect("ready")
    daemon("attach", "--pid", waves.pid, "--group", "daemon", "--no-inventory")
    for folder in (tmp_path, *tmp_path.parents[:3]):  # the way to the socket
        folder.chmod(folder.stat().st_mode | 0o011)
    member = ["setpriv", "--reuid=65534", "--regid=daemon", "--clear-groups", BUILD / "dhatctl", "holds", "--socket",
              tmp_path / "dhatd.sock"]
    assert subprocess.run([*member], stdout=subprocess.DEVNULL, check=False).returncode == 0
    refused = subprocess.run([*member, "--stop"], capture_output=True, text=True, check=False)
    assert refused.returncode == 4 and "may stop a process for it" in refused.stderr, refused
    ctl("holds", "--stop")


def test_within_the_budget(daemon, ctl, target):
    """What a look needs beyond --max-memory is refused with both figures, and the watch goes on; what another one takes is
    given back."""
    waves = target("waves")
    waves.expect("ready")
    daemon("attach", "--pid", waves.pid, "--max-memory", "32M", "--no-inventory")
    waves.say("alloc 400000 16")
    until(lambda: waves.out.count("\n") >= 2, "the allocations")
    refused = ctl("holds", ok=False)
    assert refused.status == 1 and re.search(r"needs [\d.]+ MiB of memory or more, and --max-memory leaves [\d.]+ [KM]iB", refused.err), refused.err
    assert ctl("stats", "--json").json()["totals"]["live_blocks"] >= 400000
    waves.say("free 390000")
    until(lambda: waves.out.count("\n") >= 3, "most to be freed")
    assert "10,000 blocks" in ctl("holds").out
    assert ctl("status", "--json").json()["targets"][0]["memory_copy_bytes"] == 0
