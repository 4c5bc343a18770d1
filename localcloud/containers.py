"""Runs a task as a container of its image, with docker or podman, like Fargate.

User, volumes, memory, root file system and capabilities are those of the task definition. The
container uses the host's network, because the embedded AWS listens on 127.0.0.1 only.
"""

import os
import shutil
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

# The variables with which a task calls the embedded AWS. Its region is in its own definition.
AWS_VARIABLES: Final = (
    "AWS_ENDPOINT_URL",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "AWS_EC2_METADATA_DISABLED",
)
_FLAGS: Final = (
    "--rm",
    "--network=host",
    "--security-opt=no-new-privileges",
    # podman's default limits need CAP_SYS_RESOURCE.
    "--ulimit=nofile=4096:4096",
    "--ulimit=nproc=4096:4096",
)
# By default podman adds a writable /tmp to a read-only root, and mounts the volumes that the image
# declares.
_PODMAN_FLAGS: Final = ("--read-only-tmpfs=false", "--image-volume=ignore")


class RuntimeMissingError(RuntimeError):
    """Containers cannot run; the message says what is missing."""


@dataclass(frozen=True, slots=True)
class Containers:
    """``program`` is docker or podman."""

    program: str

    @classmethod
    def find(cls) -> Self:
        """Return docker if its engine answers, otherwise podman.

        Raises:
            RuntimeMissingError: neither is installed.
        """
        for program, question in (("docker", "info"), ("podman", "version")):
            if shutil.which(program) and _succeeds(program, question):
                return cls(program)
        raise RuntimeMissingError(
            "containers: there is no Docker engine and no podman; install one, or leave"
            " RUNTIME=containers out"
        )

    def require(self, images: Iterable[str]) -> None:
        """Raises RuntimeMissingError when an image has not been built."""
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
        """Return the command line of a container; the values of variables come from its process.

        ``definition`` is a task's container definition, ``options`` are options of the program.
        """
        variables = [
            *environment,
            *(variable for variable in AWS_VARIABLES if variable in os.environ),
        ]
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
        """Kill a container, if it is running."""
        _succeeds(self.program, "rm", "--force", name)


def _as_defined(definition: Mapping[str, Any]) -> list[str]:
    """Return the flags of a container definition."""
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
