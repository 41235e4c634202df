"""A bundle with a clinical input without training: a few values move the answer by fixed amounts, the others do not."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from covid_xray import clinical
from covid_xray.bundle.bundle import write_bundle
from covid_xray.bundle.fusion_network import FUSION_VERSION
from covid_xray.files import sha256_bytes
from support.bundles import CLASSES, facts, network

# Field -> what one unit above its centre adds to the logit of the first class.
MOVES = {"age": (50.0, 0.03), "spo2": (96.0, -0.2), "fever": (0.0, 0.7)}


def make_joint_bundle(folder: Path, **others: Any) -> Path:
    """The bundle of `bundles.make_bundle`, with `fusion.onnx`."""
    model = network(sharpness=0.2)
    fields = [_field(field) for field in clinical.FIELDS]
    fusion = {"version": FUSION_VERSION, "model_sha256": sha256_bytes(model), "fields": fields, "conformal": None}
    write_bundle(folder, model=model, facts=facts(fusion=fusion, **others), fusion=fusion_network())
    return folder


def fusion_network() -> bytes:
    """The graph of `inference.fusion`: terms of each field, zero where it is absent, added to log p."""
    count, classes = len(clinical.FIELDS), len(CLASSES)
    centres, steps = np.zeros((1, count), np.float32), np.zeros((count, 1), np.float32)
    for number, field in enumerate(clinical.FIELDS):
        centres[0, number], steps[number, 0] = MOVES.get(field.name, (0.0, 0.0))
    first = np.eye(1, classes, dtype=np.float32)
    tensors = {"centres": centres, "slopes": (steps * first)[None], "zero": np.zeros(1, np.float32)}
    tensors |= {"last": np.array([2], np.int64), "fields": np.array([1], np.int64), "least": np.array(1e-7, np.float32)}
    nodes = [
        helper.make_node("IsNaN", ["clinical"], ["absent"]),
        helper.make_node("Sub", ["clinical", "centres"], ["moved"]),
        helper.make_node("Where", ["absent", "zero", "moved"], ["known"]),
        helper.make_node("Unsqueeze", ["known", "last"], ["column"]),
        helper.make_node("Mul", ["column", "slopes"], ["terms"]),
        helper.make_node("ReduceSum", ["terms", "fields"], ["sum"], keepdims=0),
        helper.make_node("Max", ["probabilities", "least"], ["floored"]),
        helper.make_node("Log", ["floored"], ["logits"]),
        helper.make_node("Add", ["logits", "sum"], ["both"]),
        helper.make_node("Softmax", ["both"], ["joint_probabilities"], axis=1),
    ]
    sizes = {"probabilities": ["n", classes], "embedding": ["n", 2], "clinical": ["n", count]}
    results = {"joint_probabilities": ["n", classes], "terms": ["n", count, classes]}

    def tensor(name: str, shape: list[Any]) -> onnx.ValueInfoProto:
        return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)

    graph = helper.make_graph(
        nodes,
        "fusion",
        [tensor(*pair) for pair in sizes.items()],
        [tensor(*pair) for pair in results.items()],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def _field(field: clinical.Field) -> dict[str, Any]:
    used = field.name in MOVES
    about = {"name": field.name, "title": field.title, "unit": field.unit, "low": field.low, "high": field.high}
    return {
        **about,
        "used": used,
        "classes": list(CLASSES) if used else [],
        "reason": "" if used else "stated of too few patients",
    }
