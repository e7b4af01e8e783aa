"""The rules for Prometheus and the dashboard for Grafana that are shipped. Prometheus itself, scraping: `make test-prometheus`."""
import re
import subprocess

from conftest import ROOT
from monitoring import CONFIG, METRIC, RULES, dashboard_queries, metrics_of_dashboard, metrics_of_rules
from test_http import Curl, url_of


def test_they_ask_for_what_there_is(daemon, tmp_path):
    """Each metric that a panel or a rule names is on the page, and each that dhatd has is in the manual."""
    page = Curl(url_of(daemon("serve", "--listen", "127.0.0.1:0", "--record", tmp_path, "--push", "http://127.0.0.1:9", "--push-every", "1h"))
                + "metrics").text
    exported = set(re.findall(r"^# TYPE (\S+)", page, re.M))
    assert len(metrics_of_dashboard()) >= 10 and metrics_of_dashboard() <= exported
    assert len(metrics_of_rules()) >= 4 and metrics_of_rules() <= exported
    manual = (ROOT / "daemon/dhatd.8").read_text().replace("\\", "")
    assert {name for name in exported if name not in manual} == set()


def test_rules(tmp_path):
    """Fire and end as they should, by promtool's clock."""
    (tmp_path / "test.yml").write_text((ROOT / "tests/e2e/dhatd.rules.test.yml").read_text().replace("%RULES%", str(RULES)))
    done = subprocess.run(["promtool", "test", "rules", tmp_path / "test.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_configuration(tmp_path):
    for path in CONFIG, RULES:
        (tmp_path / path.name).write_text(path.read_text().replace("/etc/prometheus/dhatd.token", str(tmp_path / "token")))
    (tmp_path / "token").write_text("x")
    done = subprocess.run(["promtool", "check", "config", tmp_path / CONFIG.name], capture_output=True, text=True)
    assert done.returncode == 0 and "12 rules" in done.stdout, done.stdout + done.stderr


def test_queries_of_the_dashboard(tmp_path):
    """Prometheus can parse them; the variables are Grafana's to fill in."""
    rules = "".join(f"      - record: q{number}\n        expr: '{re.sub(r'.__rate_interval', '1m', query)}'\n"
                    for number, query in enumerate(dashboard_queries()) if not query.startswith("label_values"))
    (tmp_path / "queries.yml").write_text(f"groups:\n  - name: queries\n    rules:\n{rules}")
    done = subprocess.run(["promtool", "check", "rules", tmp_path / "queries.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert METRIC.search(rules)
