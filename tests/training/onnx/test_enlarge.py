"""Enlargements of a graph become one node with the same bits, and nothing else changes."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from covid_xray.bundle import bundle
from covid_xray.training.onnx.enlarge import with_resize

TIMES_ROWS, TIMES_COLUMNS = np.array([1, 1, 1, 2, 1, 1]), np.array([1, 1, 1, 1, 1, 2])


def network(*, rows: np.ndarray = TIMES_ROWS, columns: np.ndarray = TIMES_COLUMNS) -> bytes:
    """An enlargement as a converter writes it (two axes, one tile, one reshape), then a convolution."""
    constants = {
        "axes": np.array([3, 5], np.int64),
        "times": (rows * columns).astype(np.int64),
        "shape": np.array([0, 3, -1, int(4 * columns[5])], np.int64),
        "kernel": np.random.default_rng(0).random((2, 3, 3, 3), np.float32),
    }
    nodes = [
        helper.make_node("Relu", ["image"], ["seen"]),
        helper.make_node("Unsqueeze", ["seen", "axes"], ["apart"]),
        helper.make_node("Tile", ["apart", "times"], ["tiled"]),
        helper.make_node("Reshape", ["tiled", "shape"], ["large"]),
        helper.make_node("Conv", ["large", "kernel"], ["out"]),
    ]
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in (("image", ["batch", 3, 5, 4]), ("out", ["batch", 2, None, None]))
    ]
    weights = [numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "net", values[:1], values[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8)
    return bytes(model.SerializeToString())


def kinds(model: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_from_string(model).graph.node]


def answer(model: bytes) -> np.ndarray:
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return session.run(None, {"image": np.random.default_rng(1).normal(size=(2, 3, 5, 4)).astype(np.float32)})[0]


def test_a_doubling_becomes_one_node_with_the_same_bits() -> None:
    model = network()
    changed = with_resize(model)
    assert kinds(changed) == ["Relu", "Resize", "Conv"]
    np.testing.assert_array_equal(answer(changed), answer(model))
    assert with_resize(changed) == changed


@pytest.mark.parametrize("times", [{"columns": np.array([1, 1, 1, 1, 1, 3])}, {"rows": np.ones(6, np.int64)}], ids=str)
def test_another_enlargement_stays(times: dict[str, np.ndarray]) -> None:
    assert with_resize(network(**times)) == network(**times)


def test_the_network_that_ships_tiles_nothing() -> None:
    found = kinds((Path(bundle.DEFAULT) / "lungs.onnx").read_bytes())
    assert found.count("Resize") == 4
    assert "Tile" not in found
