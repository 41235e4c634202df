"""The doctor: every check runs, the worst come first, and what it found is counted."""

import json

import numpy as np

from covid_xray.data.doctor.doctor import examine, write_diagnosis
from covid_xray.data.doctor.pitfall import Verdict
from support.spoilt import I, N, changed, clean


def test_a_clean_set_passes():
    assert changed() == set()


def test_the_worst_come_first_and_are_counted():
    manifest, facts = clean(source=np.where(I % 2, "x", "y"), view="")
    diagnosis = examine(manifest, pixels=facts)
    order = [pitfall.verdict for pitfall in diagnosis.pitfalls]
    assert order == sorted(order, key=["FAIL", "WARN", "PASS"].index)
    assert diagnosis.count(Verdict.FAIL) == order.count("FAIL") >= 2


def test_facts_count_images_radiographs_and_people(tmp_path):
    manifest, facts = clean(group=np.where(I < 4, "d", ""), patient_id=[f"p{k // 2}" for k in I])
    path, _ = write_diagnosis(examine(manifest, pixels=facts, title="t"), tmp_path)
    found = json.loads(path.read_text())["facts"]
    assert (found["images"], found["radiographs"], found["people_at_most"]) == (N, N - 3, N // 2 - 1)
    assert sum(found["classes"].values()) == N
    assert sum(sum(row.values()) for row in found["pairs_of_one_radiograph"].values()) >= 6


def test_pixels_are_measured_when_nobody_did(tmp_path):
    from PIL import Image

    from covid_xray.data.manifest.manifest import read_manifest

    for n in range(4):
        (tmp_path / "covid").mkdir(exist_ok=True)
        noise = np.random.default_rng(n).integers(0, 200, (40, 40), dtype=np.uint8)
        Image.fromarray(np.pad(noise, 10)).save(tmp_path / "covid" / f"{n}.png")
    seen = []
    diagnosis = examine(read_manifest(tmp_path), progress=lambda done, total: seen.append((done, total)))
    assert seen[-1] == (4, 4)
    borders = next(pitfall for pitfall in diagnosis.pitfalls if pitfall.name == "borders")
    assert "100% of the images have flat bars" in borders.says
