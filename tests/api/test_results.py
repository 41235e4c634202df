"""What train, evaluate and audit return shows itself in a notebook."""

from pathlib import Path

import pytest

from covid_xray import evaluate
from covid_xray.api.results import Figures, Report, Run

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def report(run: Run, pictures: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    return evaluate(run, pictures, output=tmp_path_factory.mktemp("report"), rounds=20, progress=False)


def test_figures_are_pillow_images_by_name(report: Report) -> None:
    assert {"roc", "confusion_matrix", "reliability"} <= set(report.figures)
    assert report.figures["roc"].size[0] > 300
    assert "roc" in repr(report.figures)
    with pytest.raises(KeyError):
        report.figures["none"]


def test_the_frame_has_every_figure_with_its_interval(report: Report) -> None:
    frame = report.to_frame()
    assert frame.loc["accuracy", "value"] == report.metrics["figures"]["accuracy"]["value"]
    assert list(frame.columns) == ["value", "ci_low", "ci_high", "n"]


def test_a_notebook_shows_figures_warnings_and_what_it_is_for(report: Report, run: Run) -> None:
    page = report._repr_html_()
    assert "macro_f1" in page
    assert "data:image/png;base64," in page
    assert "not for diagnosis" in page
    assert all(text[:40] in page.replace("&#x27;", "'").replace("&quot;", '"') for text in report.metrics["warnings"])
    assert "val_loss" in run._repr_html_()
    assert str(run.folder) in run._repr_html_()


def test_names_of_classes_cannot_break_the_page(report: Report) -> None:
    hostile = Report(report.folder, {**report.metrics, "title": "<script>"})
    assert "<script>" not in hostile._repr_html_()


def test_a_folder_without_figures_has_none(tmp_path: Path) -> None:
    assert dict(Figures(tmp_path)) == {}
    assert Figures(tmp_path).html("roc") == ""
