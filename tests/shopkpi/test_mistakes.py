"""Everything that a person can get wrong is one line that helps, and its own exit code."""

import json
import urllib.request
from collections.abc import Callable, Iterator

import pytest
from botocore import exceptions as aws
from botocore.awsrequest import AWSResponse

from localcloud.provision import create_runs_table
from shopkpi import aws_errors
from shopkpi.pipeline import Pipeline
from tests.shopkpi.conftest import Answer, Shop, Type


def line_of(answer: Answer) -> str:
    """Return the one line on standard error; nothing may be on standard output."""
    assert answer.out == ""
    assert answer.err.startswith("error: ")
    assert answer.err.endswith("\n")
    assert answer.err.count("\n") == 1
    return answer.err.removeprefix("error: ").rstrip()


def refusal(code: str, message: str = "") -> aws.ClientError:
    return aws.ClientError({"Error": {"Code": code, "Message": message}}, "GetItem")


@pytest.mark.parametrize(
    ("line", "code", "text"),
    [
        ("frob", 2, "No such command 'frob': see shopkpi --help"),
        ("show", 2, "Missing argument 'RUN': see shopkpi show --help"),
        ("status --jsn", 2, "No such option: --jsn"),
        ("runs --limit many", 2, "Invalid value for '--limit'"),
        ("runs --limit 0", 2, "Invalid value for '--limit'"),
        ("runs --state DONE", 2, "--state DONE: there are RUNNING, SUCCEEDED, FAILED"),
        (
            "kpis --from 2025-03-31 --to 2025-03-01",
            2,
            "--from 2025-03-31 is after --to 2025-03-01: swap them",
        ),
        ("kpis --csv --json", 2, "--csv and --json are two forms of the same data"),
        ("kpis --from 31.03.2025", 2, "--from 31.03.2025: not a date; write it as 2025-03-31"),
        ("kpis --from 2025-02-30 --to 2025-03-01", 2, "--from 2025-02-30: not a date"),
        ("kpis --from 1990-01-01 --to 2025-03-01", 2, "1,100 is the most: choose fewer"),
        (
            "backfill --from 2025-03-31 --to 2025-03-01",
            2,
            "--from 2025-03-31 is after --to 2025-03-01: swap them",
        ),
        ("backfill --from 2025-03-01", 2, "Missing option '--to': see shopkpi backfill --help"),
        ("backfill --from 2999-01-01 --to 2999-01-02", 2, "is in the future"),
        ("logs RUN --only kernel", 2, "--only kernel: there are machine, lambda, validator"),
        ("status --profile me", 2, "--local has its own credentials: leave --profile out"),
        ("status --stage PROD!", 2, "--stage PROD!: a stage is lower-case letters"),
        ("show nonsense", 3, "nonsense: no such run in stage dev; `shopkpi runs` lists them"),
        ("show no/such:run", 3, "no/such:run: no such run"),
        ("quarantine nonsense", 3, "nonsense: no such run"),
        ("quarantine nonsense --download here", 3, "nonsense has nothing in quarantine"),
        ("replay nonsense", 3, "nonsense: no such run"),
        ("logs nonsense", 3, "nonsense: no such run"),
        ("kpis --from 2020-01-01 --to 2020-01-31", 3, "the newest are of 2025-03-02"),
        ("kpis --category books", 3, "did you mean 'Books'? there are Books"),
        ("status --stage prod", 5, "stages there: dev; try --stage dev"),
    ],
)
def test_a_mistyped_command_line_is_one_line_of_error(
    shop: Shop, local: Type, line: str, code: int, text: str
) -> None:
    answer = local(line.replace("RUN", shop.run))
    assert text in line_of(answer)
    assert answer.code == code


def test_a_damaged_document_is_exit_code_1_with_the_place_of_the_damage(
    shop: Shop, local: Type
) -> None:
    shop.client("s3").put_object(
        Bucket=shop.stack.bucket, Key="runs/damaged/verdict.json", Body=b'{"run_id": 7}'
    )
    answer = local("quarantine damaged")
    assert answer.code == 1
    assert "Verdict.run_id is 7" in line_of(answer)
    assert "`shopkpi replay`" in answer.err


def test_a_run_id_that_is_nearly_right_is_corrected(shop: Shop, local: Type) -> None:
    answer = local(f"show {shop.run[:-1]}")
    assert f"did you mean {shop.run}?" in line_of(answer)


def test_without_a_localcloud_the_error_says_how_to_start_it(
    type_: Type, monkeypatch, tmp_path
) -> None:
    monkeypatch.setattr("shopkpi.pipeline.PROJECT", tmp_path)
    answer = type_("status --local")
    assert answer.code == 5
    assert "start `make localcloud`" in line_of(answer)


