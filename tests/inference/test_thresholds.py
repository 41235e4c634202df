"""Which operating points a probability passes, and that points of another network do not count."""

from covid_xray.bundle.contents import OperatingPoints, Point
from covid_xray.inference.thresholds import passed

POINTS = {"rule-out": Point(0.1), "balanced": Point(0.4), "rule-in": Point(None)}
STORED = {"covid": OperatingPoints("ab", POINTS)}


def test_a_probability_passes_the_thresholds_that_it_reaches():
    assert passed({"covid": 0.4, "normal": 0.6}, STORED, sha256="ab") == {"covid": {"rule-out": True, "balanced": True}}
    assert passed({"covid": 0.39, "normal": 0.61}, STORED, sha256="ab") == {
        "covid": {"rule-out": True, "balanced": False}
    }


def test_without_points_of_this_network_there_is_no_answer():
    assert passed({"covid": 0.4}, STORED, sha256="other") is None
    for nothing in (None, {}):
        assert passed({"covid": 0.4}, nothing, sha256="ab") is None
