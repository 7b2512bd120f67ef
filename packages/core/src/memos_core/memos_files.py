"""A store and `.memcube` files: they are loaded into its cubes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from memos_core.core import Core
from memos_core.cube import Principal
from memos_core.interchange.fates import OnConflict
from memos_core.interchange.load import Order, loaded
from memos_core.interchange.manifest import Bounds, Load, hexadecimal
from memos_core.interchange.sealing import checked_passphrase
from memos_core.memcube_files import checked_path
from memos_core.memory import checked_choice, checked_name
from memos_core.segment import EngineIdentity


class Loading:
    """The verb of `MemOS` that reads a file."""

    _core: Core
    principal: Principal

    def load(
        self,
        path: str | Path,
        *,
        name: str | None = None,
        owner: Principal | str | None = None,
        on_conflict: OnConflict | str = OnConflict.FAIL,
        verify_key: str | None = None,
        passphrase: str | None = None,
        engines: Iterable[EngineIdentity] = (),
        bounds: Bounds | None = None,
    ) -> Load:
        """Read a `.memcube` file into a cube, all of it or nothing; return what was done.

        The cube is `name`, or called as in the file; yours, made if it is not there, or that of an
        `owner` who lets you write. What it has already in other words is a conflict: "fail" raises
        AlreadyThere, "skip" keeps what is there, "replace" takes the file's with its history,
        "keep_both" lets it in beside it. Ids are kept where they are free. What is loaded is yours,
        passes redaction and the cube's limits, and tells the file (`imported_from`); what this store
        forgot stays forgotten.

        With a `verify_key` (`SigningKey.public`) only what it signed is loaded. KV states and adapters
        come in for the `engines` that you name: they cannot be checked against the text, so name them
        for files that you trust. `bounds` say how much a file may unpack to. FormatError for a file that is
        damaged, was changed, or is of a version that is not known here.
        """
        self._core.check_open()
        order = Order(
            path=checked_path(path),
            name=None if name is None else checked_name(name, what="cube name"),
            owner=owner if owner is None or isinstance(owner, Principal) else Principal(owner),
            on_conflict=checked_choice(OnConflict, on_conflict, what="on_conflict"),
            verify_key=None if verify_key is None else hexadecimal(verify_key),
            passphrase=None if passphrase is None else checked_passphrase(passphrase),
            bounds=bounds or Bounds(),
            engines=tuple(engines),
        )
        return loaded(self._core, self.principal, order)
