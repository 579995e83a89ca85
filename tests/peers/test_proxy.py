"""A hospital's proxy is used by what hilum asks by HTTP itself (webhooks, the provider of logins, buckets, published models), as the
environment names it.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.catalogue.fetching import Patience, SourceAway, fetch, fetching
from node.catalogue.published import PublishedFile
from node.console.errors import ProviderAway
from node.console.provider import Provider
from node.settings.hospital import GroupRoles, OidcProvider
from tests.lab.certificates import Authority
from tests.lab.loopback import free_port
from tests.lab.messages import webhook_server
from tests.lab.node import hilum
from tests.lab.proxy import Proxy, named, proxy
from tests.lab.published import published_files
from tests.lab.s3 import S3, bucket_blobs
from tests.peers.test_oidc_login import liar

pytestmark = [pytest.mark.slow, pytest.mark.peers]


@pytest.fixture
def way_out(tmp_path: Path) -> Iterator[Proxy]:
    """The proxy."""
    with proxy(tmp_path / "proxy") as running:
        yield running


def test_a_message_goes_to_its_webhook_through_the_proxy(way_out: Proxy, tmp_path: Path) -> None:
    """`hilum notify` with HTTPS_PROXY: a tunnel, in which TLS is the webhook's own; past it where NO_PROXY names the host; and where the
    proxy is away, that is said, and nothing goes another way."""
    authority = Authority(tmp_path / "ca")
    with webhook_server(authority.signs("chat", alternative="DNS:localhost")) as posts:
        url = f"https://localhost:{posts.port}/in"
        config = tmp_path / "hilum.yaml"
        config.write_text(
            'node: {ae_title: HILUM, listen: "127.0.0.1:0"}\n'
            f'store: {{journal: "sqlite:{tmp_path}/hilum.db", blobs: "file:{tmp_path}/blobs", min_free: 1MB}}\n'
            f'notify: {{webhook: {{url: "{url}", authorities: ca/{authority.certificate.name}}}, about: [parked]}}\n'
        )

        def told(proxy: str, past: str = "") -> int:
            said = hilum("notify", "--config", config, environment=named(proxy, past=past))
            assert (said.code == 0) == ("does not answer" not in said.out + said.err), said.out + said.err
            return said.code

        assert told(way_out.url) == 0
        assert way_out.asked() == [f"CONNECT localhost:{posts.port}"]
        assert told(way_out.url, past="localhost") == 0
        assert told(f"http://127.0.0.1:{free_port()}") != 0
        assert (len(way_out.asked()), len(posts.came)) == (1, 2)


def test_the_provider_of_logins_is_asked_through_the_proxy(way_out: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """For what it says of itself; past the proxy where NO_PROXY has the host; and an absent proxy is an absent provider."""

    def by(proxy: str, past: str = "") -> None:
        for name, value in named(proxy, past=past).items():
            monkeypatch.setenv(name, value)

    with liar() as one:
        known = Provider(OidcProvider(issuer=one.issuer, client_id="hilum", roles=GroupRoles(admin=("admins",))))
        by(way_out.url)
        known.examine()
        assert way_out.asked() == [f"GET {one.issuer}{path}" for path in one.asked]
        by(way_out.url, past="127.0.0.1")
        known.examine()
        assert (len(way_out.asked()), len(one.asked)) == (2, 4)
        by(f"http://127.0.0.1:{free_port()}")
        with pytest.raises(ProviderAway, match="does not answer"):
            known.examine()


def test_a_bucket_is_reached_through_the_proxy(way_out: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is put into it comes back."""
    with S3(tmp_path / "swift") as server:
        for name, value in named(way_out.url).items():
            monkeypatch.setenv(name, value)
        blobs = bucket_blobs(server, tmp_path / "one", prefix="blobs")
        blobs.put("study/one", b"pixels")
        blobs.flush(["study/one"])
        assert bucket_blobs(server, tmp_path / "other", prefix="blobs").path("study/one").read_bytes() == b"pixels"
    asked = {line.partition(" ")[0] for line in way_out.asked()}
    assert {"PUT", "GET"} <= asked, way_out.asked()


def test_a_published_model_is_fetched_through_the_proxy(way_out: Proxy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the proxy that the environment names; past it where NO_PROXY has the host; and where the proxy is away, that is said."""
    with published_files(net_zip=b"weights") as shelf:
        file = PublishedFile(name="net.zip", url=shelf.url("net.zip"), size=7, sha256=None, sha1=None, becomes="")

        def by(proxy: str, name: str, past: str = "") -> bytes:
            for variable, value in named(proxy, past=past).items():
                monkeypatch.setenv(variable, value)
            with fetching(tmp_path / name):
                return fetch(file, tmp_path / name, lambda came, size: None, Patience(pauses_s=())).read_bytes()

        assert by(way_out.url, "through") == b"weights"
        assert way_out.asked() == [f"GET {shelf.url('net.zip')}"]
        assert by(way_out.url, "past", past="127.0.0.1") == b"weights"
        with pytest.raises(SourceAway, match="does not answer"):
            by(f"http://127.0.0.1:{free_port()}", "away")
        assert (len(way_out.asked()), len(shelf.asked)) == (1, 2)
