"""The two things that ``chalice deploy`` sends, AWS accepts, and moto 5.2.5 does not.

They are bridged here, so that the app that deploys to AWS needs no change.
"""

from typing import Any

from moto.apigateway.models import APIGatewayBackend
from moto.s3.responses import S3Response


def install() -> None:
    _accept_names_of_filter_rules()
    _accept_swagger()


def _accept_names_of_filter_rules() -> None:
    """S3 takes the names in any case; Chalice sends Prefix and Suffix, moto takes lower case."""
    parse = S3Response._notification_config_from_body

    def notification_config_from_body(self: Any) -> dict[str, Any]:
        for name in ("prefix", "suffix"):
            self.body = self.body.replace(
                f"<Name>{name.title()}</Name>".encode(), f"<Name>{name}</Name>".encode()
            )
        return parse(self)

    S3Response._notification_config_from_body = notification_config_from_body  # type: ignore[method-assign]


def _accept_swagger() -> None:
    """Chalice describes its API as Swagger 2 without a description, moto wants OpenAPI 3 with one.

    What moto reads of the document (paths, methods, integrations) stands alike in both.
    """
    import_api, put_api = APIGatewayBackend.import_rest_api, APIGatewayBackend.put_rest_api

    def import_rest_api(self: Any, api_doc: dict[str, Any], *args: Any, **kwargs: Any) -> Any:
        info = {"description": "", **api_doc.get("info", {})}
        return import_api(self, {**api_doc, "info": info}, *args, **kwargs)

    def put_rest_api(
        self: Any, function_id: str, api_doc: dict[str, Any], *args: Any, **kwargs: Any
    ) -> Any:
        document = {name: value for name, value in api_doc.items() if name != "swagger"}
        document.setdefault("openapi", "3.0.1")
        return put_api(self, function_id, document, *args, **kwargs)

    APIGatewayBackend.import_rest_api = import_rest_api  # type: ignore[method-assign]
    APIGatewayBackend.put_rest_api = put_rest_api  # type: ignore[method-assign]
