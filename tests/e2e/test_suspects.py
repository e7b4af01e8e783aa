"""What grows over time: the leaks are named, first, and nothing else is."""
import re

from conftest import until

LEAKS = ["log_event", "handle"]  # 3,000 and 120 bytes a round


def functions(rows):
    return [re.match(r"\w+", row["lines"][0])[0] for row in rows]


def test_leaks_are_told_from_what_looks_like_them(target, daemon, ctl, tables, tmp_path):
    service = target("growing_service")
    service.expect("ready")
    daemon("attach", "--pid", service.pid)
    tables()
    service.say("go")

    def answer():
        said = ctl("suspects", "--json").json()
        courses = dict(zip(functions(said["others"]), (row["course"] for row in said["others"])))
        return said if (functions(said["suspects"]) == LEAKS and courses.get("cache_page") == "level"
                        and all(row["course"] == "leaks" for row in said["suspects"])) else None

    said = until(answer, "the leaks, and only these, to be named")
    # within a minute, or in the first hundred rounds where those take longer
    assert said["observed_ns"] < 60e9 or said["suspects"][0]["live_blocks"] < 100
    slow = said["suspects"][1]
    # a block a round, of 120 bytes; 50 more live for a while
    assert slow["live_blocks"] - 51 <= said["suspects"][0]["live_blocks"] <= slow["live_blocks"] - 49
    assert slow["risen_bytes"] % 120 == 0 and slow["longest_freed_us"] > 0
    kept = re.match(r"grows .* a minute since [\d:]+; nothing older than .* was freed: about 1 block in (\S+) stays$",
                    slow["why"])
    assert 8000 < int(kept[1].replace(",", "")) < 20000  # 10,000, and some rounds that came before the floor rose
    others = {function: row for function, row in zip(functions(said["others"]), said["others"])}
    assert others["load_tables"]["course"] == "once" and others["load_tables"]["live_blocks"] == 500

    # in a few lines, with a command that shows the stacks
    explained = ctl("explain", "--json").json()
    assert (explained["version"], explained["verdict"], explained["headline"]) == (1, "exact", "2 lines leak")
    assert [suspect["function"] for suspect in explained["suspects"]] == LEAKS
    assert explained["next"] == f"dhatctl stats --filter log_event {service.pid}"
    stacks = ctl(*explained["next"].split()[1:]).out
    assert "log_event" in stacks and "load_tables" not in stacks

    # the same of a file, and for people; what came at once does not grow, and the timeline ends with what is live
    ctl("snapshot", "-o", tmp_path / "a.dhat")
    text = ctl("suspects", tmp_path / "a.dhat").out
    assert re.search(r"^2 lines leak:$", text, re.M), text
    assert text.index("log_event") < text.index("handle") < text.index("Not suspected:") < text.index("load_tables")
    stats = ctl("stats", tmp_path / "a.dhat", "--sort", "growth", "--by", "function", "--json").json()
    growth = {point["function"]: point["growth_bytes_per_minute"] for point in stats["points"]}
    assert growth["log_event"] > growth["handle"] > 0 and "load_tables" not in growth
    timeline = stats["timeline"]
    assert timeline["live_bytes"][-1] == int(stats["totals"]["live_bytes"])
    assert sum(timeline["allocations"]) == stats["totals"]["total_blocks"]
    resident = [bytes for bytes in timeline["rss_bytes"] if bytes]
    assert resident and all(1 << 20 < bytes < 1 << 30 for bytes in resident)
