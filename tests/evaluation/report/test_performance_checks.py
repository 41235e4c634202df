"""Items on performance, outside tests and audits: each verdict flips when its fact does."""

from support.known_run import RUN, known, verdict

__all__ = ["known"]


def test_an_external_test_needs_sources_that_were_not_trained_on(known):
    assert verdict(known, "33")[0] == "PASS"
    assert verdict({**known, "trained_sources": ["site 0"]}, "33")[0] == "FAIL"
    assert verdict({**known, "confounded": "V = 0.9"}, "33")[0] == "FAIL"


def test_intervals_must_be_over_patients(known):
    assert verdict(known, "29")[0] == "PASS"
    assert verdict({**known, "n_patients": None}, "29")[0] == "FAIL"


def test_the_score_must_beat_what_is_had_without_lungs(known):
    def beside(value):
        score = {"value": value, "ci_low": value, "ci_high": value}
        return {**known, "baselines": {"best": {"name": "frame", "figures": {"macro_f1": score}}}}

    assert verdict(beside(0.5), "25", source="TRIPOD+AI")[0] == "PASS"
    assert verdict(beside(1.0), "25", source="TRIPOD+AI")[0] == "FAIL"
    assert verdict(known, "25", source="TRIPOD+AI")[0] == "TODO"
    assert "covid-xray baselines" in verdict(known, "25", source="TRIPOD+AI")[1]
    assert verdict({**beside(0.5), "confounded": "V = 0.9"}, "25", source="TRIPOD+AI") == ("FAIL", "V = 0.9")


def test_the_audit_counts_only_when_it_is_of_this_network(known):
    audit = {"verdict": {"line": "10 % survives"}, "heatmaps": None, "model": {"sha256": known["model"]["sha256"]}}
    assert verdict(known, "30")[0] == "TODO"
    assert verdict({**known, "run": {**RUN, "audit": audit}}, "30") == ("PASS", "10 % survives")
    other = {**audit, "model": {"sha256": "00"}}
    assert verdict({**known, "run": {**RUN, "audit": other}}, "30")[0] == "TODO"


def test_the_validation_part_is_no_test(known):
    assert verdict(known, "32")[0] == "PASS"
    assert verdict({**known, "part": "val"}, "32")[0] == "FAIL"
    assert verdict({**known, "part": "all"}, "32")[0] == "TODO"
