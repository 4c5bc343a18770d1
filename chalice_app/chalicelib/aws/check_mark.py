"""The mark of a check that is about to begin: an object that only one of many writers creates."""

from typing import TYPE_CHECKING

from contract.keys import CHECK_PENDING

from .bucket import Bucket, StoredObject

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client


class CheckMark:
    """It never has a version below it: one is created only where there is none."""

    def __init__(self, s3: "S3Client", bucket: str) -> None:
        self._bucket = Bucket(s3, bucket)

    def make(self) -> StoredObject | None:
        """Return the mark, or None if there is one already."""
        return self._bucket.put_json(CHECK_PENDING, "{}", only_new=True)

    def read(self) -> StoredObject | None:
        return self._bucket.get(CHECK_PENDING)

    def delete(self, mark: StoredObject) -> None:
        """Delete this mark; a later one stays, unless the bucket has no versions."""
        self._bucket.delete(CHECK_PENDING, version_id=mark.version_id)
