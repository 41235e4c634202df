"""Which images of a hospital are used, and that every other one is named with its reason."""

from pathlib import Path

import pandas as pd
import pytest

from covid_xray.errors import BadManifest, InputRefused
from covid_xray.evaluation.site.images import read_images
from support.bundles import grey
from support.drawing import png


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four images: 0 and 1 of one patient, 2 with the pixels of 0, 3 without a label."""
    for number, seed in enumerate((0, 1, 0, 3)):
        (tmp_path / f"{number}.png").write_bytes(png(grey("normal", seed=seed)))
    return tmp_path


def table(folder: Path, **columns: list[str]) -> Path:
    rows = {"image": [f"{number}.png" for number in range(4)], **columns}
    pd.DataFrame(rows).to_csv(folder / "images.csv", index=False)
    return folder / "images.csv"


def left_out(manifest) -> dict[str, str]:
    return dict(zip(manifest.quarantine["image"], manifest.quarantine["code"], strict=True))


def test_copies_and_further_images_of_a_patient_are_left_out_and_said(folder):
    data = table(folder, label=["normal", "normal", "normal", ""], patient_id=["a", "a", "b", "c"])
    found = read_images(data)
    assert left_out(found) == {"1.png": "same-patient", "2.png": "copy"}
    assert found.table[["image", "label"]].to_numpy().tolist() == [["0.png", "normal"], ["3.png", ""]]
    assert found.found == 4


def test_images_of_the_training_are_left_out(folder):
    data = table(folder, label=["normal"] * 4)
    found = read_images(data, trained=lambda rows: rows["image"] == "3.png")
    assert left_out(found) == {"2.png": "copy", "3.png": "trained"}


def test_images_need_no_label_at_all(folder):
    assert set(read_images(folder).table["label"]) == {""}
    assert set(read_images(table(folder)).table["label"]) == {""}


def test_a_label_of_another_name_can_mean_healthy(folder):
    found = read_images(table(folder, label=["No finding"] * 4), healthy=("No finding", "normal"))
    assert set(found.table["label"]) == {"normal"}


def test_two_hospitals_are_refused_and_one_of_them_can_be_chosen(folder):
    data = table(folder, label=["normal"] * 4, source=["a", "a", "b", "b"])
    with pytest.raises(InputRefused, match="2 hospitals: a, b") as caught:
        read_images(data)
    assert caught.value.code == "mixed-sites"
    assert len(read_images(data, where=["source=a"]).table) == 2


def test_nothing_usable_is_refused(tmp_path):
    with pytest.raises(BadManifest, match="No such file or folder"):
        read_images(tmp_path / "nowhere")
    (tmp_path / "notes.csv").write_text("a,b\n1,2\n")
    with pytest.raises(BadManifest, match="no column 'image'"):
        read_images(tmp_path / "notes.csv")


def test_columns_and_labels_of_other_names_are_taken(folder):
    rows = {"Datei": [f"{number}.png" for number in range(4)], "Befund": ["gesund", "gesund", "", "COVID"]}
    pd.DataFrame(rows).to_csv(folder / "liste.csv", index=False, sep=";")
    names = {"image": "Datei", "label": "Befund"}
    found = read_images(folder / "liste.csv", columns=names, rename={"gesund": "normal", "COVID": "covid"})
    assert found.table[["image", "label"]].to_numpy().tolist() == [
        ["0.png", "normal"],
        ["1.png", "normal"],
        ["3.png", "covid"],
    ]
    assert left_out(found) == {"2.png": "copy"}
    unlabelled = read_images(folder / "liste.csv", columns={"image": "Datei"})
    assert set(unlabelled.table["label"]) == {""}
