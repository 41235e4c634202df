"""What the gate sees of a manifest: each image with its own embedding; what cannot be read is left out."""

from pathlib import Path

import numpy as np

from covid_xray.data.manifest.manifest import read_manifest
from covid_xray.evaluation.gate.sample import measure_sample
from covid_xray.images.radiograph import Radiograph
from covid_xray.inference.gate_features import look
from covid_xray.inference.predictor import Predictor
from support import drawing
from support.bundles import CLASSES, grey, make_bundle


def test_looks_embeddings_labels_and_groups_belong_together(tmp_path: Path) -> None:
    films = {}
    for label in CLASSES:
        for seed in range(8):
            name = f"{label}/{seed}.png"
            films[name] = grey(label, seed=seed)
            (tmp_path / "data" / label).mkdir(parents=True, exist_ok=True)
            (tmp_path / "data" / name).write_bytes(drawing.png(films[name]))
    (tmp_path / "data" / "covid" / "3.png").write_bytes(b"broken")
    manifest = read_manifest(tmp_path / "data", check=False)
    predictor = Predictor(make_bundle(tmp_path / "bundle"), threads=1)
    steps: list[tuple[int, int]] = []
    seen = measure_sample(
        predictor, manifest, done=2, total=40, progress=lambda done, total: steps.append((done, total))
    )
    names = [name for name in manifest.table["image"] if name != "covid/3.png"]
    assert len(seen) == len(names) == 23
    for name, one, features, label in zip(names, seen.looks, seen.embeddings, seen.labels, strict=True):
        film = Radiograph(films[name])
        np.testing.assert_array_equal(one.thumbnail, look(film).thumbnail)
        np.testing.assert_allclose(features, predictor.predict(film).embedding, rtol=1e-5)
        assert label == name.split("/")[0]
    assert len(set(seen.members)) == 23
    assert steps[-1] == (26, 40)  # the broken one counts as done
