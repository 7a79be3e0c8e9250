"""Files that are shipped with the package: ``prototxt/`` and ``data_manifests/``.

In a checkout they lie beside the package, in an installation inside it.
"""

from __future__ import annotations

from pathlib import Path

from caffe_port.errors import CaffeError

_PACKAGE = Path(__file__).resolve().parent


def prototxt(name: str) -> Path:
    """The shipped net or solver file ``name``, such as ``alexnet/deploy.prototxt``."""
    return _find("prototxt", name)


def manifests() -> list[Path]:
    """Every shipped description of a public data set or file, by name."""
    return sorted(_find("data_manifests", "").glob("*.toml"))


def _find(room: str, name: str) -> Path:
    for base in (_PACKAGE, _PACKAGE.parent):
        if (base / room / name).exists():
            return base / room / name
    raise CaffeError(f"{room}/{name} is missing from this installation.", remedy="Install caffe_port again.")
