"""Where the lungs are: mask, verdict and crop; the network that finds them, trained small; and its two commands."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.bundle.lung_network import LungNetwork
from covid_xray.bundle.lung_network_folder import read_network, write_network
from covid_xray.errors import BadBundle
from covid_xray.images.phantoms.phantom import draw, draw_anatomy, lung_mask
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.lungs import WHOLE, LungFinder, box_pixels, cropped, lungs_of, two_largest
from covid_xray.inference.view import open_lungs
from support.chests import SIDE, chest, lung_facts, lung_network
from support.commands import run


def pair(height: int = 40, width: int = 40, *, sure: float = 1.0) -> np.ndarray:
    """A network's output: two upright rectangles, probability `sure` inside and 1 - `sure` outside."""
    probability = np.full((height, width), 1 - sure, np.float32)
    probability[10:30, 6:16] = probability[10:30, 24:34] = sure
    return probability


def test_two_lungs_are_found_with_their_box() -> None:
    lungs = lungs_of(pair(), margin=0.1)
    assert lungs.plausible
    assert lungs.area == 400 / 1600
    top, left, bottom, right = lungs.box
    assert (top, bottom) == pytest.approx(((10 - 2) / 40, (30 + 2) / 40))
    assert (left, right) == pytest.approx(((6 - 2.8) / 40, (34 + 2.8) / 40))
    assert lungs_of(pair(), margin=5).box == WHOLE, "never beyond the picture"


def test_stray_pixels_move_no_box() -> None:
    noisy = pair()
    noisy[2, 2] = noisy[38, 37] = 1
    assert lungs_of(noisy, margin=0).box == lungs_of(pair(), margin=0).box
    assert not lungs_of(noisy).mask[2, 2]


def boxes(*places: tuple[int, int, int, int]) -> np.ndarray:
    """40 x 40: certain lungs at each (top, bottom, left, right)."""
    probability = np.zeros((40, 40), np.float32)
    for top, bottom, left, right in places:
        probability[top:bottom, left:right] = 1
    return probability


@pytest.mark.parametrize(
    "probability",
    [
        boxes(),
        boxes((0, 40, 0, 40)),
        boxes((10, 12, 10, 12), (20, 22, 30, 32)),
        boxes((5, 35, 6, 15)),
        boxes((18, 23, 3, 20), (18, 23, 21, 38)),
        pair(sure=0.7),
    ],
    ids=["nothing", "everything", "specks", "one tall lung", "lying", "unsure"],
)
def test_what_cannot_be_a_pair_of_lungs_is_not_cropped(probability: np.ndarray) -> None:
    lungs = lungs_of(probability)
    assert not lungs.plausible
    assert lungs.box == WHOLE


def test_the_two_largest_parts_stay_whatever_their_shape() -> None:
    mask = np.zeros((30, 30), bool)
    mask[2:28, 3] = mask[2, 3:12] = mask[27, 3:12] = mask[14:28, 11] = True  # a long bent one
    mask[5:15, 20:25] = True
    mask[0, 28:] = True
    kept = two_largest(mask)
    assert not kept[0].any()
    assert kept.sum() == mask.sum() - 2
    assert two_largest(np.zeros((4, 4), bool)).sum() == 0
    small = np.zeros((20, 20), bool)
    small[2:12, 2:12] = small[18, 18] = True
    assert two_largest(small).sum() == 100, "a second part under a tenth of the first is dirt"


def test_parts_are_those_of_scikit_image() -> None:
    from skimage.measure import label

    for seed in range(20):
        mask = np.random.default_rng(seed).random((24, 31)) < 0.55
        parts = label(mask, connectivity=1)
        sizes = np.bincount(parts.ravel())[1:]
        wanted = sorted(sizes, reverse=True)[:2]
        wanted = sum(size for size in wanted if size > 0.1 * wanted[0])
        assert two_largest(mask).sum() == wanted


def test_the_crop_has_a_pixel_at_least_and_stays_inside() -> None:
    radiograph = Radiograph(np.arange(200, dtype=np.uint8).reshape(10, 20))
    assert np.array_equal(cropped(radiograph, (0.2, 0.1, 0.5, 0.6)).pixels, radiograph.pixels[2:5, 2:12])
    assert np.array_equal(cropped(radiograph, WHOLE).pixels, radiograph.pixels)
    assert cropped(radiograph, (1.0, 1.0, 1.0, 1.0)).pixels.shape == (1, 1)
    assert box_pixels((0.0, 0.0, 0.0, 0.0), 1, 1) == (slice(0, 1), slice(0, 1))
    deep = Radiograph(np.full((10, 10), 4000, np.uint16), bits=12)
    assert cropped(deep, (0, 0, 0.5, 0.5)).bits == 12


