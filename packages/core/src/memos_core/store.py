"""Publish cubes to a folder or any place that fsspec reaches, subscribe to them, and keep up with them.

A publication is a `.memcube` file with a version, and a card beside it: a small JSON that says what
the file is. Cards are read to list; the file itself is believed only after its own checks.
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
import uuid
from collections.abc import Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote

from memos_core.cube import Right
from memos_core.errors import BackendError, FormatError, InvalidInput, NotFound
from memos_core.governance import NEEDS
from memos_core.interchange.dump import Wish, dumped
from memos_core.interchange.fates import OnConflict
from memos_core.interchange.load import Order, loaded
from memos_core.interchange.manifest import Load, Manifest, Terms, hexadecimal, moment
from memos_core.interchange.sealing import checked_passphrase
from memos_core.interchange.signing import SigningKey
from memos_core.memcube import MemCube
from memos_core.memory import checked_choice, checked_name, checked_within
from memos_core.memos import MemOS
from memos_core.vault.tx_load import Import

CARD_LIMIT: Final = 1 << 20  # bytes
_CHUNK: Final = 1 << 20
_CARD: Final = re.compile(r"(\d{8})\.json")
_SECRETS: Final = re.compile(r"(?<=://)[^/@]*@|\?.*$")
_LONGEST: Final = 200  # characters of a folder's name


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """One version of a cube in a store. `sha256` and `size` are the file's, `digest` its manifest's.

    What it says about licence, audience and signer is what the card says; the file's manifest decides.
    """

    name: str
    version: int
    digest: str
    sha256: str
    size: int
    made_at: datetime
    owner: str
    licence: str | None
    audience: tuple[str, ...]
    signer: str | None


class Store:
    """A place where cubes are published: a folder, or a URL of fsspec such as "s3://bucket/cubes".

    `options` go to the file system. Whoever may write there may publish, whoever may read there may
    subscribe: sign what others shall be sure of, and seal what not everybody shall read.
    """

    def __init__(self, url: str | Path, **options: Any) -> None:
        if not isinstance(url, str | Path) or not str(url):
            raise InvalidInput(f"url must name a folder or a place of fsspec, not {url!r}")
        try:
            from fsspec.core import url_to_fs  # noqa: PLC0415 - an extra
        except ImportError as exc:
            raise BackendError(
                "stores need a library that is not installed: pip install 'memos-suite-core[store]'"
            ) from exc
        self.url = _SECRETS.sub("", str(url))
        with self._reached():
            self._files, root = url_to_fs(str(url), **options)
        self._root = root.rstrip("/")

    def __repr__(self) -> str:
        return f"Store({self.url!r})"

    # --- publishing --------------------------------------------------------------------------

    def publish(
        self,
        cube: MemCube,
        *,
        name: str | None = None,
        version: int | None = None,
        terms: Terms | None = None,
        sign: SigningKey | None = None,
        passphrase: str | None = None,
    ) -> Published:
        """Write what you may see of a cube as the next version of `name`, else of its own name.

        It needs the right to share the cube, and is noted in its audit. `version` has to be above
        those that are there. Raises BackendError where the place does not take it.
        """
        name = checked_name(cube.name if name is None else name, what="name")
        folder = self._folder(name)
        newest = max((each.version for each in self._cards(folder)), default=0)
        wanted = newest + 1 if version is None else checked_within(version, 1, 99_999_999, what="version")
        if wanted <= newest:
            raise InvalidInput(f"{name!r} is at version {newest} here: publish a later one")
        with tempfile.TemporaryDirectory(prefix="memos-publish-") as place:
            wish = Wish(
                path=Path(place) / "cube.memcube",
                name=name,
                version=wanted,
                terms=terms or Terms(),
                sign=sign,
                passphrase=None if passphrase is None else checked_passphrase(passphrase),
                right=NEEDS["publish"],
                verb="publish",
            )
            dump = dumped(cube._core, cube._principal, cube.id, wish)
            card = _card(dump.manifest, dump.path)
            with self._reached():
                self._files.makedirs(folder, exist_ok=True)
                self._put(f"{folder}/{wanted:08}.memcube", dump.path)
                document = Path(place) / "card.json"
                document.write_text(_to_json(card), encoding="utf-8")
                self._put(f"{folder}/{wanted:08}.json", document)
        return card

    def _put(self, target: str, source: Path) -> None:
        """Upload a file under another name, and give it its own when all of it is there."""
        half = f"{target}.{uuid.uuid4().hex}.part"
        try:
            self._files.put_file(str(source), half)
            self._files.mv(half, target)
        except OSError:
            with suppress(OSError):
                self._files.rm_file(half)
            raise

    # --- looking -----------------------------------------------------------------------------

    def cubes(self) -> Sequence[Published]:
        """Return the newest version of every cube that is published here, by name."""
        with self._reached():
            if not self._files.exists(self._root):
                return []
            folders = [each["name"] for each in self._files.ls(self._root, detail=True, refresh=True)
                       if each["type"] == "directory"]  # fmt: skip
        newest = [max(cards, key=lambda card: card.version) for f in folders if (cards := self._cards(f))]
        return sorted(newest, key=lambda card: card.name)

    def versions(self, name: str) -> Sequence[Published]:
        """Return every version of a cube, oldest first; NotFound where there is none."""
        cards = self._cards(self._folder(checked_name(name, what="name")))
        found = sorted((card for card in cards if card.name == name), key=lambda card: card.version)
        if not found:
            raise NotFound("published cube", name)
        return found

    def _cards(self, folder: str) -> list[Published]:
        with self._reached():
            if not self._files.exists(folder):
                return []
            names = [each["name"] for each in self._files.ls(folder, detail=True, refresh=True)]
            texts = {n: self._files.cat_file(n, end=CARD_LIMIT + 1) for n in names if _CARD.search(n)}
        cards = []
        for where, data in texts.items():
            card = _from_json(data, where=where)
            if f"{card.version:08}.json" != where.rpartition("/")[2]:
                raise FormatError(f"the card {where} is of version {card.version}: somebody moved it")
            cards.append(card)
        return cards

    def _folder(self, name: str) -> str:
        """Return the folder of a cube's versions; no name leads out of the store."""
        word = quote(name, safe="").replace(".", "%2E").replace("~", "%7E")
        if len(word) > _LONGEST:
            raise InvalidInput(f"{name!r} is too long to be a folder's name: publish it under another")
        return f"{self._root}/{word}"

    # --- subscribing -------------------------------------------------------------------------

    def subscribe(
        self,
        memos: MemOS,
        name: str,
        *,
        version: int | None = None,
        cube: str | None = None,
        on_conflict: OnConflict | str = OnConflict.FAIL,
        verify_key: str | None = None,
        passphrase: str | None = None,
    ) -> MemCube:
        """Load a published cube (its newest version, or `version`) into a cube of yours; return that.

        It is called as here, or `cube`. It is a cube like any other, and knows where it is from.
        """
        cards = [card for card in self.versions(name) if version in (None, card.version)]
        if not cards:
            raise NotFound("version", f"{version} of {name}")
        order = Order(
            path=Path(),
            name=checked_name(cube or name, what="cube name"),
            on_conflict=checked_choice(OnConflict, on_conflict, what="on_conflict"),
            verify_key=None if verify_key is None else hexadecimal(verify_key),
            passphrase=None if passphrase is None else checked_passphrase(passphrase),
            place=self.url,
        )
        done = self._load(memos, cards[-1], order)
        return memos.cube(done.cube, create=False)

    def update(
        self,
        cube: MemCube,
        *,
        on_conflict: OnConflict | str = OnConflict.FAIL,
        verify_key: str | None = None,
        passphrase: str | None = None,
    ) -> Load | None:
        """Bring a subscribed cube to the newest version; None where it is there already.

        What you have not changed follows the publication, and goes where it went there. What you
        changed, too, is a conflict, and `on_conflict` decides; what you wrote yourself stays. A cube
        whose first version was signed is updated by the same signer only, unless `verify_key` names
        another. NotFound for a cube that was not subscribed here.
        """
        last = self._subscription(cube)
        newest = self.versions(last.name)[-1]
        if last.version is not None and newest.version <= last.version:
            return None
        order = Order(
            path=Path(),
            name=cube.name,
            owner=cube.owner,
            on_conflict=checked_choice(OnConflict, on_conflict, what="on_conflict"),
            verify_key=last.signer if verify_key is None else hexadecimal(verify_key),
            passphrase=None if passphrase is None else checked_passphrase(passphrase),
            place=self.url,
            follows=True,
        )
        return self._load(MemOS(cube._core, cube._principal), newest, order)

    def _subscription(self, cube: MemCube) -> Import:
        with cube._core.reading(cube._principal, cube.id, Right.WRITE):
            pass  # whoever may not write learns nothing of where it is from
        mine = [each for each in cube.imports() if each.place == self.url]
        if not mine:
            raise NotFound("subscription", cube.name)
        return mine[-1]

    def _load(self, memos: MemOS, card: Published, order: Order) -> Load:
        """Fetch a version, and load it if it is the one that its card says."""
        with tempfile.TemporaryDirectory(prefix="memos-fetch-") as place:
            path = Path(place) / "cube.memcube"
            self._fetch(card, path)
            fields = {name: getattr(order, name) for name in order.__slots__}
            found = Order(**{**fields, "path": path, "expect": (card.name, card.version, card.digest)})
            return loaded(memos._core, memos.principal, found)

    def _fetch(self, card: Published, path: Path) -> None:
        digest, size = hashlib.sha256(), 0
        with self._reached(), path.open("wb") as out:
            name = f"{self._folder(card.name)}/{card.version:08}.memcube"
            with self._files.open(name, "rb") as file:
                while data := file.read(_CHUNK):
                    size += len(data)
                    if size > card.size:
                        break
                    digest.update(data)
                    out.write(data)
        if (size, digest.hexdigest()) != (card.size, card.sha256):
            raise FormatError(
                f"{card.name!r}, version {card.version}, is not what its card says: do not use it"
            )

    @contextmanager
    def _reached(self) -> Generator[None]:
        """Map what a file system raises."""
        try:
            yield
        except FileNotFoundError as exc:
            raise NotFound("file in the store", str(exc)) from exc
        except (OSError, ValueError, ImportError) as exc:
            if isinstance(exc, InvalidInput):
                raise
            raise BackendError(f"the store {self.url} cannot be used ({exc}): check the place") from exc


