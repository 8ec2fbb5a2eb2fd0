"""What is to be written onto a server: the image parameters in a node's `instance_info`, checked and as the agent wants
them.

Source: Ironic, "Deploying with Bare Metal service" (instance_info fields of the direct deploy interface), and
ironic-python-agent's `standby.prepare_image`.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ironlane.model.errors import Invalid
from ironlane.model.node import Node

HASHES: Mapping[str, int] = {"sha256": 64, "sha384": 96, "sha512": 128}
"""Algorithm to length of the checksum in hex. MD5 is refused, as Ironic does by default: it can be forged."""

TYPES = ("whole-disk", "partition")
BOOT_MODES = ("uefi", "bios")


LOOKED_UP = "image"
"""Key in `driver_internal_info`: what an image service said of the image; `of` is the id that it was asked for."""

_UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}", re.IGNORECASE)


def named_image(node: Node) -> str | None:
    """The id that the node's image has in an image service; None when it is named by its URL."""
    source = str(node.instance_info.get("image_source") or "")
    return source if _UUID.fullmatch(source) else None


def is_looked_up(node: Node) -> bool:
    """Whether it is known what the image service says of the node's image."""
    return bool((node.driver_internal_info.get(LOOKED_UP) or {}).get("of") == named_image(node))


def check_image(node: Node, *, image_service: bool = False) -> None:
    """Refuse a node whose `instance_info` does not say which image to write, or how to know that it is that one.

    With an `image_service` an image may be named by its id there, and the checksum is the service's.

    Raises:
        Invalid: names the key that is missing or wrong.
    """
    if not (image_service and named_image(node)):
        known = _known(node, node.instance_info)
        _url(known, "image_source")
        _checksum(known)
    if _type(node) == "partition" and _megabytes(node.instance_info, "root") is None:
        raise _invalid("root_gb", "is missing: the size in GB of the root partition that the image is written into")
    for name in ("swap", "ephemeral"):
        _megabytes(node.instance_info, name)
    boot_mode(node)
    check_configdrive(node.instance_info.get("configdrive"))


def check_configdrive(value: object) -> None:
    """Refuse a config drive that would have to be built.

    Raises:
        Invalid: it is an object.
    """
    if isinstance(value, Mapping):
        raise _invalid(
            "configdrive",
            "is an object, which this service does not build a config drive from; send an ISO 9660 image, gzipped and"
            " in base64, or a URL of one",
        )


def check_ramdisk(node: Node) -> None:
    """Refuse a node whose `instance_info` does not say which kernel and ramdisk to run.

    Raises:
        Invalid: names the key that is missing or wrong.
    """
    for key in ("kernel", "ramdisk"):
        _url(node.instance_info, key)


def image_info(node: Node, instance: Mapping[str, Any]) -> dict[str, Any]:
    """`image_info` of `standby.prepare_image`. `instance` is the node's `instance_info` with its secrets readable."""
    instance = _known(node, instance)
    url = str(instance["image_source"])
    algorithm, value = _checksum(instance)
    info: dict[str, Any] = {
        "id": hashlib.sha256(url.encode()).hexdigest(),  # the agent makes it part of a file's name
        "urls": [url],
        "disk_format": instance.get("image_disk_format"),
        "container_format": instance.get("image_container_format") or "bare",
        "stream_raw_images": True,
        "node_uuid": node.id,
        "image_type": _type(node),
        "deploy_boot_mode": boot_mode(node),
        "boot_option": "local",
    }
    info |= {"os_hash_algo": algorithm, "os_hash_value": value} if algorithm else {"checksum": value}
    if _type(node) == "partition":
        info |= {f"{name}_mb": _megabytes(instance, name) or 0 for name in ("root", "swap", "ephemeral")}
        info |= {
            "ephemeral_format": instance.get("ephemeral_format"),
            "preserve_ephemeral": bool(instance.get("preserve_ephemeral")),
            "configdrive": instance.get("configdrive"),
        }
    return info


