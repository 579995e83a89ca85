"""The console of a node that `hilum serve` started: who may log in, which process answers, and where."""

import contextlib

import psutil

from node.assembly.configuration import load
from node.console.access import password_hash
from node.domain.account import Account, Role
from node.journal.journal import Journal
from tests.lab.node import Node
from tests.lab.program import wait_until

PASSWORD = "correct horse battery"
_PATIENCE_S = 120


def let_in(node: Node, name: str, role: Role) -> None:
    """As `hilum console users add` does, which asks a person for the password."""
    journal = Journal.open(load(node.config).store.journal)
    try:
        journal.accounts.open(Account(name=name, role=role, password=password_hash(PASSWORD), created_at=journal.now()))
    finally:
        journal.close()


def console_process(node: Node) -> psutil.Process | None:
    """The process that answers browsers; None while there is none."""
    for process in psutil.Process(node.pid).children():
        with contextlib.suppress(psutil.Error):  # one that has just died
            said = process.cmdline()
            if [str(node.config), "console"] in (said[place : place + 2] for place in range(len(said))):
                return process
    return None


def console_port(node: Node) -> int:
    """Where the console listens, as the system knows it."""
    found: list[int] = []

    def listens() -> bool:
        process = console_process(node)
        with contextlib.suppress(psutil.Error):
            there = () if process is None else process.net_connections("tcp")
            found[:] = [one.laddr.port for one in there if one.status == psutil.CONN_LISTEN]
        return bool(found)

    wait_until(listens, _PATIENCE_S, "the console listens")
    return found[0]
