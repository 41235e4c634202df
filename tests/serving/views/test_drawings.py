"""Pictures of a study: windowed over all bits, layers that fit the image, no colour without evidence."""

import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from covid_xray.errors import InputRefused
from covid_xray.images.radiograph import Radiograph
from covid_xray.serving.views import drawings
from support.bundles import grey
from support.drawing import picture, png
from support.servers import client, upload


def test_a_window_is_linear_between_its_ends() -> None:
    ramp = np.arange(4096, dtype=np.uint16).reshape(64, 64)
    shown = drawings._windowed(Radiograph(ramp, bits=12), low=0.25, high=0.75).pixels.ravel()
    assert shown[:1024].max() == 0
    assert shown[3072:].min() == 255
    assert shown[2047] in (127, 128)
    assert (np.diff(shown.astype(int)) >= 0).all()


def test_a_window_turned_round_is_refused() -> None:
    for low, high in ((1.0, 0.0), (0.5, 0.5), (-8e-63, -7e-224)):
        with pytest.raises(InputRefused):
            drawings.image_png(None, None, low=low, high=high)


def test_a_layer_is_clear_where_the_map_is_zero() -> None:
    class_map = np.zeros((8, 8), np.float32)
    class_map[2:4, 2:4] = 5
    drawn = drawings._layer(class_map, height=80, width=64)
    assert drawn.mode == "P"  # a palette: a quarter of the size
    layer = np.asarray(Image.open(io.BytesIO(drawings._png(drawn))).convert("RGBA"))
    assert layer.shape == (80, 64, 4)
    assert layer[:, :, 3].max() == 255
    assert not layer[60:, :, 3].any()
    assert not np.asarray(drawings._layer(np.zeros((8, 8), np.float32), height=10, width=10)).any()


def test_an_overlay_has_the_size_of_the_image_and_colours_where_the_map_speaks(tmp_path: Path) -> None:
    with client(tmp_path) as api:
        study = upload(api, png(grey("covid", height=200, width=160)))["id"]
        place = f"/api/v1/studies/{study}"
        pictures = {form: api.get(f"{place}/heatmap.png?form={form}").content for form in ("overlay", "picture")}
        plain = np.asarray(Image.open(io.BytesIO(api.get(f"{place}/image.png").content)).convert("RGB"))
    overlay = np.asarray(Image.open(io.BytesIO(pictures["overlay"])).convert("RGB"))
    assert overlay.shape == plain.shape
    assert (np.ptp(overlay, axis=2) > 20).mean() > 0.2
    assert Image.open(io.BytesIO(pictures["picture"])).height > 200  # it has a caption


def test_classes_are_checked_by_name() -> None:
    drawings.check_class(["covid"], None)
    drawings.check_class(["covid"], "covid")
    with pytest.raises(InputRefused) as refusal:
        drawings.check_class(["covid"], "CANARY")
    assert "CANARY" not in refusal.value.message


def test_png_holds_nothing_but_pixels() -> None:
    data = drawings._png(Image.fromarray(picture()))
    with Image.open(io.BytesIO(data)) as image:
        assert not image.info
        assert np.array_equal(np.asarray(image), picture())
