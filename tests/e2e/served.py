"""The leaky service of tests/targets under load, as tests use it."""
import json
import socket

from conftest import DEADLINE

SESSION_BYTES = 128  # what service.c forgets


class Served:
    """A service and, once started, its load. Both are processes of the test."""

    def __init__(self, target, directory, leak_one_in=10):
        self.target = target
        self.path = directory / "service.sock"
        self.process = target("service", self.path, leak_one_in)
        self.process.expect("ready")
        self.pid = self.process.pid
        self.loads = []

    def start_load(self, connections=3, requests=0, pause_us=300):
        """requests 0: until end_load()."""
        load = self.target("load", self.path, connections, requests, pause_us)
        self.loads.append(load)
        return load

    def end_load(self):
        """What all loads sent and what was answered right. Fails if a request was lost."""
        sent = 0
        for load in self.loads:
            if load.running:
                load.say("")
            status = load.wait()
            counts = json.loads(load.out)
            assert status == 0 and counts["sent"] == counts["answered"], (load.out, load.err)
            sent += counts["sent"]
        self.loads = []
        return sent

    def book(self):
        """The service's own figures; it is asked over its socket."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(DEADLINE)
            connection.connect(str(self.path))
            connection.sendall(b"BOOK\n")
            return json.loads(connection.makefile().readline())

    def requests(self):
        return self.book()["requests"]

    def quit(self):
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self.path))
            connection.sendall(b"QUIT\n")
        return self.process.wait()
