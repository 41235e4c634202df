#!/usr/bin/env bash
# DarkCovidNet's protocol on its own 1,124 pictures: 5 folds by image, as published, and by patient, with the original's
# network, with the recipe of the network that ships, with an earlier one on the lungs, and fine-tuned. The figures of
# docs/results/darkcovidnet. The same command again resumes a stopped run.
# usage: runs/darkcovidnet.sh FOLDER_OF_THE_RADIOGRAPHS [RUNS_FOLDER]
set -euo pipefail
data=$1 runs=${2:-runs/darkcovidnet}
study() {  # NAME, options of covid-xray crossval
  local out="$runs/$1" group resume
  for group in image patient; do
    resume=(); [ -e "$out/$group/folds.csv" ] && resume=(--resume)
    covid-xray crossval --data "$data" --where source=darkcovidnet --duplicates docs/results/cxr-duplicates.csv \
      -o "$out/$group" --folds 5 --group "$group" "${@:2}" "${resume[@]}"
  done
  covid-xray compare "$out/image" "$out/patient" -o "$out/comparison.json"
}
# The original's network at 128 pixels; he_normal, since the set is small, and small steps: with 0.001 it stayed at chance.
study vgg --epochs 15 --set image_size=128 --set batch_size=16 --set initializer=he_normal --set learning_rate=0.0003 \
  --set early_stopping_patience=6 --set precision=mixed_bfloat16
# The recipe of the network that ships, and the earlier one on the lungs; the lung network also says what lies outside them.
study lite0 --config runs/default.yaml --set lungs=src/covid_xray/bundle/default
study lite0-lungs --model efficientnet_lite0 --set weights=imagenet --set train_from=probabilities --set epochs=0 \
  --set probe=0.001 --set sampling=balanced --set class_weights=false --set augmentation.rotation=10 \
  --set augmentation.zoom=0.12 --set augmentation.shift=0.06 --set appearance.probability=0.35 --set storage=float16 \
  --set precision=float32 --set crop=lungs --set lungs=src/covid_xray/bundle/default
# The same network fine-tuned from a head that was fitted first: what is best here, and was worst on hospitals left out.
study lite0-tuned --model efficientnet_lite0 --set weights=imagenet --set probe=0.01 --set epochs=12 --set batch_size=16 \
  --set optimizer=adamw --set learning_rate=0.00015 --set weight_decay=0.02 --set schedule=cosine --set average_decay=0.97 \
  --set label_smoothing=0.05 --set dropout=0.2 --set precision=float32
python scripts/publish_crossval.py darkcovidnet "$runs/lite0-tuned" "$runs/vgg" "$runs/lite0" "$runs/lite0-lungs" --command "runs/darkcovidnet.sh FOLDER"
