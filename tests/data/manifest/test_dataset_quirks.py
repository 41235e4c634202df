"""What single public sets do in their own way."""

from pathlib import Path

import numpy as np
from PIL import Image

from covid_xray.data.manifest.public_datasets import import_source


def draw(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(map(ord, name))
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(path, format="PNG" if path.suffix.lower() == ".png" else "JPEG")
    return root


def write(path: Path, *lines: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding=encoding)


def rows(manifest):
    return manifest.table.set_index("original_name" if "original_name" in manifest.table else "image")


def refused(manifest):
    return dict(zip(manifest.quarantine["image"], manifest.quarantine["code"], strict=True))


def test_figure1_table_in_another_encoding(tmp_path):
    draw(tmp_path, "images/COVID-00001.jpg", "images/COVID-00003a.jpg", "images/COVID-00003b.png")
    write(
        tmp_path / "metadata.csv",
        "patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,view,modality,originalfile,"
        "artifacts/distortion,notes",
        "COVID-00001,13,M,33,COVID-19,,,58,AP erect,X-ray,COVID-0001.jpeg,,39\u00b0C",
        "COVID-00003a,8,M,28,COVID-19,,39.1,90,AP erect,X-ray,COVID-0024.jpeg,,",
        "COVID-00003b,8,M,50+,,,39.1,90,AP erect,X-ray,COVID-0025.jpeg,,",
        encoding="cp1252",
    )
    manifest = import_source("figure1", tmp_path)
    assert manifest.table["patient_id"].tolist() == ["figure1-COVID-00001", "figure1-COVID-00003"]
    assert manifest.table["age"].tolist() == ["33", "28"]
    assert refused(manifest) == {"images/COVID-00003b.png": "no-label"}


def test_covidx_rows_of_four_and_five_tokens(tmp_path):
    draw(
        tmp_path, "train/nejmc_f1a.jpeg", "train/COVID (71).png", "train/COVID-00015b.png", "test/p1.png", "test/r.png"
    )
    write(
        tmp_path / "labels" / "train_COVIDx9B.txt",
        "4 nejmc_f1a.jpeg positive cohen",
        "COVID-71 COVID (71).png positive sirm",
        "COVID-00015b COVID-00015b.png positive fig1",
    )
    write(
        tmp_path / "labels" / "test_COVIDx9B.txt",
        "ANON56 p1.png negative actmed",
        "r r.png normal",
        "x gone.png normal rsna",
    )
    manifest = import_source("covidx", tmp_path)
    table = rows(manifest)
    assert table[["label", "source", "patient_id", "split"]].T.to_dict("list") == {
        "test/p1.png": ["negative", "covidx-actmed", "actualmed-ANON56", "test"],
        "test/r.png": ["normal", "covidx", "covidx-r", "test"],
        "train/nejmc_f1a.jpeg": ["covid", "covidx-cohen", "ieee8023-4", "train"],
        "train/COVID (71).png": ["covid", "covidx-sirm", "sirm-COVID-71", "train"],
        "train/COVID-00015b.png": ["covid", "covidx-fig1", "figure1-COVID-00015", "train"],
    }
    assert refused(manifest) == {"gone.png": "missing-file"}