def _known(node: Node, instance: Mapping[str, Any]) -> Mapping[str, Any]:
    """`instance_info` with what the image service said in place of the image's id."""
    if named_image(node) is None or not is_looked_up(node):
        return instance
    said = node.driver_internal_info[LOOKED_UP]
    return {**instance, **{key: value for key, value in said.items() if key != "of"}}


def boot_mode(node: Node) -> str:
    """`uefi`, unless the node or its instance says `bios`.

    Raises:
        Invalid: it says something else.
    """
    asked = node.instance_info.get("deploy_boot_mode") or node.capabilities.get("boot_mode") or "uefi"
    if asked not in BOOT_MODES:
        raise _invalid("deploy_boot_mode", f"is {str(asked)[:40]!r}; it has to be one of {', '.join(BOOT_MODES)}")
    return str(asked)


def _type(node: Node) -> str:
    """As Ironic: an image with a kernel and a ramdisk of its own is a partition's, unless `image_type` says so."""
    info = node.instance_info
    given = info.get("image_type") or ("partition" if info.get("kernel") and info.get("ramdisk") else "whole-disk")
    if given not in TYPES:
        raise _invalid("image_type", f"is {str(given)[:40]!r}; it has to be one of {', '.join(TYPES)}")
    return str(given)


def _url(info: Mapping[str, Any], key: str) -> str:
    value = info.get(key)
    if not value:
        raise _invalid(key, "is missing; it has to be the http(s) URL that the server can fetch it from")
    try:
        parts = urlsplit(value) if isinstance(value, str) else None
        sound = parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        sound = False
    if not sound:
        raise _invalid(
            key,
            "has to be an http(s) URL that the server can fetch; no image service (image_service) is configured here",
        )
    return str(value)


def _checksum(info: Mapping[str, Any]) -> tuple[str, str]:
    """Algorithm and value; without algorithm the value is the URL of a file of checksums."""
    algorithm, value = info.get("image_os_hash_algo"), info.get("image_os_hash_value")
    if not algorithm and not value:
        value = info.get("image_checksum")
        if not value:
            raise _invalid(
                "image_checksum",
                "is missing; give it, or image_os_hash_algo and image_os_hash_value, so that the server can tell a"
                " damaged image",
            )
        if isinstance(value, str) and value.startswith(("http://", "https://")):
            return "", value
        algorithm = next((name for name, length in HASHES.items() if len(str(value)) == length), None)
        if algorithm is None:
            raise _invalid("image_checksum", f"is no {' or '.join(HASHES)} in hex, nor a URL of a list of such")
        return algorithm, _hex(str(value), algorithm, "image_checksum")
    if algorithm not in HASHES:
        raise _invalid("image_os_hash_algo", f"has to be one of {', '.join(HASHES)}")
    return str(algorithm), _hex(str(value or ""), str(algorithm), "image_os_hash_value")


def _hex(value: str, algorithm: str, key: str) -> str:
    if not re.fullmatch(r"[0-9a-fA-F]+", value) or len(value) != HASHES[algorithm]:
        raise _invalid(key, f"is no {algorithm} checksum: {HASHES[algorithm]} hexadecimal digits")
    return value.lower()


def _megabytes(info: Mapping[str, Any], name: str) -> int | None:
    """`root_mb`, else `root_gb`, in MB; None when neither is there."""
    for key, factor in ((f"{name}_mb", 1), (f"{name}_gb", 1024)):
        value = info.get(key)
        if value in (None, ""):
            continue
        if isinstance(value, str) and re.fullmatch(r"[0-9]{1,9}", value):
            value = int(value)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise _invalid(key, "has to be a whole number")
        return value * factor
    return None


def _invalid(key: str, message: str) -> Invalid:
    return Invalid(message, code="InvalidParameterValue", field=f"instance_info.{key}")
