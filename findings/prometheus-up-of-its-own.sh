#!/bin/bash
# A target that serves a metric named `up` answers Prometheus's own question whether it is up.
#
# Package:  prometheus 2.42.0+ds-5+deb12u1 (Debian 12)
# Input:    a page with `up 5`, and with the series x{a="1"} twice (1, then 2), scraped every second.
# Expected: `up` is Prometheus's: 1 if the scrape went well. Where a page uses a label that Prometheus sets (job,
#           instance) it is renamed (exported_job); a name of a metric would be renamed, too, or refused. Of a series
#           that is there twice the last line wins, or the scrape fails, and prometheus_target_scrapes_sample_duplicate_
#           timestamp_total counts it.
# Seen:     up is 5, and of x the first line wins. Neither is counted or logged, and the target's page shows no error.
# So:       name no metric up or scrape_*, and look for doubles before you serve them: nobody will tell.
set -u

tmp=$(mktemp -d) || exit 2
pids=''
trap '[ -z "$pids" ] || kill $pids; wait; rm -rf "$tmp"' EXIT
untried() { echo "not tried: $*"; exit 2; }

cd "$tmp" || exit 2
apt-get download prometheus=2.42.0+ds-5+deb12u1 >/dev/null 2>&1 ||
	untried "apt-get cannot fetch prometheus 2.42.0+ds-5+deb12u1 (Debian 12)"
dpkg -x prometheus_*.deb root || untried "the package cannot be unpacked"

cat >page.py <<'PYTHON'
import http.server, socket
PAGE = b'# TYPE up gauge\nup 5\n# TYPE x gauge\nx{a="1"} 1\nx{a="1"} 2\n'
class Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(PAGE)
    def log_message(self, *_):
        pass
server = http.server.HTTPServer(("127.0.0.1", 0), Page)
with socket.socket() as free:  # a port for Prometheus
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
print(server.server_port, port, flush=True)
server.serve_forever()
PYTHON
python3 page.py >ports &
pids=$!
until [ -s ports ]; do
	kill -0 "$pids" || untried "this needs python3"
	sleep 0.1
done
read -r target port <ports
cat >prometheus.yml <<YAML
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs: [{job_name: finding, static_configs: [{targets: ["127.0.0.1:$target"]}]},
                 {job_name: itself, static_configs: [{targets: ["127.0.0.1:$port"]}]}]
YAML
root/usr/bin/prometheus --config.file=prometheus.yml --storage.tsdb.path=data \
	--web.listen-address="127.0.0.1:$port" --web.console.templates=. --log.level=debug 2>log &
pids="$pids $!"

cat >ask.py <<'PYTHON'
import json, sys, time, urllib.parse, urllib.request
URL = f"http://127.0.0.1:{sys.argv[1]}/api/v1/"
def get(path):
    return json.load(urllib.request.urlopen(URL + path))["data"]
def value(query):
    result = get("query?query=" + urllib.parse.quote(query))["result"]
    return result[0]["value"][1] if result else None
deadline = time.time() + 120
scrapes = None
while time.time() < deadline and int(scrapes or 0) < 3:  # of the page, as Prometheus stored them
    time.sleep(0.5)
    try:
        scrapes = value('count_over_time(x{job="finding",a="1"}[1h])')
        own = value('up{job="itself"}')
    except OSError:
        continue
if int(scrapes or 0) < 3 or own != "1":
    raise SystemExit(2)
health, = [(t["health"], t["lastError"]) for t in get("targets")["activeTargets"] if t["labels"]["job"] == "finding"]
print(value('up{job="finding"}'), value('exported_up') or "none", value('x{a="1"}'),
      value("prometheus_target_scrapes_sample_duplicate_timestamp_total"), health[0], health[1] or "none")
PYTHON
python3 ask.py "$port" >answer || untried "prometheus did not scrape: $(tail -1 log)"
read -r up exported x counted health error <answer

echo "prometheus 2.42.0, a page with 'up 5', 'x{a=\"1\"} 1', 'x{a=\"1\"} 2':"
echo "    up $up, exported_up $exported, x $x, duplicates counted $counted; the target is $health, last error: $error"
echo "    up of a page without such a metric: 1; lines in the log (all levels) about it: $(grep -ciE 'duplicate|out.of.order' log)"
echo "expected: up 1, and a word about x"
if [ "$up" != 5 ]; then
	echo "CHANGED: up is Prometheus's own"
	exit 1
fi
if [ "$x $counted $error" != "1 0 none" ]; then
	echo "CHANGED: the second x is stored, counted or refused"
	exit 1
fi
echo "seen: up is what the page says, and of the two x the first counts, silently"
