#!/usr/bin/env bash
# DarkCovidNet's protocol on its own 1,124 pictures: 5 folds by image, as published, and by patient, with the original's
# network and with the recipe of the network that ships, on the whole picture and on the lungs. The figures of docs/results/darkcovidnet. A stopped run goes on where
# it was when the same command is given again.
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
# The original's network at 160 pixels; he_normal, since the set is small.
study vgg --epochs 18 --set image_size=160 --set batch_size=16 --set initializer=he_normal --set early_stopping_patience=6
# The recipe of the network that ships, and the same on the lungs: the lung network also says what lies outside them.
study lite0 --config runs/default.yaml --set lungs=src/covid_xray/bundle/default
study lite0-lungs --config runs/default.yaml --set crop=lungs --set lungs=src/covid_xray/bundle/default
# The same network fine-tuned from its sixth block on, seven epochs: what is best here, and was worst on hospitals left out.
study lite0-tuned --model efficientnet_lite0 --set weights=imagenet --set train_from=block06 --set epochs=7 --set batch_size=32 \
  --set optimizer=adamw --set learning_rate=0.0004 --set weight_decay=0.02 --set schedule=cosine --set average_decay=0.95 \
  --set class_weights=false --set label_smoothing=0.05 --set precision=float32
python scripts/publish_crossval.py darkcovidnet "$runs/vgg" "$runs/lite0" "$runs/lite0-lungs" "$runs/lite0-tuned" --command "runs/darkcovidnet.sh FOLDER"
