"""The landing folder's listing, against the embedded AWS."""

from datetime import timedelta


def test_versions_of_a_name_in_the_same_second_keep_the_order_in_which_they_were_uploaded(
    pipeline,
) -> None:
    def seconds() -> set[object]:
        found = pipeline.s3.list_object_versions(Bucket=pipeline.settings.bucket)
        return {version["LastModified"] for version in found.get("Versions", [])}

    # Two uploads may meet the end of a second.
    while True:
        for body in (b"first", b"second", b"third"):
            pipeline.upload("orders_1.csv", body=body)
        if len(seconds()) == 1:
            break
        while files := pipeline.landing.list().files:
            pipeline.landing.move("away", [(file, f"processed/away/{file.name}") for file in files])
    landed = []
    while files := pipeline.landing.list().files:
        [file] = files
        landed.append((file.landed_at, file.size))
        pipeline.landing.move("r", [(file, f"processed/r/{len(landed)}.csv")])
    assert [size for _, size in sorted(landed)] == [len("first"), len("second"), len("third")]
    [second] = {landed_at.replace(microsecond=0) for landed_at, _ in landed}
    assert max(landed)[0] - second == timedelta(microseconds=2)
