"""A training run to be killed: `python trainer.py DATA OUT EPOCHS` starts or resumes it, and prints the weights' hash.

It says `ready` when everything is imported, so that whoever kills it can aim at the work.
"""

import hashlib
import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import keras
import tensorflow as tf

from covid_xray.config import Training
from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.data.split.split import make_split
from covid_xray.training.train import train


def settings(epochs: int) -> Training:
    """A small network with everything that has a state: dropout, augmentation, both schedules."""
    return Training(
        image_size=32,
        blocks=(6, 8),
        convolutions=1,
        dense=(16,),
        dropout=0.3,
        epochs=epochs,
        batch_size=8,
        learning_rate=3e-3,
        early_stopping_patience=epochs,
        precision="float32",
        deterministic=True,
        decode_workers=1,
    )


def weights_hash(run: Path) -> str:
    """SHA-256 over all weights of the finished run, in order."""
    digest = hashlib.sha256()
    for array in keras.saving.load_model(run / "model.keras", compile=False).get_weights():
        digest.update(array.tobytes())
    return digest.hexdigest()


def main() -> None:
    """Train, from the start or from where the last process died."""
    data, out, epochs = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    manifest = read_manifest(data)
    split = make_split(manifest, seed=1)
    print("ready", flush=True)
    resume = (out / "config.yaml").exists() or (out / "cache").exists()
    train(manifest, split, settings=settings(epochs), out=out, resume=resume)
    print(weights_hash(out), flush=True)


if __name__ == "__main__":
    main()
