"""Verdicts: where the lines between PASS, WARN and FAIL are."""

from covid_xray.data.doctor.pitfall import judged


def test_judged():
    assert [judged(v, warn=0.1, fail=0.3) for v in (0.1, 0.2, 0.31, float("nan"))] == ["PASS", "WARN", "FAIL", "WARN"]
