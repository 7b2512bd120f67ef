"""Having the system forget a file's bytes, so that the next reader waits for the disk."""

from __future__ import annotations

import ctypes
import mmap
import os
from pathlib import Path


def uncached(path: Path) -> bool:
    """Drop a file from the page cache; return whether it is gone. False where that cannot be told."""
    if not hasattr(os, "posix_fadvise"):
        return False
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)  # what is not written yet would stay
        os.posix_fadvise(handle, 0, 0, os.POSIX_FADV_DONTNEED)
        with mmap.mmap(handle, 0, access=mmap.ACCESS_COPY) as mapped:
            return not _resident(mapped)
    finally:
        os.close(handle)


def _resident(mapped: mmap.mmap) -> bool:
    """Return whether a page of the mapping is in memory, or the system does not tell (mincore(2))."""
    pages = (ctypes.c_ubyte * -(-len(mapped) // mmap.PAGESIZE))()
    start = ctypes.c_char.from_buffer(mapped)
    try:
        failed = ctypes.CDLL(None).mincore(
            ctypes.c_void_p(ctypes.addressof(start)), ctypes.c_size_t(len(mapped)), pages
        )
    except AttributeError:
        return True
    finally:
        del start  # or the mapping cannot be closed
    return bool(failed) or any(page & 1 for page in pages)
