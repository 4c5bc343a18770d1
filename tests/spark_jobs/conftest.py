"""The cluster and the shops that tests of this folder share."""

import multiprocessing
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import pytest

from spark_jobs.engine import jvm
from tests.conftest import IN_CI
from tests.spark_jobs import shop as shops
from tests.spark_jobs.shop import Shop, Transform
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


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with shops.aws() as endpoint:
        yield endpoint


@pytest.fixture
def shop(endpoint: str) -> Shop:
    return Shop.open(endpoint)


@pytest.fixture(scope="module")
def sail() -> Iterator[Transform]:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(max_workers=1, mp_context=spawn) as process:

        def run(shop: Shop, *arguments: str) -> int:
            options = [*arguments, "--engine", "sail"]
            return process.submit(shops.transform, options, shop.environment).result(timeout=120)

        yield run
