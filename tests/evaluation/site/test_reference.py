"""What a bundle keeps for hospitals: it reads back as it was measured, and changes no answer."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.bundle.bundle import load_bundle
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import BadBundle, UsageError
from covid_xray.evaluation.site.reference import (
    IllScores,
    linear_part,
    open_reference,
    reference_facts,
    store_reference,
)
from support.bundles import CLASSES, grey, make_bundle
from support.drawing import png


def test_the_share_above_a_threshold_is_read_off_the_quantiles():
    scores = IllScores(41, True, np.linspace(-2, 2, 41))
    assert scores.above(-3.0) == pytest.approx(1.0)
    assert scores.above(0.0) == pytest.approx(0.5)
    assert scores.above(2.0) == 0.0


def test_the_linear_part_is_found_where_there_is_one():
    random = np.random.default_rng(0)
    features, weights = random.normal(size=(200, 5)), np.array([1.0, -2.0, 0.0, 0.5, 3.0])
    direction, intercept = linear_part(features @ weights + 0.7, features)
    assert direction == pytest.approx(weights)
    assert intercept == pytest.approx(0.7)
    assert linear_part(np.abs(features @ weights), features)[0] is None
    assert linear_part(np.abs(features[:6, 0]), features[:6])[0] is None, "with few images anything fits"


def facts_of(count: int = 30, **left_out):
    random = np.random.default_rng(1)
    healthy = np.repeat([True, False], count)
    features = random.normal(np.where(healthy, 0.0, 2.0)[:, None], 1.0, (2 * count, 3))
    score = features @ np.array([1.0, 0.5, 0.0])
    p = np.column_stack([1 / (1 + np.exp(-score)), 1 / (1 + np.exp(score))]).astype(np.float32)
    table = pd.DataFrame({"source": ["home"] * 2 * count, "healthy": healthy})
    return features, reference_facts(p, features, table, well=1, temperature=2.0, left_out=left_out)


def test_it_reads_back_and_scores_of_hospitals_left_out_count_before_those_of_its_own():
    features, facts = facts_of()
    own = open_reference({"site": facts})
    assert own is not None
    assert not own.left_out
    assert own.healthy["home"].mean == pytest.approx(features[:30].mean(axis=0), abs=1e-5)
    assert own.pooled().images == 30
    assert own.direction == pytest.approx([1.0, 0.5, 0.0], abs=1e-3)
    assert own.ill_embeddings.shape == (30, 3)
    assert own.ill_embeddings.mean(axis=0) == pytest.approx(features[30:].mean(axis=0), abs=0.02)
    assert own.sensitivity(0.0) > 0.8
    both = open_reference({"site": facts_of(away=np.linspace(-1, 1, 50))[1]})
    assert both is not None
    assert both.left_out
    assert both.sensitivity(0.0) == pytest.approx(0.5)


def test_another_version_or_too_few_images_are_refused():
    assert open_reference({}) is None
    with pytest.raises(BadBundle, match="version 9"):
        open_reference({"site": {"version": 9}})
    with pytest.raises(UsageError, match="No source has 20 healthy"):
        facts_of(10)


def test_it_is_measured_on_the_images_of_a_run_and_recorded(tmp_path: Path):
    bundle = make_bundle(tmp_path / "bundle")
    for number in range(75):
        label = CLASSES[number % 3]
        path = tmp_path / "data" / label / f"{number:03}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(grey(label, seed=number)))
    manifest = read_manifest(tmp_path / "data")
    split = pd.Series({name: "train" if "normal" in name else "calibration" for name in manifest.table["image"]})
    before = load_bundle(bundle).answers_sha256
    facts = store_reference(bundle, manifest, split, part="calibration", left_out={"away": [0.0, 1.0, 2.0]})
    after = load_bundle(bundle)
    assert after.facts["site"] == facts
    assert after.answers_sha256 == before, "a site file made before still holds"
    known = open_reference(after.facts)
    assert known is not None
    assert known.healthy["all"].images == 25
    assert set(known.ill) == {"all", "away, left out"}
