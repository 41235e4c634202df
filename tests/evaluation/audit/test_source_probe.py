"""Embeddings that hold the source, and embeddings that do not."""

from pathlib import Path

import numpy as np
import pandas as pd

from covid_xray.data.manifest.manifest import Manifest
from covid_xray.evaluation.audit.source_probe import source_from_embedding


def made_up(*, count=240, told=0.0, seed=0):
    random = np.random.default_rng(seed)
    source = np.where(np.arange(count) % 2, "north", "south")
    label = np.where(np.arange(count) % 4 < 2, "covid", "normal")
    table = pd.DataFrame(
        {
            "image": [f"{i:03}.png" for i in range(count)],
            "label": label,
            "patient_id": [f"p{i // 4}-{s}" for i, s in enumerate(source)],
            "source": source,
        }
    )
    embedding = random.normal(size=(count, 8)).astype(np.float32)
    embedding[:, 3] += told * (source == "north")
    nothing = pd.DataFrame(columns=["image", "code", "reason"], dtype=str)
    return embedding, Manifest(table, Path(), nothing)


def test_a_source_in_the_embedding_is_found():
    found = source_from_embedding(*made_up(told=6.0))
    assert set(found["classes"]) == {"covid", "normal"}
    for row in found["classes"].values():
        assert row["balanced_accuracy"]["value"] > 0.95
        assert row["balanced_accuracy"]["ci_low"] > row["chance"] == 0.5
        assert row["sources"] == {"north": 60, "south": 60}


def test_no_source_in_the_embedding_is_chance():
    for row in source_from_embedding(*made_up())["classes"].values():
        assert row["balanced_accuracy"]["ci_low"] < 0.5 < row["balanced_accuracy"]["ci_high"]


def test_images_of_one_patient_stay_in_one_fold():
    # The embedding is the patient and nothing else: who sees a patient's other images would know the source.
    embedding, manifest = made_up()
    people = manifest.table["patient_id"].to_numpy()
    codes = {name: np.random.default_rng(i).normal(size=8) for i, name in enumerate(sorted(set(people)))}
    embedding = np.array([codes[name] for name in people], dtype=np.float32)
    for row in source_from_embedding(embedding, manifest)["classes"].values():
        assert row["balanced_accuracy"]["value"] < 0.75


def test_what_cannot_be_asked_is_said():
    embedding, manifest = made_up()
    table = manifest.table
    one = table["label"].eq("covid") & table["source"].eq("north")
    few = table["label"].eq("normal") & table["source"].eq("north")
    rows = ~one & (~few | (few.cumsum() < 3))
    found = source_from_embedding(embedding[rows.to_numpy()], manifest.take(rows.to_numpy()))
    assert found["classes"] == {}
    assert found["skipped"]["covid"] == "all images are of one source"
    assert "it takes 2 sources of 5" in found["skipped"]["normal"]
    nameless = Manifest(table.drop(columns="source"), Path(), manifest.quarantine)
    assert "states its source" in source_from_embedding(embedding, nameless)["skipped"]["all"]
