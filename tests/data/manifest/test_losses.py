"""A class that disappears stops the command; many lost files are said on the last line."""

from pathlib import Path

import pytest

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.errors import BadManifest
from support.commands import call, refused
from support.datasets import draw_folders


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = draw_folders(tmp_path / "data", each=10)
    for path in (root / "virus").iterdir():
        path.write_text("<html>")
    return root


def test_a_class_without_a_usable_image_stops(data: Path, tmp_path: Path) -> None:
    message = refused(BadManifest, "index", "--data", data, "-o", tmp_path / "m.csv")
    assert message.startswith("virus: 10 found, 0 usable. The first is virus/virus-00.png: Not an image file.")
    assert not (tmp_path / "m.csv").exists()
    assert BadManifest.exit_code == 3
    assert call("split", "--data", data, "--label", "covid", "--label", "normal", "-o", tmp_path / "s").exit_code == 0


def test_a_class_in_a_format_that_is_not_read_stops_with_how_to_convert_it(data: Path) -> None:
    for path in (data / "virus").iterdir():
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(BadManifest, match=r"virus: 10 found, 0 usable.*Convert it: magick"):
        read_manifest(data)


def test_a_class_whose_files_are_missing_stops(data: Path) -> None:
    (data / "t.csv").write_text("image,label\ncovid/covid-00.png,covid\ngone.png,virus\n,virus\n")
    with pytest.raises(BadManifest, match=r"^virus: \d found, 0 usable\. .* does not exist"):
        read_manifest(data / "t.csv")


def test_a_folder_of_documents_is_no_class(data: Path) -> None:
    for path in (data / "virus").iterdir():
        path.rename(path.with_suffix(".txt"))
    found = read_manifest(data)
    assert found.classes == ("covid", "normal")
    assert len(found.quarantine) == 10


def test_more_than_a_tenth_quarantined_is_the_last_line(data: Path, tmp_path: Path) -> None:
    for path in sorted((data / "virus").iterdir())[:8]:
        path.write_bytes((data / "covid" / "covid-00.png").read_bytes())
    assert "warning" not in call("index", "--data", data, "-o", tmp_path / "m.csv").stderr
    (data / "virus" / "virus-07.png").write_text("<html>")
    (data / "virus" / "virus-06.png").write_text("")
    for command in ("index", "split"):
        last = call(command, "--data", data, "-o", tmp_path / "m.csv").stderr.splitlines()[-1]
        assert last == "warning: 4 of 30 files (13%) are quarantined: 3 not-an-image, 1 empty"
