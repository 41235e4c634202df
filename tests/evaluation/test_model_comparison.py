"""Two networks on the same images: paired by name, by patient, and right about a difference that is known."""

from pathlib import Path

import numpy as np
import pytest

from covid_xray.errors import InputRefused
from covid_xray.evaluation.metrics.metrics import compute
from covid_xray.evaluation.model_comparison import compare, pair, read_run
from covid_xray.evaluation.predictions import Predictions, write_predictions
from support.scored import CLASSES, answers, two

ROUNDS = 60


def shuffled(predictions: Predictions) -> Predictions:
    table = predictions.table.sample(frac=1, random_state=1).reset_index(drop=True)
    return Predictions(table, predictions.classes, predictions.failures)


def test_figures_are_those_of_each_network_and_their_difference():
    first, second = two()
    found = compare(pair(first, second), rounds=ROUNDS)
    for name, row in found["figures"].items():
        assert row["first"] == compute(first.labels, first.probabilities, CLASSES)[name]
        assert row["second"] == compute(second.labels, second.probabilities, CLASSES)[name]
        assert row["difference"] == row["second"] - row["first"]
        assert row["ci_low"] <= row["ci_high"]
    test = found["mcnemar"]
    gained = found["figures"]["accuracy"]["difference"] * 60
    assert test["only_second"] - test["only_first"] == pytest.approx(gained)
    assert set(found["delong"]) == set(CLASSES)
    auroc = found["figures"]["auroc/covid"]["difference"]
    assert found["delong"]["covid"]["difference"] == pytest.approx(auroc)
    assert found["delong"]["covid"]["p_holm"] >= found["delong"]["covid"]["p"]


def test_the_order_of_rows_and_of_classes_changes_nothing():
    first, second = two()
    turned = Predictions(shuffled(second).table, CLASSES[::-1], second.failures)
    assert compare(pair(first, turned), rounds=ROUNDS) == compare(pair(first, second), rounds=ROUNDS)


def test_a_network_against_itself_differs_nowhere():
    first, _ = two()
    found = compare(pair(first, shuffled(first)), rounds=ROUNDS)
    assert {(row["difference"], row["ci_low"], row["ci_high"]) for row in found["figures"].values()} == {(0, 0, 0)}
    assert {test["p"] for test in found["delong"].values()} == {1.0}
    assert found["mcnemar"]["p"] == 1.0


def test_swapping_the_two_turns_every_sign():
    first, second = two()
    there, back = compare(pair(first, second), rounds=ROUNDS), compare(pair(second, first), rounds=ROUNDS)
    for name, row in there["figures"].items():
        assert back["figures"][name]["ci_low"] == pytest.approx(-row["ci_high"])


def test_images_of_one_network_only_are_counted_and_left_out():
    first, second = two()
    found = compare(pair(first.take(np.arange(60) != 5), second.take(np.arange(60) >= 3)), rounds=ROUNDS)
    assert found["images"] == 56
    assert found["left_out"] == {"only_first": 3, "only_second": 1}
    assert "count for neither: 3 and 1" in found["notes"][0]


def test_patients_are_drawn_whole_even_if_only_one_file_names_them():
    patients = [f"p{i // 6}" for i in range(60)]
    first, second = two(patients=patients)
    both = compare(pair(first, second), rounds=ROUNDS)
    assert both["patients"] == 10
    assert "independent" in both["notes"][0]
    bare = Predictions(first.table.drop(columns="patient_id"), CLASSES, first.failures)
    assert compare(pair(bare, second), rounds=ROUNDS) == both
    alone = Predictions(second.table.drop(columns="patient_id"), CLASSES, second.failures)
    assert compare(pair(bare, alone), rounds=ROUNDS)["patients"] is None


def test_copies_of_one_patient_do_not_narrow_the_interval():
    """Ten copies of each of 40 images are 40 observations: the interval is that of the 40, not a third of it."""
    labels = np.arange(40) % 3
    random = np.random.default_rng(5)
    rights = [random.random(40) < chance for chance in (0.6, 0.8)]
    single = [answers(labels, right, seed=n) for n, right in enumerate(rights)]
    owners = [f"p{i}" for i in np.repeat(np.arange(40), 10)]
    many = [
        answers(np.repeat(labels, 10), np.repeat(right, 10), seed=n, patients=owners) for n, right in enumerate(rights)
    ]
    widths = []
    for first, second in (single, many):
        row = compare(pair(first, second), rounds=400)["figures"]["accuracy"]
        widths.append(row["ci_high"] - row["ci_low"])
    assert widths[1] == pytest.approx(widths[0], rel=0.01)


def test_the_interval_holds_a_known_difference_as_often_as_it_says():
    truth, held = 0.15, 0
    for seed in range(200):
        first, second = two(90, seed=1000 + seed, chances=(0.65, 0.8))
        row = compare(pair(first, second), rounds=150, seed=seed)["figures"]["accuracy"]
        held += row["ci_low"] <= truth <= row["ci_high"]
    assert 0.90 <= held / 200 <= 0.985


def test_the_same_seed_gives_the_same_comparison():
    first, second = two()
    assert compare(pair(first, second), rounds=ROUNDS, seed=4) == compare(pair(first, second), rounds=ROUNDS, seed=4)
    assert compare(pair(first, second), rounds=ROUNDS, seed=4) != compare(pair(first, second), rounds=ROUNDS, seed=5)


def test_what_cannot_be_compared_is_refused():
    first, second = two()
    table = second.table.copy()
    table.loc[7, "label"] = "covid"
    relabelled = Predictions(table, CLASSES, second.failures)
    others = Predictions(second.table.rename(columns={"p_virus": "p_flu"}), ("covid", "normal", "flu"), second.failures)
    cases = {
        "other-labels": relabelled,
        "other-classes": others,
        "too-few": second.take(np.arange(60) < 19),
    }
    for code, wrong in cases.items():
        with pytest.raises(InputRefused) as caught:
            pair(first, wrong)
        assert caught.value.code == code


def test_runs_and_files_are_read_and_absent_ones_named(tmp_path: Path):
    first, _ = two()
    write_predictions(tmp_path / "run" / "predictions.csv", first)
    for place in (tmp_path / "run", tmp_path / "run" / "predictions.csv"):
        assert (read_run(place).probabilities == first.probabilities).all()
    with pytest.raises(InputRefused, match=r"predictions\.csv"):
        read_run(tmp_path)
