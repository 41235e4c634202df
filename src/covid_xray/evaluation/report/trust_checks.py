"""More checks of the checklists: outside tests, robustness, fairness, explanation, limits and what is shared."""

from covid_xray.evaluation.report.run_checks import FAIL, PASS, TODO, Known, Verdict, either
from covid_xray.evaluation.report.sections import plain, whole, with_span
from covid_xray.evaluation.report.subgroup_section import beyond_chance, figure_name
from covid_xray.evaluation.report.summary_section import external

AUDIT = "covid-xray audit has not been run on this network"


def outside(k: Known) -> Verdict:
    """Tested on images of sources that it never saw."""
    passed, why = external(k.m)
    return (PASS if passed else FAIL), why


def inside(k: Known) -> Verdict:
    """Tested on a part of its own data."""
    part = k.m.get("part")
    if part in ("test", "val"):
        told = f"the {part} part: {whole(k.m['n_images'])} images, macro-F1 {with_span(k.m['figures']['macro_f1'])}"
        return (PASS, told) if part == "test" else (FAIL, f"{told}; the validation part has chosen the epoch")
    return TODO, f"tested on: {part or 'not recorded'}"


def robust(k: Known) -> Verdict:
    """What happens when parts of the picture are hidden."""
    return either(k.audit, (k.audit or {}).get("verdict", {}).get("line", ""), (TODO, AUDIT))


def confounding(k: Known) -> Verdict:
    """Class and source are not the same thing."""
    v = k.m["confounding"]["cramers_v"]
    if v is None:
        return TODO, "the table names no source"
    return (FAIL, k.m["confounded"]) if k.m["confounded"] else (PASS, f"Cramer's V of class and source is {v:.2f}")


def explained(k: Known) -> Verdict:
    """Heat maps, and whether they mean anything."""
    found = (k.audit or {}).get("heatmaps")
    missing = (TODO, f"heat maps of right and wrong cases are drawn; whether they mean anything is not tested: {AUDIT}")
    return either(found, (found or {}).get("cascade", {}).get("line", ""), missing)


def failures(k: Known) -> Verdict:
    """The wrong answers are looked at."""
    wrong = sum(sum(row) - row[i] for i, row in enumerate(k.m["confusion_matrix"]["counts"]))
    return (
        PASS,
        f"{whole(wrong)} wrong answers: all in predictions.csv, the most confident ones with heat maps",
    )


def demographics(k: Known) -> Verdict:
    """Age and sex of each part."""
    parts = k.run.get("parts")
    if not parts:
        return TODO, "no split.csv beside the bundle: evaluate the run folder"
    without = [name for name, p in parts.items() if p["age"] is None or not p["sex"]]
    unknown = k.m["subgroups"]["attributes"]
    told = ", ".join(f"{unknown[name]['not_stated']:,} without {name}" for name in ("sex", "age"))
    if without:
        return FAIL, f"age or sex is not stated in the parts {', '.join(without)}"
    most = any(unknown[name]["not_stated"] > k.m["n_images"] / 2 for name in ("sex", "age"))
    return (
        FAIL if most else PASS
    ), f"age and sex of each part are tabulated; of {whole(k.m['n_images'])} tested, {told}"


def fairness(k: Known) -> Verdict:
    """Subgroups are compared."""
    known = {name: a for name, a in k.m["subgroups"]["attributes"].items() if a["gap"] and name in ("sex", "age")}
    if not known:
        return FAIL, "sex and age are stated for too few images to compare groups"
    told = [
        f"{a['title']}: {figure_name(a['gap']['figure'])} differs by {plain(a['gap']['value'])}"
        f"{', beyond chance' if beyond_chance(a['gap']) else ', not beyond chance'}"
        for a in known.values()
    ]
    return PASS, "; ".join(told)


def heterogeneity(k: Known) -> Verdict:
    """Figures by source."""
    found = k.m["worst_source"]
    told = (
        "" if not found else f"worst source {found['name']}, accuracy {with_span(found)}; mean {plain(found['mean'])}"
    )
    return either(found, told, (FAIL, "fewer than two sources have 20 images or more"))


