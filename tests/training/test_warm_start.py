"""A run that begins from a bundle: the same answers before any training, another head, the crop; what is refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

pytest.importorskip("tensorflow")

import keras

from covid_xray.bundle.bundle import Bundle, load_bundle, networks, read_facts, write_bundle
from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.bundle.lung_network_folder import write_network
from covid_xray.config import Training, load
from covid_xray.data.manifest.manifest import Manifest, read_manifest
from covid_xray.data.split.split import make_split
from covid_xray.errors import BadBundle, UsageError
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.selftest import reference_inputs
from covid_xray.models import zoo
from covid_xray.training.onnx.export import export, probe_images
from covid_xray.training.train import _identity, train
from covid_xray.training.warm_start import TOLERANCE, begin, network_of, open_initial, resolved
from support.bundles import make_bundle
from support.chests import lung_facts, lung_network
from support.commands import run as run_cli
from support.datasets import CLASSES, draw_folders

TINY: dict[str, Any] = {
    "image_size": 32, "blocks": (8, 16), "convolutions": 1, "dense": (32,), "batch_size": 8, "precision": "float32",
    "deterministic": True, "calibration_fraction": 0.0,
}  # fmt: skip
RECIPE = {"batch_size": 8, "precision": "float32", "deterministic": True, "calibration_fraction": 0.0}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_folders(tmp_path_factory.mktemp("data"), each=20)


@pytest.fixture(scope="module")
def manifest(folders: Path) -> Manifest:
    return read_manifest(folders)


@pytest.fixture(scope="module")
def split(manifest: Manifest) -> pd.Series:
    return make_split(manifest, seed=1)


@pytest.fixture(scope="module")
def run(manifest: Manifest, split: pd.Series, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small run that learnt something, with a lung network in its bundle and its images cropped by it."""
    lungs = tmp_path_factory.mktemp("lungs") / "network"
    write_network(lungs, LungNetwork(lung_network(), lung_facts(margin=0.06)))
    out = tmp_path_factory.mktemp("runs") / "first"
    settings = Training(**TINY, epochs=5, learning_rate=3e-3, crop="lungs", lungs=lungs)
    train(manifest, split, settings=settings, out=out)
    return out


def answers(bundle: Path) -> np.ndarray:
    predictor = Predictor(bundle)
    return predictor.run_uncalibrated(reference_inputs(predictor))["probabilities"]


def test_without_an_epoch_the_new_bundle_answers_as_the_old_one(
    run: Path, manifest: Manifest, split: pd.Series, tmp_path: Path
) -> None:
    """From a run folder; the network's shape, its lungs and its crop need not be named again."""
    said = []
    settings = Training(**RECIPE, epochs=0, init=str(run))
    train(
        manifest,
        split,
        settings=settings,
        out=tmp_path / "r",
        progress=lambda stage, *rest: said.append((stage, rest[-1])),
    )
    np.testing.assert_allclose(answers(tmp_path / "r" / "bundle"), answers(run / "bundle"), atol=TOLERANCE)
    old, new = load_bundle(run / "bundle"), load_bundle(tmp_path / "r" / "bundle")
    assert new.crop == "lungs"
    assert (new.lungs and new.lungs.facts["sha256"]) == (old.lungs and old.lungs.facts["sha256"])
    begun = new.facts["training"]["init"]
    assert (begun["sha256"], begun["version"], begun["head"]) == (old.sha256, old.version, "taken over")
    assert begun["training_data"]["fingerprint"] == old.facts["training_data"]["fingerprint"]
    assert new.facts["training"]["settings"]["blocks"] == [8, 16]
    assert str(run) not in (tmp_path / "r" / "bundle" / "bundle.json").read_text()  # no paths of this machine
    assert ("init", f"vgg {old.version}, head taken over") in said


def test_a_run_is_another_when_it_begins_from_another_network(run: Path, split: pd.Series) -> None:
    settings = Training(**RECIPE)
    begun = [{"sha256": "a"}, {"sha256": "b"}, None]
    found = {_identity(settings, split, CLASSES, None, initial) for initial in begun}
    assert len(found) == 3
    elsewhere = settings.model_copy(update={"init": "another/path", "epochs": 50})
    assert _identity(elsewhere, split, CLASSES, None, begun[0]) in found  # the same network at another place


