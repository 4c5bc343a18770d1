"""``make deploy`` builds and pushes the images by itself, to a real registry."""

import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests

from infra.template import PROJECT_ROOT
from localcloud.cloud import LocalCloud
from localcloud.containers import Containers
from localcloud.registry import MANIFESTS
from tests.conftest import IN_CI
from tests.docker.conftest import SAIL, VALIDATOR, wait_for

TOKEN = "123456789012-auth-token"  # noqa: S105 - what moto gives anybody
# What htpasswd -B makes of user AWS and the token that the embedded ECR hands out.
PASSWORDS = "AWS:$2b$05$abcdefghijklmnopqrstuu/4ofrUS75HrKu6f.iuRo0I/XlrmpqlC\n"
CONFIGURATION = """
version: 0.1
log: {{level: error, accesslog: {{disabled: true}}}}
storage: {{filesystem: {{rootdirectory: {folder}/data}}}}
http: {{addr: "{address}"}}
auth: {{htpasswd: {{realm: test, path: {folder}/htpasswd}}}}
"""


@contextmanager
def registry(folder: Path) -> Iterator[str]:
    """Run a registry that lets in nobody without the token; give its host:port."""
    program = shutil.which("docker-registry")
    if program is None:
        if IN_CI:
            raise FileNotFoundError("docker-registry")
        pytest.skip("no docker-registry: Debian's package of that name")
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{listener.getsockname()[1]}"
    (folder / "htpasswd").write_text(PASSWORDS)
    (folder / "config.yml").write_text(CONFIGURATION.format(folder=folder, address=address))
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "serve", folder / "config.yml"], stdout=log, stderr=log
        )
    try:
        wait_for(lambda: answers(address), 20)
        yield address
    finally:
        process.terminate()
        process.wait(20)


def answers(address: str) -> bool:
    try:
        # Whoever says nobody in particular is told to log in.
        return requests.get(f"http://{address}/v2/", timeout=5).status_code == 401
    except requests.ConnectionError:
        return False


def pushed(address: str, image: str) -> str | None:
    """Return the digest of the configuration that an image in the registry has."""
    repository, _, tag = image.partition(":")
    found = requests.get(
        f"http://{address}/v2/{repository}/manifests/{tag}",
        headers={"Accept": MANIFESTS},
        auth=("AWS", TOKEN),
        timeout=10,
    )
    return None if found.status_code == 404 else found.json()["config"]["digest"]


def test_images_are_built_and_pushed_once_for_each_tag(
    containers: Containers, tmp_path: Path
) -> None:
    """One test, because each step needs the one before."""
    with (
        registry(tmp_path) as address,
        LocalCloud.start(tmp_path / "cloud", registry=address) as cloud,
    ):
        logins = tmp_path / "logins.json"
        environment = {**os.environ, **cloud.environment, "REGISTRY_AUTH_FILE": str(logins)}

        def deploy(tag: str) -> subprocess.CompletedProcess[str]:
            done = subprocess.run(
                [
                    *(sys.executable, "-m", "infra.deploy", "up", "--stage=dev"),
                    *("--parameter=Engine=sail", f"--parameter=ImageTag={tag}"),
                ],
                cwd=PROJECT_ROOT,
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=500,
            )
            assert done.returncode == 0, done.stderr
            assert TOKEN not in done.stdout + done.stderr
            return done

        def local(image: str) -> str:
            asked = subprocess.run(
                [containers.program, "image", "inspect", "--format={{.Id}}", image],
                capture_output=True,
                text=True,
                check=True,
            )
            return f"sha256:{asked.stdout.strip().removeprefix('sha256:')}"

        assert pushed(address, "ecommerce-validator:one") is None
        deploy("one")
        first = pushed(address, "ecommerce-validator:one")
        assert first == local(VALIDATOR)
        assert pushed(address, "ecommerce-transformer:one") == local(SAIL)
        # What was needed to push has been forgotten.
        assert address not in logins.read_text()

        again = deploy("one")
        assert "image to build" not in again.stdout
        assert "the images" not in again.stderr

        # On a stack that runs, an image is there before a task definition names it.
        later = deploy("two").stderr
        assert later.index("pushing the images") < later.index("changing the stack")
        assert pushed(address, "ecommerce-validator:two") == local(VALIDATOR)
        assert pushed(address, "ecommerce-validator:one") == first

        for name in ("one", "two"):
            for image, repository in ((VALIDATOR, "validator"), (SAIL, "transformer")):
                remote = f"{address}/ecommerce-{repository}:{name}"
                subprocess.run([containers.program, "rmi", remote], check=True, capture_output=True)
                assert local(image)
