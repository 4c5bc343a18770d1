#!/bin/sh
# Install a locked requirements file into a virtual environment, and trim it by lists of
# docker/leave-out: one layer, so that what is trimmed is nowhere.
#
#     install.sh VENV REQUIREMENTS [LIST…]
set -eu
venv=$1
requirements=$2
shift 2
packages=$(echo "$venv"/lib/python3*/site-packages)

# Both are optional secrets of the build: how this machine reaches its package index.
if [ -s /run/secrets/ca.pem ]; then
  export PIP_CERT=/run/secrets/ca.pem
fi
# No build isolation: it would fetch a setuptools that no lock names.
/opt/build/bin/python -m pip install --quiet --disable-pip-version-check --no-compile --no-deps \
  --no-build-isolation --require-hashes --ignore-installed --prefix "$venv" \
  --requirement "/build/requirements/$requirements.txt"

if [ $# -eq 0 ]; then
  exit
fi
for list in "$@"; do
  python /build/leave_out.py "$packages" "/build/leave-out/$list.txt"
done
# Wheels repaired by auditwheel (*.libs) do not survive it.
find "$packages" -name '*.so*' -type f ! -path '*.libs/*' -exec strip --strip-unneeded {} +
# The root is read-only when it runs: what is not compiled now is compiled at every start.
"$venv/bin/python" -m compileall -q --invalidation-mode unchecked-hash "$packages"
