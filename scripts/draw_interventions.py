"""Draw docs/images/audit-interventions.png: what each way of masking leaves visible of drawn chests."""

import io
from pathlib import Path

import numpy as np
from PIL import Image

from covid_xray.evaluation.audit.audit_figures import examples
from covid_xray.evaluation.audit.interventions import prepare_input
from covid_xray.evaluation.report.figures import LIGHT
from covid_xray.images.phantoms.phantom import draw, draw_anatomy, lung_mask

PAGE = Path(__file__).parent.parent / "docs" / "images" / "audit-interventions.png"


def main() -> None:
    people = [draw_anatomy(np.random.default_rng(seed), child=seed % 2 == 1) for seed in range(24)]
    pixels = np.stack(
        [draw(person, finding="covid" if n < 1 else "normal", size=224).pixels for n, person in enumerate(people)]
    )
    lungs = np.stack([lung_mask(person, size=224) for person in people])
    drawn = examples(prepare_input(pixels, lungs).take(slice(0, 2)), LIGHT)
    Image.open(io.BytesIO(drawn)).convert("L").save(PAGE, optimize=True)


if __name__ == "__main__":
    main()
