#!/usr/bin/env bash
# Packages of npm that only tests need: the reader of segmentations that the OHIF viewer uses, and a validator of FHIR
# R4. Installs them to build/npm, without running their scripts, unless they are there.
set -euo pipefail
cd "$(dirname "$0")/.."
packages=(@babel/runtime@7 @cornerstonejs/adapters@5.14 @cornerstonejs/core@5.14 @cornerstonejs/tools@5.14 dcmjs@0.52 fhir@4.12)
[ -d build/npm/node_modules/@cornerstonejs/adapters ] && [ -d build/npm/node_modules/fhir ] && exit 0
command -v npm >/dev/null || { echo "npm is not installed: tests that need it are skipped" >&2; exit 0; }
mkdir -p build/npm
npm install --prefix build/npm --no-audit --no-fund --ignore-scripts --loglevel=error "${packages[@]}"
