"""Servers as Debian packages them, under load while dhatd attaches, counts and leaves.

In each: every request is answered, the profile is exact, the code of the process is afterwards what
the files say, and what dhatd calls live agrees with the server's own figure, where it has one.
Everything is bounded by counts and ends by itself.
"""
import contextlib
import json
import re

import pytest
from conftest import until
from oracle import Profile, code_differences
from servers import (SOURCES, HttpClient, Load, Memcached, Postgres, child_of, connect, directory_of, free_port,
                     redis_info)


@pytest.fixture
def snapshot(ctl, tmp_path):
    """snapshot(pid): the profile now. It has to be exact."""
    def take(pid):
        path = tmp_path / "snapshot.json"
        ctl("snapshot", "--pid", pid, "-o", path)
        profile = Profile(path)
        assert profile.exact, profile.reasons
        return profile
    return take


def leave(ctl, pid):
    """Detach, and look whether anything of us is left in the target."""
    ctl("detach", "--pid", pid)
    assert not code_differences(pid)


def new_blocks(profile, select=lambda point: True):
    """Sums over points with a stack: without the blocks from before the attach."""
    return profile.sums(lambda p: p["tbk"] > 0 and select(p))


# ---- redis: its figure is the sum of what its allocator sets aside for the blocks it holds -----

def jemalloc_room(sums):
    """The most that jemalloc sets aside for these live bytes and blocks: size classes are 16 bytes
    apart up to 128, and then four to each doubling (jemalloc(3)), so a quarter at most."""
    return sums["eb"] * 1.25 + 16 * sums["ebk"]


def test_redis(daemon, ctl, target, snapshot):
    port = free_port()
    redis = target("/usr/bin/redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no")
    connect(port).close()

    def benchmark(commands, count, keys):
        return target("/usr/bin/redis-benchmark", "-p", port, "-t", commands, "-n", count, "-r", keys, "-d", 100,
                      "-c", 20, "-q")

    def used():
        return int(redis_info(port, "memory")["used_memory"])

    def at_rest():
        """The profile's new blocks and redis' own figure, of one moment: clients that have gone are freed some time later."""
        figure, blocks = used(), new_blocks(snapshot(redis.pid))
        is_alone = redis_info(port, "clients")["connected_clients"] == "1"
        return (blocks, figure) if is_alone and figure == used() else None

    load = benchmark("set,get,lpush,lpop,sadd,hset", 15000, 10000)
    until(lambda: "cmdstat_set" in redis_info(port, "commandstats"), "redis under load")
    daemon("attach", "--pid", redis.pid)
    assert load.wait() == 0, load.err
    calls = {name: dict(field.split("=") for field in text.split(","))
             for name, text in redis_info(port, "commandstats").items()}
    for command in ("set", "get", "lpush", "lpop", "sadd", "hset"):
        assert calls[f"cmdstat_{command}"]["calls"] == "15000", command
        assert calls[f"cmdstat_{command}"]["failed_calls"] == "0", command
    assert re.search("jemalloc", ctl("status").out)
    # jemalloc's blocks have no header to read a size from, and none is made up
    freed = snapshot(redis.pid).verdict["totals"]
    assert freed["freed_before_blocks"] > 0 and freed["freed_before_bytes"] == 0

    # from here on nothing is freed that was allocated before the attach but unknown to us
    before, used_before = until(at_rest, "the clients to be freed")
    assert benchmark("set", 20000, 1000000).wait() == 0
    after, used_after = until(at_rest, "the clients to be freed")
    grown = {key: after[key] - before[key] for key in after}
    assert grown["eb"] > 20000 * 0.9 * 100
    assert grown["eb"] <= used_after - used_before <= jemalloc_room(grown)
    leave(ctl, redis.pid)
    with connect(port) as connection:
        connection.sendall(b"PING\r\n")
        assert connection.recv(100) == b"+PONG\r\n"


# ---- memcached: its figure is the sum of its slab pages, each one block of malloc ---------------

