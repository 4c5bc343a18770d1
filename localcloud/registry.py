"""A local image registry behind the embedded ECR.

moto has no registry. Here the token and its endpoint are those of a real one, and an image exists
when that registry has it.
"""

from typing import Any, Final

import requests
from moto.ecr.exceptions import ImageNotFoundException
from moto.ecr.models import ECRBackend
from moto.ecr.responses import ECRResponse

# The media types that docker and podman push.
MANIFESTS: Final = (
    "application/vnd.docker.distribution.manifest.v2+json,"
    " application/vnd.oci.image.manifest.v1+json"
)


def install(address: str) -> None:
    """``address`` is host:port of a registry that accepts the user AWS with moto's token."""
    authorise = ECRResponse.get_authorization_token
    describe = ECRBackend.describe_images

    def get_authorization_token(self: Any) -> Any:
        answer: Any = authorise(self)
        for granted in answer.result["authorizationData"]:
            granted["proxyEndpoint"] = f"http://{address}"
        return answer

    def describe_images(
        self: Any, repository_name: str, registry_id: str | None = None, image_ids: Any = None
    ) -> Any:
        self._get_repository(repository_name, registry_id)
        for wanted in image_ids or []:
            tag = wanted["imageTag"]
            found = requests.get(
                f"http://{address}/v2/{repository_name}/manifests/{tag}",
                headers={"Accept": MANIFESTS},
                auth=("AWS", f"{self.account_id}-auth-token"),
                timeout=10,
            )
            if found.status_code == requests.codes.not_found:
                raise ImageNotFoundException(f"imageTag:'{tag}'", repository_name, self.account_id)
            found.raise_for_status()
        return describe(self, repository_name, registry_id)

    ECRResponse.get_authorization_token = get_authorization_token  # type: ignore[method-assign]
    ECRBackend.describe_images = describe_images  # type: ignore[method-assign]
