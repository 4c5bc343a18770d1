"""Remove what an image does not need: ``leave_out.py ROOT LIST``.

A line of the list is a glob below ROOT, optionally ``except`` and the names to keep, and a
comment with the reason. A glob that matches nothing is an error, so that a list does not
outlive what it speaks of; one that starts with ``?`` may match nothing.
"""

import shutil
import sys
from pathlib import Path


def main(root: Path, wanted: Path) -> int:
    unmatched = []
    for line in wanted.read_text(encoding="utf-8").splitlines():
        rule = line.partition("#")[0].strip()
        if not rule:
            continue
        pattern, _, kept = rule.removeprefix("?").partition(" except ")
        found = [path for path in root.glob(pattern.strip()) if path.name not in kept.split()]
        if not found and not rule.startswith("?"):
            unmatched.append(rule)
        size = sum(remove(path) for path in found if path.is_symlink() or path.exists())
        if size > 500_000:
            print(f"{size / 1e6:7.1f} MB  {pattern}")
    for rule in unmatched:
        print(f"{wanted}: nothing matches {rule}; remove the line or correct it", file=sys.stderr)
    return 1 if unmatched else 0


def remove(path: Path) -> int:
    """Remove a file or folder and return how many bytes it held."""
    if path.is_symlink() or path.is_file():
        size = path.lstat().st_size
        path.unlink()
        return size
    size = sum(part.lstat().st_size for part in path.rglob("*") if part.is_file())
    shutil.rmtree(path)
    return size


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
