"""The section of subgroups: the gap is in words and marked where it is beyond chance, small groups are hidden."""

from covid_xray.evaluation.report.sections import Fold, Table, Text
from covid_xray.evaluation.report.subgroup_section import figure_name, subgroups, value

FIGURES = {"sensitivity/covid": {"value": 0.9, "ci_low": 0.8, "ci_high": 1.0}}
GROUP = {"n_images": 40, "n_patients": 30, "labels": {"covid": 20, "normal": 20}, "figures": FIGURES}


def metrics(*, ci_low: float = 0.1, groups=("female", "male")):
    ends = {"lowest": {"group": "female", "value": 0.6}, "highest": {"group": "male", "value": 0.9}}
    gap = {"figure": "sensitivity/covid", "value": 0.3, "ci_low": ci_low, "ci_high": 0.5, **ends}
    sex = {
        "title": "sex",
        "not_stated": 7,
        "groups": dict.fromkeys(groups, GROUP),
        "gap": gap if len(groups) > 1 else None,
    }
    sex["groups"]["other"] = {"hidden": "n < 20, hidden"}
    vendor = {"title": "vendor", "not_stated": 87, "groups": {}, "gap": None}
    return {"n_patients": 60, "subgroups": {"smallest": 20, "attributes": {"sex": sex, "vendor": vendor}}}


def texts(section) -> str:
    return " ".join(block.text for block in section.blocks if isinstance(block, Text))


def test_the_largest_gap_is_said_in_words_and_marked():
    section = subgroups(metrics(), ())
    assert "by sex: sensitivity, covid is 60.0\u00a0% for female and 90.0\u00a0% for male" in texts(section)
    table = next(block for block in section.blocks if isinstance(block, Table))
    row = table.rows[0]
    assert [cell.text for cell in row[:3]] == ["sex", "2, 1 hidden", "7"]
    assert (row[-1].text, row[-1].mark) == ("30.0\u00a0%", "bad")
    assert "The table says nothing of: vendor." in texts(section)


def test_a_gap_that_may_be_chance_is_not_marked_and_said_to_be():
    section = subgroups(metrics(ci_low=-0.1), ())
    assert "(none is beyond chance)" in texts(section)
    table = next(block for block in section.blocks if isinstance(block, Table))
    assert table.rows[0][-1].mark == ""


def test_every_group_is_listed_and_a_small_one_only_by_name():
    fold = next(block for block in subgroups(metrics(), ()).blocks if isinstance(block, Fold))
    table = fold.blocks[0]
    assert len({len(row) for row in table.rows} | {len(table.head)}) == 1
    named = {row[0].text: row for row in table.rows}
    assert {"female", "male", "other"} <= set(named)
    assert [cell.text for cell in named["other"]] == ["other", "n < 20, hidden", "", "", "", ""]
    covid = next(row for row in table.rows if row[0].text == "covid")
    assert covid[3].text == "90.0\u00a0%"
    assert covid[3].mark == "bad"  # the lowest end of the largest gap


def test_one_group_gives_no_gap():
    section = subgroups(metrics(groups=("female",)), ())
    assert "No attribute has two groups that are large enough" in texts(section)
    assert subgroups({}, ()) is None


def test_figures_have_names_and_values_for_people():
    assert figure_name("auroc/covid") == "AUROC, covid"
    assert figure_name("auroc_macro") == "AUROC, mean over classes"
    assert value("auroc/covid", 0.5) == "0.500"
    assert value("specificity/covid", 0.5) == "50.0\u00a0%"
