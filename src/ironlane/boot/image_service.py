"""An image service as a client: an image's id to what `instance_info` says of an image.

Source: the OpenStack Images API v2, `GET /v2/images/{image_id}`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import aiohttp

from ironlane.model.errors import Permanent, Temporary
from ironlane.model.image import HASHES

_LARGEST = 1 << 20
"""Bytes of an answer that are read at most."""


class ImageService:
    """Looks images up at `url` (`http://images.example.org:9292`). A question takes at most `timeout` seconds.

    No token is shown: neither here nor by the agents, which fetch the images there.
    """

    def __init__(self, url: str, *, timeout: float = 15.0) -> None:
        self._url = url.rstrip("/")
        self._timeout = aiohttp.ClientTimeout(total=timeout)

    async def find(self, ident: str) -> dict[str, str]:
        """`image_source`, a URL now, `image_os_hash_algo`, `image_os_hash_value`, `image_disk_format`,
        `image_container_format`. The image's `direct_url` comes first, if it can be fetched over HTTP.

        Raises:
            Permanent: no such image; it cannot be used; or the service lets nobody in without a token.
            Temporary: the service does not answer.
        """
        address = f"{self._url}/v2/images/{quote(ident, safe='')}"
        try:
            async with (
                aiohttp.ClientSession(timeout=self._timeout) as session,
                session.get(address, allow_redirects=False) as answer,
            ):
                if answer.status != 200:
                    raise _refused(address, answer.status)
                found = json.loads(await answer.content.read(_LARGEST))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Temporary(f"{address} does not answer: {error or type(error).__name__}") from error
        except ValueError as error:
            raise Permanent(f"{address} answers with something that is not JSON") from error
        if not isinstance(found, dict):
            raise Permanent(f"{address} answers with something that is no image")
        return _described(address, found)


def _refused(address: str, status: int) -> Permanent | Temporary:
    if status == 404:
        return Permanent(f"image_source: {address} does not exist")
    if status in (401, 403):
        return Permanent(f"{address} wants a token ({status}); images have to be readable without one")
    kind = Temporary if status >= 500 or status == 429 else Permanent
    return kind(f"{address} answers with HTTP status {status}")


def _described(address: str, image: Mapping[str, Any]) -> dict[str, str]:
    if image.get("status") != "active":
        raise Permanent(
            f"{address} is {str(image.get('status'))[:40]}, not active: nothing was uploaded, or not all of it"
        )
    algorithm, value = image.get("os_hash_algo"), image.get("os_hash_value")
    if algorithm not in HASHES or not isinstance(value, str):
        raise Permanent(f"{address} has no checksum of {', '.join(HASHES)} (os_hash_algo, os_hash_value)")
    direct = image.get("direct_url")
    over_http = isinstance(direct, str) and direct.startswith(("http://", "https://"))
    return {
        "image_source": str(direct) if over_http else f"{address}/file",
        "image_os_hash_algo": str(algorithm),
        "image_os_hash_value": value,
        "image_disk_format": str(image.get("disk_format") or "raw"),
        "image_container_format": str(image.get("container_format") or "bare"),
    }