def test_a_localcloud_that_has_ended_does_not_answer(type_: Type, tmp_path) -> None:
    file = tmp_path / ".localcloud" / "environment"
    file.parent.mkdir()
    file.write_text(
        "export AWS_ENDPOINT_URL=http://127.0.0.1:9\nexport AWS_REGION=eu-north-1\n"
        "export AWS_ACCESS_KEY_ID=local\nexport AWS_SECRET_ACCESS_KEY=local\n"
    )
    answer = type_("runs --local")
    assert answer.code == 4
    assert "http://127.0.0.1:9: no answer" in line_of(answer)
    assert "start the embedded AWS with `make localcloud`" in answer.err
    file.write_text("export AWS_ENDPOINT_URL=http://127.0.0.1:9\n")
    assert "AWS_ACCESS_KEY_ID is missing" in line_of(type_("runs --local"))


def test_without_credentials_the_error_says_how_to_get_them(type_: Type) -> None:
    answer = type_("runs")
    assert answer.code == 4
    assert "no AWS credentials: log in (`aws sso login`" in line_of(answer)


def test_an_unknown_profile_is_named(type_: Type) -> None:
    answer = type_("runs --profile elsewhere")
    assert answer.code == 4
    assert "The config profile (elsewhere) could not be found" in line_of(answer)
    assert "aws configure list-profiles" in answer.err


def test_an_impossible_region_is_a_usage_error(type_: Type, monkeypatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    answer = type_("runs --region eu_north!")
    assert answer.code == 2
    assert "name a region such as eu-north-1 with --region" in line_of(answer)


def test_where_no_run_has_published_anything_no_date_is_suggested(
    shop: Shop, type_: Type, monkeypatch
) -> None:
    create_runs_table(shop.client("dynamodb"), "NoRuns")
    settings = {**shop.cloud.environment, **shop.stack.environment, "RUNS_TABLE": "NoRuns"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    answer = type_("kpis")
    assert answer.code == 3
    assert line_of(answer).endswith("and no run has published any: see `shopkpi runs`")
    assert type_("runs").out == "no such runs yet\n"


def test_a_wrong_setting_names_the_variable(type_: Type, monkeypatch) -> None:
    monkeypatch.setenv("S3_BUCKET", "b")
    monkeypatch.setenv("STEP_FUNCTION_ARN", "not-an-arn")
    answer = type_("runs")
    assert answer.code == 5
    assert "STEP_FUNCTION_ARN is 'not-an-arn'" in line_of(answer)


# What one line says of each answer of AWS, or of none.
@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (refusal("ExpiredToken"), 4, "the credentials have expired: log in again"),
        (refusal("RequestTimeTooSkewed"), 4, "this machine's clock is wrong"),
        (refusal("SlowDown"), 4, "AWS limits the rate of GetItem: try again in a minute"),
        (refusal("ResourceNotFoundException"), 5, "see what is missing with `shopkpi doctor`"),
        (refusal("AccessDenied"), 4, "this identity may not dynamodb:GetItem: ask an admin"),
        (
            refusal("AccessDenied", "explicit deny in a service control policy"),
            4,
            "a policy denies it; look for the deny in the policies of the account",
        ),
        (refusal("InternalError", "try\nlater"), 4, "GetItem failed: InternalError: try later"),
        (
            aws.SSOTokenLoadError(error_msg="gone"),
            4,
            "the session has expired: run `aws sso login`",
        ),
        (aws.ConnectTimeoutError(endpoint_url="https://s3"), 4, "check the network, the proxy and"),
        (aws.ProxyConnectionError(proxy_url="http://proxy"), 4, "check the network, the proxy and"),
        (aws.NoRegionError(), 2, "name a region such as eu-north-1 with --region"),
    ],
)
def test_what_aws_answers_becomes_a_line_that_says_what_to_do(
    error: Exception, code: int, text: str
) -> None:
    meant = aws_errors.explained(error, stage="dev", where="AWS eu-north-1")
    assert meant is not None
    assert text in str(meant)
    assert "\n" not in str(meant)
    assert meant.exit_code == code


def leave_unprocessed(parsed: dict, **_: object) -> None:
    """Answer as a table does that has no capacity left for any key."""
    for table, items in parsed["Responses"].items():
        keys = [{"order_date": item["order_date"]} for item in items]
        parsed["Responses"] = {table: []}
        parsed["UnprocessedKeys"] = {table: {"Keys": keys, "ConsistentRead": True}}


def throttle(request: object, **_: object) -> AWSResponse:
    body = {"__type": "com.amazon#ThrottlingException", "message": "Rate exceeded"}
    answer = AWSResponse("http://127.0.0.1", 400, {}, None)
    answer._content = json.dumps(body).encode()
    return answer


