"""S3's names of filter rules are case-insensitive; moto takes lower case only.

``chalice deploy`` sends Prefix and Suffix, which AWS accepts.
"""

from typing import Any

from moto.s3.responses import S3Response


def install() -> None:
    parse = S3Response._notification_config_from_body

    def notification_config_from_body(self: Any) -> dict[str, Any]:
        for name in ("prefix", "suffix"):
            self.body = self.body.replace(
                f"<Name>{name.title()}</Name>".encode(), f"<Name>{name}</Name>".encode()
            )
        return parse(self)

    S3Response._notification_config_from_body = notification_config_from_body  # type: ignore[method-assign]
