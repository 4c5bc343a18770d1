"""Commands that change nothing, on a run that was really executed."""

import csv
import json
from pathlib import Path

from contract.kpi_columns import CATEGORY_KPIS
from tests.shopkpi.conftest import Shop, Type


def test_status_says_what_is_missing_for_a_batch_and_that_nothing_runs(
    shop: Shop, local: Type
) -> None:
    shop.client("s3").put_object(
        Bucket=shop.stack.bucket, Key="incoming/orders_late.csv", Body=b"order_id\n"
    )
    shop.client("s3").put_object(
        Bucket=shop.stack.bucket, Key="incoming/orders.xlsx", Body=b"no csv"
    )
    try:
        data, screen = local("status --json").data, local("status").out
    finally:
        for name in ("orders_late.csv", "orders.xlsx"):
            shop.client("s3").delete_object(Bucket=shop.stack.bucket, Key=f"incoming/{name}")
    assert [(f["dataset"], f["waiting"], f["missing"]) for f in data["files"]] == [
        ("orders", 1, 4),
        ("order_items", 0, 5),
        # The products file of the earlier run counts.
        ("products", 0, 0),
    ]
    assert data["not_recognised"] == ["incoming/orders.xlsx"]
    assert "not recognised, so not processed (1): incoming/orders.xlsx. No dataset has" in screen
    assert "name the file orders*.csv, order_items*.csv or products*.csv" in screen
    assert (data["lock"], data["running"]) == (None, [])
    assert "too few for a batch; a batch of these files starts in" in screen
    assert "lock: free" in screen
    assert "running: nothing" in screen


def test_runs_lists_the_run_with_its_rows_and_cost(shop: Shop, local: Type) -> None:
    [run] = [run for run in local("runs --json").data if run["run_id"] == shop.run]
    assert run["state"] == "SUCCEEDED"
    assert run["rows"]["quarantined"] == 1
    assert float(run["estimated_cost"]) > 0
    assert shop.run in local("runs --state succeeded").out
    assert shop.run not in local("runs --state FAILED").out


def test_show_has_states_times_verdict_and_cost(shop: Shop, local: Type) -> None:
    data = local(f"show {shop.run} --json").data
    states = [step["state"] for step in data["steps"]]
    assert states[:3] == ["CheckFileThreshold", "EvaluateThreshold", "ValidateFiles"]
    assert all(step["seconds"] >= 0 for step in data["steps"])
    assert data["verdict"]["outcome"] == "partly_accepted"
    screen = local(f"show {shop.run}").out
    assert f"run {shop.run}: SUCCEEDED" in screen
    assert "2, from 2025-03-01 to 2025-03-02" in screen
    assert "USD (fargate" in screen
    assert "orders_without_header.csv" in screen
    assert f"shopkpi quarantine {shop.run}" in screen
    notice = data["notice"]
    assert notice["subject"] == (
        f"Run succeeded, 1 file rejected, 1 row in quarantine - dev {shop.run}"
    )
    assert "- order_items_4.csv: 1 row (quantity_out_of_range 1)" in notice["message"]
    assert f"alert message: {notice['subject']}" in screen
    assert notice["message"].rstrip() in screen


def test_quarantine_has_the_bad_row_and_the_bad_file_with_their_reasons(
    shop: Shop, local: Type
) -> None:
    data = local(f"quarantine {shop.run} --json").data
    assert [(f["name"], f["status"], f["reason"]) for f in data["files"]] == [
        ("orders_without_header.csv", "rejected", "missing_column")
    ]
    assert data["rows"] == [
        {
            "dataset": "order_items",
            "file": "order_items_4.csv",
            "line": 12,
            "last_line": 12,
            "reasons": ["quantity_out_of_range"],
            "raw": "o0,p1,-3,10.00",
        }
    ]
    screen = local(f"quarantine {shop.run}").out
    assert "quantity_out_of_range" in screen
    assert "o0,p1,-3,10.00" in screen


def test_quarantine_is_downloaded_to_files_with_numbers_as_names(
    shop: Shop, local: Type, tmp_path: Path
) -> None:
    planned = local(f"quarantine {shop.run} --download {tmp_path}/bad --dry-run")
    assert planned.out.startswith("would download 4 files")
    assert "files/1.csv: orders_without_header.csv" in planned.out
    assert not (tmp_path / "bad").exists()
    assert local(f"quarantine {shop.run} --download {tmp_path}/bad").code == 0
    folder = tmp_path / "bad" / shop.run
    assert (folder / "files/1.csv").read_text() == "o9,u1,2025-03-01,20.00,delivered\n"
    explained = json.loads((folder / "files/1.reason.json").read_text())
    assert explained["name"] == "orders_without_header.csv"
    with (folder / "rows.csv").open(newline="") as file:
        assert [row["raw"] for row in csv.DictReader(file)] == ["o0,p1,-3,10.00"]
    again = local(f"quarantine {shop.run} --download {tmp_path}/bad")
    assert again.code == 2
    assert again.err == (
        f"error: --download {tmp_path}/bad: {folder} is not empty; name another folder\n"
    )


