"""Baselines on data where it is known what tells the classes: the corner, the file, the lungs, or nothing."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.data.baselines.baselines import (
    Baselines,
    best_no_lung,
    file_facts,
    frame_only,
    run_baselines,
    write_baselines,
)
from covid_xray.data.baselines.lung_cover import cover_lungs
from covid_xray.data.doctor.pixel_facts import PixelFacts
from covid_xray.data.manifest.manifest import Manifest, quarantine_table
from covid_xray.errors import BadManifest, BadSplit

N = 160


def made(told_by: str, *, sources: bool = False) -> tuple[Manifest, PixelFacts]:
    """N random pictures of N / 2 patients, whose class is told by `corner`, `lungs`, `file`, or `nothing`."""
    random = np.random.default_rng(0)
    label = np.array(["covid", "normal"])[np.repeat(np.arange(N // 2) % 2, 2)]
    ill = label == "covid"
    thumbnails = random.integers(60, 160, (N, 32, 32), dtype=np.uint8)
    if told_by == "corner":
        thumbnails[ill, :2, :3] = 250
    if told_by == "lungs":
        thumbnails[ill, 12:20, 10:22] = 250
    source = random.choice(["x", "y"], N)
    if sources:
        thumbnails[source == "x", 12:20, 10:22] = 20
    table = pd.DataFrame(
        {
            "image": [f"{k:03d}.png" for k in range(N)],
            "label": label,
            "patient_id": [f"p{k // 2}" for k in range(N)],
            "sha256": [f"{k:064x}" for k in range(N)],
            "file_width": np.where(ill, "400", "500") if told_by == "file" else "400",
            "file_height": "400",
            "file_bytes": random.integers(9000, 11000, N).astype(str),
            "file_mode": "L",
            "file_format": "PNG",
        }
    ).astype(str)
    if sources:
        table["source"] = source
    facts = pd.DataFrame(index=table["image"])
    return Manifest(table, Path(), quarantine_table([])), PixelFacts(thumbnails, facts)


def run(told_by: str, **options) -> Baselines:
    manifest, facts = made(told_by, **options)
    return run_baselines(manifest, facts, cover=cover_lungs(manifest), folds=3, trees=30)


def balanced(found: Baselines) -> dict[str, float]:
    return {row.name: row.scores["balanced_accuracy"].value for row in found.rows}


@pytest.mark.parametrize(
    ("told_by", "tells"),
    [
        ("corner", {"frame", "lungs-blacked-out", "thumbnail"}),
        ("lungs", {"thumbnail"}),
        ("file", {"file-facts"}),
        ("nothing", set()),
    ],
)
def test_each_baseline_sees_what_it_should_and_nothing_else(told_by, tells):
    found = balanced(run(told_by))
    assert {name for name, value in found.items() if value > 0.9} == tells
    assert all(value < 0.65 for name, value in found.items() if name not in tells)


def test_the_best_without_lungs_is_never_the_whole_picture(tmp_path):
    found = run("lungs")
    assert found.best.without_lungs
    path = write_baselines(found, tmp_path)
    read = best_no_lung(tmp_path)
    assert read["name"] == found.best.name
    assert read["scores"]["balanced_accuracy"]["value"] == found.best.scores["balanced_accuracy"].value
    assert read["images"] == N
    values = json.loads(path.read_text())
    assert values["people"] == N // 2
    assert {"value", "ci_low", "ci_high", "n"} == set(values["rows"][0]["scores"]["macro_f1"])


def test_the_source_is_told_within_each_class():
    found = run("nothing", sources=True)
    assert set(found.within) == {"covid", "normal"}
    for row in found.within.values():
        assert row.scores["balanced_accuracy"].value > 0.9
        assert row.chance == 0.5


def test_a_source_of_too_few_people_is_left_out_and_said():
    manifest, facts = made("nothing", sources=True)
    few = manifest.table["source"].where(manifest.table.index > 3, "tiny").replace("y", "x")
    small = Manifest(manifest.table.assign(source=few), Path(), manifest.quarantine)
    found = run_baselines(small, facts, cover=cover_lungs(small), folds=3, trees=30)
    assert not found.within
    assert "at least 3 people" in found.skipped["covid"]


def test_original_sizes_are_a_baseline_of_their_own_where_the_table_has_them():
    manifest, facts = made("nothing")
    width = np.where(manifest.table["label"] == "covid", "900", "1024")
    table = manifest.table.assign(width=width, height="1024")
    found = run_baselines(
        Manifest(table, Path(), manifest.quarantine), facts, cover=cover_lungs(manifest), folds=3, trees=30
    )
    assert balanced(found)["original-size"] == 1
    assert found.best.name == "original-size"


def test_features():
    manifest, facts = made("nothing")
    assert frame_only(facts.thumbnails).shape == (N, 32 * 32 - 26 * 26)
    facts_of_files = file_facts(manifest, width="file_width", height="file_height", more=True)
    assert facts_of_files.shape == (N, 6)
    assert facts_of_files[0, :3].tolist() == [400, 400, 1]
    assert file_facts(manifest, width="file_bytes", height="label", more=False)[0, 1] == -1  # not a number: unknown


def test_bad_input(tmp_path):
    manifest, facts = made("nothing")
    one = manifest.take(manifest.table["label"] == "covid")
    with pytest.raises(BadManifest, match="Too few classes"):
        run_baselines(one, facts, cover=cover_lungs(one))
    with pytest.raises(BadSplit, match="At least 150 are needed"):
        run_baselines(manifest, facts, cover=cover_lungs(manifest), folds=150)
    (tmp_path / "baselines.json").write_text("{}")
    for path in (tmp_path, tmp_path / "nothing.json"):
        with pytest.raises(BadManifest, match=r"baselines\.json"):
            best_no_lung(path)
