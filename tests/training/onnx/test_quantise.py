"""int8 beside float32: made from training images only, about the same answers, its cost stored and verified."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from covid_xray.bundle.bundle import load_bundle, record
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.errors import BadBundle, BadSplit
from covid_xray.inference import selftest
from covid_xray.inference.predictor import Predictor
from covid_xray.training.onnx.quantise import add_int8, choose
from support.bundles import CLASSES, SIZE, grey, make_bundle, network
from support.commands import run


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    root = tmp_path_factory.mktemp("data")
    for label in CLASSES:
        (root / label).mkdir()
        for seed in range(10):
            Image.fromarray(grey(label, height=SIZE, width=SIZE, seed=seed)).save(root / label / f"{label}{seed}.png")
    return read_manifest(root)


@pytest.fixture
def split(manifest: Manifest) -> pd.Series:
    names = manifest.table["image"]
    parts = [
        "train" if int(Path(name).stem[-1]) < 6 else "val" if int(Path(name).stem[-1]) < 8 else "test" for name in names
    ]
    return pd.Series(parts, index=names)


def test_the_quantised_network_answers_alike(tmp_path: Path, manifest: Manifest, split: pd.Series) -> None:
    exact = "vnni" in Path("/proc/cpuinfo").read_text()
    folder = make_bundle(tmp_path / "bundle", model=network(sharpness=0.3))
    before = load_bundle(folder)
    facts = add_int8(folder, manifest, split)
    if exact:  # without VNNI sums of bytes saturate, and int8 is worth less
        assert facts["agreement"] == 1.0
        assert facts["macro_f1_difference"] == 0.0
        assert facts["largest_difference"] < 0.1
    assert 0 <= facts["agreement"] <= 1
    assert facts["checked_images"] == 6
    assert facts["calibration"] == {"images": 18, "part": "train", "method": "MinMax"}
    assert load_bundle(folder).sha256 == before.sha256
    quantised = Predictor(folder, precision="int8", threads=1)
    stored = quantised.bundle.facts["int8"]
    assert stored["agreement"] == facts["agreement"]
    assert quantised.identity.sha256 == stored["sha256"] != before.sha256
    assert selftest.check(quantised).problems == ()


def test_it_really_is_int8(tmp_path: Path, manifest: Manifest, split: pd.Series) -> None:
    import onnx

    folder = make_bundle(tmp_path / "bundle", model=network(sharpness=0.3))
    add_int8(folder, manifest, split)
    model = onnx.load_from_string(load_bundle(folder, int8=True).model)
    kinds = {tensor.data_type for tensor in model.graph.initializer}
    assert onnx.TensorProto.INT8 in kinds
    assert "DequantizeLinear" in {node.op_type for node in model.graph.node}


def test_a_flipped_byte_in_int8_is_refused_everywhere(
    tmp_path: Path, manifest: Manifest, split: pd.Series, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    folder = make_bundle(tmp_path / "bundle", model=network(sharpness=0.3))
    add_int8(folder, manifest, split)
    path, film = folder / "model_int8.onnx", manifest.path(manifest.table["image"][0])
    whole = path.read_bytes()
    random = np.random.default_rng(0)
    places = [0, len(whole) - 1, *range(50, len(whole), 97)]
    for at in places:
        broken = bytearray(whole)
        broken[at] ^= int(random.integers(1, 256))
        path.write_bytes(broken)
        with pytest.raises(BadBundle, match=r"model_int8\.onnx"):
            load_bundle(folder, int8=True)
        load_bundle(folder)  # float32 has a hash of its own
    for spoilt in (b"", whole[:-1], whole + b"\0", (folder / "model.onnx").read_bytes()):
        path.write_bytes(spoilt)
        with pytest.raises(BadBundle):
            Predictor(folder, precision="int8")
    ran = run(capsysbinary, "predict", film, "--bundle", folder, "--precision", "int8", "--csv")
    assert ran.code == 3
    assert b"model_int8.onnx" in ran.err
    assert ran.out == b"", "never an answer"
    path.write_bytes(whole)
    assert run(capsysbinary, "predict", film, "--bundle", folder, "--precision", "int8", "--csv").code == 0


def test_only_training_images_calibrate(manifest: Manifest, split: pd.Series) -> None:
    part = split.reindex(manifest.table["image"]).to_numpy()
    chosen = choose(manifest, part, count=12, seed=0)
    assert set(split[chosen]) == {"train"}
    assert sorted(Path(name).parent.name for name in chosen) == sorted([*CLASSES] * 4)
    assert choose(manifest, part, count=12, seed=0) == chosen
    assert choose(manifest, part, count=12, seed=1) != chosen


def test_data_of_another_run_is_refused(tmp_path: Path, manifest: Manifest) -> None:
    folder = make_bundle(tmp_path / "bundle")
    whole = sorted((path.name, path.read_bytes()) for path in folder.iterdir())
    with pytest.raises(BadSplit, match="training part"):
        add_int8(folder, manifest, pd.Series({"other.png": "train"}))
    assert sorted((path.name, path.read_bytes()) for path in folder.iterdir()) == whole


def test_without_a_validation_part_the_cost_is_unknown(tmp_path: Path, manifest: Manifest, split: pd.Series) -> None:
    folder = make_bundle(tmp_path / "bundle")
    facts = add_int8(folder, manifest, split[split != "val"])
    assert (facts["agreement"], facts["checked_images"]) == (None, 0)


def test_facts_recorded_later_keep_both_networks(tmp_path: Path, manifest: Manifest, split: pd.Series) -> None:
    folder = make_bundle(tmp_path / "bundle", model=network(sharpness=0.3))
    add_int8(folder, manifest, split)
    record(folder, temperature=2.0)
    pixels = np.full((1, SIZE, SIZE), 128, np.uint8)
    plain, quantised = (Predictor(folder, precision=p, threads=1).run(pixels) for p in ("float32", "int8"))
    np.testing.assert_allclose(plain["probabilities"], quantised["probabilities"], atol=0.1)
