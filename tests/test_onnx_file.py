"""Weights outside the file are found wherever a graph may hold a tensor, without the onnx package."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from bundles import network
from covid_xray.bundle.onnx_file import has_external_data


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
    with pytest.raises(ValueError, match="expected"):
        has_external_data(data)


def test_a_cut_file() -> None:
    whole = network()
    for size in range(len(whole) // 2, len(whole) - 1, 37):
        with pytest.raises(ValueError, match="ends early|other bytes"):
            has_external_data(whole[:size])
