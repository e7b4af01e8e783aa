"""An async Rust service: whatever the runtime, the workers and the allocator, the profile leads to
the async function that leaks.

tests/targets/tokio has four kinds of requests: a forgotten task, a cycle of Arcs, a buffer that
grows by reallocation, and a healthy one. The load is this test: many connections at once, so that
tasks move between the workers.
"""
import re
import socket
import time

import pytest
from conftest import DEADLINE, ROOT, TARGETS, until
from oracle import Profile

SOURCE = ROOT / "tests/targets/tokio/src/requests.rs"
REQUESTS = {"forget": 10000, "cycle": 2000, "grow": 300, "healthy": 2000}
SIZES = {"forget": 1000, "cycle": 500, "grow": 65536, "healthy": 5000}
FUNCTION = {"forget": "forget_task", "cycle": "open_sessions", "grow": "collect_body", "healthy": "healthy_request"}
LIVE_BLOCKS = {"forget": 3, "cycle": 4, "grow": 0, "healthy": 0}  # that a request leaves behind
BATCH = 50  # requests sent before their answers are read


class Client:
    """One connection: lines out, lines in."""

    def __init__(self, port):
        self.connection = socket.create_connection(("127.0.0.1", port), DEADLINE)
        self.stream = self.connection.makefile("r")

    def send(self, line, count=1):
        self.connection.sendall(f"{line}\n".encode() * count)

    def receive(self):
        return self.stream.readline().strip()

    def ask(self, line):
        self.send(line)
        return self.receive()

    def stats(self):
        return {name: int(value) for name, value in (word.split("=") for word in self.ask("stats").split())}


class Service:
    def __init__(self, process):
        self.process = process
        self.pid = process.pid
        self.port = int(process.expect(r"^listening (\d+)$")[1])
        self.control = Client(self.port)
        self.ended, self.seconds = {}, {}  # of each kind: when its last request was answered, and how long all took
        self.clients = [Client(self.port) for _ in range(8)]
        for client in self.clients:  # every connection has its task
            assert client.ask("healthy 1") == "ok"

    def drive(self, kind, count):
        """So many requests over all connections; every one is answered by ok."""
        began = time.monotonic()
        while count:
            sent = []
            for client in self.clients:
                batch = min(BATCH, count)
                client.send(f"{kind} {SIZES[kind]}", batch)
                count -= batch
                sent.append((client, batch))
            for client, batch in sent:
                for _ in range(batch):
                    assert client.receive() == "ok"
        self.ended[kind] = time.monotonic()
        self.seconds[kind] = self.seconds.get(kind, 0) + self.ended[kind] - began

    def drive_all(self):
        for kind, count in REQUESTS.items():
            self.drive(kind, count)

    def migrate(self):
        """Requests until a task has changed its worker; how many of each kind it took."""
        before, extra = self.control.stats()["migrations"], 0

        def has_moved():
            nonlocal extra
            if self.control.stats()["migrations"] > before:
                return True
            self.drive("healthy", 400)
            extra += 400
            return False
        until(has_moved, "a task to move")
        return extra

    def quit(self):
        self.control.send("quit")
        return self.process.wait()


def whole(profile, points):
    return [point for point in points if not profile.frames(point)[-1].function.startswith("[stack ends early")]


def in_function(kind, pattern="^tokio_service::requests::{}\\b"):
    """Points whose stack has the request's async function, as the source names it. Without those of
    the runtime's own queues, which grow now and then, whoever is running."""
    function = re.compile(pattern.format(FUNCTION[kind]))
    queue = re.compile(r"VecDeque|YieldNow|::defer")

    def select(profile):
        names = [(p, [f.function for f in profile.frames(p)]) for p in profile.points]
        return [p for p, functions in names if any(map(function.search, functions))
                and not any(map(queue.search, functions))]
    return select


def sums(points):
    return {field: sum(p[field] for p in points) for field in ("tb", "tbk", "eb", "ebk", "tl")}


def line_of(text):
    """The line of requests.rs that holds this."""
    return next(i for i, line in enumerate(SOURCE.read_text().splitlines(), 1) if text in line)


