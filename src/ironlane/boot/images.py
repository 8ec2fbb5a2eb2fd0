"""Kernels and ramdisks: fetched once, checked, kept by their checksum, and dropped when others need the room.

A file has its place in the cache only once it is whole and what it should be, so nobody is ever served a part of one.
Those who want the same image at the same time share one download.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import os
import re
import secrets
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import aiohttp
import structlog

from ironlane.model.errors import Invalid, IronlaneError, Permanent, Temporary

log = structlog.get_logger(__name__)

_ALGORITHMS = {64: "sha256", 96: "sha384", 128: "sha512"}
"""By the length of the checksum in hex. MD5 and SHA-1 can be forged and are not taken."""
_CHUNK = 1 << 20
_REVALIDATED = ("ETag", "Last-Modified")


@dataclass(frozen=True, slots=True)
class Image:
    """Where a file comes from, and how to tell that it is the right one; without `digest` it is taken as it is."""

    url: str
    algorithm: str = ""
    digest: str = ""

    @property
    def key(self) -> str:
        """Its name in the cache."""
        if self.digest:
            return f"{self.algorithm}-{self.digest}"
        return "url-" + hashlib.sha256(self.url.encode()).hexdigest()


@dataclass(frozen=True, slots=True)
class CacheSettings:
    """`directories`: those that `file:` URLs may name files of. `limit`: bytes that the cache takes at the most."""

    directory: Path
    directories: tuple[Path, ...] = ()
    limit: int = 20 << 30
    timeout: float = 60.0
    """Seconds that a server may be silent in the middle of a download."""


def image_of(info: Mapping[str, Any], key: str, *, where: str) -> Image | None:
    """The image that `info[key]` names; None when it names none.

    Its checksum is `info[key + "_checksum"]`: hexadecimal digits, perhaps after `sha256:` or `sha512:`. That of
    `image_source` is in `image_os_hash_algo` and `image_os_hash_value`, or in `image_checksum`.

    Raises:
        Invalid: no URL that can be fetched, or no checksum.
    """
    url = info.get(key)
    if not url:
        return None
    if not isinstance(url, str) or urlsplit(url).scheme not in {"http", "https", "file"}:
        raise Invalid("is not an http, https or file URL", field=f"{where}.{key}")
    named = "image_checksum" if key == "image_source" else f"{key}_checksum"
    given = info.get(named) or ""
    if key == "image_source" and info.get("image_os_hash_value"):
        named, given = "image_os_hash_value", f"{info.get('image_os_hash_algo') or ''}:{info['image_os_hash_value']}"
    algorithm, _, digest = str(given).rpartition(":")
    digest = digest.lower()
    if digest and not (re.fullmatch(r"[0-9a-f]+", digest) and algorithm in {"", _by(digest)} and _by(digest)):
        message = f"is not a {algorithm[:20] or 'SHA-256, SHA-384 or SHA-512'} checksum in hexadecimal digits"
        raise Invalid(message, field=f"{where}.{named}")
    return Image(url, _by(digest), digest)


def _by(digest: str) -> str:
    return _ALGORITHMS.get(len(digest), "")


class ImageCache:
    """Use `start` before, `close` at the end."""

    def __init__(self, settings: CacheSettings) -> None:
        self._settings = settings
        self._allowed = [path.resolve() for path in settings.directories]
        self._under_way: dict[str, asyncio.Task[Path]] = {}
        self._session: aiohttp.ClientSession | None = None

    def start(self) -> None:
        """Make the directory, and clear away what a crash left half-fetched."""
        self._settings.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        for part in self._settings.directory.glob("part-*"):
            part.unlink(missing_ok=True)

    async def fetch(self, image: Image) -> Path:
        """The image as a whole, checked file in the cache. Link it before the next `fetch` if it has to stay.

        Raises:
            Permanent: not there, not allowed, too large, or not what its checksum says.
            Temporary: its server does not answer, or breaks off.
        """
        task = self._under_way.get(image.key)
        if task is None:
            task = asyncio.create_task(self._fetch(image), name=f"image-{image.key[:20]}")
            self._under_way[image.key] = task
            task.add_done_callback(lambda _: self._under_way.pop(image.key, None))
        return await asyncio.shield(task)  # who gives up waiting does not end it for the others

    async def close(self) -> None:
        for task in tuple(self._under_way.values()):
            task.cancel()
        await asyncio.gather(*self._under_way.values(), return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    def state(self) -> dict[str, Any]:
        return {"fetching": len(self._under_way)}

    async def _fetch(self, image: Image) -> Path:
        directory = self._settings.directory
        path = directory / image.key
        if image.digest and path.exists():
            os.utime(path)
            return path
        part = directory / f"part-{secrets.token_hex(8)}"
        try:
            if urlsplit(image.url).scheme == "file":
                source = self._allowed_file(image.url)
                await self._take(image, _chunks_of(source), part, source.stat().st_size)
            elif not await self._download(image, path, part):
                os.utime(path)
                return path
            part.replace(path)
            log.info("image fetched", url=_shown(image.url), bytes=path.stat().st_size)
            self._evict(path)
            return path
        except OSError as error:
            raise Temporary(f"{_shown(image.url)} cannot be kept: {error}") from error
        finally:
            part.unlink(missing_ok=True)

    async def _download(self, image: Image, path: Path, part: Path) -> bool:
        """False when what is in the cache is still what the server has."""
        described = path.with_name(path.name + ".json")
        known = _described(path, described)
        asked = {
            name: value
            for name, header in (("If-None-Match", "ETag"), ("If-Modified-Since", "Last-Modified"))
            if (value := known.get(header))
        }
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=15, sock_read=self._settings.timeout)
            self._session = aiohttp.ClientSession(timeout=timeout, auto_decompress=False)
        try:
            async with self._session.get(image.url, headers=asked, max_redirects=3) as response:
                if response.status == 304 and asked:
                    return False
                if response.status != 200:
                    kind = Temporary if response.status >= 500 or response.status == 429 else Permanent
                    raise kind(f"{_shown(image.url)} cannot be fetched: HTTP status {response.status}")
                await self._take(image, response.content.iter_chunked(_CHUNK), part, response.content_length or 0)
                if not image.digest:
                    found = {h: response.headers[h] for h in _REVALIDATED if h in response.headers}
                    described.write_text(json.dumps(found))
                return True
        except IronlaneError:
            raise
        except aiohttp.InvalidURL as error:
            raise Permanent(f"{_shown(image.url)} is no URL that can be fetched") from error
        except (aiohttp.ClientError, TimeoutError) as error:
            raise Temporary(f"{_shown(image.url)} cannot be fetched: {error or type(error).__name__}") from error

    async def _take(self, image: Image, chunks: AsyncIterator[bytes], part: Path, announced: int) -> None:
        """Write what comes, and refuse what is too large, cut off, or not what it should be."""
        digest = hashlib.new(image.algorithm or "sha256")
        size = 0
        self._refuse_large(image, announced)
        with part.open("wb") as file:
            async for chunk in chunks:
                size += len(chunk)
                self._refuse_large(image, size)
                await asyncio.to_thread(_write, file.write, digest.update, chunk)
            file.flush()
            await asyncio.to_thread(os.fsync, file.fileno())
        if announced and size != announced:
            raise Temporary(f"{_shown(image.url)} broke off after {size} of {announced} bytes")
        if image.digest and digest.hexdigest() != image.digest:
            raise Permanent(
                f"{_shown(image.url)} is not the image that it should be: its {image.algorithm} checksum is"
                f" {digest.hexdigest()}, and {image.digest} was asked for; it is served to nobody"
            )

    def _refuse_large(self, image: Image, size: int) -> None:
        if size > self._settings.limit:
            raise Permanent(f"{_shown(image.url)} is larger than the whole image cache ({self._settings.limit} bytes)")

    def _allowed_file(self, url: str) -> Path:
        """Links are followed before it is decided."""
        parts = urlsplit(url)
        path = Path(unquote(parts.path)).resolve()
        if parts.netloc not in {"", "localhost"} or not any(path.is_relative_to(d) for d in self._allowed):
            allowed = ", ".join(map(str, self._allowed)) or "none"
            raise Permanent(f"{_shown(url)} is not in a directory that files may be taken from (image_dirs: {allowed})")
        if not path.is_file():
            raise Permanent(f"{_shown(url)} is no file")
        return path

    def _evict(self, kept: Path) -> None:
        """The least recently used go first, but not what a node's files are linked to."""
        files = [p for p in self._settings.directory.iterdir() if p.name.startswith(("sha", "url-")) and p.is_file()]
        found = [(path, path.stat()) for path in files]
        total = sum(stat.st_size for _, stat in found)
        for path, stat in sorted(found, key=lambda item: item[1].st_mtime_ns):
            if total <= self._settings.limit:
                break
            if path != kept and stat.st_nlink == 1 and not path.name.endswith(".json"):
                path.unlink(missing_ok=True)
                path.with_name(path.name + ".json").unlink(missing_ok=True)
                total -= stat.st_size
                log.info("image dropped from the cache", image=path.name, bytes=stat.st_size)


def _described(path: Path, described: Path) -> dict[str, str]:
    """What a server said of the file in the cache; nothing when it is not there, or has a checksum to go by."""
    with contextlib.suppress(OSError, ValueError):
        found = json.loads(described.read_text())
        if path.exists() and isinstance(found, dict):
            return {str(key): str(value) for key, value in found.items()}
    return {}


async def _chunks_of(path: Path) -> AsyncIterator[bytes]:
    with path.open("rb") as file:
        while chunk := await asyncio.to_thread(file.read, _CHUNK):
            yield chunk


def _write(write: Callable[[bytes], object], update: Callable[[bytes], object], chunk: bytes) -> None:
    write(chunk)
    update(chunk)


def _shown(url: str) -> str:
    """Without credentials and query, which may be a secret."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
