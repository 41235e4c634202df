"""What hides the lungs: masks only where every image has one, else the same box for all."""

import numpy as np
from PIL import Image

from covid_xray.data.baselines.lung_cover import cover_lungs
from covid_xray.data.manifest.manifest import Manifest, read_manifest


def drawn(tmp_path, *, masks: int) -> Manifest:
    for n in range(3):
        for folder, pixels in (
            ("data/covid", np.full((64, 64), 90, np.uint8)),
            ("masks", np.zeros((64, 64), np.uint8)),
        ):
            if folder == "masks":
                pixels[16:48, 16 : 24 + n] = 255
                if n >= masks:
                    continue
            (tmp_path / folder).mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).save(tmp_path / folder / f"{n}.png")
    return read_manifest(tmp_path / "data")


def test_masks_of_every_image_are_used(tmp_path):
    cover = cover_lungs(drawn(tmp_path, masks=3), masks=tmp_path / "masks")
    assert cover.says == "the lungs (masks of every image)"
    assert cover.covered.shape == (3, 32, 32)
    assert cover.covered[0, 8:24, 8:12].all()
    assert not cover.covered[0, :6].any()
    black = cover.apply(np.full((3, 32, 32), 200, np.uint8)).reshape(3, 32, 32)
    assert (black[cover.covered] == 0).all()
    assert (black[~cover.covered] == 200).all()


def test_some_masks_are_not_mixed_with_a_box(tmp_path):
    manifest = drawn(tmp_path, masks=2)
    cover = cover_lungs(manifest, masks=tmp_path / "masks")
    assert "2 of 3 images only" in cover.says
    assert cover.covered.shape == (1, 32, 32)
    assert (cover.covered == cover_lungs(manifest).covered).all()


def test_the_box_hides_nearly_all_lung_of_real_masks(real_data):
    from covid_xray.images.decode import decode

    box = cover_lungs(read_manifest(real_data, check=False)).covered[0]
    inside = total = 0.0
    for path in sorted((real_data / "masks").rglob("*.png"))[:60]:
        mask = np.asarray(Image.fromarray(decode(path).pixels).resize((32, 32), Image.Resampling.BOX)) / 255
        inside, total = inside + mask[box].sum(), total + mask.sum()
    assert inside / total > 0.97
