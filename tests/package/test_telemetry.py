"""Nothing leaves the machine: the libraries that answer do not tell their makers about it either.

Before it reports, ONNX Runtime writes an identifier of the machine into the cache folder, and OpenVINO one into the
home; switched off, neither comes to be. Where CI or unit tests are announced they are quiet by themselves, so that is
taken away here.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from covid_xray.bundle.bundle import DEFAULT
from covid_xray.inference.engines import ENGINES, GPU

SESSION = "import sys, onnxruntime; onnxruntime.InferenceSession(sys.argv[1], providers=['CPUExecutionProvider'])"
TRACES = [("onnxruntime", SESSION, "deviceid"), ("openvino", "import openvino", "openvino_ga_cid")]
QUIET = ("CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_RUNNING_UNIT_TESTS", "ORT_DISABLE_TELEMETRY", "COVID_XRAY_CI")


def kept(home: Path, *command: str) -> list[str]:
    """Files of the two engines that a program of its own leaves in an empty home."""
    env = {name: value for name, value in os.environ.items() if name not in QUIET}
    env |= {"HOME": str(home), "XDG_CACHE_HOME": str(home / "cache")}
    subprocess.run([sys.executable, *command], env=env, check=True, capture_output=True, timeout=300)
    files = [str(path.relative_to(home)) for path in home.rglob("*") if path.is_file()]
    return sorted(name for name in files if any(maker in name for maker in ("onnxruntime", "openvino", "intel")))


@pytest.mark.parametrize("engine", [engine for engine in ENGINES if engine not in GPU])
def test_an_answer_leaves_no_report(engine: str, tmp_path: Path) -> None:
    if engine == "openvino":
        pytest.importorskip("openvino")
    assert kept(tmp_path, "-m", "covid_xray", "selftest", "--engine", engine) == []


@pytest.mark.parametrize(("engine", "code", "trace"), TRACES)
def test_a_report_would_leave_a_trace(engine: str, code: str, trace: str, tmp_path: Path) -> None:
    """Else the test above would find nothing for another reason."""
    if engine == "openvino":
        pytest.importorskip("openvino")
    found = kept(tmp_path, "-c", code, str(DEFAULT / "model.onnx"))
    if not found:
        pytest.skip(f"this {engine} leaves no trace of its reports")
    assert any(name.endswith(trace) for name in found)
