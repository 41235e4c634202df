"""What a bundle says of each image stands beside what the table says of its patient, row by row."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from covid_xray.data.manifest.clinical_table import NAMES
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import InputRefused
from covid_xray.evaluation.clinical.clinical_predictions import ClinicalPredictions, predict_with_clinical
from support.bundles import CLASSES, GREYS, grey, make_bundle
from support.drawing import png

AGE = NAMES.index("age")


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two images of each class, one image that cannot be read, and one value that cannot be one."""
    root = tmp_path_factory.mktemp("table")
    rows = [("broken.png", "covid", "p9", "70")]
    (root / "broken.png").write_bytes(b"x")
    for number, label in enumerate(sorted(GREYS) * 2):
        (root / f"{number}.png").write_bytes(png(grey(label, seed=number)))
        rows.append((f"{number}.png", label, f"p{number // 2}", "200" if number == 5 else str(30 + number)))
    pd.DataFrame(rows, columns=["image", "label", "patient_id", "age"]).to_csv(root / "t.csv", index=False)
    return root / "t.csv"


@pytest.fixture(scope="module")
def found(table: Path, tmp_path_factory: pytest.TempPathFactory) -> ClinicalPredictions:
    bundle = make_bundle(tmp_path_factory.mktemp("bundle") / "b")
    return predict_with_clinical(bundle, read_manifest(table, check=False))


def test_rows_are_those_of_the_images_that_were_answered(found: ClinicalPredictions) -> None:
    assert found.failed == 1
    assert list(found.manifest.table["image"]) == [f"{number}.png" for number in range(6)]
    labels = [CLASSES[code] for code in found.rows.labels]
    assert labels == list(found.manifest.table["label"])
    assert [CLASSES[code] for code in found.rows.probabilities.argmax(axis=1)] == labels
    assert found.rows.embedding.shape[0] == found.rows.clinical.shape[0] == 6
    assert len(set(found.rows.people)) == 3


def test_a_value_that_cannot_be_one_is_left_out_and_listed(found: ClinicalPredictions) -> None:
    assert found.rows.clinical[:5, AGE].tolist() == [30, 31, 32, 33, 34]
    assert np.isnan(found.rows.clinical[5, AGE])
    assert "200" in str(found.refused)


def test_who_never_saw_the_picture_has_even_probabilities(found: ClinicalPredictions) -> None:
    blind = found.take(np.arange(6) < 2).rows.without_image()
    assert blind.probabilities == pytest.approx(np.full((2, 3), 1 / 3))
    assert not blind.embedding.any()
    assert set(blind.inputs) == {"probabilities", "embedding", "clinical"}


def test_labels_that_the_network_does_not_know_are_refused(table: Path, tmp_path: Path) -> None:
    manifest = read_manifest(table, check=False)
    manifest.table["label"] = manifest.table["label"].replace("virus", "bacterial")
    with pytest.raises(InputRefused, match="bacterial"):
        predict_with_clinical(make_bundle(tmp_path / "b"), manifest)
