"""A bundle's network taken apart: layers, features, head, and weights made random."""

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from covid_xray.errors import InputRefused
from covid_xray.evaluation.audit.network_graph import Layer, NetworkGraph, _short, group_layers
from support.bundles import network as small
from support.watching import LUNGS, SIZE, chest, network


@pytest.fixture(scope="module")
def graph() -> NetworkGraph:
    return NetworkGraph(network(LUNGS))


def pictures(count=3):
    return np.stack([chest("covid", seed)[0] for seed in range(count)])


def test_layers_are_those_on_the_way_to_the_answer(graph):
    # The 1x1 convolution of the class maps is on no way to the probabilities: it is a copy of the head.
    assert [layer.name for layer in graph.layers] == ["conv", "head"]
    assert [layer.weights for layer in graph.layers] == [("kernel", "region"), ("weights", "bias")]
    assert [graph.below_head(layer) for layer in graph.layers] == [True, False]


def test_the_features_are_the_last_maps_before_pooling(graph):
    assert graph.features == "features"
    assert [step.kind for step in graph.head] == ["GlobalAveragePool", "Flatten", "Gemm"]
    found = graph.runner().features(pictures())
    assert found.shape == (3, 4, SIZE, SIZE)
    assert np.allclose(found[:, 0], pictures() / 255 * LUNGS, atol=1e-6)  # the first channel is the identity


def test_shuffled_weights_are_as_many_and_as_large(graph):
    weights = graph.randomised(graph.layers[1:], seed=0)
    assert np.array_equal(weights["kernel"], graph.weights["kernel"])
    assert not np.array_equal(weights["weights"], graph.weights["weights"])
    assert np.array_equal(np.sort(weights["weights"].ravel()), np.sort(graph.weights["weights"].ravel()))
    again = graph.randomised(graph.layers, seed=0)
    assert np.array_equal(again["weights"], weights["weights"])
    assert not np.array_equal(graph.randomised(graph.layers, seed=1)["kernel"], again["kernel"])


def test_the_runner_uses_the_weights_that_it_is_given(graph):
    same = graph.runner(dict(graph.weights)).features(pictures())
    assert np.array_equal(same, graph.runner().features(pictures()))
    other = graph.runner(graph.randomised(graph.layers[:1], seed=0)).features(pictures())
    assert not np.allclose(other, same)


def test_the_file_itself_is_left_as_it_was(graph):
    graph.runner(graph.randomised(graph.layers, seed=0))
    session = onnxruntime.InferenceSession(network(LUNGS), providers=["CPUExecutionProvider"])
    assert session.run(["probabilities"], {"image": pictures()[..., None].astype(np.float32)})[0][:, 0].min() > 0.9


def test_deep_networks_are_grouped_with_the_last_layer_apart():
    layers = [Layer(str(i), (str(i),)) for i in range(50)]
    groups = group_layers(layers, count=12)
    assert len(groups) == 12
    assert groups[-1] == (layers[-1],)
    assert [layer for group in groups for layer in group] == layers
    assert max(map(len, groups)) - min(map(len, groups[:-1])) <= 1
    assert group_layers(layers[:5], count=12) == [(layer,) for layer in layers[:5]]


def test_a_head_of_another_form_is_refused():
    weights = numpy_helper.from_array(np.ones((4, 2), np.float32), "w")
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Sigmoid", ["flat"], ["bent"]),
        helper.make_node("MatMul", ["bent", "w"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    shape = helper.make_tensor_value_info("image", TensorProto.FLOAT, ["b", 2, 2, 1])
    out = helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["b", 2])
    model = helper.make_model(helper.make_graph(nodes, "other", [shape], [out], [weights]))
    with pytest.raises(InputRefused, match="Sigmoid") as caught:
        NetworkGraph(model.SerializeToString())
    assert caught.value.code == "unknown-head"


def test_layers_have_the_names_of_keras():
    keras = ["vgg_1/block1_conv1_1/BiasAdd", "vgg_1/dense1_1/MatMul"]
    assert _short(keras) == ["block1_conv1", "dense1"]
    assert _short([*keras, "vgg_1/stem/MatMul"]) == ["block1_conv1_1", "dense1_1", "stem"]


def test_it_reads_other_files_too():
    assert [layer.weights for layer in NetworkGraph(small()).layers] == [("kernel",), ("weights", "bias")]
