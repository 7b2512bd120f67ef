"""What an installation weighs on disk: the base package and each extra, in fresh environments.

`python -m benchmarks.weights_on_disk` prints a table and writes results/weights_on_disk.json. One
environment at a time is made in a temporary folder and removed again; the heaviest takes about
2 GB while it is looked at. Packages come from the index that pip is set up for, at the versions
of constraints.txt; `--torch-args` reaches pip where torch is installed, as in the Makefile.
"""

from __future__ import annotations

import argparse
import json
import platform
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "weights_on_disk.json"
EXTRAS = {"base": "", "static": "[static]", "openai": "[openai]", "minilm": "[minilm]"}
MIB = 1 << 20
METHOD = (
    "a fresh venv for each; pip install with constraints.txt (for minilm, torch alone and first); "
    "allocated bytes of site-packages as `du` counts them, compiled .pyc files included, less those of "
    "the empty venv (pip itself)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Weight:
    """One installation. Sizes are in MiB; `heaviest` names its five largest folders."""

    install: str
    site_packages_mib: int
    over_base_mib: int
    distributions: int
    heaviest: Mapping[str, int]


def main() -> None:
    """Measure, print, write."""
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--only", nargs="*", choices=list(EXTRAS), default=list(EXTRAS))
    options.add_argument("--torch-args", default="", help="passed on to pip where torch is installed")
    given = options.parse_args()
    names = ["base", *(name for name in given.only if name != "base")]
    weights: list[Weight] = []
    for name in names:
        base = weights[0].site_packages_mib if weights else None
        weights.append(weighed(name, base=base, torch_args=shlex.split(given.torch_args)))
        print(_line(weights[-1]), flush=True)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(_report(weights), indent=1) + "\n", encoding="utf-8")
    print(f"written to {RESULT.relative_to(ROOT)}")


def weighed(name: str, *, base: int | None, torch_args: Sequence[str]) -> Weight:
    """Return what the installation of this name takes; its environment is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="memos-weigh-") as folder:
        environment = Path(folder) / "venv"
        subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
        packages = next(environment.glob("lib/python*/site-packages"))
        empty = _allocated(packages)
        if name == "minilm":
            _pip(environment, "torch", *torch_args)
        _pip(environment, f"{ROOT / 'packages' / 'core'}{EXTRAS[name]}")
        total = round((_allocated(packages) - empty) / MIB)
        sizes = {each.name: round(_allocated(each) / MIB) for each in packages.iterdir() if each.is_dir()}
        largest = sorted(sizes, key=lambda each: -sizes[each])[:5]
        return Weight(
            install=f"memos-suite-core{EXTRAS[name]}",
            site_packages_mib=total,
            over_base_mib=total - (total if base is None else base),
            distributions=len(list(packages.glob("*.dist-info"))) - 1,  # without pip
            heaviest={each: sizes[each] for each in largest},
        )


def _pip(environment: Path, *wanted: str) -> None:
    pip = [str(environment / "bin" / "python"), "-m", "pip", "--disable-pip-version-check", "install"]
    subprocess.run([*pip, "--quiet", "--constraint", str(ROOT / "constraints.txt"), *wanted], check=True)


def _allocated(folder: Path) -> int:
    """Return the bytes that a folder takes on its disk; what is linked twice counts once."""
    stats = {(found.st_dev, found.st_ino): found for found in map(Path.lstat, folder.rglob("*"))}
    return sum(found.st_blocks * 512 for found in stats.values())


def _line(weight: Weight) -> str:
    heaviest = ", ".join(f"{name} {size}" for name, size in weight.heaviest.items())
    return (
        f"{weight.install:<26} {weight.site_packages_mib:>5} MiB  (+{weight.over_base_mib})  "
        f"{weight.distributions} distributions; {heaviest}"
    )


def _report(weights: Sequence[Weight]) -> dict[str, object]:
    return {
        "measured": datetime.now(UTC).date().isoformat(),
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "method": METHOD,
        "weights": [asdict(weight) for weight in weights],
    }


if __name__ == "__main__":
    main()
