"""Import TensorFlow without its start-up lines."""

import contextlib
import os
from pathlib import Path


def quiet_tensorflow() -> None:
    """Import TensorFlow without its start-up lines, which its C++ part writes to file descriptor 2 whatever is set.

    Does nothing where Keras runs on another backend or where TensorFlow is absent; the error then comes from Keras.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if os.environ.get("KERAS_BACKEND", "tensorflow") != "tensorflow":
        return
    stderr = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
            with contextlib.suppress(ImportError):
                import tensorflow  # noqa: F401
    finally:
        os.dup2(stderr, 2)
        os.close(stderr)
