"""Networks that are known to use a shortcut, or the lungs, or chance: the numbers must say which."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.evaluation.audit.interventions import INTERVENTIONS
from covid_xray.evaluation.audit.lung_masks import choose_masks
from covid_xray.evaluation.audit.masked_images import MaskedImages, read_masked_images
from covid_xray.evaluation.audit.shortcuts import (
    HEADLINE,
    Outputs,
    Settings,
    chance_levels,
    run_interventions,
    score_interventions,
)
from covid_xray.evaluation.metrics.metrics import compute
from covid_xray.inference.predictor import Predictor
from support.watching import CLASSES, CORNER, LUNGS, draw_chests, make_bundle

FEW = Settings(rounds=100)


@pytest.fixture(scope="module")
def chests(tmp_path_factory):
    return draw_chests(tmp_path_factory.mktemp("chests"))


def look(chests, tmp_path, region):
    data, masks = chests
    manifest = read_manifest(data)
    predictor = Predictor(make_bundle(tmp_path / "bundle", region))
    scenes = read_masked_images(predictor, manifest, choose_masks(manifest.table["image"].tolist(), folder=masks))
    return scenes, run_interventions(predictor, scenes)


def test_a_network_that_reads_the_corner_keeps_its_score_without_the_lungs(chests, tmp_path):
    scenes, answers = look(chests, tmp_path, CORNER)
    rows, survives = score_interventions(answers, scenes, CLASSES, groups=None, settings=FEW)
    by_name = {row["name"]: row["figures"] for row in rows}
    assert by_name["whole"]["macro_f1"]["value"] == 1
    assert by_name["lungs_mean"]["macro_f1"]["value"] == 1
    assert by_name["corners_black"][HEADLINE]["value"] == 0.5
    assert survives[HEADLINE]["without"]["value"] == 1
    assert survives[HEADLINE]["only"]["value"] == pytest.approx(0, abs=0.01)


def test_a_network_that_reads_the_lungs_loses_it_without_them(chests, tmp_path):
    scenes, answers = look(chests, tmp_path, LUNGS)
    rows, survives = score_interventions(answers, scenes, CLASSES, groups=None, settings=FEW)
    by_name = {row["name"]: row["figures"] for row in rows}
    assert by_name["whole"]["macro_f1"]["value"] == by_name["corners_black"]["macro_f1"]["value"] == 1
    assert survives[HEADLINE]["only"]["value"] == 1
    assert survives[HEADLINE]["without"]["value"] == pytest.approx(0, abs=0.01)


def made_up(count=400, *, seed=0, sharp=1.0):
    """Scenes of two classes and two sources, and answers of which `sharp` times the truth is in them."""
    random = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    blank = np.zeros((count, 1, 1), np.uint8)
    table = pd.DataFrame(
        {
            "image": [f"{i}.png" for i in range(count)],
            "label": np.array(CLASSES, dtype=object)[labels],
            "source": ["north" if i % 4 < 2 else "south" for i in range(count)],
        }
    )
    scenes = MaskedImages(table, blank, blank > 0, (), {})

    def p(strength):
        first = 1 / (1 + np.exp(strength * (2 * labels - 1) + random.normal(size=count)))
        return np.stack([first, 1 - first], axis=1)

    strengths = {way.name: sharp * (2.0 if way.lungs == "seen" else 0.7) for way in INTERVENTIONS}
    return scenes, Outputs({name: p(s) for name, s in strengths.items()}, np.zeros((count, 3), np.float32)), labels


def test_figures_are_those_of_the_metrics_and_retention_is_their_ratio():
    scenes, answers, labels = made_up()
    rows, survives = score_interventions(answers, scenes, CLASSES, groups=None, settings=FEW)
    whole = compute(labels, answers.probabilities["whole"], CLASSES)
    for row in rows:
        own = compute(labels, answers.probabilities[row["name"]], CLASSES)
        for score, figure in row["figures"].items():
            assert figure["value"] == pytest.approx(own[score])
            assert figure["ci_low"] < figure["value"] < figure["ci_high"]
            expected = (own[score] - 0.5) / (whole[score] - 0.5)  # chance of two classes is one half for all three
            assert row["retained"][score]["value"] == pytest.approx(expected)
    auroc = roc_auc_score(labels, answers.probabilities["lungs_mean"][:, 1])
    row = next(row for row in rows if row["name"] == "lungs_mean")
    assert row["figures"]["auroc_macro"]["value"] == pytest.approx(auroc)
    best = max(row["retained"][HEADLINE]["value"] for row in rows if row["lungs"] == "hidden")
    assert survives[HEADLINE]["without"]["value"] == pytest.approx(best)


def test_the_whole_picture_keeps_all_of_its_score_in_every_draw():
    scenes, answers, _ = made_up()
    kept = score_interventions(answers, scenes, CLASSES, groups=None, settings=FEW)[0][0]["retained"][HEADLINE]
    assert (kept["value"], kept["ci_low"], kept["ci_high"]) == (1, 1, 1)


def test_a_network_at_chance_has_nothing_to_lose():
    scenes, answers, _ = made_up(sharp=0.0)
    rows, survives = score_interventions(answers, scenes, CLASSES, groups=None, settings=FEW)
    assert survives is None
    assert all(row["retained"].get(HEADLINE) is None for row in rows)


def test_patients_are_drawn_and_not_images():
    scenes, answers, _ = made_up(sharp=0.5)
    apart = score_interventions(answers, scenes, CLASSES, groups=None, settings=FEW)[0][0]["figures"][HEADLINE]
    people = np.array([str(i // 20) for i in range(400)])
    together = score_interventions(answers, scenes, CLASSES, groups=people, settings=FEW)[0][0]["figures"][HEADLINE]
    assert (apart["unit"], apart["n"], together["unit"], together["n"]) == ("images", 400, "patients", 20)
    assert together["value"] == apart["value"]


def test_the_worst_source_is_named():
    scenes, answers, labels = made_up()
    wrong = (scenes.table["source"] == "south").to_numpy()
    p = answers.probabilities["whole"].copy()
    p[wrong] = 1 - np.eye(2)[labels[wrong]]
    answers = replace(answers, probabilities={**answers.probabilities, "whole": p})
    row = score_interventions(answers, scenes, CLASSES, groups=None, settings=FEW)[0][0]
    assert row["worst_source"]["name"] == "south"
    assert row["by_source"]["south"]["accuracy"]["value"] == 0
    assert row["by_source"]["north"]["accuracy"]["value"] > 0.9


def test_chance_is_what_guessing_with_the_true_shares_scores():
    random = np.random.default_rng(0)
    labels = random.choice(3, 60_000, p=[0.6, 0.3, 0.1])
    guessed = np.eye(3)[random.choice(3, len(labels), p=[0.6, 0.3, 0.1])]
    found = compute(labels, guessed, ("a", "b", "c"))
    for score, level in chance_levels(labels).items():
        assert found[score] == pytest.approx(level, abs=0.01)
