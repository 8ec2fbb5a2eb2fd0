"""Files that switches' options name: of the one directory, by name, and nothing else of the host."""

from __future__ import annotations

from pathlib import Path

import pytest

from ironlane.conductor.switch_files import named
from ironlane.model.errors import Permanent


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    files = tmp_path / "files"
    files.mkdir()
    (files / "known_hosts").write_text("leaf-1 ssh-ed25519 AAAA")
    (files / "ca.pem").write_text("")
    (tmp_path / "shadow").write_text("root:…")
    (files / "out").symlink_to(tmp_path / "shadow")
    (files / "alias").symlink_to(files / "ca.pem")
    (files / "folder").mkdir()
    return files


def test_names_become_paths_and_all_else_stays(directory: Path) -> None:
    options = {"known_hosts": "known_hosts", "tls_ca": "alias", "private_key": "", "platform": "arista-eos", "port": 1}
    assert named(options, directory) == {
        "known_hosts": str(directory / "known_hosts"),
        "tls_ca": str(directory / "ca.pem"),
        "private_key": "",
        "platform": "arista-eos",
        "port": 1,
    }


def test_who_names_no_file_needs_no_directory() -> None:
    assert named({"platform": "sonic", "known_hosts": None}, None) == {"platform": "sonic", "known_hosts": None}


@pytest.mark.parametrize(
    "name", ["/etc/passwd", "../shadow", "folder/x", "out", "folder", "missing", ".", "..", "a\0b", 5, ["known_hosts"]]
)
@pytest.mark.parametrize("option", ["known_hosts", "private_key", "platform_file", "tls_ca", "tls_key"])
def test_anything_else_is_refused(directory: Path, option: str, name: object) -> None:
    with pytest.raises(Permanent, match=option):
        named({option: name}, directory)


def test_without_a_directory_there_are_no_files(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="no switch_files_dir"):
        named({"private_key": "id_ed25519"}, None)
    with pytest.raises(Permanent, match="no file 'id_ed25519'"):
        named({"private_key": "id_ed25519"}, tmp_path / "missing")