@pytest.mark.parametrize(
    ("classes", "head"), [(("normal", "virus"), "taken over"), (("bacterial", "normal", "virus"), "new")]
)
def test_other_classes(run: Path, classes: tuple[str, ...], head: str) -> None:
    """Two of the three: the answers as if the third were ruled out. One that the bundle does not know: a new head."""
    bundle = open_initial(str(run))
    model, facts = begin(resolved(Training(precision="float32", init=str(run))), classes)
    assert facts is not None
    assert facts["head"] == head
    predictor = Predictor(bundle)
    x = reference_inputs(predictor)
    before, after = network_of(bundle), model
    for layer in before.layers[:-1]:
        for a, b in zip(layer.get_weights(), after.get_layer(layer.name).get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)
    given = after.predict_on_batch(x[..., None].astype(np.float32))
    assert given.shape == (len(x), len(classes))
    known = predictor.run_uncalibrated(x)["probabilities"][:, [CLASSES.index("normal"), CLASSES.index("virus")]]
    if head == "taken over":
        np.testing.assert_allclose(given, known / known.sum(axis=1, keepdims=True), atol=TOLERANCE)


def test_explicit_settings_that_fit_are_taken_and_others_refused(run: Path) -> None:
    assert resolved(Training()) == Training()
    assert resolved(Training(init=str(run), model="vgg", blocks=(8, 16))).image_size == 32
    whole = resolved(Training(init=str(run), crop="none"))
    assert (whole.crop, whole.lungs) == ("none", run / "bundle")
    other = resolved(Training(init=str(run), lungs=Path("elsewhere")))
    assert (other.crop, other.lungs) == ("lungs", Path("elsewhere"))
    for changes, said in (
        ({"model": "efficientnet_lite0"}, "model=efficientnet_lite0 does not fit.*model=vgg"),
        ({"image_size": 64}, "image_size=64 does not fit.*image_size=32"),
        ({"dense": ()}, "dense="),
    ):
        with pytest.raises(UsageError, match=said):
            resolved(Training(init=str(run), **changes))
    with pytest.raises(UsageError, match="weights and init exclude each other"):
        load(Training, overrides=[f"init={run}", "weights=imagenet", "model=efficientnet_lite0"])


def test_a_resolved_run_resolves_to_itself(run: Path, tmp_path: Path) -> None:
    """So that a run can be resumed from its config.yaml."""
    settings = resolved(Training(init=str(run)))
    everything = Training.model_validate(settings.model_dump(mode="json"))
    assert resolved(everything) == settings


def test_bundles_that_cannot_be_begun_from(run: Path, tmp_path: Path) -> None:
    with pytest.raises(BadBundle, match="nowhere"):
        resolved(Training(init=str(tmp_path / "nowhere")))
    foreign = make_bundle(tmp_path / "foreign")
    with pytest.raises(BadBundle, match="cannot begin from small.*vgg or efficientnet_lite0"):
        resolved(Training(init=str(foreign)))
    for name, told, said in (
        ("deeper", {"convolutions": 2}, r"block1_conv2 has weights of another shape, \(3, 3, 8, 16\)"),
        ("wider", {"blocks": [8, 12]}, r"block2_conv1 has weights of another shape, \(3, 3, 8, 16\)"),
    ):
        liar = _told_otherwise(run, tmp_path / name, **told)
        with pytest.raises(BadBundle, match=said):
            network_of(liar)


def test_a_network_that_answers_otherwise_is_refused(run: Path, tmp_path: Path) -> None:
    """The weights fit into the layers, but the graph does more with them than Keras would: the proof notices."""
    import onnx
    from onnx import helper, numpy_helper

    parts = networks(run / "bundle")
    proto = onnx.load_from_string(parts["model"])
    softmax = next(node for node in proto.graph.node if node.op_type == "Softmax")
    proto.graph.initializer.append(numpy_helper.from_array(np.array([0.0], np.float32), "zero"))
    at = list(proto.graph.node).index(softmax)
    proto.graph.node.insert(at, helper.make_node("Max", [softmax.input[0], "zero"], ["bent"], name="bend"))
    softmax.input[0] = "bent"
    write_bundle(tmp_path / "b", **{**parts, "model": proto.SerializeToString()}, facts=read_facts(run / "bundle"))
    with pytest.raises(BadBundle, match=r"probabilities differs from ONNX Runtime by .*, above 0\.001"):
        network_of(load_bundle(tmp_path / "b"))