def test_memcached(daemon, ctl, target, snapshot):
    port = free_port()
    memcached = target("/usr/bin/memcached", "-u", "root", "-l", "127.0.0.1", "-p", port, "-U", 0, "-m", 128)
    connect(port).close()

    def ask(client, number):
        key, value = b"key-%d" % (number % 500), b"x" * (number % 700)
        client.set(key, value)
        assert len(client.get(key)) < 700

    load = Load(lambda: Memcached(port), ask)
    client = Memcached(port)
    daemon("attach", "--pid", memcached.pid)
    malloced_before = int(client.stats(b"slabs")["total_malloced"])
    for size in range(1000, 100000, 3000):  # slab classes that had no page yet
        for number in range(12):
            client.set(b"large-%d-%d" % (size, number), b"y" * size)
    load.more(2000)
    assert load.end() > 2000
    profile = snapshot(memcached.pid)
    pages = new_blocks(profile, lambda p: p["ebk"] and p["eb"] == p["ebk"] << 20)
    malloced = int(client.stats(b"slabs")["total_malloced"]) - malloced_before
    assert pages["eb"] == malloced > 4 << 20
    leave(ctl, memcached.pid)
    client.set(b"after", b"z")
    assert client.get(b"after") == b"z"


# ---- nginx: no figure of its own; its pools come and go with the requests ----------------------

NGINX = """
daemon off; worker_processes 1; pid {path}/pid; error_log {path}/error.log; user root;
events {{ worker_connections 64; }}
http {{
	access_log {path}/access.log;
	client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
	uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi; keepalive_requests 1000000;
	server {{ listen 127.0.0.1:{port}; root {path}; location /page {{ return 200 "a page\\n"; }} }}
}}
"""


def test_nginx(daemon, ctl, target, snapshot, tmp_path):
    port = free_port()
    (tmp_path / "nginx.conf").write_text(NGINX.format(path=tmp_path, port=port))
    (tmp_path / "file.txt").write_text("a file\n" * 100)
    nginx = target("/usr/sbin/nginx", "-c", tmp_path / "nginx.conf", "-p", tmp_path, "-e", tmp_path / "error.log")
    try:
        check_nginx(child_of(nginx.pid), port, tmp_path / "access.log", daemon, ctl, snapshot)
    finally:  # killed, it would leave its worker behind
        assert nginx.stop() == 0


def check_nginx(worker, port, log, daemon, ctl, snapshot):
    def ask(client, number):
        assert client.get("/page" if number % 2 else "/file.txt").startswith(b"a ")

    load = Load(lambda: HttpClient(port), ask)
    daemon("attach", "--pid", worker)
    load.more(2000)
    early = new_blocks(snapshot(worker))
    load.more(3000)
    late = new_blocks(snapshot(worker))
    answered = load.end()
    # the log is written as requests end: none was lost, and each took memory and gave it back
    until(lambda: len(log.read_text().splitlines()) == answered, "every request in the log")
    assert late["tbk"] - early["tbk"] >= 2 * 3000
    assert late["eb"] - early["eb"] < 64 << 10
    leave(ctl, worker)
    client = HttpClient(port)
    assert client.get("/page") == b"a page\n"
    client.close()


# ---- PostgreSQL: a backend knows the blocks of its memory contexts -----------------------------

CONTEXTS = "select 'bytes', sum(total_bytes) from pg_backend_memory_contexts;"
PREPARE = ("prepare s{0}(int) as select a.aid, b.bbalance from pgbench_accounts a join pgbench_branches b "
           "using (bid) where a.aid = $1 and b.bid > {0};")


def contexts_of(session):
    """What the backend of a psql session says of its own memory."""
    asked = len(re.findall(r"^bytes\|", session.out, re.M))
    session.say(CONTEXTS)
    until(lambda: len(re.findall(r"^bytes\|\d+$", session.out, re.M)) > asked, "the backend's answer")
    return int(re.findall(r"^bytes\|(\d+)$", session.out, re.M)[-1])


def progress(pgbench):
    """Of each second that it has told of: transactions a second, and how many failed."""
    return [(float(rate), int(failed)) for rate, failed in
            re.findall(r"^progress: .*? s, ([\d.]+) tps, .* (\d+) failed", pgbench.err, re.M)]


