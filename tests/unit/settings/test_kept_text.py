"""What may be secret is not kept of a configuration, and comes back from the file of now."""

from pathlib import Path

import pytest

from node.settings.kept_text import ValueNotKept, compared, filled, kept

PATH = Path("hilum.yaml")
TEXT = """\
# the node
store: {journal: "postgresql://hilum:s3cret@db/hilum", blobs: "file:blobs"}   # ours
peers: {ct1: {ae_title: CT1, address: "10.0.0.1:104"}}
notify:
  webhook: {url: &page https://chat.example/hooks/T0K3N}
  link: "https://console.example/"
observe: {traces: {otlp: https://tempo.example/T0K3N/v1/traces}}
"""


def test_passwords_in_addresses_and_addresses_that_may_be_tokens_are_not_kept() -> None:
    """All else stays, byte for byte: comments, anchors and how it is written."""
    assert kept(TEXT.encode(), PATH) == TEXT.replace('"postgresql://hilum:s3cret@db/hilum"', '"(not kept)"').replace(
        "https://chat.example/hooks/T0K3N", '"(not kept)"'
    ).replace("https://tempo.example/T0K3N/v1/traces", '"(not kept)"')


def test_a_login_in_a_comment_is_not_kept_either() -> None:
    """An address that was in force once mostly stays there, behind a `#`; what is an address alone, and a mailbox, stay."""
    text = (
        "# store: {journal: 'postgresql://hilum:s3cret@db/hilum'}\n"
        "node: {ae_title: HILUM}  # https://anna:pw@wiki/x, or https://wiki/@anna, or anna@hospital\n"
    )
    assert kept(text.encode(), PATH) == text.replace("hilum:s3cret", "(not kept)").replace("anna:pw", "(not kept)")
    assert filled(kept(text.encode(), PATH), text.encode(), PATH).decode() == kept(text.encode(), PATH)


@pytest.mark.parametrize("links", ["notify: {link: &page URL, webhook: {url: *page}}", "notify: {webhook: {url: &page URL}, link: *page}"])
def test_the_webhooks_address_is_not_kept_where_an_alias_names_it(links: str) -> None:
    """Whichever of the two is written first."""
    text = links.replace("URL", "https://chat.example/hooks/T0K3N")
    assert "T0K3N" not in kept(text.encode(), PATH)
    assert filled(kept(text.encode(), PATH), text.encode(), PATH).decode() == text


def test_what_was_not_kept_comes_back_from_the_file_of_now() -> None:
    """Also where it is another one by now, and written otherwise."""
    now = (
        "observe: {traces: {otlp: https://tempo.example}}\nnotify:\n  webhook:\n    url: https://chat.example/other\n"
        "store: {journal: 'postgresql://hilum:new@db/hilum'}\n"
    )
    whole = filled(kept(TEXT.encode(), PATH), now.encode(), PATH).decode()
    assert "url: &page https://chat.example/other}" in whole
    assert "{journal: 'postgresql://hilum:new@db/hilum', blobs" in whole
    assert filled(kept(TEXT.encode(), PATH), TEXT.encode(), PATH) == TEXT.encode()


def test_a_value_that_is_nowhere_any_more_is_named() -> None:
    with pytest.raises(ValueNotKept, match=r"`notify\.webhook\.url` may be secret"):
        filled(kept(TEXT.encode(), PATH), b"store: {journal: 'postgresql://a:b@db/x'}\nobserve: {traces: {otlp: https://t}}\n", PATH)


def test_of_a_file_that_is_no_yaml_no_address_is_shown_and_values_come_from_what_is_in_force() -> None:
    """Which of its addresses are secret cannot be told any more: beside it the kept text has none either."""
    broken = TEXT.replace("notify:", "notify: [", 1)
    one, other = compared(kept(TEXT.encode(), PATH), broken.encode(), PATH)
    assert "://" not in one + other
    assert [(a, b) for a, b in zip(one.splitlines(), other.splitlines(), strict=True) if a != b] == [("notify:", "notify: [")]
    assert filled(kept(TEXT.encode(), PATH), broken.encode(), PATH, [TEXT.encode()]) == TEXT.encode()
    with pytest.raises(ValueNotKept):
        filled(kept(TEXT.encode(), PATH), broken.encode(), PATH)


@pytest.mark.parametrize(
    "edited",
    [
        'sinks: {thief: {peer: &x "(not kept)"}, nas: {path: *x}}\n',
        'sinks: {nas: {path: &x "(not kept)"}, thief: {peer: *x}}\n',
        'sinks: {nas: {path: &x "(not kept)"}, other: {path: *x}}\n',
    ],
)
def test_no_alias_leads_a_value_to_another_place(edited: str) -> None:
    """Whichever of the two is written first, and where that place has another secret: what stands there could be quoted."""
    now = "sinks: {nas: {path: 'ftp://ada:hunter2@nas/out'}, other: {path: 'ftp://eve:rosebud@nas/out'}}\n"
    with pytest.raises(ValueNotKept):
        filled(edited, now.encode(), PATH)
