"""Runs other projects' own tests from their source distributions, with something of ours in the place of theirs.

Sources are pinned in `sources.txt` and downloaded from the package index once.
"""

import os
import subprocess
import sys
import tarfile
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".foreign"
_LONGEST_SECONDS = 600  # patience with a busy machine, not a measurement


@dataclass(frozen=True, slots=True)
class Suite:
    """Some of a project's tests: `name` and `version` of its distribution, what pytest is to run.

    `plugin`, a module of this folder, is imported first: it puts ours in the place of theirs.
    """

    name: str
    version: str
    plugin: str
    arguments: Sequence[str]

    def run(self, folder: Path) -> Mapping[str, bool]:
        """Which tests passed, as `module::function`; one with parameters did where it passed with each of them.

        Skips where the sources cannot be had. `folder` takes the report.
        """
        source = self._source()
        report = folder / "report.xml"
        # Their tests are a package of the same name as ours, so nothing of ours may be found under it.
        program = (
            f"import sys; sys.path.insert(0, {str(ROOT)!r}); import gateway; sys.path[0] = {str(HERE)!r};"
            f"import {self.plugin}; sys.path[0] = {str(source)!r};"
            f"import pytest; sys.exit(pytest.main({self._options(report)!r}))"
        )
        done = subprocess.run(
            [sys.executable, "-c", program], cwd=source, capture_output=True, text=True, timeout=_LONGEST_SECONDS
        )
        assert report.exists(), done.stdout + done.stderr
        sys.stdout.write(done.stdout[-20_000:])  # shown when what it says is not what was expected
        return _outcomes(report)

    def _options(self, report: Path) -> list[str]:
        quiet = ["-q", "-p", self.plugin, "-p", "no:cacheprovider", "-p", "no:asyncio", "-W", "ignore", "--tb", "short"]
        return [*quiet, "-c", os.devnull, "--rootdir", ".", "--junitxml", str(report), *self.arguments]

    def _source(self) -> Path:
        """The unpacked source distribution."""
        folder = CACHE / f"{self.name}-{self.version}"
        if not (folder / "tests").is_dir():
            found = self._download()
            with tarfile.open(found) as archive:
                archive.extractall(CACHE, filter="data")
        return folder

    def _download(self) -> Path:
        into = CACHE / "downloads"
        into.mkdir(parents=True, exist_ok=True)
        pinned = [line for line in (HERE / "sources.txt").read_text().splitlines() if line.startswith(self.name + "==")]
        assert pinned[0].startswith(f"{self.name}=={self.version} --hash=sha256:")
        wanted = into / f"{self.name}.txt"
        wanted.write_text(pinned[0] + "\n")
        asked = ["--quiet", "--no-deps", "--no-binary", ":all:", "--require-hashes", "--dest", str(into)]
        made = subprocess.run(
            [sys.executable, "-m", "pip", "download", *asked, "-r", str(wanted)], capture_output=True, text=True
        )
        found = into / f"{self.name}-{self.version}.tar.gz"
        if not found.exists():
            pytest.skip(f"no package index gives the sources of {self.name}: {made.stderr.strip().splitlines()[-1:]}")
        return found


def _outcomes(report: Path) -> Mapping[str, bool]:
    outcomes: defaultdict[str, bool] = defaultdict(lambda: True)
    for case in ElementTree.parse(report).iter("testcase"):
        if case.find("skipped") is None:
            module = case.attrib["classname"].rpartition(".")[2]
            name = case.attrib["name"].partition("[")[0]
            outcomes[f"{module}::{name}"] &= case.find("failure") is None and case.find("error") is None
    return outcomes
