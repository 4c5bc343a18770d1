#!/usr/bin/env bash
# Build the images ecommerce-{validator,transformer-spark,transformer-sail}:local, or those named.
#
#   docker/build.sh [TARGET…]
#
# With Docker where its engine runs, else with buildah. BASE_IMAGE is docker/base-image.txt's
# unless set; BASE_IMAGE=stand-in makes a base from Debian's packages where no registry can be
# reached. PLATFORM=linux/arm64 builds for another machine than this one. How pip reaches its
# index is taken from this machine and stays out of the images.
set -euo pipefail
cd "$(dirname "$0")/.."

targets=("$@")
if ((${#targets[@]} == 0)); then
  targets=(validator transformer-spark transformer-sail)
fi

if docker info >/dev/null 2>&1; then
  build=(docker build)
elif command -v buildah >/dev/null; then
  # chroot: needs no more rights than root has in a container.
  build=(buildah bud --layers --isolation chroot --ignorefile docker/Dockerfile.dockerignore)
else
  echo "error: neither a Docker engine nor buildah is here: install one (Debian: buildah podman)" >&2
  exit 2
fi

base=${BASE_IMAGE:-$(<docker/base-image.txt)}
if [[ $base == stand-in ]]; then
  docker/base-stand-in.sh
  base=localhost/python:3.11-slim-bookworm
fi

secrets=$(mktemp -d)
trap 'rm -rf "$secrets"' EXIT
{
  echo "[global]"
  # ":env:.name='value'" and "global.name='value'"; the environment comes first and wins. Other
  # settings, such as a constraint, name files that are not in the build.
  (python3 -m pip config list 2>/dev/null || true) |
    sed -nE "s/^[^.]*\\.((extra-)?index-url|trusted-host|proxy|(default-)?timeout|retries)='(.*)'$/\\1 = \\4/p" |
    sort --stable --unique --key=1,1
} >"$secrets/pip.conf"
authorities=${PIP_CERT:-${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}}
cat "$authorities" >"$secrets/ca.pem" 2>/dev/null || true

if [[ -n ${PLATFORM:-} ]]; then
  build+=(--platform "$PLATFORM")
fi
version=$(sed -n 's/^version = "\(.*\)"/\1/p' pyproject.toml)
for target in "${targets[@]}"; do
  "${build[@]}" --file docker/Dockerfile --target "$target" --tag "ecommerce-$target:local" \
    --build-arg "BASE_IMAGE=$base" \
    --build-arg "VERSION=$version" \
    --build-arg "REVISION=$(git rev-parse HEAD 2>/dev/null || echo unknown)" \
    --build-arg "CREATED=$(git log -1 --format=%cI 2>/dev/null || date -u +%FT%TZ)" \
    --secret "id=pip.conf,src=$secrets/pip.conf" \
    --secret "id=ca.pem,src=$secrets/ca.pem" \
    .
done
