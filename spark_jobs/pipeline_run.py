"""The transform of one pipeline run: accepted rows into the ledger, KPIs of changed dates out.

Reads ``runs/<run>/verdict.json`` and the Parquet files it names, commits their rows to the ledger,
computes the KPIs of every date that changed since the last published version, publishes them, and
says in ``runs/<run>/published.json`` what it has done. The claimed CSV files are moved to
processed/ by the state machine's finishing step, after this has ended well.

Whatever dies in between, running it again ends in the same state: the commit is made once, and
the dates of a commit that was not published are pending until somebody publishes them.
"""

import json
import logging
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

import duckdb
import pyarrow as pa
import tenacity
from botocore.exceptions import ClientError

from contract.keys import DatasetName, RunKeys
from contract.manifest import Manifest
from contract.typed_json import DocumentError
from dashboard import publishing as dashboard
from delivery.container_log import Stages

from .compute import Kpis, compute, stage
from .engine import sessions
from .errors import (
    LedgerConflictError,
    LedgerError,
    PublishError,
    RunError,
    SettingsError,
    SupersededError,
)
from .ledger.merge import DeliveredFile, Delivery, merge, read
from .ledger.tables import Bucket, Changes, Ledger, Snapshot
from .publish.fence import Publication
from .publish.tables import Difference, Stamp, Tables, differences, publish, stored, to_days

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient
    from mypy_boto3_s3 import S3Client
    from pyspark.sql import SparkSession

log = logging.getLogger(__name__)

_SCHEME: Final = "s3://"
# Parquet of the ledger that is worked on at a time: about 10 million lines, 1 GB in DuckDB.
_CHUNK_BYTES: Final = 128 * 1024**2


