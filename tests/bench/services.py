"""make bench: real programs, without and with dhatd in turns: requests a second, and how long one takes."""
import contextlib
import csv
import re
import socket
import statistics
import subprocess
import threading
import time
from pathlib import Path

NGINX = """daemon off; worker_processes 1; pid {path}/pid; error_log {path}/error.log; user root;
events {{ worker_connections 128; }}
http {{ access_log off; client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi; keepalive_requests 100000000;
server {{ listen 127.0.0.1:{port}; location / {{ return 200 "a page\\n"; }} }} }}
"""
HTTP = r"GET / HTTP/1.1\r\nHost: a\r\nAccept: text/html,text/plain\r\nUser-Agent: asks\r\n\r\n"
DEADLINE = 60
CONNECTIONS = 16


class Server:
    def __init__(self, pid):
        self.pid = pid


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def wait_for_port(port, proc):
    end = time.monotonic() + DEADLINE
    while True:
        with contextlib.suppress(ConnectionRefusedError), socket.create_connection(("127.0.0.1", port), DEADLINE):
            return
        if proc.poll() is not None or time.monotonic() > end:
            raise SystemExit(f"bench: {proc.args[0]} does not listen")
        time.sleep(0.02)


@contextlib.contextmanager
def started(argv, **how):
    proc = subprocess.Popen([str(arg) for arg in argv], stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, text=True,
                            **({"stdout": subprocess.DEVNULL} | how))
    try:
        yield proc
    finally:
        proc.terminate()
        proc.wait(DEADLINE)


# ---- one of each: yields (process, {case: function that returns requests a second, p50 and p99 in us}) ----------------

