"""Keys and folders of the bucket are defined once."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from contract import keys
from infra import template
from tests.conftest import ROOT

PRODUCT = (
    "chalice_app",
    "contract",
    "dashboard",
    "delivery",
    "expectations",
    "infra",
    "localcloud",
    "shopkpi",
    "spark_jobs",
)
FOLDERS = {
    keys.INCOMING,
    keys.RUNS,
    keys.PROCESSED,
    keys.QUARANTINE,
    keys.LEDGER,
    keys.QUALITY_HISTORY,
    keys.DATA_DOCS,
    keys.DASHBOARD,
    keys.SETTINGS,
}
# What deploying and the jobs on EMR Serverless keep in the bucket; no stage reads it.
OF_DEPLOYMENT = {"code/", "deploy/", "staging/"}


def modules() -> list[Path]:
    found = [path for package in PRODUCT for path in (ROOT / package).rglob("*.py")]
    return [
        path for path in found if path != ROOT / "contract/keys.py" and "vendor" not in path.parts
    ]


def spelt_keys(source: str) -> Iterator[str]:
    """Yield the strings that begin with a folder, or have one between a bucket and a key.

    Docstrings and sentences may name folders: they have a space before them.
    """
    tree = ast.parse(source)
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    folder = re.compile(rf"(^|[^/ ]/|^/)({'|'.join(sorted(FOLDERS))})")
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Constant)
            and isinstance(node.value, str)
            and id(node) not in documentation
            and folder.search(node.value)
        ):
            yield node.value


@pytest.mark.parametrize(
    "source",
    [
        'KEY = "runs/latest.json"',
        'KEY = f"quarantine/{run_id}/rows"',
        'ARN = f"{bucket}/ledger/*"',
        'URI = "s3://shop/data_docs/index.html"',
    ],
)
def test_a_spelt_key_is_found(source: str) -> None:
    assert list(spelt_keys(source))


def test_a_folder_of_the_bucket_is_spelt_in_contract_keys_only() -> None:
    # The REST API's resource of the same name.
    allowed = {"/runs/{run_id}", "/runs/{run_id}/replay", "/runs/"}
    found = {
        (str(path.relative_to(ROOT)), text)
        for path in modules()
        for text in spelt_keys(path.read_text(encoding="utf-8"))
        if text not in allowed
    }
    assert found == set()


def test_the_template_names_no_other_folders_and_files() -> None:
    text = template.TEMPLATE.read_text(encoding="utf-8")
    paths = set(re.findall(r"\$\{Bucket\.Arn\}/([^'\]]+)", text)) - {"*"}
    assert {path.partition("/")[0] + "/" for path in paths} <= FOLDERS | OF_DEPLOYMENT
    run = keys.RunKeys("*")
    assert {path for path in paths if not path.endswith("/*")} <= {
        keys.LOCK,
        keys.WAITING_SINCE,
        keys.PRODUCTS_ACCEPTED,
        keys.CHECK_PENDING,
        keys.CRASHED_FILES,
        keys.REPORTED_WARNINGS,
        keys.REPORTED_NAMES,
        keys.MAPPING,
        keys.DATA_DOCS_RUNS,
        keys.KNOWN_IDS,
        keys.KNOWN_PRODUCTS,
        run.manifest,
        run.kept_manifest,
        run.verdict,
        run.published,
        run.notice,
        run.notified,
    }


def test_every_lifecycle_rule_is_of_a_folder_or_of_a_file_that_is_replaced_often() -> None:
    bucket = template.load()["Resources"]["Bucket"]["Properties"]
    rules = bucket["LifecycleConfiguration"]["Rules"]
    prefixes = {rule["Prefix"] for rule in rules if "Prefix" in rule}
    assert prefixes <= FOLDERS | OF_DEPLOYMENT | {keys.LOCK, keys.WAITING_SINCE}
