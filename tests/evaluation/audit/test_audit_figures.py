"""The charts of the audit show the figures of audit.json, and the sheet shows every intervention."""

import io

import numpy as np
import pytest
from PIL import Image

from covid_xray.evaluation.audit.audit_figures import (
    LABELS,
    audit_charts,
    cascade_lines,
    curves,
    examples,
    survival_bars,
)
from covid_xray.evaluation.audit.interventions import INTERVENTIONS, prepare_input
from covid_xray.evaluation.report.figures import DARK, LIGHT, render
from support.watching import chest

FACTS = {
    "chance": {"auroc_macro": 0.5},
    "conditions": [
        {"name": way.name, "lungs": way.lungs,
         "figures": {"auroc_macro": {"value": 0.9 - 0.05 * n, "ci_low": None if n == 2 else 0.4, "ci_high": 0.95}}}
        for n, way in enumerate(INTERVENTIONS)
    ],
    "heatmaps": None,
}  # fmt: skip


def test_every_intervention_has_its_bar_and_label():
    axes = survival_bars(FACTS, LIGHT).axes[0]
    assert [round(bar.get_width(), 3) for bar in axes.patches] == [
        round(0.9 - 0.05 * n, 3) for n in range(len(INTERVENTIONS))
    ]
    assert [text.get_text() for text in axes.get_yticklabels()] == [LABELS[way.name] for way in INTERVENTIONS]
    assert len(axes.collections) == len(INTERVENTIONS) - 1  # one has no interval
    assert axes.lines[0].get_xdata()[0] == 0.5


@pytest.mark.parametrize("theme", [LIGHT, DARK], ids=["light", "dark"])
def test_charts_are_pictures(theme):
    (chart,) = audit_charts(FACTS)
    assert np.asarray(Image.open(io.BytesIO(render(chart, theme)))).std() > 10


def figure(value):
    return {"value": value, "ci_low": value - 0.1, "ci_high": value + 0.1}


def test_cascade_and_curves_show_the_figures():
    steps = [{"layer": f"layer{n}", "spearman": figure(0.8 - 0.2 * n), "ssim": figure(0.5)} for n in range(3)]
    cascade = {"steps": steps, "unrelated": {"spearman": figure(0.3), "ssim": figure(0.2)}}
    methods = [{"shows": "Grad-CAM", "curves": {"insertion": [0.1, 0.5, 0.9], "deletion": [0.9, 0.2, 0.1]}}]
    facts = {**FACTS, "heatmaps": {"cascade": cascade, "methods": methods}}
    assert [chart.name for chart in audit_charts(facts)] == ["audit_conditions", "audit_cascade", "audit_curves"]
    axes = cascade_lines(cascade, LIGHT).axes[0]
    assert list(axes.lines[0].get_ydata()) == pytest.approx([0.8, 0.6, 0.4])
    assert [text.get_text() for text in axes.get_xticklabels()] == ["layer0", "layer1", "layer2"]
    above, below = curves(facts["heatmaps"], LIGHT).axes
    assert list(above.lines[0].get_ydata()) == [0.1, 0.5, 0.9]
    assert list(below.lines[0].get_ydata()) == [0.9, 0.2, 0.1]


def test_the_sheet_has_a_row_for_each_picture():
    pairs = [chest("covid", seed) for seed in range(3)]
    x = prepare_input(np.stack([pixels for pixels, _ in pairs]), np.stack([lungs for _, lungs in pairs]))
    heights = [Image.open(io.BytesIO(examples(x.take(slice(0, n)), LIGHT))).height for n in (1, 2, 3)]
    assert heights[2] - heights[1] == heights[1] - heights[0] > 100
