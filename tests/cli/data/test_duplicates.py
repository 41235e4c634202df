"""The command: table, sheet, exit codes, folders with and without classes."""

import cv2
import pandas as pd
import pytest
from typer.testing import CliRunner

from covid_xray.cli import app
from covid_xray.errors import PartlyDone
from support import films


@pytest.fixture
def clinic(tmp_path):
    film = films.film(1)
    for name, picture in {"normal/a": film, "covid/b": films.turned(film), "covid/c": films.film(9, chest=9)}.items():
        path = tmp_path / "clinic" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), picture)
    return tmp_path / "clinic"


def run(*arguments):
    return CliRunner().invoke(app, ["duplicates", *map(str, arguments)])


def test_table_and_sheet_are_written_and_pairs_of_two_labels_counted(clinic, tmp_path):
    result = run("--data", clinic, "-o", tmp_path / "out" / "duplicates.csv", "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "duplicates.csv")
    assert table["image"].tolist() == ["covid/b.png", "normal/a.png"]
    assert table["kind"].tolist() == ["near", "near"]
    assert (tmp_path / "sheet.png").read_bytes().startswith(b"\x89PNG")
    assert "3 images are 2 radiographs" in result.output
    near = next(line for line in result.output.splitlines() if "near" in line)
    assert [word for word in near.split() if word.isdigit()] == ["1", "1"]


def test_a_folder_without_classes_is_searched_too(clinic, tmp_path):
    result = run("--data", clinic / "covid", "-o", tmp_path / "duplicates.csv", "--sheet", tmp_path / "sheet.png")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "duplicates.csv").read_text() == "group,image,kind,distance\n"
    assert "no pairs, so no sheet" in result.output
    assert not (tmp_path / "sheet.png").exists()


def test_an_unreadable_file_is_named_and_the_table_written(clinic, tmp_path):
    (clinic / "covid" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    result = run("--data", clinic, "-o", tmp_path / "duplicates.csv")
    assert isinstance(result.exception, PartlyDone)
    assert "covid/broken.png" in result.stderr
    assert len(pd.read_csv(tmp_path / "duplicates.csv")) == 2


def test_a_sheet_that_is_no_png_is_refused_before_the_work(clinic, tmp_path):
    result = run("--data", clinic, "-o", tmp_path / "duplicates.csv", "--sheet", tmp_path / "sheet.tiff")
    assert result.exit_code != 0
    assert not (tmp_path / "duplicates.csv").exists()
