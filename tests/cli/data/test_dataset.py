"""The commands about data, as a user runs them."""

import contextlib
import csv
import json
import os
import threading
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner, Result

from covid_xray.cli import app
from covid_xray.errors import BadManifest, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for label in ("covid", "normal"):
        (tmp_path / "data" / label).mkdir(parents=True)
        for n in range(30):
            pixels = random.integers(0, 120 if label == "covid" else 200, (40, 40), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "data" / label / f"{n:02d}.png")
    (tmp_path / "data" / "covid" / "broken.png").write_text("<html>")
    return tmp_path / "data"


def run(*words: str | Path) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False, terminal_width=200)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_index_writes_manifest_and_quarantine(folder, tmp_path):
    result = run("index", "--data", folder, "-o", tmp_path / "out" / "manifest.csv")
    assert result.exit_code == 0
    assert "found 61 = 60 indexed + 1 quarantined" in result.output
    assert len(rows(tmp_path / "out" / "manifest.csv")) == 60
    assert rows(tmp_path / "out" / "quarantine.csv")[0]["image"] == "covid/broken.png"


def test_index_then_split_then_folds(folder, tmp_path):
    manifest = tmp_path / "elsewhere" / "manifest.csv"
    run("index", "--data", folder, "-o", manifest)
    result = run("split", "--data", manifest, "-o", tmp_path / "split.csv", "--calibration", "0.1")
    assert result.exit_code == 0
    assert {row["split"] for row in rows(tmp_path / "split.csv")} == {"train", "val", "calibration", "test"}
    run("split", "--data", manifest, "-o", tmp_path / "folds.csv", "--folds", "5")
    assert {row["split"] for row in rows(tmp_path / "folds.csv")} == set("01234")
    duplicates = tmp_path / "duplicates.csv"
    pairs = "".join(f"d{n},{label}/{n:02d}.png\n" for n in range(30) for label in ("covid", "normal"))
    duplicates.write_text(f"group,image\n{pairs}")
    run("split", "--data", manifest, "-o", tmp_path / "joined.csv", "--duplicates", duplicates)
    sides: dict[str, set[str]] = {}
    for row in rows(tmp_path / "joined.csv"):
        sides.setdefault(row["image"][-6:], set()).add(row["split"])
    assert all(len(parts) == 1 for parts in sides.values())


def test_index_combines_several_sets(folder, tmp_path):
    run("index", "--data", folder, "-o", tmp_path / "first.csv")
    other = tmp_path / "other" / "virus"
    other.mkdir(parents=True)
    Image.fromarray(np.full((30, 30), 9, np.uint8)).save(other / "v.png")
    result = run("index", "--data", tmp_path / "first.csv", "--data", tmp_path / "other", "-o", tmp_path / "all.csv")
    assert result.exit_code == 0
    found = {(row["image"], row["source"]) for row in rows(tmp_path / "all.csv")}
    assert {("other/virus/v.png", "other"), ("data/covid/00.png", "data")} <= found
    assert len(found) == 61


def test_split_by_source_writes_one_file_for_each(folder, tmp_path):
    run("index", "--data", folder, "-o", tmp_path / "manifest.csv")
    table = rows(tmp_path / "manifest.csv")
    for n, row in enumerate(table):
        row["source"] = "xy"[n % 2]
    with (tmp_path / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, table[0])
        writer.writeheader()
        writer.writerows(table)
    run("split", "--data", tmp_path / "manifest.csv", "-o", tmp_path / "loso", "--leave-one-source-out")
    assert sorted(path.name for path in (tmp_path / "loso").iterdir()) == ["split-x.csv", "split-y.csv"]


