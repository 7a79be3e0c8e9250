"""The applications by name; each is imported when it is used."""

from __future__ import annotations

import importlib
from pathlib import Path

from caffe_port.errors import DataError, StudyError
from caffe_port.study.cases import Application, Case
from caffe_port.study.split import check_cases

#: Name -> the module that has it as ``APPLICATION``.
APPLICATIONS = {
    "interfaces": "caffe_port.study.interfaces",
    "frames": "caffe_port.study.frames",
    "polyps": "caffe_port.study.polyps",
    "embolism": "caffe_port.study.embolism",
}


def application(name: str) -> Application:
    """The application called ``name``.

    :raises StudyError: there is none.
    """
    if name not in APPLICATIONS:
        raise StudyError(f"Unknown application '{name}'.", remedy=f"There are: {', '.join(APPLICATIONS)}, all.")
    made: Application = importlib.import_module(APPLICATIONS[name]).APPLICATION
    return made


def load_cases(app: Application, folder: str, dataset: str) -> list[Case]:
    """The cases of the data in ``folder``, in the order of their ids.

    :param dataset: one of the application's layouts.
    :raises DataError: the folder is absent, of another layout, or holds cases that cannot be told apart.
    """
    if not Path(folder).is_dir():
        raise DataError("is no folder.", file=folder, remedy="Give the folder of the data set as --data.")
    if dataset not in app.datasets:
        raise DataError(f"'{app.name}' knows no data set '{dataset}'.", remedy=f"It knows: {', '.join(app.datasets)}.")
    cases = sorted(app.datasets[dataset](Path(folder)), key=lambda case: case.id)
    check_cases(cases, folder)
    return cases