def imbalance(k: Known) -> Verdict:
    """Whether rare classes were weighted."""
    s = k.settings
    how = "classes weighted by their number in training" if s.get("class_weights") else "no weighting of classes"
    return either(
        s, f"{how}; macro averages and each class on its own", (TODO, "the bundle holds no settings of its training")
    )


def output(k: Known) -> Verdict:
    """What an answer is, and its thresholds."""
    points = k.m.get("operating_points")
    told = f"probabilities of {', '.join(k.m['classes'])}"
    missing = (TODO, f"{told}; no operating points: covid-xray calibrate chooses them")
    return either(points, f"{told}; operating points of {', '.join(points or {})}", missing)


def calibrated(k: Known) -> Verdict:
    """Recalibration after training."""
    t = k.m["calibration"]["temperature"]
    part = (k.facts.get("calibration") or {}).get("part")
    missing = (TODO, "no temperature is fitted: covid-xray calibrate")
    return either(part, f"temperature {t:.3f}, fitted on the {part} part", missing)


def abstention(k: Known) -> Verdict:
    """What happens with input that is poor or of another kind."""
    told = f'{whole(k.m["cannot_say"])} of {whole(k.m["n_images"])} images would be answered "cannot say"'
    gate = k.facts.get("gate")
    return either(
        gate, f"the gate checks each input; {told}", (TODO, f"{told}, but the bundle has no gate for poor input")
    )


def baseline(k: Known) -> Verdict:
    """Compared with models that see no lung."""
    found = k.m["baselines"]
    if not found:
        return TODO, "no-lung baselines were not measured: covid-xray baselines"
    best, mine = found["best"]["figures"]["macro_f1"], k.m["figures"]["macro_f1"]
    told = f"macro-F1 {with_span(mine)} beside {with_span(best)} of {found['best']['name']}, which sees no lung"
    return (PASS if mine["value"] > best["value"] else FAIL), told


def interpretation(k: Known) -> Verdict:
    """Whether the score can be credited to the lungs at all."""
    found = [confounding(k), baseline(k)]
    worst = FAIL if any(verdict == FAIL for verdict, _ in found) else TODO
    told = "; ".join(text.rstrip(".") for verdict, text in found if verdict == worst)
    return (worst, told) if any(v != PASS for v, _ in found) else (PASS, "; ".join(text for _, text in found))


def next_steps(k: Known) -> Verdict:
    """What this run lacks most."""
    lacking = [text for check in (outside, robust, baseline) for verdict, text in [check(k)] if verdict != PASS]
    return TODO, "; ".join(["say what should follow", *lacking])


def differs(k: Known) -> Verdict:
    """How those tested differ from those trained on."""
    found = k.run.get("parts")
    return either(found, "classes, sources, sex and age of each part are tabulated side by side",
                  (TODO, "no split.csv beside the bundle"))  # fmt: skip


def limits(k: Known) -> Verdict:
    """Limits are stated."""
    return PASS, f"report.html, Limits, and {len(k.m['warnings'])} warnings that this run earned"


def shared_code(k: Known) -> Verdict:
    """The code is open."""
    version = ((k.run.get("made") or {}).get("packages") or {}).get("covid-xray")
    return either(version, f"covid-xray {version}, Apache-2.0", (TODO, "say where the code of this network is"))


def shared_data(k: Known) -> Verdict:
    """Which data exactly."""
    print_ = k.trained.get("fingerprint")
    missing = (TODO, "say where the data and the model can be had")
    told = (
        f"fingerprint of the training data {str(print_)[:12]}, SHA-256 of the network {k.m['model']['sha256'][:12]}; "
    )
    return (TODO, told + missing[1]) if print_ else missing


def specification(k: Known) -> Verdict:
    """Others can run it."""
    return (
        PASS,
        f"bundle: model.onnx (SHA-256 {k.m['model']['sha256'][:12]}...) and bundle.json run anywhere ONNX Runtime does",
    )


def evaluated(k: Known) -> Verdict:
    """How the predictions were made."""
    s = k.m["settings"]
    return (
        PASS,
        f"each image answered once by the bundle; {whole(s['rounds'])} bootstrap rounds, seed {s['seed']}",
    )