@pytest.fixture
def service(target):
    return lambda program, runtime: Service(target(TARGETS / "tokio" / program, runtime))


def profile_of(ctl, path, *options):
    ctl("snapshot", *options, "-o", path)
    return Profile(path)


def check_scenarios(served, profile, extra):
    """(a) and (b) are live at the end, (c) is churn, (d) is nothing; every block is accounted for."""
    count = REQUESTS | {"healthy": REQUESTS["healthy"] + extra}
    found = {kind: sums(in_function(kind)(profile)) for kind in FUNCTION}

    # (a) the vector, its Arc (two counters and a Vec) and the task
    assert found["forget"]["ebk"] == found["forget"]["tbk"] == LIVE_BLOCKS["forget"] * count["forget"]
    assert found["forget"]["eb"] == found["forget"]["tb"] >= count["forget"] * (SIZES["forget"] + 40 + 64)
    # (b) two Arcs and two buffers
    assert found["cycle"]["ebk"] == found["cycle"]["tbk"] == LIVE_BLOCKS["cycle"] * count["cycle"]
    assert found["cycle"]["eb"] >= 2 * count["cycle"] * (SIZES["cycle"] + 40)
    # (c) from 64 bytes by doubling: eleven blocks, 64 * (2^11 - 1) bytes in all, and none stays
    assert found["grow"]["tbk"] == 11 * count["grow"]
    assert found["grow"]["tb"] == 64 * (2**11 - 1) * count["grow"]
    assert (found["grow"]["eb"], found["grow"]["ebk"]) == (0, 0)
    # (d)
    assert found["healthy"]["tb"] == SIZES["healthy"] * count["healthy"]
    assert (found["healthy"]["eb"], found["healthy"]["ebk"]) == (0, 0)
    # a block of a leak lives as long as we look; of the others there is one for each request that is under way, of which a
    # connection has one: two while it grows
    def seconds(kind):
        return found[kind]["tl"] / 1e6
    at_least = max(served.ended.values()) - served.ended["forget"]
    assert seconds("forget") >= found["forget"]["tbk"] * at_least > 0
    assert seconds("grow") <= 2 * len(served.clients) * served.seconds["grow"]
    assert seconds("healthy") <= len(served.clients) * served.seconds["healthy"]


@pytest.mark.parametrize("runtime", ["current", "multi"])
@pytest.mark.parametrize("program", ["system", "jemalloc", "rjem", "v0"])
def test_leads_to_the_async_function(program, runtime, service, daemon, ctl, tables, tmp_path):
    served = service(program, runtime)
    daemon("attach", "--pid", served.pid)
    tables()
    served.drive_all()
    extra = served.migrate() if runtime == "multi" else 0

    profile = profile_of(ctl, tmp_path / "trimmed.json", "--trim", "tokio")
    assert profile.exact, profile.reasons
    check_scenarios(served, profile, extra)

    # one program point for each place in the source that allocates, whichever worker ran the task; of a stack that ended
    # early, while tables were built, there is another
    assert [len(whole(profile, in_function(kind)(profile))) for kind in ("grow", "cycle", "healthy", "forget")] == \
        [1, 4, 1, 3]
    raw = profile_of(ctl, tmp_path / "raw.json")
    assert len(raw.points) >= len(profile.points)
    assert raw.sums()["tb"] == profile.sums()["tb"]
    check_scenarios(served, raw, extra)

    # the place is the line of the source
    places = {f.place for p in in_function("forget")(profile) for f in profile.frames(p)
              if "forget_task" in f.function}
    assert any(place.split(":")[0].endswith("src/requests.rs") and
               place.split(":")[1] == str(line_of("vec![1u8; size]")) for place in places)
    # of the executor only its name is left
    for point in in_function("grow")(profile):
        names = [f.function for f in profile.frames(point)]
        assert not [name for name in names if re.match(r"<*tokio::(runtime|loom|park|coop)::", name)]

    # what a person sees first
    first = ctl("stats", "--trim", "tokio").out
    leaks = [m for m in re.findall(r"requests::(\w+)", first)]
    assert leaks[0] == "forget_task" and "open_sessions" in leaks
    assert served.quit() == 0