def test_masks_at_other_sizes_cover_the_same_share() -> None:
    lungs = lungs_of(pair())
    for height, width in ((40, 40), (80, 120), (333, 211)):
        assert lungs.at_size(height, width).mean() == pytest.approx(lungs.area, abs=0.02)
    grid = lungs.share(4, 4)
    assert grid.mean() == pytest.approx(lungs.area, abs=0.01)
    assert grid[0].max() == 0


def test_dark_rectangles_are_found_in_any_size_and_depth() -> None:
    finder = open_lungs(LungNetwork(lung_network(), lung_facts(margin=0.0)))
    for height, width in ((128, 128), (300, 200)):
        found = finder.find(Radiograph(chest(height=height, width=width)))
        assert found.plausible
        assert found.box == pytest.approx((0.2, 0.15, 0.8, 0.85), abs=0.03)
    deep = Radiograph(chest().astype(np.uint16) * 257, bits=16)
    assert finder.find(deep).box == finder.find(Radiograph(chest())).box
    assert not finder.find(Radiograph(np.full((50, 50), 255, np.uint8))).plausible


@pytest.mark.parametrize("model", [b"", b"no network", lung_network(output="liver"), lung_network(size=32)])
def test_other_networks_are_refused(model: bytes) -> None:
    with pytest.raises(BadBundle, match=r"lungs\.onnx"):
        LungFinder(model, size=SIDE)


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty phantoms with the masks that they were drawn by."""
    root = tmp_path_factory.mktemp("phantoms")
    lines = ["image,label,patient_id,license"]
    (root / "images").mkdir()
    (root / "masks").mkdir()
    for number in range(20):
        anatomy = draw_anatomy(np.random.default_rng(number))
        picture = draw(anatomy, size=96, finding=("normal", "covid")[number % 2], seed=number)
        Image.fromarray(picture.pixels).save(root / "images" / f"{number:02}.png")
        Image.fromarray(lung_mask(anatomy, size=96)).save(root / "masks" / f"{number:02}.png")
        lines.append(f"images/{number:02}.png,normal,p{number},{'CC BY 4.0' if number < 16 else 'CC BY-ND 4.0'}")
    Image.fromarray(picture.pixels).save(root / "images" / "without.png")
    (root / "data.csv").write_text("\n".join([*lines, "images/without.png,normal,p99,CC BY 4.0"]) + "\n")
    return root


@pytest.fixture(scope="module")
def trained(phantoms: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `train-lungs` by the function behind the command."""
    pytest.importorskip("tensorflow")
    from covid_xray.config import LungTraining
    from covid_xray.data.manifest.manifest import read_manifest
    from covid_xray.data.split.held_out import held_out
    from covid_xray.training.train_lungs import train_lungs

    manifest = read_manifest(phantoms / "data.csv")
    manifest = manifest.take((manifest.table["patient_id"] != "p99").to_numpy())
    masks = {image: phantoms / "masks" / Path(image).name for image in manifest.table["image"]}
    settings = LungTraining(image_size=64, epochs=12, batch_size=8, learning_rate=5e-3)
    out = tmp_path_factory.mktemp("lungs") / "run"
    train_lungs(manifest, masks, held_out(manifest, share=0.3), settings=settings, out=out)
    return out


def test_it_learns_lungs_and_says_how_well(trained: Path) -> None:
    facts = json.loads((trained / "lungs.json").read_text())
    assert facts["images"] == {"train": 14, "test": 6}
    assert facts["test"]["dice_mean"] > 0.8
    assert facts["test"]["dice_least"] <= facts["test"]["dice_mean"] <= 1
    assert len(facts["test"]["images"]) == 6
    rows = list(csv.DictReader((trained / "history.csv").read_text().splitlines()))
    assert [int(row["epoch"]) for row in rows] == [*range(1, 13)]
    assert float(rows[-1]["loss"]) < 0.7 * float(rows[0]["loss"])
    assert (trained / "lungs.onnx").stat().st_size == facts["bytes"] < 1_500_000


