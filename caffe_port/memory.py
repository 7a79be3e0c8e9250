"""Memory that a computation on the CPU uses again and again."""

from __future__ import annotations

import ctypes
import sys

#: From glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_MMAP_MAX = -1, -4


def keep_freed_memory() -> None:
    """Let the C library keep the memory that this process frees, rather than hand it back to the system each time.

    A training step frees and asks for the same large blocks every time. glibc maps those beyond 32 MiB anew, and the
    system fills every page of them with zeros: a tenth of the time of an AlexNet step. The process then holds what it
    once needed until it ends, which is about what a step needs at its peak. Elsewhere than under glibc: no effect.
    """
    if sys.platform == "linux" and hasattr(library := ctypes.CDLL(None), "mallopt"):
        library.mallopt(_M_MMAP_MAX, 0)
        library.mallopt(_M_TRIM_THRESHOLD, -1)
