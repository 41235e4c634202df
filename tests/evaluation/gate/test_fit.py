"""Fitting the gate: the stated rate holds on images it never saw; thresholds come from held-out images, not few."""

import dataclasses
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.gate.fit import (
    LEAST,
    Values,
    choose_thresholds,
    describe_gate,
    fit_gate,
    fit_statistics,
    objections,
    values_held_out,
    values_left_out,
    values_of,
)
from covid_xray.evaluation.gate.sample import Sample, evenly
from covid_xray.inference.gate import Gaussian, open_gate, unpacked
from support.gate_samples import sample

CHECKS = ("contrast", "extremes", "aspect", "polarity", "orientation", "layout", "likeness")


@pytest.fixture(scope="module")
def known():
    return sample(range(110))


@pytest.fixture(scope="module")
def fresh():
    return sample(range(300, 330))


def joined(one: Sample, other: Sample) -> Sample:
    """Both samples as one; neither has sources or lungs."""
    arrays = {
        name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in ("embeddings", "labels", "members")
    }
    return Sample(looks=[*one.looks, *other.looks], **arrays)


def drawn(count: int, *, seed: int = 0) -> Values:
    """Values of images that differ in chance only."""
    random = np.random.default_rng(seed)
    checks = {name: random.normal(-3, 1, count) for name in CHECKS}
    checks |= {"layout": random.chisquare(80, count), "likeness": random.chisquare(16, count)}
    checks |= {name: random.uniform(0.3, 0.8, count) for name in ("contrast", "extremes")}
    return Values({**checks, "aspect": random.uniform(0.8, 1.2, count)}, np.zeros((count, 2)), checks["layout"])


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
def test_all_checks_together_refuse_the_stated_share_of_images_like_these(rate):
    thresholds, tail = choose_thresholds([drawn(2000), drawn(2000, seed=1)], rate=rate)
    refused = [objections(drawn(2000, seed=seed), thresholds).mean() for seed in range(2, 12)]
    assert np.mean(refused) == pytest.approx(rate, rel=0.35)
    assert 0 < tail < rate


def test_the_set_with_the_longer_tail_decides():
    usual, wide = drawn(1000), drawn(1000, seed=1)
    wide.checks["layout"] *= 1.5
    alone, _ = choose_thresholds([usual], rate=0.05)
    both, _ = choose_thresholds([usual, wide], rate=0.05)
    assert both["layout"] > 1.3 * alone["layout"]
    assert objections(wide, both).mean() <= 0.05 < objections(wide, alone).mean()


def test_each_source_gives_as_many_images_as_the_others():
    names = ["large"] * 90 + ["small"] * 6 + ["middle"] * 30
    table = pd.DataFrame({"image": [f"{i}.png" for i in range(len(names))], "source": names})
    manifest = Manifest(root=Path(), table=table, quarantine=pd.DataFrame())
    rows = np.arange(3, len(names))
    drawn = evenly(manifest, rows, most=46, seed=0)
    assert table["source"].iloc[drawn].value_counts().to_dict() == {"large": 20, "middle": 20, "small": 6}
    assert set(drawn) <= set(rows)
    assert list(drawn) == sorted(drawn)
    assert len(evenly(manifest, rows, most=1000, seed=0)) == len(rows)


def test_pictures_that_are_mostly_one_grey_do_not_count(known, fresh):
    """Lungs that a program cut out: with them among the training images half a chest passed."""
    more = sample(range(110, 150))
    cut_out = dataclasses.replace(more, looks=[dataclasses.replace(seen, extremes=0.7) for seen in more.looks])
    both = joined(known, cut_out)
    with_them, without = (fit_gate(one, fresh, rate=0.1) for one in (both, known))
    assert with_them["images"] == {"train": 110, "fresh": 30, "cut out": 40}
    assert "without 40 that are mostly one grey" in describe_gate(with_them)
    assert with_them["thresholds"] == without["thresholds"]
    alone = dataclasses.replace(known, looks=[dataclasses.replace(seen, extremes=0.7) for seen in known.looks])
    assert fit_gate(alone, fresh, rate=0.1)["images"]["train"] == 110, "where nearly all are so, they are wanted"


def test_what_is_stored_is_what_was_measured(known, fresh):
    facts = fit_gate(known, fresh, rate=0.1)
    assert facts["images"] == {"train": 110, "fresh": 30}
    gate = open_gate(facts)
    values = values_of(gate, fresh)
    assert facts["refused"]["fresh"] == objections(values, facts["thresholds"]).mean() <= 0.1
    judged = [gate.judge(seen, e) for seen, e in zip(fresh.looks, fresh.embeddings, strict=True)]
    found = [not all(verdict["ok"] for verdict in verdicts.values()) for verdicts in judged]
    assert found == list(objections(values, facts["thresholds"]))


def test_fitting_twice_gives_the_same_gate(known, fresh):
    assert fit_gate(known, fresh) == fit_gate(known, fresh)


def test_held_out_images_lie_further_away_than_fitted_ones(known):
    inside = values_of(
        open_gate({"version": 1, **fit_statistics(known), "thresholds": dict.fromkeys(CHECKS, 0)}), known
    )
    outside = values_held_out(known)
    assert outside.checks["layout"].mean() > 1.1 * inside.checks["layout"].mean()
    assert np.median(outside.checks["layout"]) > np.median(inside.checks["layout"])


