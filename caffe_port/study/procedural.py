"""How procedural data are labelled, so that nobody takes results on them for evidence."""

from __future__ import annotations

from pathlib import Path

from caffe_port.errors import DataError
from caffe_port.files import atomic_write

#: Names of patients and cases begin with it; by that a report tells them.
PREFIX = "procedural"
#: The file beside them that says what they are.
NOTE = "PROCEDURAL.txt"


def new_folder(folder: Path) -> Path:
    """``folder``, made if it is not there.

    :raises DataError: it cannot be made.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"The folder cannot be made: {error.strerror}.", file=folder) from None
    return folder


def write_note(folder: Path, what: str) -> None:
    """Say in ``folder`` that ``what`` ("frames") it holds are procedural; before they are written.

    :raises DataError: the folder or the file cannot be made.
    """
    with atomic_write(new_folder(folder) / NOTE, DataError) as file:
        file.write(f"Procedural {what}, drawn by formulas by caffe_port. Results on them are no evidence.\n".encode())
