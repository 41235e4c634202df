"""What a command uses of a data set: labels, rows and groups of copies; files are opened only where they are needed."""

from pathlib import Path

import pandas as pd
import pytest

from covid_xray.cli.selection import checked, read
from support.datasets import draw_folders


@pytest.fixture
def data(tmp_path: Path) -> Path:
    root = draw_folders(tmp_path / "data", each=3)
    (root / "covid" / "page.png").write_text("<!DOCTYPE html>")
    return root


def test_labels_and_rows_are_chosen(data: Path) -> None:
    assert set(read(data, labels=["covid", "virus"], show=False).table["label"]) == {"covid", "virus"}
    assert set(read(data, where=["label!=covid"], show=False).table["label"]) == {"normal", "virus"}


def test_without_checking_no_file_is_opened_until_it_is_asked_for(data: Path) -> None:
    manifest = read(data, check=False, show=False)
    assert len(manifest.table) == 10
    after = checked(manifest)
    assert len(after.table) == 9
    assert list(after.quarantine["image"]) == ["covid/page.png"]
    assert after.table["sha256"].str.len().eq(64).all()


def test_groups_of_copies_join_the_table(data: Path, tmp_path: Path) -> None:
    copies = sorted(path.relative_to(data).as_posix() for path in (data / "normal").iterdir())[:2]
    pd.DataFrame({"group": ["1", "1"], "image": copies}).to_csv(tmp_path / "d.csv", index=False)
    table = read(data, duplicates=tmp_path / "d.csv", show=False).table.set_index("image")
    assert table.loc[copies, "group"].nunique() == 1
    assert table.loc[copies[0], "group"] != ""


def test_the_summary_goes_to_stderr(data: Path, capfd: pytest.CaptureFixture[str]) -> None:
    read(data)
    said = capfd.readouterr()
    assert said.out == ""
    assert "9 indexed + 1 quarantined" in said.err
