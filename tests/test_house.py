"""The rules of the house that no linter knows."""

import ast
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for path in (ROOT / "src").rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))
PACKAGE, TESTS = ROOT / "src" / "covid_xray", ROOT / "tests"
MOST_MODULES = 20  # in one folder, not counting __init__.py
# Modules that a user meets through another one, whose test file is named here.
TESTED_ELSEWHERE = {
    "bundle/fusion_network.py": "inference/test_fusion.py",
    "bundle/lung_network_folder.py": "bundle/test_lung_network.py",
    "bundle/schema.py": "bundle/test_bundle.py",
    "cli/console.py": "cli/test_commands.py",
    "cli/evaluation/evaluate.py": "cli/test_commands.py",
    "cli/evaluation/outcomes.py": "evaluation/clinical/test_outcomes.py",
    "cli/inference/predict.py": "cli/test_commands.py",
    "cli/inference/predict_launch.py": "cli/inference/test_predict_args.py",
    "cli/selection.py": "cli/test_commands.py",
    "cli/services/score.py": "cluster/test_score.py",
    "cli/terminal.py": "cli/inference/test_predict_job.py",
    "cli/training/fuse.py": "training/clinical/test_fuse.py",
    "cli/training/lungs.py": "inference/test_lungs.py",
    "cli/training/train.py": "cli/test_commands.py",
    "evaluation/audit/source_generalisation.py": "evaluation/audit/test_audit.py",
    "evaluation/clinical/clinical_page.py": "training/clinical/test_fuse.py",
    "evaluation/clinical/clinical_predictions.py": "training/clinical/test_fuse.py",
    "evaluation/report/checks.py": "evaluation/report/test_checklist.py",
    "evaluation/report/pdf_table.py": "evaluation/report/test_pdf.py",
    "evaluation/report/performance_checks.py": "evaluation/report/test_checklist.py",
    "evaluation/report/results_sections.py": "evaluation/report/test_html.py",
    "evaluation/report/sections.py": "evaluation/report/test_html.py",
    "evaluation/report/summary_section.py": "evaluation/report/test_html.py",
    "evaluation/run_schema.py": "evaluation/test_schema.py",
    "evaluation/schema_base.py": "evaluation/test_schema.py",
    "inference/finding.py": "inference/test_predictor.py",
    "limits.py": "test_config.py",
    "models/fusion.py": "inference/test_fusion.py",
    "serving/api/schemas.py": "serving/test_app.py",
    "serving/http/uploads.py": "serving/api/test_predict.py",
    "serving/pages/admin_pages.py": "browser/test_admin_pages.py",
    "serving/pages/pages.py": "browser/test_pages.py",
    "serving/pages/study_pages.py": "browser/test_study_pages.py",
    "serving/pages/worklist_pages.py": "browser/test_worklist_pages.py",
    "store/migrations/env.py": "store/test_database.py",
    "store/migrations/versions/v0001_first.py": "store/test_database.py",
    "store/migrations/versions/v0002_pacs.py": "store/test_database.py",
    "store/tables.py": "store/test_database.py",
    "training/batches.py": "training/test_train.py",
    "training/clinical/clinical_report.py": "training/clinical/test_fuse.py",
    "training/clinical/clinical_study.py": "training/clinical/test_fuse.py",
    "training/clinical/fusion_training.py": "inference/test_fusion.py",
    "training/crossval/fold_report.py": "training/crossval/test_fold_pooling.py",
    "training/finish_run.py": "training/test_train.py",
    "training/train_lungs.py": "inference/test_lungs.py",
}


def test_every_module_has_its_test_file_at_the_same_path() -> None:
    modules = [path.relative_to(PACKAGE) for path in MODULES]
    expected = {str(module): str(module.with_name(f"test_{module.name}")) for module in modules} | TESTED_ELSEWHERE
    assert not [f"{module}: tests/{test}" for module, test in expected.items() if not (TESTS / test).is_file()]


def test_no_excuse_is_left_for_a_module_that_has_its_test_file_or_is_gone() -> None:
    for module in map(Path, TESTED_ELSEWHERE):
        assert (PACKAGE / module).is_file(), module
        assert not (TESTS / module.with_name(f"test_{module.name}")).is_file(), module


def test_no_folder_holds_more_modules_than_one_takes_in_at_a_look() -> None:
    count = Counter(str(path.parent.relative_to(PACKAGE)) for path in MODULES)
    assert not {folder: n for folder, n in count.items() if n > MOST_MODULES}


def test_files_and_functions_stay_short() -> None:
    long = []
    for path in MODULES:
        text = path.read_text(encoding="utf-8")
        if text.count("\n") > 300:
            long.append(str(path.relative_to(ROOT)))
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno + 1 > 50:
                long.append(f"{path.name}: {node.name}")
    assert not long


def test_every_module_opens_with_what_comes_in_and_goes_out() -> None:
    assert not [path.name for path in MODULES if not ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))]


def test_links_between_pages_lead_somewhere() -> None:
    broken = []
    for page in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for part in page.read_text(encoding="utf-8").split("](")[1:]:
            target = part.split(")")[0].split("#")[0]
            if target and "://" not in target and not (page.parent / target).exists():
                broken.append(f"{page.relative_to(ROOT)}: {target}")
    assert not broken
