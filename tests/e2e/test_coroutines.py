"""Stacks that were made by hand: they begin where nobody called, are whole, and say so only where that is proved."""
from conftest import until

ROUNDS = 50
BODIES = {  # by the size of a block: what is above leak(), innermost first, and the reason to end
    1000: (["uc_body", "body_ucontext", "__start_context"], "complete"),
    1001: (["uc_body", "body_mapped", "__start_context"], "complete"),
    1002: (["boost_body", "make_fcontext"], "complete"),
    1003: (["own_body", "body_zero"], "complete"),
    1004: (["own_body", "body_endless", "never_returns"], "complete"),
    1005: (["own_body", "body_returning", "may_return"], "complete"),
    1006: (["own_body", "body_nowhere", "may_return"], "no caller"),
    # a call happens to stand before them: the last one of the function before
    1007: (["own_body", "body_behind", "follows_call"], "complete"),
    1008: (["own_body", "body_behind_stub", "follows_stub"], "complete"),
}


def test_coroutines(target, daemon, ctl):
    coroutines = target("coroutines", "--gate", "--hold", ROUNDS)
    coroutines.expect("ready")
    daemon("attach", "--pid", coroutines.pid)
    until(lambda: not ctl("status", "--json").json()["targets"][0]["tables_pending"], "the tables")
    coroutines.say("go")
    coroutines.expect("total_blocks")
    stats = ctl("stats", "--json", "--sort", "total", "--top", 100).json()
    seen = {}
    for point in stats["points"]:
        size, left = divmod(point["total_bytes"], point["total_blocks"] or 1)
        if point["total_blocks"] == ROUNDS and not left and size in BODIES:
            functions = [frame["locations"][-1]["function"] for frame in point["frames"]]
            assert functions[0] == "leak" and size not in seen
            seen[size] = (functions[1:], point["stop"])
    assert seen == BODIES
    counters = {counter["name"]: counter["value"] for counter in stats["counters"]}
    assert counters["stop_no_caller"] == ROUNDS
    early = [name for name, value in counters.items() if name.startswith("stop_") and value]
    assert set(early) == {"stop_complete", "stop_no_caller"}
    assert any(f"{ROUNDS} of {counters['stop_complete'] + ROUNDS} stacks end early "
               f"({ROUNDS} at a function that nobody called)" in note for note in stats["notes"]), stats["notes"]
    coroutines.say("end")
    assert coroutines.wait() == 0
