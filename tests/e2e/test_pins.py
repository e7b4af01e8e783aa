"""dhatctl pins: what keeps memory resident, beside what the kernel, malloc and redis say of it themselves."""
import re
import subprocess
from pathlib import Path

import pytest

from conftest import TARGETS, until
from servers import free_port

PAGE = 4096
# else a block that was freed may still count as used
NO_CACHE = {"GLIBC_TUNABLES": "glibc.malloc.tcache_count=0"}
REPORT = r"^used (\d+) mapped (\d+) arena (\d+) free (\d+)$"


class Heap:
    """The program `pinned' under dhatd; its pid, its heap as the kernel and as malloc tell of it."""

    def __init__(self, daemon, pattern):
        self.process = daemon("run", "--", TARGETS / "pinned", pattern, stdin=subprocess.PIPE, env=NO_CACHE)
        self.reports = 0
        self.malloc = self.report()
        child = f"/proc/{self.process.pid}/task/{self.process.pid}/children"
        self.pid = next(int(pid) for pid in Path(child).read_text().split()
                        if Path(f"/proc/{pid}/comm").read_text().strip() == "pinned")

    def report(self):
        """What mallinfo2() says, once the program has done what it was told."""
        self.reports += 1
        lines = until(lambda: (found := re.findall(REPORT, self.process.out, re.M))[self.reports - 1:] and found,
                      f"report {self.reports}")
        return dict(zip(("used", "mapped", "arena", "free"), map(int, lines[self.reports - 1])))

    def do(self, word):
        self.process.say(word)
        return self.report()

    def kernel(self, name="Rss"):
        """Of the memory below the break, by smaps."""
        text = Path(f"/proc/{self.pid}/smaps").read_text()
        part = text[text.index("[heap]"):]
        return int(re.search(rf"^{name}:\s+(\d+) kB", part, re.M).group(1)) * 1024


def told(ctl):
    answer = ctl("pins", "--json").json()
    pages = answer["pages"]
    assert pages["resident_bytes"] == sum(pages[f"{part}_bytes"] for part in ("live", "beside", "below", "above"))
    return answer, pages


def row_of(answer, function):
    return next(row for row in answer["rows"] if function in row["lines"][0])


@pytest.mark.parametrize("pattern", ["survivors", "comb"])
def test_what_would_be_free_goes_back(daemon, ctl, pattern):
    heap = Heap(daemon, pattern)
    answer, pages = told(ctl)
    row = row_of(answer, "keep_header")
    assert answer["keeps"] == "fragmentation"
    assert pages["resident_bytes"] == heap.kernel()
    # all of the heap is in memory: what is no live block's is malloc's heads, and what it says is free
    assert pages["resident_bytes"] == heap.malloc["arena"]
    rest = pages["beside_bytes"] + pages["below_bytes"] + pages["above_bytes"]
    assert rest == heap.malloc["arena"] - pages["live_bytes"]
    assert 0 < rest - heap.malloc["free"] <= 16 * row["live_blocks"] + PAGE
    assert row["resident_bytes"] == row["live_bytes"]
    assert row["alone_bytes"] >= 0.99 * pages["resident_bytes"]
    # nothing of it can be given back while they live …
    heap.do("trim")
    assert pages["resident_bytes"] - heap.kernel() <= pages["below_bytes"] + pages["above_bytes"]
    before = heap.kernel()
    # … and all that was foretold once they have gone, but for a page at either end
    heap.do("free")
    heap.do("trim")
    assert abs(before - heap.kernel() - row["alone_bytes"]) <= 2 * PAGE


def test_few_blocks_at_the_end_of_the_heap(daemon, ctl):
    heap = Heap(daemon, "top")
    answer, pages = told(ctl)
    row = row_of(answer, "keep_header")
    assert answer["keeps"] == "allocator"
    assert pages["resident_bytes"] == heap.kernel()
    assert (pages["highest_blocks"], row["highest_blocks"]) == (412, 412)
    assert pages["highest_bytes"] == 412 * 200
    assert pages["below_bytes"] >= 8000 * 4000
    text = ctl("pins").out
    assert re.search(r"30\.\d MiB would go back if 412 blocks \(80\.5 KiB\) went, or moved", text), text
    before = heap.kernel()
    heap.do("free")  # and no malloc_trim()
    # what is above the highest block stays, and a page
    assert abs(before - heap.kernel() - pages["highest_gain_bytes"]) <= PAGE


