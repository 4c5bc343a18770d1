"""Make what a job on EMR Serverless needs: the entry point, our packages, their dependencies.

    python -m infra.emr_package [--architecture ARM64] [--upload s3://BUCKET/code/emr]

writes to build/emr/

    transform.py          the entry point: spark_jobs/transform.py as it is
    pipeline.zip          our packages, for --py-files
    dependencies.tar.gz   what the driver imports, for --archives; executors run no Python

Spark itself is the cluster's. The wheels are those of requirements/transformer-spark.txt, for the
Python 3.11 and glibc 2.34 of Amazon Linux 2023, not of this machine: no container is needed.
"""

import argparse
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

PROJECT_ROOT: Final = Path(__file__).resolve().parent.parent
BUILD: Final = PROJECT_ROOT / "build" / "emr"
PACKAGES: Final = ("contract", "dashboard", "delivery", "spark_jobs")
SUFFIXES: Final = {".py", ".json", ".properties", ".html", ".css", ".js"}
ENTRY_POINT: Final = PROJECT_ROOT / "spark_jobs" / "transform.py"
REQUIREMENTS: Final = PROJECT_ROOT / "requirements" / "transformer-spark.txt"
THE_CLUSTERS_OWN: Final = ("pyspark", "py4j")
PLATFORMS: Final = {"X86_64": "x86_64-manylinux_2_34", "ARM64": "aarch64-manylinux_2_34"}
PYTHON: Final = "3.11"


class PackageError(RuntimeError):
    """The package could not be made; the installer's own message is above."""


def build(folder: Path, architecture: str) -> list[Path]:
    """Write the three files and return them.

    Raises:
        PackageError: a dependency can't be had for that platform.
    """
    folder.mkdir(parents=True, exist_ok=True)
    made = [folder / name for name in ("transform.py", "pipeline.zip", "dependencies.tar.gz")]
    entry_point, packages, dependencies = made
    shutil.copyfile(ENTRY_POINT, entry_point)
    zip_packages(packages)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        install(Path(scratch, "site"), architecture)
        with tarfile.open(dependencies, "w:gz", compresslevel=1) as archive:
            archive.add(Path(scratch, "site"), arcname=".")
    return made


def zip_packages(path: Path) -> None:
    """Zip our packages. The same sources give the same bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        for package in PACKAGES:
            for source in sorted((PROJECT_ROOT / package).rglob("*")):
                if source.is_file() and source.suffix in SUFFIXES:
                    name = source.relative_to(PROJECT_ROOT).as_posix()
                    archive.writestr(zipfile.ZipInfo(name), source.read_bytes())


def install(folder: Path, architecture: str) -> None:
    """Install the locked wheels for the cluster's platform, without what no job uses."""
    folder.mkdir(parents=True)
    left_out = folder / "left-out.txt"
    left_out.write_text("\n".join(THE_CLUSTERS_OWN))
    _run(
        *(Path(sys.prefix, "bin", "uv"), "pip", "install", "--quiet", "--target", folder),
        *("--python-version", PYTHON, "--python-platform", PLATFORMS[architecture]),
        *("--only-binary", ":all:", "--no-deps", "--require-hashes"),
        *("--requirements", REQUIREMENTS, "--excludes", left_out),
    )
    left_out.unlink()
    lists = PROJECT_ROOT / "docker"
    _run(sys.executable, lists / "leave_out.py", folder, lists / "leave-out" / "python.txt")


def _run(*command: str | Path) -> None:
    # What it prints is progress: standard output belongs to the files that were made.
    done = subprocess.run(command, check=False, stdout=sys.stderr)  # noqa: S603
    if done.returncode:
        raise PackageError(f"{Path(command[0]).name}: exit code {done.returncode}")


def upload(files: Sequence[Path], target: str) -> None:
    """Put the files below ``s3://BUCKET/PREFIX``."""
    import boto3

    bucket, _, prefix = target.removeprefix("s3://").partition("/")
    for path in files:
        boto3.client("s3").upload_file(str(path), bucket, f"{prefix.rstrip('/')}/{path.name}")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("--architecture", choices=sorted(PLATFORMS), default="X86_64")
    parser.add_argument("--upload", metavar="s3://BUCKET/PREFIX")
    options = parser.parse_args(arguments)
    try:
        made = build(BUILD, options.architecture)
    except PackageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    if options.upload:
        upload(made, options.upload)
    for path in made:
        print(f"{path.stat().st_size / 1e6:7.1f} MB  {path.relative_to(PROJECT_ROOT)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
