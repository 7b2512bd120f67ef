import hashlib

import pytest

from memos_core.embed.bundled import package_file, require, revision
from memos_core.errors import BackendError

MIB = 1 << 20


def test_a_file_is_found_inside_a_package():
    assert package_file("memos_core", "py.typed", extra=None).name == "py.typed"


def test_a_missing_package_is_an_error_that_names_the_extra():
    with pytest.raises(BackendError, match=r"pip install 'memos-suite-core\[static\]'"):
        require("no_such_package_anywhere", extra="static")


def test_a_package_without_its_file_is_called_damaged():
    with pytest.raises(BackendError, match=r"'memos_core' is damaged, it has no models/none.bin"):
        package_file("memos_core", "models", "none.bin", extra=None)


def test_a_small_file_is_known_by_its_sha256(tmp_path):
    weights = tmp_path / "w"
    weights.write_bytes(b"weights")
    assert revision(weights) == hashlib.sha256(b"weights").hexdigest()[:12]


def test_a_large_file_is_known_by_its_size_and_ends(tmp_path):
    weights = tmp_path / "w"
    seen = set()
    for size, first, last in ((33, b"a", b"a"), (33, b"b", b"a"), (33, b"a", b"b"), (34, b"a", b"a")):
        with weights.open("wb") as file:  # sparse: no bytes are written between
            file.write(first)
            file.seek(size * MIB - 1)
            file.write(last)
        seen.add(revision(weights))
    assert len(seen) == 4


def test_weights_that_cannot_be_read_are_an_error(tmp_path):
    with pytest.raises(BackendError, match="cannot be read"):
        revision(tmp_path / "none")
