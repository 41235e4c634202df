"""Weights outside the file are found wherever a graph may hold a tensor, without the onnx package."""

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from covid_xray.bundle.onnx_file import ALIGNED, has_external_data, split_weights
from support.bundles import network


def outside() -> TensorProto:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "weights")
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../weights.bin")
    return tensor


def model(graph: onnx.GraphProto, **more: list[onnx.FunctionProto]) -> bytes:
    return bytes(helper.make_model(graph, **more).SerializeToString())


def graph(*nodes: onnx.NodeProto, tensors: list[TensorProto] | None = None) -> onnx.GraphProto:
    return helper.make_graph(list(nodes), "g", [], [], tensors)


def test_all_weights_inside() -> None:
    assert not has_external_data(network())


def test_initializer() -> None:
    assert has_external_data(model(graph(tensors=[outside()])))


def test_constant_node() -> None:
    assert has_external_data(model(graph(helper.make_node("Constant", [], ["y"], value=outside()))))


def test_branch_of_a_condition() -> None:
    branch = graph(helper.make_node("Constant", [], ["y"], value=outside()))
    node = helper.make_node("If", ["x"], ["y"], then_branch=branch, else_branch=graph())
    assert has_external_data(model(graph(node)))


def test_function() -> None:
    node = helper.make_node("Constant", [], ["y"], value=outside())
    function = helper.make_function("d", "f", [], ["y"], [node], [helper.make_opsetid("", 17)])
    assert has_external_data(model(graph(), functions=[function]))


def test_sparse_tensor() -> None:
    whole = graph()
    whole.sparse_initializer.add().values.CopyFrom(outside())
    assert has_external_data(model(whole))


def test_a_location_without_data_counts() -> None:
    tensor = numpy_helper.from_array(np.ones(4, np.float32), "weights")
    tensor.data_location = TensorProto.EXTERNAL
    assert has_external_data(model(graph(tensors=[tensor])))


@pytest.mark.parametrize("data", [b"no model", b"\xff" * 40, b"\x3a\x7fshort"])
def test_other_bytes(data: bytes) -> None:
    with pytest.raises(ValueError, match="protobuf message"):
        has_external_data(data)


def test_a_cut_file() -> None:
    whole = network()
    for size in range(len(whole) // 2, len(whole) - 1, 37):
        with pytest.raises(ValueError, match="ends early|no protobuf"):
            has_external_data(whole[:size])


def large() -> bytes:
    """y = x @ a @ b + c with two large weights, one of them at an odd place in the file."""
    random = np.random.default_rng(0)
    tensors = {"a": random.normal(size=(200, 200)), "b": random.normal(size=(200, 100)), "c": np.arange(100.0)}
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["xa"]),
        helper.make_node("MatMul", ["xa", "b"], ["xab"]),
        helper.make_node("Add", ["xab", "c"], ["y"]),
    ]
    whole = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 200])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 100])],
        [numpy_helper.from_array(value.astype(np.float32), name) for name, value in tensors.items()],
    )
    made = helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    return bytes(made.SerializeToString())


def test_skeleton_and_weights_are_the_file() -> None:
    data = large()
    skeleton = split_weights(data)
    assert len(skeleton.model) < 2000
    whole = onnx.load_from_string(data)
    expected = {tensor.name: numpy_helper.to_array(tensor) for tensor in whole.graph.initializer}
    assert sorted(skeleton.weights) == ["a", "b"]
    for name, weight in skeleton.weights.items():
        np.testing.assert_array_equal(weight, expected[name])
        assert weight.ctypes.data % ALIGNED == 0
    assert has_external_data(skeleton.model)
    stripped = onnx.load_from_string(skeleton.model)
    assert [node.op_type for node in stripped.graph.node] == ["MatMul", "MatMul", "Add"]
    assert [tensor.name for tensor in stripped.graph.initializer] == ["a", "b", "c"]
    assert list(stripped.graph.initializer[1].dims) == [200, 100]


def test_they_compute_the_same() -> None:
    data = large()
    skeleton = split_weights(data)
    options = onnxruntime.SessionOptions()
    values = [onnxruntime.OrtValue.ortvalue_from_numpy(weight) for weight in skeleton.weights.values()]
    options.add_external_initializers(list(skeleton.weights), values)
    x = np.random.default_rng(1).normal(size=(1, 200)).astype(np.float32)
    (expected,) = onnxruntime.InferenceSession(data).run(None, {"x": x})
    (received,) = onnxruntime.InferenceSession(skeleton.model, options).run(None, {"x": x})
    np.testing.assert_array_equal(received, expected)


def test_a_file_of_small_weights_stays_as_it_is() -> None:
    assert split_weights(network()).model == network()
    assert split_weights(network()).weights == {}
