"""Choose the arithmetic of the training: `mixed_bfloat16` where machine and network gain from it, else `float32`.

The choice matters more than any other setting of speed: with AVX512-BF16 or AMX a VGG step takes a half to a quarter of
the time, while bfloat16 emulated on an older processor is slower than float32.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import keras

FLAGS = ("avx512_bf16", "amx_bf16")  # Intel's and AMD's names in /proc/cpuinfo
# Families of depthwise convolutions: oneDNN's bfloat16 kernels for those lose (docs/results/precisions.md).
DEPTHWISE = ("efficientnet", "mobilenet")


def choose(setting: str, *, model: str, cpuinfo: Path = Path("/proc/cpuinfo")) -> str:
    """Choose `float32` or `mixed_bfloat16`: as set, or for `auto` the faster one for `model` on this device."""
    if setting != "auto":
        return setting
    on_gpu = _gpu_has_bfloat16()
    if on_gpu is not None:
        return "mixed_bfloat16" if on_gpu else "float32"
    # Only TensorFlow's CPU kernels (oneDNN) gain from these units; JAX and PyTorch were slower in bfloat16.
    plain = not model.lower().startswith(DEPTHWISE)
    gains = plain and keras.backend.backend() == "tensorflow" and _cpu_has_bfloat16(cpuinfo)
    return "mixed_bfloat16" if gains else "float32"


@contextlib.contextmanager
def policy(name: str) -> Iterator[None]:
    """Build networks inside the context in the precision `name`; afterwards the earlier one is restored."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _cpu_has_bfloat16(cpuinfo: Path) -> bool:
    try:
        flags = cpuinfo.read_text(encoding="utf-8", errors="replace").split()
    except OSError:
        return False
    return any(flag in flags for flag in FLAGS)


def _gpu_has_bfloat16() -> bool | None:
    """Say whether the GPU has bfloat16 (NVIDIA compute capability 8 and up); `None` without a GPU."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        gpus = tf.config.list_physical_devices("GPU")
        details = [tf.config.experimental.get_device_details(gpu) for gpu in gpus]
        return all(d.get("compute_capability", (0, 0))[0] >= 8 for d in details) if details else None
    if keras.backend.backend() == "torch":
        import torch

        return bool(torch.cuda.is_bf16_supported()) if torch.cuda.is_available() else None
    import jax

    return True if jax.default_backend() == "gpu" else None
