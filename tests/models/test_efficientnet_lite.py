"""EfficientNet-Lite0: its size, its frozen statistics, its heads for maps; trained, stored small, quantised."""

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

from covid_xray.config import Training
from covid_xray.errors import UsageError
from covid_xray.models import zoo
from covid_xray.models.efficientnet_lite import stages
from covid_xray.models.heatmap_head import with_class_maps
from covid_xray.models.imagenet import read_lite

pytestmark = pytest.mark.slow
SETTINGS = Training(model="efficientnet_lite0", image_size=64)


@pytest.fixture(scope="module")
def pretrained() -> keras.Model:
    return zoo.build(SETTINGS.model_copy(update={"weights": "imagenet", "train_from": "block15"}), 3)


numbers = keras.ops.convert_to_numpy


def norms(model: keras.Model) -> list[keras.layers.Layer]:
    return [layer for layer in model.layers if isinstance(layer, keras.layers.BatchNormalization)]


def test_size_and_names(pretrained: keras.Model) -> None:
    below = sum(int(np.prod(w.shape)) for layer in pretrained.layers[:-1] for w in layer.weights)
    assert below == 3_371_008 + 2 * sum(layer.gamma.shape[0] for layer in norms(pretrained))  # and running statistics
    names = [layer.name for layer in pretrained.layers]
    assert names[-1] == "probabilities"
    assert len([name for name in names if name.endswith("depthwise_conv")]) == 16
    assert not [name for name in names if name[-1].isdigit()]  # every layer has a name of ours


def test_layers_before_the_prefix_and_all_statistics_stay(pretrained: keras.Model) -> None:
    trained = [layer.name for layer in pretrained.layers if layer.trainable_variables]
    assert trained[0] == "block15_expand_conv"
    assert trained[-1] == "probabilities"
    assert not [name for name in trained if name.endswith("_norm")]
    before = [numbers(w) for layer in norms(pretrained) for w in layer.weights]
    x = np.random.default_rng(0).uniform(0, 255, (4, 64, 64, 1)).astype(np.float32)
    pretrained(x, training=True)
    after = [numbers(w) for layer in norms(pretrained) for w in layer.weights]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_imagenet_weights_are_in_their_layers(pretrained: keras.Model) -> None:
    arrays = read_lite()
    stem = pretrained.get_layer("stem_conv").kernel
    np.testing.assert_array_equal(numbers(stem), arrays["_conv_stem.weight"].transpose(2, 3, 1, 0))
    norm = pretrained.get_layer("block16_project_norm")
    np.testing.assert_array_equal(numbers(norm.moving_variance), arrays["_blocks.15._bn2.running_var"])


def test_from_scratch_the_statistics_are_learnt() -> None:
    model = zoo.build(SETTINGS, 2)
    assert all(layer.trainable for layer in norms(model))
    assert model.output_shape == (None, 2)


@pytest.mark.parametrize(
    ("changes", "said"),
    [({"train_from": "block99"}, "block99"), ({"model": "vgg", "train_from": "block1"}, "train_from")],
)
def test_a_prefix_of_no_layer_is_refused(changes: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        zoo.build(SETTINGS.model_copy(update=changes), 3)


def test_class_maps_are_the_head_as_a_1x1_convolution(pretrained: keras.Model) -> None:
    x = np.random.default_rng(1).uniform(0, 255, (2, 64, 64, 1)).astype(np.float32)
    outputs = with_class_maps(pretrained)(x)
    features = keras.Model(pretrained.input, pretrained.get_layer("head_relu").output)(x)
    kernel = numbers(pretrained.get_layer("probabilities").kernel)
    expected = np.maximum(np.einsum("nhwk,kc->nchw", numbers(features), kernel) / 4, 0)  # 2 x 2 positions
    np.testing.assert_allclose(numbers(outputs["class_maps"]), expected, rtol=1e-4, atol=1e-6)
    assert outputs["embedding"].shape == (2, 1280)


def test_trained_with_a_lung_crop_stored_small_and_quantised(tmp_path: Path) -> None:
    from covid_xray.bundle.bundle import load_bundle
    from covid_xray.bundle.lung_network import LungNetwork
    from covid_xray.bundle.lung_network_folder import write_network
    from covid_xray.data.manifest.manifest import read_manifest
    from covid_xray.data.split.split import make_split
    from covid_xray.inference.predictor import Predictor
    from covid_xray.inference.selftest import check
    from covid_xray.training.onnx.export import export_run
    from covid_xray.training.onnx.quantise import add_int8
    from covid_xray.training.train import train
    from support.chests import lung_facts, lung_network
    from support.datasets import draw_folders

    write_network(tmp_path / "lungs", LungNetwork(lung_network(), lung_facts()))
    manifest = read_manifest(draw_folders(tmp_path / "data", each=12))
    split = make_split(manifest, seed=1)
    settings = SETTINGS.model_copy(
        update={
            "weights": "imagenet",
            "train_from": "block16",
            "epochs": 1,
            "crop": "lungs",
            "lungs": tmp_path / "lungs",
            "storage": "float16",
            "precision": "float32",
        }
    )
    out = tmp_path / "run"
    bundle = train(manifest, split, settings=settings, out=out)
    loaded = load_bundle(bundle)
    assert loaded.crop == "lungs"
    assert loaded.lungs is not None
    assert loaded.facts["storage"]["weights"] == "float16"
    assert 0 < loaded.facts["storage"]["largest_difference"] <= 2e-3
    assert len(loaded.model) < 8_000_000  # 13.5 MB in float32
    assert str(tmp_path) not in (bundle / "bundle.json").read_text()
    assert check(Predictor(bundle)).problems == ()
    row = (out / "history.csv").read_text().splitlines()[1].split(",")
    val = manifest.take((split.reindex(manifest.table["image"]) == "val").to_numpy()).table
    answers = list(Predictor(bundle).predict_many([manifest.path(image) for image in val["image"]]))
    losses = [-np.log(max(a.probabilities[label], 1e-7)) for a, label in zip(answers, val["label"], strict=True)]
    assert np.mean(losses) == pytest.approx(float(row[3]), rel=0.02, abs=2e-3)  # the epoch's own, through the bundle
    export_run(out, tmp_path / "again")
    assert load_bundle(tmp_path / "again").lungs is not None
    add_int8(bundle, manifest, split, count=24)
    quantised = Predictor(bundle, precision="int8")
    assert quantised.bundle.lungs is not None
    assert check(quantised).problems == ()


@pytest.mark.parametrize(
    ("network", "repeats", "filters"),
    [
        ("efficientnet_lite1", [1, 3, 3, 4, 4, 5, 1], [16, 24, 40, 80, 112, 192, 320]),
        ("efficientnet_lite2", [1, 3, 3, 4, 4, 5, 1], [16, 24, 48, 88, 120, 208, 352]),
    ],
)
def test_the_larger_ones_have_the_layers_of_the_published_weights(
    network: str, repeats: list[int], filters: list[int]
) -> None:
    found = stages(network)
    assert [stage[0] for stage in found] == repeats
    assert [stage[3] for stage in found] == filters


def test_lite1_has_the_published_number_of_parameters() -> None:
    """5.4 million with the classifier of ImageNet: https://github.com/tensorflow/tpu (efficientnet/lite)."""
    model = zoo.build(SETTINGS.model_copy(update={"model": "efficientnet_lite1"}), 1000)
    assert sum(int(np.prod(w.shape)) for w in model.trainable_weights) / 1e6 == pytest.approx(5.4, abs=0.05)
