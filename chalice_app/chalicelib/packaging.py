"""What ``chalice package`` can write for this app."""

from collections.abc import Mapping, Sequence
from itertools import pairwise


def require_terraform(arguments: Sequence[str], env: Mapping[str, str]) -> None:
    """End ``chalice package`` with one line if it is to write CloudFormation, its default.

    CloudFormation sets the notifications of a bucket only where it makes the bucket, which
    infra/template.yaml does. Chalice has an exception for it, and prints its traceback.
    """
    if "AWS_CHALICE_CLI_MODE" not in env or _command(arguments) != "package":
        return
    if ("--pkg-format", "terraform") in pairwise(arguments) or (
        "--pkg-format=terraform" in arguments
    ):
        return
    raise SystemExit(
        "error: chalice package cannot write this app as CloudFormation, which has no events of a "
        "bucket that another template makes: run chalice package --pkg-format terraform OUT"
    )


def _command(arguments: Sequence[str]) -> str:
    """Return the first word that is no option, nor the value of the one that takes a value."""
    words = (word for before, word in pairwise(arguments) if before != "--project-dir")
    return next((word for word in words if not word.startswith("-")), "")
