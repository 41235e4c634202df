"""The commands train-lungs and lungs, as a user would run them."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.bundle.lung_network_folder import read_network, write_network
from support.chests import chest, lung_facts, lung_network
from support.commands import run
from support.masked import draw_masked


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_masked(tmp_path_factory.mktemp("phantoms"))


@pytest.mark.slow
def test_train_lungs_from_the_command_line(phantoms: Path, tmp_path: Path, capsysbinary) -> None:
    pytest.importorskip("tensorflow")
    out = tmp_path / "run"
    options = ("--data", phantoms / "data.csv", "--masks", phantoms / "masks", "-o", out, "--test-only-unlicensed")
    small = ("--set", "image_size=32", "--set", "epochs=1", "--set", "batch_size=4")
    ran = run(capsysbinary, "train-lungs", *options, *small)
    assert ran.code == 0, ran.err.decode()
    assert b"20 images with masks:" in ran.out
    split = {row["image"]: row["split"] for row in csv.DictReader((out / "split.csv").read_text().splitlines())}
    assert "images/without.png" not in split
    assert {split[f"images/{number}.png"] for number in (16, 17, 18, 19)} == {"test"}, "others may not build on them"
    network = read_network(out)
    assert "images" not in network.facts["test"]
    assert run(capsysbinary, "train-lungs", *options, *small).code == 2
    ran = run(capsysbinary, "train-lungs", "--data", phantoms / "data.csv", "--masks", tmp_path, "-o", tmp_path / "x")
    assert ran.code == 3
    assert b"No mask in" in ran.err


def test_lungs_are_drawn_for_people_to_look_at(tmp_path: Path, capsysbinary) -> None:
    write_network(tmp_path / "net", LungNetwork(lung_network(), lung_facts()))
    films = tmp_path / "films"
    films.mkdir()
    for number in range(3):
        Image.fromarray(chest(height=100 + number)).save(films / f"{number}.png")
    Image.fromarray(np.full((90, 90), 250, np.uint8)).save(films / "white.png")
    (films / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ran = run(capsysbinary, "lungs", tmp_path / "net", films, "-o", tmp_path / "seen")
    assert ran.code == 4, "one could not be read"
    assert b"4 images, 1 without plausible lungs; 1 sheets" in ran.out
    assert b"broken.png" in ran.err
    names = sorted(path.name.split("-")[0] for path in (tmp_path / "seen").iterdir())
    assert names == ["0", "1", "2", "sheet", "white"]
    ran = run(capsysbinary, "lungs", tmp_path / "net", films, "-o", tmp_path / "few", "--sheets-only")
    assert [path.name for path in (tmp_path / "few").iterdir()] == ["sheet-01.png"]
