"""A bundle answers only as it was written: whatever is missing, altered or foreign is refused, and said."""

from pathlib import Path

import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from covid_xray.bundle.bundle import FACTS_FILE, MODEL_FILE, bundle_folder, load_bundle, record
from covid_xray.errors import BadBundle
from covid_xray.files import sha256_bytes
from support.bundles import CLASSES, make_bundle, network
from support.foreign import refused


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def test_what_was_written_is_loaded(folder: Path) -> None:
    bundle = load_bundle(str(folder))
    assert bundle.classes == CLASSES
    assert (bundle.name, bundle.version, bundle.height, bundle.width) == ("small", "1", 24, 24)
    assert bundle.model == network()
    assert bundle.sha256 == sha256_bytes(network())
    assert sorted(path.name for path in folder.iterdir()) == sorted([MODEL_FILE, FACTS_FILE])


def test_a_missing_bundle_says_how_to_make_one(tmp_path: Path) -> None:
    error = refused(tmp_path / "nowhere")
    assert error.code == "no-bundle"
    assert "covid-xray train" in error.message


def test_an_empty_folder_and_a_file_are_no_bundle(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    (tmp_path / "empty").mkdir()
    assert refused(tmp_path / "file").code == refused(tmp_path / "empty").code == "no-bundle"


def test_a_run_folder_stands_for_its_bundle(tmp_path: Path) -> None:
    bundle = make_bundle(tmp_path / "run" / "bundle")
    assert load_bundle(tmp_path / "run").folder == bundle_folder(tmp_path / "run") == bundle
    record(tmp_path / "run", temperature=2.0)
    assert load_bundle(bundle).temperature == 2.0


def test_a_bundle_without_its_network(folder: Path) -> None:
    (folder / MODEL_FILE).unlink()
    assert refused(folder).code == "no-bundle"


def test_an_emptied_network(folder: Path) -> None:
    (folder / MODEL_FILE).write_bytes(b"")
    assert refused(folder).code == "altered"


def test_a_flipped_bit_anywhere_is_noticed(folder: Path) -> None:
    for name in (MODEL_FILE, FACTS_FILE):
        whole = (folder / name).read_bytes()
        for at in range(0, len(whole), 7):
            broken = bytearray(whole)
            broken[at] ^= 1
            (folder / name).write_bytes(broken)
            if name == FACTS_FILE and chr(whole[at]).isspace() and chr(broken[at]) in " \t\r\n":
                continue  # white space between the JSON values is no fact
            with pytest.raises(BadBundle):
                load_bundle(folder)
        (folder / name).write_bytes(whole)
    load_bundle(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "\ufeff{}", '"bundle"', '{"format": 1}'])
def test_foreign_json(folder: Path, text: str) -> None:
    (folder / FACTS_FILE).write_text(text, encoding="utf-8")
    assert refused(folder).code in {"altered", "format"}


def test_bytes_that_are_no_text(folder: Path) -> None:
    (folder / FACTS_FILE).write_bytes(b"\xff\xfe\x00")
    assert refused(folder).code == "altered"


def test_a_network_without_class_maps(tmp_path: Path) -> None:
    error = refused(make_bundle(tmp_path / "bundle", model=network(extra=("class_maps",))))
    assert "class_maps" in error.message


@pytest.mark.parametrize("model", [b"", b"no network", b"PK\x03\x04" + bytes(64)], ids=["empty", "text", "zip"])
def test_a_network_that_is_no_onnx(tmp_path: Path, model: bytes) -> None:
    assert refused(make_bundle(tmp_path / "bundle", model=model)).code == "format"


def test_external_data_is_refused_even_where_it_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # ONNX Runtime looks for it in the working folder.
    model = onnx.load_from_string(network())
    convert_model_to_external_data(model, location="weights.bin", size_threshold=0)
    monkeypatch.chdir(tmp_path)
    onnx.save(model, "model.onnx")
    assert (tmp_path / "weights.bin").is_file()
    error = refused(make_bundle(tmp_path / "bundle", model=(tmp_path / "model.onnx").read_bytes()))
    assert "external data" in error.message


def test_record_adds_facts_and_keeps_the_network(folder: Path) -> None:
    before = load_bundle(folder)
    record(folder, temperature=2.0, metrics={"macro_f1": 0.5})
    after = load_bundle(folder)
    assert (after.sha256, after.version, after.classes) == (before.sha256, before.version, before.classes)
    assert after.model == before.model
    assert after.temperature == 2.0
    assert after.facts["metrics"] == {"macro_f1": 0.5}


def test_record_refuses_what_would_not_load(folder: Path) -> None:
    whole = (folder / FACTS_FILE).read_bytes()
    for change in ({"temperature": -1.0}, {"classes": ["one"]}, {"metrics": float("nan")}):
        with pytest.raises((BadBundle, ValueError)):
            record(folder, **change)
        assert (folder / FACTS_FILE).read_bytes() == whole


def test_record_does_not_bless_an_altered_network(folder: Path) -> None:
    (folder / MODEL_FILE).write_bytes(network(sharpness=2.0))
    with pytest.raises(BadBundle):
        record(folder, temperature=2.0)


def test_a_bundle_is_replaced_as_a_whole(folder: Path) -> None:
    make_bundle(folder, model=network(sharpness=3.0), version="2")
    assert load_bundle(folder).version == "2"
    assert [path.name for path in folder.parent.iterdir()] == ["bundle"]
