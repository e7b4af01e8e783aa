"""Real servers on private ports, sockets and directories, and clients that count their answers."""
import contextlib
import random
import re
import shutil
import signal
import socket
import tempfile
import threading
from pathlib import Path

from conftest import DEADLINE, until

EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
SOURCES = Path(__file__).resolve().parent.parent / "targets"


def free_port():
    """A port that nobody listens at, and that no outgoing connection is given meanwhile."""
    while True:
        port = random.randrange(10000, int(EPHEMERAL.read_text().split()[0]))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


def connect(port):
    """A connection as soon as somebody listens."""
    def attempt():
        try:
            return socket.create_connection(("127.0.0.1", port), DEADLINE)
        except ConnectionRefusedError:
            return None
    return until(attempt, f"a server at port {port}")


@contextlib.contextmanager
def directory_of(user):
    """A directory that this user may use; a test's own is root's alone."""
    path = Path(tempfile.mkdtemp(prefix="dhatd-servers-"))
    try:
        shutil.chown(path, user)
        yield path
    finally:
        shutil.rmtree(path)


def child_of(pid):
    """Its first child process."""
    def first():
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return int(children[0]) if children else None
    return until(first, f"a child of {pid}")


class HttpClient:
    """One connection that is kept."""

    def __init__(self, port):
        self.connection = connect(port)
        self.stream = self.connection.makefile("rb")

    def get(self, path):
        """The body of an answer of status 200."""
        self.connection.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        status = self.stream.readline().split()
        headers = {}
        for line in iter(self.stream.readline, b"\r\n"):
            name, _, value = line.partition(b":")
            headers[name.strip().lower()] = value.strip()
        body = self.stream.read(int(headers[b"content-length"]))
        assert status[1] == b"200", (status, body)
        return body

    def close(self):
        self.stream.close()
        self.connection.close()


class Load:
    """Clients in threads, each asking again and again until it is told to stop; what was sent and
    what was answered right. `ask(client, number)` is one request; it raises if the answer is wrong."""

    def __init__(self, open_client, ask, clients=4):
        self.answered = [0] * clients
        self.failures = []
        self.ended = threading.Event()
        self.threads = [threading.Thread(target=self._run, args=(open_client, ask, i), daemon=True)
                        for i in range(clients)]
        for thread in self.threads:
            thread.start()
        until(lambda: all(self.answered) or self.failures, "every client's first answer")

    def _run(self, open_client, ask, index):
        try:
            client = open_client()
            with contextlib.closing(client):
                while not self.ended.is_set():
                    ask(client, self.answered[index])
                    self.answered[index] += 1
        except Exception as error:  # whatever it was, a request was not answered
            self.failures.append(error)

    def more(self, count):
        """Wait until so many more requests were answered."""
        goal = sum(self.answered) + count
        until(lambda: sum(self.answered) >= goal or self.failures, f"{count} more answers")

    def end(self):
        """How many requests were answered: all, or this fails."""
        self.ended.set()
        for thread in self.threads:
            thread.join(DEADLINE)
            assert not thread.is_alive()
        assert not self.failures, self.failures
        return sum(self.answered)


def redis_info(port, section):
    """{name: text} of INFO."""
    with connect(port) as connection:
        connection.sendall(f"INFO {section}\r\n".encode())
        stream = connection.makefile("rb")
        size = int(stream.readline()[1:])
        text = stream.read(size).decode()
    return dict(re.findall(r"^([\w|]+):(.*?)\r?$", text, re.M))


class Memcached:
    """A connection in memcached's text protocol."""

    def __init__(self, port):
        self.connection = connect(port)
        self.stream = self.connection.makefile("rb")

    def set(self, key, value):
        self.connection.sendall(b"set %s 0 0 %d\r\n%s\r\n" % (key, len(value), value))
        answer = self.stream.readline()
        assert answer == b"STORED\r\n", answer

    def get(self, key):
        self.connection.sendall(b"get %s\r\n" % key)
        head = self.stream.readline()
        assert head.startswith(b"VALUE "), head
        value = self.stream.read(int(head.split()[3]))
        assert self.stream.readline() + self.stream.readline() == b"\r\nEND\r\n"
        return value

    def stats(self, what=b""):
        self.connection.sendall(b"stats " + what + b"\r\n")
        lines = iter(self.stream.readline, b"END\r\n")
        return {name.decode(): value.decode().strip() for _, name, value in (line.split(b" ", 2) for line in lines)}

    def close(self):
        self.stream.close()
        self.connection.close()


class Postgres:
    """A cluster of its own in a directory of its own, as its usual user."""

    def __init__(self, target, path):
        (self.bin,) = sorted(Path("/usr/lib/postgresql").glob("*/bin"))[-1:]
        self.path, self.target, self.port = path, target, free_port()
        self.env = {"PGHOST": "127.0.0.1", "PGPORT": str(self.port), "PGUSER": "postgres",
                    "PGDATABASE": "postgres", "HOME": str(path), "TZ": "UTC"}
        initdb = self.run("initdb", "--no-sync", "-A", "trust", "-E", "UTF8", "--no-locale", "-D", path / "data")
        assert initdb.wait() == 0, initdb.err
        self.server = self.run("postgres", "-D", path / "data", "-k", path, "-p", self.port,
                               *(word for setting in ("listen_addresses=127.0.0.1", "fsync=off", "autovacuum=off",
                                                      "shared_buffers=16MB", "max_connections=20", "jit=off")
                                 for word in ("-c", setting)))
        self.server.expect_err("ready to accept connections")

    def run(self, program, *arguments):
        return self.target("/usr/bin/setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups",
                           self.bin / program, *arguments, env=getattr(self, "env", {}), cwd=self.path)

    def ask(self, *statements):
        """Each statement's answer, in a session of its own."""
        psql = self.run("psql", "-X", "-q", "-A", "-t", *(word for s in statements for word in ("-c", s)))
        assert psql.wait() == 0, psql.err
        return psql.out.split("\n")[:-1]

    def stop(self):
        return self.server.stop(signal.SIGINT)  # fast shutdown

