"""`trained.bin`: recognised by content, refused where damaged, and no business of a prediction."""

from pathlib import Path

import pytest

from covid_xray.bundle import bundle as bundles
from covid_xray.bundle.bundle import TRAINED_FILE, load_bundle, networks, read_facts, write_bundle
from covid_xray.bundle.trained import Content, Trained, join, list_images, parse_trained, read_trained
from covid_xray.errors import BadBundle
from support.bundles import facts, network

ONE, TWO, THREE = (
    Content(
        letter * 64, letter * 63 + "0", f"{number:011x}-00010203.{number + 1:011x}-00010203.{number + 2:011x}-00010203"
    )
    for letter, number in (("a", 0x1000), ("b", 0x2000), ("c", 0x3000))
)
# The first word of ONE with four bits flipped, with and without its third; and a word each of two pictures.
NEAR = "0000000100f-00010203.0000000ffff-00010203.00000001002-00010203"
ALIKE = "0000000100f-00010203.0000000ffff-00010203.0000000eeee-00010203"
BOTH = "00000001000-00010203.00000002001-00010203.0000000eeee-00010203"


def listed(**parts: list[Content]) -> Trained:
    return Trained((list_images(parts, salt=b"salt"),))


def test_file_pixels_and_picture_are_recognised_and_nothing_else() -> None:
    trained = parse_trained(listed(train=[ONE], val=[TWO], test=[THREE]).to_bytes())
    asked = [ONE, ONE._replace(sha256="x"), Content("", "", NEAR), TWO, THREE, Content("", "", "")]
    asked += [Content("", "", ALIKE), Content("", "", BOTH)]
    assert trained.find(asked) == [
        ("train", "file"), ("train", "pixels"), ("train", "near"), ("val", "file"), None, None, None, None,
    ]  # fmt: skip
    assert trained.about == {"images": {"train": 1, "val": 1}, "began_from": []}


def test_the_file_names_no_image_and_another_salt_has_other_keys() -> None:
    data = listed(train=[ONE]).to_bytes()
    other = Trained((list_images({"train": [ONE]}, salt=b"other"),)).to_bytes()
    assert len(data.partition(b"\n")[2]) == 5 * 8
    assert ONE.sha256.encode() not in data
    assert data.partition(b"\n")[2] != other.partition(b"\n")[2]


def test_what_a_network_began_from_counts_and_the_strongest_part_wins() -> None:
    own = list_images({"val": [ONE]}, salt=b"own")
    again = Trained((list_images({"train": [TWO]}, salt=b"own"), list_images({"train": [ONE]}, salt=b"elder")))
    trained = parse_trained(join(own, [again]).to_bytes())
    assert len(trained.blocks) == 2
    assert trained.find([ONE, TWO, THREE]) == [("train", "file"), ("train", "file"), None]


@pytest.mark.parametrize("change", [lambda d: d[:-8], lambda d: d + b"12345678", lambda d: b"{}\n", lambda d: b"\xff",
                                    lambda d: d.replace(b'"format": 1', b'"format": 9')])  # fmt: skip
def test_damaged_lists_are_refused(change) -> None:
    with pytest.raises(BadBundle):
        parse_trained(change(listed(train=[ONE, TWO]).to_bytes()))


def test_a_bundle_keeps_its_list_under_a_hash_and_predicts_without_opening_it(tmp_path: Path, monkeypatch) -> None:
    folder, trained = tmp_path / "b", listed(train=[ONE], calibration=[TWO])
    write_bundle(folder, model=network(), facts=facts(trained=trained.about), trained=trained.to_bytes())
    assert read_facts(folder)["trained"]["images"] == {"train": 1, "calibration": 1}
    assert read_trained(folder).find([TWO]) == [("calibration", "file")]
    write_bundle(folder, **networks(folder), facts=read_facts(folder))
    assert read_trained(folder).find([TWO]) == [("calibration", "file")]
    opened: list[str] = []
    plain = bundles.read_hashed
    load_bundle(folder, read=lambda path: opened.append(path.name) or plain(path))
    assert TRAINED_FILE not in opened
    (folder / TRAINED_FILE).write_bytes(listed(train=[TWO]).to_bytes())
    load_bundle(folder)
    with pytest.raises(BadBundle, match="SHA-256"):
        read_trained(folder)
    (folder / TRAINED_FILE).unlink()
    with pytest.raises(BadBundle, match="No such file"):
        read_trained(folder)


def test_a_bundle_without_a_list_says_so(tmp_path: Path) -> None:
    write_bundle(tmp_path / "b", model=network(), facts=facts())
    assert read_trained(tmp_path / "b") is None
