"""Answer the checklist items on performance, explanation and limits from metrics.json and bundle.json."""

from covid_xray.evaluation.metrics.subgroups import SMALLEST
from covid_xray.evaluation.report.checks import FAIL, PASS, TODO, Known, Verdict, either
from covid_xray.evaluation.report.claims import without_figures
from covid_xray.evaluation.report.sections import audit_of, decimal, thousands, with_span
from covid_xray.evaluation.report.subgroup_section import beyond_chance, figure_name
from covid_xray.evaluation.report.summary_section import external_test

NO_AUDIT = "covid-xray audit has not been run on this network"


def measures(k: Known) -> Verdict:
    """Check that discrimination and calibration are both measured."""
    have = ", ".join(name for name in ("accuracy", "macro_f1", "auroc_macro", "brier", "ece") if name in k.m["figures"])
    missing = f"AUROC is undefined on these images; measured: {have}"
    every = f"{have}, and for each class sensitivity, specificity, AUROC"
    return either("auroc_macro" in k.m["figures"], every, missing, otherwise=FAIL)


def intervals(k: Known) -> Verdict:
    """Check that figures have intervals over patients."""
    f, rounds = k.m["figures"], thousands(k.m["settings"]["rounds"])
    known = sum(figure["ci_low"] is not None for figure in f.values())
    have = f"{known} of {len(f)} figures have a 95 % bootstrap interval, {rounds} rounds"
    if k.m["n_patients"] is None:
        return FAIL, f"{have}, but over images: no image names its patient"
    return either(known > len(f) / 2, f"{have} over {thousands(k.m['n_patients'])} patients", have, otherwise=FAIL)


def discrimination(k: Known) -> Verdict:
    """Check that macro-F1 and AUROC have intervals."""
    f = k.m["figures"]
    both = f"macro-F1 {with_span(f['macro_f1'])}; AUROC {with_span(f.get('auroc_macro'))}"
    return either(f["macro_f1"]["ci_low"] is not None, both, f"{both}: too few images for an interval", otherwise=FAIL)


def diagnostic(k: Known) -> Verdict:
    """Check that sensitivity and specificity of each class have intervals."""
    f, sides = k.m["figures"], ("sensitivity", "specificity")
    found = {name: [f.get(f"{side}/{name}") for side in sides] for name in k.m["classes"]}
    text = "; ".join(
        f"{name}: sensitivity {with_span(a)}, specificity {with_span(b)}" for name, (a, b) in found.items()
    )
    known = all(figure and figure["ci_low"] is not None for pair in found.values() for figure in pair)
    return either(known, text, f"{text}: too few images", otherwise=FAIL)


def outside(k: Known) -> Verdict:
    """Check that the test images come from sources that were not trained on."""
    passed, why = external_test(k.m)
    return either(passed, why, why, otherwise=FAIL)


def inside(k: Known) -> Verdict:
    """Check that the test part of the training data is tested."""
    part = k.m.get("part")
    if part not in ("test", "val"):
        return TODO, f"tested on: {part or 'not recorded'}"
    score = f"the {part} part: {thousands(k.m['n_images'])} images, macro-F1 {with_span(k.m['figures']['macro_f1'])}"
    return either(part == "test", score, f"{score}; the validation part has selected the epoch", otherwise=FAIL)


def robust(k: Known) -> Verdict:
    """Check that the shortcut audit was run."""
    audit = audit_of(k.m)
    return either(audit, (audit or {}).get("verdict", {}).get("line", ""), NO_AUDIT)


def confounding(k: Known) -> Verdict:
    """Check that class and source are not confounded."""
    v = k.m["confounding"]["cramers_v"]
    if v is None:
        return TODO, "the table names no source"
    return (FAIL, k.m["confounded"]) if k.m["confounded"] else (PASS, f"Cramer's V of class and source is {v:.2f}")


def explained(k: Known) -> Verdict:
    """Check that the heat maps are tested."""
    found = (audit_of(k.m) or {}).get("heatmaps")
    untested = f"heat maps of right and wrong cases are drawn; whether they mean anything is not tested: {NO_AUDIT}"
    return either(found, (found or {}).get("cascade", {}).get("line", ""), untested)


