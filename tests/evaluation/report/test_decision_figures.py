"""Each curve gives a chart that can be drawn on light and on dark pages."""

import io

import numpy as np
from PIL import Image

from covid_xray.evaluation.metrics.decision_curve import decision_curve
from covid_xray.evaluation.report.decision_figures import decision_charts
from covid_xray.evaluation.report.figures import DARK, LIGHT, render
from support.scored import drawn


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
