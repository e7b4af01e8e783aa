"""A service in Python with a leak: /keep remembers a kilobyte or so and never forgets it, /work is
healthy, /figures tells what Python itself says of what is kept. Says "listening PORT"."""
import http.server
import json
import sys

KEPT_BYTES = 1789  # of no other object here
kept = []


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer in one piece: in two, the second would wait for an acknowledgement

    def do_GET(self):
        if self.path == "/keep":
            kept.append(bytes(KEPT_BYTES))
        page = json.dumps({"blocks": len(kept), "bytes": sum(map(sys.getsizeof, kept)) if self.path == "/figures"
                           else sum(range(100)), "path": self.path}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(page)))
        self.end_headers()
        self.wfile.write(page)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True


if __name__ == "__main__":
    server = Server(("127.0.0.1", 0), Handler)
    print("listening", server.server_address[1], flush=True)
    server.serve_forever()
