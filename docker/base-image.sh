#!/usr/bin/env bash
# The base image's digest, which is looked up at a release and never written by hand.
#
#   docker/base-image.sh pin     write the digest that the tag has now to docker/base-image.txt
#   docker/base-image.sh check   fail unless that file has a digest, and it is the tag's
#
# BASE_IMAGE_FILE names another file; TRANSPORT is skopeo's (docker://, or oci: for a folder).
set -euo pipefail
cd "$(dirname "$0")/.."

file=${BASE_IMAGE_FILE:-docker/base-image.txt}
pinned=$(<"$file")
tag=${pinned%%@*}

# Of the manifest list as it is stored: one digest for every architecture.
now=$(skopeo inspect --raw "${TRANSPORT:-docker://}$tag" | sha256sum | cut -d' ' -f1)
case ${1:-} in
  pin)
    echo "$tag@sha256:$now" >"$file"
    echo "$file: $tag@sha256:$now"
    ;;
  check)
    if [[ $pinned != *@sha256:* ]]; then
      echo "error: $file: $pinned has no digest: run docker/base-image.sh pin and commit it" >&2
      exit 1
    elif [[ $pinned != "$tag@sha256:$now" ]]; then
      echo "error: $file: $pinned is not what $tag is now (sha256:$now): pin it again, test, commit" >&2
      exit 1
    fi
    ;;
  *)
    echo "usage: docker/base-image.sh pin|check" >&2
    exit 2
    ;;
esac
