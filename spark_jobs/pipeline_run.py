"""The transform of one pipeline run: accepted rows into the ledger, KPIs of changed dates out.

A run has four steps. It commits the accepted rows to the ledger, plans which dates to publish,
publishes their KPIs, and reports in ``runs/<run>/published.json`` what it did. The state machine's
finishing step moves the claimed CSV files to processed/ after the transform has succeeded.

A run that dies at any point can be started again and ends in the same state: its rows are
committed once, and the dates of a commit stay pending until a run has published them.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING

import tenacity

from contract.keys import RunKeys
from contract.manifest import Manifest
from contract.published import PublishedReport
from delivery.container_log import Phases

from .compute import Kpis
from .engine import sessions
from .errors import LedgerConflictError, PublishError, SupersededError
from .ledger.ledger import Ledger
from .ledger.merge import merge
from .ledger.snapshot import CommitSummary, Snapshot
from .ledger_kpis import kpis_by_part
from .publish.fence import Fence, State
from .publish.tables import Day, Difference, Stamp, Tables, differences, publish, to_days
from .run_store import RunStore

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

log = logging.getLogger(__name__)

OnPublished = Callable[[Sequence[Day]], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgers:
    """The ledger that DynamoDB shows, and the one that the run commits to.

    They are the same but for a rebuild, which fills a new one under ``prefix``.
    """

    prefix: str
    published: Ledger
    target: Ledger


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """The ledger's head after the commit step, and the dates that the run itself changes."""

    head: Snapshot
    dates: frozenset[date]
    summary: CommitSummary


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The dates to publish, and the ledger version to compute them from."""

    stamp: Stamp
    ledger: str
    head: Snapshot
    dates: frozenset[date]
    is_rebuild: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How many KPI items were written and deleted, and whether a newer run took over.

    ``refused`` has the reason of each date that DynamoDB does not take.
    """

    items: int
    deleted: int
    is_superseded: bool
    refused: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class TransformedRun:
    """A run whose KPIs are in DynamoDB, or are left to a newer run if ``is_superseded``."""

    report: PublishedReport
    is_superseded: bool
    ledger: Ledger
    head: Snapshot
    phases: Phases


def transform_run(
    store: RunStore,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    choice: sessions.Choice,
    *,
    now: datetime,
    on_published: OnPublished,
) -> TransformedRun:
    """Commit a run's rows, and publish the KPIs of all dates that are not published yet.

    ``on_published`` receives the items of some dates at a time, in ascending order of dates, once
    DynamoDB has them.

    Raises:
        TransformError: see :mod:`spark_jobs.errors`.
    """
    manifest = store.manifest
    before = Fence(dynamodb, tables.runs).read()
    phases = Phases()
    with sessions.starting(
        choice.engine, input_bytes=_size(manifest), run_id=manifest.run_id
    ) as session:
        ledgers = _ledgers(store, before)
        with phases.timed("commit"):
            committed = _commit(store, ledgers.target, now)
        plan = _plan(manifest, ledgers, committed, before, now)
        parts = kpis_by_part(plan.head, plan.dates, session, store.scratch, phases)
        outcome = _publish(plan, parts, store, dynamodb, tables, phases, on_published)
    log.info(
        "%(dates)d dates: %(items)d items written, %(deleted)d deleted",
        {"dates": len(plan.dates), "items": outcome.items, "deleted": outcome.deleted},
    )
    return TransformedRun(
        report=_report(manifest, choice, plan, committed.summary, before, outcome, phases),
        is_superseded=outcome.is_superseded,
        ledger=ledgers.target,
        head=plan.head,
        phases=phases,
    )


def finish(store: RunStore, run: TransformedRun) -> None:
    """Write the report, and delete the files that no kept version of the ledger needs."""
    # The seconds of what was done since the KPIs were published are in the report, too.
    store.write(replace(run.report, seconds=run.phases.seconds))
    run.ledger.tidy()


def preview_run(
    store: RunStore,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    choice: sessions.Choice,
    *,
    now: datetime,
) -> list[Difference]:
    """Return what :func:`transform_run` would change in DynamoDB; nothing is written anywhere."""
    before = Fence(dynamodb, tables.runs).read()
    ledger = store.ledger(before.ledger)
    head = ledger.head()
    phases = Phases()
    with sessions.starting(choice.engine, input_bytes=0) as session:
        changes = None
        dates = ledger.dates_since(before.published) | _requested(store.manifest)
        if store.manifest.files:
            with phases.timed("merge"):
                changes = merge(head, store.delivery(), store.scratch)
            dates |= changes.dates
        stamp = Stamp(run_id=store.manifest.run_id, ledger_version=head.version, computed_at=now)
        found: list[Difference] = []
        for part, kpis in kpis_by_part(head, dates, session, store.scratch, phases, changes):
            found += differences(to_days(*kpis, part, stamp), dynamodb, tables)
    return found


def _ledgers(store: RunStore, before: State) -> Ledgers:
    published = store.ledger(before.ledger)
    if store.manifest.task != "rebuild":
        return Ledgers(prefix=before.ledger, published=published, target=published)
    prefix = RunKeys(store.manifest.run_id).rebuilt_ledger
    # Versions only grow, also from one ledger to the next.
    first_version = max(published.head().version, before.publishing) + 1
    target = store.ledger(prefix, first_version=first_version)
    return Ledgers(prefix=prefix, published=published, target=target)


