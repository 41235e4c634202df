"""Charts show the gap of each attribute and the decision curves, and are absent where there is nothing to draw."""

import io

import numpy as np
from PIL import Image

from covid_xray.evaluation.metrics.decision_curve import decision_curve
from covid_xray.evaluation.report.charts import charts, decision_charts
from covid_xray.evaluation.report.figures import DARK, LIGHT, render, roc
from support.scored import drawn, study


def gapped(metrics, groups: int):
    figure = {"value": 0.8, "ci_low": 0.7, "ci_high": 0.9}
    named = {f"group {i}": {"figures": {"auroc_macro": figure}} for i in range(groups)}
    ends = {"lowest": {"group": "group 0", "value": 0.8}, "highest": {"group": "group 1", "value": 0.8}}
    attribute = {"title": "view", "groups": {**named, "rare": {"hidden": "n < 20, hidden"}}}
    attribute["gap"] = {"figure": "auroc_macro", "value": 0.0, **ends}
    return {**metrics, "subgroups": {"attributes": {"view": attribute}}}


def test_attributes_with_a_gap_are_drawn_and_many_groups_make_a_taller_chart(tmp_path):
    predictions, metrics = study(tmp_path)
    assert "subgroups" not in [chart.name for chart in charts(predictions, metrics, None)]
    heights = []
    for groups in (2, 9):
        found = charts(predictions, gapped(metrics, groups), None)
        chart = next(chart for chart in found if chart.name == "subgroups")
        light, dark = (np.asarray(Image.open(io.BytesIO(render(chart, t))).convert("L")) for t in (LIGHT, DARK))
        assert light[0, 0] == 255
        assert dark[0, 0] < 40
        heights.append(len(light))
    assert heights[1] > 1.5 * heights[0]


def test_twice_the_resolution_is_twice_the_pixels(tmp_path):
    predictions, metrics = study(tmp_path)
    chart = charts(predictions, metrics, None)[0]
    once, twice = (Image.open(io.BytesIO(render(chart, LIGHT, dpi=dpi))).size for dpi in (144, 288))
    assert twice == (2 * once[0], 2 * once[1])


def test_operating_points_are_marked_on_the_roc(tmp_path):
    predictions, metrics = study(tmp_path)
    share = {"value": 0.5}
    point = {"sensitivity": share, "specificity": share}
    marked = {**metrics, "operating_points": {"covid": {"points": {"rule-in": point, "rule-out": {"threshold": None}}}}}
    axes = roc(predictions, marked, LIGHT).axes[0]
    assert [text.get_text() for text in axes.texts] == ["rule-in"]
    assert (0.5, 0.5) in [tuple(line.get_xydata()[0]) for line in axes.lines if len(line.get_xydata()) == 1]
    assert not roc(predictions, metrics, LIGHT).axes[0].texts


def test_a_chart_for_each_class_and_stated_population():
    about = drawn(200)
    curve = decision_curve(about, rounds=30)
    charts = decision_charts(
        {"decision_curve": {"covid": {**curve, "stated": decision_curve(about, prevalence=0.02, rounds=30)},
                            "virus": {**curve, "stated": None}}}
    )  # fmt: skip
    assert [chart.name for chart in charts] == ["decision_curve", "decision_curve_stated", "decision_curve_2"]
    assert "2.0%" in charts[1].title
    for theme in (LIGHT, DARK):
        picture = np.asarray(Image.open(io.BytesIO(render(charts[0], theme))).convert("RGB"))
        colours = {tuple(pixel) for pixel in picture.reshape(-1, 3)}
        wanted = tuple(int(theme.series[0][i : i + 2], 16) for i in (1, 3, 5))
        assert wanted in colours  # the line of the network


def test_nothing_to_draw_gives_no_chart():
    assert decision_charts({"decision_curve": {}}) == []
