"""Programs that serve: each is started, does a bounded piece of work when told, and rests in between.

start() sets pid, that of the process to be watched; own() is what the program itself says of its live memory, in
bytes, or None. All listen on 127.0.0.1 or on a socket in their folder, if at all.
"""
import contextlib
import http.client
import http.server
import os
import queue
import re
import shutil
import socket
import subprocess
import threading
import urllib.request
from pathlib import Path

from measure import run, until


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Program:
    """A process that is ended at the end, and its own folder."""

    def __init__(self, folder, argv, env=None):
        self.folder, self.argv, self.env = folder, argv, {**os.environ, **(env or {})}
        self.pid = None
        self.own_folder = folder / "live"
        shutil.rmtree(self.own_folder, ignore_errors=True)
        self.own_folder.mkdir()
        self.log = open(self.own_folder / "log", "w", encoding="utf-8")  # pylint: disable=R1732

    def spawn(self, argv, **options):
        self.process = subprocess.Popen([str(a) for a in argv], cwd=self.folder, env=self.env, text=True,
                                        stdin=options.pop("stdin", subprocess.DEVNULL), stderr=self.log,
                                        stdout=options.pop("stdout", self.log), **options)
        self.pid = self.process.pid

    def start(self):
        self.spawn(self.argv)

    def work(self):
        raise NotImplementedError

    def own(self):
        return None

    @contextlib.contextmanager
    def busy(self):
        """It works all the time, from before until after."""
        ended, failures = threading.Event(), []

        def go_on():
            try:
                while not ended.is_set():
                    self.work()
            except Exception as error:  # told below
                failures.append(error)
        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()
        assert not failures, failures

    def end(self):
        if self.pid is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


