"""OpenLineage run events, https://openlineage.io/spec/2-0-2/OpenLineage.json, as plain dicts.

A run emits one START and one of COMPLETE, FAIL and ABORT. Its inputs are the object versions
that it has claimed, its outputs the ledger's tables and the two tables of KPIs.
"""

import uuid
from collections.abc import Mapping
from datetime import UTC
from typing import Any, Final, Literal

from .landing import PROCESSED, DatasetName
from .manifest import FileVersion
from .runs import Run, State
from .settings import Settings

EventType = Literal["START", "COMPLETE", "FAIL", "ABORT"]

PRODUCER: Final = "urn:shop-kpi-pipeline:chalice_app"
_SPEC: Final = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent"
_FACETS: Final = "https://openlineage.io/spec/facets"
_SCHEMAS: Final = {
    "errorMessage": f"{_FACETS}/1-0-1/ErrorMessageRunFacet.json#/$defs/ErrorMessageRunFacet",
    "tags": f"{_FACETS}/1-0-0/TagsRunFacet.json#/$defs/TagsRunFacet",
    "jobType": f"{_FACETS}/2-0-4/JobTypeJobFacet.json#/$defs/JobTypeJobFacet",
    "version": (
        f"{_FACETS}/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
    ),
    "inputStatistics": (
        f"{_FACETS}/1-0-0/InputStatisticsInputDatasetFacet.json"
        "#/$defs/InputStatisticsInputDatasetFacet"
    ),
    "outputStatistics": (
        f"{_FACETS}/1-0-2/OutputStatisticsOutputDatasetFacet.json"
        "#/$defs/OutputStatisticsOutputDatasetFacet"
    ),
}
_EVENT_OF: Final[Mapping[State, EventType]] = {
    "RUNNING": "START",
    "SUCCEEDED": "COMPLETE",
    "FAILED": "FAIL",
    "TIMED_OUT": "FAIL",
    "ABORTED": "ABORT",
}
# The ledger's tables, and the dataset whose rows each holds.
_LEDGER_TABLES: Final[Mapping[str, DatasetName]] = {
    "orders": "orders",
    "order_lines": "order_items",
    "products": "products",
}


def event(run: Run, settings: Settings) -> dict[str, Any]:
    """Return START for a run that goes on, else the event of its end."""
    moment = run.started_at if run.ended_at is None else run.ended_at
    partition, region, account = settings.place
    return {
        "eventType": _EVENT_OF[run.state],
        "eventTime": moment.astimezone(UTC).isoformat(timespec="milliseconds"),
        "producer": PRODUCER,
        "schemaURL": _SPEC,
        "run": {
            # OpenLineage wants a UUID; the execution's ARN makes it the same in every event.
            "runId": str(uuid.uuid5(uuid.NAMESPACE_URL, settings.execution_arn(run.run_id))),
            "facets": _run_facets(run),
        },
        "job": {
            "namespace": f"arn:{partition}:states:{region}:{account}",
            "name": settings.state_machine_arn.rsplit(":", 1)[-1],
            "facets": {
                "jobType": _facet(
                    "jobType",
                    processingType="BATCH",
                    integration="STEP_FUNCTIONS",
                    jobType="STATE_MACHINE",
                )
            },
        },
        "inputs": _inputs(run, settings),
        "outputs": _outputs(run, settings),
    }


def _run_facets(run: Run) -> dict[str, Any]:
    tags = {"run_id": run.run_id}
    if run.manifest is not None:
        tags["task"] = run.manifest.task
    if run.published is not None and "engine" in run.published:
        tags["engine"] = run.published["engine"]
    facets = {
        "tags": _facet(
            "tags",
            tags=[
                {"key": key, "value": value, "source": "STEP_FUNCTIONS"}
                for key, value in tags.items()
            ],
        )
    }
    if run.state in {"FAILED", "TIMED_OUT", "ABORTED"}:
        facets["errorMessage"] = _facet(
            "errorMessage", message=run.cause or run.state, programmingLanguage="Python"
        )
    return facets


def _inputs(run: Run, settings: Settings) -> list[dict[str, Any]]:
    bucket = f"s3://{settings.bucket}"
    if run.manifest is None:
        return []
    if run.manifest.task == "recompute":
        return [{"namespace": bucket, "name": name} for name in _ledger_tables(run)]
    if run.manifest.task == "rebuild":
        # All files that ever came: the folder stands for them, with their number and size.
        files = run.manifest.files
        size = sum(file.size for file in files)
        facet = _facet("inputStatistics", size=size, fileCount=len(files))
        inputs = {"inputStatistics": facet}
        return [{"namespace": bucket, "name": PROCESSED.rstrip("/"), "inputFacets": inputs}]
    rows = {
        file["key"]: file["rows"] for file in (run.verdict or {}).get("files", ()) if "rows" in file
    }
    return [_input(file, rows.get(file.key), bucket) for file in run.manifest.files]


def _input(file: FileVersion, rows: int | None, bucket: str) -> dict[str, Any]:
    statistics: dict[str, Any] = {"size": file.size, "fileCount": 1}
    if rows is not None:
        statistics["rowCount"] = rows
    return {
        "namespace": bucket,
        "name": file.key,
        "facets": {"version": _facet("version", datasetVersion=file.version_id or file.etag)},
        "inputFacets": {"inputStatistics": _facet("inputStatistics", **statistics)},
    }


def _outputs(run: Run, settings: Settings) -> list[dict[str, Any]]:
    partition, region, account = settings.place
    published = run.published or {}
    rows = published.get("new_rows", {})
    outputs = [
        _output(f"arn:{partition}:dynamodb:{region}:{account}", f"table/{table}")
        for table in (settings.category_kpis_table, settings.order_kpis_table)
    ]
    if run.manifest is None or run.manifest.task != "recompute":
        outputs += [
            _output(f"s3://{settings.bucket}", name, rows.get(dataset))
            for name, dataset in _ledger_tables(run).items()
        ]
    return outputs


def _output(namespace: str, name: str, rows: int | None = None) -> dict[str, Any]:
    dataset: dict[str, Any] = {"namespace": namespace, "name": name}
    if rows is not None:
        dataset["outputFacets"] = {"outputStatistics": _facet("outputStatistics", rowCount=rows)}
    return dataset


def _ledger_tables(run: Run) -> dict[str, DatasetName]:
    """Return the ledger's tables by their names in the bucket.

    Only the transformer knows which ledger is in use, so START has none: the event of a run's
    end adds them.
    """
    root = (run.published or {}).get("ledger")
    if root is None:
        return {}
    return {f"{root}/{table}": dataset for table, dataset in _LEDGER_TABLES.items()}


def _facet(name: str, /, **fields: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": _SCHEMAS[name], **fields}
