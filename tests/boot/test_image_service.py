"""Images that are named by their id in an image service."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

from ironlane.boot.image_service import ImageService
from ironlane.model.errors import Permanent, Temporary
from tests.boot.images_api import Images

IMAGE = "8f1e0a4e-0000-4000-8000-000000000000"
SHOWN: dict[str, Any] = {
    "id": IMAGE,
    "status": "active",
    "os_hash_algo": "sha512",
    "os_hash_value": "ab" * 64,
    "disk_format": "qcow2",
    "container_format": "bare",
}


@pytest.fixture
async def images() -> AsyncIterator[Images]:
    async with Images.running() as running:
        yield running


async def test_an_image_is_found_by_its_id(images: Images) -> None:
    images.images[IMAGE] = SHOWN
    service = ImageService(f"{images.url}/")
    found = {
        "image_source": f"{images.url}/v2/images/{IMAGE}/file",
        "image_os_hash_algo": "sha512",
        "image_os_hash_value": "ab" * 64,
        "image_disk_format": "qcow2",
        "image_container_format": "bare",
    }
    assert await service.find(IMAGE) == found
    images.images[IMAGE] = {**SHOWN, "direct_url": "http://mirror.example/8f1e"}
    assert (await service.find(IMAGE))["image_source"] == "http://mirror.example/8f1e"
    images.images[IMAGE] = {**SHOWN, "direct_url": "rbd://pool/8f1e"}
    assert await service.find(IMAGE) == found


@pytest.mark.parametrize(
    ("answer", "kind", "told"),
    [
        (404, Permanent, "does not exist"),
        (401, Permanent, "wants a token"),
        (302, Permanent, "302"),
        (503, Temporary, "503"),
        ("{", Permanent, "not JSON"),
        ("[]", Permanent, "no image"),
        ({**SHOWN, "status": "queued"}, Permanent, "queued"),
        ({**SHOWN, "os_hash_algo": None, "os_hash_value": None, "checksum": "ab" * 16}, Permanent, "no checksum"),
        ({**SHOWN, "os_hash_algo": "md5"}, Permanent, "no checksum"),
    ],
)
async def test_what_cannot_be_used_is_told(
    images: Images, answer: dict[str, Any] | str | int, kind: type[Exception], told: str
) -> None:
    images.images[IMAGE] = answer
    with pytest.raises(kind, match=told):
        await ImageService(images.url).find(IMAGE)


async def test_a_service_that_is_away_is_asked_again_later(images: Images) -> None:
    service = ImageService("http://127.0.0.1:9")
    with pytest.raises(Temporary, match="does not answer"):
        await service.find(IMAGE)
