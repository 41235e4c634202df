"""Groups: connected components over patients, files, pictures and duplicates."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from covid_xray.data.manifest.manifest import Manifest, quarantine_table
from covid_xray.data.split.groups import groups, with_duplicates
from covid_xray.errors import BadManifest


def manifest_of(**columns: list[str]) -> Manifest:
    table = pd.DataFrame(columns, dtype=str)
    if "image" not in table:
        table.insert(0, "image", [f"i{n:04d}.png" for n in range(len(table))])
    return Manifest(table, Path(), quarantine_table([]))


def plain(n: int = 60, *, per_patient: int = 2, classes: int = 3) -> Manifest:
    label = [f"c{(i // per_patient) % classes}" for i in range(n)]
    return manifest_of(label=label, patient_id=[f"p{i // per_patient}" for i in range(n)])


@st.composite
def manifests(draw):
    n = draw(st.integers(8, 60))
    cell = st.integers(0, draw(st.integers(3, 30)))

    def column(prefix):
        return [f"{prefix}{v}" if v else "" for v in draw(st.lists(cell, min_size=n, max_size=n))]

    label = [f"c{v}" for v in draw(st.lists(st.integers(0, 2), min_size=n, max_size=n))]
    return manifest_of(label=label, patient_id=column("p"), sha256=column("s"), group=column("d"))


@settings(max_examples=100, deadline=None)
@given(manifests())
def test_groups_are_connected_components(manifest):
    found = groups(manifest).to_numpy()
    table = manifest.table
    linked = np.eye(len(table), dtype=bool)
    for column in ("patient_id", "sha256", "group"):
        values = table[column].to_numpy()
        linked |= (values[:, None] == values[None, :]) & (values != "")[:, None]
    for _ in range(len(table).bit_length()):
        linked = (linked.astype(int) @ linked.astype(int)) > 0
    assert ((found[:, None] == found[None, :]) == linked).all()


def test_duplicates_join_images_across_patients():
    manifest = plain(12, classes=2)
    duplicates = pd.DataFrame(
        {"group": ["d1", "d1", "d2", "d2"], "image": ["i0000.png", "i0011.png", "i0004.png", "elsewhere.png"]}
    )
    joined = groups(with_duplicates(manifest, duplicates))
    assert joined["i0000.png"] == joined["i0001.png"] == joined["i0010.png"] == joined["i0011.png"]
    assert joined["i0004.png"] != joined["i0000.png"]
    with pytest.raises(BadManifest, match="in two"):
        with_duplicates(manifest, pd.concat([duplicates, pd.DataFrame({"group": ["d9"], "image": ["i0000.png"]})]))
    with pytest.raises(BadManifest, match="group and image"):
        with_duplicates(manifest, pd.DataFrame({"image": ["i0000.png"]}))
