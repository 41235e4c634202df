"""Find weights to begin with on this machine: nothing is downloaded unasked.

`weights=imagenet` is the file that Keras publishes, in its cache (`KERAS_HOME`, by default ~/.keras) and compared with
the hash in Keras' own source; `weights=download` lets Keras fetch it; anything else is a file of weights.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from covid_xray.config import Training
from covid_xray.errors import InputRefused, UsageError
from covid_xray.files import sha256_file

if TYPE_CHECKING:
    import keras

PUBLISHED = ("imagenet", "download")


def weights_file(settings: Training) -> Path | None:
    """Return the file that `weights` names; `None` for none and for published weights."""
    return None if settings.weights in {None, *PUBLISHED} else Path(str(settings.weights))


def with_hash(settings: Training) -> Training:
    """Return the settings with the SHA-256 of the file that `weights` names, so that a run can be repeated.

    Raises:
        UsageError: no such file.
        InputRefused: it is not the file whose SHA-256 the settings hold.
    """
    file = weights_file(settings)
    if file is None:
        return settings
    if not file.is_file():
        raise UsageError(f"No such file: {file}. weights takes imagenet, download, or a file of Keras weights.")
    sha256 = sha256_file(file)
    if settings.weights_sha256 not in {"", sha256}:
        raise InputRefused(
            f"{file} is not the file that was named: its SHA-256 is {sha256}, and weights_sha256 is "
            f"{settings.weights_sha256}. Give that file, or leave weights_sha256 out."
        )
    return settings.model_copy(update={"weights_sha256": sha256})


@contextlib.contextmanager
def cache_only() -> Iterator[None]:
    """Let Keras take published weights from its cache only, inside the context.

    Raises:
        UsageError: the file is not there; its address and hash are named.
        InputRefused: the file is not the published one.
    """
    from keras.src.utils import file_utils  # where each network of keras.applications asks for its file

    get_file = file_utils.get_file
    file_utils.get_file = find_published
    try:
        yield
    finally:
        file_utils.get_file = get_file


def find_published(fname: str, origin: str, *, file_hash: str | None = None, **_: Any) -> str:
    """Return the path in Keras' cache; the arguments are those of `keras.utils.get_file`. Raises as `cache_only`."""
    path = Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models" / fname
    known = f" ({_algorithm(file_hash)} {file_hash})" if file_hash else ""
    if not path.is_file():
        raise UsageError(
            f"The ImageNet weights are not on this machine: no {path}. Copy {origin}{known} there from a machine with "
            "internet, or let Keras download it with --set weights=download."
        )
    if file_hash and _digest(path, file_hash) != file_hash:
        raise InputRefused(
            f"{path} is not the published file{known}: its hash differs. Copy {origin} again, or use it as it is with "
            f"--set weights={path}."
        )
    return str(path)


def load_file(model: "keras.Model", file: Path, *, network: str) -> None:
    """Load the weights of a Keras network without its classifier (`include_top=False`).

    Raises:
        UsageError: they are of another network, or with the classifier, or not in a format of Keras.
    """
    try:
        model.load_weights(file)
    except Exception as error:  # h5py and Keras raise many types
        raise UsageError(
            f"The weights in {file} do not fit {network} without its classifier. Give a file (.weights.h5, .h5, .keras)"
            " of the same network, saved with include_top=False."
        ) from error


def _digest(path: Path, file_hash: str) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(
            stream, lambda: hashlib.new(_algorithm(file_hash), usedforsecurity=False)
        ).hexdigest()


def _algorithm(file_hash: str) -> str:
    return "sha256" if len(file_hash) == 64 else "md5"
