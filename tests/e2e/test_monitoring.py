"""The rules for Prometheus and the dashboard for Grafana that are shipped. Prometheus itself, scraping: `make test-prometheus`."""
import json
import re
import subprocess

from conftest import ROOT
from monitoring import CONFIG, DASHBOARD, METRIC, RULES, dashboard_queries, metrics_of_dashboard, metrics_of_rules
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
    assert done.returncode == 0 and "14 rules" in done.stdout, done.stdout + done.stderr


# of Grafana's units (packages/grafana-data, valueFormats/categories.ts) those that fit what dhatd measures
UNITS = {"bytes", "Bps", "ops", "percentunit", "none", "short", "s", "dateTimeAsIso"}
PANELS = {"timeseries", "table", "stat", "row"}
OWN = re.compile(r"\$(?:\{(\w+)[^}]*\}|(\w+))")


def overlap(one, two):
    a, b = one["gridPos"], two["gridPos"]
    return a["x"] < b["x"] + b["w"] and b["x"] < a["x"] + a["w"] and a["y"] < b["y"] + b["h"] and b["y"] < a["y"] + a["h"]


def test_structure_of_the_dashboard():
    """What Grafana takes without a word and shows wrongly: ids that come twice, a variable or a source that is not there, panels on top of
    each other, a number without a unit."""
    dashboard = json.loads(DASHBOARD.read_text())
    assert re.fullmatch(r"[\w-]{1,40}", dashboard["uid"]) and dashboard["title"] and dashboard["schemaVersion"] >= 36
    assert dashboard.get("id") is None  # is given by whoever takes it over
    variables = [variable["name"] for variable in dashboard["templating"]["list"]]
    assert len(set(variables)) == len(variables) and variables[0] == "datasource"
    assert dashboard["templating"]["list"][0]["type"] == "datasource"
    for number, variable in enumerate(dashboard["templating"]["list"]):  # each by those before it only
        used = {a or b for a, b in OWN.findall(json.dumps(variable))} - {"__all"}
        assert used <= set(variables[:number]), variable["name"]
        assert variable["type"] == "datasource" or variable["query"]["query"] == variable["definition"]

    panels = dashboard["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    assert len({panel["title"] for panel in panels}) == len(panels)
    for number, panel in enumerate(panels):
        grid, refs = panel["gridPos"], [target["refId"] for target in panel["targets"]]
        assert panel["type"] in PANELS and panel["fieldConfig"]["defaults"]["unit"] in UNITS, panel["title"]
        assert 0 <= grid["x"] and grid["w"] > 0 and grid["x"] + grid["w"] <= 24 and grid["h"] > 0, panel["title"]
        assert not [other["title"] for other in panels[:number] if overlap(panel, other)], panel["title"]
        assert refs and len(set(refs)) == len(refs), panel["title"]
        for target in panel["targets"]:
            assert {a or b for a, b in OWN.findall(target["expr"])} <= set(variables) | {"__rate_interval"}, panel["title"]
            assert target["datasource"] == panel["datasource"] == {"type": "prometheus", "uid": "${datasource}"}, panel["title"]
            assert panel["type"] != "table" or (target["format"] == "table" and target["instant"]), panel["title"]
            labels = set(re.findall(r"\{\{(\w+)\}\}", target.get("legendFormat", "")))
            by = re.search(r"by \(([^)]*)\)", target["expr"])
            assert not by or labels <= set(by[1].split(", ")), f"{panel['title']}: a label that is summed away"


def test_queries_of_the_dashboard(tmp_path):
    """Prometheus can parse them; the variables are Grafana's to fill in."""
    rules = "".join(f"      - record: q{number}\n        expr: '{re.sub(r'.__rate_interval', '1m', query)}'\n"
                    for number, query in enumerate(dashboard_queries()) if not query.startswith("label_values"))
    (tmp_path / "queries.yml").write_text(f"groups:\n  - name: queries\n    rules:\n{rules}")
    done = subprocess.run(["promtool", "check", "rules", tmp_path / "queries.yml"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert METRIC.search(rules)
