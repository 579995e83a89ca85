"""Lists of published models: the one that comes with hilum, and a hospital's own, which may have to be signed."""

import base64
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from inference.applications import catalog
from node.catalogue.fetched import UnreadableSerials, last_serial, note_serial
from node.catalogue.published import ListRefused, OldList, UnsignedList, published
from node.catalogue.shelf import shelf
from node.settings.config import PUBLIC_KEY, OwnList

_LIST = """\
models:
  knee:
    title: Cartilage of the knee
    source: https://models.hospital.example/knee
    licence: {weights: hospital's own, commercial: "no"}
    files: [{url: "https://models.hospital.example/knee.zip", size: 12, sha256: DIGEST}]
""".replace("DIGEST", "0f" * 32)


def _own(folder: Path, text: str = _LIST, key: bytes | None = None) -> OwnList:
    path = folder / "models.yaml"
    path.write_text(text)
    return OwnList(path=path, public_key=key)


def test_the_list_of_hilum_holds() -> None:
    """It is read, names every licence, and says of weights that an application takes the digests that the application demands."""
    for name, model in published(None).models.items():
        assert (model.licences is None) == bool(model.application), name
        if model.application:
            sources = [source for source in catalog.load(model.application).sources if source.convert is not None]
            wanted = {sha256 for source in sources for sha256 in (source.sha256, *source.joined)}
            assert {file.sha256 for file in model.files} == wanted, name


def test_a_hospitals_own_goes_before(tmp_path: Path) -> None:
    """Its entry of a name is taken; hilum's others stay."""
    models = published(_own(tmp_path, _LIST.replace("knee:", "ct-lung:", 1))).models
    assert models["ct-lung"].title == "Cartilage of the knee"
    assert "totalsegmentator" in models


@pytest.mark.parametrize(
    ("was", "becomes", "says"),
    [
        ("https://models.hospital.example/knee.zip", "http://models.hospital.example/knee.zip", "is no address to fetch from"),
        ("https://models.hospital.example/knee.zip", "https://me:secret@models.hospital.example/knee.zip", "without a login"),
        ("https://models.hospital.example/knee.zip", "https://models.hospital.example/", "is no name of a file; give one"),
        ("0f" * 32, "0F" * 32, "is no SHA-256"),
        ("size: 12", "size: none", "no whole number"),
        ("licence:", "license:", 'did you mean "licence"'),
        ('    licence: {weights: hospital\'s own, commercial: "no"}\n', "", 'needs the key "licence"'),
    ],
)
def test_a_wrong_list_names_line_and_key(tmp_path: Path, was: str, becomes: str, says: str) -> None:
    """As hilum.yaml does."""
    with pytest.raises(ListRefused, match=says) as refused:
        published(_own(tmp_path, _LIST.replace(was, becomes)))
    assert f"{tmp_path}/models.yaml:" in str(refused.value)


def test_what_cannot_be_looked_at_is_not_said_to_be_absent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder of a model belongs to whoever fetched it; what came of one that is served nowhere is said to be here."""
    (model,) = (one for one in published(_own(tmp_path)).models.values() if one.name == "knee")

    def state(unserved: str = "") -> str:
        return shelf([replace(model, unserved=unserved)], tmp_path / "fetched", [])[0].state

    assert (state(), state("so")) == ("not fetched", "not fetched; hilum cannot serve it")
    (tmp_path / "fetched" / "knee").mkdir(parents=True)
    assert state() == "not fetched"
    (tmp_path / "fetched" / "knee" / "knee.zip").touch()
    assert (state(), state("so")) == ("fetched, not imported", "fetched; hilum cannot serve it")
    monkeypatch.setattr("os.access", lambda path, mode: False)
    assert state() == "not known: another user fetched it"


def test_a_list_is_signed_by_the_key_of_the_configuration(tmp_path: Path) -> None:
    """It is taken so; unsigned, changed since, or signed by another it is not, and the message says which."""
    key, other = Ed25519PrivateKey.generate(), Ed25519PrivateKey.generate()
    own = _own(tmp_path, _LIST + "serial: 1\n", key=key.public_key().public_bytes_raw())
    beside = tmp_path / "models.yaml.sig"
    with pytest.raises(UnsignedList, match=r"not signed: models.yaml.sig beside it: No such file"):
        published(own)
    beside.write_bytes(key.sign(own.path.read_bytes()))
    assert published(own).models["knee"].files[0].size == 12
    own.path.write_text(_LIST.replace("knee.zip", "other.zip"))
    with pytest.raises(UnsignedList, match="not signed by the key"):
        published(own)
    own.path.write_text(_LIST + "serial: 1\n")
    beside.write_bytes(other.sign(own.path.read_bytes()))
    with pytest.raises(UnsignedList, match="not signed by the key"):
        published(own)
    beside.write_bytes(base64.b64encode(key.sign(own.path.read_bytes())))
    with pytest.raises(UnsignedList, match="is no Ed25519 signature: it has 88 bytes"):
        published(own)


def test_the_public_key_is_what_openssl_prints() -> None:
    """The line between BEGIN and END; another kind of key, or half of one, is refused."""
    key = Ed25519PrivateKey.generate().public_key()
    line = base64.b64encode(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).decode()
    assert PUBLIC_KEY.parse(line) == key.public_bytes_raw()
    for unfit in (line[:-4], "A" * 60, base64.b64encode(key.public_bytes_raw()).decode(), "no base64"):
        with pytest.raises(ValueError, match="is no public key of Ed25519"):
            PUBLIC_KEY.parse(unfit)


def test_an_older_list_is_refused_whoever_signed_it(tmp_path: Path) -> None:
    """A model that its signer withdrew does not come back with the list of last year; of another signer's lists nothing is known, and a
    note that cannot be read is told."""
    key = Ed25519PrivateKey.generate()
    signer = key.public_key().public_bytes_raw()

    def signed(last: str) -> OwnList:
        own = _own(tmp_path, _LIST + last, key=signer)
        own.path.with_name("models.yaml.sig").write_bytes(key.sign(own.path.read_bytes()))
        return own

    with pytest.raises(OldList, match="no `serial`: a signed list says by it which one is newer"):
        published(signed(""))
    assert published(signed("serial: 20260201\n"), last_serial(tmp_path, signer)).serial == 20260201
    note_serial(tmp_path, signer, 20260201)
    note_serial(tmp_path, b"another", 3)
    note_serial(tmp_path, signer, 20260131)
    assert (last_serial(tmp_path, signer), last_serial(tmp_path, b"another"), last_serial(tmp_path, b"a third")) == (20260201, 3, 0)
    with pytest.raises(OldList, match=r"serial 20260131: older than the list of serial 20260201 that was taken here"):
        published(signed("serial: 20260131\n"), last_serial(tmp_path, signer))
    (tmp_path / "serials.json").write_text("[")
    with pytest.raises(UnreadableSerials, match=r"serials.json cannot be read"):
        last_serial(tmp_path, signer)