@pytest.mark.parametrize("runtime", ["current", "multi"])
def test_counts_what_the_program_counts(runtime, service, daemon, ctl, tables, tmp_path):
    """A counting GlobalAlloc is the judge: total bytes and blocks, and what is live."""
    served = service("counting", runtime)
    daemon("attach", "--pid", served.pid)
    tables()
    before, at_first = served.control.stats(), profile_of(ctl, tmp_path / "first.json")
    served.drive_all()
    after = until(lambda: steady(served), "all requests to be over")
    profile = profile_of(ctl, tmp_path / "counted.json")
    assert profile.exact, profile.reasons
    ours = profile.sums()
    assert ours["tb"] == after["total_bytes"] - before["total_bytes"]
    assert ours["tbk"] == after["total_blocks"] - before["total_blocks"]
    held = at_first.sums()
    assert ours["ebk"] - held["ebk"] == after["live_blocks"] - before["live_blocks"]
    # blocks from before the attach have glibc's size: up to 24 bytes more than was asked for
    gone = at_first.sums(is_from_before)["ebk"] - profile.sums(is_from_before)["ebk"]
    difference = (after["live_bytes"] - before["live_bytes"]) - (ours["eb"] - held["eb"])
    assert 0 <= difference <= 24 * gone
    assert served.quit() == 0


def is_from_before(point):
    return point["tbk"] == 0


def steady(served):
    """The figures, once they do not change any more."""
    first, second = served.control.stats(), served.control.stats()
    return second if first == second else None


@pytest.mark.parametrize("program, named, pattern", [
    # v0 symbols keep the name of the future that is polled: of a GenFuture<…>, before Rust 1.64, or of its function
    ("v0-nodebug", ["cycle", "grow", "healthy"],
     r"(<tokio_service::requests::{0}::{{closure#0}}>? as core::future::future::Future>::poll"
     r"|^tokio_service::requests::{0}::{{closure#0}})$"),
    # names come back with a separate debug file beside the program
    ("system-split", list(FUNCTION), r"^tokio_service::requests::{}\b"),
], ids=["v0-nodebug", "system-split"])
def test_without_debugging_information(program, named, pattern, service, daemon, ctl, tables, tmp_path):
    served = service(program, "multi")
    daemon("attach", "--pid", served.pid)
    tables()
    served.drive_all()
    profile = profile_of(ctl, tmp_path / "p.json", "--trim", "tokio")
    assert profile.exact, profile.reasons
    for kind in named:
        found = sums(in_function(kind, pattern)(profile))
        assert found["tbk"] >= REQUESTS[kind], kind
        assert found["ebk"] == LIVE_BLOCKS[kind] * REQUESTS[kind], kind
    assert served.quit() == 0


def test_stripped_of_all_names_is_still_exact(service, daemon, ctl, tables, tmp_path):
    """Without v0 and without debugging information a future's name is nowhere in the file; figures,
    whole stacks and addresses are still right."""
    served = service("system-nodebug", "multi")
    daemon("attach", "--pid", served.pid)
    tables()
    served.drive("forget", 1000)
    served.drive("grow", 100)
    profile = profile_of(ctl, tmp_path / "p.json")
    assert profile.exact, profile.reasons
    kept = profile.sums(lambda p: p["tbk"] and p["ebk"] and p["eb"] == SIZES["forget"] * p["ebk"])
    assert (kept["ebk"], kept["tbk"]) == (1000, 1000)
    grown = profile.sums(lambda p: p["tbk"] and p["tb"] * 11 == p["tbk"] * 64 * (2**11 - 1))
    assert (grown["tbk"], grown["ebk"]) == (1100, 0)
    for point in profile.points:
        frames = profile.frames(point)
        if point["tbk"] >= 100:
            assert len(frames) > 5
            assert frames[-1].function.startswith(("__clone", "_start")), frames
