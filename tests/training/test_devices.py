"""One batch on two devices: the loss curve of one. Each count runs in a process of its own, as TensorFlow wants."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tensorflow")

from covid_xray.errors import UsageError
from covid_xray.training import devices


def test_a_filled_batch_has_the_mean_loss_of_the_batch() -> None:
    x, y, weight = np.arange(5.0)[:, None], np.eye(5), np.array([1, 2, 0.5, 1, 1.5], np.float32)
    losses = np.array([0.3, 0.7, 0.2, 1.1, 0.9])
    more_x, more_y, grown = devices.pad_batch(x, y, weight, 4)
    assert len(more_x) == len(more_y) == len(grown) == 8
    again = losses[[0, 1, 2, 3, 4, 0, 1, 2]]
    assert (again * grown).mean() == pytest.approx((losses * weight).mean())
    assert devices.pad_batch(x, y, weight, 5)[0] is x


@pytest.mark.slow
def test_two_devices_have_the_loss_curve_of_one() -> None:
    script = Path(__file__).parents[1] / "support" / "mirrored.py"
    ran = {}
    for count in (1, 2):
        command = [sys.executable, str(script), str(count)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=280)
        assert done.returncode == 0, done.stderr[-2000:]
        ran[count] = json.loads(done.stdout.splitlines()[-1])
    assert (ran[1]["replicas"], ran[2]["replicas"]) == (1, 2)
    difference = max(abs(a - b) for a, b in zip(ran[1]["losses"], ran[2]["losses"], strict=True))
    assert difference < 1e-3
    assert ran[1]["losses"][-1] < ran[1]["losses"][0]


def test_more_devices_than_the_process_may_have_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    tf.config.list_logical_devices()  # TensorFlow has begun
    with pytest.raises(UsageError, match="TensorFlow has already started"):
        devices.scope(64)
    monkeypatch.setattr("keras.backend.backend", lambda: "jax")
    with pytest.raises(UsageError, match="TensorFlow backend"):
        devices.scope(2)
