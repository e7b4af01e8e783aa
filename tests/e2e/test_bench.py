"""make bench: what is made of its figures. (What is measured is make bench's own: it depends on the machine.)"""
import json
import sys
import xml.etree.ElementTree

import pytest

from conftest import ROOT

sys.path.insert(0, str(ROOT / "tests/bench"))
import report  # noqa: E402


def figures(dhatd, served):
    return (report.rows("hot pair", "10 frames", {"floor": [1000, 1200, 1100], "dhatd": [dhatd], "other": [9000]}, "ns", "floor")
            + report.rows("service", "redis", {"unprobed": [100.0], "dhatd": [served]}, "requests/s", "unprobed")
            + report.rows("service", "redis, p50", {"unprobed": [2.0], "dhatd": [4.0]}, "us", "unprobed"))


def test_a_row_has_a_median_and_its_bounds():
    row = figures(1650, 50)[0]
    assert (row["median"], row["min"], row["max"], row["ratio"]) == (1100, 1000, 1200, 1)
    assert figures(1650, 50)[1]["ratio"] == 1.5


@pytest.mark.parametrize("dhatd, served, failed", [(1650, 50, False), (1000, 70, False), (1800, 46, False),
                                                   (2000, 50, True), (1650, 40, True)])
def test_a_ratio_that_is_worse_fails(dhatd, served, failed, tmp_path, capsys):
    baseline = tmp_path / "baseline.json"
    assert report.check(figures(1650, 50), baseline, 0.15) == 0
    assert json.loads(baseline.read_text()) == {"hot pair: 10 frames: dhatd": 1.5, "service: redis: dhatd": 0.5}
    assert report.check(figures(dhatd, served), baseline, 0.15) == failed
    assert ("worse" in capsys.readouterr().out.splitlines()[-2]) == failed or not failed


def test_nothing_compared_is_no_success(tmp_path):
    baseline = tmp_path / "baseline.json"
    report.check(figures(1650, 50), baseline, 0.15)
    assert report.check([], baseline, 0.15) == 1


def test_the_picture_is_an_image_with_all_bars():
    drawn = xml.etree.ElementTree.fromstring(report.picture({"rows": figures(1650, 50), "machine": "a <machine>"}))
    texts = [element.text for element in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "1,650 (1.50x)" in texts and any("a <machine>" in text for text in texts)
    bars = list(drawn.iter("{http://www.w3.org/2000/svg}rect"))
    assert len(bars) == 1 + 3 + 2  # the ground, and each figure but what is no rate