def _card(manifest: Manifest, path: Path) -> Published:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while data := file.read(_CHUNK):
            digest.update(data)
    return Published(
        name=manifest.name,
        version=manifest.version or 0,
        digest=manifest.digest,
        sha256=digest.hexdigest(),
        size=path.stat().st_size,
        made_at=manifest.made_at,
        owner=manifest.owner,
        licence=manifest.terms.licence,
        audience=manifest.terms.audience,
        signer=manifest.signer,
    )


def _to_json(card: Published) -> str:
    return json.dumps({**asdict(card), "made_at": card.made_at.isoformat()}, ensure_ascii=False, indent=1)


def _from_json(data: bytes, *, where: str) -> Published:
    try:
        told = json.loads(data)
        return Published(
            name=checked_name(told["name"], what="name"),
            version=checked_within(told["version"], 1, 99_999_999, what="version"),
            digest=hexadecimal(told["digest"]),
            sha256=hexadecimal(told["sha256"]),
            size=checked_within(told["size"], 0, 1 << 62, what="size"),
            made_at=moment(told["made_at"]),
            owner=checked_name(told["owner"], what="owner"),
            licence=None if told["licence"] is None else checked_name(told["licence"], what="licence"),
            audience=tuple(checked_name(each, what="principal") for each in told["audience"]),
            signer=None if told["signer"] is None else hexadecimal(told["signer"]),
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as exc:
        raise FormatError(f"the card {where} is damaged ({exc}): publish the version anew") from exc
