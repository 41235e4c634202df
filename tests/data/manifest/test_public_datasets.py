"""Importers: each public layout, drawn small, becomes rows with our labels; the rest is refused with a reason."""

from pathlib import Path

import numpy as np
import openpyxl
import pytest
from PIL import Image

from covid_xray.data.manifest.licenses import allow_licenses, license_class
from covid_xray.data.manifest.public_datasets import dataset_names, import_source, public_datasets
from covid_xray.errors import BadManifest, UsageError


def draw(root: Path, *names: str) -> Path:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        seed = sum(map(ord, name))
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 20), dtype=np.uint8)
        Image.fromarray(pixels).save(path, format="PNG" if path.suffix.lower() == ".png" else "JPEG")
    return root


def write(path: Path, *lines: str, encoding: str = "utf-8") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join(lines) + "\n", encoding=encoding)


def rows(manifest):
    return manifest.table.set_index("original_name" if "original_name" in manifest.table else "image")


def refused(manifest):
    return dict(zip(manifest.quarantine["image"], manifest.quarantine["code"], strict=True))


def test_ieee8023(tmp_path):
    draw(tmp_path, "images/a.jpg", "images/b.png", "images/c.jpg", "images/l.jpg", "images/t.jpg", "images/k.jpeg")
    write(
        tmp_path / "metadata.csv",
        "patientid,offset,sex,age,finding,RT_PCR_positive,survival,intubated,intubation_present,went_icu,in_icu,"
        "needed_supplemental_O2,extubated,temperature,pO2_saturation,leukocyte_count,neutrophil_count,"
        "lymphocyte_count,view,modality,date,location,folder,filename,doi,url,license,clinical_notes,other_notes,,",
        '2,3,M,65,Pneumonia/Viral/COVID-19,Y,Y,N,N,N,N,Y,,38.6,90,,,,PA,X-ray,2020,"Cho Ray, Vietnam",images,a.jpg,'
        "10.1/x,https://x,CC BY-NC-SA,,,,",
        "4a,,F,42,No Finding,,,,,,,,,,,,,,AP Supine,X-ray,,,images,b.png,,https://y,CC BY,,,,",
        "7,5,F,29,Pneumonia/Viral/SARS,,Y,,,,,,,,,,,,PA,X-ray,,,images,c.jpg,,,,,,,",
        "8,5,F,29,Pneumonia/Bacterial/Klebsiella,,Y,,,,,,,,,,,,AP semi erect,X-ray,,,images,k.jpeg,,,,,,,",
        "7,5,F,29,Pneumonia/Viral/SARS,,Y,,,,,,,,,,,,L,X-ray,,,images,l.jpg,,,,,,,",
        "9,5,F,29,todo,,Y,,,,,,,,,,,,PA,X-ray,,,images,t.jpg,,,,,,,",
        "9,5,F,29,Pneumonia/Viral/COVID-19,,Y,,,,,,,,,,,,Axial,CT,,,volumes,v.nii.gz,,,,,,,",
        "11,3,M,65,Pneumonia/Viral/COVID-19,,,,,,,,,,,,,,PA,X-ray,2020,,images,a.jpg,,,,,,,",
        "12,3,M,65,Tuberculosis,,,,,,,,,,,,,,PA,X-ray,2020,,images,gone.jpg,,,,,,,",
    )
    manifest = import_source("ieee8023", tmp_path)
    table = rows(manifest)
    assert table["label"].to_dict() == {
        "images/a.jpg": "covid", "images/b.png": "normal", "images/c.jpg": "virus", "images/k.jpeg": "bacterial",
    }  # fmt: skip
    first = table.loc["images/a.jpg"]
    assert first[["patient_id", "sex", "age", "offset_days", "temperature", "spo2"]].tolist() == [
        "ieee8023-2", "M", "65", "3", "38.6", "90",
    ]  # fmt: skip
    assert first[["survival", "went_icu", "intubated", "supplemental_o2", "view", "license"]].tolist() == [
        "Y", "N", "N", "Y", "PA", "CC BY-NC-SA",
    ]  # fmt: skip
    assert table.loc["images/b.png", "patient_id"] == "ieee8023-4a"
    assert manifest.found == 9
    assert sorted(manifest.quarantine["code"]) == [
        "listed-twice", "missing-file", "missing-file", "no-label", "other-view",
    ]  # fmt: skip
    kept = import_source("ieee8023", tmp_path, license_allow="noncommercial")
    assert set(kept.table["image"]) == {"images/a.jpg", "images/b.png"}
    assert kept.found == 9
    assert set(import_source("ieee8023", tmp_path, license_allow="open").table["image"]) == {"images/b.png"}


