"""make bench: ways in which programs use an allocator, and other allocators."""
import statistics
from pathlib import Path

from target import Pairs, Target

LIBRARIES = Path("/usr/lib/x86_64-linux-gnu")
ALLOCATORS = {"glibc": None, "jemalloc": "libjemalloc.so", "tcmalloc": "libtcmalloc.so", "mimalloc": "libmimalloc.so"}
FLOOR = "floor"


def say_case(case, times):
    floor = statistics.median(times[FLOOR])
    print(f"  {case:<26} " + "   ".join(
        f"{tool} {statistics.median(t):,.0f} ({statistics.median(t) / floor:.2f}x; {min(t):,.0f} to {max(t):,.0f})"
        for tool, t in times.items()), flush=True)


def measure(bench, part, case, target, rounds=None, **tools):
    tools = {"unprobed": bench.nothing, FLOOR: bench.floor, "dhatd": bench.dhatd, **tools}
    times, _ = bench.rounds(target, tools, {}, rounds)
    bench.note(part, case, times, base=FLOOR)
    say_case(case, times)
    return times


def run(bench):
    print(f"shapes: ns of a round, as a ratio to the floor, and from least to most (median of {bench.args.rounds} rounds)")
    shape = bench.build / "tests/targets/shapes"
    rows = {}
    for threads in (1, 2, 4, 8):
        rows[f"{threads} threads"] = measure(bench, "shape", f"pair, {threads} threads", Pairs(bench.build, 10, threads))
    for name, counts in {"handoff": (1000,), "grow": (8,), "live": (10 ** 3, 10 ** 4, 10 ** 5, 10 ** 6, 10 ** 7),
                         "stacks": (10 ** 2, 10 ** 3, 10 ** 4, 10 ** 5)}.items():
        for count in counts:
            rows[f"{name} {count}"] = measure(
                bench, "shape", f"{name}, {count:,}", Target([shape, name, str(count)]),
                rounds=1 if count == 10 ** 7 else None)  # an attach reads them all
    return rows


def run_kinds(bench):
    """Each allocator beside its own floor. The profilers sample; here they are told not to, as dhatd does not."""
    print("kinds: malloc+free pair, 10 frames, by allocator: ns, as a ratio to the allocator's own floor (at most 1.10 is wanted)")
    rows = {}
    for name, library in ALLOCATORS.items():
        preload = LIBRARIES / library if library else None
        if preload and not preload.exists():
            print(f"  {name:<26} is not installed", flush=True)
            continue
        rows[name] = measure(bench, "allocator", name, Pairs(bench.build, 10, preload=preload))
    for name, library, settings in (
            ("jemalloc's profiler, each call", "libjemalloc.so", {"MALLOC_CONF": "prof:true,lg_prof_sample:0"}),
            ("jemalloc's profiler, sampling", "libjemalloc.so", {"MALLOC_CONF": "prof:true"}),
            ("tcmalloc's profiler", "libtcmalloc.so", {"HEAPPROFILE": str(bench.tmp / "heap")})):
        if not (LIBRARIES / library).exists():
            continue
        bench.frames = 10
        one = bench.under("env", *(f"{key}={value}" for key, value in settings.items()),
                          f"LD_PRELOAD={LIBRARIES / library}")
        times = [one()[1] for _ in range(bench.args.rounds)]
        rows[name] = {name: times}
        bench.note("allocator", "beside", {name: times})
        print(f"  {name:<36} {statistics.median(times):,.0f} ({min(times):,.0f} to {max(times):,.0f})", flush=True)
    return rows
