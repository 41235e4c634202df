"""Windows against the equations of PS3.3, tables against hand-made data sets."""

import numpy as np
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from covid_xray.errors import BadImage
from covid_xray.images.greyscale import (
    apply_window,
    grey_table,
    has_voi,
    is_inverted,
    look_up,
    number,
    read_lut,
    voi_top,
)
from support import drawing


def tags(**values: object) -> Dataset:
    dataset = Dataset()
    for keyword, value in values.items():
        setattr(dataset, keyword, value)
    return dataset


def table(bits: int = 12, *, signed: bool = False, inverted: bool = False, **values: object) -> np.ndarray:
    return grey_table(tags(**values), bits=bits, signed=signed, inverted=inverted).levels


# PS3.3 C.11.2.1.2.1 spells out (centre, width) and the values of the two ends of the ramp.
@pytest.mark.parametrize(
    ("centre", "width", "black", "white"),
    [(2048, 4096, 0, 4095), (2048, 1, 2047, 2048), (0, 100, -50, 49), (0, 1, -1, 0)],
)
def test_linear_window_ends_where_the_standard_says(centre: int, width: int, black: int, white: int) -> None:
    assert apply_window(np.array([black - 1.0, black, white, white + 1]), centre=centre, width=width).tolist() == [
        0,
        0,
        1,
        1,
    ]
    inside = apply_window(np.arange(black + 1.0, white), centre=centre, width=width)
    assert np.all((inside > 0) & (inside < 1))


@pytest.mark.parametrize(
    ("centre", "width", "black", "white"), [(2048, 4096, 0, 4096), (0, 100, -50, 50), (2048, 1, 2047.5, 2048.5)]
)
def test_linear_exact_window_ends_where_the_standard_says(centre: int, width: int, black: float, white: float) -> None:
    values = np.array([black - 0.25, black, (black + white) / 2, white, white + 0.25])
    assert apply_window(values, centre=centre, width=width, function="LINEAR_EXACT").tolist() == [0, 0, 0.5, 1, 1]


def test_sigmoid_window() -> None:
    values = np.array([-1e9, 50.0, 100.0, 150.0, 1e9])
    expected = [0, 1 / (1 + np.e**2), 0.5, 1 / (1 + np.e**-2), 1]
    assert apply_window(values, centre=100, width=100, function="SIGMOID") == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("function", ["LINEAR", "LINEAR_EXACT", "SIGMOID"])
def test_pydicom_agrees_on_windows(function: str) -> None:
    from pydicom.pixels.processing import apply_windowing

    dataset = tags(PhotometricInterpretation="MONOCHROME2", BitsStored=12, PixelRepresentation=0)
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.WindowCenter, dataset.WindowWidth, dataset.VOILUTFunction = "1500.5", "777", function
    expected = apply_windowing(np.arange(4096), dataset)
    levels = grey_table(dataset, bits=12, signed=False, inverted=False).levels
    assert np.abs(levels - expected).max() <= 0.5 + 1e-9


def test_without_window_the_stored_range_is_black_to_white() -> None:
    assert np.array_equal(table(), np.arange(4096))
    assert np.array_equal(table(RescaleSlope="0.37", RescaleIntercept="-1024"), np.arange(4096))
    assert np.array_equal(table(8), np.arange(256))
    assert table(8).dtype == np.uint8
    assert np.array_equal(table(inverted=True), np.arange(4096)[::-1])


def test_signed_codes_are_twos_complement() -> None:
    levels = table(signed=True)
    assert (levels[0x800], levels[0], levels[0x7FF]) == (0, 2048, 4095)


@pytest.mark.parametrize(
    "window",
    [{"WindowCenter": "100"}, {"WindowCenter": "100", "WindowWidth": "0"}, {"WindowCenter": "1", "WindowWidth": "-5"}],
)
def test_windows_that_mean_nothing_are_passed_over(window: dict) -> None:
    assert np.array_equal(table(**window), np.arange(4096))


def test_slope_of_zero_does_not_erase_the_picture() -> None:
    assert np.array_equal(table(RescaleSlope="0", RescaleIntercept="5"), np.arange(4096))


def test_values_outside_a_lut_take_its_ends() -> None:
    levels = table(VOILUTSequence=drawing.lut([7, 2000, 4095], first=1000))
    assert levels[[0, 1000, 1001, 1002, 4095]].tolist() == [7, 7, 2000, 4095, 4095]


@pytest.mark.parametrize(
    ("stated", "most", "bits"),
    [(16, 4095, 12), (16, 65535, 16), (16, 255, 8), (12, 900, 12), (10, 4000, 12), (8, 255, 8)],
)
def test_bits_of_a_lut_are_those_it_uses(stated: int, most: int, bits: int) -> None:
    found = grey_table(
        tags(VOILUTSequence=drawing.lut(np.linspace(0, most, 4096), bits=stated)), bits=12, signed=False, inverted=False
    )
    assert found.bits == bits
    assert found.levels.max() == most


def test_lut_of_bytes_and_lut_of_65536_entries() -> None:
    item = Dataset()
    item.add_new("LUTDescriptor", "US", [3, 0, 8])
    item.add_new("LUTData", "OW", bytes([1, 2, 3, 0]))
    assert read_lut(item, negative=False).data.tolist() == [1, 2, 3]
    assert len(read_lut(drawing.lut(np.arange(65536), bits=16)[0], negative=False).data) == 65536


