"""Looking at a target costs it no memory: what it shares stays shared, what it has not touched stays
untouched."""
import re
from pathlib import Path

from conftest import ROOT, until

KIB = 1024
HEAP_KIB = 65536 * 1000 // KIB


def resident(pid):
    """Of each mapping that is not a file's code: what of it is in memory, in KiB. When a probe looks up a page of code,
    the kernel maps those of the file around it that are in memory for others (mm/memory.c: fault_around_bytes; as
    many as a large folio has), which costs nothing; what becomes the target's own by that is private memory."""
    kib, mapping = {}, None
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if head := re.match(r"([0-9a-f]+-[0-9a-f]+ ..(.).) \S+ \S+ \S+ *(.*)", line):
            is_code = head.group(2) == "x" and head.group(3).startswith("/")
            mapping = None if is_code else f"{head.group(1)} {head.group(3)}"
        elif mapping and line.startswith("Rss:"):
            kib[mapping] = int(line.split()[1])
    return kib


def memory(pid):
    """What the kernel charges a process with, in KiB: the sums of smaps, what is resident but for code, and its page
    tables. Of files' pages what is shared with whom changes with every program that begins or ends."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    sums = {name: int(kib) for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", rollup, re.M)}
    status = Path(f"/proc/{pid}/status").read_text()
    tables = int(re.search(r"^VmPTE:\s+(\d+) kB", status, re.M).group(1))
    mappings = resident(pid)
    return {"rss": sum(mappings.values()), "pss": sums["Pss_Anon"], "swap": sums["Swap"],
            "private": sums["Private_Dirty"], "tables": tables, "all": sums["Rss"], "mappings": mappings}


COSTS = ("rss", "pss", "swap", "private", "tables")


def grown(before, now):
    more = {name: now[name] - before[name] for name in COSTS}
    others = {mapping: (before["mappings"].get(mapping), kib) for mapping, kib in now["mappings"].items()
              if before["mappings"].get(mapping) != kib}
    return more, others


def test_looking_costs_the_target_no_memory(daemon, ctl, target, tmp_path):
    (tmp_path / "untouched").write_bytes(b"x" * (16 << 20))
    family = target("shared_heap", tmp_path / "untouched")
    pids = [int(pid) for pid in family.expect(r"^pids (\d+) (\d+)$").groups()]
    child = pids[1]
    before = {pid: memory(pid) for pid in pids}
    # the heap is there, and shared: half of it is charged to each
    assert before[child]["rss"] > HEAP_KIB
    assert before[child]["pss"] < 0.75 * before[child]["rss"]

    dhatd = daemon("attach", "--pid", child)
    totals = ctl("stats", "--json").json()["totals"]
    assert totals["live_blocks"] >= 64000  # the inventory was taken
    probes = ctl("status", "--json").json()["targets"][0]["probes"]
    # A probe is a byte in a page of code, which the child then has for itself; beside them the
    # kernel maps a page or two of its own ([uprobes]). A page table may have to be there for each.
    pages = 4 * (len(probes) + 2)
    after = {"attach": {pid: memory(pid) for pid in pids}}
    ctl("snapshot", "-o", "one.dhat")
    after["snapshot"] = {pid: memory(pid) for pid in pids}
    rows = ctl("rss", "--json").json()
    assert rows["rss_bytes"] == after["snapshot"][child]["all"] * KIB
    after["rss"] = {pid: memory(pid) for pid in pids}
    assert dhatd.stop() == 0
    after["detach"] = {pid: memory(pid) for pid in pids}
    for moment, each in after.items():
        for pid in pids:
            more, others = grown(before[pid], each[pid])
            assert more["swap"] == 0, (moment, pid == child, more)
            for name in ("rss", "pss", "private", "tables"):
                assert -pages <= more[name] <= pages, (moment, pid == child, name, more, others)
    assert before[pids[0]]["tables"] == after["detach"][pids[0]]["tables"]


# The calls that pin what they read, and by that take it out of sharing. tests/unit/worker asks whether
# the worker is kept from them.
PINNING = re.compile(r"\b(process_vm_readv|process_vm_writev|vmsplice|IORING_REGISTER_BUFFERS)\s*\((?!2\))")


def test_no_reading_that_pins_is_left():
    found = [f"{path.relative_to(ROOT)}: {line.strip()}"
             for folder in ("bpf", "daemon", "cli", "proto", "tests")
             for path in sorted((ROOT / folder).rglob("*.[ch]"))
             for line in path.read_text().splitlines() if PINNING.search(line)]
    assert found == []
    # who reads a target's memory asks before whether the page is there
    # but for the one who wants it to be there: tracer_read_unread()
    readers = [path.read_text() for path in (ROOT / "daemon").rglob("*.c")
               if '"mem"' in path.read_text() and path != ROOT / "daemon/kernel/tracer.c"]
    assert readers and all(re.search(r'"pagemap"|\bpagemap_(scan|is_in_memory)\(', text) for text in readers)
