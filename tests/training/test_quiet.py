"""TensorFlow starts without a word."""

import subprocess
import sys

import pytest

pytest.importorskip("tensorflow")


@pytest.mark.slow
def test_nothing_is_printed_when_tensorflow_starts() -> None:
    program = "from covid_xray.training.quiet import quiet_tensorflow as q; q(); import keras; keras.ops.ones(2)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("", "")


def test_another_backend_needs_no_tensorflow(monkeypatch: pytest.MonkeyPatch) -> None:
    from covid_xray.training.quiet import quiet_tensorflow

    monkeypatch.setenv("KERAS_BACKEND", "jax")
    monkeypatch.setitem(sys.modules, "tensorflow", None)
    quiet_tensorflow()