def _commit(store: RunStore, ledger: Ledger, now: datetime) -> Committed:
    """Add a run's rows to the ledger, unless an earlier attempt has."""
    manifest = store.manifest
    if manifest.task == "recompute":
        return Committed(head=ledger.head(), dates=_requested(manifest), summary=CommitSummary())
    if (done := ledger.commit_of(manifest.run_id)) is not None:
        log.info(
            "ledger version %(ledger_version)d has this run's rows already",
            {"ledger_version": done.version},
        )
        return Committed(head=ledger.head(), dates=done.dates, summary=done.summary)
    delivery = store.delivery()
    for attempt in tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(LedgerConflictError),
        wait=tenacity.wait_random(0, 1),
        stop=tenacity.stop_after_attempt(10),
        reraise=True,
    ):
        with attempt:
            base = ledger.head()
            changes = merge(base, delivery, store.scratch)
            if "files" not in changes.tables:
                # A replay: earlier runs have committed exactly these file versions.
                earlier = map(ledger.commit_of, changes.summary.known_from)
                dates = (commit.dates for commit in earlier if commit)
                return Committed(
                    head=base,
                    dates=frozenset[date]().union(*dates),
                    summary=CommitSummary(
                        delivery_held_lines=changes.summary.delivery_held_lines,
                        delivery_held_reasons=changes.summary.delivery_held_reasons,
                    ),
                )
            head = ledger.commit(base, changes, run_id=manifest.run_id, now=now)
    log.info(
        "ledger version %(ledger_version)d: %(new_rows)s new rows",
        {"ledger_version": head.version, "new_rows": changes.summary.new_rows},
    )
    return Committed(head=head, dates=changes.dates, summary=changes.summary)


def _plan(
    manifest: Manifest, ledgers: Ledgers, committed: Committed, before: State, now: datetime
) -> Plan:
    """Add to the run's own dates those that earlier runs committed and did not publish."""
    is_rebuild = manifest.task == "rebuild"
    pending = ledgers.target.dates_since(0 if is_rebuild else before.published)
    # The items of dates that only the previous ledger has are deleted.
    replaced = ledgers.published.head().dates if is_rebuild else frozenset[date]()
    return Plan(
        stamp=Stamp(run_id=manifest.run_id, ledger_version=committed.head.version, computed_at=now),
        ledger=ledgers.prefix,
        head=committed.head,
        dates=committed.dates | pending | replaced,
        is_rebuild=is_rebuild,
    )


def _publish(
    plan: Plan,
    parts: Iterable[tuple[Sequence[date], Kpis]],
    store: RunStore,
    dynamodb: "DynamoDBClient",
    tables: Tables,
    phases: Phases,
    on_published: OnPublished,
) -> Outcome:
    """Write the KPIs of the planned dates, each part as it is computed, unless a newer run does."""
    fence = Fence(dynamodb, tables.runs)
    version = plan.head.version
    items = deleted = 0
    newer: list[str] = []
    refused: dict[str, str] = {}
    try:
        fence.acquire(plan.ledger, version, is_new_ledger=plan.is_rebuild)
        # Not before: a rebuilt ledger is the one in use from here on.
        store.write_known_ids(plan.head, plan.ledger)
        condition = fence.condition(plan.ledger, version)
        for dates, kpis in parts:
            with phases.timed("publish"):
                days = to_days(*kpis, dates, plan.stamp)
                done = publish(days, dynamodb, tables, plan.stamp, condition)
                on_published([day for day in days if day.order_date not in done.refused])
            items += done.items
            deleted += done.deleted
            newer += done.superseded
            refused |= done.refused
        if newer:
            fence.acquire(plan.ledger, version)
            raise PublishError(
                f"{tables.order_kpis}: {newer[0]} and {len(newer) - 1} other dates have items newer"
                f" than ledger version {version}, which is the newest that {tables.runs} has;"
                f" restore {tables.runs} from the same time as the KPI tables, then replay the run"
            )
        fence.mark_published(plan.ledger, version)
    except SupersededError as error:
        log.warning("%s; the newer run publishes these dates", error)
        return Outcome(items=items, deleted=deleted, is_superseded=True, refused=refused)
    for day, reason in refused.items():
        log.warning("%s is not published, its KPIs are as before: %s", day, reason)
    return Outcome(items=items, deleted=deleted, is_superseded=False, refused=refused)


def _report(
    manifest: Manifest,
    choice: sessions.Choice,
    plan: Plan,
    summary: CommitSummary,
    before: State,
    outcome: Outcome,
    phases: Phases,
) -> PublishedReport:
    dates = tuple(sorted(plan.dates))
    return PublishedReport(
        run_id=manifest.run_id,
        task=manifest.task,
        engine=choice.engine,
        ledger=plan.ledger,
        ledger_version=plan.head.version,
        previous_version=before.published,
        dates=dates,
        items=outcome.items,
        deleted=outcome.deleted,
        superseded=dates if outcome.is_superseded else (),
        **asdict(summary),
        unpublished_dates=outcome.refused,
        bytes=_size(manifest),
        seconds=dict(phases.seconds),
    )


def _size(manifest: Manifest) -> int:
    return sum(file.size for file in manifest.files)


def _requested(manifest: Manifest) -> frozenset[date]:
    """Return all dates of a recompute's range: those without orders now may still have items."""
    if manifest.start is None or manifest.end is None:
        return frozenset()
    days = (manifest.end - manifest.start).days + 1
    return frozenset(manifest.start + timedelta(days=n) for n in range(days))
