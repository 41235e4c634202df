"""A report to be tested: hostile text, a parser that remembers what it met, facts of a run that knows little."""

from html.parser import HTMLParser

import pytest

from covid_xray.evaluation.measure import measure
from covid_xray.evaluation.predictions import predict_manifest
from covid_xray.evaluation.report.charts import charts
from covid_xray.evaluation.report.figures import LIGHT, render
from covid_xray.evaluation.report.sections import RenderedChart
from support.brightness import CLASSES, Brightness, Described, manifest

EVIL = "\"><img src=x onerror=alert(1)><script>alert(2)<&'{{ 7*7 }}"


VOID = {"meta", "img", "br", "source"}


FIGURE = {"value": 0.8, "ci_low": 0.7, "ci_high": 0.9, "n": 60}
AUDIT = {
    "format": 1, "covid_xray": "1", "model": {"name": "a", "version": "1", "sha256": "ab" * 32}, "part": "test",
    "classes": list(CLASSES), "images": 60, "patients": 60, "labels": dict.fromkeys(CLASSES, 20),
    "chance": {"macro_f1": 1 / 3}, "sampled_from": 60, "left_out": {"images": 0, "labels": {}, "reasons": {}},
    "masks": {"kind": "files", "says": "mask files", "images": 60, "area": 0.3, "dice_with_files": None},
    "verdict": {"kind": "chance", "certain": True, "line": "chance", "means": "chance", "scores": {}},
    "conditions": [{
        "name": "whole", "shows": "the whole picture", "lungs": "seen", "figures": {"macro_f1": FIGURE}, "retained": {},
        "answers": dict.fromkeys(CLASSES, 1 / 3), "by_source": {}, "worst_source": None,
    }],
    "source_from_embedding": {"classes": {}, "skipped": {}}, "baselines": None, "sources_left_out": None,
    "heatmaps": None, "settings": {"rounds": 20, "seed": 0, "level": 0.95, "images": 800, "heatmaps": 0}, "notes": [],
}  # fmt: skip


BARE = {"banner": None, "baselines": None, "run": None, "part": "test"}


class Page(HTMLParser):
    """Tags, addresses and visible text of a page; notes tags that are closed in the wrong order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.attributes: set[str] = set()
        self.words = ""
        self.open: list[str] = []
        self.unbalanced: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.addresses += [value for name, value in attrs if name in ("src", "srcset", "href", "data", "action")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        if not self.open or self.open.pop() != tag:
            self.unbalanced.append(tag)

    def handle_data(self, data):
        self.words += data + " "


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    rows = [
        {"image": f"{i}.png", "label": CLASSES[i % 3], "source": f"site {i % 2}", "patient_id": f"p{i // 2}"}
        for i in range(60)
    ]
    data = manifest(root, rows)
    predictions = predict_manifest(Brightness(), data)
    metrics = measure(predictions, data, Described(), rounds=20, seed=0)
    drawn = [RenderedChart(c, render(c, LIGHT), render(c, LIGHT)) for c in charts(predictions, metrics, None)[:1]]
    return {**BARE, "title": "A study", **metrics}, drawn
