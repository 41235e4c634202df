"""bfloat16 where the processor computes in it, float32 elsewhere."""

from pathlib import Path

import pytest

keras = pytest.importorskip("keras")

from covid_xray.training import precision


@pytest.fixture(autouse=True)
def _no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "_gpu_has_bfloat16", lambda: None)


@pytest.mark.parametrize(
    ("flags", "expected"),
    [
        ("flags : fpu avx512f avx512_bf16 amx_tile", "mixed_bfloat16"),
        ("flags : fpu avx512f amx_bf16", "mixed_bfloat16"),
        ("flags : fpu avx2 avx512f", "float32"),
        ("flags : avx512_bf16x", "float32"),
    ],
)
def test_auto_reads_the_processor(tmp_path: Path, flags: str, expected: str) -> None:
    (tmp_path / "cpuinfo").write_text(flags)
    if keras.backend.backend() != "tensorflow":
        expected = "float32"
    assert precision.choose("auto", model="vgg", cpuinfo=tmp_path / "cpuinfo") == expected


@pytest.mark.parametrize("model", ["efficientnet_lite0", "EfficientNetB0", "MobileNetV2"])
def test_depthwise_convolutions_stay_in_float32_on_a_processor(tmp_path: Path, model: str) -> None:
    (tmp_path / "cpuinfo").write_text("flags : avx512_bf16")
    assert precision.choose("auto", model=model, cpuinfo=tmp_path / "cpuinfo") == "float32"


def test_no_cpuinfo_means_float32(tmp_path: Path) -> None:
    assert precision.choose("auto", model="vgg", cpuinfo=tmp_path / "absent") == "float32"


def test_a_wish_is_a_wish(tmp_path: Path) -> None:
    assert (
        precision.choose("mixed_bfloat16", model="efficientnet_lite0", cpuinfo=tmp_path / "absent") == "mixed_bfloat16"
    )


@pytest.mark.parametrize(("gpu", "expected"), [(True, "mixed_bfloat16"), (False, "float32")])
def test_a_gpu_decides_for_itself(monkeypatch: pytest.MonkeyPatch, gpu: bool, expected: str) -> None:
    monkeypatch.setattr(precision, "_gpu_has_bfloat16", lambda: gpu)
    assert precision.choose("auto", model="efficientnet_lite0") == expected


def test_the_policy_from_before_returns() -> None:
    before = keras.config.dtype_policy().name
    with precision.policy("mixed_bfloat16"):
        assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == before
