"""A cross-validation to be killed: `python crossvaler.py DATA OUT` starts or resumes it. It says `ready` first."""

import os
import sys
from pathlib import Path

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"

import tensorflow as tf
from trainer import settings

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.training.crossval.crossval import crossval
from covid_xray.training.crossval.folds import Protocol


def main() -> None:
    """Two folds, from the start or from where the last process died."""
    data, out = Path(sys.argv[1]), Path(sys.argv[2])
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    manifest = read_manifest(data)
    print("ready", flush=True)
    resume = (out / "folds.csv").exists()
    crossval(manifest, settings=settings(6), protocol=Protocol(folds=2), out=out, resume=resume, rounds=20)


if __name__ == "__main__":
    main()
