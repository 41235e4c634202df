"""The network of the original, layer by layer."""

import pytest

pytest.importorskip("keras")

from covid_xray.config import Training
from covid_xray.models import vgg


def test_is_the_network_of_the_original() -> None:
    model = vgg.build(Training(), 3)
    shapes = {layer.name: layer.output.shape[1:] for layer in model.layers}
    assert shapes["rgb"] == (224, 224, 3)
    filters = [model.get_layer(f"block{b}_conv{c}").filters for b in (1, 2, 3, 4) for c in (1, 2)]
    assert filters == [32, 32, 64, 64, 128, 128, 256, 256]
    for b in (1, 2, 3, 4):
        for c in (1, 2):
            convolution = model.get_layer(f"block{b}_conv{c}")
            assert convolution.kernel_size == (3, 3)
            assert convolution.padding == "same"
            assert convolution.activation.__name__ == "relu"
        assert shapes[f"block{b}_pool"][0] == 224 >> b
    assert [model.get_layer(n).units for n in ("dense1", "dense2", "probabilities")] == [512, 512, 3]
    rates = [layer.rate for layer in model.layers if layer.__class__.__name__ == "Dropout"]
    assert rates == [0.3, 0.3, 0.3]
    assert model.get_layer("probabilities").activation.__name__ == "softmax"
    assert model.count_params() == 27_127_075


def test_every_layer_has_a_name_of_ours() -> None:
    generated = ("conv2d", "max_pooling2d", "dropout", "dense_", "concatenate", "rescaling")
    assert not [layer.name for layer in vgg.build(Training(), 3).layers if layer.name.startswith(generated)]


def test_blocks_and_head_are_configuration() -> None:
    model = vgg.build(Training(image_size=64, blocks=(4, 8), convolutions=1, dense=(16,), dropout=0.1), 5)
    assert model.output.shape == (None, 5)
    assert [layer.name for layer in model.layers if "conv" in layer.name] == ["block1_conv1", "block2_conv1"]


def test_global_average_pooling_head() -> None:
    model = vgg.build(Training(image_size=64, blocks=(4, 8), dense=()), 3)
    assert model.get_layer("pool").output.shape == (None, 8)
