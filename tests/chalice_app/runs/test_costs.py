"""Where a run's time went, and what it is estimated to cost."""

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from chalice_app.chalicelib.aws.execution_history import History
from chalice_app.chalicelib.prices import PriceError, PriceTable, Sizes, TaskSize
from chalice_app.chalicelib.runs.costs import estimate
from chalice_app.chalicelib.runs.timeline import Attempt, Timeline, Usage

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
_TASK = TaskSize(cpu_units=1024, memory_mib=4096)
SIZES = Sizes(validator=_TASK, transformer=_TASK, function_mib=512)


def event(kind: str, seconds: float, state: str = "") -> dict:
    details = {
        "TaskStateEntered": "stateEnteredEventDetails",
        "ChoiceStateEntered": "stateEnteredEventDetails",
        "TaskStateExited": "stateExitedEventDetails",
        "ChoiceStateExited": "stateExitedEventDetails",
    }
    found = {"type": kind, "timestamp": NOON + timedelta(seconds=seconds)}
    return {**found, details[kind]: {"name": state}} if state else found


HISTORY = [
    event("ExecutionStarted", 0),
    event("TaskStateEntered", 0, "CheckFileThreshold"),
    event("TaskScheduled", 0.1),
    event("TaskStarted", 0.1),
    event("TaskSucceeded", 2.1),
    event("TaskStateExited", 2.1, "CheckFileThreshold"),
    event("ChoiceStateEntered", 2.1, "EvaluateThreshold"),
    event("ChoiceStateExited", 2.1, "EvaluateThreshold"),
    event("TaskStateEntered", 3, "ValidateFiles"),
    event("TaskScheduled", 3),
    event("TaskStarted", 3),
    event("TaskSubmitted", 4),
    event("TaskFailed", 13),
    event("TaskScheduled", 43),
    event("TaskSubmitted", 44),
    event("TaskSucceeded", 163),
    event("TaskStateExited", 163, "ValidateFiles"),
]


def test_a_states_seconds_hold_its_retries_and_each_attempt_counts_by_itself() -> None:
    timeline = Timeline.of(History.of(HISTORY), until=NOON)
    assert timeline.seconds == {
        "CheckFileThreshold": 2.1,
        "EvaluateThreshold": 0.0,
        "ValidateFiles": 160.0,
    }
    assert timeline.attempts == {
        "CheckFileThreshold": [Attempt(seconds=2.0)],
        "ValidateFiles": [Attempt(seconds=10.0), Attempt(seconds=120.0)],
    }
    # Three states and one retry.
    assert timeline.transitions == 4


def test_a_state_that_an_abort_cut_off_lasts_until_the_abort() -> None:
    cut = [*HISTORY[:14], event("ExecutionAborted", 50)]
    timeline = Timeline.of(History.of(cut), until=NOON + timedelta(seconds=50))
    assert timeline.seconds["ValidateFiles"] == 47.0
    assert [found.seconds for found in timeline.attempts["ValidateFiles"]] == [10.0, 7.0]


def test_a_state_that_was_left_and_entered_again_adds_up() -> None:
    again = [
        event("TaskStateEntered", 200, "CheckFileThreshold"),
        event("TaskScheduled", 200),
        event("TaskSucceeded", 201),
        event("TaskStateExited", 201, "CheckFileThreshold"),
    ]
    timeline = Timeline.of(History.of(HISTORY + again), until=NOON)
    assert timeline.seconds["CheckFileThreshold"] == pytest.approx(3.1)
    assert [found.seconds for found in timeline.attempts["CheckFileThreshold"]] == [2.0, 1.0]
    assert timeline.transitions == 5


def test_an_estimate_is_the_sum_that_one_gets_by_hand() -> None:
    prices = PriceTable(
        fargate_vcpu_hour=Decimal("0.05"),
        fargate_gb_hour=Decimal("0.005"),
        lambda_gb_second=Decimal("0.00002"),
        lambda_request=Decimal("0.0000002"),
        step_functions_transition=Decimal("0.00003"),
        dynamodb_write_unit=Decimal("0.000001"),
        s3_write_request=Decimal("0.000005"),
        s3_read_request=Decimal("0.0000004"),
    )
    sizes = replace(SIZES, validator=TaskSize(cpu_units=2048, memory_mib=8192), function_mib=1024)
    cost = estimate(
        Timeline.of(History.of(HISTORY), until=NOON),
        files=11,
        kpi_writes=100,
        sizes=sizes,
        prices=prices,
    )
    assert cost == {
        # (60 s at least + 120 s) of 2 vCPU and 8 GB: 180 / 3600 * (2 * 0.05 + 8 * 0.005)
        "fargate": Decimal("0.007000"),
        # 2 s of 1 GB, one request
        "lambda": Decimal("0.000040"),
        "step_functions": Decimal("0.000120"),
        # 2 units for each item, 12 for the record
        "dynamodb": Decimal("0.000212"),
        # 11 + 40 writes, 11 + 60 reads
        "s3": Decimal("0.000283"),
    }


def on(provider: str) -> dict:
    return {
        "parameters": json.dumps({"CapacityProviderStrategy": [{"CapacityProvider": provider}]})
    }


