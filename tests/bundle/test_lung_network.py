"""The lung network of a bundle is a third file under its own hash, refused where it is altered or foreign."""

from pathlib import Path
from typing import Any

import pytest

from covid_xray.bundle.bundle import load_bundle, record, write_bundle
from covid_xray.errors import BadBundle
from support.bundles import facts, make_bundle, network
from support.chests import lung_facts, lung_network
from support.foreign import refused


def with_lungs(folder: Path, **others: Any) -> Path:
    about = facts(lungs=lung_facts(), **others)
    about["input"]["crop"] = "lungs"
    write_bundle(folder, model=network(), facts=about, lungs=lung_network())
    return folder


def test_a_lung_network_is_a_third_file_under_its_own_hash(tmp_path: Path) -> None:
    bundle = load_bundle(with_lungs(tmp_path / "bundle"))
    assert bundle.crop == "lungs"
    assert bundle.lungs is not None
    assert bundle.lungs.model == lung_network()
    assert bundle.lungs.facts["file"] == "lungs.onnx"
    assert bundle.lungs.facts["bytes"] == len(lung_network())
    without = load_bundle(make_bundle(tmp_path / "old"))
    assert without.lungs is None
    assert without.crop == "none"


@pytest.mark.parametrize("spoil", ["flip", "remove", "swap"])
def test_a_spoilt_lung_network_is_refused(tmp_path: Path, spoil: str) -> None:
    folder = with_lungs(tmp_path / "bundle")
    path = folder / "lungs.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": bytes(data), "remove": b"", "swap": network()}[spoil])
    if spoil == "remove":
        path.unlink()
    assert "lungs.onnx" in refused(folder).message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_size": None}, "image_size and margin"),
        ({"margin": "wide"}, "image_size and margin"),
        ({"version": 0}, "lung crops of version"),
    ],
)
def test_a_lung_network_with_other_facts_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadBundle, match=said):
        write_bundle(
            tmp_path / "b", model=network(), facts=facts(lungs={**lung_facts(), **change}), lungs=lung_network()
        )
    assert not (tmp_path / "b").exists()


def test_no_crop_without_a_lung_network(tmp_path: Path) -> None:
    about = facts()
    about["input"]["crop"] = "lungs"
    with pytest.raises(BadBundle, match="to crop by"):
        write_bundle(tmp_path / "b", model=network(), facts=about)


def test_new_facts_leave_the_lung_network_in_place(tmp_path: Path) -> None:
    folder = with_lungs(tmp_path / "bundle")
    record(folder, metrics={"macro_f1": 1})
    assert load_bundle(folder).lungs is not None