def test_postgres(daemon, ctl, target, snapshot):
    with directory_of("postgres") as path:
        postgres = Postgres(target, path)
        fill = postgres.run("pgbench", "-i", "-q", "-s", "1")
        assert fill.wait() == 0, fill.err

        # a forked backend under load, which ends when its client goes
        load = postgres.run("pgbench", "-n", "-c", "2", "-T", "600", "-R", "500", "-P", "1")
        # (its first one only asks how large the tables are)
        busy = until(lambda: postgres.ask("select pid from pg_stat_activity where application_name = 'pgbench' "
                                          "and query ~ '^(BEGIN|UPDATE|SELECT abalance|INSERT|END)' "
                                          "order by pid limit 1"), "a backend of pgbench")[0]
        daemon("attach", "--pid", busy)
        seen = len(progress(load))
        until(lambda: any(rate > 0 for rate, _ in progress(load)[seen + 1:]), "a second of transactions")
        load.kill()
        assert all(failed == 0 for _, failed in progress(load)), load.err
        until(lambda: "exited" in ctl("status").out, "the end of the backend with its connection")
        assert new_blocks(snapshot(busy))["tbk"] > 0

        # one that is asked what it holds, before and after it has learnt a thousand statements
        session = postgres.run("psql", "-X", "-q", "-A", "-t")
        session.say("select 'pid', pg_backend_pid();")
        backend = session.expect(r"^pid\|(\d+)$")[1]
        contexts_of(session)  # the first such question loads catalogues
        ctl("attach", "--pid", backend)
        held_before, live_before = contexts_of(session), snapshot(backend).sums()["eb"]
        for number in range(1000):
            session.say(PREPARE.format(number))
        held, live = contexts_of(session), snapshot(backend).sums()["eb"]
        assert held - held_before > 4 << 20
        # blocks of contexts are malloc's; what else a backend takes (libc's own) is below 1 %
        assert live - live_before == pytest.approx(held - held_before, rel=0.01)
        leave(ctl, backend)
        assert contexts_of(session) > 0
        session.say("\\q")
        assert session.wait() == 0
        assert postgres.stop() == 0


# ---- Python and node: services in languages with a heap of their own ---------------------------

def http_service(target, interpreter, name, **settings):
    service = target(interpreter, SOURCES / name, env=settings)
    port = int(service.expect(r"^listening (\d+)$")[1])
    return service, port


def figures(port):
    """What the service itself says of what it keeps."""
    client = HttpClient(port)
    with contextlib.closing(client):
        return json.loads(client.get("/figures"))


def keep(port, count):
    client = HttpClient(port)
    with contextlib.closing(client):
        for _ in range(count):
            client.get("/keep")


def work(client, number):
    assert json.loads(client.get(f"/work?{number}"))["path"] == f"/work?{number}"


def test_python(daemon, ctl, target, snapshot):
    """Every bytes object is one block of malloc, of the size that Python says, as all that it has when it keeps none in
    arenas of its own."""
    service, port = http_service(target, "/usr/bin/python3", "http_service.py", PYTHONMALLOC="malloc")
    load = Load(lambda: HttpClient(port), work)
    keep(port, 50)
    daemon("attach", "--pid", service.pid)
    keep(port, 400)
    load.more(500)
    assert load.end() >= 500
    said = figures(port)
    each = said["bytes"] // said["blocks"]
    kept = new_blocks(snapshot(service.pid), lambda p: p["ebk"] and p["eb"] == p["ebk"] * each)
    assert said["blocks"] == 450
    assert (kept["eb"], kept["ebk"]) == (400 * each, 400)
    leave(ctl, service.pid)
    assert figures(port) == said


def test_node(daemon, ctl, target, snapshot):
    """What lies outside V8's heap is malloc's: node calls it arrayBuffers."""
    service, port = http_service(target, "/usr/bin/node", "http_service.js")
    load = Load(lambda: HttpClient(port), work)
    keep(port, 20)
    daemon("attach", "--pid", service.pid)
    before = figures(port)
    keep(port, 300)
    load.more(1000)
    assert load.end() >= 1000
    after = figures(port)
    kept = new_blocks(snapshot(service.pid), lambda p: p["ebk"] and p["eb"] == p["ebk"] * 70000)
    assert after["blocks"] == 320
    assert (kept["eb"], kept["ebk"]) == (300 * 70000, 300)
    # node counts the small buffers of connections too: a pool of 8 KiB and 64 KiB a socket
    assert kept["eb"] == pytest.approx(after["bytes"] - before["bytes"], abs=1 << 20)
    leave(ctl, service.pid)
    assert figures(port)["blocks"] == 320
