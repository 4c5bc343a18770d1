"""A release pins the base image by its digest, and the build asks the registry for that digest."""

import hashlib
import os
import re
import shutil
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import requests

from tests.conftest import IN_CI, ROOT
from tests.docker.conftest import wait_for

CONFIGURATION = """
version: 0.1
log: {{level: error}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "{address}"}}
"""


@dataclass(frozen=True)
class Base:
    """An image without any file, in a registry of its own, as the tag ``name``."""

    name: str
    digest: str
    log: Path

    def requested(self) -> list[str]:
        """Return the tags and digests of manifests that clients have requested, in order."""
        return re.findall(r'"(?:GET|HEAD) /v2/\S+/manifests/(\S+) HTTP', self.log.read_text())


@pytest.fixture
def base(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Base]:
    missing = [name for name in ("docker-registry", "skopeo") if shutil.which(name) is None]
    if missing:
        if IN_CI:
            raise FileNotFoundError(missing[0])
        pytest.skip(f"no {missing[0]}: Debian's package of that name")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    (tmp_path / "config.yml").write_text(CONFIGURATION.format(folder=tmp_path, address=address))
    # Docker takes a registry on this machine without TLS by itself.
    registries = tmp_path / "registries.conf"
    registries.write_text(f'[[registry]]\nlocation = "{address}"\ninsecure = true\n')
    monkeypatch.setenv("CONTAINERS_REGISTRIES_CONF", str(registries))
    log = tmp_path / "log"
    with log.open("wb") as output:
        registry = subprocess.Popen(
            ["docker-registry", "serve", tmp_path / "config.yml"], stdout=output, stderr=output
        )
    try:
        wait_for(lambda: answers(address), 20)
        name = f"{address}/python:3.11-slim-bookworm"
        yield Base(name=name, digest=push(tmp_path, name), log=log)
    finally:
        registry.terminate()
        registry.wait(20)


def answers(address: str) -> bool:
    try:
        return requests.get(f"http://{address}/v2/", timeout=5).ok
    except requests.ConnectionError:
        return False


def push(folder: Path, name: str) -> str:
    empty = folder / "empty.tar"
    subprocess.run(["tar", "cf", empty, "--files-from", "/dev/null"], check=True)
    copy = ["skopeo", "copy", "--dest-tls-verify=false", f"tarball:{empty}", f"docker://{name}"]
    subprocess.run(copy, check=True)
    inspect = ["skopeo", "inspect", "--tls-verify=false", "--raw", f"docker://{name}"]
    shown = subprocess.run(inspect, check=True, capture_output=True)
    return f"sha256:{hashlib.sha256(shown.stdout).hexdigest()}"


def build_on(pinned: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a copy of docker/build.sh beside a docker/base-image.txt with this text."""
    for name in ("docker", "requirements"):
        shutil.copytree(ROOT / name, folder / name, dirs_exist_ok=True)
    shutil.copy(ROOT / "pyproject.toml", folder)
    (folder / "docker/base-image.txt").write_text(f"{pinned}\n")
    return subprocess.run(
        [folder / "docker/build.sh", "validator"],
        env={name: value for name, value in os.environ.items() if name != "BASE_IMAGE"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_a_pinned_digest_is_what_the_build_gets_from_the_registry(
    base: Base, tmp_path: Path
) -> None:
    before = len(base.requested())
    pinned = f"{base.name}@{base.digest}"
    build = build_on(pinned, tmp_path / "release")
    try:
        # The base has no shell, so the build ends at its first command.
        assert "apt-get update" in build.stdout + build.stderr
        assert set(base.requested()[before:]) == {base.digest}
    finally:
        remove(pinned)


def test_a_digest_that_the_registry_does_not_have_ends_the_build(
    base: Base, tmp_path: Path
) -> None:
    before, unknown = len(base.requested()), f"sha256:{'0' * 64}"
    build = build_on(f"{base.name}@{unknown}", tmp_path / "release")
    assert build.returncode != 0
    assert unknown in build.stdout + build.stderr
    assert set(base.requested()[before:]) == {unknown}


def remove(image: str) -> None:
    """Remove what the build has pulled, and the container of the command that failed."""
    name, _, digest = image.partition("@")
    reference = f"{name.rsplit(':', 1)[0]}@{digest}"
    for program in ("buildah", "docker"):
        if shutil.which(program):
            subprocess.run([program, "rmi", "--force", reference], capture_output=True, check=False)
