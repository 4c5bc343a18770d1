"""Run a command and measure it with all its children: wall time, CPU time, peak memory."""

import os
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_SHORTEST_PAUSE: Final = 0.01
# Adding up a process's pages holds its memory map for milliseconds: look seldom enough that
# this costs at most 1/30 of the time.
_PAUSE_PER_LOOK: Final = 30
_SHOWN_ERROR_LINES: Final = 20


class CommandError(RuntimeError):
    """The measured command failed; the message has the end of its output."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run of a command. CPU is user and system time of it and the children it waited for.

    ``peak_mb`` is the most memory of the whole tree at one moment (the sum of PSS, so that
    shared pages count once), or of its largest process where that is more: a peak between two
    looks is seen there. Without /proc it is the largest process alone, this one included.
    """

    wall: float
    cpu: float
    peak_mb: float


def run(command: Sequence[str], environment: Mapping[str, str]) -> Run:
    """Run a command to its end.

    Raises:
        CommandError: it exited with anything but 0.
    """
    started = time.monotonic()
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=dict(environment),
    )
    output: list[bytes] = []
    reader = threading.Thread(target=_drain, args=(process, output), daemon=True)
    reader.start()
    watch = _Watch(process.pid)
    watch.start()
    # Not process.wait(): only wait4 tells what this child alone used.
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.monotonic() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    tree_mb = watch.end()
    reader.join()
    if process.returncode != 0:
        last = b"".join(output).decode(errors="replace").splitlines()[-_SHOWN_ERROR_LINES:]
        raise CommandError(
            f"{' '.join(command)}: exit code {process.returncode}; its last lines:\n"
            + "\n".join(last)
        )
    return Run(
        wall=wall,
        cpu=usage.ru_utime + usage.ru_stime,
        # Linux's ru_maxrss begins with what the parent had when it forked, and VmHWM does not.
        peak_mb=tree_mb if _PROC.is_dir() else usage.ru_maxrss / 1024**2,
    )


def _drain(process: subprocess.Popen[bytes], output: list[bytes]) -> None:
    if process.stdout is not None:
        with process.stdout:
            output.extend(process.stdout)


class _Watch(threading.Thread):
    """Adds up the memory of a process and its descendants, again and again."""

    def __init__(self, root: int) -> None:
        super().__init__(daemon=True)
        self._root = root
        self._over = threading.Event()
        self._peak_kb = 0

    def run(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._over.wait(pause):
            began = time.thread_time()
            processes = list(_tree(self._root))
            together = sum(_kb(process, "smaps_rollup", "Pss:") for process in processes)
            largest = max(_kb(process, "status", "VmHWM:") for process in processes)
            self._peak_kb = max(self._peak_kb, together, largest)
            pause = max(_SHORTEST_PAUSE, _PAUSE_PER_LOOK * (time.thread_time() - began))

    def end(self) -> float:
        """Stop looking and return the peak in MB."""
        self._over.set()
        self.join()
        return self._peak_kb / 1024


def _tree(root: int) -> Iterator[int]:
    yield root
    try:
        threads = list((_PROC / str(root) / "task").iterdir())
    except OSError:  # it has ended, or there is no /proc
        return
    for thread in threads:
        try:
            children = (thread / "children").read_text().split()
        except OSError:
            continue
        for child in children:
            yield from _tree(int(child))


def _kb(process: int, file: str, field: str) -> int:
    """Return a field of a process's file in /proc; 0 when it has ended."""
    try:
        text = (_PROC / str(process) / file).read_text()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(field)), 0)
