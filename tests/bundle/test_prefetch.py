"""Reading ahead gives what reading gives, and hides no error."""

from pathlib import Path

import pytest

from covid_xray.bundle.bundle import load_bundle, model_path
from covid_xray.bundle.prefetch import ReadAhead, read_hashed
from covid_xray.errors import BadBundle
from covid_xray.files import sha256_bytes
from support.bundles import make_bundle


def test_it_gives_what_reading_gives(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    ahead = ReadAhead(tmp_path / "a")
    assert ahead(tmp_path / "a") == read_hashed(tmp_path / "a") == (b"abc", sha256_bytes(b"abc"))
    assert ahead(tmp_path / "a") == (b"abc", sha256_bytes(b"abc"))


def test_another_file_is_read_itself(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"abc")
    (tmp_path / "b").write_bytes(b"def")
    assert ReadAhead(tmp_path / "a")(tmp_path / "b")[0] == b"def"


def test_a_missing_file_is_said_when_it_is_asked_for(tmp_path: Path) -> None:
    ahead = ReadAhead(tmp_path / "nowhere")
    with pytest.raises(OSError, match="nowhere"):
        ahead(tmp_path / "nowhere")


def test_a_bundle_read_ahead_is_verified_all_the_same(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "bundle")
    assert load_bundle(folder, read=ReadAhead(model_path(folder))).model == load_bundle(folder).model
    model_path(folder).write_bytes(b"other")
    with pytest.raises(BadBundle) as error:
        load_bundle(folder, read=ReadAhead(model_path(folder)))
    assert error.value.code == "altered"
