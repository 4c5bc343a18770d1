"""A mapping of the bucket: its file names are counted, and runs keep the text of their time."""

import pytest

from chalice_app.chalicelib.settings import SettingsError
from contract.keys import MAPPING

TEXT = """
[files]
orders = "sales-*.csv"
order_items = "basket-*.csv"
products = "articles.csv"
"""


def set_mapping(pipeline, text: str | None) -> None:
    place = {"Bucket": pipeline.settings.bucket, "Key": MAPPING}
    if text is None:
        pipeline.s3.delete_object(**place)
    else:
        pipeline.s3.put_object(**place, Body=text.encode())


def upload(pipeline) -> None:
    pipeline.upload(*[f"{kind}-{n}.csv" for kind in ("sales", "basket") for n in range(5)])
    pipeline.upload("articles.csv")


def test_files_with_mapped_names_make_a_batch_that_keeps_the_mapping(pipeline) -> None:
    set_mapping(pipeline, TEXT)
    upload(pipeline)
    manifest = pipeline.manifest(pipeline.trigger.check().run_id)
    assert [manifest.mappings[file.mapping] for file in manifest.files] == [TEXT] * 11
    assert {file.name: file.dataset for file in manifest.files}["basket-0.csv"] == "order_items"
    assert manifest.not_recognised == ()


def test_without_the_mapping_the_same_files_are_not_recognised(pipeline) -> None:
    upload(pipeline)
    listing = pipeline.landing.list()
    assert (listing.files, len(listing.not_recognised)) == ((), 11)


def test_a_replay_has_the_mapping_of_its_time_and_a_rebuild_that_of_each_file(pipeline) -> None:
    set_mapping(pipeline, TEXT)
    upload(pipeline)
    first = pipeline.trigger.check().run_id
    pipeline.finish(first)
    set_mapping(pipeline, "[orders]\nuser_id = 'customer'\n")
    pipeline.upload_batch()
    second = pipeline.trigger.check().run_id
    pipeline.finish(second)
    set_mapping(pipeline, None)
    pipeline.begin("again", replay_of=first)
    again = pipeline.manifest("again")
    assert again.mappings == pipeline.manifest(first).mappings
    assert {file.dataset for file in again.files} == {"orders", "order_items", "products"}
    pipeline.finish("again")
    pipeline.begin("everything", rebuild=True)
    rebuild = pipeline.manifest("everything")
    assert rebuild.mappings == {
        **pipeline.manifest(first).mappings,
        **pipeline.manifest(second).mappings,
    }
    of_name = {file.name: rebuild.mappings[file.mapping] for file in rebuild.files}
    assert of_name["sales-0.csv"] == TEXT
    assert "customer" in of_name["orders_0.csv"]
    assert len(rebuild.files) == 22


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[files", "settings/mapping.toml: not TOML"),
        ("[files]\nsales = 'x*'\n", r"\[files\] sales: an unknown key; use orders"),
        ("[files]\norders = []\n", r"\[files\] orders: is \[\]; write"),
    ],
)
def test_a_mapping_that_cannot_be_used_starts_nothing_and_is_named(
    pipeline, text: str, message: str
) -> None:
    set_mapping(pipeline, text)
    pipeline.upload_batch()
    with pytest.raises(SettingsError, match=message):
        pipeline.trigger.check()
    set_mapping(pipeline, TEXT)
    assert pipeline.trigger.check().run_id
