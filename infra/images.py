"""The tasks' images in the stack's repositories: built and pushed, unless their tag is there.

A tag is a commit's and cannot move, so an image whose tag is there is never built again.
"""

import base64
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

from .template import PROJECT_ROOT, load

_BUILD: Final = PROJECT_ROOT / "docker/build.sh"
# A container engine's name of what the template calls its architecture.
_PLATFORMS: Final = {"X86_64": "amd64", "ARM64": "arm64"}
_MACHINES: Final = {"x86_64": "X86_64", "aarch64": "ARM64", "arm64": "ARM64"}


class ImageError(RuntimeError):
    """An image could not be built or pushed; the message says what to do."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """One target of docker/Dockerfile, and the repository and tag that it is pushed to."""

    target: str
    repository: str
    tag: str

    @property
    def local(self) -> str:
        """What docker/build.sh calls it."""
        return f"ecommerce-{self.target}:local"

    def __str__(self) -> str:
        return f"{self.local} as {self.repository}:{self.tag}"


def wanted(parameters: Mapping[str, str]) -> tuple[Image, ...]:
    """Return the images that a stack with these parameters runs."""
    transformer = "transformer-sail" if parameters["Engine"] == "sail" else "transformer-spark"
    resources = load()["Resources"]
    return tuple(
        Image(
            target=target,
            repository=resources[resource]["Properties"]["RepositoryName"]["Fn::Sub"].replace(
                "${NameSuffix}", parameters["NameSuffix"]
            ),
            tag=parameters["ImageTag"],
        )
        for target, resource in (
            ("validator", "ValidatorRepository"),
            (transformer, "TransformerRepository"),
        )
    )


def missing(ecr: Any, images: Iterable[Image]) -> tuple[Image, ...]:
    """Return those that are not in their repository, or whose repository is not there yet."""
    return tuple(image for image in images if not _is_there(ecr, image))


def _is_there(ecr: Any, image: Image) -> bool:
    try:
        ecr.describe_images(repositoryName=image.repository, imageIds=[{"imageTag": image.tag}])
    except (ecr.exceptions.ImageNotFoundException, ecr.exceptions.RepositoryNotFoundException):
        return False
    return True


@dataclass(frozen=True, slots=True)
class Engine:
    """``program`` is docker or podman: the commands that are used here are the same in both."""

    program: str

    @classmethod
    def find(cls) -> Self:
        """Return docker where its engine answers, else podman, as docker/build.sh does.

        Raises:
            ImageError: neither is here.
        """
        for program, question in (("docker", "info"), ("podman", "version")):
            if shutil.which(program) and _run(program, question).returncode == 0:
                return cls(program)
        raise ImageError(
            "images: neither a Docker engine nor podman is here: install one, or push the images"
            " from elsewhere and leave them out here (IMAGES=no)"
        )

    def build(self, images: Sequence[Image], architecture: str) -> None:
        """Build the images for ``architecture``, X86_64 or ARM64; progress goes to stderr."""
        environment = dict(os.environ)
        if _MACHINES.get(platform.machine()) != architecture:
            environment["PLATFORM"] = f"linux/{_PLATFORMS[architecture]}"
        built = subprocess.run(  # noqa: S603 - this project's own script
            [_BUILD, *(image.target for image in images)],
            env=environment,
            stdout=sys.stderr,
            check=False,
        )
        if built.returncode:
            raise ImageError(
                f"docker/build.sh failed with exit code {built.returncode}; its output says why."
                f" For {architecture} it needs such a machine, or an engine that emulates one"
            )
        for image in images:
            made = self._command("image", "inspect", "--format={{.Architecture}}", image.local)
            if made.strip() != _PLATFORMS[architecture]:
                raise ImageError(
                    f"{image.local} is for {made.strip()} and the stack for {architecture}:"
                    " deploy with the other Architecture, or from such a machine"
                )

    def push(self, ecr: Any, images: Iterable[Image]) -> None:
        """Log in to the account's registry, push, and log out."""
        [granted] = ecr.get_authorization_token()["authorizationData"]
        user, _, password = base64.b64decode(granted["authorizationToken"]).decode().partition(":")
        scheme, _, registry = granted["proxyEndpoint"].partition("://")
        # A registry without TLS is one on this machine, which docker takes as it is.
        plain = ["--tls-verify=false"] if scheme == "http" and self.program == "podman" else []
        # The token goes through stdin: other users of a machine can read a command's arguments.
        login = ("login", *plain, f"--username={user}", "--password-stdin", registry)
        self._command(*login, text=password)
        try:
            for image in images:
                remote = f"{registry}/{image.repository}:{image.tag}"
                self._command("tag", image.local, remote)
                self._command("push", *plain, remote)
        finally:
            self._command("logout", registry)

    def _command(self, *arguments: str, text: str | None = None) -> str:
        done = _run(self.program, *arguments, text=text)
        if done.returncode:
            raise ImageError(f"{self.program} {arguments[0]}: {done.stderr.strip()}")
        return done.stdout


def _run(*command: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - docker or podman, found by name
        command, input=text, capture_output=True, text=True, check=False
    )
