"""Tables: what is wrong with a CSV file is said in words, and ids stay as they are written."""

from pathlib import Path

import numpy as np
import openpyxl
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.data.manifest.tables import number_column, read_table, read_xlsx
from covid_xray.errors import BadManifest


def draw(path: Path, *, seed: int = 0) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (24, 20), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def table(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "header"),
        (b"\n\n", "header"),
        (b"Image,Label\n", "only a header"),
        (b"a.png,covid\nb.png,normal\n", "needs image and label"),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", "is not text"),
        (b"Image,Label\na.png\n", "Line 2 of t.csv has 1 fields, its header 2"),
        (b"Image,Label\na.png,covid,3\n", "Line 2 of t.csv has 3 fields, its header 2"),
        (b'Image,Label\n"a.png,covid\n', "breaks off"),
        (b"Image,image,Label\na.png,b.png,covid\n", "column 'image' twice"),
        (b"Image,Label,Split\na.png,covid,holdout\n", "'holdout'"),
    ],
)
def test_bad_csv_is_refused_with_the_problem(tmp_path, data, said):
    draw(tmp_path / "a.png")
    (tmp_path / "t.csv").write_bytes(data)
    with pytest.raises(BadManifest, match=said):
        read_manifest(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "data",
    [
        "Image;Label\né.png;covid\n".encode("cp1252"),
        "Image\tLabel\né.png\tcovid\n".encode("utf-16"),
        "Image;Label\né.png;covid\n".encode("utf-16-le").join((b"\xff\xfe", b"")),
        "Image,Label\ne\u0301.png,covid\n".encode(),
    ],
)
def test_separators_encodings_and_accents_of_other_programs(tmp_path, data):
    draw(tmp_path / "é.png")
    (tmp_path / "t.csv").write_bytes(data)
    assert read_manifest(tmp_path / "t.csv").table["image"].tolist() == ["é.png"]
    (tmp_path / "é.png").rename(tmp_path / "e\u0301.png")
    assert read_manifest(tmp_path / "t.csv").table["image"].tolist() == ["e\u0301.png"]


ROWS = pd.DataFrame({"image": ["a.png", "b.png"], "label": ["covid", "normal"], "age": [40.0, None], "n": [1, 2]})


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "ndjson", "xlsx"])
def test_tables_of_other_kinds_give_the_same_rows(tmp_path, suffix):
    path = tmp_path / f"t.{suffix}"
    for name in ROWS["image"]:
        draw(tmp_path / name)
    if suffix == "parquet":
        ROWS.to_parquet(path)
    elif suffix == "xlsx":
        ROWS.to_excel(path, index=False)
    else:
        ROWS.to_json(path, orient="records", lines=True)
    found = read_manifest(path).table
    assert found[["image", "label", "n"]].to_numpy().tolist() == [["a.png", "covid", "1"], ["b.png", "normal", "2"]]
    assert found["age"].map(lambda cell: cell.removesuffix(".0")).tolist() == ["40", ""]


def test_damaged_and_nested_tables_are_refused(tmp_path):
    (tmp_path / "t.parquet").write_bytes(b"PAR1 not really PAR1")
    with pytest.raises(BadManifest, match="not a readable Parquet file"):
        read_manifest(tmp_path / "t.parquet")
    pd.DataFrame({"image": [["a.png"]], "label": ["x"]}).to_parquet(tmp_path / "n.parquet")
    with pytest.raises(BadManifest, match="nested columns"):
        read_manifest(tmp_path / "n.parquet")
    for line in ('{"image": "a.png"', '["a.png"]', '{"image": {"path": "a.png"}}', "[" * 100_000):
        (tmp_path / "t.jsonl").write_text(f'{{"image": "a.png", "label": "x"}}\n{line}\n')
        with pytest.raises(BadManifest, match=r"Line 2 of t\.jsonl is not a flat JSON object"):
            read_manifest(tmp_path / "t.jsonl")


def test_byte_order_mark_and_windows_lines(tmp_path):
    draw(tmp_path / "a.png")
    (tmp_path / "t.csv").write_bytes(b"\xef\xbb\xbfImage,Label\r\na.png,covid\r\n")
    assert read_manifest(tmp_path / "t.csv").table["label"].tolist() == ["covid"]


def test_patient_ids_are_text(tmp_path):
    for name in "abcdef":
        draw(tmp_path / f"{name}.png")
    lines = "Image,Label,Patient ID\na.png,x,007\nb.png,x,12.0\nc.png,y,12\nd.png,y,p.0\ne.png,y,unknown\nf.png,y,\n"
    ids = read_manifest(table(tmp_path / "t.csv", lines)).table["patient_id"].tolist()
    assert ids == ["007", "12", "12", "p.0", "", ""]


def test_workbooks_are_read_as_text(tmp_path):
    book = openpyxl.Workbook()
    book.active.append(["FILE NAME", "SIZE", "NOTE"])
    book.active.append(["COVID-1", 256, None])
    book.active.append([None, None, None])
    book.save(tmp_path / "x.xlsx")
    assert read_xlsx(tmp_path / "x.xlsx").to_dict("records") == [{"FILE NAME": "COVID-1", "SIZE": "256", "NOTE": ""}]
    (tmp_path / "x.xlsx").write_bytes(b"PK\x03\x04 not really")
    with pytest.raises(BadManifest, match="Excel"):
        read_xlsx(tmp_path / "x.xlsx")


def test_numbers_of_a_text_column():
    found = number_column(read_table_of("a,b\n1,x\n,2\n"), "a")
    assert found.iloc[0] == 1
    assert np.isnan(found.iloc[1])
    assert number_column(read_table_of("a\n1\n"), "nowhere").isna().all()


def read_table_of(text: str):
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        return read_table(table(Path(folder) / "t.csv", text))


def outcome(path: Path) -> str:
    """The table as text, or the message of the error; any other exception is a bug."""
    try:
        return read_manifest(path).table.to_csv()
    except BadManifest as error:
        return error.message


@settings(max_examples=120, deadline=None)
@given(st.one_of(st.binary(max_size=80), st.text(max_size=60).map(lambda text: f"image,label\n{text}\n".encode())))
def test_any_bytes_are_a_manifest_or_a_clear_error(tmp_path_factory, data):
    folder = tmp_path_factory.getbasetemp() / "fuzz"
    draw(folder / "a.png")
    (folder / "t.csv").write_bytes(data)
    said = outcome(folder / "t.csv")
    assert "image" in said or said.endswith(".")


@settings(max_examples=80, deadline=None)
@given(st.lists(st.tuples(st.text(max_size=6), st.sampled_from(["covid", "normal", ""])), max_size=6))
def test_any_names_are_rows_or_a_clear_error(tmp_path_factory, rows):
    import csv

    folder = tmp_path_factory.getbasetemp() / "names"
    draw(folder / "a.png")
    with (folder / "t.csv").open("w", newline="", encoding="utf-8", errors="surrogatepass") as stream:
        csv.writer(stream).writerows([("image", "label"), ("a.png", "covid"), *rows])
    said = outcome(folder / "t.csv")
    assert "a.png" in said or said.endswith(".")
