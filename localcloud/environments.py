"""The environment variables of each function, in a process that all functions share.

In AWS each function is a process with its own variables. Here ``os.environ`` has them during a call
of the function, and only in the thread of that call: functions of another stage have other values.
"""

import os
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from contextvars import ContextVar

_of_function: ContextVar[Mapping[str, str]] = ContextVar("of_function")


class _Environ(MutableMapping[str, str]):
    """``process`` is the process's own environment: changes are made there."""

    def __init__(self, process: MutableMapping[str, str]) -> None:
        self._process = process

    def _all(self) -> dict[str, str]:
        return {**self._process, **_of_function.get({})}

    def __getitem__(self, name: str) -> str:
        return self._all()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._all())

    def __len__(self) -> int:
        return len(self._all())

    def __setitem__(self, name: str, value: str) -> None:
        self._process[name] = value

    def __delitem__(self, name: str) -> None:
        del self._process[name]

    def copy(self) -> dict[str, str]:
        return self._all()


def install() -> None:
    os.environ = _Environ(os.environ)  # type: ignore[assignment]  # noqa: B003 - nothing is cleared


@contextmanager
def with_variables(variables: Mapping[str, str]) -> Iterator[None]:
    token = _of_function.set(variables)
    try:
        yield
    finally:
        _of_function.reset(token)
