"""Which classes of the known data sets count as informative, and where they burn a navigation box into the frame.

The mappings are this project's choice: but for NBI-InfFrames none of these data sets has the paper's labels.
"""

from __future__ import annotations

#: The names of labels 0 and 1.
LABELS = ("non-informative", "informative")
#: Class -> label; None: on purpose in neither class.
Classes = dict[str, "int | None"]
LEFT_OUT = "left-out"

INFORMATIVE: Classes = {"informative": 1, "non-informative": 0}

#: Borgli et al., Scientific Data 7:283, 2020: "quality-of-mucosal-views" by Boston bowel preparation score (BBPS).
HYPERKVASIR: Classes = {"bbps-0-1": 0, "impacted-stool": 0, "bbps-2-3": 1}

#: Pogorelov et al., MMSys 2017: folders by BBPS, divided as HyperKvasir divides it.
NERTHUS: Classes = {"0": 0, "1": 0, "2": 1, "3": 1}

#: Medico 2018 / BioMedia 2019. Left out: the upper tract, and instruments, which say nothing about the view.
BIOMEDIA: Classes = {
    "blurry-nothing": 0,
    "out-of-patient": 0,
    "stool-plenty": 0,
    "colon-clear": 1,
    "dyed-lifted-polyps": 1,
    "dyed-resection-margins": 1,
    "normal-cecum": 1,
    "polyps": 1,
    "retroflex-rectum": 1,
    "stool-inclusions": 1,
    "ulcerative-colitis": 1,
    "instruments": None,
    "esophagitis": None,
    "normal-pylorus": None,
    "normal-z-line": None,
    "retroflex-stomach": None,
}

#: Moccia et al., Comput Methods Programs Biomed 158, 2018: informative, blurred, saliva and specular, underexposed.
NBI_INFFRAMES: Classes = {"I": 1, "B": 0, "S": 0, "U": 0}

#: The lower left corner, where Kvasir's frames have the position of the scope in green: parts of width and height
#: (left, top, right, bottom). In three frames of Kvasir-SEG, which has that box blanked, it reached to 0.32-0.36 of the
#: width and began at 0.54-0.68 of the height; that Nerthus has it at the same place is unverified.
NAVIGATION_BOX = (0.0, 0.52, 0.38, 1.0)
