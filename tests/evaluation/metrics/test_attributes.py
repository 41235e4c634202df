"""What a table says of its patients is tidied into groups; what cannot be understood is not stated."""

import pandas as pd
import pytest

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.evaluation.metrics.attributes import read_attributes
from support.drawing import picture, png


def of(name: str, **columns: list[str]) -> list[str]:
    table = pd.DataFrame(columns, dtype=str)
    return list(next(a for a in read_attributes(table) if a.name == name).groups)


def test_sexes_are_told_apart_in_any_spelling():
    assert of("sex", sex=["M", "f", "Female", "male", "O", "", "unknown", "7"]) == [
        "male", "female", "female", "male", "other", "", "", "",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("age", "band"),
    [
        ("0", "0 to 5"), ("5.9", "0 to 5"), ("6", "6 to 17"), ("17.99", "6 to 17"), ("18", "18 to 39"),
        ("40", "40 to 59"), ("059Y", "40 to 59"), ("60 years", "60 to 74"), ("75", "75 and over"),
        ("120", "75 and over"), ("121", ""), ("018M", "0 to 5"), ("300D", "0 to 5"), ("-1", ""), ("old", ""), ("", ""),
    ],
)  # fmt: skip
def test_ages_fall_in_their_bands(age, band):
    assert of("age", age=[age, "30"])[0] == band


def test_views_and_vendors_do_not_depend_on_case():
    assert of("view", view=["AP Supine", "ap supine", "pa", "PA"]) == ["AP supine", "AP supine", "PA", "PA"]
    assert of("vendor", manufacturer=["Siemens", "SIEMENS ", ""]) == ["SIEMENS", "SIEMENS", ""]
    assert of("vendor", vendor=["", ""], file_manufacturer=["agfa", ""]) == ["AGFA", ""]


def test_sizes_are_those_of_the_source_file_where_the_table_has_them():
    file = {"file_width": ["100", "100", "100"], "file_height": ["100", "100", "100"]}
    assert set(of("size", **file)) == {"under 512 x 512"}
    bands = of("size", width=["1024", "2048", "2000"], height=["1024", "511", ""], **file)
    assert bands == ["1024 x 1024 and more", "512 x 512 and more", ""]


def test_groups_are_listed_in_their_natural_order_and_absent_columns_have_none():
    found = {a.name: a for a in read_attributes(pd.DataFrame({"age": ["80", "3", "20"]}, dtype=str))}
    assert found["age"].order == ("0 to 5", "18 to 39", "75 and over")
    assert found["vendor"].order == found["size"].order == ()
    assert list(found["sex"].groups) == ["", "", ""]


def test_sex_age_and_view_come_through_an_indexed_table(tmp_path):
    (tmp_path / "a.png").write_bytes(png(picture()))
    (tmp_path / "b.png").write_bytes(png(picture()[::-1]))
    (tmp_path / "metadata.csv").write_text(
        "Image,Label,Gender,Age,View,Manufacturer,Width,Height\na.png,covid,F,61,PA,Agfa,3000,3000\n"
        "b.png,normal,M,004Y,AP,,,\n"
    )
    table = read_manifest(tmp_path).table
    assert {a.name: list(a.groups) for a in read_attributes(table)} == {
        "sex": ["female", "male"], "age": ["60 to 74", "0 to 5"], "view": ["PA", "AP"], "source": ["", ""],
        "vendor": ["AGFA", ""], "size": ["2048 x 2048 and more", ""],
    }  # fmt: skip