def test_one_patient_is_never_on_both_sides(known, monkeypatch):
    from covid_xray.evaluation.gate import fit

    members = np.array([f"p{i // 5}" for i in range(len(known))])
    grouped = type(known)(known.looks, known.embeddings, known.labels, members)
    seen = []
    monkeypatch.setattr(
        fit, "fit_statistics", lambda part, pieces: seen.append(set(part.members)) or fit_statistics(part)
    )
    monkeypatch.setattr(fit, "values_of", lambda gate, part: seen.append(set(part.members)) or values_of(gate, part))
    values_held_out(grouped)
    assert len(seen) == 10
    for learnt, judged in zip(seen[::2], seen[1::2], strict=True):
        assert not learnt & judged


def test_too_few_training_images_are_refused(known, fresh):
    with pytest.raises(InputRefused, match=f"Give at least {LEAST}"):
        fit_gate(known.take(slice(LEAST - 1)), fresh)


def test_features_that_are_dead_or_outnumber_the_images_do_no_harm(known, fresh):
    def wide(one):
        random = np.random.default_rng(3)
        mixed = one.embeddings @ random.normal(0, 1, (24, 200))
        return type(one)(one.looks, np.hstack([mixed, np.zeros((len(one), 50))]), one.labels, one.members)

    facts = fit_gate(wide(known), wide(fresh), rate=0.1)
    assert facts["refused"]["fresh"] <= 0.1
    far = wide(fresh).embeddings + np.repeat([0, 5], [200, 50])  # what was dead in training speaks
    gate = open_gate(facts)
    assert not any(gate.judge(seen, e)["likeness"]["ok"] for seen, e in zip(fresh.looks, far, strict=True))


def test_the_distance_is_mahalanobis_to_the_nearest_mean():
    from scipy.spatial.distance import mahalanobis

    random = np.random.default_rng(0)
    means, points = random.normal(0, 2, (3, 4)), random.normal(0, 3, (20, 4))
    root = random.normal(0, 1, (4, 4))
    precision = root @ root.T + np.eye(4)
    expected = [min(mahalanobis(point, mean, precision) ** 2 for mean in means) for point in points]
    np.testing.assert_allclose(Gaussian(means, precision).distances(points), expected)


def test_the_covariance_is_that_of_scikit_learn(known):
    from sklearn.covariance import LedoitWolf

    from covid_xray.inference.gate_features import layout

    features = layout(known.thumbnails)
    stored = unpacked(fit_statistics(known)["layout"]["precision"])
    expected = LedoitWolf().fit(features).precision_
    np.testing.assert_allclose(stored, expected, rtol=2e-3, atol=2e-3 * np.abs(expected).max())


def test_a_source_that_is_left_out_may_be_refused_twice_as_often_and_no_more():
    usual, far = drawn(1000), drawn(1000, seed=1)
    far.checks["layout"] *= 1.5
    thresholds, _ = choose_thresholds([usual], [far], rate=0.05)
    both, _ = choose_thresholds([usual, far], rate=0.05)
    alone, _ = choose_thresholds([usual], rate=0.05)
    assert alone["layout"] < thresholds["layout"] < both["layout"]
    assert objections(usual, thresholds).mean() <= 0.05 < objections(far, thresholds).mean() <= 0.1


def test_a_source_is_judged_by_statistics_that_hold_none_of_its_patients_or_copies(known, monkeypatch):
    from covid_xray.evaluation.gate import fit

    large = sample(range(220))
    sources = np.where(np.arange(220) < 105, "north", "south")
    members = np.where(np.arange(220) == 219, large.members[0], large.members)  # a copy of a film of the north
    named = type(large)(large.looks, large.embeddings, large.labels, members, sources)
    learnt = []
    monkeypatch.setattr(fit, "fit_statistics", lambda part, pieces: learnt.append(part) or fit_statistics(part))
    found = values_left_out(named)
    assert {name: len(one.restored) for name, one in found.items()} == {"source north": 105, "source south": 115}
    for part, one in zip(learnt, ("north", "south"), strict=True):
        assert not set(part.members) & set(members[sources == one])
    assert values_left_out(known) == {}  # nobody says where the images are from
    few = type(large)(
        large.looks, large.embeddings, large.labels, members, np.where(np.arange(220) < 90, "north", "south")
    )
    assert values_left_out(few) == {}


def test_the_summary_names_both_shares_and_the_wish():
    told = {"rate": 0.05, "images": {"train": 1234}, "refused": {"train, held out": 0.049, "fresh": 0.04}}
    assert describe_gate(told) == (
        "gate from 1,234 training images: refuses 4.9% (train, held out) and 4.0% (fresh) of good images, "
        "at most 5.0% asked for"
    )
    assert "fresh" not in describe_gate({**told, "refused": {"train, held out": 0.049, "fresh": None}})


def test_what_was_not_made_is_said():
    assert describe_gate({"note": "no gate was stored: too few"}) == "no gate was stored: too few"
