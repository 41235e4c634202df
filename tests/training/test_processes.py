"""A process that trains with others; that two have the loss curve of one is shown in test_data_parallel.py."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("jax")
pytest.importorskip("tensorflow")

from covid_xray.errors import UsageError
from covid_xray.training import processes

ALONE = """
import json
import numpy as np
from covid_xray.training import processes
processes.join("127.0.0.1:1", count=1, rank=0)
import keras
keras.utils.set_random_seed(0)
model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, activation="softmax")])
x = np.random.default_rng(0).random((6, 4)).astype("float32")
here = processes.predict_on_batch(model, x)
there = np.asarray(model.predict_on_batch(x))
(shared,) = processes.share(x)
agreed = [processes.broadcast(value) for value in (1 / 3, float("inf"))] == [1 / 3, float("inf")]
print(json.dumps([float(abs(here - there).max()), processes.count(), len(shared), float(here.sum()), agreed]))
"""


def test_a_process_on_another_backend_cannot_join_and_trains_alone() -> None:
    assert processes.count() == 1
    with pytest.raises(UsageError, match="KERAS_BACKEND=jax"):
        processes.join("127.0.0.1:1", count=2, rank=0)


@pytest.mark.slow
def test_one_process_alone_answers_as_keras_does() -> None:
    environment = {**os.environ, "KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-c", ALONE]
    ran = subprocess.run(command, capture_output=True, text=True, check=False, env=environment, timeout=250)
    assert ran.returncode == 0, ran.stderr[-2000:]
    difference, count, shared, total, agreed = json.loads(ran.stdout.splitlines()[-1])
    assert difference < 1e-6
    assert agreed
    assert (count, shared) == (1, 6)
    assert total == pytest.approx(6.0, abs=1e-4)
    assert np.isfinite(total)
