"""Settings: their defaults, and what a variable that cannot be used is answered with."""

from datetime import timedelta
from decimal import Decimal

import pytest

from chalice_app.chalicelib.prices import PriceTable, TaskSize
from chalice_app.chalicelib.settings import Settings, SettingsError

ENV = {
    "S3_BUCKET": "shop",
    "STEP_FUNCTION_ARN": "arn:aws:states:eu-north-1:123456789012:stateMachine:ECommercePipeline",
}


def test_two_variables_suffice_and_the_rest_has_the_documented_defaults() -> None:
    settings = Settings.from_env(ENV)
    assert (settings.min_order_files, settings.min_item_files, settings.min_product_files) == (
        5,
        5,
        1,
    )
    assert settings.force_after == timedelta(minutes=30)
    assert settings.max_batch_files == 500
    assert (settings.prefix, settings.lock_key) == ("incoming/", "incoming/pipeline.lock")
    assert settings.waiting_key == "incoming/threshold_not_met_timestamp.json"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("S3_BUCKET", ""),
        ("STEP_FUNCTION_ARN", ""),
        ("STEP_FUNCTION_ARN", "ECommercePipeline"),
        ("MIN_ORDER_FILES", "five"),
        ("MIN_ITEM_FILES", "-1"),
        ("MIN_PRODUCT_FILES", "1.5"),
        ("FORCE_PROCESS_AFTER_MINUTES", "half an hour"),
        ("FORCE_PROCESS_AFTER_MINUTES", "nan"),
        ("FORCE_PROCESS_AFTER_MINUTES", "1e300"),
        ("LOCK_GRACE_SECONDS", "-1"),
        ("CHECK_WINDOW_SECONDS", "-1"),
        ("CHECK_WINDOW_SECONDS", "31"),
        ("MAX_BATCH_FILES", "all"),
        ("MAX_BATCH_FILES", "0"),
        ("MAX_BATCH_ATTEMPTS", "0"),
        ("PRICE_TABLE", "{"),
        ("VALIDATOR_TASK_SIZE", "1 vCPU"),
        ("TRANSFORMER_TASK_SIZE", "1024"),
        ("MIN_HISTORY_WEEKS", "0"),
        ("MIN_HISTORY_WEEKS", "9"),
        ("DAY_COMPLETE_HOUR", "24"),
    ],
)
def test_an_unusable_value_is_refused_by_the_name_of_its_variable(name: str, value: str) -> None:
    with pytest.raises(SettingsError, match=f"^{name} (is|has) "):
        Settings.from_env({**ENV, name: value})


def test_a_variable_that_is_empty_or_blank_is_one_that_is_not_set() -> None:
    blank = dict.fromkeys(("MIN_ORDER_FILES", "RUNS_TABLE", "PRICE_TABLE", "STAGE"), " ")
    assert Settings.from_env(ENV | blank) == Settings.from_env(ENV)


def test_a_number_that_is_too_large_is_refused_with_the_limits() -> None:
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({**ENV, "MIN_HISTORY_WEEKS": "9"})
    assert str(refused.value) == "MIN_HISTORY_WEEKS is '9': give a whole number, from 1 to 8"


def test_what_an_estimate_goes_by_can_be_set() -> None:
    settings = Settings.from_env(
        {
            **ENV,
            "PRICE_TABLE": '{"fargate_vcpu_hour": 0.1}',
            "TRANSFORMER_TASK_SIZE": "4096/16384",
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1024",
        }
    )
    assert settings.prices == PriceTable(fargate_vcpu_hour=Decimal("0.1"))
    assert settings.sizes.transformer == TaskSize(cpu_units=4096, memory_mib=16384)
    assert settings.sizes.validator == TaskSize(cpu_units=1024, memory_mib=4096)
    assert settings.sizes.function_mib == 1024


def test_an_execution_has_the_state_machines_arn_and_the_runs_name() -> None:
    assert Settings.from_env(ENV).execution_arn("r-1") == (
        "arn:aws:states:eu-north-1:123456789012:execution:ECommercePipeline:r-1"
    )


def test_warnings_are_silenced_by_name_and_an_unknown_name_is_refused_with_the_list() -> None:
    silenced = Settings.from_env({**ENV, "SILENCED_WARNINGS": "volume, quarantined_rows"}).silenced
    assert silenced == {"volume", "quarantined_rows"}
    assert Settings.from_env({**ENV, "SILENCED_WARNINGS": "none"}).silenced == set()
    with pytest.raises(SettingsError) as refused:
        Settings.from_env({**ENV, "SILENCED_WARNINGS": "volume,revenue"})
    assert str(refused.value) == (
        "SILENCED_WARNINGS has 'revenue': there are quarantined_rows, ambiguous_amounts, volume, "
        "return_rate, avg_order_value, freshness; give some of them, separated by commas, or none"
    )
