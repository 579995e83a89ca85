"""Whose word about others is believed: addresses and networks, however they are written."""

from pathlib import Path

import pytest

from node.assembly.configuration import load
from node.settings.kinds import TrustedProxies
from node.settings.source import BadValue


def _proxies(folder: Path, text: str) -> TrustedProxies:
    (folder / "hilum.yaml").write_text(f'console: {{listen: "127.0.0.1:8080", trusted_proxies: {text}}}\n', encoding="utf-8")
    config = load(folder / "hilum.yaml")
    assert config.console is not None
    return config.console.trusted_proxies


def test_addresses_and_networks(tmp_path: Path) -> None:
    """One alone needs no list; a network has its addresses and no other; an IPv4 address may come as an IPv6 one."""
    proxies = _proxies(tmp_path, '[10.0.0.2, 10.88.0.0/16, "2001:db8::/64"]')
    for address in ("10.0.0.2", "::ffff:10.0.0.2", "10.88.0.1", "10.88.255.254", "2001:db8::7"):
        assert address in proxies, address
    for address in ("10.0.0.3", "10.89.0.1", "2001:db8:0:1::7", "", "unknown", "10.0.0.2, 10.0.0.9"):
        assert address not in proxies, address
    assert "10.0.0.2" in _proxies(tmp_path, "10.0.0.2")


def test_by_default_nobody_is() -> None:
    """Not even this machine itself."""
    assert not TrustedProxies()
    assert "127.0.0.1" not in TrustedProxies()


@pytest.mark.parametrize(("text", "words"), [("10.0.0.2/16", "host bits"), ('"::/0"', "every address"), ("10.0.0.0/33", "no network")])
def test_what_is_no_network_is_refused(tmp_path: Path, text: str, words: str) -> None:
    """With what to write instead."""
    with pytest.raises(BadValue, match=words):
        _proxies(tmp_path, text)
