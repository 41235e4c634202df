"""A lung network is read from a run, a training run or a bundle, and only where it is the one that was written."""

import json
from pathlib import Path

import pytest

from covid_xray.bundle.bundle import write_bundle
from covid_xray.bundle.lung_network import LUNGS_VERSION, MARGIN, LungNetwork
from covid_xray.bundle.lung_network_folder import read_network, write_network
from covid_xray.errors import InputRefused
from support.bundles import facts, make_bundle, network
from support.chests import lung_facts, lung_network


def test_what_was_written_is_read(tmp_path: Path) -> None:
    write_network(tmp_path / "run", LungNetwork(lung_network(), lung_facts(margin=0.1)))
    found = read_network(tmp_path / "run")
    assert found.model == lung_network()
    assert found.facts["margin"] == 0.1
    assert sorted(path.name for path in (tmp_path / "run").iterdir()) == ["lungs.json", "lungs.onnx"]


def test_facts_of_each_image_stay_behind_and_old_runs_have_a_margin(tmp_path: Path) -> None:
    about = {**lung_facts(), "test": {"dice_mean": 0.9, "images": {"p1.png": {"dice": 0.9}}}, "secret": "p1.png"}
    del about["margin"], about["version"]
    write_network(tmp_path / "run", LungNetwork(lung_network(), about))
    found = read_network(tmp_path / "run").facts
    assert found["test"] == {"dice_mean": 0.9}
    assert "secret" not in found
    assert (found["margin"], found["version"]) == (MARGIN, LUNGS_VERSION)


@pytest.mark.parametrize("below", ["", "bundle"])
def test_it_comes_out_of_a_bundle_and_out_of_a_training_run(tmp_path: Path, below: str) -> None:
    write_bundle(tmp_path / "run" / below, model=network(), facts=facts(lungs=lung_facts()), lungs=lung_network())
    assert read_network(tmp_path / "run").model == lung_network()


def test_a_bundle_without_one_says_so(tmp_path: Path) -> None:
    with pytest.raises(InputRefused, match="no lung network"):
        read_network(make_bundle(tmp_path / "bundle"))


@pytest.mark.parametrize("spoil", ["flip", "no model", "no facts", "no json", "a list", "no hash"])
def test_what_is_none_or_was_altered_is_refused(tmp_path: Path, spoil: str) -> None:
    folder = tmp_path / "run"
    write_network(folder, LungNetwork(lung_network(), lung_facts()))
    model, told = folder / "lungs.onnx", folder / "lungs.json"
    if spoil == "flip":
        data = bytearray(model.read_bytes())
        data[-1] ^= 1
        model.write_bytes(bytes(data))
    elif spoil == "no model":
        model.unlink()
    elif spoil == "no facts":
        told.unlink()
    else:
        told.write_text({"no json": "{", "a list": "[1]", "no hash": json.dumps({"image_size": 64})}[spoil])
    with pytest.raises(InputRefused) as refusal:
        read_network(folder)
    assert refusal.value.code == ("altered" if spoil == "flip" else "no-lungs")
    assert "covid-xray train-lungs" in refusal.value.message or spoil == "flip"
