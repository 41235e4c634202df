"""The report without radiographs: everything else is in it, tables hold, hostile text stays text."""

import itertools
import re

import numpy as np
import pytest

from covid_xray.evaluation.measure import measure
from covid_xray.evaluation.predictions import predict_manifest
from covid_xray.evaluation.report.cases import Case
from covid_xray.evaluation.report.charts import charts
from covid_xray.evaluation.report.html import sections
from covid_xray.evaluation.report.markdown import report_markdown
from covid_xray.evaluation.report.sections import Bullets, Cell, Code, Fold, RenderedChart, Section, Table, Text
from support.brightness import CLASSES, Brightness, Described, manifest

EVIL = "a|b\n<script>alert(1)</script> [x](y)"


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    root = tmp_path_factory.mktemp("study")
    rows = [
        {"image": f"{i}.png", "label": CLASSES[i % 3], "source": f"site {i % 2}", "patient_id": f"p{i // 2}"}
        for i in range(60)
    ]
    data = manifest(root, rows)
    predictions = predict_manifest(Brightness(), data)
    metrics = {
        **{"banner": None, "baselines": None, "run": None, "part": "test", "title": "A study"},
        **measure(predictions, data, Described(), rounds=20, seed=0),
    }
    shown = [RenderedChart(chart, b"", b"") for chart in charts(predictions, metrics, None)[:2]]
    case = Case("secret.png", "covid", "normal", 0.91, np.zeros((8, 16, 3), dtype=np.uint8), evidence=False)
    parts = sections(metrics, drawn=shown, cases=[case], text="report", facts={})
    return metrics, parts, shown


def test_every_section_but_the_radiographs_is_there(study):
    metrics, parts, shown = study
    text = report_markdown(metrics, parts=parts, figures="x/y")
    titles = re.findall(r"^## (.+)$", text, flags=re.MULTILINE)
    assert titles == [part.title for part in parts if part.key != "cases"]
    assert "secret" not in text
    assert text.startswith("# A study\n\nResearch use, not for diagnosis")
    assert metrics["model"]["sha256"] in text
    for picture in shown:
        assert f"(x/y/{picture.chart.name}.png)" in text
    figure = metrics["figures"]["macro_f1"]
    assert f"**{figure['value']:.3f}**" in text


def test_tables_have_as_many_cells_in_every_row(study):
    metrics, parts, _ = study
    lines = report_markdown(metrics, parts=parts).splitlines()
    heads = [i for i, line in enumerate(lines) if re.fullmatch(r"\|(---\|)+", line)]
    assert len(heads) > 5
    for i in heads:
        width = lines[i].count("---")
        rows = [lines[i - 1]]
        rows += itertools.takewhile(bool, lines[i + 1 :])
        assert len(rows) > 1
        for row in rows:
            assert len(re.findall(r"(?<!\\)\|", row)) == width + 1, row


def test_hostile_text_stays_text(study):
    metrics, _, _ = study
    blocks = (
        Text(EVIL, "alert"), Bullets((EVIL,), title=EVIL), Table(EVIL, ("a", "b"), ((Cell(EVIL, EVIL), Cell("1")),)),
        Fold(EVIL, (Code("```\n# no heading of ours"),)),
    )  # fmt: skip
    text = report_markdown({**metrics, "title": EVIL}, parts=[Section("one", EVIL, blocks)])
    assert "<script>" not in text
    assert not re.search(r"(?<!\\)\[x", text)
    fences = [line for line in text.splitlines() if line.startswith("```")]
    assert len(fences) == 2