def test_given_overlap_is_refused_and_loud_when_allowed(folder, tmp_path):
    run("index", "--data", folder, "-o", tmp_path / "manifest.csv")
    table = rows(tmp_path / "manifest.csv")
    for n, row in enumerate(table):
        row |= {"split": "train" if n % 3 else "test", "patient_id": f"p{n // 2}"}
    with (tmp_path / "manifest.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, table[0])
        writer.writeheader()
        writer.writerows(table)
    words = ["split", "--data", tmp_path / "manifest.csv", "-o", tmp_path / "split.csv"]
    with pytest.raises(Exception, match="patients are in two parts"):
        run(*words)
    assert not (tmp_path / "split.csv").exists()
    assert "overlap" in run(*words, "--allow-overlap", "--val", "0").output


def test_doctor_writes_its_pages(folder, tmp_path):
    result = run("doctor", "--data", folder, "-o", tmp_path / "doctor", "--title", "two [classes]")
    assert "two [classes]" in result.output
    assert "readable" in result.output
    assert json.loads((tmp_path / "doctor" / "doctor.json").read_text())["title"] == "two [classes]"
    assert (tmp_path / "doctor" / "doctor.html").is_file()


def test_baselines_writes_what_reports_read(folder, tmp_path):
    result = run("baselines", "--data", folder, "-o", tmp_path / "b", "--folds", "2")
    assert "best without lungs" in result.output
    assert json.loads((tmp_path / "b" / "baselines.json").read_text())["best_without_lungs"]["without_lungs"]


def test_labels_and_rows_are_chosen_as_in_training(folder, tmp_path):
    for n in range(30):
        (tmp_path / "data" / "virus").mkdir(exist_ok=True)
        pixels = np.random.default_rng(n).integers(0, 90, (40, 40), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "data" / "virus" / f"{n:02d}.png")
    words = ["split", "--data", folder, "--label", "covid", "--label", "virus", "--where", "file_format=PNG"]
    run(*words, "-o", tmp_path / "split.csv")
    assert {row["label"] for row in rows(tmp_path / "split.csv")} == {"covid", "virus"}


def test_wrong_words(folder, tmp_path):
    with pytest.raises(UsageError, match="--source together with --from"):
        run("index", "-o", tmp_path / "m.csv")
    with pytest.raises(UsageError, match="exclude each other"):
        run("split", "--data", folder, "-o", tmp_path / "s.csv", "--folds", "3", "--leave-one-source-out")
    with pytest.raises(BadManifest, match="open"):
        run("index", "--data", folder, "-o", tmp_path / "m.csv", "--license-allow", "open")
    assert not (tmp_path / "m.csv").exists()


def test_a_fifo_gets_the_manifest_and_no_quarantine_beside_it(folder, tmp_path):
    os.mkfifo(tmp_path / "pipe")
    got = []
    reader = threading.Thread(target=lambda: got.append((tmp_path / "pipe").read_bytes()))
    reader.start()
    assert run("index", "--data", folder, "-o", tmp_path / "pipe").exit_code == 0
    reader.join(timeout=20)
    assert len(got[0].splitlines()) == 61
    assert (tmp_path / "pipe").is_fifo()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data", "pipe"]


def test_a_dash_is_standard_output_and_messages_go_to_stderr(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    result = run("index", "--data", folder, "-o", "-")
    assert len(list(csv.DictReader(result.stdout.splitlines()))) == 60
    assert "60 indexed + 1 quarantined" in result.stderr
    result = run("split", "--data", folder, "-o", "-")
    assert {row["split"] for row in csv.DictReader(result.stdout.splitlines())} == {"train", "val", "test"}
    (folder / "covid" / "broken.png").unlink()
    result = run("duplicates", "--data", folder / "covid", "-o", "-")
    assert result.stdout.startswith("group,image,kind,distance")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_quarantine_is_never_overwritten_by_that_of_another_manifest(folder, tmp_path):
    run("index", "--data", folder, "-o", tmp_path / "first.csv")
    before = (tmp_path / "quarantine.csv").read_bytes()
    (folder / "covid" / "broken.png").unlink()
    assert "second.quarantine.csv" in run("index", "--data", folder, "-o", tmp_path / "second.csv").output
    assert (tmp_path / "quarantine.csv").read_bytes() == before
    run("index", "--data", folder, "-o", tmp_path / "second.csv")
    assert (tmp_path / "quarantine.csv").read_bytes() == before
    run("index", "--data", folder, "-o", tmp_path / "first.csv")  # its own is written anew
    assert rows(tmp_path / "quarantine.csv") == []


@pytest.mark.parametrize("command", ["index", "split", "duplicates"])
def test_a_folder_as_output_is_refused_before_any_image_is_read(tmp_path, command):
    with pytest.raises(UsageError, match="is a folder") if command == "split" else contextlib.nullcontext():
        assert run(command, "--data", tmp_path / "none", "-o", tmp_path).exit_code == 2


def test_a_dry_run_says_how_the_folder_is_read_and_writes_nothing(folder, tmp_path):
    folder.rename(tmp_path / "inner")
    (tmp_path / "outer").mkdir()
    (tmp_path / "inner").rename(tmp_path / "outer" / "inner")
    result = run("index", "--data", tmp_path / "outer", "--dry-run")
    assert f"{tmp_path}/outer: folders inner/class/name" in result.output
    assert "found 61 = 61 indexed + 0 quarantined" in result.output  # the broken one would be found by decoding
    assert sorted(path.name for path in tmp_path.iterdir()) == ["outer"]
    with pytest.raises(UsageError, match="-o FILE, or --dry-run"):
        run("index", "--data", tmp_path / "outer")
