"""Weights to begin with: found on this machine by hash, never downloaded unasked."""

import hashlib
from pathlib import Path

import pytest

from covid_xray.config import Training
from covid_xray.errors import InputRefused, UsageError
from covid_xray.models import pretrained, zoo
from covid_xray.models.pretrained import cache_only, find_published, weights_file, with_hash

DATA = b"weights"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.mark.parametrize("algorithm", ["md5", "sha256"])
def test_a_published_file_is_found_by_its_hash(cache: Path, algorithm: str) -> None:
    (cache / "net.h5").write_bytes(DATA)
    found = hashlib.new(algorithm, DATA).hexdigest()
    assert find_published("net.h5", "https://keras.example/net.h5", file_hash=found) == str(cache / "net.h5")
    with pytest.raises(InputRefused, match=f"not the published file .{algorithm}.*hash differs.*weights={cache}"):
        find_published("net.h5", "https://keras.example/net.h5", file_hash=found[::-1])


def test_a_missing_file_is_named_with_address_and_hash(cache: Path) -> None:
    with pytest.raises(UsageError, match=r"no .*models/net\.h5. Copy https://keras.example/net.h5 \(md5 abc\) there"):
        find_published("net.h5", "https://keras.example/net.h5", file_hash="abc", cache_subdir="models")


def test_keras_asks_the_cache_only_inside_the_context() -> None:
    file_utils = pytest.importorskip("keras").src.utils.file_utils
    before = file_utils.get_file
    with cache_only():
        assert file_utils.get_file is find_published
    assert file_utils.get_file is before


def test_every_family_asks_keras_for_its_file_in_the_way_that_is_caught(cache: Path) -> None:
    """The source of each: a network that fetched its file otherwise would go past the cache."""
    source = Path(pytest.importorskip("keras").src.applications.__file__).parent
    for family in {*zoo.FAMILIES} - {"resnet_v2"}:  # which is built by resnet.py
        text = (source / f"{family}.py").read_text(encoding="utf-8")
        assert "from keras.src.utils import file_utils" in text, family
        assert "file_utils.get_file(" in text


def test_a_file_is_known_by_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "mine.h5").write_bytes(DATA)
    settings = with_hash(Training(model="ResNet50", weights=str(tmp_path / "mine.h5")))
    assert settings.weights_sha256 == hashlib.sha256(DATA).hexdigest()
    assert with_hash(settings) == settings
    assert weights_file(Training(weights="imagenet")) is None
    assert with_hash(Training(weights="download")).weights_sha256 == ""
    (tmp_path / "mine.h5").write_bytes(b"others")
    with pytest.raises(InputRefused, match="its SHA-256 is .*weights_sha256 is"):
        with_hash(settings)
    with pytest.raises(UsageError, match="No such file: imagnet. weights takes imagenet, download, or a file"):
        with_hash(Training(weights="imagnet"))


def test_what_is_no_file_of_weights_is_refused(tmp_path: Path) -> None:
    class Model:
        def load_weights(self, file: Path) -> None:
            raise ValueError("of Keras")

    with pytest.raises(UsageError, match="do not fit ResNet50"):
        pretrained.load_file(Model(), tmp_path / "a.h5", network="ResNet50")
    with pytest.raises(UsageError, match="Begin from a run or bundle with init"):
        zoo.checked(Training(model="efficientnet_lite0", weights="a.h5"))
