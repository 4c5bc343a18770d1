"""Fail the build unless this is the Python that the locks are made for.

    python check_python.py FILE

FILE holds the version, such as 3.11. With another one pip takes other wheels than the tests ran
with, or finds none with a hash of the lock.
"""

import sys
from pathlib import Path


def main() -> int:
    wanted = Path(sys.argv[1]).read_text(encoding="ascii").strip()
    found = f"{sys.version_info.major}.{sys.version_info.minor}"
    if found == wanted:
        return 0
    print(
        f"error: the base image has Python {found} and the locks are for {wanted}: take a base"
        " with that Python (BASE_IMAGE), or change docker/python-version.txt and make lock",
        file=sys.stderr,
    )
    return 1


if __name__ == "__main__":
    sys.exit(main())
