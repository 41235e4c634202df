"""Make a pseudonym of a patient, the same for all films of one store and of no use outside it."""

import contextlib
import hashlib
import hmac
import secrets
from pathlib import Path

from covid_xray.files import replacing
from covid_xray.images.radiograph import ImageSource


def patient_key(folder: Path, source: ImageSource) -> str | None:
    """Compute the pseudonym of the patient whose number the file states; `None` where it states none.

    Args:
        folder: of the store; its secret is the key, so that the number cannot be guessed from the pseudonym.
        source: metadata of the file, with the hash of the patient's number.
    """
    if source.patient is None:
        return None
    return hmac.new(read_secret(folder / "secret"), f"patient {source.patient}".encode(), hashlib.sha256).hexdigest()


def read_secret(file: Path) -> bytes:
    """Read or create the 32 random bytes of a store; they stay, so that pages and pseudonyms survive a restart."""
    with contextlib.suppress(FileNotFoundError):
        if len(secret := file.read_bytes()) == 32:
            return secret
    secret = secrets.token_bytes(32)
    with replacing(file) as temporary:
        temporary.chmod(0o600)
        temporary.write_bytes(secret)
    return secret
