"""Write the class archive (AppCDS) that halves the start time of a local Spark.

    python -m spark_jobs.appcds samples/incoming

runs the transform once on a delivery, and the JVM writes the classes that it loaded to the archive.
The archive is for one Java and one Spark. If it exists, nothing is done.
"""

import sys
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from delivery.bad_row_limit import BadRowLimit
from delivery.landed_files import files_in
from spark_jobs import transform
from spark_jobs.compute import compute
from spark_jobs.engine import jvm, sessions
from spark_jobs.errors import EngineError


def main(arguments: Sequence[str] | None = None) -> int:
    folders = sys.argv[1:] if arguments is None else arguments
    java = jvm.find_java()
    if java is None:
        print(f"no Java {jvm.JAVA_NEEDED} found: no class archive needed")
        return 0
    archive = jvm.archive_path(java)
    if not archive.is_file():
        archive.parent.mkdir(parents=True, exist_ok=True)
        unfinished = archive.with_suffix(".part")
        with tempfile.TemporaryDirectory(prefix="appcds-") as scratch:
            read = transform.read_and_stage(
                files_in(Path(folders[0])),
                Path(scratch),
                BadRowLimit(),
                today=datetime.now(UTC).date(),
            )
            try:
                with sessions.jvm_session(small=True, archive=unfinished) as spark:
                    compute(spark, read.staged)
            except EngineError as error:
                print(f"no class archive: {error}", file=sys.stderr)
                return 1
        unfinished.rename(archive)
    print(f"class archive: {archive.name}, {archive.stat().st_size / 1e6:.0f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