@pytest.mark.parametrize(
    ("event", "react"),
    [
        ("after-call.dynamodb.BatchGetItem", leave_unprocessed),
        ("before-send.dynamodb.BatchGetItem", throttle),
    ],
)
def test_a_busy_table_of_kpis_ends_the_command_with_the_exit_code_of_a_refusal(
    local: Type, monkeypatch, event: str, react: Callable[..., object]
) -> None:
    connect = Pipeline.client

    def disturbed(pipeline: Pipeline, service: str) -> object:
        client = connect(pipeline, service)
        if service == "dynamodb":
            client.meta.events.register(event, react, unique_id="busy")
        return client

    monkeypatch.setattr(Pipeline, "client", disturbed)
    answer = local("kpis")
    assert answer.code == 4
    assert line_of(answer).endswith(": AWS limits the rate of BatchGetItem: try again in a minute")


def test_an_error_of_the_program_itself_is_not_explained_away(type_: Type, monkeypatch) -> None:
    assert aws_errors.explained(KeyError("x"), stage="dev", where="here") is None
    monkeypatch.setattr("shopkpi.options.Target.of", _broken)
    answer = type_("runs")
    assert answer.code == 70
    assert "RuntimeError: broken: this is a bug of shopkpi" in line_of(answer)
    monkeypatch.setenv("SHOPKPI_TRACE", "1")
    with pytest.raises(RuntimeError):
        type_("runs")


def _broken(**_: object) -> None:
    raise RuntimeError("broken")


@pytest.fixture
def guarded(shop: Shop, type_: Type, monkeypatch) -> Iterator[Callable[[str, str], Answer]]:
    """Run a command as a user, whose permissions the embedded AWS checks."""
    for name, value in shop.cloud.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    policy = type_("policy --read-only").data
    for statement in policy["Statement"]:
        # moto asks about resources for S3 only.
        if not statement["Action"][0].startswith("s3:"):
            statement["Resource"] = "*"
    iam, keys = shop.client("iam"), {"stranger": ("AKIASTRANGER00000000", "unknown")}
    for name, document in {"nobody": None, "reader": policy}.items():
        iam.create_user(UserName=name)
        if document is not None:
            iam.put_user_policy(
                UserName=name, PolicyName="operator", PolicyDocument=json.dumps(document)
            )
        key = iam.create_access_key(UserName=name)["AccessKey"]
        keys[name] = (key["AccessKeyId"], key["SecretAccessKey"])

    def type_as(who: str, line: str) -> Answer:
        monkeypatch.setenv("AWS_ACCESS_KEY_ID", keys[who][0])
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", keys[who][1])
        return type_(line)

    check_callers(shop, on=True)
    yield type_as
    check_callers(shop, on=False)
    for name in ("nobody", "reader"):
        for key in iam.list_access_keys(UserName=name)["AccessKeyMetadata"]:
            iam.delete_access_key(UserName=name, AccessKeyId=key["AccessKeyId"])
        for attached in iam.list_user_policies(UserName=name)["PolicyNames"]:
            iam.delete_user_policy(UserName=name, PolicyName=attached)
        iam.delete_user(UserName=name)


def check_callers(shop: Shop, *, on: bool) -> None:
    request = urllib.request.Request(  # noqa: S310 - the embedded AWS's own address
        f"{shop.cloud.endpoint}/moto-api/reset-auth",
        data=b"0" if on else b"inf",
        method="POST",
        headers={"Content-Type": "text/plain"},
    )
    with urllib.request.urlopen(request):  # noqa: S310 - as above
        pass


def test_who_may_not_is_told_the_action_and_the_statement_to_attach(
    shop: Shop, guarded: Callable[[str, str], Answer]
) -> None:
    nobody = "arn:aws:iam::123456789012:user/nobody"
    for line, action, statement in (
        ("runs", "cloudformation:DescribeStacks", "FindTheStack"),
        ("redrive", "sqs:GetQueueUrl", "SeeDeadLetters"),
    ):
        answer = guarded("nobody", line)
        assert answer.code == 4
        assert line_of(answer) == (
            f"{nobody} may not {action}: ask an administrator to attach the statement {statement} "
            "of the policy that `shopkpi policy --stage dev` prints"
        )
    answer = guarded("stranger", "runs")
    assert answer.code == 4
    assert "AWS does not know these credentials (InvalidClientTokenId)" in line_of(answer)


def test_the_read_only_policy_is_enough_to_read_and_for_nothing_else(
    shop: Shop, guarded: Callable[[str, str], Answer]
) -> None:
    for line in (
        "runs",
        "kpis",
        "kpis --category Books",
        f"show {shop.run}",
        f"quarantine {shop.run}",
        f"quarantine {shop.run} --download there",
        f"logs {shop.run} --only machine",
        f"replay {shop.run} --dry-run",
        "unlock --dry-run",
    ):
        answer = guarded("reader", line)
        assert (line, answer.code, answer.err) == (line, 0, "")
    assert "states:StartExecution" in line_of(guarded("reader", f"replay {shop.run}"))
    assert "the statement StartRuns" in line_of(guarded("reader", "rebuild"))
