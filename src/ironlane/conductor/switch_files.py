"""Files that switches' options name: known hosts, keys, certificates, platform files. All lie in one directory.

The names come in through an API, so they are names and no paths, and what they name is a file there: not what a
symbolic link leads to elsewhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ironlane.model.errors import Permanent
from ironlane.model.inventory import FILE_OPTIONS, file_option_problem


def named(options: Mapping[str, Any], directory: Path | None) -> Mapping[str, Any]:
    """The options with the paths of the files that they name.

    Raises:
        Permanent: there is no such file, no directory for them, or no name.
    """
    files = {option: options[option] for option in sorted(FILE_OPTIONS & options.keys()) if options[option]}
    if not files:
        return options
    problem = file_option_problem(files)
    if problem is not None:
        raise Permanent(f"option {problem[0]} {problem[1]}")
    if directory is None:
        raise Permanent(f"option {min(files)} names a file, and there is no switch_files_dir to look for it in")
    return {**options, **{option: str(_file(directory, option, name)) for option, name in files.items()}}


def _file(directory: Path, option: str, name: str) -> Path:
    path = directory / name
    try:
        real = path.resolve(strict=True)
    except OSError as error:
        raise Permanent(f"option {option}: there is no file {name!r} in {directory}") from error
    if not real.is_file() or not real.is_relative_to(directory.resolve()):
        raise Permanent(f"option {option}: {name!r} is no file in {directory}, or leads out of it")
    return real
