"""Items on data and sharing: each verdict flips when its fact does."""

from support.known_run import FACTS, PART, RUN, known, verdict

__all__ = ["known"]


def test_patients_in_two_parts_fail_and_an_unknown_split_is_to_do(known):
    assert verdict(known, "20")[0] == "PASS"
    shared = {**RUN, "overlaps": ["2 patients are in train and test"]}
    assert verdict({**known, "run": shared}, "20") == ("FAIL", "2 patients are in train and test")
    assert verdict({**known, "run": None}, "20")[0] == "TODO"
    nameless = {**RUN, "parts": {"test": {**PART, "unnamed": 60}}}
    assert verdict({**known, "run": nameless}, "20")[0] == "FAIL"


def test_who_is_in_each_part_and_under_which_licence_must_be_stated(known):
    assert verdict(known, "36")[0] == "PASS"
    ageless = {**RUN, "parts": {"test": {**PART, "age": None}}}
    assert verdict({**known, "run": ageless}, "36")[0] == "FAIL"
    assert verdict(known, "18e", source="TRIPOD+AI")[0] == "PASS"
    unknown = {**FACTS, "training_data": {"license": {"CC BY 4.0": 3, "": 1}}}
    assert verdict(known, "18e", source="TRIPOD+AI", facts=unknown) == (
        "FAIL",
        "1 of 4 training images state no licence",
    )
