"""Describe the public data sets as their owners publish them, and import them.

Labels: covid, normal, virus, bacterial, pneumonia (cause not stated), other, negative (COVIDx: not covid).
docs/how-to/public-datasets.md says where to download each and under which terms.
"""

from collections.abc import Callable
from pathlib import Path

from covid_xray.config import Limits
from covid_xray.data.manifest import dataset_quirks as quirks
from covid_xray.data.manifest.importers import FRONTAL, RADIOGRAPHY, Source, source_rows
from covid_xray.data.manifest.licenses import allow_licenses
from covid_xray.data.manifest.manifest import Manifest, manifest_of
from covid_xray.data.manifest.readers import read_rows
from covid_xray.data.manifest.tables import read_xlsx
from covid_xray.errors import UsageError

UNCLEAR = "unclear (the images are from papers and websites with terms of their own)"
RESEARCH = "research use only (no licence stated)"


SOURCES = {
    source.name: source
    for source in (
        Source(
            name="ieee8023",
            title="COVID-19 image data collection (Cohen)",
            home="https://github.com/ieee8023/covid-chestxray-dataset",
            license="",
            cite="arXiv:2006.11988",
            tables=("metadata.csv",),
            image="filename",
            columns={
                **quirks.COHEN_COLUMNS,
                **quirks.same("went_icu", "intubated", "license"),
                "spo2": "pO2_saturation|pO2 saturation",
                "supplemental_o2": "needed_supplemental_O2",
                "leukocytes": "leukocyte_count",
                "neutrophils": "neutrophil_count",
                "lymphocytes": "lymphocyte_count",
                "attribution": "url",
            },
            finding="finding",
            labels=quirks.FINDINGS,
            keep={"modality": RADIOGRAPHY, "view": FRONTAL - {""}},
        ),
        Source(
            name="cxnet",
            title="COVID-CXNet",
            home="https://github.com/armiro/COVID-CXNet",
            license="unclear (the collectors state CC BY 4.0)",
            cite="doi:10.1007/s11042-022-12156-z",
            tables=("metadata.csv",),
            image="filename",
            folders={"covid19": "COVID-19"},
            columns={
                **quirks.same("patient_id", "sex", "age", "view", "pcr_test", "survival", "spo2"),
                **{"offset_days": "symptom_offset", "attribution": "url"},
            },
            labels=quirks.FINDINGS,
            keep={"view": FRONTAL},
            prepare=quirks.cxnet,
        ),
        Source(
            name="hannover",
            title="COVID-19 Image Repository, Hannover Medical School",
            home="https://github.com/ml-workgroup/covid-19-image-repository",
            license="CC BY 3.0",
            cite="doi:10.6084/m9.figshare.12275009",
            tables=("data.csv",),
            image="image_id",
            columns={
                **quirks.same("patient_id", "sex", "age", "modality"),
                "view": "projection",
                "offset_days": "admission_offset",
                "went_icu": "icu_admission_offset",
                "survival": "death_offset",
                "neutrophils": "neutrophils_val",
                "lymphocytes": "lymphocytes_val",
            },
            labels=quirks.FINDINGS,
            keep={"modality": RADIOGRAPHY, "view": FRONTAL},
            prepare=quirks.hannover,
        ),
        Source(
            name="kermany",
            title="Chest X-ray images, pneumonia (Kermany), children of 1 to 5 years",
            home="https://data.mendeley.com/datasets/rscbjbr9sj/2",
            license="CC BY 4.0",
            cite="doi:10.17632/rscbjbr9sj.2, doi:10.1016/j.cell.2018.02.010",
            folders={"NORMAL": "normal", "PNEUMONIA": ""},
            labels=((r"^normal", "normal"), (r"virus", "virus"), (r"bacteria", "bacterial")),
            patient=r"^(person\d+|(?:NORMAL2-)?IM-\d+)",
            prepare=quirks.kermany,
        ),
        Source(
            name="darkcovidnet",
            title="DarkCovidNet",
            home="https://github.com/muhammedtalo/COVID-19",
            license="not stated",
            cite="doi:10.1016/j.compbiomed.2020.103792",
            folders={"Covid-19": "COVID-19", "No_findings": "No Finding", "Pneumonia": "Pneumonia"},
            labels=((r"covid", "covid"), *quirks.NIH_FINDINGS),
            patient=r"^(\d{8})_\d{3}\.",
            patient_prefix="nih",
            prepare=quirks.darkcovidnet,
        ),
        Source(
            name="actualmed",
            title="Actualmed COVID-19 chest X-ray data set",
            home="https://github.com/agchung/Actualmed-COVID-chestxray-dataset",
            license=RESEARCH,
            tables=("metadata.csv",),
            image="imagename",
            columns={**quirks.COHEN_COLUMNS, "spo2": "pO2 saturation"},
            finding="finding",
            labels=quirks.FINDINGS,
            keep={"modality": RADIOGRAPHY, "view": FRONTAL},
        ),
        Source(
            name="figure1",
            title="Figure 1 COVID-19 chest X-ray data set",
            home="https://github.com/agchung/Figure1-COVID-chestxray-dataset",
            license=RESEARCH,
            tables=("metadata.csv",),
            image="patientid",
            columns={**quirks.COHEN_COLUMNS, "spo2": "pO2 saturation"},
            finding="finding",
            labels=quirks.FINDINGS,
            keep={"modality": RADIOGRAPHY, "view": FRONTAL},
            prepare=quirks.figure1,
        ),
        Source(
            name="radiography",
            title="COVID-19 Radiography Database",
            home="https://www.kaggle.com/datasets/tawsifurrahman/covid19-radiography-database",
            license=UNCLEAR,
            cite="doi:10.1109/ACCESS.2020.3010287, doi:10.1016/j.compbiomed.2021.104319",
            tables=("*.metadata.xlsx",),
            read=read_xlsx,
            image="file name",
            folders={
                "COVID": "COVID-19",
                "Normal": "Normal",
                "Viral Pneumonia": "Viral Pneumonia",
                "Lung_Opacity": "Lung opacity",
            },
            columns={"attribution": "url"},
            labels=((r"covid", "covid"), (r"normal", "normal"), (r"viral", "virus"), (r"opacity", "pneumonia")),
        ),
        Source(
            name="covidx",
            title="COVIDx label files (COVID-Net)",
            home="https://github.com/lindawangg/COVID-Net/blob/master/docs/COVIDx.md",
            license="unclear (each image has the terms of the set that it is from)",
            cite="doi:10.1038/s41598-020-76550-z",
            tables=("train*.txt", "test*.txt", "val*.txt"),
            read=quirks.read_covidx,
            image="file",
            columns={"patient_id": "patient", "origin": "origin"},
            finding="class",
            labels=(
                (r"covid|positive", "covid"),
                (r"normal", "normal"),
                (r"pneumonia", "pneumonia"),
                (r"nega", "negative"),
            ),
            prepare=quirks.covidx,
        ),
        Source(
            name="nih",
            title="NIH ChestX-ray14",
            home="https://nihcc.app.box.com/v/ChestXray-NIHCC",
            license="NIH: free to use, acknowledgement asked",
            cite="Wang and others, ChestX-ray8, CVPR 2017",
            tables=("Data_Entry*.csv",),
            image="Image Index",
            columns={
                "patient_id": "Patient ID",
                "age": "Patient Age",
                "sex": "Patient Gender|Patient Sex",
                "view": "View Position",
            },
            finding="Finding Labels",
            labels=quirks.NIH_FINDINGS,
            keep={"view": FRONTAL},
            prepare=quirks.nih,
        ),
        Source(
            name="rsna",
            title="RSNA Pneumonia Detection Challenge 2018",
            home="https://www.rsna.org/rsnai/ai-image-challenge/rsna-pneumonia-detection-challenge-2018",
            license="RSNA: non-commercial, academic research and education",
            cite="doi:10.1148/ryai.2019180041",
            tables=("*detailed_class_info.csv",),
            image="patientId",
            columns={"patient_id": "patientId"},
            finding="class",
            labels=((r"not normal", "other"), (r"^normal", "normal"), (r"lung opacity", "pneumonia")),
        ),
    )
}
NAMES = (*SOURCES, "cxr")


def import_source(
    name: str,
    folder: Path,
    *,
    license_allow: str = "any",
    check: bool = True,
    limits: Limits | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Manifest:
    """Read the unpacked folder of a public data set into a manifest.

    Args:
        name: one of `NAMES`; `cxr` is a folder whose metadata.csv has our columns.
        folder: the data set as its owners arrange it.
        license_allow: `open`, `noncommercial` or `any`; other images are quarantined.
        check, limits, progress: as for `read_manifest`.

    Raises:
        UsageError: unknown name.
        BadManifest: the folder does not hold that source.
    """
    if name not in NAMES:
        raise UsageError(f"Unknown source {name!r}. Choose one of {', '.join(NAMES)}.")
    rows = read_rows(folder) if name == "cxr" else source_rows(SOURCES[name], folder)
    manifest = manifest_of(rows, name=str(folder), check=check, limits=limits, progress=progress)
    return allow_licenses(manifest, license_allow)
