"""What a command uses of a data set: labels, rows and groups of copies; files are opened only where they are needed."""

from pathlib import Path

import pandas as pd
import pytest

from covid_xray.cli.selection import check_rows, read
from covid_xray.errors import BadManifest, InputRefused, UsageError
from support.bundles import grey, make_bundle
from support.commands import call, refused
from support.datasets import draw_folders
from support.drawing import png


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
    after = check_rows(manifest)
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


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    """A table of another hospital: its columns, its words for the classes, absolute paths, a semicolon."""
    rows = ["Scan;Diagnosis;Hospital"]
    for label, name in (("COVID", "covid"), ("Viral Pneumonia", "virus"), ("Normal", "normal")):
        for seed in range(4):
            path = tmp_path / "scans" / f"{name}{seed}.png"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(png(grey(name, seed=seed)))
            rows.append(f"{path};{label};{'xy'[seed % 2]}")
    (tmp_path / "scans.csv").write_text("\n".join(rows) + "\n")
    return tmp_path / "scans.csv"


COLUMNS = "image=Scan,label=Diagnosis,source=Hospital"
LABELS = "COVID=covid,Viral Pneumonia=virus,Normal=normal"


def test_a_bundle_is_evaluated_on_the_table_of_another_hospital(foreign: Path, tmp_path: Path) -> None:
    words = ["evaluate", make_bundle(tmp_path / "bundle"), "--data", foreign, "-o", tmp_path / "out", "--rounds", 10]
    assert "--columns image=COLUMN" in refused(BadManifest, *words)
    told = refused(InputRefused, *words, "--columns", COLUMNS, "--rename-labels", "Viral Pneumonia=virus")
    assert 'Did you mean --rename-labels "COVID=covid,Normal=normal"?' in told
    result = call(*words, "--columns", COLUMNS, "--rename-labels", LABELS)
    assert result.exit_code == 0, result.output
    table = pd.read_csv(tmp_path / "out" / "predictions.csv")
    assert sorted(set(table["label"])) == ["covid", "normal", "virus"]
    assert set(table["source"]) == {"x", "y"}


def test_index_and_duplicates_know_the_same_words(foreign: Path, tmp_path: Path) -> None:
    words = ["--data", foreign, "--columns", COLUMNS, "--rename-labels", LABELS]
    assert call("index", *words, "-o", tmp_path / "m.csv").exit_code == 0
    assert sorted(set(pd.read_csv(tmp_path / "m.csv")["label"])) == ["covid", "normal", "virus"]
    assert call("duplicates", *words, "-o", tmp_path / "d.csv").exit_code == 0
    assert "Did you mean COVID?" in refused(
        UsageError, "split", "--data", foreign, "--columns", COLUMNS, "--rename-labels", "covid=x", "-o", tmp_path / "s"
    )
