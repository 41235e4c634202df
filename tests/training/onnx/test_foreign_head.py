"""The head of a foreign network is found from its output back, or refused with the reason."""

from pathlib import Path

import numpy as np
import onnx
import pytest

from covid_xray.errors import InputRefused, UsageError
from covid_xray.training.onnx.foreign_head import find_head
from support.foreign_networks import densenet


def test_names_and_weights_of_the_head(tmp_path: Path) -> None:
    proto = onnx.load(densenet(tmp_path / "a.onnx"))
    head = find_head(proto, layer="/features/Relu")  # the node serves as well as its tensor
    assert (head.features, head.embedding, head.logits) == ("/features/Relu_output_0", "flat", "logits")
    assert head.kernel.shape == (14, 3)
    assert not head.channels_last


def test_a_product_with_a_sum_behind_it(tmp_path: Path) -> None:
    proto = onnx.load(densenet(tmp_path / "a.onnx", end=""))
    gemm = proto.graph.node[-1]
    kernel = next(tensor for tensor in proto.graph.initializer if tensor.name == "classifier.weight")
    kernel.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(kernel).T.copy(), kernel.name))
    proto.graph.node.remove(gemm)
    proto.graph.node.append(onnx.helper.make_node("MatMul", ["flat", "classifier.weight"], ["product"]))
    proto.graph.node.append(onnx.helper.make_node("Add", ["classifier.bias", "product"], ["logits"]))
    head = find_head(proto)
    assert head.logits == "logits"
    assert head.kernel.dtype == np.float32


def test_other_heads_are_refused(tmp_path: Path) -> None:
    proto = onnx.load(densenet(tmp_path / "a.onnx"))
    with pytest.raises(UsageError, match="not what the network pools"):
        find_head(proto, layer="a")
    proto.graph.node[-1].op_type = "Exp"
    with pytest.raises(InputRefused, match="no dense layer"):
        find_head(proto)
