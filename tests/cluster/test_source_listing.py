from pathlib import Path

import pandas as pd
import pytest

from covid_xray.cluster.source_listing import list_source
from covid_xray.errors import BadManifest, InputRefused
from covid_xray.images.decode import is_image_name
from support.archives import picture


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("a/1.png", "a/2.JPG", "dicom/1.2.840.5", "dicom/IM0001", "dicom/DICOMDIR", "notes.txt", "x/s.tar"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(0))
    return tmp_path


def test_a_folder_gives_images_shards_and_counts_what_is_neither(tree: Path) -> None:
    listing = list_source(str(tree))
    entries = list(listing.entries)
    assert [e.name for e in entries] == ["a/1.png", "a/2.JPG", "dicom/1.2.840.5", "dicom/IM0001", "x/s.tar"]
    assert [e.name for e in entries if e.shard] == ["x/s.tar"]
    assert listing.passed_over == {".txt": 1, "DICOMDIR": 1}
    assert entries[0].size == len(picture(0))


def test_names_of_images() -> None:
    assert all(map(is_image_name, ("a.png", "b/IM01", "c/1.2.3", "d.DCM", "e.jpeg")))
    assert not any(map(is_image_name, ("a.txt", ".a.png", "DICOMDIR", "b.tar", "c.gz")))


@pytest.mark.parametrize("form", ["csv", "parquet", "address"])
def test_a_table_names_its_images_once_each(tree: Path, form: str) -> None:
    table = pd.DataFrame({"Label": list("xyzw"), "Image": ["a/2.JPG", "a/1.png", "a/2.JPG", ""]})
    if form == "csv":
        table.to_csv(tree / "t.csv", index=False)
    else:
        table.to_parquet(tree / "t.parquet")
    source = {"csv": f"{tree}/t.csv", "parquet": f"{tree}/t.parquet", "address": f"file://{tree}/t.parquet"}[form]
    listing = list_source(source)
    entries = list(listing.entries)
    assert [(e.name, e.problem) for e in entries] == [("a/2.JPG", ""), ("a/1.png", ""), ("row 4", "no-image")]
    assert (listing.repeated, listing.kind) == (1, "table")


def test_a_table_may_lie_elsewhere(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("other")
    (other / "t.csv").write_text("filename\n1.png\n")
    listing = list_source(str(other / "t.csv"), images=str(tree / "a"))
    assert [e.name for e in listing.entries] == ["1.png"]
    assert listing.place == str(tree / "a")
    with pytest.raises(InputRefused, match="empty or missing"):
        list_source(str(other / "t.csv"), images=str(tree / "gone"))


@pytest.mark.parametrize("name", ["/etc/1.png", "s3://b/1.png", "../1.png", "a/../../1.png", "C:/1.png"])
def test_a_table_that_leaves_its_folder_is_refused(tree: Path, name: str) -> None:
    (tree / "t.csv").write_text(f"image\n{name}\n")
    with pytest.raises(BadManifest, match="image path"):
        list(list_source(str(tree / "t.csv")).entries)


@pytest.mark.parametrize("text", [b"", b"label,view\na,b\n", b"\xff\xfe\x00", b"image\n\x81\n"])
def test_a_table_that_names_no_images_is_refused(tree: Path, text: bytes) -> None:
    (tree / "t.csv").write_bytes(text)
    with pytest.raises(BadManifest):
        list(list_source(str(tree / "t.csv")).entries)
    (tree / "t.parquet").write_bytes(text)
    with pytest.raises(BadManifest):
        list(list_source(str(tree / "t.parquet")).entries)


def test_what_is_not_there_is_refused(tmp_path: Path) -> None:
    for source in (tmp_path / "gone", tmp_path / "gone.csv"):
        with pytest.raises(InputRefused, match=r"No such|missing|Cannot"):
            list(list_source(str(source)).entries)


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("semicolon.csv", "Label;Image\nx;ä/1.png\ny;a/2.png\n".encode()),
        ("tab.tsv", "Label\tImage\nx\tä/1.png\ny\ta/2.png\n".encode()),
        ("utf16.csv", "Label,Image\nx,ä/1.png\ny,a/2.png\n".encode("utf-16")),
        ("windows.csv", "Label,Image\r\nx,ä/1.png\r\ny,a/2.png\r\n".encode("cp1252")),
        ("lines.jsonl", '{"label": "x", "image": "ä/1.png"}\n\n{"image": "a/2.png"}\n'.encode()),
    ],
)
def test_tables_are_read_as_people_save_them(tmp_path: Path, name: str, data: bytes) -> None:
    (tmp_path / name).write_bytes(data)
    assert [entry.name for entry in list_source(str(tmp_path / name)).entries] == ["ä/1.png", "a/2.png"]


@pytest.mark.parametrize("line", ["[1]", "{", '{"file_of": "a.png"}'])
def test_a_line_that_is_no_object_with_an_image_is_named(tmp_path: Path, line: str) -> None:
    (tmp_path / "t.jsonl").write_text('{"image": "a.png"}\n' + line)
    with pytest.raises(BadManifest, match=r"Line 2 of t.jsonl|no column `image`"):
        list(list_source(str(tmp_path / "t.jsonl")).entries)