@pytest.mark.parametrize("broken", [tags(LUTDescriptor=[4, 0, 12]), tags(LUTDescriptor=[4, 0])])
def test_luts_without_data_are_refused(broken: Dataset) -> None:
    with pytest.raises(BadImage) as refusal:
        grey_table(tags(VOILUTSequence=Sequence([broken])), bits=12, signed=False, inverted=False)
    assert refusal.value.code == "damaged"


def test_number_reads_the_first_value_or_none() -> None:
    dataset = tags(WindowCenter=["5", "6"], WindowWidth="", RescaleSlope="1.5")
    assert [number(dataset, key) for key in ("WindowCenter", "WindowWidth", "RescaleSlope", "RescaleIntercept")] == [
        5.0,
        None,
        1.5,
        None,
    ]


@pytest.mark.parametrize("first", [32_768, 40_000, 65_000])
def test_a_lut_may_begin_in_the_upper_half_of_unsigned_values(first: int) -> None:
    levels = table(16, VOILUTSequence=drawing.lut([7, 2000, 4095], first=first))
    assert levels[[0, first, first + 1, first + 2, 65_535]].tolist() == [7, 7, 2000, 4095, 4095]


def test_a_lut_for_signed_values_may_begin_below_zero() -> None:
    levels = table(16, signed=True, VOILUTSequence=drawing.lut([7, 2000, 4095], first=-100))
    assert levels[[65_535 - 200, 65_536 - 100, 65_536 - 99, 0]].tolist() == [7, 7, 2000, 4095]


@pytest.mark.parametrize("empty", [Dataset(), tags(LUTDescriptor=None, LUTData=None)])
def test_an_empty_lut_item_is_absent(empty: Dataset) -> None:
    window = {"WindowCenter": "500", "WindowWidth": "200"}
    assert np.array_equal(table(VOILUTSequence=Sequence([empty]), **window), table(**window))
    root = drawing.lut(np.arange(4096) ** 2 // 4096)
    assert np.array_equal(table(VOILUTSequence=Sequence([empty, root[0]])), table(VOILUTSequence=root))


@pytest.mark.parametrize("most", [255, 4095])
def test_a_lut_one_entry_short_repeats_its_last(most: int) -> None:
    item = tags(LUTDescriptor=[4096, 0, 8 if most == 255 else 12])
    item.add_new("LUTData", "OW", np.linspace(0, most, 4095).astype("<u2").tobytes())
    levels = table(VOILUTSequence=Sequence([item]))
    assert (levels[0], levels[-2], levels[-1]) == (0, most, most)
    assert np.all(np.diff(levels.astype(int)) >= 0)


def test_a_window_narrower_than_1_is_exact() -> None:
    """PS3.3 rules it out for LINEAR; viewers take it as LINEAR_EXACT."""
    levels = table(RescaleSlope="0.0000244140625", RescaleIntercept="0", WindowCenter="0.05", WindowWidth="0.1")
    assert np.abs(levels - np.arange(4096.0)).max() <= 1


def test_a_window_of_optical_densities_reaches_its_ends() -> None:
    levels = table(RescaleSlope="0.001", RescaleIntercept="0", WindowCenter="2", WindowWidth="4")
    assert levels[[0, 1000, 2000, 4000]].tolist() == [0, 1024, 2048, 4095]
    assert table(WindowCenter="2000", WindowWidth="1")[[1999, 2000]].tolist() == [0, 4095]


@pytest.mark.parametrize(
    ("photometric", "shape", "inverted"),
    [
        ("MONOCHROME2", "INVERSE", True),
        ("MONOCHROME2", "IDENTITY", False),
        ("MONOCHROME1", "INVERSE", True),
        ("MONOCHROME1", "IDENTITY", False),
        ("MONOCHROME1", "", True),
        ("MONOCHROME2", "LIN OD", False),
    ],
)
def test_polarity_is_that_of_dcmtk(photometric: str, shape: str, inverted: bool) -> None:
    assert is_inverted(tags(PhotometricInterpretation=photometric, PresentationLUTShape=shape)) == inverted


def test_the_used_range_counts_without_a_window_only() -> None:
    dataset = tags(RescaleSlope="-2", RescaleIntercept="7")
    assert not has_voi(dataset)
    found = grey_table(dataset, bits=16, signed=False, inverted=False, used=(0, 4095))
    assert (found.bits, found.levels[[0, 1000, 4095, 60_000]].tolist()) == (12, [4095, 3095, 0, 0])
    assert has_voi(tags(WindowCenter="1", WindowWidth="2"))
    assert has_voi(tags(ModalityLUTSequence=drawing.lut([1, 2, 3])))


def test_look_up_goes_through_a_picture_part_by_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("covid_xray.images.greyscale._PART", 7)
    codes = drawing.picture(30, 3, bits=12)
    assert np.array_equal(look_up(np.arange(4096, dtype=np.uint16), codes), codes)


def test_the_top_of_a_window_is_told_in_stored_values() -> None:
    assert voi_top(tags(WindowCenter="2048", WindowWidth="4096")) == 4096
    assert voi_top(tags(WindowCenter="1024", WindowWidth="2048", RescaleSlope="0.5")) == 4096
    assert voi_top(tags(VOILUTSequence=drawing.lut(np.arange(4096), first=10))) == 4106
