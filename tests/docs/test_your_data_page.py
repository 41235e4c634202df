"""Every command of the page on one's own data runs, on drawn radiographs laid out as the page says."""

import io
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covid_xray.images.phantoms.phantom import draw, draw_anatomy
from support.arrays import nifti
from support.bundles import make_bundle
from support.commands import call
from support.drawing import dicom

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "your-data.md").read_text(encoding="utf-8")
COMMANDS = [line for line in PAGE.splitlines() if line.startswith("covid-xray ")]
CLASSES = ("covid", "normal", "virus")
FOREIGN = {"COVID": "covid", "Normal": "normal", "Viral Pneumonia": "virus"}


@pytest.fixture(scope="session")
def phantoms() -> dict[str, list[np.ndarray]]:
    random = np.random.default_rng(0)
    anatomies = [draw_anatomy(random) for _ in range(4)]
    return {name: [draw(each, finding=name, size=64).pixels for each in anatomies] for name in CLASSES}


def put(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


def all_images(phantoms: dict[str, list[np.ndarray]], place: Callable[[str, int], str]) -> None:
    for name, pictures in phantoms.items():
        for number, pixels in enumerate(pictures):
            put(Path(place(name, number)), pixels)


@pytest.fixture
def layouts(phantoms: dict[str, list[np.ndarray]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    parts = ("training", "training", "validation", "testing")
    words = {name: word for word, name in FOREIGN.items()}
    all_images(phantoms, lambda name, n: f"scans/{name}/{n}.png")
    all_images(phantoms, lambda name, n: f"parts/{parts[n]}/{name}/{n}.png")
    all_images(phantoms, lambda name, n: f"archive/chest_xray/{('train', 'test')[n % 2]}/{name}/{n}.png")
    for kind in ("images", "masks"):
        all_images(phantoms, lambda name, n, kind=kind: f"radiography/{words[name]}/{kind}/{name}-{n}.png")
    for part in ("train", "test"):
        all_images(phantoms, lambda name, n, part=part: f"kaggle/{part}/{name}{n}.png")
    for folder in ("klinik", "onehot", "pictures", "lines"):
        all_images(phantoms, lambda name, n, folder=folder: f"{folder}/{name}{n}.png")
    rows = pd.DataFrame([(f"{name}{n}.png", name) for name in CLASSES for n in range(4)], columns=["image", "label"])
    rows.to_csv("kaggle/train.csv", index=False)
    german = rows.assign(Klinik="Köln").rename(columns={"image": "Bild", "label": "Diagnose"})
    german.to_csv("klinik/export.csv", sep=";", index=False, encoding="latin-1")
    flags = pd.get_dummies(rows["label"]).astype(int)
    pd.concat([rows["image"], flags], axis=1).assign(icu=[0, 1] * 6).to_csv("onehot/labels.csv", index=False)
    Path("warehouse").mkdir()
    rows.assign(image=f"{tmp_path}/pictures/" + rows["image"]).to_parquet("warehouse/export.parquet")
    rows.assign(patient_id=range(12)).to_json("lines/manifest.jsonl", orient="records", lines=True)
    export(phantoms)
    make_bundle(tmp_path / "bundle")
    return tmp_path


def export(phantoms: dict[str, list[np.ndarray]]) -> None:
    for name in CLASSES:
        Path(f"export/{name}").mkdir(parents=True)
    for name, pixels in zip(("IM0001", "1.2.840.1", "a.dcm", "a.ima"), phantoms["covid"], strict=True):
        Path(f"export/covid/{name}").write_bytes(dicom(pixels, bits=8))
    for suffix, pixels in zip(("tif", "bmp", "gif", "jp2"), phantoms["normal"], strict=True):
        put(Path(f"export/normal/b.{suffix}"), pixels)
    first, second, third, fourth = phantoms["virus"]
    put(Path("export/virus/c.webp"), np.stack([first] * 3, axis=-1))
    np.save("export/virus/c.npy", second)
    Path("export/virus/c.nii").write_bytes(nifti(third, code=2))
    stream = io.BytesIO()
    Image.fromarray(fourth).save(stream, "PNG")
    Path("export/virus/IM7").write_bytes(stream.getvalue())


def test_the_page_shows_ten_layouts() -> None:
    assert len([line for line in PAGE.splitlines() if line.startswith("## ") and line[3].isdigit()]) == 10
    assert len(COMMANDS) == 12


def test_every_command_of_the_page_runs(layouts: Path) -> None:
    for command in COMMANDS:
        words = shlex.split(command)[1:]
        result = call(*words, *(["--rounds", 10] if words[0] == "evaluate" else []))
        assert result.exit_code == 0, (command, result.output, result.exception)
        if "-o" not in words or words[0] != "index":
            continue
        table = pd.read_csv(words[words.index("-o") + 1])
        assert len(table) == 12, command
        assert sorted(set(table["label"])) == list(CLASSES), command
    assert set(pd.read_csv("parts.csv")["split"]) == {"train", "val", "test"}
    assert set(pd.read_csv("klinik.csv")["source"]) == {"Köln"}
    assert all(pd.read_csv("kaggle.csv")["image"].str.startswith("train/"))
    assert set(pd.read_csv("evaluated/predictions.csv")["label"]) == set(CLASSES)
    shutil.rmtree(layouts / "evaluated")
