"""Keys while the gateway serves: added, revoked, rotated, expired; stored as hashes; never all taken away."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from gateway.access.admission import Admission
from gateway.access.keys import Grant, KeyFiles, KeyRing, callers_of, operators_of
from gateway.config.load import load
from gateway.config.settings import Config, ConfigError
from gateway.errors import GatewayError
from gateway.exchange import Principal
from tests.support.fakes import Counts

FIRST = "keys:\n- {name: ada, key: sk-of-ada-1}\n"


class Serving:
    """A ring whose keys stand in a file, and who is let in."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "assay.yaml"
        self.now = 1_800_000_000.0
        self.rest = ""  # of the file, that comes when its beginning was read
        self.loads = Counts("assay_key_loads_total")
        config = load({}, {}, self.file)
        self.ring = KeyRing(callers_of(config), lambda: self.now)
        self.operators = KeyRing(operators_of(config), lambda: self.now)
        files = [file for file in (self.file, config.keys_file) if file]
        self.files = KeyFiles(files, self._read, callers=self.ring, operators=self.operators)
        self._admission = Admission(self.ring, local_only=True)

    def _read(self) -> Config:
        try:
            return load({}, {}, self.file)
        finally:
            if self.rest:
                self.save(self.rest)
                self.rest = ""

    def caller(self, key: str) -> str:
        """The name of who has this key, or why there is none."""
        try:
            return self._admission.admit({b"authorization": f"Bearer {key}".encode()}).name
        except GatewayError as error:
            return error.message

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(30):
            while not holds():  # noqa: ASYNC110 - a file is watched
                await asyncio.sleep(0.01)

    def save(self, text: str, file: Path | None = None) -> None:
        """As editors do: a new file takes the place of the old one."""
        target = file or self.file
        new = target.with_suffix(".new")
        new.write_text(text)
        new.replace(target)


@asynccontextmanager
async def serving(folder: Path, text: str) -> AsyncIterator[Serving]:
    (folder / "assay.yaml").write_text(text)
    world = Serving(folder)
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(world.files.run())
        yield world
        watching.cancel()


async def test_keys_are_added_rotated_and_revoked_by_a_change_of_the_file(tmp_path: Path) -> None:
    async with serving(tmp_path, FIRST) as world:
        assert world.caller("sk-of-ada-1") == "ada"
        assert "not known" in world.caller("sk-of-bob-1")
        world.save("keys:\n- {name: ada, key: sk-of-ada-2}\n- {name: bob, key: sk-of-bob-1}\n")
        await world.until(lambda: world.caller("sk-of-bob-1") == "bob")
        assert world.caller("sk-of-ada-2") == "ada"
        assert "not known" in world.caller("sk-of-ada-1")
        assert world.loads.added() == {("adopted",): 1}


async def test_a_bad_file_and_one_without_any_key_leave_the_keys_as_they_are(tmp_path: Path) -> None:
    for number, bad in enumerate(("keys: [", "keys: []\n", "keys:\n- {name: x}\n", "port: 99999999\n" + FIRST)):
        folder = tmp_path / str(number)
        folder.mkdir()
        async with serving(folder, FIRST) as world:
            world.save(bad)
            await world.until(lambda: world.loads.added() == {("refused",): 1})
            assert world.caller("sk-of-ada-1") == "ada"


async def test_whoever_asks_for_keys_of_a_file_that_is_gone_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, FIRST) as world:
        world.file.unlink()
        world.files.look_again()
        await world.until(lambda: world.loads.added() == {("refused",): 1})
        assert world.caller("sk-of-ada-1") == "ada"
        world.save("keys:\n- {name: bob, key: sk-of-bob-1}\n")
        await world.until(lambda: world.caller("sk-of-bob-1") == "bob")
    assert "the keys stay as they are" in caplog.text
    assert "assay.yaml: cannot be read" in caplog.text


async def test_a_file_that_is_read_while_it_is_written_is_not_refused(tmp_path: Path) -> None:
    async with serving(tmp_path, FIRST) as world:
        world.rest = "keys:\n- {name: bob, key: sk-of-bob-1}\n"
        world.save("keys:\n- {name: bob, k")
        await world.until(lambda: world.caller("sk-of-bob-1") == "bob")
        assert world.loads.added() == {("adopted",): 1}


