"""Train and test by patient; images that may only test take their whole group with them."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.data.manifest.manifest import Manifest, quarantine_table
from covid_xray.data.split.held_out import forbids_derivatives, held_out
from covid_xray.errors import BadSplit


def manifest(licenses: list[str], *, each: int = 3) -> Manifest:
    """`each` images of one patient for each licence."""
    rows = [
        {"image": f"{n}-{i}.png", "label": "covid", "patient_id": f"p{n}", "license": text if i == 0 else "CC BY"}
        for n, text in enumerate(licenses)
        for i in range(each)
    ]
    return Manifest(pd.DataFrame(rows, dtype=str), Path(), quarantine_table([]))


def test_patients_stay_together_and_the_share_is_of_patients() -> None:
    some = manifest(["CC BY"] * 20)
    split = held_out(some, share=0.25, seed=1)
    by_patient = split.groupby(some.table.set_index("image")["patient_id"]).nunique()
    assert (by_patient == 1).all()
    assert (split == "test").sum() == 15
    pd.testing.assert_series_equal(split, held_out(some, share=0.25, seed=1))
    assert not split.equals(held_out(some, share=0.25, seed=2))


def test_one_image_that_may_only_test_binds_its_patient() -> None:
    some = manifest(["CC BY-NC-ND", "", *["CC BY"] * 8])
    split = held_out(some, share=0.25, test_only=forbids_derivatives(some))
    assert set(split[["0-0.png", "0-1.png", "1-2.png"]]) == {"test"}
    assert (split == "test").sum() == 3 * (2 + 2)


def test_a_table_without_licences_may_only_test() -> None:
    some = manifest(["CC BY"] * 4)
    bare = Manifest(some.table.drop(columns="license"), Path(), some.quarantine)
    assert forbids_derivatives(bare).all()
    with pytest.raises(BadSplit, match="train"):
        held_out(bare, share=0.5, test_only=forbids_derivatives(bare))


def test_no_empty_test_part() -> None:
    with pytest.raises(BadSplit, match="test"):
        held_out(manifest(["CC BY"] * 4), share=0.05, test_only=np.zeros(12, dtype=bool))
