"""A hospital's provider of logins: oidc-provider of npm, a certified implementation of OpenID Connect, under Node."""

import json
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.request import urlopen

from tests.lab.cache import alone_in
from tests.lab.loopback import free_port, outside
from tests.lab.needs import absent, program
from tests.lab.program import Program, wait_until

VERSION = "8.8.1"
CLIENT, SECRET = "hilum", "a secret of the client, and nobody else's"
_SCRIPT = Path(__file__).with_name("oidc_provider.mjs")


@dataclass(frozen=True, slots=True, kw_only=True)
class OidcPeer:
    """A provider that runs."""

    issuer: str
    process: Program


def library() -> Path:
    """The package's folder, fetched from npm when it is not in the cache."""
    with alone_in(f"oidc-provider-{VERSION}") as folder:
        found = folder / "node_modules" / "oidc-provider"
        if not (folder / "fetched").exists():
            npm = program("npm", "npm")
            (folder / "package.json").write_text('{"private": true}\n')
            install = [str(npm), "install", "--silent", "--no-audit", "--no-fund", "--ignore-scripts", f"oidc-provider@{VERSION}"]
            with outside():
                done = subprocess.run(install, cwd=folder, capture_output=True, timeout=300, check=False)
            if done.returncode:
                absent(f"oidc-provider@{VERSION}", f"npm install: {done.stderr.decode(errors='replace')[-500:]}")
            (folder / "fetched").touch()
    return found


@contextmanager
def provider(
    folder: Path,
    people: Mapping[str, Sequence[str]],
    back: str,
    *,
    in_token: bool = True,
    secret: bool = True,
    logout: str = "",
    by_session: bool = True,
) -> Iterator[OidcPeer]:
    """A provider of people, by name and groups, which leads back to one address; it is called by another name than the console. `logout` is
    told who logs out there, `by_session` in which of its sessions."""
    folder.mkdir(parents=True, exist_ok=True)
    port = free_port()
    issuer = f"http://localhost:{port}"
    client: dict[str, object] = {
        "client_id": CLIENT,
        "redirect_uris": [back],
        "response_types": ["code"],
        "grant_types": ["authorization_code"],
    }
    client |= {"client_secret": SECRET} if secret else {"token_endpoint_auth_method": "none"}
    client |= {"scope": "openid profile groups"}
    if logout:
        client |= {"backchannel_logout_uri": logout, "backchannel_logout_session_required": by_session}
    settings = folder / "provider.json"
    settings.write_text(
        json.dumps(
            {
                "library": str(library() / "lib" / "index.js"),
                "issuer": issuer,
                "port": port,
                "client": client,
                "people": people,
                "inToken": in_token,
            }
        )
    )
    running = Program([program("node", "nodejs"), _SCRIPT, settings], folder / "provider.log")
    try:
        wait_until(lambda: _answers(issuer), 60, "the provider answers")
        yield OidcPeer(issuer=issuer, process=running)
    finally:
        running.kill()


def _answers(issuer: str) -> bool:
    try:
        with urlopen(f"{issuer}/.well-known/openid-configuration", timeout=5) as answer:
            return bool(json.load(answer)["issuer"] == issuer)
    except OSError:
        return False