@contextlib.contextmanager
def redis(bench):
    port = free_port()

    def ask(command, pipelined, connections):
        requests = int(bench.args.ms * (100 if pipelined == 1 else 1000))
        out = subprocess.run(["redis-benchmark", "-p", str(port), "-t", command, "-n", str(requests), "-r", "10000", "-d",
                              "100", "-c", str(connections), "-P", str(pipelined), "--csv"], check=True, capture_output=True,
                             text=True, timeout=DEADLINE).stdout
        row = list(csv.DictReader(out.splitlines()))[0]
        return float(row["rps"]), 1000 * float(row["p50_latency_ms"]), 1000 * float(row["p99_latency_ms"])

    with started(["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]) as proc:
        wait_for_port(port, proc)
        bench.redis_port = port
        yield proc.pid, {f"redis {command.upper()}, {text}": lambda c=command, p=pipelined: ask(c, p, 20)
                         for command in ("set", "get")
                         for pipelined, text in ((1, "one a round trip"), (16, "pipelined by 16"))}


def asks(bench, port, text):
    out = subprocess.run([bench.build / "tests/bench/asks", str(port), str(CONNECTIONS), str(bench.args.ms * 3), text],
                         check=True, capture_output=True, text=True, timeout=DEADLINE).stdout
    return tuple(float(word) for word in out.split())


@contextlib.contextmanager
def nginx(bench):
    port, path = free_port(), bench.tmp / "nginx"
    path.mkdir(exist_ok=True)
    (path / "nginx.conf").write_text(NGINX.format(path=path, port=port))
    with started(["nginx", "-c", path / "nginx.conf", "-p", path, "-e", path / "error.log"]) as proc:
        wait_for_port(port, proc)
        children = Path(f"/proc/{proc.pid}/task/{proc.pid}/children")
        while not children.read_text():  # it listens before there is one
            time.sleep(0.02)
        yield int(children.read_text().split()[0]), {"nginx, a page": lambda: asks(bench, port, HTTP)}


@contextlib.contextmanager
def tokio(bench):
    with started([bench.build / "tests/targets/tokio/system", "multi", "2"], stdout=subprocess.PIPE) as proc:
        port = int(re.search(r"\d+", proc.stdout.readline())[0])
        yield proc.pid, {"Tokio, a line": lambda: asks(bench, port, r"healthy 512\n")}


@contextlib.contextmanager
def sqlite(bench):
    """A query by a pipe; what Python takes for it is in both figures."""
    proc = subprocess.Popen(["sqlite3", ":memory:"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1)

    def query(text):
        proc.stdin.write(text + "\n")
        proc.stdin.flush()
        return proc.stdout.readline()

    def ask():
        times, end = [], time.monotonic() + bench.args.ms * 3 / 1000
        while time.monotonic() < end:
            begin = time.perf_counter()
            query(f"insert into t select value, hex(randomblob(20)) from generate_series({len(times)}, {len(times) + 9});"
                  " delete from t where rowid % 3 = 0; select count(*), max(b) from t where a > 5;")
            times.append(time.perf_counter() - begin)
            if len(times) % 500 == 0:
                query("delete from t; select 1;")
        times.sort()
        return len(times) / sum(times), 1e6 * times[len(times) // 2], 1e6 * times[len(times) * 99 // 100]

    try:
        query("create table t (a, b); create index i on t (b); select 1;")
        yield proc.pid, {"sqlite3, a query": ask}
    finally:
        proc.stdin.close()
        proc.wait(DEADLINE)


# ---- redis, while it is looked at ----------------------------------------------------------------------------------

PAIRS = 10
SLICES = 4  # of each half of a pair: short, in turns, so that what else the machine does meets both
NICE = 19
KEYS = 200_000


@contextlib.contextmanager
def spinning(_):
    """What a scan's reader is to the scheduler, but that it reads nothing."""
    with started(["nice", "-n", str(NICE), "sh", "-c", "while :; do :; done"]):
        yield


@contextlib.contextmanager
def scanning(bench):
    """Who holds its blocks is asked again and again, by somebody who is as nice: a person asks once, and his dhatctl is no
    part of a scan."""
    ended, answers, failures = threading.Event(), [], []

    def ask():
        while not ended.is_set():
            done = subprocess.run(["nice", "-n", str(NICE), bench.build / "dhatctl", "holds", "--socket", bench.socket, "--json"],
                                  capture_output=True)
            (failures if done.returncode else answers).append(done.stderr)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(DEADLINE)
    if failures or not answers:
        raise SystemExit(f"bench: dhatctl holds failed: {failures[:1]}")


def beside_both(bench, ask):
    """One pair: p99 of each slice beside either."""
    times = {"spinner": [], "scans": []}
    for i in range(SLICES):
        for name, peer in sorted((("spinner", spinning), ("scans", scanning)), reverse=i % 2 == 1):
            with peer(bench):
                times[name].append(ask()[2])
    return times


def beside_scans(bench):
    """p99 in us of redis that dhatd watches: beside a program that spins, and while it is scanned, in turns."""
    late = {"spinner": [], "scans": []}
    with redis(bench) as (pid, cases):
        ask = cases["redis SET, one a round trip"]
        subprocess.run(["redis-benchmark", "-p", str(bench.redis_port), "-t", "set", "-n", str(KEYS), "-r", str(KEYS), "-d",
                        "100", "-P", "16", "-q"], check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE)
        with bench.dhatd(Server(pid)):
            ask()
            for _ in range(PAIRS):
                for name, times in beside_both(bench, ask).items():
                    late[name].append(statistics.median(times))
    worse = sum(scan > spin for spin, scan in zip(late["spinner"], late["scans"]))
    print(f"  redis' p99 beside a spinner of nice {NICE}: {statistics.median(late['spinner']):,.0f} us "
          f"({min(late['spinner']):,.0f} to {max(late['spinner']):,.0f}); while it is scanned: "
          f"{statistics.median(late['scans']):,.0f} us ({min(late['scans']):,.0f} to {max(late['scans']):,.0f}); "
          f"later in {worse} of {PAIRS} pairs of {SLICES} runs each in turns" + (": MORE THAN CHANCE" if worse > 8 else ""), flush=True)
    return {"us": late, "worse": worse}


# ---- all of them -------------------------------------------------------------------------------------------------

def measure(bench, case, pid, ask):
    """In turns, so that both have the same machine."""
    rates, lasts, whole = {"unprobed": [], "dhatd": []}, {"unprobed": [], "dhatd": []}, []
    ask()
    for _ in range(bench.args.rounds):
        for name, tool in (("unprobed", bench.nothing), ("dhatd", bench.dhatd)):
            with tool(Server(pid)) as about:
                rate, p50, p99 = ask()
                rates[name].append(rate)
                lasts[name].append((p50, p99))
            if about:
                whole.append(not any(c["value"] for c in about["targets"][0]["counters"] if c["is_loss"]))
    bench.note("service", case, rates, unit="requests/s", base="unprobed")
    for number, percentile in enumerate(("p50", "p99")):
        bench.note("service", f"{case}, {percentile}", {name: [times[number] for times in list_]
                                                       for name, list_ in lasts.items()}, unit="us", base="unprobed")
    middle = {name: statistics.median(list_) for name, list_ in rates.items()}
    late = {name: [statistics.median(column) for column in zip(*list_)] for name, list_ in lasts.items()}
    shares = [with_ / without for with_, without in zip(rates["dhatd"], rates["unprobed"])]
    print(f"  {case:<28} {middle['unprobed']:>10,.0f} {middle['dhatd']:>10,.0f} {statistics.median(shares):>6.2f}x "
          f"({min(shares):.2f} to {max(shares):.2f})   {late['unprobed'][0]:,.0f} / {late['unprobed'][1]:,.0f} to "
          f"{late['dhatd'][0]:,.0f} / {late['dhatd'][1]:,.0f} us" + ("" if all(whole) else "   LOST EVENTS"), flush=True)
    return {"rates": rates, "us": lasts, "nothing_lost": all(whole)}


def run(bench):
    print(f"services: requests a second without dhatd and with it, in turns (median of {bench.args.rounds}), p50 / p99; of redis at "
          "least 0.60x is wanted with one request a round trip, 0.12x pipelined by 16")
    rows = {}
    for service in (redis, nginx, tokio, sqlite):
        with service(bench) as (pid, cases):
            for case, ask in cases.items():
                rows[case] = measure(bench, case, pid, ask)
    return rows
