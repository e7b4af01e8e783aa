"""Servers that take profiles as those of Pyroscope, Grafana Alloy and Parca do: what their documents ask for is checked, request by
request, and what is wrong is answered with 400 and remembered.

The documents: https://grafana.com/docs/pyroscope/latest/reference-server-api/ (ingest, push.v1), and of Parca
proto/parca/profilestore/v1alpha1/profilestore.proto, whose gateway is below /api. What /ingest answers to is in Pyroscope's
pkg/ingester/pyroscope/ingest_handler.go: 400 if the query cannot be read, 422 for all that goes wrong behind that."""
import base64
import gzip
import http.server
import json
import re
import ssl
import threading
import urllib.parse
import uuid

# api/model/labelset/validate.go of Pyroscope
SERVICE = re.compile(r"[a-zA-Z0-9_.\-/]+")
LABEL = re.compile(r"[a-zA-Z0-9_.]+")


def check(condition, what):
    if not condition:
        raise ValueError(what)


def labels_of_name(name):
    """As api/model/labelset/labelset.go reads it: service{name=value,…}."""
    service, brace, rest = name.partition("{")
    check(SERVICE.fullmatch(service), f"service {service!r}")
    check(not brace or rest.endswith("}"), f"name {name!r}")
    pairs = dict(pair.split("=", 1) for pair in rest[:-1].split(",") if pair) if brace else {}
    check(all(LABEL.fullmatch(key) for key in pairs), f"labels {pairs}")
    return {"service_name": service} | pairs


def profile_of(data):
    check(data[:2] == b"\x1f\x8b", "a gzipped profile is wanted")
    gzip.decompress(data)
    return data


def read_ingest(query, headers, body):
    args = dict(urllib.parse.parse_qsl(query, strict_parsing=True))
    check(args.get("format") == "pprof", f"format {args.get('format')}")
    # with format=pprof the body is taken as it is, a form or not
    check("multipart" not in headers["Content-Type"], "multipart with format=pprof")
    check(1_000_000_000 < int(args["from"]) <= int(args["until"]) < 10_000_000_000, f"from {args['from']} until {args['until']}")
    return labels_of_name(args["name"]) | {"spy": args["spyName"]}, profile_of(body)


def read_series(headers, body):
    check(headers["Content-Type"] == "application/json", headers["Content-Type"])
    [series] = json.loads(body)["series"]
    [sample] = series["samples"]
    return series, sample, profile_of(base64.b64decode(sample["rawProfile"], validate=True))


def read_connect(query, headers, body):
    series, sample, data = read_series(headers, body)
    uuid.UUID(sample["ID"])
    check(headers["Connect-Protocol-Version"] == "1", "Connect-Protocol-Version")
    check(set(series) == {"labels", "samples"} and set(sample) == {"ID", "rawProfile"}, "fields")
    labels = {pair["name"]: pair["value"] for pair in series["labels"]}
    check(labels["__name__"] == "memory" and labels["__delta__"] == "false", f"{labels}")
    return labels, data


def read_parca(query, headers, body):
    series, sample, data = read_series(headers, body)
    check(set(json.loads(body)) <= {"series", "normalized"} and set(sample) == {"rawProfile"}, "fields")
    labels = {pair["name"]: pair["value"] for pair in series["labels"]["labels"]}
    check(labels["__name__"] == "memory", f"{labels}")
    return labels, data


def read_lines(query, headers, body):
    check(headers["Content-Type"] == "application/x-ndjson", headers["Content-Type"])
    check(body.endswith(b"\n"), "a line without an end")
    lines = [json.loads(line) for line in body.splitlines()]
    return {"service_name": lines[0]["executable"].rpartition("/")[2], "pid": str(lines[0]["pid"])}, body


PATHS = {"/ingest": read_ingest, "/push.v1.PusherService/Push": read_connect,
         "/api/profiles/writeraw": read_parca, "/lines": read_lines}


class Judge:
    """profiles: (labels, bytes) of each that was right; wrong: what was not. status: what is answered instead, while it is set."""

    def __init__(self, certificate=None):
        self.profiles, self.wrong, self.heads = [], [], []
        self.status, self.token = None, None
        judge = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, text = judge.judge(self.path, self.headers, body)
                self.send_response(status)
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text.encode())

            def log_message(self, *unused):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.scheme = "http"
        if certificate:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
            self.scheme = "https"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,))
        self.thread.start()

    @property
    def url(self):
        return f"{self.scheme}://127.0.0.1:{self.server.server_port}"

    def judge(self, path, headers, body):
        self.heads.append(headers)
        if self.status:
            return self.status, "not now"
        if self.token and headers["Authorization"] != self.token:
            return 401, "who is there?"
        path, _, query = path.partition("?")
        try:
            check(path in PATHS, f"path {path}")
            self.profiles.append(PATHS[path](query, headers, body))
            return 200, "{}"
        except (ValueError, KeyError, TypeError) as error:
            self.wrong.append(f"{path}: {error!r}")
            return 400, str(error)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


if __name__ == "__main__":  # pushed.py: its URL, then a line of JSON for each profile: labels, or what was wrong
    class Printing(Judge):
        def judge(self, path, headers, body):
            answer = super().judge(path, headers, body)
            print(json.dumps({"wrong": self.wrong} if self.wrong else self.profiles[-1][0]), flush=True)
            return answer
    print(Printing().url, flush=True)
