"""Make a bundle of an ONNX classifier from elsewhere, such as one that PyTorch trained and exported.

The graph gets our input and outputs: grey values 0..255 are scaled as the network was trained, a softmax over the
classes follows its logits, and class maps come from its last feature maps. A head of global average pooling and one
dense layer is required: there Grad-CAM is a 1x1 convolution with the head's weights (`models.heatmap_head`).
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from covid_xray.bundle.bundle import MODEL_FILE, OUTPUTS, identity_of, unsealed, write_bundle
from covid_xray.errors import InputRefused, UsageError
from covid_xray.files import sha256_bytes
from covid_xray.inference.predictor import Predictor
from covid_xray.inference.selftest import references
from covid_xray.training.onnx.canonical import canonical
from covid_xray.training.onnx.foreign_head import Head, find_head
from covid_xray.training.onnx.storage import ExportFailed, aligned, default_facts

PREFIX = "theirs/"  # of the names of all tensors of the file
LEFT_OUT = "-"  # in the place of a class: this output of the network is not used
TOLERANCE = 1e-4  # of a probability
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Foreign:
    """What is to be known of the network.

    Args:
        classes: one name for each of its outputs in order, "-" for one that is left out; two names for one output
            mean that it is the logit of the second.
        layer: tensor or node of its last feature maps; `None` for the input of its average pooling.
        black, white: the values that 0 and 255 become.
        mean, std: subtracted and divided by after that, one value or one for each channel.
        size: rows and columns of its input, where the file leaves them open.
    """

    classes: tuple[str, ...]
    layer: str | None = None
    black: float = 0.0
    white: float = 1.0
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    size: int = 0


@dataclass(frozen=True)
class Wrapped:
    """Largest difference of a probability from the file, and the tensor of the last feature maps."""

    parity: float
    layer: str


def wrap(path: Path, folder: Path, about: Foreign) -> Wrapped:
    """Write the bundle of the network in `path` to `folder`.

    Raises:
        InputRefused: the file is no ONNX classifier of one picture, or has another head (code `unknown-head`).
        UsageError: classes, layer, mean or size do not fit the network.
        ExportFailed: the wrapped network gives other answers than the file.
    """
    import onnx

    try:
        proto = onnx.load(path)
        onnx.checker.check_model(proto)
    except Exception:  # protobuf and checker raise many types
        raise InputRefused(f"Not an ONNX file, or a damaged one: {path}.") from None
    if any(one.HasField("g") for node in proto.graph.node for one in node.attribute):
        raise InputRefused(f"The network in {path} branches (If or Loop). Export it by tracing.")
    head = find_head(proto, layer=about.layer)
    size, layout = _picture(proto, about)
    before = type(proto).FromString(proto.SerializeToString())
    data = _rebuilt(proto, about, head, size=size, layout=layout)
    parity = _prove(before, data, about, head, size=size, layout=layout)
    names = [name for name in about.classes if name != LEFT_OUT]
    facts: dict[str, Any] = {
        **default_facts(size, size, crop="none"),
        "name": path.stem,
        "version": sha256_bytes(path.read_bytes())[:12],
        "classes": names,
        "parity": {"probabilities": parity},
        "storage": {"weights": "float32"},
        "wrapped": {
            "file": path.name,
            "sha256": sha256_bytes(path.read_bytes()),
            **asdict(about),
            "layer": head.features,
        },
    }
    sealed = unsealed({**facts, "model": identity_of(data, MODEL_FILE)}, data, folder=Path())
    facts["reference"] = references(Predictor(sealed))
    write_bundle(folder, model=data, facts=facts)
    return Wrapped(parity, head.features)


def _picture(proto: Any, about: Foreign) -> tuple[int, str]:
    """Return rows (and columns) of the network's input, and its layout, such as `1chw` or `hw3`."""
    constants = {tensor.name for tensor in proto.graph.initializer}
    inputs = [tensor for tensor in proto.graph.input if tensor.name not in constants]
    if len(inputs) != 1:
        raise InputRefused(f"The network has {len(inputs)} inputs. It must have one, a picture.")
    shape = [side.dim_value for side in inputs[0].type.tensor_type.shape.dim]
    places = [place for place in (1, 3) if len(shape) == 4 and shape[place] in (1, 3)]
    if not places:
        raise InputRefused(
            f"The network's input is {shape}. It must be N x channels x rows x columns, 1 or 3 channels."
        )
    rows, columns = (shape[2], shape[3]) if places[0] == 1 else (shape[1], shape[2])
    size = rows or about.size
    if not size or (columns or size) != size or (about.size and about.size != size):
        raise UsageError(
            f"The network's input is {rows or 'any'} x {columns or 'any'}. Give its square size with --size."
        )
    return size, f"{shape[places[0]]}chw" if places[0] == 1 else f"hw{shape[places[0]]}"