def test_cxnet(tmp_path):
    folder = "chest_xray_images/covid19"
    draw(tmp_path, f"{folder}/001.jpeg", f"{folder}/280-.jpg", f"{folder}/364.jfif", f"{folder}/899p.jpg", "docs/x.png")
    write(
        tmp_path / "metadata.csv",
        "filename,patient_id,sex,age,view,label,pcr_test,survival,location,admission_offset,symptom_offset,url",
        "280-.jpg,18,male,67,PA,COVID-19,positive,,Spain,1,,https://x",
        "364.jfif,55,male,56,,COVID-19,negative,,Spain,1,4,https://x",
        "899p.jpg,302.0,female,8,,COVID-19,,,Spain,,,https://x",
    )
    table = rows(import_source("cxnet", tmp_path))
    assert set(table["label"]) == {"covid"}
    assert len(table) == 4
    assert table.loc[f"{folder}/280-.jpg", "finding"] == "COVID-19; PCR positive; nothing abnormal on the X-ray"
    assert table.loc[f"{folder}/280-.jpg", "patient_id"] == "cxnet-18"
    assert table.loc[f"{folder}/364.jfif", ["offset_days", "sex"]].tolist() == ["4", "M"]
    assert table.loc[f"{folder}/899p.jpg", ["patient_id", "finding"]].tolist() == ["cxnet-302", "COVID-19; child"]
    assert table.loc[f"{folder}/001.jpeg", ["patient_id", "age"]].tolist() == ["", ""]


def test_hannover(tmp_path):
    draw(tmp_path, "png/b343e657.png", "png/c9280a30.png", "png/0cd9fcb6.png")
    write(
        tmp_path / "data.csv",
        "patient_id,image_id,sex,age,size,weight,admission_offset,icu_admission_offset,icu_release_offset,"
        "death_offset,modality,projection,crp_offset,crp_val,neutrophils_offset,neutrophils_val,lymphocytes_val",
        "042f06a9,b343e657,m,,,,0,0.0,4.0,,CR,ap,0.0,5.0,,,",
        "042f06a9,c9280a30,m,,,,-2,,,3.0,DX,pa,0.0,38.0,0.0,6.9,1.7",
        "00000012,0cd9fcb6,f,,,,-46,,,,CT,ap,,,,,",
    )
    manifest = import_source("hannover", tmp_path)
    table = rows(manifest)
    columns = ["patient_id", "label", "view", "sex", "offset_days", "went_icu", "survival", "license"]
    assert table.loc["png/b343e657.png", columns].tolist() == [
        "hannover-042f06a9", "covid", "AP", "M", "0", "Y", "", "CC BY 3.0",
    ]  # fmt: skip
    assert table.loc["png/c9280a30.png", ["view", "offset_days", "survival"]].tolist() == ["PA", "2", "N"]
    assert refused(manifest) == {"png/0cd9fcb6.png": "other-modality"}


def test_kermany(tmp_path):
    manifest = import_source(
        "kermany",
        draw(
            tmp_path,
            "chest_xray/train/PNEUMONIA/person123_virus_4.jpeg",
            "chest_xray/train/PNEUMONIA/person123_virus_5.jpeg",
            "chest_xray/val/PNEUMONIA/person1_bacteria_2.jpeg",
            "chest_xray/test/NORMAL/IM-0115-0001.jpeg",
            "chest_xray/train/NORMAL/NORMAL2-IM-0115-0001.jpeg",
            "chest_xray/train/PNEUMONIA/unnamed.jpeg",
        ),
    )
    table = rows(manifest)
    assert table[["label", "patient_id", "original_split"]].to_numpy().tolist() == [
        ["normal", "kermany-IM-0115", "test"],
        ["normal", "kermany-NORMAL2-IM-0115", "train"],
        ["virus", "kermany-person123", "train"],
        ["virus", "kermany-person123", "train"],
        ["bacterial", "kermany-person1", "val"],
    ]
    assert set(table["view"]) == {"AP"}
    assert refused(manifest) == {"chest_xray/train/PNEUMONIA/unnamed.jpeg": "no-label"}


def test_darkcovidnet_and_nih_name_the_same_patients(tmp_path):
    dark = import_source(
        "darkcovidnet",
        draw(
            tmp_path / "dark",
            "X-Ray Image DataSet/Covid-19/ryct.2020200034.fig2.jpeg",
            "X-Ray Image DataSet/No_findings/00001280_004.png",
            "X-Ray Image DataSet/Pneumonia/00000061_012.png",
        ),
    )
    assert dark.table[["label", "patient_id"]].to_numpy().tolist() == [
        ["covid", ""], ["normal", "nih-00001280"], ["pneumonia", "nih-00000061"],
    ]  # fmt: skip
    assert [license_class(text) for text in dark.table["license"]] == ["unknown", "open", "open"]
    draw(tmp_path / "nih", "images_001/images/00000061_012.png", "images_002/images/00001280_005.png")
    draw(tmp_path / "nih", "images_002/images/00001281_000.png")
    write(
        tmp_path / "nih" / "Data_Entry_2017_v2020.csv",
        "Image Index,Finding Labels,Follow-up #,Patient ID,Patient Age,Patient Gender,View Position,"
        "OriginalImage[Width,Height],OriginalImagePixelSpacing[x,y],",
        "00000061_012.png,Edema|Pneumonia,12,61,077Y,M,AP,2500,2048,0.168,0.168,",
        "00001280_005.png,No Finding,5,1280,411,F,PA,2500,2048,0.168,0.168,",
        "00001281_000.png,Hernia,0,1281,50,F,PA,2500,2048,0.168,0.168,",
        "00001282_000.png,Hernia,0,1282,50,F,PA,2500,2048,0.168,0.168,",
    )
    nih = import_source("nih", tmp_path / "nih")
    assert nih.table[["label", "patient_id", "age", "view"]].to_numpy().tolist() == [
        ["pneumonia", "nih-00000061", "77", "AP"],
        ["normal", "nih-00001280", "", "PA"],
        ["other", "nih-00001281", "50", "PA"],
    ]
    assert refused(nih) == {"00001282_000.png": "missing-file"}


