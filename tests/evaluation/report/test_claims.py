"""Each sentence about how the tested images relate to the others, held against runs where it is false."""

import pytest

from covid_xray.evaluation.report.checks import Known, assigned, ensembles, specification
from covid_xray.evaluation.report.claims import answers_of, describe_overlap, parts_apart, worst_of_sources
from covid_xray.evaluation.report.evidence_sections import operating_points
from covid_xray.evaluation.report.markdown import model_card
from covid_xray.evaluation.report.results_sections import calibration, files, people, prediction_sets
from covid_xray.evaluation.report.sections import Section, Text
from support.reports import results

__all__ = ["results"]
NONE, SOME, UNKNOWN = ("none of which is tested here", "some of which are tested here", "tested here is not known")
LISTED = {"listed": {"train": 9, "calibration": 5}, "recognised": {}, "by": {}, "kept": {}}
PARTS = {name: {"images": 20, "unnamed": 0} for name in ("train", "calibration", "test")}
RATE = {"value": 0.9, "ci_low": 0.8, "ci_high": 1.0, "n": 20}
POINTS = {
    "covid": {
        "images": 60, "positives": 20, "negatives": 40,
        "chosen_on": {"part": "calibration", "images": 5, "positives": 2, "negatives": 3},
        "points": {"balanced": {
            "threshold": 0.5, "target": {"sum": "highest"}, "reason": "", "chosen": {}, "called": 20,
            "sensitivity": RATE, "specificity": RATE, "ppv": RATE, "npv": RATE,
        }},
    }
}  # fmt: skip
RUNS = [
    ({"part": "test", "trained_images": LISTED}, NONE),
    ({"part": "test", "trained_images": None, "run": {"parts": PARTS}}, NONE),
    ({"part": "calibration", "trained_images": LISTED}, SOME),
    ({"part": "all", "trained_images": {**LISTED, "kept": {"calibration": 5}}}, SOME),
    ({"part": "all", "trained_images": None, "run": None}, UNKNOWN),
    ({"part": "all", "trained_images": {**LISTED, "listed": None}}, UNKNOWN),
    ({"part": "all", "trained_images": {**LISTED, "listed": {"train": 9}}}, UNKNOWN),
]


def words(section: Section | None) -> str:
    assert section is not None
    return " ".join(block.text for block in section.blocks if isinstance(block, Text))


@pytest.mark.parametrize(("run", "told"), RUNS)
def test_what_was_fitted_on_images_tested_here_is_said(results, run, told):
    metrics = {**results[0], **run, "operating_points": POINTS}
    metrics["calibration"] = {**metrics["calibration"], "temperature": 1.5}
    metrics["conformal"] = {"method": "lac", "coverage": 0.9, "images": 5, "part": "calibration", "rows": []}
    fitted = {"part": "calibration", "images": 5}
    assert describe_overlap(metrics, "calibration").endswith(told)
    for section in (operating_points(metrics), calibration(metrics, (), fitted=fitted), prediction_sets(metrics)):
        text = words(section)
        assert told in text
        assert not any(other in text for other in {NONE, SOME, UNKNOWN} - {told})
    if not metrics.get("run"):  # the parts of these runs are too bare for a card
        assert told in model_card(metrics, facts={})


def test_a_temperature_of_unknown_origin_is_not_called_fitted_on_other_images(results):
    metrics = {**results[0], "calibration": {**results[0]["calibration"], "temperature": 1.5}}
    assert "on which images it was fitted is not recorded" in words(calibration(metrics, ()))


def part(images: int, unnamed: int) -> dict:
    return {"images": images, "unnamed": unnamed, "patients": None, "labels": {}, "sources": {}, "sex": {}, "age": None}


def test_patients_are_called_apart_only_where_they_are_named():
    named = {"train": part(20, 0), "test": part(10, 0)}
    assert parts_apart({"parts": named, "overlaps": []}) == "No patient, no file and no picture is in two parts."
    some = {"train": part(20, 3), "test": part(10, 4)}
    assert "7 images name no patient" in parts_apart({"parts": some, "overlaps": []})
    nobody = {"train": part(20, 20), "test": part(10, 10)}
    assert "so patients may be" in parts_apart({"parts": nobody, "overlaps": []})
    assert parts_apart({"parts": named, "overlaps": ["2 patients are in two parts."]}) == "2 patients are in two parts."
    assert parts_apart({"parts": named, "overlaps": None}) == ""


def test_the_people_section_and_the_card_say_the_same(results):
    run = {"parts": {"train": part(20, 20), "test": part(10, 10)}, "overlaps": [], "made": None, "audit": None}
    metrics = {**results[0], "run": run}
    assert "so patients may be" in words(people(metrics))
    assert "so patients may be" in model_card(metrics, facts={})


def test_a_network_that_abstains_is_not_said_to_answer_everything(results):
    bare = {**results[0], "conformal": None, "cannot_say": 0}
    assert "gives one of them to any disease" in answers_of(bare)
    assert '"cannot say"' in answers_of({**bare, "cannot_say": 3})
    assert '"cannot say"' in answers_of({**bare, "conformal": {"method": "lac"}})


def test_not_every_image_of_the_table_is_claimed_where_some_were_left_out(results):
    assert f"Each of the {results[0]['n_images']} images that were to be scored" in words(files(results[0], listed=5))


def test_a_split_that_was_given_is_not_credited_to_the_settings():
    settings = {"training": {"settings": {"seed": 3, "val_fraction": 0.15, "test_fraction": 0.15}}}
    parts = {"train": {"images": 10, "unnamed": 10}, "test": {"images": 30, "unnamed": 30}}
    verdict, told = assigned(Known({"run": {"parts": parts, "overlaps": []}}, settings))
    assert "train 25%, test 75%" in told
    assert "0.15" not in told
    assert "no patient" not in told
    named = {name: {**row, "unnamed": 0} for name, row in parts.items()}
    assert "no patient and no copy" in assigned(Known({"run": {"parts": named, "overlaps": []}}, settings))[1]
    assert verdict == "PASS"


def test_a_mean_of_runs_is_not_called_one_training():
    assert "no ensemble" in ensembles(Known({}, {}))[1]
    mean = {"training": {"init": {"name": "average", "runs": ["a", "b"]}}}
    assert "mean of those of 2 runs" in ensembles(Known({}, mean))[1]


def test_the_files_that_it_takes_to_run_are_those_of_the_bundle(results):
    assert "lungs.onnx" not in specification(Known(results[0], {}))[1]
    assert "lungs.onnx" in specification(Known(results[0], {"lungs": {"sha256": "x"}}))[1]


def test_the_worst_source_is_not_called_the_lowest_where_a_smaller_one_was_not_compared():
    figure = {"value": 0.875, "ci_low": 0.7, "ci_high": 1.0, "n": 24}
    large, small = {"n_images": 24, "figures": {"accuracy": figure}}, {"n_images": 18, "figures": None}
    worst = {"name": "north", **figure, "mean": 0.89, "groups": 2}
    compared = {"worst_source": worst, "by_source": {"north": large, "valley": large}}
    assert worst_of_sources(compared).startswith("The source with the lowest accuracy is north: 87.5")
    said = worst_of_sources({**compared, "by_source": {**compared["by_source"], "harbour": small}})
    assert said.startswith("Of 2 sources that can be compared the lowest accuracy is that of north")
    assert "too small for figures: harbour (18 images)" in said
    assert worst_of_sources({"worst_source": None, "by_source": {"harbour": small}}) == ""