def _scaled(x: Floats, about: Foreign, layout: str) -> Floats:
    """Scale grey values N x H x W x 1 as the network takes them; the graph does the same."""
    channels = 3 if "3" in layout else 1
    values = x * np.float32((about.white - about.black) / 255) + np.float32(about.black)
    values = np.repeat(values, channels, axis=3)
    if about.mean or about.std:
        mean, std = np.array(about.mean or (0,), np.float32), np.array(about.std or (1,), np.float32)
        values = np.asarray((values - mean) / std, np.float32)
    return np.ascontiguousarray(values.transpose(0, 3, 1, 2) if layout.endswith("chw") else values, np.float32)


def _rebuilt(proto: Any, about: Foreign, head: Head, *, size: int, layout: str) -> bytes:
    from onnx import TensorProto, helper

    graph = proto.graph
    constants = {tensor.name for tensor in graph.initializer}
    theirs = next(tensor for tensor in graph.input if tensor.name not in constants).name
    _rename(graph, {theirs: "ours/picture"})
    nodes = [*_front(graph, about, layout, result="ours/picture"), *graph.node, *_back(graph, about, head)]
    del graph.node[:], graph.input[:], graph.output[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, ["batch", size, size, 1]))
    count, wide = len(kept_outputs(about, head)), head.kernel.shape[0]
    shapes: dict[str, list[int | None]] = {
        "probabilities": [count], "class_maps": [count, None, None], "embedding": [wide]
    }  # fmt: skip
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["batch", *shapes[name]]) for name in OUTPUTS
    )
    canonical(graph)
    return aligned(proto)


def _rename(graph: Any, names: dict[str, str]) -> None:
    """Rename every tensor, to the given name or with a prefix, so that none is called as one of ours."""

    def renamed(name: str) -> str:
        return names.get(name, f"{PREFIX}{name}") if name else name

    for node in graph.node:
        node.input[:] = [renamed(name) for name in node.input]
        node.output[:] = [renamed(name) for name in node.output]
    for tensor in graph.initializer:
        tensor.name = renamed(tensor.name)


def _front(graph: Any, about: Foreign, layout: str, *, result: str) -> list[Any]:
    """Write the nodes from `image` to the network's input, `_scaled` as operations."""
    from onnx import helper

    channels = 3 if "3" in layout else 1
    scale = (about.white - about.black) / 255
    steps: list[tuple[str, Any]] = [("Mul", scale), ("Add", about.black)]
    steps += [("Sub", about.mean)] if about.mean else []
    steps += [("Div", about.std)] if about.std else []
    nodes, last = [], "image"
    if channels == 3:
        nodes.append(helper.make_node("Concat", ["image"] * 3, ["ours/rgb"], axis=3))
        last = "ours/rgb"
    for kind, value in steps:
        constant = _constant(graph, f"ours/{kind.lower()}", np.array(value, np.float32))
        nodes.append(helper.make_node(kind, [last, constant], [f"ours/{kind.lower()}ed"]))
        last = nodes[-1].output[0]
    order = [0, 3, 1, 2] if layout.endswith("chw") else [0, 1, 2, 3]
    return [*nodes, helper.make_node("Transpose", [last], [result], perm=order)]


