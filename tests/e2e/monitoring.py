"""What is shipped for Prometheus and Grafana, and what it asks for."""
import json
import re

from conftest import ROOT

SHARE = ROOT / "daemon" / "share"
RULES = SHARE / "prometheus" / "dhatd.rules.yml"
CONFIG = SHARE / "prometheus" / "prometheus.yml"
DASHBOARD = SHARE / "grafana" / "dhatd.json"
METRIC = re.compile(r"(?<![:\w])(?:dhatd|process)_[a-z_]+\b(?!:)")


def dashboard_queries():
    """Expressions of the panels, and of the variables."""
    dashboard = json.loads(DASHBOARD.read_text())
    return ([target["expr"] for panel in dashboard["panels"] for target in panel["targets"]] +
            [variable["definition"] for variable in dashboard["templating"]["list"] if variable["type"] == "query"])


def metrics_of_dashboard():
    return {name for query in dashboard_queries() for name in METRIC.findall(query)}


def metrics_of_rules():
    return set(METRIC.findall(RULES.read_text()))
