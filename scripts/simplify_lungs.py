"""Write the lung network of a bundle with `Resize` nodes, as `train-lungs` does now; its answers keep their bits.

python scripts/simplify_lungs.py src/covid_xray/bundle/default
"""

import sys
from pathlib import Path

import numpy as np
import onnxruntime

from covid_xray.bundle.bundle import load_bundle, networks, write_bundle
from covid_xray.training.onnx.enlarge import with_resize


def main() -> None:
    """Replace the network and seal the bundle again."""
    folder = Path(sys.argv[1])
    found = networks(folder)
    side = load_bundle(folder).facts["lungs"]["image_size"]
    image = np.random.default_rng(0).integers(0, 256, (4, side, side, 1)).astype(np.float32)
    before, after = found["lungs"], with_resize(found["lungs"])
    answers = [onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"]).run(None, {"image": image})[0]
               for model in (before, after)]  # fmt: skip
    if not np.array_equal(*answers):
        raise SystemExit("The network answers differently. Nothing was written.")
    write_bundle(folder, **{**found, "lungs": after}, facts=dict(load_bundle(folder).facts))
    print(f"{folder}: lungs.onnx of {len(after):,} bytes instead of {len(before):,}")


if __name__ == "__main__":
    main()
