"""The generated protobuf modules are those of the .proto files beside them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import ironlane.protobuf

ROOT = Path(__file__).parent.parent.parent
MODULES = Path(ironlane.protobuf.__file__).parent


def test_the_modules_are_what_the_script_makes(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "scripts/generate-protobuf", tmp_path], check=True)
    made = {path.name: path.read_text() for path in (tmp_path / "ironlane/protobuf").iterdir()}
    kept = {path.name: path.read_text() for pattern in ("*_pb2.py", "*_pb2.pyi") for path in MODULES.glob(pattern)}
    assert made == kept


def test_the_command_starts_without_grpc() -> None:
    """Whoever has no gNMI switch does not pay for it."""
    text = "import sys, ironlane.cli.main, ironlane.service, ironlane.lab.rack; print('grpc' in sys.modules)"
    told = subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True)
    assert told.stdout.strip() == "False"
