"""What the images are built from, checked without building."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import IN_CI, ROOT

RECIPE = ROOT / "docker"


def leave_out(root: Path, rules: str) -> subprocess.CompletedProcess[str]:
    wanted = root.parent / "rules.txt"
    wanted.write_text(rules)
    return subprocess.run(
        [sys.executable, RECIPE / "leave_out.py", root, wanted],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in ("data/s3/model.json", "data/ec2/model.json", "data/_retry.json", "a/tests/t.py"):
        path = tmp_path / "root" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("x")
    return tmp_path / "root"


def files(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file())


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    checked = subprocess.run(
        [hadolint, RECIPE / "Dockerfile"], capture_output=True, text=True, check=False
    )
    assert (checked.returncode, checked.stdout) == (0, "")


def test_what_a_list_names_is_left_out_and_exceptions_stay(tree: Path) -> None:
    done = leave_out(tree, "data/* except s3 _retry.json  # other services\n**/tests\n")
    assert done.returncode == 0, done.stderr
    assert files(tree) == ["data/_retry.json", "data/s3/model.json"]


def test_a_line_that_matches_nothing_fails_the_build_and_is_named(tree: Path) -> None:
    done = leave_out(tree, "?data/none\ndata/gone*\n")
    assert done.returncode == 1
    assert "nothing matches data/gone*; remove the line or correct it" in done.stderr
    assert len(files(tree)) == 4


def test_a_base_with_another_python_than_the_locks_is_refused(tmp_path: Path) -> None:
    def check(version: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "python-version.txt"
        file.write_text(f"{version}\n")
        return subprocess.run(
            [sys.executable, RECIPE / "check_python.py", file],
            capture_output=True,
            text=True,
            check=False,
        )

    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert check(this).returncode == 0
    refused = check("3.9")
    assert refused.returncode == 1
    assert f"has Python {this} and the locks are for 3.9" in refused.stderr


def test_the_base_image_and_the_locks_are_for_one_python() -> None:
    version = (RECIPE / "python-version.txt").read_text().strip()
    assert (RECIPE / "base-image.txt").read_text().startswith(f"python:{version}-")


def test_no_digest_of_the_base_image_is_made_up_and_the_check_names_the_next_step(
    tmp_path: Path,
) -> None:
    layout = tmp_path / "layout"
    try:
        subprocess.run(["skopeo", "--version"], capture_output=True, check=True)
    except FileNotFoundError:
        if IN_CI:
            raise
        pytest.skip("no skopeo: Debian's package of that name")
    empty = tmp_path / "empty.tar"
    subprocess.run(["tar", "cf", empty, "--files-from", "/dev/null"], check=True)
    subprocess.run(["skopeo", "copy", f"tarball:{empty}", f"oci:{layout}:base"], check=True)
    pinned = tmp_path / "base-image.txt"
    pinned.write_text(f"{layout}:base\n")

    def base_image(order: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RECIPE / "base-image.sh", order],
            env={"PATH": "/usr/bin:/bin", "BASE_IMAGE_FILE": str(pinned), "TRANSPORT": "oci:"},
            capture_output=True,
            text=True,
            check=False,
        )

    without = base_image("check")
    assert without.returncode == 1
    assert "has no digest: run docker/base-image.sh pin" in without.stderr

    assert base_image("pin").returncode == 0
    [blob] = [
        path.name
        for path in (layout / "blobs" / "sha256").iterdir()
        if b'"schemaVersion"' in path.read_bytes()
    ]
    assert pinned.read_text() == f"{layout}:base@sha256:{blob}\n"
    assert base_image("check").returncode == 0

    pinned.write_text(f"{layout}:base@sha256:{'0' * 64}\n")
    moved = base_image("check")
    assert moved.returncode == 1
    assert "pin it again" in moved.stderr
