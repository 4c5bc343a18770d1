#!/usr/bin/env bash
# Write build/sbom/<image>.spdx.json, what each image is made of, with syft.
set -euo pipefail
cd "$(dirname "$0")/.."

syft=${SYFT:-.venv/bin/syft}
export SYFT_CHECK_FOR_APP_UPDATE=false
mkdir -p build/sbom
for image in ecommerce-{validator,transformer-spark,transformer-sail}; do
  scan=("$syft" scan --quiet --source-name "$image" --output "spdx-json=build/sbom/$image.spdx.json")
  if docker info >/dev/null 2>&1; then
    "${scan[@]}" "docker:$image:local"
  elif ((EUID == 0)); then
    "${scan[@]}" "dir:$(podman image mount "$image:local")"
    podman image unmount "$image:local" >/dev/null
  else # only in a user namespace can an image be mounted
    exec podman unshare "$0"
  fi
done
