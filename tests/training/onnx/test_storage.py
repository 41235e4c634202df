"""Weights in 16 bits: half the file, the same answers, widened once when the network is opened."""

import dataclasses

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("keras")  # of the training floor, which this module is part of

from covid_xray.bundle.bundle import Bundle, unsealed
from covid_xray.bundle.onnx_file import ALIGNED, largest_weight, split_weights
from covid_xray.inference.engines import open_engine
from covid_xray.training.onnx.storage import CLASSIFIER_SMALLEST, SMALLEST, TOLERANCE, half_precision, stored
from support.bundles import facts

SIZE = 8


def network(*, scale: float = 0.05, units: int = 1024, huge: float = 1.0) -> bytes:
    """N x 8 x 8 x 1 -> two dense layers -> three probabilities, with the three outputs of a bundle."""
    random = np.random.default_rng(0)
    first = random.normal(0, scale, (SIZE * SIZE, units)).astype(np.float32)
    first[0, 0] *= huge
    weights = {
        "first": first,
        "second": random.normal(0, scale, (units, 3)).astype(np.float32),
        "white": np.array(1 / 255, np.float32),
        "few": np.full(units // 8, 0.1, np.float32),
        "shape": np.array([-1, 3, 1, 1], np.int64),
    }
    nodes = [
        helper.make_node("Mul", ["image", "white"], ["scaled"]),
        helper.make_node("Flatten", ["scaled"], ["flat"]),
        helper.make_node("MatMul", ["flat", "first"], ["embedding"]),
        helper.make_node("MatMul", ["embedding", "second"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
        helper.make_node("Reshape", ["logits", "shape"], ["maps"]),
        helper.make_node("ReduceMean", ["few"], ["mean"], keepdims=0),
        helper.make_node("Add", ["maps", "mean"], ["class_maps"]),
    ]
    shapes = {"probabilities": ["n", 3], "class_maps": ["n", 3, 1, 1], "embedding": ["n", units]}
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", SIZE, SIZE, 1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    return bytes(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
    )


IMAGES = np.random.default_rng(1).integers(0, 256, (6, SIZE, SIZE), np.uint8)


def bundle(model: bytes) -> Bundle:
    about = facts(size=SIZE)
    return unsealed({**about, "model": {"sha256": ""}}, model, folder=None)  # type: ignore[arg-type]


def test_large_weights_take_half_the_bytes_and_small_ones_stay() -> None:
    data = network()
    smaller = half_precision(data)
    assert len(smaller) < 0.52 * len(data)
    types = {t.name: t.data_type for t in onnx.load_from_string(smaller).graph.initializer}
    assert types["first_float16"] == types["second_float16"] == TensorProto.FLOAT16
    assert types["few"] == types["white"] == TensorProto.FLOAT
    assert SMALLEST > 1024 // 8
    assert largest_weight(smaller) % ALIGNED == 0


def test_a_weight_beyond_the_range_stays_in_float32() -> None:
    types = {t.name: t.data_type for t in onnx.load_from_string(half_precision(network(huge=1e8))).graph.initializer}
    assert types["first"] == TensorProto.FLOAT
    assert types["second_float16"] == TensorProto.FLOAT16


def test_the_change_is_measured_and_small() -> None:
    data = network(scale=0.1)
    smaller, told = stored(data, IMAGES, precision="float16")
    types = {t.name: t.data_type for t in onnx.load_from_string(smaller).graph.initializer}
    assert SIZE * SIZE * 1024 > CLASSIFIER_SMALLEST > 3 * 1024
    assert types["first_float16"] == TensorProto.FLOAT16
    assert types["second"] == TensorProto.FLOAT
    assert told["weights"] == "float16"
    assert told["checked_images"] == len(IMAGES)
    answers = []
    for model in (data, smaller):
        engine = open_engine(bundle(model), threads=1)
        answers.append(engine.run(IMAGES[..., None].astype(np.float32), ["probabilities"])["probabilities"])
    assert np.abs(answers[0] - answers[1]).max() == pytest.approx(told["largest_difference"], abs=1e-6)
    assert 0 < told["largest_difference"] <= TOLERANCE


def test_where_16_bits_would_change_an_answer_the_weights_stay() -> None:
    # Its logits differ by hundreds, so that a few of many pictures lie where half a thousandth decides.
    steep = network(scale=1.5)
    many = np.random.default_rng(2).integers(0, 256, (3000, SIZE, SIZE), np.uint8)
    data, told = stored(steep, many, precision="float16")
    assert data == steep
    assert told["weights"] == "float32"
    assert told["largest_difference"] > TOLERANCE


def test_float32_changes_nothing() -> None:
    data = network()
    assert stored(data, IMAGES, precision="float32") == (data, {"weights": "float32"})


@pytest.mark.parametrize("few", [False, True])
def test_no_cast_is_left_when_the_network_is_open(few: bool, tmp_path) -> None:
    skeleton = split_weights(half_precision(network()))
    assert {weight.dtype for weight in skeleton.weights.values()} == {np.dtype(np.float16)}
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "open.onnx")
    options.log_severity_level = 4
    if few:
        options.add_session_config_entry("session.disable_prepacking", "1")
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weight) for weight in skeleton.weights.values()]
    options.add_external_initializers(list(skeleton.weights), values)
    onnxruntime.InferenceSession(skeleton.model, options, providers=["CPUExecutionProvider"])
    opened = onnx.load(tmp_path / "open.onnx", load_external_data=False)
    assert "Cast" not in {node.op_type for node in opened.graph.node}


def test_every_engine_opens_it() -> None:
    pytest.importorskip("openvino")
    stored_small = bundle(half_precision(network()))
    x = IMAGES[..., None].astype(np.float32)
    answers = [
        open_engine(stored_small, engine=engine, threads=1).run(x, ["probabilities"])["probabilities"]
        for engine in ("onnxruntime", "openvino")
    ]
    np.testing.assert_allclose(answers[0], answers[1], atol=1e-4)
    assert dataclasses.is_dataclass(stored_small)