def test_the_same_seed_gives_the_same_batches_and_geometry_moves_both(phantoms: Path) -> None:
    pytest.importorskip("tensorflow")
    from covid_xray.config import LungTraining
    from covid_xray.training.train_lungs import _altered, read_mask

    settings = LungTraining(image_size=64)
    mask = read_mask(phantoms / "masks" / "00.png").astype(np.uint8) * 255
    flat = settings.model_copy(update={"appearance": settings.appearance.model_copy(update={"probability": 0.0})})
    for seed in range(5):
        x, y = _altered(mask, mask, flat, np.random.default_rng(seed))
        assert np.array_equal(x, y), "a picture that is its own mask stays it"
        again, _ = _altered(mask, mask, flat, np.random.default_rng(seed))
        assert np.array_equal(x, again)


def test_a_run_is_not_overwritten_and_masks_have_to_fit(trained: Path, phantoms: Path, tmp_path: Path) -> None:
    from covid_xray.config import LungTraining
    from covid_xray.data.manifest.manifest import read_manifest
    from covid_xray.data.split.held_out import held_out
    from covid_xray.errors import BadManifest, UsageError
    from covid_xray.training.train_lungs import train_lungs

    manifest = read_manifest(phantoms / "data.csv")
    split, settings = held_out(manifest, share=0.3), LungTraining(image_size=64, epochs=1)
    with pytest.raises(UsageError, match=r"lungs\.json"):
        train_lungs(manifest, {}, split, settings=settings, out=trained)
    with pytest.raises(BadManifest, match="a lung mask for every image"):
        train_lungs(manifest, {}, split, settings=settings, out=tmp_path / "a")
    Image.fromarray(np.zeros((10, 10), np.uint8)).save(tmp_path / "small.png")
    masks = dict.fromkeys(manifest.table["image"], tmp_path / "small.png")
    with pytest.raises(BadManifest, match=r"\(96, 96\).*\(10, 10\)"):
        train_lungs(manifest, masks, split, settings=settings, out=tmp_path / "b")
    assert not (tmp_path / "b" / "lungs.json").exists()


@pytest.mark.slow
def test_train_lungs_from_the_command_line(phantoms: Path, tmp_path: Path, capsysbinary) -> None:
    pytest.importorskip("tensorflow")
    out = tmp_path / "run"
    options = ("--data", phantoms / "data.csv", "--masks", phantoms / "masks", "-o", out, "--test-only-unlicensed")
    small = ("--set", "image_size=32", "--set", "epochs=1", "--set", "batch_size=4")
    ran = run(capsysbinary, "train-lungs", *options, *small)
    assert ran.code == 0, ran.err.decode()
    assert b"20 images with masks:" in ran.out
    split = {row["image"]: row["split"] for row in csv.DictReader((out / "split.csv").read_text().splitlines())}
    assert "images/without.png" not in split
    assert {split[f"images/{number}.png"] for number in (16, 17, 18, 19)} == {"test"}, "others may not build on them"
    network = read_network(out)
    assert "images" not in network.facts["test"]
    assert run(capsysbinary, "train-lungs", *options, *small).code == 2
    ran = run(capsysbinary, "train-lungs", "--data", phantoms / "data.csv", "--masks", tmp_path, "-o", tmp_path / "x")
    assert ran.code == 3
    assert b"masks named like the images" in ran.err


def test_lungs_are_drawn_for_people_to_look_at(tmp_path: Path, capsysbinary) -> None:
    write_network(tmp_path / "net", LungNetwork(lung_network(), lung_facts()))
    films = tmp_path / "films"
    films.mkdir()
    for number in range(3):
        Image.fromarray(chest(height=100 + number)).save(films / f"{number}.png")
    Image.fromarray(np.full((90, 90), 250, np.uint8)).save(films / "white.png")
    (films / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    ran = run(capsysbinary, "lungs", tmp_path / "net", films, "-o", tmp_path / "seen")
    assert ran.code == 4, "one could not be read"
    assert b"4 images, 1 without plausible lungs; 1 sheets" in ran.out
    assert b"broken.png" in ran.err
    names = sorted(path.name.split("-")[0] for path in (tmp_path / "seen").iterdir())
    assert names == ["0", "1", "2", "sheet", "white"]
    ran = run(capsysbinary, "lungs", tmp_path / "net", films, "-o", tmp_path / "few", "--sheets-only")
    assert [path.name for path in (tmp_path / "few").iterdir()] == ["sheet-01.png"]
