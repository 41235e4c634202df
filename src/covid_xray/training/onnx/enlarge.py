"""Write an enlargement of an ONNX graph as one `Resize` node.

A converter writes the upsampling layer of Keras as some twenty nodes that tile, transpose and reshape. The runtime
executes each as a copy, leaves the blocked layout of its convolutions for them, and takes twice as long to open the
network. `Resize` computes the same bits.
"""

from typing import Any

import numpy as np

_COPYING = frozenset({"Unsqueeze", "Tile", "Transpose", "Shape", "Gather", "Cast", "Slice", "Concat", "Reshape"})
_SCALES = "enlarge_scales"


def with_resize(model: bytes) -> bytes:
    """Replace each enlargement by two (nearest neighbour, N x C x H x W) of an ONNX file; others stay as they are."""
    import onnx

    proto = onnx.load_from_string(model)
    graph = proto.graph
    shapes = _shapes(onnx, proto)
    maker = {name: node for node in graph.node for name in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    changed: dict[str, str] = {}  # enlarged tensor -> what is enlarged
    for name in _pictures(graph, maker):
        nodes, source = _chain(name, maker, set(constants))
        if any(one.op_type == "Tile" for one in nodes) and source and len(shapes.get(source, ())) == 4:
            weights = [constants[used] for one in nodes for used in one.input if used in constants]
            if _doubles(onnx, nodes, weights, source, name, shapes[source], proto.opset_import):
                changed[name] = source
    if not changed:
        return model
    _replace(onnx, graph, changed)
    return _checked(proto)


def _pictures(graph: Any, maker: dict[str, Any]) -> list[str]:
    """List what convolutions read, and what is concatenated for them."""
    read = [node.input[0] for node in graph.node if node.op_type == "Conv"]
    joins = [maker[name] for name in read if name in maker and maker[name].op_type == "Concat"]
    return [*read, *(name for node in joins for name in node.input)]


def _chain(name: str, maker: dict[str, Any], constants: set[str]) -> tuple[list[Any], str | None]:
    """List the copying nodes that a tensor comes from, in no order, and the one tensor that they copy."""
    nodes: dict[int, Any] = {}
    sources: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        node = maker.get(one)
        if node is None or node.op_type not in _COPYING or all(used in constants for used in node.input):
            sources |= {one} - constants
        elif id(node) not in nodes:
            nodes[id(node)] = node
            waiting += node.input
    return list(nodes.values()), next(iter(sources)) if len(sources) == 1 else None


def _doubles(
    onnx: Any, nodes: list[Any], weights: list[Any], source: str, name: str, shape: tuple[int, ...], opsets: Any
) -> bool:
    """Run the nodes alone and say whether they double the rows and columns of every channel."""
    import onnxruntime

    from covid_xray.training.onnx.canonical import in_order

    x = np.random.default_rng(0).random((2, *shape[1:]), np.float32)
    ends = [onnx.helper.make_tensor_value_info(one, onnx.TensorProto.FLOAT, None) for one in (source, name)]
    unique = list({tensor.name: tensor for tensor in weights}.values())
    graph = onnx.helper.make_graph(in_order(nodes, [name]), "part", ends[:1], ends[1:], unique)
    part = onnx.helper.make_model(graph, opset_imports=opsets)
    session = onnxruntime.InferenceSession(part.SerializeToString(), providers=["CPUExecutionProvider"])
    (found,) = session.run([name], {source: x})
    return np.array_equal(found, x.repeat(2, axis=2).repeat(2, axis=3))


def _replace(onnx: Any, graph: Any, changed: dict[str, str]) -> None:
    from covid_xray.training.onnx.canonical import canonical

    for node in graph.node:
        node.output[:] = [f"{name}_copied" if name in changed else name for name in node.output]
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    graph.node.extend(
        onnx.helper.make_node("Resize", [source, "", _SCALES], [name], name="enlarge", **how)
        for name, source in changed.items()
    )
    graph.initializer.append(onnx.numpy_helper.from_array(np.array([1, 1, 2, 2], np.float32), _SCALES))
    canonical(graph)  # in order, and without the nodes that nothing uses any longer


def _shapes(onnx: Any, proto: Any) -> dict[str, tuple[int, ...]]:
    graph = onnx.shape_inference.infer_shapes(proto).graph
    return {
        value.name: tuple(side.dim_value for side in value.type.tensor_type.shape.dim) for value in graph.value_info
    }


def _checked(proto: Any) -> bytes:
    from covid_xray.training.onnx.storage import aligned

    return aligned(proto)