def failures(k: Known) -> Verdict:
    """Check that the wrong answers are listed."""
    wrong = sum(sum(row) - row[i] for i, row in enumerate(k.m["confusion_matrix"]["counts"]))
    return PASS, f"{thousands(wrong)} wrong answers: all in predictions.csv, the most confident ones with heat maps"


def fairness(k: Known) -> Verdict:
    """Check that subgroups of sex or age are compared."""
    known = [a for name, a in k.m["subgroups"]["attributes"].items() if a["gap"] and name in ("sex", "age")]
    gaps = [
        f"{a['title']}: {figure_name(a['gap']['figure'])} differs by {decimal(a['gap']['value'])}, "
        f"{'' if beyond_chance(a['gap']) else 'not '}beyond chance"
        for a in known
    ]
    return either(gaps, "; ".join(gaps), "sex and age are stated for too few images to compare groups", otherwise=FAIL)


def heterogeneity(k: Known) -> Verdict:
    """Check that performance is compared between sources."""
    w = k.m["worst_source"]
    small = without_figures(k.m["by_source"])
    worst = f"worst source {w['name']}, accuracy {with_span(w)}; mean {decimal(w['mean'])}" if w else ""
    worst += f"; {small}" if worst and small else ""
    return either(w, worst, f"fewer than two sources have {SMALLEST} images or more", otherwise=FAIL)


def output(k: Known) -> Verdict:
    """Check that the output and its thresholds are described."""
    points, text = k.m.get("operating_points") or {}, f"probabilities of {', '.join(k.m['classes'])}"
    missing = f"{text}; no operating points: covid-xray calibrate chooses them"
    return either(points, f"{text}; operating points of {', '.join(points)}", missing)


def calibrated(k: Known) -> Verdict:
    """Check that the network was recalibrated after training."""
    part = (k.facts.get("calibration") or {}).get("part")
    fitted = f"temperature {k.m['calibration']['temperature']:.3f}, fitted on the {part} part"
    return either(part, fitted, "no temperature is fitted: covid-xray calibrate")


def abstention(k: Known) -> Verdict:
    """Check that a gate rejects unsuitable input."""
    share = f'{thousands(k.m["cannot_say"])} of {thousands(k.m["n_images"])} images would be answered "cannot say"'
    gate = k.facts.get("gate")
    return either(gate, f"the gate checks each input; {share}", f"{share}, but the bundle has no gate for poor input")


def baseline(k: Known) -> Verdict:
    """Check that the network scores above models without lungs."""
    if not k.m["baselines"]:
        return TODO, "no-lung baselines were not measured: covid-xray baselines"
    found, mine = k.m["baselines"]["best"], k.m["figures"]["macro_f1"]
    best = found["figures"]["macro_f1"]
    text = f"macro-F1 {with_span(mine)} beside {with_span(best)} of {found['name']}, which sees no lung"
    return either(mine["value"] > best["value"], text, text, otherwise=FAIL)


def interpretation(k: Known) -> Verdict:
    """Check that the score can be credited to the lungs."""
    found = [confounding(k), baseline(k)]
    worst = next(verdict for verdict in (FAIL, TODO, PASS) if verdict in {v for v, _ in found})
    return worst, "; ".join(text if worst == PASS else text.rstrip(".") for v, text in found if v == worst)


def next_steps(k: Known) -> Verdict:
    """Check that the evidence that is lacking is named."""
    lacking = [text for verdict, text in (outside(k), robust(k), baseline(k)) if verdict != PASS]
    return TODO, "; ".join(["say what should follow", *lacking])


def limits(k: Known) -> Verdict:
    """Check that limits are stated."""
    return PASS, f"report.html, Limits, and {len(k.m['warnings'])} warnings of this run"


def evaluated(k: Known) -> Verdict:
    """Check that the computation of the predictions is described."""
    s = k.m["settings"]
    return PASS, f"each image answered once by the bundle; {thousands(s['rounds'])} bootstrap rounds, seed {s['seed']}"