def test_stored_in_16_bits(run: Path, tmp_path: Path) -> None:
    model = keras.saving.load_model(run / "model.keras", compile=False)
    settings = {**TINY, "model": "vgg", "storage": "float16"}
    facts = {"name": "vgg", "version": "1", "classes": list(CLASSES), "training": {"settings": settings}}
    export(model, tmp_path / "b", facts=facts, images=probe_images(32, 32))
    bundle = load_bundle(tmp_path / "b")
    again = network_of(bundle)
    predictor = Predictor(bundle)
    x = reference_inputs(predictor)
    expected = predictor.run_uncalibrated(x)["probabilities"]
    np.testing.assert_allclose(again.predict_on_batch(x[..., None].astype(np.float32)), expected, atol=1e-4)


@pytest.mark.slow
def test_efficientnet_lite0_with_and_without_statistics_of_its_own(tmp_path: Path) -> None:
    """Folded normalisation, the products and sums that stayed behind depthwise convolutions, weights in 16 bits."""
    settings = Training(model="efficientnet_lite0", image_size=64, storage="float16")
    keras.utils.set_random_seed(3)
    model = zoo.build(settings, 2)
    random = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            gamma, beta, mean, variance = layer.get_weights()
            layer.set_weights([
                gamma * random.uniform(0.5, 2, gamma.shape), beta + random.normal(0, 0.3, beta.shape),
                mean + random.normal(0, 0.1, mean.shape), variance * random.uniform(0.5, 2, variance.shape),
            ])  # fmt: skip
    facts = {"name": "efficientnet_lite0", "version": "1", "classes": ["covid", "normal"]}
    export(model, tmp_path / "b", facts={**facts, "training": {"settings": settings.model_dump(mode="json")}},
           images=probe_images(64, 64))  # fmt: skip
    again = network_of(load_bundle(tmp_path / "b"))
    x = probe_images(64, 64)[..., None].astype(np.float32)
    np.testing.assert_allclose(again.predict_on_batch(x), model.predict_on_batch(x), atol=TOLERANCE)
    started, _ = begin(
        resolved(Training(init=str(tmp_path / "b"), train_from="block15", precision="float32")), ("covid", "normal")
    )
    trained = {layer.name for layer in started.layers if layer.trainable_variables}
    assert not [name for name in trained if name.endswith("_norm")]
    assert min(trained) == "block15_depthwise_conv"


def test_the_command(run: Path, folders: Path, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    """Three options are enough, and one epoch does better than the first epoch of the run that it began from."""
    options = ["--data", folders, "--set", "precision=float32", "--set", "calibration_fraction=0"]
    result = run_cli(capfdbinary, "train", *options, "-o", tmp_path / "r", "--epochs", "1", "--init", run)
    assert result.code == 0, result.err
    known = json.loads((tmp_path / "r" / "bundle" / "bundle.json").read_text())
    assert known["training"]["init"]["head"] == "taken over"
    assert yaml.safe_load((tmp_path / "r" / "config.yaml").read_text())["init"] == str(run)
    first, begun = (float(pd.read_csv(folder / "history.csv")["val_loss"].iloc[0]) for folder in (run, tmp_path / "r"))
    assert begun < 0.8 * first
    refused = run_cli(
        capfdbinary, "train", *options, "-o", tmp_path / "s", "--init", run, "--model", "efficientnet_lite0"
    )
    assert refused.code == 2
    assert b"model=vgg" in refused.err
    assert not (tmp_path / "s").exists()


def _told_otherwise(run: Path, folder: Path, **told: Any) -> Bundle:
    """The bundle of `run` with other settings written in it."""
    shutil.rmtree(folder, ignore_errors=True)
    facts = read_facts(run / "bundle")
    settings = {**facts["training"]["settings"], **told}
    write_bundle(folder, **networks(run / "bundle"), facts={**facts, "training": {"settings": settings}})
    return load_bundle(folder)
