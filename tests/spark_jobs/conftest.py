"""The cluster that tests of this folder share."""

from collections.abc import Iterator

import pytest

from spark_jobs import jvm
from tests.conftest import IN_CI
from tests.spark_jobs.standalone import Cluster


@pytest.fixture(scope="session")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    """One master and two workers."""
    java = jvm.find_java()
    if java is None:
        assert not IN_CI, "CI must have Java 17"
        pytest.skip("no Java 17: no Spark cluster")
    started = Cluster(tmp_path_factory.mktemp("cluster"), java)
    try:
        started.start(workers=2)
        yield started
    finally:
        started.stop()
