"""The tables of the results: long lists are cut and say so, undefined figures are a dash."""

from covid_xray.evaluation.measure import measure
from covid_xray.evaluation.predictions import predict_manifest
from covid_xray.evaluation.report.html import report_html, sections
from covid_xray.evaluation.report.markdown import model_card
from support.brightness import Brightness, Described, manifest
from support.reports import BARE, Page, results

__all__ = ["results"]


def page(metrics, drawn, *, cases=(), text="report", facts=None) -> str:
    return report_html(metrics, parts=sections(metrics, drawn=drawn, cases=cases, text=text, facts=facts or {}))


def test_long_lists_of_files_are_cut_and_say_so(results):
    metrics, drawn = results
    many = [{"image": f"{i}.png", "label": "covid", "code": "c", "message": "m"} for i in range(1250)]
    text = page({**metrics, "failures": many}, drawn)
    assert "and 1,050 more" in text
    assert "1249.png" not in text


def test_undefined_figures_are_a_dash_and_never_nan(results, tmp_path):
    data = manifest(tmp_path, [{"image": f"{i}.png", "label": "covid"} for i in range(4)])
    predictions = predict_manifest(Brightness(), data)
    alone = {
        **BARE, "title": "One class",
        **measure(predictions, data, Described(), rounds=5, seed=0),
    }  # fmt: skip
    words = Page(page(alone, results[1])).words
    assert "not defined" in words
    assert words.count("–") > 3
    assert "nan" not in model_card(alone, facts={}).split()
    assert "nan" not in words.split()
