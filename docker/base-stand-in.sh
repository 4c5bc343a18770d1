#!/usr/bin/env bash
# Make localhost/python:3.11-slim-bookworm from Debian's packages, for a machine that reaches no
# image registry: the official image's Debian and Python version, and about its size. As root.
set -euo pipefail

image=localhost/python:3.11-slim-bookworm
if [[ ${1:-} != --again ]] && podman image exists "$image"; then
  exit
fi
# usr-is-merged instead of usrmerge, which would bring 47 MB of perl.
mmdebstrap --quiet --variant=minbase --hook-dir=/usr/share/mmdebstrap/hooks/merged-usr \
  --include=usr-is-merged,python3,python3-venv,python-is-python3,ca-certificates,tzdata,netbase \
  --dpkgopt='path-exclude=/usr/share/doc/*' \
  --dpkgopt='path-exclude=/usr/share/locale/*' \
  --dpkgopt='path-exclude=/usr/share/man/*' \
  bookworm - | podman import --quiet - "$image"