def tables_from_env(environ: Mapping[str, str]) -> Tables:
    """Raise SettingsError when a table's name is not set."""
    for name in ("CATEGORY_KPIS_TABLE", "ORDER_KPIS_TABLE", "RUNS_TABLE"):
        if not environ.get(name):
            raise SettingsError(f"{name} is not set: the task definition names the table to write")
    return Tables(
        category_kpis=environ["CATEGORY_KPIS_TABLE"],
        order_kpis=environ["ORDER_KPIS_TABLE"],
        runs=environ["RUNS_TABLE"],
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class RunStore:
    """What earlier stages left in the bucket for one run."""

    s3: "S3Client"
    bucket: str
    manifest: Manifest

    @classmethod
    def open(cls, uri: str, s3: "S3Client") -> Self:
        """Open the run of ``s3://bucket/runs/<run>/manifest.json``.

        Raises:
            RunError: there is no manifest.
        """
        bucket, key = split_uri(uri)
        try:
            manifest = Manifest.from_json(_get(s3, bucket, key))
        except DocumentError as error:
            raise RunError(f"{uri}: {error}") from error
        return cls(s3=s3, bucket=bucket, manifest=manifest)

    def ledger(self, prefix: str, scratch: Path, *, first_version: int = 1) -> Ledger:
        store = Bucket(self.s3, self.bucket, prefix, scratch)
        return Ledger(store, first_version=first_version)

    def delivery(self, folder: Path) -> Delivery:
        """Fetch the accepted rows and the held lines, and tell which files they came from.

        Raises:
            RunError: the run has no verdict, or a file that it names is gone.
        """
        verdict = json.loads(_get(self.s3, self.bucket, self._keys.verdict))
        versions = {file.key: file for file in self.manifest.files}
        rows: dict[DatasetName, list[Path]] = {}
        for kind in ("accepted", "held"):
            for dataset, key in verdict[kind].items():
                path = folder / f"{kind}_{dataset}.parquet"
                path.write_bytes(_get(self.s3, self.bucket, key))
                rows.setdefault(dataset, []).append(path)
        return Delivery(
            run_id=self.manifest.run_id,
            rows=rows,
            files=[
                DeliveredFile(
                    label=file["name"],
                    name=versions[file["key"]].name,
                    dataset=file["dataset"],
                    sha256=file["sha256"],
                    landed_at=versions[file["key"]].landed_at,
                    size=versions[file["key"]].size,
                )
                for file in verdict["files"]
                if file["status"] != "rejected"
            ],
        )

    def report(self, document: Mapping[str, Any]) -> None:
        self.s3.put_object(
            Bucket=self.bucket,
            Key=self._keys.published,
            Body=json.dumps(document, indent=1).encode(),
            ContentType="application/json",
        )

    @property
    def _keys(self) -> RunKeys:
        return RunKeys(self.manifest.run_id)


@dataclass(slots=True)
class _Counts:
    items: int = 0
    deleted: int = 0
    superseded: list[str] = field(default_factory=list)


def transform_run(
    store: RunStore,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    choice: sessions.Choice,
    *,
    now: datetime,
    scratch: Path,
) -> None:
    """Commit a run's rows, and publish the KPIs of all dates that are not published yet.

    Raises:
        TransformError: see :mod:`spark_jobs.errors`.
    """
    manifest = store.manifest
    publication = Publication(dynamodb, tables.runs)
    before = publication.read()
    rebuild = manifest.task == "rebuild"
    prefix = RunKeys(manifest.run_id).rebuilt_ledger if rebuild else before.ledger
    current = store.ledger(before.ledger, scratch)
    ledger = (
        store.ledger(prefix, scratch, first_version=_next_version(current, before.publishing))
        if rebuild
        else current
    )
    stages = Stages()
    counts = _Counts()
    size = sum(file.size for file in manifest.files)
    with sessions.starting(choice.engine, input_bytes=size, run_id=manifest.run_id) as session:
        with stages.stage("commit"):
            snapshot, dates = _commit(store, ledger, now, scratch)
        dates |= ledger.dates_since(0 if rebuild else before.published)
        if rebuild:
            # What only the ledger before this one had is deleted.
            dates |= current.head().dates
        stamp = Stamp(run_id=manifest.run_id, ledger_version=snapshot.version, computed_at=now)
        update = dashboard.DashboardUpdate(
            task=manifest.task,
            ledger=prefix,
            previous_version=before.published,
            fresh=rebuild,
            **stamp.attributes(),
        )
        try:
            publication.begin(prefix, snapshot.version, fresh=rebuild)
            fence = publication.still_ours(prefix, snapshot.version)
            for some in _chunks(snapshot, dates):
                results = _computed(snapshot, some, session, scratch, stages)
                with stages.stage("publish"):
                    days = to_days(*results, some, stamp)
                    done = publish(days, dynamodb, tables, stamp, fence)
                    update.add(days)
                counts.items += done.items
                counts.deleted += done.deleted
                counts.superseded += done.superseded
            if counts.superseded:
                publication.begin(prefix, snapshot.version)
                raise PublishError(
                    f"{tables.order_kpis}: {counts.superseded[0]} and {len(counts.superseded) - 1}"
                    f" other dates have items newer than ledger version {snapshot.version}, which"
                    f" is the newest that {tables.runs} knows of; restore {tables.runs} from the"
                    " same time as the KPI tables, then replay the run"
                )
            publication.conclude(prefix, snapshot.version)
            with stages.stage("dashboard"):
                published = dashboard.PublishedKpis(
                    dates=lambda: snapshot.dates,
                    dates_since=ledger.dates_since,
                    days=lambda dates: stored(dates, dynamodb, tables),
                )
                dashboard.publish(update, published, store.s3, store.bucket)
        except SupersededError as error:
            log.warning("%s; its own run publishes these dates", error)
            counts.superseded = sorted(day.isoformat() for day in dates)
    log.info(
        "%(dates)d dates: %(items)d items written, %(deleted)d deleted",
        {"dates": len(dates), "items": counts.items, "deleted": counts.deleted},
    )
    store.report(
        {
            "run_id": manifest.run_id,
            "task": manifest.task,
            "engine": choice.engine,
            "ledger": prefix,
            "ledger_version": snapshot.version,
            "previous_version": before.published,
            "dates": sorted(day.isoformat() for day in dates),
            "items": counts.items,
            "deleted": counts.deleted,
            "superseded": counts.superseded,
            **_summary(ledger, manifest.run_id),
            "bytes": size,
            "seconds": stages.seconds,
        }
    )
    ledger.tidy()


def preview_run(
    store: RunStore,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    choice: sessions.Choice,
    *,
    now: datetime,
    scratch: Path,
) -> list[Difference]:
    """Return what :func:`transform_run` would change in DynamoDB; nothing is written anywhere."""
    before = Publication(dynamodb, tables.runs).read()
    ledger = store.ledger(before.ledger, scratch)
    base = ledger.head()
    stages = Stages()
    with sessions.starting(choice.engine, input_bytes=0) as session:
        changes = None
        dates = ledger.dates_since(before.published) | _asked_for(store.manifest)
        if store.manifest.files:
            with stages.stage("merge"):
                changes = merge(base, store.delivery(scratch), scratch)
            dates |= changes.dates
        stamp = Stamp(run_id=store.manifest.run_id, ledger_version=base.version, computed_at=now)
        found: list[Difference] = []
        for some in _chunks(base, dates):
            results = _computed(base, some, session, scratch, stages, changes)
            found += differences(to_days(*results, some, stamp), dynamodb, tables)
    return found


def open_ledger(place: str, scratch: Path) -> Ledger:
    """Open the ledger in a folder, or under ``s3://BUCKET/PREFIX``."""
    if not place.startswith(_SCHEME):
        return Ledger.in_folder(Path(place))
    import boto3

    bucket, prefix = split_uri(place)
    return Ledger(Bucket(boto3.client("s3"), bucket, prefix, scratch))


def kpis_of(
    snapshot: Snapshot,
    session: Callable[[], "SparkSession"],
    scratch: Path,
    start: date | None,
    end: date | None,
) -> Kpis:
    """Compute both tables of a ledger's dates from ``start`` to ``end``, both included.

    Raises:
        LedgerError: it has no order in that time.
    """
    dates = [
        day for day in snapshot.dates if (not start or start <= day) and (not end or day <= end)
    ]
    if not dates:
        raise LedgerError(
            f"ledger version {snapshot.version}: no orders between {start or 'its beginning'} and"
            f" {end or 'its end'}; look at another time, or deliver files first"
        )
    stages = Stages()
    parts = [
        _computed(snapshot, some, session, scratch, stages) for some in _chunks(snapshot, dates)
    ]
    category, daily = map(pa.concat_tables, zip(*parts, strict=True))
    return Kpis(category.sort_by([("category", "ascending"), ("order_date", "ascending")]), daily)


def _commit(
    store: RunStore, ledger: Ledger, now: datetime, scratch: Path
) -> tuple[Snapshot, frozenset[date]]:
    """Bring a run's rows into the ledger, once; return the head and the dates it is asked for."""
    manifest = store.manifest
    if manifest.task == "recompute":
        return ledger.head(), _asked_for(manifest)
    if (done := ledger.commit_of(manifest.run_id)) is not None:
        log.info(
            "ledger version %(ledger_version)d has this run's rows already",
            {"ledger_version": done.version},
        )
        return ledger.head(), done.dates
    delivery = store.delivery(scratch)
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(LedgerConflictError),
        wait=tenacity.wait_random(0, 1),
        stop=tenacity.stop_after_attempt(10),
        reraise=True,
    ):
        with attempt:
            base = ledger.head()
            changes = merge(base, delivery, scratch)
            if "files" not in changes.tables:
                # A replay: the very versions that earlier runs have brought.
                earlier = map(ledger.commit_of, changes.summary["known_from"])
                return base, frozenset().union(*(commit.dates for commit in earlier if commit))
            snapshot = ledger.commit(base, changes, run_id=manifest.run_id, now=now)
    log.info(
        "ledger version %(ledger_version)d: %(new_rows)s new rows",
        {"ledger_version": snapshot.version, "new_rows": changes.summary["new_rows"]},
    )
    return snapshot, changes.dates


