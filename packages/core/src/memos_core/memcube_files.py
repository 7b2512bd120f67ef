"""A cube and its files: it is written to one, and tells from which ones it was loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from memos_core.errors import InvalidInput
from memos_core.governance import NEEDS
from memos_core.interchange.dump import Wish, dumped
from memos_core.interchange.manifest import Dump, Terms
from memos_core.interchange.sealing import checked_passphrase
from memos_core.interchange.signing import SigningKey
from memos_core.memcube_base import Handle
from memos_core.vault import tx_load
from memos_core.vault.tx_load import Import


class Files(Handle):
    """The `.memcube` file of a cube (docs/formats/memcube.md)."""

    def dump(
        self,
        path: str | Path,
        *,
        sign: SigningKey | None = None,
        passphrase: str | None = None,
        vectors: bool = True,
        segments: bool = True,
        adapters: bool = True,
        terms: Terms | None = None,
        overwrite: bool = False,
    ) -> Dump:
        """Write what you may see of the cube to one file, in one snapshot; return what was written.

        Memories with their history, sources, tags and links, archived ones too; records; with
        `vectors` what they are found by, with `segments` the KV states that were made from them, with
        `adapters` what models were taught of them.
        Grants, groups, limits and the audit stay. `sign` signs it; with a `passphrase` nobody reads
        it without; `terms` say how it may be used. The dump is noted in the cube's audit.

        InvalidInput where there is a file already, unless `overwrite`; BackendError where it cannot
        be written. A file that is there is whole: it gets its name last.
        """
        self._core.check_open()
        if sign is not None and not isinstance(sign, SigningKey):
            raise InvalidInput(f"sign must be a SigningKey, not {type(sign).__name__}")
        if terms is not None and not isinstance(terms, Terms):
            raise InvalidInput(f"terms must be Terms(...), not {type(terms).__name__}")
        wish = Wish(
            path=checked_path(path),
            sign=sign,
            passphrase=None if passphrase is None else checked_passphrase(passphrase),
            vectors=vectors,
            segments=segments,
            adapters=adapters,
            terms=terms or Terms(),
            overwrite=overwrite,
            right=NEEDS["dump"],
        )
        return dumped(self._core, self._principal, self._id, wish)

    def imports(self) -> Sequence[Import]:
        """Return which files were loaded into the cube, oldest first."""
        with self._core.reading(self._principal, self._id, NEEDS["imports"]) as (view, cube):
            return tx_load.imported(view, cube)


def checked_path(path: object) -> Path:
    """Return `path` if it could name a file."""
    if not isinstance(path, str | Path) or not str(path) or "\0" in str(path):
        raise InvalidInput(f"path must name a file, not {path!r}")
    return Path(path)