def test_kpis_are_the_tables_to_the_cent(local: Type) -> None:
    days = local("kpis --json").data["items"]
    assert [(d["order_date"], d["total_orders"], d["total_revenue"]) for d in days] == [
        ("2025-03-01", 3, "60.00"),
        ("2025-03-02", 1, "20.00"),
    ]
    books = local("kpis --category Books --from 2025-03-02 --to 2025-03-02 --json").data["items"]
    assert [(b["daily_revenue"], b["avg_return_rate"]) for b in books] == [("20.00", "100.00")]
    rows = list(csv.DictReader(local("kpis --category Books --csv").out.splitlines()))
    assert list(rows[0]) == [column.name for column in CATEGORY_KPIS.attributes]
    assert [(row["order_date"], row["daily_revenue"]) for row in rows] == [
        ("2025-03-01", "140.00"),
        ("2025-03-02", "20.00"),
    ]
    screen = local("kpis --category Books").out
    assert "Books, by day" in screen
    assert "100.00" in screen


def test_logs_follow_one_run_through_machine_functions_and_containers(
    shop: Shop, local: Type
) -> None:
    lines = local(f"logs {shop.run} --json").data
    sources = [line["source"] for line in lines]
    assert set(sources) == {"machine", "lambda", "validator", "transformer"}
    assert [line["at"] for line in lines] == sorted(line["at"] for line in lines)
    messages = [line["message"] for line in lines]
    assert messages.index("ExecutionStarted") < messages.index("ExecutionSucceeded")
    assert any(line["fields"].get("run_id") == shop.run for line in lines)
    only = local(f"logs {shop.run} --only validator --json").data
    assert {line["source"] for line in only} == {"validator"}
    assert "quantity_out_of_range" in json.dumps(only) or len(only) > 3
    assert "ValidateFiles" in local(f"logs {shop.run} --only machine").out


def test_the_doctor_finds_no_problem_in_a_complete_deployment(local: Type) -> None:
    answer = local("doctor --json")
    problems = [
        finding for finding in answer.data if finding["fix"] and finding["subject"] != "java"
    ]
    assert problems == []
    assert {finding["subject"] for finding in answer.data} == {
        *("credentials", "clock", "stack", "settings", "versioning", "uploads", "names"),
        *("functions", "schedule", "table", "machine", "java", "letters", "lock"),
    }


def test_the_doctor_names_a_file_that_is_not_recognised_and_how_to_name_it(
    shop: Shop, local: Type
) -> None:
    s3 = shop.client("s3")
    s3.put_object(Bucket=shop.stack.bucket, Key="incoming/sales.csv", Body=b"x")
    try:
        findings = {f["subject"]: f for f in local("doctor --json").data}
    finally:
        s3.delete_object(Bucket=shop.stack.bucket, Key="incoming/sales.csv")
    assert findings["names"]["fact"] == "not recognised, so not processed (1): incoming/sales.csv"
    assert "name the file orders*.csv" in findings["names"]["fix"]


def test_the_doctor_names_what_is_broken_and_the_fix(shop: Shop, local: Type) -> None:
    s3, events = shop.client("s3"), shop.client("events")
    bucket, rule = shop.stack.bucket, "ecommerce-kpi-dev-CheckOnSchedule-event"
    wired = s3.get_bucket_notification_configuration(Bucket=bucket)
    wired.pop("ResponseMetadata")
    suspended = {"Status": "Suspended"}
    s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=suspended)
    s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration={})
    events.disable_rule(Name=rule)
    try:
        answer = local("doctor --json")
    finally:
        enabled = {"Status": "Enabled"}
        s3.put_bucket_versioning(Bucket=bucket, VersioningConfiguration=enabled)
        s3.put_bucket_notification_configuration(Bucket=bucket, NotificationConfiguration=wired)
        events.enable_rule(Name=rule)
    assert answer.code == 1
    fixes = {finding["subject"]: finding["fix"] for finding in answer.data if finding["fix"]}
    assert f"aws s3api put-bucket-versioning --bucket {bucket}" in fixes["versioning"]
    assert fixes["uploads"] == "deploy the functions again: make deploy STAGE=dev"
    assert f"aws events enable-rule --name {rule}" in fixes["schedule"]


def test_names_may_come_from_the_environment_instead_of_the_stack(
    shop: Shop, type_: Type, monkeypatch
) -> None:
    for name, value in {**shop.cloud.environment, **shop.stack.environment}.items():
        monkeypatch.setenv(name, value)
    assert shop.run in [run["run_id"] for run in type_("runs --json").data]
    # A stage that is typed comes before them.
    assert type_("runs --stage prod").code == 5


def test_the_policy_names_the_stages_own_resources_and_reading_changes_nothing(
    shop: Shop, local: Type
) -> None:
    statements = {s["Sid"]: s for s in local("policy").data["Statement"]}
    assert statements["FreeDeadLocks"]["Resource"] == (
        f"arn:aws:s3:::{shop.stack.bucket}/incoming/pipeline.lock"
    )
    assert [sid for sid, s in statements.items() if s["Resource"] == "*"] == ["FindTheStack"]
    reading = {s["Sid"] for s in local("policy --read-only").data["Statement"]}
    assert set(statements) - reading == {
        "StartRuns",
        "FreeDeadLocks",
        "TakeDeadLetters",
        "SendThemBack",
    }
