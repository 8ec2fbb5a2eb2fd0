"""Secrets in the rows: nobody reads them there, the right key opens them, and keys can be changed."""

from __future__ import annotations

import json
import sqlite3
import traceback
from pathlib import Path

import pytest
import sqlalchemy as sa

from ironlane.model.errors import Permanent
from ironlane.model.secrets import Sealed
from ironlane.settings import Settings
from ironlane.store import nodes, tables
from ironlane.store.database import Store, Tx, open_store
from ironlane.store.vault import Vault, from_row, new_key

SECRET = "correct horse"
INFO = {"ipmi_address": "192.0.2.1", "ipmi_password": SECRET, "nested": [{"auth_token": [SECRET]}], "ipmi_port": 1}


def _stored(path: Path) -> bytes:
    """All that is on disk of a database."""
    return b"".join(file.read_bytes() for file in path.parent.glob(f"{path.name}*"))


def _raw(tx: Tx) -> dict[str, object]:
    """`driver_info` of the only node as its row has it."""
    return dict(tx.execute(sa.select(tables.nodes.c.driver_info)).scalar_one())


async def test_a_node_keeps_its_secrets_from_everybody_without_the_key(store: Store, tmp_path: Path) -> None:
    await store.write(
        lambda tx: nodes.create(tx, {"name": "n", "driver_info": INFO, "instance_info": {"configdrive": SECRET}})
    )
    node = await store.write(lambda tx: nodes.update(tx, nodes.get(tx, "n").id, {"extra": {"seen": 1}}))
    assert SECRET not in repr(node)
    assert node.driver_info["ipmi_address"] == "192.0.2.1"
    assert isinstance(node.driver_info["ipmi_password"], Sealed)
    assert store.vault.opened(node.driver_info) == INFO
    assert store.vault.opened(node.instance_info) == {"configdrive": SECRET}
    assert SECRET.encode() not in _stored(tmp_path / "store.sqlite")
    before = await store.read(_raw)
    await store.write(lambda tx: nodes.update(tx, node.id, {"driver_info": node.driver_info}))
    assert await store.read(_raw) == before, "what is sealed already is left alone"


async def test_rows_of_a_release_that_did_not_seal_are_sealed_at_the_start(store: Store) -> None:
    def older(tx: Tx) -> None:
        node = nodes.create(tx, {"name": "n"})
        tx.execute(sa.update(tables.nodes).where(tables.nodes.c.id == node.id).values(driver_info=INFO))

    await store.write(older)
    node = await store.read(lambda tx: nodes.get(tx, "n"))
    assert store.vault.opened(node.driver_info) == INFO
    assert await store.write(nodes.seal) == 1
    assert SECRET not in json.dumps(await store.read(_raw))
    assert store.vault.opened((await store.read(lambda tx: nodes.get(tx, "n"))).driver_info) == INFO
    assert await store.write(nodes.seal) == 0


async def test_keys_are_changed_by_a_new_one_before_the_old(tmp_path: Path) -> None:
    old, new = new_key(), new_key()
    url = f"sqlite:///{tmp_path}/x.sqlite"
    first = open_store(url, vault=Vault([old]))
    await first.write(lambda tx: tables.metadata.create_all(tx.connection))
    await first.write(lambda tx: nodes.create(tx, {"name": "n", "driver_info": INFO}))
    await first.close()
    both = open_store(url, vault=Vault([new, old]))
    assert await both.write(nodes.seal) == 1
    assert await both.write(nodes.seal) == 0
    await both.close()
    last = open_store(url, vault=Vault([new]))
    node = await last.read(lambda tx: nodes.get(tx, "n"))
    assert last.vault.opened(node.driver_info) == INFO
    await last.close()
    without = open_store(url, vault=Vault([old]))
    node = await without.read(lambda tx: nodes.get(tx, "n"))
    with pytest.raises(Permanent, match="cannot be read: none of the encryption keys"):
        without.vault.opened(node.driver_info)
    with pytest.raises(Permanent, match=r"node n: .* add that key"):
        await without.write(nodes.seal)
    await without.close()


def test_what_looks_sealed_but_is_a_clients_is_not_opened() -> None:
    vault = Vault.for_this_process()
    forged = {"ipmi_password": {"$sealed": "gAAAA"}, "note": {"$sealed": "gAAAA"}}
    assert vault.opened(from_row(vault.to_row(forged))) == forged


def test_a_bad_key_is_not_told() -> None:
    for keys in (["not a key"], []):
        with pytest.raises(Permanent, match="encryption keys") as caught:
            Vault(keys)
        assert "not a key" not in "".join(traceback.format_exception(caught.value)).replace('["not a key"]', "")


# --- where the keys come from ----------------------------------------------------------------------------------


def test_a_sqlite_database_gets_a_key_beside_it_that_only_its_user_reads(tmp_path: Path) -> None:
    settings = Settings(database_url=f"sqlite:///{tmp_path}/x.sqlite")
    keys = settings.encryption_keys()
    assert len(keys) == 1
    assert settings.encryption_keys() == keys
    assert (tmp_path / "x.sqlite.keys").stat().st_mode & 0o777 == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["x.sqlite.keys"]


def test_given_keys_come_first_and_other_databases_need_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "encryption-keys").write_text("file-key\n")
    database = f"sqlite:///{tmp_path}/x.sqlite"
    assert Settings(database_url=database, secrets_dir=tmp_path).encryption_keys() == ["file-key"]
    with pytest.raises(Permanent, match="IRONLANE_SECRET_ENCRYPTION_KEYS"):
        Settings(database_url="postgresql+asyncpg://h/d").encryption_keys()
    monkeypatch.setenv("IRONLANE_SECRET_ENCRYPTION_KEYS", "new-key old-key")
    assert Settings(database_url="postgresql+asyncpg://h/d").encryption_keys() == ["new-key", "old-key"]
    assert not (tmp_path / "x.sqlite.keys").exists()


def test_a_folder_that_cannot_take_the_key_is_told(tmp_path: Path) -> None:
    with pytest.raises(Permanent, match="cannot be read or made"):
        Settings(database_url=f"sqlite:///{tmp_path}/nosuch/x.sqlite").encryption_keys()


def test_sqlite_itself_never_saw_the_secret(tmp_path: Path) -> None:
    """The check above would see it: a value that is no secret's is found."""
    connection = sqlite3.connect(tmp_path / "plain.sqlite")
    connection.execute("create table t (x)")
    connection.execute("insert into t values (?)", (SECRET,))
    connection.commit()
    connection.close()
    assert SECRET.encode() in _stored(tmp_path / "plain.sqlite")
