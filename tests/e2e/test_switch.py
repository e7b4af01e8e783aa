"""A sample that begins later: what was counted before stays exact, what comes is unbiased, and each call at
the moment between is counted by one of both rules.

Bounds are seven standard errors, by the greatest variance that there can be: as in test_sample.py.
"""
import json
import os
import signal

import pytest
from conftest import BUILD, until
from test_allocators import JEMALLOC
from test_sample import counters, is_near

RATE = 4096


def ask(process, command):
    process.say(command)
    return json.loads(process.expect(rf'^(\{{"after":"{command or "stock"}".*\}})$')[1])


def stats_of(ctl):
    return ctl("stats", "--json").json()


def row(ctl, function):
    rows = ctl("stats", "--json", "--by", "function").json()["points"]
    return next((r for r in rows if r["function"] == function), None)


@pytest.mark.parametrize("preload,options", [(None, []), (None, ["--sites", "entry"]), (JEMALLOC, [])],
                         ids=["glibc", "glibc-entry", "jemalloc"])
def test_a_sample_begins_in_a_storm(daemon, ctl, target, preload, options):
    """Four threads allocate, resize, fail to and free while the rule changes; not one block stays behind."""
    switched = target("switched", "4", "5000", env={"LD_PRELOAD": str(preload)} if preload else {})
    switched.expect("^ready")
    daemon("attach", "--pid", switched.pid, "--no-inventory", "--ring-size", "64M", *options)
    before = ask(switched, "")
    exact = stats_of(ctl)
    switched.say("go")
    until(lambda: stats_of(ctl)["totals"]["total_bytes"] > before["total_bytes"] + 4_000_000, "a storm")
    assert "1 block per 4.0 KiB" in ctl("sample", "--pid", switched.pid, "4KiB").out
    sampled_from = stats_of(ctl)["totals"]["total_bytes"]
    until(lambda: stats_of(ctl)["totals"]["total_bytes"] > sampled_from + 12_000_000, "more of it")
    book = ask(switched, "stop")
    stats = stats_of(ctl)
    totals = stats["totals"]
    assert exact["verdict"]["word"] == "exact" and stats["verdict"]["word"] == "sampled"
    assert "figures were exact until" in stats["verdict"]["reasons"][0]
    assert "nothing was lost" in stats["verdict"]["reasons"][0]
    # exact before, unbiased after: only what came since is uncertain
    assert is_near(totals["total_bytes"] - sampled_from, book["total_bytes"] - sampled_from, 2 * RATE)
    assert is_near(totals["live_bytes"] - before["live_bytes"], book["live_bytes"] - before["live_bytes"], RATE)
    low, high = stats["live_bytes_interval"]
    assert before["live_bytes"] < low < totals["live_bytes"] < high
    stock = row(ctl, "make_stock")
    assert stock["live_bytes"] == before["live_bytes"] and stock["live_blocks"] == 5000
    assert stock["live_bytes_interval"][0] == before["live_bytes"]
    counts = counters(ctl)
    assert counts["unsampled_allocs"] > counts["allocs"] / 4 and counts["unsampled_frees"] > 100
    # what lived before is freed, and that is told of each
    book = ask(switched, "drop")
    after = stats_of(ctl)
    assert is_near(after["totals"]["live_bytes"], book["live_bytes"], RATE)
    assert not (row(ctl, "make_stock") or {"live_bytes": 0})["live_bytes"]
    # and in the end nothing is left: no block was counted by no rule, or by both
    assert ask(switched, "end")["live_bytes"] == 0
    rows = {f: row(ctl, f) or {"live_bytes": 0, "live_blocks": 0} for f in ("make", "resize", "make_stock")}
    assert not [r for r in rows.values() if r["live_bytes"] or r["live_blocks"]]
    assert counters(ctl)["seen_twice"] == 0
    assert not [c for c in stats_of(ctl)["counters"] if c["is_loss"] and c["value"]]
    refused = ctl("sample", "--pid", switched.pid, "1MiB", ok=False)
    assert "is sampled already" in refused.err


def test_the_watcher_samples_before_it_lets_go(daemon, ctl, target, tmp_path):
    """--max-overhead: a sample where that is enough, once, with its time and its reason in all that is written."""
    program = tmp_path / "paced"
    os.symlink(BUILD / "tests/targets/paced", program)
    paced = target(program, 300)
    paced.expect("^ready")
    config = tmp_path / "conf"
    config.write_text(f"[watch it]\ncommand = ^{program} \n")
    dhatd = daemon("serve", "--config", config, "--record", tmp_path)

    def status():
        return next((t for t in ctl("status", "--json").json()["targets"] if t["target"]["pid"] == paced.pid), None)
    until(lambda: (s := status()) and s["allocs_per_second"] > 100, "it to allocate")
    price = until(lambda: (s := status())["cost_percent"] > 0 and s, "its price")
    # a pair takes five traps' time (daemon/source/price.h), and three with a sample: less than 0.8 of the bound
    bound = 300 * 10 * 4 / 3.5 * price["alloc_cost_ns"] / 1e7
    config.write_text(f"[watch it]\ncommand = ^{program} \nmax-overhead = {bound:.2f}% for 2s\n")
    dhatd.send_signal(signal.SIGHUP)
    dhatd.expect_err(rf"process {paced.pid}: sampled by itself, 1 block per 512 KiB: watching it took [\d.]+% of a core for 2.0 s, "
                     r"more than the [\d.]+% of --max-overhead; with a sample it is taken to be [\d.]+%")
    stats = ctl("stats", "--pid", paced.pid, "--json").json()
    step, = stats["steps"]
    assert step["word"] == "sampled" and step["sample_bytes"] == 512 << 10 and "--max-overhead" in step["reason"]
    assert stats["target"]["observed_since_unix_ns"] < step["unix_ns"] < stats["taken_unix_ns"]
    assert "figures were exact until" in stats["verdict"]["reasons"][0]
    assert "sampled, 1 block per 512 KiB: watching it took" in " ".join(ctl("status").out.split())
    for name in "a.dhat", "a.json", "a.jsonl":
        ctl("snapshot", "--pid", paced.pid, "-o", tmp_path / name)
    assert ctl("stats", tmp_path / "a.dhat", "--json").json()["steps"] == [step]
    assert json.loads((tmp_path / "a.json").read_text())["dhatd"]["steps"] == [step]
    assert json.loads((tmp_path / "a.jsonl").read_text().splitlines()[0])["steps"] == [step]
    # until that is too much, too
    config.write_text(f"[watch it]\ncommand = ^{program} \nmax-overhead = {bound / 10:.2f}% for 2s\n")
    dhatd.send_signal(signal.SIGHUP)
    dhatd.expect_err(rf"process {paced.pid}: detached by itself: .* of --max-overhead, by a sample")
    steps = status()["steps"]
    assert [s["word"] for s in steps] == ["sampled", "detached"] and steps[0]["ns"] < steps[1]["ns"]
    assert dhatd.stop() == 0
