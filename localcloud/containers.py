"""A task as a container of its image, with docker or podman: what Fargate does with it.

User, volumes, memory, root file system and capabilities are those of its task definition. The
network is the host's, because the embedded AWS listens on 127.0.0.1 only.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

# How a program in a container finds the embedded AWS.
_AWS: Final = (
    "AWS_ENDPOINT_URL",
    "AWS_REGION",
    "AWS_DEFAULT_REGION",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_EC2_METADATA_DISABLED",
)
_FLAGS: Final = (
    "--rm",
    "--network=host",
    "--security-opt=no-new-privileges",
    # podman asks for limits that a root without CAP_SYS_RESOURCE may not set.
    "--ulimit=nofile=4096:4096",
    "--ulimit=nproc=4096:4096",
)
# Else podman puts a writable /tmp into a read-only root, and a volume of its own wherever the
# image declares one.
_PODMAN_FLAGS: Final = ("--read-only-tmpfs=false", "--image-volume=ignore")


class RuntimeMissingError(RuntimeError):
    """Containers can't be run; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Containers:
    """``program`` is docker or podman."""

    program: str

    @classmethod
    def find(cls) -> Self:
        """Return docker where its engine answers, else podman.

        Raises:
            RuntimeMissingError: neither is here.
        """
        for program, question in (("docker", "info"), ("podman", "version")):
            if shutil.which(program) and _succeeds(program, question):
                return cls(program)
        raise RuntimeMissingError(
            "containers: neither a Docker engine nor podman is here; install one, or leave"
            " RUNTIME=containers out"
        )

    def insist_on(self, images: Iterable[str]) -> None:
        """Raise RuntimeMissingError when an image has not been built."""
        for image in images:
            if not _succeeds(self.program, "image", "inspect", image):
                raise RuntimeMissingError(f"{image}: no such image; build it with make images")

    def run(
        self,
        name: str,
        definition: Mapping[str, Any],
        command: Sequence[str],
        environment: Mapping[str, str],
        *options: str,
    ) -> list[str]:
        """Return the command line of a container; its values are taken from its own environment.

        ``definition`` is a task's container definition, ``options`` are more of the program's.
        """
        variables = [*environment, *(variable for variable in _AWS if variable in os.environ)]
        return [
            self.program,
            "run",
            f"--name={name}",
            *_FLAGS,
            *(_PODMAN_FLAGS if self.program == "podman" else ()),
            *_as_defined(definition),
            *(f"--env={variable}" for variable in dict.fromkeys(variables)),
            *options,
            definition["image"],
            *command,
        ]

    def remove(self, name: str) -> None:
        """End a container at once, if it still runs."""
        _succeeds(self.program, "rm", "--force", name)


def _as_defined(definition: Mapping[str, Any]) -> list[str]:
    """Return the flags for what a container definition says."""
    dropped = definition.get("linuxParameters", {}).get("capabilities", {}).get("drop", [])
    flags = [f"--cap-drop={capability}" for capability in dropped]
    # An unnamed volume gets content, owner and mode of the image's folder, as on Fargate.
    flags += [f"--volume={mount['containerPath']}" for mount in definition.get("mountPoints", [])]
    if definition.get("readonlyRootFilesystem"):
        flags.append("--read-only")
    if "user" in definition:
        flags.append(f"--user={definition['user']}")
    if "memory" in definition:
        flags.append(f"--memory={definition['memory']}m")
    return flags


def _succeeds(*command: str) -> bool:
    return subprocess.run(command, capture_output=True, check=False).returncode == 0  # noqa: S603
