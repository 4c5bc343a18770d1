"""Where a run's time went, and what it is estimated to cost."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest

from chalice_app.chalicelib.costs import PriceError, PriceTable, Sizes, TaskSize, estimate
from chalice_app.chalicelib.timeline import Timeline

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


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
    timeline = Timeline.of(HISTORY, until=NOON)
    assert timeline.seconds == {
        "CheckFileThreshold": 2.1,
        "EvaluateThreshold": 0.0,
        "ValidateFiles": 160.0,
    }
    assert timeline.attempts == {"CheckFileThreshold": [2.0], "ValidateFiles": [10.0, 120.0]}
    # Three states and one retry.
    assert timeline.transitions == 4


def test_a_state_that_an_abort_cut_off_lasts_until_the_abort() -> None:
    cut = [*HISTORY[:14], event("ExecutionAborted", 50)]
    timeline = Timeline.of(cut, until=NOON + timedelta(seconds=50))
    assert timeline.seconds["ValidateFiles"] == 47.0
    assert timeline.attempts["ValidateFiles"] == [10.0, 7.0]


def test_a_state_that_was_left_and_entered_again_adds_up() -> None:
    again = [
        event("TaskStateEntered", 200, "CheckFileThreshold"),
        event("TaskScheduled", 200),
        event("TaskSucceeded", 201),
        event("TaskStateExited", 201, "CheckFileThreshold"),
    ]
    timeline = Timeline.of(HISTORY + again, until=NOON)
    assert timeline.seconds["CheckFileThreshold"] == pytest.approx(3.1)
    assert timeline.attempts["CheckFileThreshold"] == [2.0, 1.0]
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
    sizes = Sizes(validator=TaskSize(cpu_units=2048, memory_mib=8192), function_mib=1024)
    cost = estimate(
        Timeline.of(HISTORY, until=NOON), files=11, kpi_writes=100, sizes=sizes, prices=prices
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
