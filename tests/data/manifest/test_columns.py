"""Tables of other people: their names of columns and labels, one-hot labels, absolute paths."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covid_xray.data.manifest.columns import parse_pairs
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import BadManifest, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for seed, name in enumerate("abc"):
        pixels = np.random.default_rng(seed).integers(0, 256, (24, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
    return tmp_path


def csv(folder: Path, text: str) -> Path:
    (folder / "t.csv").write_text(text, encoding="utf-8")
    return folder / "t.csv"


def labels(found) -> dict[str, str]:
    return dict(zip(found.table["image"], found.table["label"], strict=True))


def test_columns_and_labels_are_named_by_the_user(folder: Path) -> None:
    path = csv(folder, "Scan,Diagnosis,Hospital,Label\na.png,COVID,x,1\nb.png,Viral Pneumonia,y,2\n")
    names = {"image": "Scan", "label": "diagnosis", "source": "Hospital"}
    found = read_manifest(path, columns=names, rename={"COVID": "covid", "Viral Pneumonia": "virus"})
    assert labels(found) == {"a.png": "covid", "b.png": "virus"}
    assert found.table["source"].tolist() == ["x", "y"]
    assert found.table["label_in_csv"].tolist() == ["1", "2"]  # the column of that name is kept


def test_wrong_names_are_refused_with_the_closest(folder: Path) -> None:
    path = csv(folder, "path,Diagnosis,Lable\na.png,COVID,1\n")
    with pytest.raises(BadManifest, match=r"--columns label=lable\.$"):
        read_manifest(path)
    with pytest.raises(UsageError, match=r"no column 'diagnose'.*Did you mean diagnosis\?"):
        read_manifest(path, columns={"label": "diagnose"})
    with pytest.raises(UsageError, match=r"No image has the label .Covid.\. Found: COVID\. Did you mean COVID"):
        read_manifest(path, columns={"label": "Diagnosis"}, rename={"Covid": "covid"})
    path.unlink()
    (folder / "k").mkdir()
    (folder / "a.png").rename(folder / "k" / "a.png")
    with pytest.raises(UsageError, match="Leave out --columns"):
        read_manifest(folder, columns={"label": "x"})


def test_one_hot_columns_are_the_label(folder: Path) -> None:
    found = read_manifest(csv(folder, "image,age,covid,Normal\na.png,40,1,0\nb.png,50,0.0,1.0\n"))
    assert labels(found) == {"a.png": "covid", "b.png": "normal"}
    path = csv(folder, "image,covid,normal,icu\na.png,1,0,1\nb.png,0,0,0\nc.png,1,1,0\n")
    with pytest.raises(BadManifest, match=r"3 of its rows .* --columns label=covid\+normal\+icu"):
        read_manifest(path)
    found = read_manifest(path, columns={"label": "covid+normal"})
    assert labels(found) == {"a.png": "covid"}
    assert found.table["icu"].tolist() == ["1"]
    assert found.quarantine["code"].tolist() == ["no-label", "several-labels"]


def test_absolute_paths_below_the_folder(folder: Path) -> None:
    path = csv(folder, f"image,label\n{folder}/a.png,covid\n")
    assert labels(read_manifest(path)) == {"a.png": "covid"}
    (folder / "sub").mkdir()
    with pytest.raises(BadManifest, match=r"is absolute and not below .*--images"):
        read_manifest(path, images=folder / "sub")


def test_a_data_frame_is_a_table(folder: Path) -> None:
    frame = pd.DataFrame({"image": ["a.png", folder / "b.png"], "class": ["covid", "normal"], "age": [40, None]})
    found = read_manifest(frame, images=folder)
    assert labels(found) == {"a.png": "covid", "b.png": "normal"}
    assert found.table["age"].tolist() == ["40.0", ""]
    with pytest.raises(BadManifest, match="The DataFrame has no column 'label'"):
        read_manifest(frame.drop(columns="class"), images=folder)


def test_labels_in_two_spellings_of_unicode_are_one(folder: Path) -> None:
    found = read_manifest(csv(folder, "image,label\na.png,fi\u00e8vre\nb.png,fie\u0300vre\n"))
    assert found.classes == ("fi\u00e8vre",)


def test_pairs_of_an_option() -> None:
    assert parse_pairs("COVID=covid, Viral Pneumonia = virus", option="--x") == {
        "COVID": "covid",
        "Viral Pneumonia": "virus",
    }
    assert parse_pairs(None, option="--x") == {}
    for wrong in ("a", "a=", "=b", "a=b,a=c"):
        with pytest.raises(UsageError, match="--x A=B"):
            parse_pairs(wrong, option="--x")
