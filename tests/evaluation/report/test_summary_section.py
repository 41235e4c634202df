"""The summary counts in hundreds and calls a test external only where it is one."""

from covid_xray.evaluation.report.summary_section import external_test, limitations, sentences
from support.reports import results

__all__ = ["results"]


def test_sentences_count_in_hundreds(results):
    assert sentences(results[0])[0] == (
        "Of 100 images of covid it names 100 as covid; of 100 images of the other classes it calls 0 covid wrongly."
    )


def test_a_test_on_the_sources_trained_on_is_not_called_external(results):
    metrics, _ = results
    assert external_test({**metrics, "trained_sources": ["site 1"]})[0] is False
    assert "site 1" in " ".join(limitations({**metrics, "trained_sources": ["site 1"]}))
    apart = {**metrics, "trained_sources": ["elsewhere"], "confounded": ""}
    assert external_test(apart) == (True, "none of the sources tested (site 0, site 1) was trained on")
    assert external_test({**apart, "confounded": "V"})[0] is False
    assert external_test({**apart, "trained_sources": []})[0] is False


def test_a_class_that_comes_from_one_source_is_said(results):
    metrics, _ = results
    labels = {"covid": 20, "normal": 20, "virus": 1}
    by_source = {name: {**row, "labels": labels} for name, row in metrics["by_source"].items()}
    by_source["site 1"] = {**by_source["site 1"], "labels": {"covid": 20, "normal": 20, "virus": 19}}
    told = " ".join(limitations({**metrics, "by_source": by_source}))
    assert "95 % of the virus images come from one source (site 1)" in told
    assert "of the covid images" not in told
