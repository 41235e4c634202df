"""A submission: every image of the sample, in its order, each with the label that was given to it and to no other."""

import csv
import io
from pathlib import Path

import pytest

from covid_xray.errors import InputRefused
from covid_xray.inference.io.submission import match, read_sample, write_submission
from covid_xray.inference.predictor import Predictor
from support.bundles import GREYS, grey, make_bundle
from support.drawing import png

SAMPLE = Path("sample.csv")


def put(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_sample(tmp_path: Path) -> None:
    path = put(tmp_path / "s.csv", "\ufeffImage,Label\nb.png,normal\n\n a.png ,covid\nc,virus\n")
    assert read_sample(path) == (("Image", "Label"), ("b.png", "a.png", "c"))


@pytest.mark.parametrize("text", ["", "Image\na.png\n", "Image,Label\na.png\n", "Image,Label\na,x\nb,y\na,z\n"])
def test_no_sample(tmp_path: Path, text: str) -> None:
    with pytest.raises(InputRefused, match="sample"):
        read_sample(put(tmp_path / "s.csv", text))


def test_a_sample_that_is_missing_or_no_text(tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_bytes(b"\xff\xfe\x00")
    for path in (tmp_path / "s.csv", tmp_path / "nowhere.csv"):
        with pytest.raises(InputRefused):
            read_sample(path)


def test_names_match_by_path_then_name_then_stem() -> None:
    images = ["in/a.png", "in/b.jpg", "c.png"]
    assert match(["c", "in/a.png", "b.jpg"], images, sample=SAMPLE) == {
        "c": "c.png",
        "in/a.png": "in/a.png",
        "b.jpg": "in/b.jpg",
    }


def test_a_path_wins_over_a_name_in_another_folder() -> None:
    assert match(["a.png"], ["x/a.png", "a.png"], sample=SAMPLE) == {"a.png": "a.png"}


def test_a_missing_image_is_named() -> None:
    with pytest.raises(InputRefused, match="such as b"):
        match(["a", "b"], ["a.png"], sample=SAMPLE)


def test_two_images_for_one_name_are_refused() -> None:
    with pytest.raises(InputRefused, match="several images"):
        match(["a"], ["x/a.png", "y/a.jpg"], sample=SAMPLE)


def test_rows_are_written_in_order_and_names_survive(tmp_path: Path) -> None:
    rows = {"z,1": "covid", 'q"2': "normal", "a": "virus"}
    write_submission(tmp_path / "out.csv", rows, header=("Id", "Target"))
    read = list(csv.reader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert read == [["Id", "Target"], *[list(pair) for pair in rows.items()]]


def test_a_perfect_network_scores_one(tmp_path: Path) -> None:
    # The trap of the original: labels joined to images by the order in which a loader lists them.
    truth = {}
    for number in range(30):
        label = sorted(GREYS)[number * 7 % 3]
        truth[f"{(number * 11) % 30:02}.png"] = label
        (tmp_path / f"{(number * 11) % 30:02}.png").write_bytes(png(grey(label, seed=number)))
    predictor = Predictor(make_bundle(tmp_path / "bundle"), threads=1)
    paths = sorted(tmp_path.glob("*.png"), key=lambda path: hash(path.name))
    labels = {Path(answer.image).name: answer.label for answer in predictor.predict_many(paths, batch=4)}
    names = sorted(truth, reverse=True)
    matched = match([name.removesuffix(".png") for name in names], list(labels), sample=SAMPLE)
    write_submission(tmp_path / "out.csv", {name: labels[image] for name, image in matched.items()})
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert [row["Image"] for row in rows] == [name.removesuffix(".png") for name in names]
    assert sum(truth[row["Image"] + ".png"] == row["Label"] for row in rows) == 30