def _back(graph: Any, about: Foreign, head: Head) -> list[Any]:
    """Write the nodes from logits, features and embedding to our three outputs."""
    from onnx import helper

    outputs = kept_outputs(about, head)
    kernel = _selected(head.kernel, outputs).T[:, :, None, None]
    one_by_one = _constant(graph, "ours/kernel", np.ascontiguousarray(kernel, np.float32))
    nodes = [
        helper.make_node("Conv", [PREFIX + head.features, one_by_one], ["ours/maps"]),
        helper.make_node("Relu", ["ours/maps"], ["class_maps"]),
        helper.make_node("Identity", [PREFIX + head.embedding], ["embedding"]),
    ]
    if head.channels_last:
        nodes.insert(0, helper.make_node("Transpose", [PREFIX + head.features], ["ours/features"], perm=[0, 3, 1, 2]))
        nodes[1].input[0] = "ours/features"
    mixing = _constant(graph, "ours/outputs", _selected(np.eye(head.kernel.shape[1], dtype=np.float32), outputs))
    nodes += [
        helper.make_node("MatMul", [PREFIX + head.logits, mixing], ["ours/logits"]),
        helper.make_node("Softmax", ["ours/logits"], ["probabilities"], axis=1),
    ]
    return nodes


def kept_outputs(about: Foreign, head: Head) -> list[int | None]:
    """Return the network's output behind each class; `None` for a logit of 0. Raises `UsageError`."""
    count = head.kernel.shape[1]
    if count == 1 and len(about.classes) == 2:
        return [None, 0]
    if len(about.classes) != count:
        raise UsageError(
            f"The network has {count} outputs and --classes names {len(about.classes)}. Name each in order, - for one "
            "that is left out."
        )
    kept: list[int | None] = [place for place, name in enumerate(about.classes) if name != LEFT_OUT]
    if len(kept) < 2:
        raise UsageError("Too few classes: at least two are needed. Name more outputs in --classes.")
    return kept


def _selected(kernel: Floats, outputs: Sequence[int | None]) -> Floats:
    columns = [np.zeros(len(kernel), np.float32) if place is None else kernel[:, place] for place in outputs]
    return np.stack(columns, axis=1).astype(np.float32)


def _constant(graph: Any, name: str, values: Floats) -> str:
    from onnx import numpy_helper

    graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _prove(before: Any, data: bytes, about: Foreign, head: Head, *, size: int, layout: str) -> float:
    """Return the largest difference of a probability from the file's own, image by image and in a batch."""
    import onnxruntime
    from onnx import helper

    logits = helper.make_empty_tensor_value_info(head.logits)
    if head.logits not in [tensor.name for tensor in before.graph.output]:
        before.graph.output.append(logits)
    x = np.random.default_rng(0).integers(0, 256, (3, size, size, 1)).astype(np.float32)
    x[0] = np.linspace(0, 255, size, dtype=np.float32)[:, None]
    theirs = onnxruntime.InferenceSession(before.SerializeToString(), providers=["CPUExecutionProvider"])
    name = theirs.get_inputs()[0].name
    values = [theirs.run([head.logits], {name: _scaled(one[None], about, layout)})[0] for one in x]
    mixed = np.concatenate(values) @ _selected(
        np.eye(head.kernel.shape[1], dtype=np.float32), kept_outputs(about, head)
    )
    powers = np.exp(mixed - mixed.max(axis=1, keepdims=True))
    try:
        ours = onnxruntime.InferenceSession(data, providers=["CPUExecutionProvider"]).run(
            ["probabilities"], {"image": x}
        )
        difference = float(np.abs(ours[0] - powers / powers.sum(axis=1, keepdims=True)).max())
    except Exception:
        difference = float("nan")  # a graph that was exported for one image at a time
    if not difference <= TOLERANCE:
        raise ExportFailed(
            "The network does not give the same answers for several images at once. Export it with a free batch axis "
            "(torch.onnx.export(..., dynamic_axes={'input': {0: 'batch'}}))."
        )
    return difference