async def test_keys_of_a_file_of_their_own_and_a_hangup(tmp_path: Path) -> None:
    keys = tmp_path / "keys.yaml"
    keys.write_text("- {name: bob, key: sk-of-bob-1}\n")
    async with serving(tmp_path, f"keys_file: {keys}\noperator_key: sk-operator-1\n{FIRST}") as world:
        assert (world.caller("sk-of-ada-1"), world.caller("sk-of-bob-1")) == ("ada", "bob")
        world.files.look_again()
        await world.until(lambda: world.loads.added() == {("adopted",): 1})
        world.save("- {name: eve, key: sk-of-eve-1}\n", keys)
        await world.until(lambda: world.caller("sk-of-eve-1") == "eve")
        assert "not known" in world.caller("sk-of-bob-1")
        assert world.operators.find(b"sk-operator-1") is not None


async def test_a_key_may_be_stored_as_a_hash_and_may_expire(tmp_path: Path) -> None:
    digest = sha256(b"sk-of-ada-1").hexdigest()
    text = f"keys:\n- {{name: ada, key_sha256: {digest.upper()}, expires_at: '2027-01-15T10:00:00+02:00'}}\n"
    async with serving(tmp_path, text) as world:
        assert "of 'ada' has expired" in world.caller("sk-of-ada-1")  # at 2027-01-15T08:00:00Z
        world.now -= 1
        assert world.caller("sk-of-ada-1") == "ada"
        assert "not known" in world.caller(digest)


@pytest.mark.parametrize(
    ("entry", "problem"),
    [
        ("{name: a}", "needs either `key` or `key_sha256`"),
        ("{name: a, key: sk-of-ada-1, key_sha256: '" + "0" * 64 + "'}", "needs either `key` or `key_sha256`"),
        ("{name: a, key_sha256: abc}", "should match pattern"),
        ("{name: a, key: sk-of-ada-1, expires_at: '2027-01-15T10:00:00'}", "a moment with its time zone, as 2027-"),
        ("{name: a, key: sk-of-ada-1, expires_at: 2027-01-15}", "a moment with its time zone, as 2027-"),
        ("{name: a, key: sk-of-ada-1, expires_at: soon}", "expires_at: write a moment with its time zone, as"),
    ],
)
def test_what_is_no_key_is_refused_without_telling_it(tmp_path: Path, entry: str, problem: str) -> None:
    file = tmp_path / "assay.yaml"
    file.write_text(f"keys:\n- {entry}\n")
    with pytest.raises(ConfigError) as error:
        load({}, {}, file)
    assert problem in str(error.value)
    assert "sk-of-ada-1" not in str(error.value)


def test_the_same_key_as_text_and_as_hash_is_one_key(tmp_path: Path) -> None:
    file = tmp_path / "assay.yaml"
    digest = sha256(b"sk-of-ada-1").hexdigest()
    file.write_text(f"keys:\n- {{name: a, key: sk-of-ada-1}}\n- {{name: b, key_sha256: {digest}}}\n")
    with pytest.raises(ConfigError, match="the same key is listed twice"):
        load({}, {}, file)


async def test_a_key_revoked_on_a_connection_that_knows_its_head_is_refused_at_the_next_request(tmp_path: Path) -> None:
    """What a key led to is remembered beside the head it stands in, and only as long as the keys are the same."""
    async with serving(tmp_path, FIRST) as world:
        notes: dict[Any, Any] = {}
        admission, headers = Admission(world.ring, local_only=True), {b"api-key": b"sk-ada-1"}
        grants = [Grant(sha256(b"sk-ada-1").digest(), Principal("ada"), expires_at=world.now + 10)]
        world.ring.replace(grants)
        assert admission.admit(headers, notes).name == admission.admit(headers, notes).name == "ada"
        assert notes
        world.now += 10
        with pytest.raises(GatewayError, match="expired"):
            admission.admit(headers, notes)
        world.ring.replace([Grant(grants[0].digest, Principal("adele"))])
        assert admission.admit(headers, notes).name == "adele"
        world.ring.replace([Grant(sha256(b"sk-other").digest(), Principal("other"))])
        with pytest.raises(GatewayError, match="not known"):
            admission.admit(headers, notes)


def test_a_key_that_leads_nowhere_is_not_remembered() -> None:
    ring = KeyRing([Grant(sha256(b"sk-ada-1").digest(), Principal("ada"))], lambda: 0.0)
    notes: dict[Any, Any] = {}
    with pytest.raises(GatewayError):
        Admission(ring, local_only=True).admit({b"api-key": b"guess"}, notes)
    assert notes == {}