class Lines(Program):
    """A program of loads/ that does a piece of work for each line, and says "done"."""

    def start(self):
        self.spawn(self.argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.answer("ready")

    def answer(self, word):
        line = self.process.stdout.readline().split()
        assert line and line[0] == word, (line, Path(self.log.name).read_text(errors="replace")[-500:])
        return line[1:]

    def work(self):
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        return self.answer("done")

    def end(self):
        self.process.stdin.close()
        self.process.stdout.close()
        super().end()


class Ruby(Lines):
    """ObjectSpace is asked where the work is done; its figures add up here."""
    said = 0

    def work(self):
        self.said += int(super().work()[0])

    def own(self):
        return self.said


class Java(Lines):
    def own(self):
        """NMT says what was handed to the program; it asked for 18 bytes more a block, its own header and footer."""
        _, out, err = run(["jcmd", self.pid, "VM.native_memory", "summary", "scale=b"], self.folder)
        other = re.search(r"Other \(reserved.*\n\s+\(malloc=(\d+)B? #(\d+)\)", out)
        assert other, (out[-2000:], err)
        return int(other[1]) + 18 * int(other[2])


class Biome(Program):
    """The server that editors use, and its client for the work."""
    files = 3  # some 200,000 calls

    def start(self):
        self.env |= {"TMPDIR": str(self.own_folder), "HOME": str(self.own_folder)}
        self.spawn([self.argv[0], "__run_server"])
        until(lambda: list(self.own_folder.rglob("biome-socket*")), "biome's socket")

    def work(self):
        status, out, err = run([self.argv[0], "lint", "--use-server", "--max-diagnostics=1",
                             *(f"js/f{i}.js" for i in range(self.files))], self.folder,
                          {"TMPDIR": str(self.own_folder), "HOME": str(self.own_folder)})
        assert f"Checked {self.files} files" in out + err, (status, out[-500:], err[-500:])


def get(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=60) as answer:
        return answer.read()


class Served(Program):
    """A server of HTTP at self.port."""
    requests = 100
    asked = 0

    def await_answer(self):
        def answers():
            assert self.process.poll() is None, Path(self.log.name).read_text(errors="replace")[-800:]
            with contextlib.suppress(OSError):
                return get(f"http://127.0.0.1:{self.port}/0")
        until(answers, "an answer")

    def work(self):
        for _ in range(self.requests):
            self.asked += 1
            assert get(f"http://127.0.0.1:{self.port}/{self.asked}")


class Workerd(Served):
    def start(self):
        self.port = free_port()
        self.spawn([self.argv[0], "serve", "serve.capnp", f"--socket-addr=http=127.0.0.1:{self.port}"])
        self.await_answer()


class Haproxy(Served):
    def start(self):
        self.port = free_port()
        self.socket = self.own_folder / "stats"
        config = self.own_folder / "haproxy.cfg"
        config.write_text(f"global\n stats socket {self.socket} level admin\n nbthread 1\ndefaults\n mode http\n"
                          " timeout client 30s\n timeout server 30s\n timeout connect 30s\n"
                          f"frontend f\n bind 127.0.0.1:{self.port}\n"
                          " http-request return status 200 content-type text/plain string hello\n")
        self.held = []
        self.spawn([self.argv[0], "-db", "-f", config])
        self.await_answer()

    def work(self):
        """Connections that stay: haproxy keeps what it frees in pools, and allocates for more of them only."""
        for _ in range(self.requests):
            held = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
            held.request("GET", "/")
            assert held.getresponse().read() == b"hello"
            self.held.append(held)

    def end(self):
        for held in self.held:
            held.close()
        super().end()


class Origin(http.server.BaseHTTPRequestHandler):
    """What varnish fetches: 20,000 bytes, to be kept."""
    protocol_version = "HTTP/1.1"
    wbufsize = 1 << 16  # an answer at once

    def do_GET(self):  # pylint: disable=C0103
        body = b"x" * 20000
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Cache-Control", "max-age=3600")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):  # pylint: disable=W0221
        pass


class Varnish(Served):
    def start(self):
        self.port = free_port()
        self.origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
        threading.Thread(target=self.origin.serve_forever, daemon=True).start()
        self.name = self.own_folder / "varnish"
        self.spawn([self.argv[0], "-F", "-j", "none", "-n", self.name, "-a", f"127.0.0.1:{self.port}", "-b",
                    f"127.0.0.1:{self.origin.server_address[1]}", "-s", "default,64m", "-T", "none"])
        self.await_answer()
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii").split()
        self.pid = next(int(c) for c in children  # the manager's child does the work
                        if "cache-main" in Path(f"/proc/{c}/comm").read_text(encoding="utf-8"))

    def own(self):
        _, out, err = run(["varnishstat", "-n", self.name, "-1", "-f", "SMA.s0.g_bytes"], self.folder)
        match = re.search(r"SMA\.s0\.g_bytes\s+(\d+)", out)
        assert match, (out, err)
        return int(match[1])

    def end(self):
        self.origin.shutdown()
        super().end()


class Mariadb(Program):
    tables = 0

    def start(self):
        self.socket = self.own_folder / "s"
        data = self.own_folder / "data"
        status, out, err = run(["mariadb-install-db", "--no-defaults", "--user=root", f"--datadir={data}",
                                "--skip-test-db", "--auth-root-authentication-method=normal"], self.folder)
        assert status == 0, (out[-500:], err[-500:])
        self.spawn([self.argv[0], "--no-defaults", "--user=root", f"--datadir={data}", f"--socket={self.socket}",
                    "--skip-networking", "--skip-grant-tables", "--innodb-buffer-pool-size=8M",
                    "--max-heap-table-size=64M", f"--pid-file={self.own_folder}/pid"])
        until(self.socket.exists, "mariadbd's socket")
        until(lambda: self.ask("select 1", may_fail=True), "mariadbd's answer")

    def ask(self, statement, may_fail=False):
        status, out, err = run(["mariadb", "--no-defaults", "-u", "root", "-S", self.socket, "-N", "-B", "-e", statement],
                               self.folder)
        assert status == 0 or may_fail, err
        return out

    def work(self):
        """A table in memory, of a few megabytes, that stays."""
        self.tables += 1
        name = f"test_{self.tables}"
        self.ask(f"create database if not exists d; use d; create table {name} (a int, b char(200)) engine=memory; "
                 f"insert into {name} select seq, 'row' from seq_1_to_20000; select sum(a) from {name}")

    def own(self):
        return int(self.ask("show global status like 'Memory_used'").split()[1])


class Renderer(Program):
    """One of Chromium's renderers, a process of its own; its page asks when to work."""

    def start(self):
        self.orders, self.done = queue.Queue(), queue.Queue()
        program = self

        class Page(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):  # pylint: disable=C0103
                body = b"ok"
                if self.path == "/go":
                    program.done.put("waits")
                    body = program.orders.get()
                elif self.path == "/":
                    body = (program.folder / "renderer.html").read_bytes()
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                with contextlib.suppress(OSError):
                    self.wfile.write(body)

            def log_message(self, *_):  # pylint: disable=W0221
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.spawn([self.argv[0], "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-quic",
                    "--disable-background-networking", "--disable-component-update", "--disable-sync",
                    f"--user-data-dir={self.own_folder}/chromium",
                    f"http://127.0.0.1:{self.server.server_address[1]}/"])
        self.browser = self.pid
        self.done.get(timeout=120)
        self.pid = self.find_worker()

    def find_worker(self):
        """Who works whenever the page does: the others are spares, which begin meanwhile, for as long as a busy machine lets them."""
        last = None
        for _ in range(50):
            before = self.ticks()
            self.work()
            worked = {pid: ticks - before[pid] for pid, ticks in self.ticks().items() if pid in before}
            most = max(worked, key=worked.get)
            if most == last and worked[most] > 2 * sum(ticks for pid, ticks in worked.items() if pid != most):
                return most
            last = most
        raise RuntimeError("no renderer stands out by its work")

    def ticks(self):
        """{pid: time of a processor} of the renderers among our browser's descendants."""
        found, unasked = {}, [self.browser]
        while unasked:
            pid = unasked.pop()
            with contextlib.suppress(OSError):
                for task in Path(f"/proc/{pid}/task").iterdir():
                    unasked += [int(c) for c in (task / "children").read_text().split()]
                if b"--type=renderer" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    found[pid] = sum(map(int, Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
        return found

    def work(self):
        while not self.done.empty():  # one that has asked twice
            self.done.get()
        self.orders.put(b"go")
        self.done.get(timeout=120)

    def end(self):
        super().end()
        self.server.shutdown()


KINDS = {kind.__name__.lower(): kind
         for kind in (Lines, Ruby, Java, Biome, Workerd, Haproxy, Varnish, Mariadb, Renderer)}
