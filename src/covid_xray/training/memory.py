"""Estimate the memory of a training run, and compare it with what the machine has left."""

from pathlib import Path

import keras
import numpy as np

BASE = 900 << 20  # bytes of Python, TensorFlow and pandas before anything is trained
# Copies of the weights beside the network's own: gradient, two moments, running average, the best epoch's, and the
# state of a checkpoint (weights and moments) that is written while the next epoch runs.
COPIES = 8
# Values held for each output of a layer. Gradients take the place of outputs that are no longer needed: the default
# network took 2.64 GB with batches of 32, 2.8 GB by this estimate.
KEPT = 1.0


def needed(model: keras.Model, *, batch_size: int) -> int:
    """Estimate the bytes that training takes with batches of this size; right within about a third."""
    weights = sum(int(np.prod(weight.shape)) for weight in model.weights) * 4
    wide = 2 if "bfloat16" in model.layers[1].compute_dtype else 4
    return BASE + weights * (1 + COPIES) + round(_values(model) * batch_size * wide * KEPT)


def available(root: Path = Path("/")) -> int | None:
    """Return the bytes that a process may still take: of the machine, or of its container where that is less.

    `None` where the system does not tell.
    """
    found = [value for value in (_of_machine(root), _of_container(root)) if value is not None]
    return min(found) if found else None


def describe_shortage(need: int, have: int | None) -> str:
    """Return a warning where the run needs more than there is; "" where it does not or nothing is known."""
    if have is None or need <= have:
        return ""
    return (
        f"This run needs about {need / 1e9:.1f} GB of memory and {have / 1e9:.1f} GB are free: it may be killed. Set a "
        "smaller batch_size or image_size, or close other programs."
    )


def _values(model: keras.Model) -> int:
    """Count the values that all layers give for one image; those that may be done in place count too."""
    total = 0
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            total += _values(layer)
            continue
        outputs = layer.output if isinstance(layer.output, list) else [layer.output]
        total += sum(int(np.prod(one.shape[1:])) for one in outputs)
    return total


def _of_machine(root: Path) -> int | None:
    try:
        lines = (root / "proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")), None)


def _of_container(root: Path) -> int | None:
    folder = root / "sys/fs/cgroup"
    try:
        limit, used = ((folder / name).read_text(encoding="ascii").strip() for name in ("memory.max", "memory.current"))
    except OSError:
        return None
    return int(limit) - int(used) if limit.isdigit() else None