def _computed(
    snapshot: Snapshot,
    dates: Collection[date],
    session: Callable[[], "SparkSession"],
    scratch: Path,
    stages: Stages,
    changes: Changes | None = None,
) -> Kpis:
    with (
        stages.stage("read"),
        duckdb.connect(config={"temp_directory": str(scratch)}) as connection,
    ):
        read(connection, snapshot, dates, changes)
        staged = stage(connection, scratch)
    with stages.stage("compute"):
        return compute(session(), staged)


def _chunks(snapshot: Snapshot, dates: Collection[date]) -> Iterator[list[date]]:
    """Split dates so that what is read of the ledger at a time is bounded."""
    sizes: dict[date | None, int] = {}
    for table in ("orders", "order_lines"):
        for file in snapshot.files(table):
            sizes[file.order_date] = sizes.get(file.order_date, 0) + file.size
    chunk: list[date] = []
    size = 0
    for day in sorted(dates):
        size += sizes.get(day, 0)
        if chunk and size > _CHUNK_BYTES:
            yield chunk
            chunk, size = [], sizes.get(day, 0)
        chunk.append(day)
    if chunk:
        yield chunk


def _asked_for(manifest: Manifest) -> frozenset[date]:
    """Return the dates of a recompute: all of its range, so that what is gone is deleted."""
    if manifest.start is None or manifest.end is None:
        return frozenset()
    days = (manifest.end - manifest.start).days + 1
    return frozenset(manifest.start + timedelta(days=n) for n in range(days))


def _next_version(ledger: Ledger, publishing: int) -> int:
    return max(ledger.head().version, publishing) + 1


def _summary(ledger: Ledger, run_id: str) -> Mapping[str, Any]:
    commit = ledger.commit_of(run_id)
    if commit is not None:
        return commit.summary
    return {
        "new_files": 0,
        "duplicate_files": [],
        "known_from": [],
        "new_rows": {},
        "readmitted_lines": 0,
        "held_lines": 0,
    }


def split_uri(uri: str) -> tuple[str, str]:
    """Return bucket and key of ``s3://BUCKET/KEY``.

    Raises:
        RunError: it is not of that form.
    """
    bucket, _, key = uri.removeprefix(_SCHEME).partition("/")
    if not uri.startswith(_SCHEME) or not key:
        raise RunError(f"{uri}: not of the form s3://BUCKET/KEY")
    return bucket, key


def _get(s3: "S3Client", bucket: str, key: str) -> bytes:
    try:
        return s3.get_object(Bucket=bucket, Key=key)["Body"].read()
    except ClientError as error:
        raise RunError(
            f"s3://{bucket}/{key}: {_reason(error)}; has the validator of this run ended well?"
        ) from error


def _reason(error: ClientError) -> str:
    details: Mapping[str, Any] = error.response.get("Error", {})
    return str(details.get("Message") or details.get("Code") or error)
