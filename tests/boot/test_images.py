"""The image cache against a real web server: whole, checked, shared, bounded."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from ironlane.boot.images import CacheSettings, Image, ImageCache, image_of
from ironlane.model.errors import Invalid, Permanent, Temporary
from tests.boot.origin import Origin

CONTENT = os.urandom(3 << 20)


@pytest_asyncio.fixture
async def origin() -> AsyncIterator[Origin]:
    made = Origin({"kernel": CONTENT})
    await made.start()
    yield made
    await made.stop()


@pytest_asyncio.fixture
async def cache(tmp_path: Path) -> AsyncIterator[ImageCache]:
    (tmp_path / "allowed").mkdir()
    made = ImageCache(CacheSettings(tmp_path / "cache", (tmp_path / "allowed",), limit=8 << 20))
    made.start()
    yield made
    await made.close()


def known(origin: Origin, name: str, algorithm: str = "sha256") -> Image:
    return Image(f"{origin.url}/{name}", algorithm, hashlib.new(algorithm, origin.content[name]).hexdigest())


def kept(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "cache").iterdir())


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_fetched_once_and_checked(origin: Origin, cache: ImageCache, tmp_path: Path, algorithm: str) -> None:
    image = known(origin, "kernel", algorithm)
    path = await cache.fetch(image)
    assert path.read_bytes() == CONTENT
    assert await cache.fetch(image) == path
    assert origin.asked["kernel"] == 1
    assert kept(tmp_path) == [image.key]


async def test_a_wrong_checksum_is_refused_with_the_sentence(origin: Origin, cache: ImageCache, tmp_path: Path) -> None:
    wrong = "ab" * 32
    with pytest.raises(Permanent) as refused:
        await cache.fetch(Image(f"{origin.url}/kernel", "sha256", wrong))
    real = hashlib.sha256(CONTENT).hexdigest()
    assert refused.value.message == (
        f"{origin.url}/kernel is not the image that it should be: its sha256 checksum is {real}, and {wrong} was asked"
        " for; it is served to nobody"
    )
    assert kept(tmp_path) == []


async def test_those_who_want_the_same_share_one_download(origin: Origin, cache: ImageCache) -> None:
    origin.gate.clear()
    waiting = [asyncio.create_task(cache.fetch(known(origin, "kernel"))) for _ in range(20)]
    async with asyncio.timeout(30):
        while not origin.asked["kernel"]:  # noqa: ASYNC110 - the server has no event
            await asyncio.sleep(0.01)
    waiting[0].cancel()  # the one who began it goes away; the others are not to suffer
    origin.gate.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert len({str(path) for path in results[1:]}) == 1
    assert origin.asked["kernel"] == 1


async def test_a_download_that_breaks_off_is_never_kept(origin: Origin, cache: ImageCache, tmp_path: Path) -> None:
    origin.broken.add("kernel")
    for image in (known(origin, "kernel"), Image(f"{origin.url}/kernel")):
        with pytest.raises(Temporary):
            await cache.fetch(image)
        assert kept(tmp_path) == []
    origin.broken.clear()
    assert (await cache.fetch(known(origin, "kernel"))).read_bytes() == CONTENT


async def test_without_checksum_the_server_is_asked_again(origin: Origin, cache: ImageCache) -> None:
    image = Image(f"{origin.url}/kernel")
    assert (await cache.fetch(image)).read_bytes() == CONTENT
    assert (await cache.fetch(image)).read_bytes() == CONTENT
    assert (origin.asked["kernel"], origin.unchanged["kernel"]) == (2, 1)
    origin.content["kernel"] = b"a newer one"
    assert (await cache.fetch(image)).read_bytes() == b"a newer one"


async def test_the_least_recently_used_go_first_and_linked_ones_stay(
    origin: Origin, cache: ImageCache, tmp_path: Path
) -> None:
    images = {}
    for age, name in enumerate(("linked", "old", "used")):
        origin.content[name] = os.urandom(2 << 20)
        images[name] = known(origin, name)
        path = await cache.fetch(images[name])
        os.utime(path, (1000 + age, 1000 + age))
    os.link(tmp_path / "cache" / images["linked"].key, tmp_path / "link")
    await cache.fetch(images["used"])
    origin.content["new"] = os.urandom(3 << 20)
    await cache.fetch(known(origin, "new"))
    assert kept(tmp_path) == sorted([images["linked"].key, images["used"].key, known(origin, "new").key])


async def test_what_is_larger_than_the_cache_is_refused(origin: Origin, cache: ImageCache, tmp_path: Path) -> None:
    origin.content["huge"] = bytes(9 << 20)
    with pytest.raises(Permanent, match="larger than the whole image cache"):
        await cache.fetch(known(origin, "huge"))
    assert kept(tmp_path) == []


@pytest.mark.parametrize(("name", "kind"), [("missing", Permanent)])
async def test_what_is_not_there(origin: Origin, cache: ImageCache, name: str, kind: type[Exception]) -> None:
    with pytest.raises(kind, match="HTTP status 404"):
        await cache.fetch(Image(f"{origin.url}/{name}"))
    await origin.stop()
    with pytest.raises(Temporary, match="cannot be fetched"):
        await cache.fetch(Image(f"{origin.url}/kernel?password=secret"))
    await origin.start()


async def test_files_only_from_allowed_directories(cache: ImageCache, tmp_path: Path) -> None:
    allowed = tmp_path / "allowed"
    (allowed / "kernel").write_bytes(CONTENT)
    (tmp_path / "secret").write_text("secret")
    (allowed / "way-out").symlink_to(tmp_path / "secret")
    assert (await cache.fetch(Image(f"file://{allowed}/kernel"))).read_bytes() == CONTENT
    for path in ("/etc/passwd", f"{allowed}/../secret", f"{allowed}/%2e%2e/secret", f"{allowed}/way-out", f"{allowed}"):
        with pytest.raises(Permanent):
            await cache.fetch(Image(f"file://{path}"))
    assert not any("secret" in path.read_bytes().decode("latin-1")[:10] for path in (tmp_path / "cache").iterdir())


def test_checksums_as_they_are_written() -> None:
    digest = "ab" * 32
    url = "http://example.org/k"
    assert image_of({"deploy_kernel": url}, "deploy_kernel", where="driver_info") == Image(url)
    assert image_of({}, "deploy_kernel", where="driver_info") is None
    for given in (digest, digest.upper(), f"sha256:{digest}"):
        info = {"kernel": url, "kernel_checksum": given}
        assert image_of(info, "kernel", where="instance_info") == Image(url, "sha256", digest)
    long = {"image_source": url, "image_os_hash_algo": "sha512", "image_os_hash_value": digest * 2}
    assert image_of(long, "image_source", where="instance_info") == Image(url, "sha512", digest * 2)
    short = {"image_source": url, "image_checksum": digest}
    assert image_of(short, "image_source", where="instance_info") == Image(url, "sha256", digest)


@pytest.mark.parametrize(
    ("info", "field"),
    [
        ({"kernel": "ftp://x/y"}, "kernel"),
        ({"kernel": 7}, "kernel"),
        ({"kernel": "http://x/y", "kernel_checksum": "d41d8cd98f00b204e9800998ecf8427e"}, "kernel_checksum"),
        ({"kernel": "http://x/y", "kernel_checksum": "sha512:" + "ab" * 32}, "kernel_checksum"),
        ({"kernel": "http://x/y", "kernel_checksum": "zz" * 32}, "kernel_checksum"),
        ({"kernel": "http://x/y", "kernel_checksum": "md5:" + "ab" * 16}, "kernel_checksum"),
    ],
)
def test_what_is_no_image(info: dict[str, object], field: str) -> None:
    with pytest.raises(Invalid) as refused:
        image_of(info, "kernel", where="instance_info")
    assert refused.value.field == f"instance_info.{field}"
