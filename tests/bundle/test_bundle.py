"""A bundle answers only as it was written: whatever is missing, altered or foreign is refused, and said."""

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
from onnx.external_data_helper import convert_model_to_external_data

from covid_xray.bundle.bundle import FACTS_FILE, MODEL_FILE, load_bundle, record, write_bundle
from covid_xray.errors import BadBundle
from covid_xray.files import sha256_bytes, write_json
from covid_xray.inference.predictor import Predictor
from support.bundles import CLASSES, facts, make_bundle, network
from support.chests import lung_facts, lung_network


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "bundle")


def refused(folder: Path) -> BadBundle:
    with pytest.raises(BadBundle) as error:
        Predictor(folder)
    assert "expected" in error.value.message
    assert "Received" in error.value.message
    return error.value


def rewrite(folder: Path, **changes: Any) -> None:
    """Change facts as somebody would who makes bundles with another program: the checksum is right."""
    values = json.loads((folder / FACTS_FILE).read_text(encoding="utf-8")) | changes
    values = {key: value for key, value in values.items() if value is not ... and key != "checksum"}
    digest = sha256_bytes(json.dumps(values, sort_keys=True, ensure_ascii=False).encode())
    write_json(folder / FACTS_FILE, {**values, "checksum": digest})


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


def test_a_run_folder_is_answered_with_the_place_of_its_bundle(tmp_path: Path) -> None:
    make_bundle(tmp_path / "run" / "bundle")
    assert str(tmp_path / "run" / "bundle") in refused(tmp_path / "run").message


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


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"format": 0}, "format 0"),
        ({"format": 2}, "format 2"),
        ({"classes": ["covid"]}, "covid"),
        ({"classes": ["covid", "covid", "virus"]}, "covid"),
        ({"classes": "covid"}, "covid"),
        ({"classes": [1, 2, 3]}, "1"),
        ({"classes": ...}, "classes"),
        ({"temperature": 0}, "temperature"),
        ({"temperature": "1"}, "temperature"),
        ({"input": []}, "input"),
        ({"input": {"height": 24, "pixels_version": 1}}, "width"),
        ({"input": {"height": 24, "width": 0, "pixels_version": 1}}, "width"),
        ({"input": {"height": 24, "width": 24, "pixels_version": 99}}, "99"),
        ({"model": {"file": MODEL_FILE}}, "sha256"),
        ({"model": "model.onnx"}, "model"),
    ],
    ids=str,
)
def test_facts_of_another_kind(folder: Path, change: dict[str, Any], word: str) -> None:
    rewrite(folder, **change)
    error = refused(folder)
    assert error.code == "format"
    assert word in error.message


def test_a_class_that_the_network_does_not_have(folder: Path) -> None:
    rewrite(folder, classes=[*CLASSES, "bacterial"])
    assert "4 classes" in refused(folder).message


def test_another_input_size(folder: Path) -> None:
    rewrite(folder, input={"height": 32, "width": 32, "pixels_version": 1})
    assert refused(folder).code == "format"


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


def with_lungs(folder: Path, **others: Any) -> Path:
    about = facts(lungs=lung_facts(), **others)
    about["input"]["crop"] = "lungs"
    write_bundle(folder, model=network(), facts=about, lungs=lung_network())
    return folder


def test_a_lung_network_is_a_third_file_under_its_own_hash(tmp_path: Path) -> None:
    bundle = load_bundle(with_lungs(tmp_path / "bundle"))
    assert bundle.crop == "lungs"
    assert bundle.lungs is not None
    assert bundle.lungs.model == lung_network()
    assert bundle.lungs.facts["file"] == "lungs.onnx"
    assert bundle.lungs.facts["bytes"] == len(lung_network())
    without = load_bundle(make_bundle(tmp_path / "old"))
    assert without.lungs is None
    assert without.crop == "none"


@pytest.mark.parametrize("spoil", ["flip", "remove", "swap"])
def test_a_spoilt_lung_network_is_refused(tmp_path: Path, spoil: str) -> None:
    folder = with_lungs(tmp_path / "bundle")
    path = folder / "lungs.onnx"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes({"flip": bytes(data), "remove": b"", "swap": network()}[spoil])
    if spoil == "remove":
        path.unlink()
    assert "lungs.onnx" in refused(folder).message


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image_size": None}, "image_size and margin"),
        ({"margin": "wide"}, "image_size and margin"),
        ({"version": 0}, "lung crops of version"),
    ],
)
def test_a_lung_network_with_other_facts_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    with pytest.raises(BadBundle, match=said):
        write_bundle(
            tmp_path / "b", model=network(), facts=facts(lungs={**lung_facts(), **change}), lungs=lung_network()
        )
    assert not (tmp_path / "b").exists()


def test_no_crop_without_a_lung_network(tmp_path: Path) -> None:
    about = facts()
    about["input"]["crop"] = "lungs"
    with pytest.raises(BadBundle, match="to crop by"):
        write_bundle(tmp_path / "b", model=network(), facts=about)


def test_new_facts_leave_the_lung_network_in_place(tmp_path: Path) -> None:
    folder = with_lungs(tmp_path / "bundle")
    record(folder, metrics={"macro_f1": 1})
    assert load_bundle(folder).lungs is not None
