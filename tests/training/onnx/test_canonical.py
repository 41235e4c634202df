"""Whatever a converter calls and orders things, the file is the same; and it computes what it did."""

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from covid_xray.bundle.bundle import OUTPUTS
from covid_xray.training.onnx.canonical import canonical
from support.bundles import SIZE, network


def renamed(seed: int) -> onnx.ModelProto:
    """The small network with other names, constants in another order, and a node that nobody needs."""
    model = onnx.load_from_string(network())
    random = np.random.default_rng(seed)
    kept = {"image", *OUTPUTS}
    graph = model.graph
    for node in graph.node:
        node.name = f"small_{seed}/layer_{seed}/{node.op_type}__{seed + 7}"
        for field in (node.input, node.output):
            field[:] = [name if name in kept else f"{name}__{seed}" for name in field]
    tensors = list(graph.initializer)
    for tensor in tensors:
        tensor.name += f"__{seed}"
    order = [onnx.TensorProto.FromString(tensors[i].SerializeToString()) for i in random.permutation(len(tensors))]
    del graph.initializer[:]
    graph.initializer.extend(order)
    graph.node.append(helper.make_node("Relu", ["image"], [f"nobody_{seed}"]))
    graph.doc_string = f"traced from function {seed}"
    return model


def test_names_and_order_depend_on_the_network_alone():
    models = [renamed(seed) for seed in range(3)]
    assert len({model.SerializeToString() for model in models}) == 3
    for model in models:
        canonical(model.graph)
        onnx.checker.check_model(model)
    assert len({model.SerializeToString() for model in models}) == 1
    assert models[0].graph.node[0].name == "small/layer/Transpose_0"
    again = onnx.load_from_string(models[0].SerializeToString())
    canonical(again.graph)
    assert [node.input for node in again.graph.node] == [node.input for node in models[0].graph.node]


def test_another_weight_is_another_file():
    first, second = renamed(0), renamed(1)
    second.graph.initializer[0].CopyFrom(
        numpy_helper.from_array(
            numpy_helper.to_array(second.graph.initializer[0]) + 1, second.graph.initializer[0].name
        )
    )
    for model in (first, second):
        canonical(model.graph)
    assert first.SerializeToString() != second.SerializeToString()


def test_the_answers_are_the_same():
    model = renamed(4)
    canonical(model.graph)
    x = np.random.default_rng(0).uniform(0, 255, (3, SIZE, SIZE, 1)).astype(np.float32)
    answers = []
    for data in (network(), model.SerializeToString()):
        session = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"])
        answers.append(session.run(list(OUTPUTS), {"image": x}))
    for expected, received in zip(*answers, strict=True):
        np.testing.assert_array_equal(expected, received)


def test_a_graph_with_graphs_inside_is_left_alone():
    inner = helper.make_graph([helper.make_node("Identity", ["x"], ["y"])], "g", [], [
        helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    ])  # fmt: skip
    node = helper.make_node("If", ["c"], ["z"], then_branch=inner, else_branch=inner, name="choice__3")
    graph = helper.make_graph([node], "outer", [], [helper.make_tensor_value_info("z", TensorProto.FLOAT, [1])])
    before = graph.SerializeToString()
    canonical(graph)
    assert graph.SerializeToString() == before
