#!/usr/bin/python3
"""make test-healthy: servers of Debian under load, and whether `dhatctl holds' ever calls one of their blocks lost.

tests/healthy.py [-O DIR] [--seconds N] [SERVER…]
redis, memcached, nginx, a backend of PostgreSQL (under pgbench) and a python3 with threads (as PYTHONMALLOC=malloc) each
work under load for N seconds (60), while it is asked again and again who holds their blocks. Judged: no site is called
lost in any answer (but what is); each gave one in which something might have been; each answered every request. The last
line: N passed, N failed, N skipped.
"""
import argparse
import contextlib
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests/e2e"))
import servers  # noqa: E402

PATIENCE = 300

BUSY_PYTHON = """
import random, threading
kept = [{} for _ in range(3)]

def work(cache):
    chance = random.Random(1)
    while True:
        key = chance.randrange(20000)
        cache[key] = [str(key) * 3, {"of": key}, bytearray(chance.randrange(400))]
        cache.pop(chance.randrange(20000), None)

for cache in kept:
    threading.Thread(target=work, args=(cache,), daemon=True).start()
print("ready", flush=True)
threading.Event().wait()
"""

NGINX = """
daemon off; worker_processes 1; pid {path}/pid; error_log {path}/error.log;
events {{ }}
http {{
  access_log off; keepalive_requests 1000000000; client_body_temp_path {path}; proxy_temp_path {path}; fastcgi_temp_path {path};
  uwsgi_temp_path {path}; scgi_temp_path {path};
  server {{ listen 127.0.0.1:{port}; location / {{ return 200 "healthy\\n"; }} }}
}}
"""


class Redis:
    def __init__(self, port):
        self.connection = servers.connect(port)
        self.stream = self.connection.makefile("rb")

    def ask(self, *words):
        self.connection.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        answer = self.stream.readline()
        if answer[:1] == b"$" and answer != b"$-1\r\n":
            self.stream.read(int(answer[1:]) + 2)
        assert answer[:1] != b"-", answer

    def close(self):
        self.stream.close()
        self.connection.close()


def ask_redis(client, number):
    key = b"key%d" % random.randrange(100000)
    client.ask(b"SET", key, b"v" * random.randrange(400))
    client.ask(b"HSET", b"hash%d" % (number % 500), key, b"1")
    client.ask(b"DEL", b"key%d" % random.randrange(100000))
    client.ask(b"LPUSH", b"list", key)
    client.ask(b"LTRIM", b"list", b"0", b"5000")
    client.ask(b"GET", key)


def ask_memcached(client, number):
    key, value = b"key%d" % random.randrange(20000), b"v" * random.randrange(2000)
    client.set(key, value)
    assert client.get(key) is not None


@contextlib.contextmanager
def program(*argv, user=None, **options):
    proc = subprocess.Popen(list(map(str, argv)), stderr=subprocess.DEVNULL, user=user, group=user,
                            extra_groups=[] if user else None, **options)
    try:
        yield proc
    finally:
        proc.terminate()
        proc.wait(PATIENCE)


@contextlib.contextmanager
def redis(_):
    port = servers.free_port()
    with program("redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no",
                 stdout=subprocess.DEVNULL) as proc:
        yield proc.pid, servers.Load(lambda: Redis(port), ask_redis)


@contextlib.contextmanager
def memcached(_):
    port = servers.free_port()
    with program("memcached", "-l", "127.0.0.1", "-p", port, "-U", "0", "-m", "128", "-u", "nobody") as proc:
        yield proc.pid, servers.Load(lambda: servers.Memcached(port), ask_memcached)


@contextlib.contextmanager
def nginx(tmp):
    port = servers.free_port()
    (tmp / "nginx.conf").write_text("user root;" + NGINX.format(path=tmp, port=port))
    with program("/usr/sbin/nginx", "-c", tmp / "nginx.conf", "-p", tmp, "-e", tmp / "error.log") as proc:
        yield servers.child_of(proc.pid), servers.Load(lambda: servers.HttpClient(port), lambda client, _: client.get("/"))


@contextlib.contextmanager
def python(_):
    with program(sys.executable, "-c", BUSY_PYTHON, env=dict(os.environ, PYTHONMALLOC="malloc"),
                 stdout=subprocess.PIPE, text=True) as proc:
        proc.stdout.readline()
        yield proc.pid, None


