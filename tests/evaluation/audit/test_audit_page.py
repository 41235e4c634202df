"""audit.md says the verdict first and hides nothing."""

from covid_xray.evaluation.audit.audit_page import audit_page
from covid_xray.evaluation.audit.shortcut_verdict import judge_survival

FIGURE = {"value": 0.812, "ci_low": 0.7604, "ci_high": 0.851}


def facts(**others):
    kept = {**FIGURE, "condition": "lungs_only"}
    row = {
        "name": "whole", "shows": "the whole picture", "lungs": "seen",
        "figures": {"auroc_macro": FIGURE, "macro_f1": FIGURE}, "retained": {"auroc_macro": FIGURE},
        "by_source": {"north": {"n_images": 50, "accuracy": FIGURE}, "south": {"n_images": 9, "accuracy": None}},
        "worst_source": {"name": "north"},
    }  # fmt: skip
    return {
        "model": {"name": "vgg"}, "part": "test", "images": 1204, "patients": 900,
        "labels": {"covid": 600, "normal": 604},
        "masks": {"says": "mask files", "area": 0.31, "dice_with_files": None},
        "chance": {"auroc_macro": 0.5, "macro_f1": 0.5, "balanced_accuracy": 0.5},
        "verdict": judge_survival(
            {"auroc_macro": {"only": kept, "without": kept}}, headline="auroc_macro", masks="files"
        ),
        "conditions": [row],
        "source_from_embedding": {"classes": {"covid": {"sources": {"a": 3, "b": 4}, "images": 7, "chance": 0.5,
                                  "balanced_accuracy": FIGURE}}, "skipped": {"normal": "all images are of one source"}},
        "baselines": None, "sources_left_out": None, "heatmaps": None, "notes": ["A note."], **others,
    }  # fmt: skip


def test_the_verdict_comes_first():
    lines = audit_page(facts()).splitlines()
    assert lines[0] == "# Shortcut audit of vgg"
    assert lines[2].startswith("**Of the score above chance (AUROC), 81 % (76 to 85) survives")


def test_tables_hold_figures_with_intervals_and_say_what_is_too_few():
    text = audit_page(facts())
    assert "1,204 images of 900 patients (test part): covid 600, normal 604" in text
    assert "| the whole picture | 0.812 (0.760 to 0.851) |" in text
    assert "| the whole picture | 0.812 | too few | north |" in text
    assert "| covid | a 3, b 4 | 7 | 0.812 (0.760 to 0.851) | 0.500 |" in text
    assert "normal: not measured; all images are of one source." in text
    assert text.rstrip().endswith("- A note.")
    assert "## Heat maps" not in text


def test_sources_left_out_and_baselines_stand_beside_it():
    held = {"images": 60, "figures": {"macro_f1": FIGURE}, "rows": [{"source": "a", "images": 9, "accuracy": None}]}
    best = {"sees": "the frame", "figures": {"macro_f1": FIGURE}}
    text = audit_page(facts(sources_left_out=held, baselines={"best": best, "images": 3736}))
    assert "without lungs (the frame): macro-F1 0.812" in text
    assert "| a | 9 | too few |" in text
    assert "macro-F1 over all 60 images 0.812" in text


def test_an_audit_on_trained_images_says_so_first_and_names_what_was_drawn():
    known = {"listed": {"train": 9}, "recognised": {"train": 9}, "by": {"file": 9}, "kept": {"train": 9}}
    lines = [line for line in audit_page(facts(trained_images=known)).splitlines() if line]
    assert lines[1].startswith("**9 images of those scored made this network")
    assert "bootstrap over patients" in audit_page(facts(patients=12))
    assert "bootstrap over images" in audit_page(facts(patients=None))
