"""Train one of the processes of benchmarks/data_parallel.py in float64, without Ray; print the losses as JSON.

If one and two processes agree here, a difference between them in float32 is rounding. The last layer stays in float32,
as in the network, so about eight digits can agree.

    python -m benchmarks._support.float64_training DATA SPLIT CACHE RATE EPOCHS RANK COUNT PORT
"""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

SHAPE = {"image_size": 64, "blocks": (16, 32, 64), "convolutions": 1, "dense": (64,), "dropout": 0.0, "batch_size": 32}


def curves(data: Path, split: Path, *, rate: float, epochs: int) -> dict[int, list[list[float]]]:
    """Map the number of processes (1, 2) to training and validation loss of each epoch."""
    found = {}
    for count in (1, 2):
        port = free_port()
        with tempfile.TemporaryDirectory() as folder:
            facts = [[data, split, f"{folder}/{rank}", rate, epochs, rank, count, port] for rank in range(count)]
            together = [
                subprocess.Popen(
                    [sys.executable, "-m", __spec__.name, *map(str, each)],
                    env={**os.environ, "KERAS_BACKEND": "jax", "JAX_ENABLE_X64": "1"},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
                for each in facts
            ]
            output = [process.communicate()[0] for process in together]
        found[count] = json.loads(output[0].splitlines()[-1])
    return found


def free_port() -> int:
    """Find a port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def one(data: Path, split: Path, cache: Path, rate: float, epochs: int) -> list[list[float]]:
    """Train in this process; return the losses."""
    from covid_xray.config import Training
    from covid_xray.data.manifest.manifest import read_manifest
    from covid_xray.data.split.split import read_split
    from covid_xray.training import network
    from covid_xray.training.cache import build_cache
    from covid_xray.training.epochs import part_of, train_epoch, validate

    network.precision.choose = lambda wished: "float64"  # type: ignore[assignment]
    manifest, parts = read_manifest(data), read_split(split)
    settings = Training(**SHAPE, learning_rate=rate, epochs=epochs, precision="float32")
    pixels = build_cache(manifest, folder=cache, height=64, width=64, workers=1)
    train, val = (part_of(manifest, parts, name, pixels) for name in ("train", "val"))
    model = network.build_model(settings, 3)
    found = {variable.dtype for variable in model.trainable_variables if "probabilities" not in variable.path}
    assert found == {"float64"}, found
    losses = []
    for epoch in range(1, epochs + 1):
        loss = train_epoch(model, train, settings=settings, epoch=epoch)["loss"]
        losses.append([loss, validate(model, val, batch_size=32)[0]])
    return losses


def main() -> None:
    """Run one process."""
    data, split, cache, rate, epochs, rank, count, port = sys.argv[1:]
    import keras

    from covid_xray.training import processes

    keras.config.set_floatx("float64")
    processes.join(f"127.0.0.1:{port}", count=int(count), rank=int(rank))
    print(json.dumps(one(Path(data), Path(split), Path(cache), float(rate), int(epochs))))


if __name__ == "__main__":
    main()