def as_postgres(bin_, env, *argv):
    """Of PostgreSQL itself: it refuses to be root."""
    return subprocess.Popen(["/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups", bin_ / argv[0],
                             *map(str, argv[1:])], env=env, cwd=env["HOME"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True)


def whole(proc):
    """What it has printed until its end."""
    text = proc.communicate(timeout=PATIENCE)[0]
    assert proc.returncode == 0, text
    return text


class Pgbench:
    """Two clients, whose every transaction has to come to its end."""

    def __init__(self, start):
        self.proc = start("pgbench", "-n", "-c", 2, "-T", 100000, "-P", 1)

    def end(self):
        self.proc.send_signal(signal.SIGINT)
        told = self.proc.communicate(timeout=PATIENCE)[0]
        seconds = re.findall(r"^progress: .*? s, ([\d.]+) tps, .* (\d+) failed", told, re.M)
        assert seconds and all(int(failed) == 0 for _, failed in seconds) and sum(float(rate) for rate, _ in seconds) > 0, told


@contextlib.contextmanager
def postgres(tmp):
    """A backend's memory contexts are blocks of malloc; what is in them is the backend's own affair."""
    bin_ = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1]
    home, port = tmp / "postgres", servers.free_port()
    home.mkdir()
    shutil.chown(home, "postgres")
    env = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGDATABASE": "postgres", "HOME": str(home)}

    def start(*argv):
        return as_postgres(bin_, env, *argv)

    def backends(asked):
        return whole(start("psql", "-X", "-q", "-A", "-t", "-c", "select pid from pg_stat_activity where application_name = "
                           f"'pgbench' and query ~ '^(BEGIN|UPDATE|SELECT abalance|INSERT|END)' {asked}")).split()

    whole(start("initdb", "--no-sync", "-A", "trust", "-E", "UTF8", "--no-locale", "-D", home / "data"))
    server = start("postgres", "-D", home / "data", "-k", home, "-p", port, "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off")
    try:
        for line in server.stdout:
            if "ready to accept connections" in line:
                break
        whole(start("pgbench", "-i", "-q", "-s", 1))
        load = Pgbench(start)
        until = time.monotonic() + PATIENCE
        while not (found := backends("order by pid limit 1")) and time.monotonic() < until:
            time.sleep(0.1)
        yield int(found[0]), load
    finally:
        server.send_signal(signal.SIGINT)  # a fast shutdown
        server.communicate(timeout=PATIENCE)


SERVERS = {"redis": redis, "memcached": memcached, "nginx": nginx, "postgres": postgres, "python": python}

# What is lost in truth: a backend of PostgreSQL has from its postmaster the copy of its environment that setenv has replaced
# (save_ps_display_args()), and a path of its data directory. Looked up by hand: no word of its memory leads to either.
LOST = {"postgres": {"[allocated before attach]": 2}}


class Watch:
    def __init__(self, build, pid, tmp):
        self.build, self.socket = build, tmp / "dhatd.sock"
        self.dhatd = subprocess.Popen([build / "dhatd", "attach", "--pid", str(pid), "--socket", self.socket],
                                      stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        until = time.monotonic() + PATIENCE
        while self.run("stats").returncode:
            if time.monotonic() > until or self.dhatd.poll() is not None:
                sys.exit(f"healthy: dhatd does not attach to {pid}")
            time.sleep(0.1)

    def run(self, *arguments):
        return subprocess.run([self.build / "dhatctl", *arguments, "--socket", self.socket], capture_output=True, text=True,
                              timeout=PATIENCE)

    def end(self):
        self.dhatd.send_signal(signal.SIGTERM)
        self.dhatd.wait(PATIENCE)


def look(name, build, seconds):
    """What is wrong, in sentences; and a line of figures."""
    wrong, answers, decided, most = [], 0, 0, {"scans": 0, "dropped": 0, "blocks": 0}
    reasons = set()
    with tempfile.TemporaryDirectory(prefix="dhatd-healthy-") as tmp, contextlib.ExitStack() as stack:
        tmp = Path(tmp)
        os.chmod(tmp, 0o755)
        pid, load = stack.enter_context(SERVERS[name](tmp))
        watch = Watch(build, pid, tmp)
        stack.callback(watch.end)
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            asked = watch.run("holds", "--json", "--top", "1000")
            if asked.returncode:
                wrong.append(asked.stderr.strip())
                break
            told = json.loads(asked.stdout)
            answers += 1
            decided += not told["holds"]["refusals"]
            reasons.update(told["holds"]["refusals"])
            most = {"scans": max(most["scans"], told["holds"]["scans"]),
                    "dropped": max(most["dropped"], int(told["holds"].get("dropped_blocks", 0))),
                    "blocks": max(most["blocks"], sum(row["live_blocks"] for row in told["rows"]))}
            wrong += [f"{row['lost_blocks']:,} of {row['live_blocks']:,} blocks of {row['name']} are called lost"
                      for row in told["rows"] if row["lost_blocks"] > LOST.get(name, {}).get(row["name"], 0)]
        if load:
            load.end()
    if not decided:
        wrong.append("no answer in which anything could have been called lost: " + "; ".join(sorted(reasons)))
    return wrong, (f"{name:<10} {most['blocks']:>9,} blocks  {answers:>3} answers, {decided} of them without a refusal, "
                   f"of at most {most['scans']} scans")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-O", dest="build", type=Path, default=ROOT / "build")
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("servers", nargs="*", default=list(SERVERS), metavar="SERVER")
    args = parser.parse_args()
    failed = 0
    for name in args.servers:
        wrong, line = look(name, args.build.resolve(), args.seconds)
        print(line)
        for sentence in wrong:
            print(f"  WRONG: {sentence}")
        failed += bool(wrong)
        sys.stdout.flush()
    print(f"{len(args.servers) - failed} passed, {failed} failed, 0 skipped")
    sys.exit(failed > 0)


if __name__ == "__main__":
    main()