def test_an_attempt_on_spot_has_spots_price_and_its_retry_the_one_on_demand() -> None:
    history = [dict(each) for each in HISTORY[8:]]
    history[1]["taskScheduledEventDetails"] = on("FARGATE_SPOT")
    history[5]["taskScheduledEventDetails"] = on("FARGATE")
    timeline = Timeline.of(History.of(history), until=NOON)
    assert [found.on_spot for found in timeline.attempts["ValidateFiles"]] == [True, False]
    prices = PriceTable(
        fargate_vcpu_hour=Decimal("0.6"),
        fargate_gb_hour=Decimal("0.06"),
        fargate_spot_vcpu_hour=Decimal("0.2"),
        fargate_spot_gb_hour=Decimal("0.02"),
    )
    sizes = replace(SIZES, validator=TaskSize(cpu_units=1024, memory_mib=2048))
    cost = estimate(timeline, files=0, kpi_writes=0, sizes=sizes, prices=prices)
    # A minute of 0.2 + 2 * 0.02 an hour, two minutes of 0.6 + 2 * 0.06.
    assert cost["fargate"] == Decimal("0.028000")


def job(*ends: dict) -> Timeline:
    """Return a run whose big batch was tried once for each of these ends."""
    events = [event("TaskStateEntered", 0, "TransformBigBatch")]
    for number, end in enumerate(ends):
        events += [
            event("TaskScheduled", number * 100),
            {**event("TaskSucceeded", number * 100 + 50), **end},
        ]
    return Timeline.of(History.of(events), until=NOON + timedelta(seconds=1000))


BILLED = {"VCPUHour": 2.5, "MemoryGBHour": 10, "StorageGBHour": 4.25}


def test_a_job_costs_what_it_reports_as_billed() -> None:
    used = {"VCPUHour": 2.4, "MemoryGBHour": 9.5, "StorageGBHour": 4}
    failed = {"BilledResourceUtilization": {"VCPUHour": 1, "MemoryGBHour": 4, "StorageGBHour": 0}}
    timeline = job(
        {"type": "TaskFailed", "taskFailedEventDetails": {"cause": json.dumps(failed)}},
        {
            "taskSucceededEventDetails": {
                "output": json.dumps(
                    {"BilledResourceUtilization": BILLED, "TotalResourceUtilization": used}
                )
            }
        },
    )
    assert timeline.attempts["TransformBigBatch"][1].usage == Usage(
        vcpu_hours=Decimal("2.5"), memory_gb_hours=Decimal(10), storage_gb_hours=Decimal("4.25")
    )
    prices = PriceTable(
        emr_vcpu_hour=Decimal("0.05"),
        emr_gb_hour=Decimal("0.006"),
        emr_storage_gb_hour=Decimal("0.0001"),
    )
    cost = estimate(timeline, files=0, kpi_writes=0, sizes=SIZES, prices=prices)
    # 3.5 * 0.05 + 14 * 0.006 + 4.25 * 0.0001
    assert cost["emr_serverless"] == Decimal("0.259425")


def test_a_job_not_billed_yet_costs_what_it_used() -> None:
    output = json.dumps({"JobRun": {"TotalResourceUtilization": BILLED}})
    [attempt] = job({"taskSucceededEventDetails": {"output": output}}).attempts["TransformBigBatch"]
    assert attempt.usage is not None
    assert attempt.usage.memory_gb_hours == 10


@pytest.mark.parametrize(
    "end",
    [
        {"taskSucceededEventDetails": {"output": "{}"}},
        {"taskSucceededEventDetails": {"output": '{"TotalResourceUtilization": {"VCPUHour": 1}}'}},
        {"taskSucceededEventDetails": {"output": '{"BilledResourceUtilization": {"VCPUHour": 0}}'}},
        {"type": "TaskFailed", "taskFailedEventDetails": {"cause": "the job was cancelled"}},
        {"type": "TaskTimedOut"},
    ],
)
def test_a_job_that_does_not_report_its_usage_has_an_unknown_cost(end: dict) -> None:
    told = {
        "taskSucceededEventDetails": {"output": json.dumps({"BilledResourceUtilization": BILLED})}
    }
    cost = estimate(job(end, told), files=0, kpi_writes=0, sizes=SIZES, prices=PriceTable())
    assert cost["emr_serverless"] is None
    assert cost["fargate"] == 0


def test_a_price_table_names_what_differs_from_the_list_prices() -> None:
    prices = PriceTable.parse('{"fargate_vcpu_hour": 0.1, "s3_read_request": "0.0000005"}')
    assert prices.fargate_vcpu_hour == Decimal("0.1")
    assert prices.s3_read_request == Decimal("0.0000005")
    assert prices.fargate_gb_hour == PriceTable().fargate_gb_hour


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("cheap", "give JSON such as"),
        ("[]", "give JSON such as"),
        ('{"fargate_vcpu_hour": "a lot"}', "give JSON such as"),
        ('{"fargate_cpu_hour": 1}', "has 'fargate_cpu_hour': the prices are fargate_vcpu_hour, "),
        ('{"s3_read_request": -1}', "has s3_read_request = -1: give dollars, 0 or more"),
        ('{"s3_read_request": NaN}', "give"),
    ],
)
def test_a_price_table_that_cannot_be_used_is_refused_with_what_to_give(
    text: str, message: str
) -> None:
    with pytest.raises(PriceError, match=message):
        PriceTable.parse(text)