def test_whole_free_pages_are_what_malloc_trim_gives_back(daemon, ctl):
    heap = Heap(daemon, "top")
    _, pages = told(ctl)
    before = heap.kernel()
    heap.do("trim")
    # two runs of pages: below the 412, above them
    assert abs(before - heap.kernel() - pages["below_bytes"] - pages["above_bytes"]) <= 2 * PAGE
    answer, pages = told(ctl)
    assert pages["resident_bytes"] == heap.kernel()
    assert pages["below_bytes"] <= PAGE
    assert answer["keeps"] == "little"


def test_what_was_never_touched_or_given_back(daemon, ctl):
    """And looking at it changes nothing."""
    heap = Heap(daemon, "untouched")
    heap.do("nothing")  # so that it has been wherever it waits now

    def memory():
        text = Path(f"/proc/{heap.pid}/smaps_rollup").read_text() + Path(f"/proc/{heap.pid}/status").read_text()
        # what it shares with others (Pss) changes when these come and go
        return re.findall(r"^(?:Rss|Pss_Anon|Anonymous|Swap|VmPTE):\s+\d+", text, re.M)
    before = memory()
    assert len(before) == 5
    answer, pages = told(ctl)
    assert memory() == before
    row = row_of(answer, "make_untouched")
    size = (2 << 20) + 5000
    assert row["live_bytes"] == 8 * size
    assert pages["resident_bytes"] == heap.kernel()
    assert pages["swapped_bytes"] == row["swapped_bytes"] == heap.kernel("Swap")
    assert row["resident_bytes"] + row["swapped_bytes"] + row["untouched_bytes"] == 8 * size
    # of eight two whole ones, of which some was swapped out if it could be, and four halves, less what two of
    # these gave back; and ends of pages
    touched = 2 * size + 4 * (size // 2) - 2 * 50 * PAGE
    assert touched <= row["resident_bytes"] + row["swapped_bytes"] <= touched + 8 * 2 * PAGE
    stats = ctl("stats", "--pages").out
    assert "never touched, or given back" in stats
    point = next(p for p in ctl("stats", "--pages", "--json").json()["points"] if p["live_bytes"] == 8 * size)
    assert [point[name] for name in ("resident_bytes", "swapped_bytes", "untouched_bytes")] == [
        row[name] for name in ("resident_bytes", "swapped_bytes", "untouched_bytes")]
    assert "in memory" not in ctl("stats").out


@pytest.mark.parametrize("pattern", ["leak", "cache"])
def test_a_leak_and_a_cache(daemon, ctl, pattern):
    daemon("run", "--", TARGETS / "pinned", pattern, env=NO_CACHE)
    answer = until(lambda: (now := ctl("pins", "--json").json())["keeps"] == pattern and now, f"a {pattern}")
    assert answer["pages"]["live_bytes"] > answer["pages"]["resident_bytes"] / 2
    assert (answer["growth_bytes_per_minute"] > 1 << 20) == (pattern == "leak")


def redis(port, *command):
    return subprocess.run(["/usr/bin/redis-cli", "-p", str(port), *map(str, command)], check=True,
                          capture_output=True, text=True).stdout


def redis_memory(port):
    return {name: float(value) for name, value in
            re.findall(r"^(\w+):([\d.]+)\r?$", redis(port, "INFO", "memory"), re.M)}


@pytest.fixture
def redis_port(daemon):
    """Of Debian's redis-server, watched from its start: with jemalloc. It is ended, for it outlives dhatd."""
    port = free_port()
    daemon("run", "--", "/usr/bin/redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "",
           "--appendonly", "no", "--enable-debug-command", "yes")
    until(lambda: subprocess.run(["/usr/bin/redis-cli", "-p", str(port), "PING"], capture_output=True,
                                 check=False).stdout == b"PONG\n", "redis")
    yield port
    subprocess.run(["/usr/bin/redis-cli", "-p", str(port), "SHUTDOWN", "NOSAVE"], capture_output=True, check=False)


def test_redis_after_a_mass_delete(redis_port, ctl):
    """Nine of ten keys go, and its slabs stay."""
    port = redis_port
    redis(port, "DEBUG", "POPULATE", 10000, "key", 100)
    redis(port, "EVAL", "for i=0,9999 do if i%10~=0 then redis.call('del','key:'..i) end end", 0)

    def at_rest():
        before = redis_memory(port)
        answer, pages = told(ctl)
        after = redis_memory(port)  # as its clock has looked last, and while its tables shrink
        return all(before[name] == after[name] for name in ("allocator_allocated", "allocator_active")) and (
            before, answer, pages)
    info, answer, pages = until(at_rest, "redis at rest")
    assert answer["keeps"] == "fragmentation"
    live = sum(row["live_bytes"] for row in answer["rows"])
    untouched = sum(row["untouched_bytes"] for row in answer["rows"])
    # as asked for; as jemalloc rounds it, with what its thread caches hold (redis 8: four tenths)
    assert live <= info["allocator_allocated"] <= 2 * live
    # pages of slabs that have a live block: in memory, but for what large blocks have not touched
    active = info["allocator_allocated"] + info["allocator_frag_bytes"]  # redis 8 has its ratio to something else
    assert info["allocator_frag_ratio"] > 1.5  # 2.0 and more, as its tables have shrunk
    assert pages["resident_bytes"] + untouched == pytest.approx(active, rel=0.1)
    assert pages["resident_bytes"] <= info["allocator_resident"]


def test_a_process_that_has_ended_and_a_file(daemon, ctl, tmp_path):
    heap = Heap(daemon, "survivors")
    ctl("snapshot", "-o", tmp_path / "now.dhat")
    ctl("snapshot", "-o", tmp_path / "now.json")
    live = ctl("pins", "--json").json()
    kept = ctl("pins", tmp_path / "now.dhat", "--json").json()
    assert kept["pages"] == live["pages"] and kept["keeps"] == "fragmentation"
    refused = ctl("pins", tmp_path / "now.json", ok=False)
    assert refused.status == 11 and "says nothing of pages" in refused.err
    assert ctl("stats", "--pages", tmp_path / "now.json", ok=False).err == refused.err.replace("pins", "stats")
    ctl("detach", "--pid", heap.pid)
    refused = ctl("pins", ok=False)
    assert refused.status == 3 and "watched no more (detached)" in refused.err


def test_late_attach_knows_glibcs_blocks(daemon, ctl, target):
    """They are listed, with malloc's sizes: 200 bytes have room for 200."""
    process = target("pinned", "survivors", env=NO_CACHE)
    process.expect("^used")
    daemon("attach", "--pid", process.pid)
    answer, pages = told(ctl)
    assert answer["keeps"] == "fragmentation" and pages["knows_all_blocks"]
    assert 4000 * 200 <= pages["live_bytes"] <= 4000 * 200 + PAGE
    assert list(answer["rows"][0]["beside_ages"]) == ["from before the attach"]


def test_late_attach_does_not_take_unknown_blocks_for_free(daemon, ctl, target):
    """Of mimalloc nothing from before can be listed: so nothing is said of what may be free."""
    process = target("resident", env={"LD_PRELOAD": str(next(Path("/usr/lib/x86_64-linux-gnu").glob("libmimalloc.so.[0-9]")))})
    process.expect("before")
    daemon("attach", "--pid", process.pid)
    process.say("more")
    until(lambda: len(re.findall("^before", process.out, re.M)) == 2, "new blocks")
    answer, pages = told(ctl)
    assert not pages["knows_all_blocks"]
    assert answer["keeps"] in ("unknown", "early", "growing", "cache")
    assert "would go back at once" not in ctl("pins").out
