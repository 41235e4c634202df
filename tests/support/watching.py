"""Networks that are known to look at one place only, and drawn chests in which every place tells the class.

A network of `network` sees the mean grey of one region: Conv, a product with the region, ReLU, global average pooling,
dense, softmax. So its heat map lies in the region, and what hides the region blinds it.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from covid_xray.bundle.bundle import write_bundle
from covid_xray.images.phantoms.phantom import draw, draw_anatomy, lung_mask
from support.bundles import facts

SIZE = 64
CLASSES = ("covid", "normal")
CORNER = np.zeros((SIZE, SIZE), np.float32)
CORNER[:10, :10] = 1
# Inside the lungs of every drawn adult: beside the spine on both sides, below the apex and above the dome.
LUNGS = np.zeros((SIZE, SIZE), np.float32)
LUNGS[22:34, 13:19] = LUNGS[22:34, 46:51] = 1
BRIGHT = {"corner": {"covid": 230, "normal": 20}, "lungs": {"covid": 45, "normal": -15}}


def network(region: np.ndarray, *, middle: float = 0.45, slope: float = 60.0, seed: int = 0) -> bytes:
    """The ONNX file of a network that calls bright regions covid; channels beside the first see nothing."""
    random = np.random.default_rng(seed)
    kernel = (0.05 * random.normal(size=(4, 1, 3, 3))).astype(np.float32)
    kernel[0, 0] = 0
    kernel[0, 0, 1, 1] = 1  # the identity
    weights = np.zeros((2, 4), np.float32)
    scale = slope * region.size / region.sum()  # global average pooling divides by the whole picture
    weights[0, 0], weights[1, 0] = scale, -scale
    bias = np.array([-slope * middle, slope * middle], np.float32)
    tensors = {
        "white": np.array(1 / 255, np.float32), "kernel": kernel, "region": region[None, None],
        "weights": weights, "bias": bias, "weights_1x1": weights[:, :, None, None],
    }  # fmt: skip
    nodes = [
        helper.make_node("Transpose", ["image"], ["nchw"], perm=[0, 3, 1, 2]),
        helper.make_node("Mul", ["nchw", "white"], ["scaled"]),
        helper.make_node("Conv", ["scaled", "kernel"], ["convolved"], pads=[1, 1, 1, 1], name="conv"),
        helper.make_node("Mul", ["convolved", "region"], ["seen"]),
        helper.make_node("Relu", ["seen"], ["features"]),
        helper.make_node("GlobalAveragePool", ["features"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["embedding"]),
        helper.make_node("Gemm", ["embedding", "weights", "bias"], ["logits"], transB=1, name="head"),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
        helper.make_node("Conv", ["features", "weights_1x1"], ["signed_maps"]),
        helper.make_node("Relu", ["signed_maps"], ["class_maps"]),
    ]
    shapes = {"probabilities": ["b", 2], "class_maps": ["b", 2, SIZE, SIZE], "embedding": ["b", 4]}
    graph = helper.make_graph(
        nodes, "watching", [helper.make_tensor_value_info("image", TensorProto.FLOAT, ["b", SIZE, SIZE, 1])],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in shapes.items()],
        [numpy_helper.from_array(value, name) for name, value in tensors.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def make_bundle(folder: Path, region: np.ndarray, **options: float) -> Path:
    """Write the bundle of the network that watches `region`."""
    write_bundle(folder, model=network(region, **options), facts={**facts(size=SIZE), "classes": list(CLASSES)})
    return folder


def chest(label: str, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A drawn adult whose upper left corner and whose lungs are brighter with covid; and where the lungs are."""
    random = np.random.default_rng((CLASSES.index(label), seed))
    anatomy = draw_anatomy(random, child=False)
    lungs = lung_mask(anatomy, size=SIZE)
    pixels = draw(anatomy, size=SIZE, seed=seed).pixels.astype(float)
    pixels[lungs] += BRIGHT["lungs"][label]
    pixels[:10, :10] = BRIGHT["corner"][label] + random.normal(0, 10, (10, 10))
    return pixels.clip(0, 255).astype(np.uint8), lungs


def draw_chests(root: Path, *, each: int = 30) -> tuple[Path, Path]:
    """`root`/scans/manifest.csv with its images, and `root`/masks; two sources, one picture a patient."""
    rows = ["image,label,patient_id,source"]
    for label in CLASSES:
        for seed in range(each):
            pixels, lungs = chest(label, seed)
            name = f"{label}-{seed:02}.png"
            for path, picture in (
                (root / "scans" / name, pixels),
                (root / "masks" / name, lungs.astype(np.uint8) * 255),
            ):
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(picture).save(path)
            rows.append(f"{name},{label},{label}-{seed},{'north' if seed % 2 else 'south'}")
    (root / "scans" / "manifest.csv").write_text("\n".join(rows) + "\n")
    return root / "scans", root / "masks"
