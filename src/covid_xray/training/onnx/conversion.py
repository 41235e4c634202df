"""Convert a Keras network to ONNX with every weight and every captured constant inside the graph.

On TensorFlow the converter tf2onnx is called directly: Keras' own export declares the constants that a preprocessing
captured (the ImageNet mean of ResNet50 and others) as inputs of the graph, and each of some twenty passes of the
converter copies every weight. Large kernels are left out here and attached at the end.
"""

import contextlib
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from covid_xray.training.onnx.storage import ExportFailed

LARGE = 1 << 20  # bytes of a kernel that is left out of the conversion
# Bytes of a network from which on kernels of convolutions are left out too. In a smaller one the converter can fold
# batch normalisation into them, which ONNX Runtime does otherwise whenever it opens the network.
HEAVY = 48 << 20


def convert(model: keras.Model) -> Any:
    """Convert a model with named outputs that was called once to an `onnx.ModelProto`.

    Raises:
        ExportFailed: the converter does not know an operation, or wrote weights beside the file.
    """
    if keras.backend.backend() == "tensorflow":
        return _from_tensorflow(model)
    import onnx

    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.onnx"
        model.export(path, format="onnx", verbose=False)
        extra = [p.name for p in Path(name).iterdir() if p != path]
        if extra:
            raise ExportFailed(f"The exporter wrote weights beside the ONNX file: {', '.join(sorted(extra))}.")
        return onnx.load_from_string(path.read_bytes())


def _from_tensorflow(model: keras.Model) -> Any:
    import tf2onnx

    with contextlib.suppress(ImportError):  # Keras' own repair of tf2onnx for NumPy 2
        from keras.src.export.tf2onnx_lib import patch_tf2onnx

        patch_tf2onnx()
    graph, inputs, outputs = _frozen(model)
    kernels = _take_kernels(graph)
    proto, _ = tf2onnx.convert.from_graph_def(
        graph,
        input_names=[f"{name}:0" for name in [*inputs, *kernels]],
        output_names=list(outputs),
        tensors_to_rename={**outputs, **{f"{name}:0": name for name in [*inputs, *kernels]}},
        custom_op_handlers={"Erfc": (_erfc, [])},
    )
    _require_known(proto)
    _attach(proto.graph, kernels)
    return proto


def _attach(graph: Any, kernels: dict[str, Any]) -> None:
    """Make the kernels initializers instead of inputs, and transpose those that the graph would transpose."""
    import onnx

    for tensor in [tensor for tensor in graph.input if tensor.name in kernels]:
        graph.input.remove(tensor)
    turned = [node for node in graph.node if node.op_type == "Transpose" and node.input[0] in kernels]
    for node in turned:
        (order,) = (attribute.ints for attribute in node.attribute if attribute.name == "perm")
        kernels[node.output[0]] = kernels[node.input[0]].transpose(order)
        graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    graph.initializer.extend(onnx.numpy_helper.from_array(kernels[name], name) for name in kernels if name in used)


def _frozen(model: keras.Model) -> tuple[Any, list[str], dict[str, str]]:
    """Trace the model; return its graph with weights and captures as constants, its inputs, and tensor -> output."""
    import tensorflow as tf
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    specs = [tf.TensorSpec((None, *one.shape[1:]), one.dtype, name=one.name) for one in model.inputs]

    def forward(*inputs: Any) -> Any:
        return model(inputs[0] if len(inputs) == 1 else list(inputs), training=False)

    with tf.device("/cpu:0"):
        traced = tf.function(forward, autograph=False).get_concrete_function(*specs)
        frozen = convert_variables_to_constants_v2(traced, lower_control_flow=False, aggressive_inlining=True)
    names = tf.nest.flatten({name: name for name in model.output})  # in the order in which TensorFlow flattens a dict
    outputs = {tensor.name: name for tensor, name in zip(frozen.outputs, names, strict=True)}
    return frozen.graph.as_graph_def(add_shapes=True), [one.name for one in model.inputs], outputs


def _take_kernels(graph: Any) -> dict[str, Any]:
    """Replace the large constants that serve as kernels alone by placeholders, in place; return name -> values."""
    import tensorflow as tf

    kinds = ("MatMul", "Conv2D") if graph.ByteSize() > HEAVY else ("MatMul",)
    users: dict[str, list[Any]] = {}
    for node in graph.node:
        for name in node.input:
            if not name.startswith("^"):  # an order, not a value
                users.setdefault(name.split(":")[0], []).append(node)
    kernels = {}
    for node in graph.node:
        large = node.op == "Const" and node.attr["value"].tensor.ByteSize() >= LARGE
        if not large or not _is_kernel(node.name, users, kinds):
            continue
        values = tf.make_ndarray(node.attr["value"].tensor)
        kernels[node.name] = values
        placeholder = tf.compat.v1.NodeDef(name=node.name, op="Placeholder")
        placeholder.attr["dtype"].CopyFrom(node.attr["dtype"])
        placeholder.attr["shape"].shape.CopyFrom(tf.TensorShape(values.shape).as_proto())
        node.CopyFrom(placeholder)
    return kernels


def _is_kernel(name: str, users: dict[str, list[Any]], kinds: tuple[str, ...]) -> bool:
    """Say whether a constant is used, as it is, as the second input of such operations alone."""
    for node in users.get(name, []):
        plain = node.op in kinds and not node.attr["transpose_b"].b and node.input[0].split(":")[0] != name
        if not plain and not (node.op == "Identity" and _is_kernel(node.name, users, kinds)):
            return False
    return bool(users.get(name))


def _erfc(context: Any, node: Any, name: str, _: Sequence[Any]) -> None:
    """Write Erfc, of which ONNX has none, as 1 - Erf: the exact GELU of TensorFlow uses it."""
    import numpy as np

    (source,), (result,) = node.input, node.output
    shapes, dtypes = [context.get_shape(result)], [context.get_dtype(result)]
    context.remove_node(name)
    erf = context.make_node("Erf", [source], shapes=shapes, dtypes=dtypes)
    one = context.make_const(f"{name}_one", np.array(1, np.float32))
    context.make_node("Sub", [one.output[0], erf.output[0]], outputs=[result], shapes=shapes, dtypes=dtypes)


def _require_known(proto: Any) -> None:
    import onnx

    known = {schema.name for schema in onnx.defs.get_all_schemas()}
    unknown = sorted({node.op_type for node in proto.graph.node if node.op_type not in known})
    if unknown:
        raise ExportFailed(f"The network cannot be exported: ONNX has no {', '.join(unknown)}. Use other layers.")
