"""The candidate stage of detection: what the detector finds, as ``candidates.csv`` in the folder of a run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

from caffe_port.errors import DataError, StudyError
from caffe_port.study.cases import Candidate, Case
from caffe_port.study.folder import RunFolder, read_made, read_table, write_record, write_table
from caffe_port.study.settings import Settings

COLUMNS = ("case", "patient", "candidate", "lesion", "score", "info")


def store_candidates(
    folder: RunFolder, settings: Settings, cases: Sequence[Case], found: Mapping[str, Sequence[Candidate]]
) -> None:
    """Write ``candidates.csv`` and its record.

    :param found: candidates by case, of all ``cases``.
    :raises DataError: there is none at all, two of a case have one id, or one hits a lesion that its case has not.
    """
    rows = []
    for case in cases:
        ids: set[str] = set()
        for candidate in found[case.id]:
            if candidate.id in ids:
                raise DataError(f"Two candidates of case '{case.id}' are called '{candidate.id}'.")
            if candidate.lesion and candidate.lesion not in case.lesions:
                raise DataError(f"Case '{case.id}' has no lesion '{candidate.lesion}'.")
            ids.add(candidate.id)
            row = {"case": case.id, "patient": case.patient, "candidate": candidate.id, "lesion": candidate.lesion}
            rows.append({**row, "score": float(candidate.score), "info": json.dumps(dict(candidate.info))})
    if not rows:
        raise DataError(
            "The candidate detector finds nothing in these data.", remedy="Check the data, and the detector's settings."
        )
    write_table(folder.candidates, COLUMNS, rows)
    write_record(folder.candidates_record, {"digest": settings.digest(), "sha256": _sha256(folder)})


def has_candidates(folder: RunFolder, settings: Settings) -> bool:
    """Whether the stage is done.

    :raises StudyError: it was, with other settings.
    """
    return _recorded(folder, settings) is not None


def _recorded(folder: RunFolder, settings: Settings) -> str | None:
    """The hash of the table when it was made; None where there is none."""
    made = read_made(folder.candidates_record, settings.digest(), ("sha256",))
    return str(made["sha256"]) if made is not None and folder.candidates.exists() else None


def _sha256(folder: RunFolder) -> str:
    return hashlib.sha256(folder.candidates.read_bytes()).hexdigest()


def with_candidates(folder: RunFolder, settings: Settings, cases: Sequence[Case]) -> list[Case]:
    """``cases``, each with its candidates.

    :raises StudyError: the stage is not done, was done with other settings, or its table was changed since: patches
        and scores of the run would no more be of the same candidates.
    """
    recorded = _recorded(folder, settings)
    if recorded is None:
        remedy = "Run 'caffe-port study prepare' first."
        raise StudyError("There are no candidates yet.", file=folder.candidates, remedy=remedy)
    if recorded != _sha256(folder):
        remedy = "Put it back, or remove it and run 'caffe-port study prepare', which makes it again."
        raise StudyError("is damaged, or was changed by hand.", file=folder.candidates, remedy=remedy)
    found: dict[str, list[Candidate]] = {}
    for row in read_table(folder.candidates, COLUMNS):
        candidate = Candidate(row["candidate"], float(row["score"]), row["lesion"], json.loads(row["info"]))
        found.setdefault(row["case"], []).append(candidate)
    return [replace(case, candidates=tuple(found.get(case.id, ()))) for case in cases]
