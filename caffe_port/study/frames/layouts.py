"""Which classes of the known data sets count as informative, and where they burn a navigation box into the frame.

The mappings stand in the manifests of the data sets. They are this project's choice: but for NBI-InfFrames none of
these data sets has the paper's labels.
"""

from __future__ import annotations

from caffe_port.manifests import LEFT_OUT, load

#: The names of labels 0 and 1.
LABELS = ("non-informative", "informative")
#: Class -> label; None: on purpose in neither class.
Classes = dict[str, "int | None"]
#: By the word that manifests and tables use.
LABEL_OF: Classes = {**{name: label for label, name in enumerate(LABELS)}, LEFT_OUT: None}

INFORMATIVE: Classes = {name: label for label, name in enumerate(LABELS)}

#: The lower left corner, where Kvasir's frames have the position of the scope in green: parts of width and height
#: (left, top, right, bottom). In three frames of Kvasir-SEG, which has that box blanked, it reached to 0.32-0.36 of the
#: width and began at 0.54-0.68 of the height; that Nerthus has it at the same place is unverified.
NAVIGATION_BOX = (0.0, 0.52, 0.38, 1.0)


def classes_of(name: str) -> Classes:
    """The classes of the data set with the manifest ``name``, one per folder."""
    return {folder: LABEL_OF[meaning] for folder, meaning in load(name).labels.classes.items()}
