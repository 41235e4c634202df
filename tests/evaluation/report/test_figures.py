"""Charts: those that the results allow, drawn in both themes, with any class name."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covid_xray.evaluation.report.charts import charts
from covid_xray.evaluation.report.figures import DARK, LIGHT, read_history, render, short
from support.scored import study

HISTORY = "epoch,loss,accuracy,val_loss,val_accuracy,val_macro_f1,learning_rate,seconds\n"


def names(predictions, metrics, history=None):
    return [chart.name for chart in charts(predictions, metrics, history)]


def test_all_charts_draw_in_both_themes(tmp_path):
    predictions, metrics = study(tmp_path)
    (tmp_path / "history.csv").write_text(HISTORY + "1,0.9,0.5,0.8,0.6,0.55,0.001,3\n2,0.5,0.8,0.9,0.6,0.6,0.001,3\n")
    found = charts(predictions, metrics, read_history(tmp_path / "history.csv"))
    assert [chart.name for chart in found] == [
        "confusion_matrix", "roc", "precision_recall", "reliability", "by_source", "training_curves",
    ]  # fmt: skip
    for chart in found:
        light, dark = (np.asarray(Image.open(io.BytesIO(render(chart, theme))).convert("L")) for theme in (LIGHT, DARK))
        assert light.shape == dark.shape
        assert light[0, 0] == 255
        assert dark[0, 0] < 40
        # Nothing is clipped: the outermost pixels are paper.
        frame = np.concatenate([light[0], light[-1], light[:, 0], light[:, -1]])
        assert (frame == 255).all(), chart.name
        assert 0.01 < (light < 128).mean() < 0.6, chart.name


def test_one_class_has_no_curves_and_too_few_images_no_sources(tmp_path):
    predictions, metrics = study(tmp_path, ("covid", "normal", "virus"), count=12)
    only = predictions.take(predictions.table["label"] == "covid")
    one = {**metrics, "figures": {k: v for k, v in metrics["figures"].items() if not k.startswith("au")}}
    assert names(only, one) == ["confusion_matrix", "reliability"]
    for chart in charts(only, one, None):
        assert render(chart, LIGHT)


def test_class_and_source_names_are_drawn_as_they_are(tmp_path):
    odd = ("$x^2$ and \\frac", "肺炎", "<b>&" + "long " * 20)
    predictions, metrics = study(tmp_path, odd, source="$\\alpha$\nnew line")
    for chart in charts(predictions, metrics, None):
        assert render(chart, LIGHT)


@pytest.mark.parametrize("text", ["", "a,b\n1,2\n", HISTORY, "epoch\n"])
def test_a_history_without_rows_or_columns_is_no_chart(tmp_path, text):
    (tmp_path / "history.csv").write_text(text)
    assert read_history(tmp_path / "history.csv") is None


def test_no_history(tmp_path):
    assert read_history(None) is None
    assert read_history(tmp_path / "none.csv") is None


def test_a_history_without_validation_is_drawn(tmp_path):
    predictions, metrics = study(tmp_path, count=12)
    history = pd.DataFrame({"epoch": [1, 2], "loss": [0.9, 0.5], "val_loss": [np.nan, np.nan]})
    assert render(charts(predictions, metrics, history)[-1], DARK)


def test_short_is_one_line():
    assert short("a\nb\x00c") == "a b c"
    assert short("x" * 40) == "x" * 17 + "…"