def test_actualmed(tmp_path):
    name = "CR.1.2.840.113564.1722810170.20200318082923328940.1003000225002.png"
    draw(tmp_path, f"images/{name}", "images/DX.1.png", "images/DX.2.png")
    write(
        tmp_path / "metadata.csv",
        "patientid,offset,sex,age,finding,survival,temperature,pO2 saturation,view,modality,imagename,"
        "artifacts/distortion,notes",
        f'ANON196,,,,COVID-19,,,91,PA,X-ray,{name},,", date taken (YYYYMMDD): 20200318"',
        'ANON56,,,,No finding,,,,AP,X-ray,DX.1.png,,"Negative"',
        "ANON9,,,,,,,,PA,X-ray,DX.2.png,,Inconclusive",
    )
    manifest = import_source("actualmed", tmp_path)
    assert manifest.table[["label", "patient_id", "spo2"]].to_numpy().tolist() == [
        ["covid", "actualmed-ANON196", "91"],
        ["normal", "actualmed-ANON56", ""],
    ]
    assert refused(manifest) == {"images/DX.2.png": "no-label"}


def test_radiography(tmp_path):
    root = tmp_path / "COVID-19_Radiography_Dataset"
    draw(root, "COVID/images/COVID-1.png", "COVID/masks/COVID-1.png", "Normal/images/Normal-1.png")
    draw(root, "Viral Pneumonia/images/Viral Pneumonia-1.png", "Lung_Opacity/images/Lung_Opacity-1.png")
    for name, url in (("COVID", "https://bimcv.cipf.es"), ("Normal", "https://www.kaggle.com/rsna")):
        book = openpyxl.Workbook()
        book.active.append(["FILE NAME", "FORMAT", "SIZE", "URL"])
        book.active.append([f"{name.upper()}-1", "PNG", "256*256", url])
        book.save(root / f"{name}.metadata.xlsx")
    manifest = import_source("radiography", tmp_path)
    assert dict(zip(manifest.table["label"], manifest.table["attribution"], strict=True)) == {
        "covid": "https://bimcv.cipf.es",
        "pneumonia": "",
        "normal": "https://www.kaggle.com/rsna",
        "virus": "",
    }
    assert not manifest.table["image"].str.contains("masks").any()
    (root / "COVID.metadata.xlsx").write_bytes(b"not a workbook")
    with pytest.raises(BadManifest, match="Excel"):
        import_source("radiography", tmp_path)


def test_rsna(tmp_path):
    draw(tmp_path, "stage_2_train_images/0004cfab.png", "stage_2_train_images/00313ee0.png")
    draw(tmp_path, "stage_2_train_images/00436515.png")
    write(
        tmp_path / "stage_2_detailed_class_info.csv",
        "patientId,class",
        "0004cfab,No Lung Opacity / Not Normal",
        "00313ee0,Normal",
        "00436515,Lung Opacity",
        "00436515,Lung Opacity",
    )
    manifest = import_source("rsna", tmp_path)
    assert manifest.table["label"].tolist() == ["other", "normal", "pneumonia"]
    assert manifest.found == 3
    assert {license_class(text) for text in manifest.table["license"]} == {"noncommercial"}


def test_cxr_is_a_folder_with_our_columns(tmp_path):
    draw(tmp_path, "images/a/1.jpg")
    write(tmp_path / "metadata.csv", "image,source,label,license", "images/a/1.jpg,a,covid,CC BY 4.0")
    assert import_source("cxr", tmp_path, license_allow="open").table["source"].tolist() == ["a"]


def test_unknown_source_and_policy(tmp_path):
    with pytest.raises(UsageError, match="'imagenet'"):
        import_source("imagenet", tmp_path)
    draw(tmp_path, "chest_xray/test/NORMAL/IM-0115-0001.jpeg")
    manifest = import_source("kermany", tmp_path)
    with pytest.raises(UsageError, match="'mine'"):
        allow_licenses(manifest, "mine")


def test_every_source_is_documented():
    page = (Path(__file__).parents[3] / "docs" / "how-to" / "public-datasets.md").read_text(encoding="utf-8")
    for name in dataset_names():
        assert f"`{name}`" in page
    for source in public_datasets().values():
        assert source.home in page
