"""A process that saves in a loop until it is killed: `python saver.py checkpoint|bundle|file FOLDER`."""

import itertools
import sys
from pathlib import Path

import numpy as np

from covid_xray import files
from covid_xray.bundle.bundle import write_bundle
from covid_xray.training import checkpoint
from covid_xray.training.schedule import Schedule

SIZE = 20_000


def generation(epoch: int) -> checkpoint.Generation:
    """Arrays that hold their epoch, so that a mixture of two shows."""
    arrays = [np.full(SIZE, epoch, np.float32), np.full(SIZE // 2, epoch, np.int64)]
    return checkpoint.Generation(arrays, arrays[:1], Schedule(1e-3, epoch=epoch, best_epoch=epoch), run="one")


def bundle_facts(number: int) -> dict[str, object]:
    return {
        "name": "saver",
        "version": str(number),
        "classes": ["a", "b"],
        "input": {"height": 8, "width": 8, "pixels_version": 1},
        "outputs": ["probabilities", "class_maps", "embedding"],
        "temperature": 1.0,
    }


def save(kind: str, folder: Path, number: int, network: bytes) -> None:
    """Save number `number` of its kind."""
    if kind == "checkpoint":
        checkpoint.save(folder / "checkpoint", generation(number))
    elif kind == "bundle":
        write_bundle(folder / "bundle", model=network, facts=bundle_facts(number))
    else:
        files.write_text(folder / "file.txt", f"{number}\n" * SIZE)


def main() -> None:
    """Save for ever, beginning behind what is there."""
    kind, folder, first = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    network = (folder / "network.onnx").read_bytes() if kind == "bundle" else b""
    for number in itertools.count(first):
        save(kind, folder, number, network)
        print(number, flush=True)


if __name__ == "__main__":
    main()
