"""make bench: what dhatd says that it costs (`status`), beside the CPU time that it does cost the process."""
import statistics
import time

import services
from services import Server
from target import Pairs, Target


def cpu_ns(pid):
    """Of all threads, also of those that have ended: the process's clock (clock_getcpuclockid)."""
    return time.clock_gettime_ns(~pid << 3 | 2)


def others_of(target):
    """Calls that trap and are not counted."""
    return sum(int(counter["value"]) for counter in target["counters"] if counter["name"] in ("free_null", "nested", "failed", "foreign"))


def one_round(bench, pid, work, tool):
    """CPU ns for each piece of work, the pieces, and what dhatd says of it."""
    with tool(Server(pid)) as about:
        work()  # caches are cold at first, and stacks new
        begin = cpu_ns(pid)
        first = bench.status()["targets"][0] if tool == bench.dhatd else None
        pieces = work()
        used = cpu_ns(pid) - begin
    if not about:
        return used / pieces, pieces, None
    target = about["targets"][0]
    allocs = int(target["totals"]["total_blocks"]) - int(first["totals"]["total_blocks"])
    frees = allocs - int(target["totals"]["live_blocks"]) + int(first["totals"]["live_blocks"])
    others = others_of(target) - others_of(first)
    return used / pieces, pieces, (allocs * target["alloc_cost_ns"] + frees * target["free_cost_ns"] +
                                   others * target["other_cost_ns"]) / pieces


def measure(bench, case, pid, work):
    ratios = []
    for _ in range(bench.args.rounds):
        before, _, _ = one_round(bench, pid, work, bench.nothing)
        with_, _, said = one_round(bench, pid, work, bench.dhatd)
        ratios.append(said / (with_ - before))
    bench.note("price", case, {"said": ratios}, unit="of what it costs")
    print(f"  {case:<32} says {said:>9,.0f} ns, costs {with_ - before:>9,.0f} ns; says {statistics.median(ratios):.2f} of it "
          f"({min(ratios):.2f} to {max(ratios):.2f})", flush=True)
    return ratios


def of_target(bench, case, target):
    try:
        return measure(bench, case, target.pid, lambda: target.measure(bench.args.ms)[0])
    finally:
        target.close()


def run(bench):
    print("price: what `status` says that counting costs, to the CPU time that it does cost, by pair or request (1 is wanted)")
    rows = {}
    for frames in (5, 10, 40, 80):
        rows[f"pair, {frames} frames"] = of_target(bench, f"pair, {frames} frames", Pairs(bench.build, frames))
    shape = bench.build / "tests/targets/shapes"
    for name, count in (("stacks", 10 ** 4), ("live", 10 ** 5)):
        case = f"{name}, {count:,}"
        rows[case] = of_target(bench, case, Target([shape, name, str(count)]))
    for service in (services.redis, services.nginx, services.sqlite):
        with service(bench) as (pid, cases):
            for case, ask in cases.items():
                def work(ask=ask):
                    begin = time.monotonic()
                    rate = ask()[0]
                    return rate * (time.monotonic() - begin)
                rows[case] = measure(bench, case, pid, work)
    return rows
