"""hilum.yaml becomes the Config that it says: text stays text, defaults are the documented ones, the digest follows the meaning."""

import json
import re
import textwrap
from dataclasses import fields, replace
from datetime import timedelta
from pathlib import Path

import pytest

from inference.engines.embedded.kind import Embedded
from inference.engines.triton.channel import SharedMemory, Tls
from inference.engines.triton.kind import Triton
from node.assembly.configuration import load, schema
from node.domain.job import Priority
from node.domain.profile import ARCHIVE, PACS, SHIPPED, VIEWER, Compression, Form, Kind, Language, MaskEncoding, NotTaken
from node.domain.route import Condition, ConditionOperator, Route, conditions_in
from node.results.kinds import KINDS
from node.settings.config import ApplicationSettings, Config, EngineSettings, SinkSettings
from node.settings.load import PLACES, find_config
from node.settings.node import Node
from node.settings.peers import Limits, May, Peer, Scope, Settle
from node.settings.sinks import Like
from node.settings.source import ConfigMissing, ConfigRefused
from node.settings.store import Store
from node.sinks.dimse import Dimse
from node.sinks.folder import Folder

ROOT = Path(__file__).parents[3]
APPLICATIONS = ("mr-brain", "ct-lung")

SMALL = """\
    peers: {pacs: {ae_title: PACS, address: "10.0.0.5:104"}}
    sinks: {archive: {kind: dimse, peer: pacs}}
    routes:
      - name: head MR
        run: mr-brain
        send: archive
"""


def read(folder: Path, text: str) -> Config:
    """The configuration that `text` means in `folder`."""
    path = folder / "hilum.yaml"
    path.write_text(textwrap.dedent(text), encoding="utf-8")
    return load(path, applications=APPLICATIONS)


def test_the_example_of_the_design_reads_as_it_is_meant(tmp_path: Path) -> None:
    """Every noun of the file arrives in its class, conditions in the order in which they were written."""
    config = read(
        tmp_path,
        """\
        node:    {ae_title: [HILUM, HILUM_STAT], listen: "0.0.0.0:11112"}
        peers:   {pacs: {ae_title: PACS, address: "10.0.0.5:104", may: [store, echo, find], settle: {scope: series, quiet: 90s}}}
        store:   {journal: "sqlite:var/hilum.db", blobs: "file:/data/blobs", keep: 3d, keep_headers: 400d, min_free: 1.5GB}
        engines: {default: {kind: embedded}, wide: {kind: embedded, threads: 8}}
        sinks:   {archive: {kind: dimse, peer: pacs, retry: {first: 1s, most: 2m}}, copies: {kind: folder, path: out}}
        applications: {ct-lung: {engine: wide, attempts: 5, timeout: 1h}}
        routes:
          - name: abdominal CT
            from: [pacs]
            to: HILUM_STAT
            when:
              StudyDate: {within: 7d}
              Modality: CT
              BodyPartExamined: {in: [ABDOMEN, LIVER]}
              SliceThickness: {max: 5, min: 0.5}
              SeriesDescription: {matches: "(?i)portal|venous"}
              ContrastBolusAgent: {exists: true}
              ImageType: {not: LOCALIZER}
            run:  [ct-lung, mr-brain]
            priority: urgent
            send: [archive, copies]
            each: true
        """,
    )
    assert config.path == tmp_path / "hilum.yaml"
    assert config.node == Node(ae_titles=("HILUM", "HILUM_STAT"), host="0.0.0.0", port=11112)
    settle = Settle(scope=Scope.SERIES, quiet=timedelta(seconds=90))
    may = frozenset({May.STORE, May.ECHO, May.FIND})
    assert config.peers == {"pacs": Peer(name="pacs", ae_title="PACS", host="10.0.0.5", port=104, may=may, settle=settle)}
    assert config.store.journal == f"sqlite:{tmp_path}/var/hilum.db"
    assert config.store.blobs == Path("/data/blobs")
    assert (config.store.keep, config.store.min_free_bytes) == (timedelta(days=3), 1_500_000_000)
    assert config.engines["wide"] == EngineSettings(name="wide", options=Embedded(threads=8))
    assert config.sinks["archive"].retry_most == timedelta(minutes=2)
    assert config.sinks["copies"].destination == Folder(path=tmp_path / "out")
    assert config.applications["ct-lung"] == ApplicationSettings(name="ct-lung", engine="wide", attempts=5, timeout=timedelta(hours=1))
    (route,) = config.routes
    assert route.when == (
        Condition(keyword="StudyDate", operator=ConditionOperator.WITHIN, expected=(7 * 86400,)),
        Condition(keyword="Modality", operator=ConditionOperator.EQUALS, expected=("CT",)),
        Condition(keyword="BodyPartExamined", operator=ConditionOperator.EQUALS, expected=("ABDOMEN", "LIVER")),
        Condition(keyword="SliceThickness", operator=ConditionOperator.MAX, expected=(5,)),
        Condition(keyword="SliceThickness", operator=ConditionOperator.MIN, expected=(0.5,)),
        Condition(keyword="SeriesDescription", operator=ConditionOperator.MATCHES, expected=("(?i)portal|venous",)),
        Condition(keyword="ContrastBolusAgent", operator=ConditionOperator.EXISTS, expected=(True,)),
        Condition(keyword="ImageType", operator=ConditionOperator.EQUALS, expected=("LOCALIZER",), negated=True),
    )
    assert (route.peers, route.called, route.run, route.send) == (
        ("pacs",),
        ("HILUM_STAT",),
        ("ct-lung", "mr-brain"),
        ("archive", "copies"),
    )
    assert (route.priority, route.each) == (Priority.URGENT, True)


@pytest.mark.parametrize("text", ["NO", "0123", "22:30", "on", "1e3", "null", "2024-05-01", "0x1F"])
def test_what_yaml_likes_to_turn_into_something_else_stays_text(tmp_path: Path, text: str) -> None:
    """A Norwegian AE title, a time and an octal number reach the routes as they were written (a YAML 1.1 reader makes False, 1350, 83)."""
    config = read(
        tmp_path,
        f"""\
        peers: {{pacs: {{ae_title: {text}, address: "10.0.0.5:104"}}}}
        sinks: {{archive: {{kind: dimse, peer: pacs}}}}
        routes: [{{name: {text}, when: {{AccessionNumber: {text}, StationName: {{in: [{text}]}}}}, run: mr-brain, send: archive}}]
        """,
    )
    assert config.peers["pacs"].ae_title == text
    assert config.routes[0].name == text
    assert [condition.expected for condition in conditions_in(config.routes[0].when)] == [(text,), (text,)]


def test_a_number_is_a_number_where_dicom_has_one(tmp_path: Path) -> None:
    """DS and IS values compare as numbers, so that 5, 5.0 and 0.5e1 are one threshold."""
    config = read(tmp_path, SMALL + "        when: {SliceThickness: 5.0, EchoTime: 0.5e1, NumberOfFrames: {in: [1, 020]}}\n")
    assert [condition.expected for condition in conditions_in(config.routes[0].when)] == [(5,), (5,), (1, 20)]


@pytest.mark.parametrize("version", ["1", "1.2", "1.2.3", "1.2.3+model.4.5", "1.2.3-rc.1", "1.2.3.4", "1.2.3-rc.1+model.2"])
def test_every_version_that_a_manifest_may_have_can_be_asked_for(tmp_path: Path, version: str) -> None:
    """And what the node says it is here, with the models that it serves."""
    config = read(tmp_path, SMALL.replace("run: mr-brain", f"run: mr-brain@{version}"))
    assert [(one.application, one.version) for one in config.routes[0].pinned] == [("mr-brain", version)]


def test_the_documented_defaults_are_those_of_the_classes(tmp_path: Path) -> None:
    """What the YAML leaves out is what a test that builds the class by hand gets."""
    config = read(tmp_path, SMALL)
    assert config.node == Node()
    assert config.peers["pacs"] == Peer(name="pacs", ae_title="PACS", host="10.0.0.5", port=104)
    assert config.peers["pacs"].limits == Limits()
    assert config.store == Store(journal=f"sqlite:{tmp_path}/var/hilum.db", blobs=tmp_path / "var/blobs")
    assert config.sinks["archive"] == SinkSettings(name="archive", destination=Dimse(peer="pacs"))
    assert config.routes == (Route(name="head MR", run=("mr-brain",), send=("archive",)),)
    assert read(tmp_path, "engines: {default: }\napplications: {ct-lung: }").applications["ct-lung"] == ApplicationSettings(name="ct-lung")
    assert config.models == tmp_path / "models"


def test_a_sink_gets_the_profile_that_it_names(tmp_path: Path) -> None:
    """Shipped, one of the file's own, or keys of its own; what is not said is as in the profile that it is like."""
    config = read(
        tmp_path,
        """\
        profiles:
          research: {like: archive, compression: jpeg-ls, languages: [zh, en], derived: false}
          small: {masks: binary, like: archive}
        sinks:
          plain: {kind: folder, path: a}
          old: {kind: folder, path: b, profile: pacs}
          study: {kind: folder, path: c, profile: research}
          teaching: {kind: folder, path: d, profile: small}
          quiet: {kind: folder, path: e, profile: {summary: false, not_taken: leave-out}}
        """,
    )
    found = {name: sink.profile for name, sink in config.sinks.items()}
    assert (found["plain"], found["old"]) == (VIEWER, PACS)
    assert found["study"] == replace(
        ARCHIVE,
        name="research",
        compression=Compression.JPEG_LS,
        languages=(Language.CHINESE, Language.ENGLISH),
        kinds=ARCHIVE.kinds - {Kind.DERIVED},
    )
    assert (found["teaching"].masks, found["teaching"].compression) == (MaskEncoding.BINARY, Compression.NONE)  # RLE is of label maps
    assert found["quiet"] == replace(VIEWER, name="of its own", kinds=VIEWER.kinds - {Kind.SC}, not_taken=NotTaken.LEAVE_OUT)


def test_every_shipped_profile_can_be_named_and_asks_for_a_form_that_exists(tmp_path: Path) -> None:
    """`like` knows exactly the shipped ones, and a declared profile without keys is the shipped one."""
    for name, shipped in SHIPPED.items():
        config = read(tmp_path, f"profiles: {{mine: {{like: {name}}}}}\nsinks: {{s: {{kind: folder, path: x, profile: mine}}}}")
        own = config.sinks["s"].profile
        assert own == replace(shipped, name="mine")
        assert own.form in set(Form) or own.masks is MaskEncoding.NONE
    assert set(Like) == set(SHIPPED)
    assert {one.kind for one in KINDS if one.switch} == set(Kind) - {Kind.SEG}


def test_profiles_are_a_part_of_what_routes_equally(tmp_path: Path) -> None:
    """Another profile is another configuration; a sink without pages is what it was before there were profiles, whatever spells it."""
    line = "sinks: {{s: {{kind: folder, path: x{}}}}}"
    digests = [
        read(tmp_path, line.format(rest)).digest
        for rest in ("", ", profile: viewer", ", profile: {summary: false}", ", profile: archive", ", profile: {like: archive}")
    ]
    assert digests[0] == digests[1]
    assert digests[3] == digests[4]
    assert len(set(digests)) == 3


def test_a_file_of_comments_and_headings_is_a_whole_configuration(tmp_path: Path) -> None:
    """A block whose entries are all commented out is an empty one, not a mistake."""
    config = read(tmp_path, "node:\npeers:\n  # pacs: …\nroutes:\n")
    assert (config.peers, config.routes) == ({}, ())


def test_an_engine_on_a_triton_server(tmp_path: Path) -> None:
    """The port may be left out; files of `tls` count from the configuration's folder; everything else has a default."""
    config = read(
        tmp_path,
        """\
        engines:
          near: {kind: triton, url: "grpc://localhost"}
          far:
            kind: triton
            url: grpcs://triton.hospital.example:9001
            tls: {ca: certificates/ca.pem, cert: /etc/hilum/node.pem, key: /etc/hilum/node.key}
            shared_memory: off
            load: false
        """,
    )
    assert config.engines["near"] == EngineSettings(name="near", options=Triton(url="grpc://localhost:8001"))
    assert config.engines["far"] == EngineSettings(
        name="far",
        options=Triton(
            url="grpcs://triton.hospital.example:9001",
            tls=Tls(ca=tmp_path / "certificates/ca.pem", cert=Path("/etc/hilum/node.pem"), key=Path("/etc/hilum/node.key")),
            shared_memory=SharedMemory.OFF,
            load=False,
        ),
    )


@pytest.mark.parametrize("kind", ["subject", "fingerprint"])
def test_peers_behind_one_address_may_share_a_title_where_certificates_tell_them_apart(tmp_path: Path, kind: str) -> None:
    """As behind one address translation: what each must show, the others cannot."""
    proofs = {"subject": "CN=site {}", "fingerprint": "{}" * 64}
    sites = [
        f'    site{n}: {{ae_title: PACS, address: "10.0.0.5:104", certificate: {{{kind}: "{proofs[kind].format(*[n] * 64)}"}}}}'
        for n in (1, 2, 3)
    ]
    tls = '    node: {tls: {listen: "127.0.0.1:2762", certificate: node.pem, key: node.key, authorities: ca.pem}}'
    config = read(tmp_path, "\n".join([tls, "    peers:", *("  " + site for site in sites)]))
    assert list(config.peers) == ["site1", "site2", "site3"]


def test_peers_behind_one_address_may_share_a_title_where_users_tell_them_apart(tmp_path: Path) -> None:
    """A certificate that both show is no matter then."""
    config = read(
        tmp_path,
        """\
        peers:
          pacs: {ae_title: PACS, address: "10.0.0.5:104", user: {name: reading}}
          copy: {ae_title: PACS, address: "10.0.0.5:4242", user: {name: research}}
        """,
    )
    assert list(config.peers) == ["pacs", "copy"]


def test_the_digest_follows_the_meaning_and_nothing_else(tmp_path: Path) -> None:
    """Comments, key order, quotes and time-outs leave it; a threshold, a sender, a sink or a called AE title change it."""
    same = [
        SMALL,
        "# a comment\n" + textwrap.dedent(SMALL),
        SMALL + "        sample: 100%\n        disabled: false\n",
        textwrap.dedent(SMALL) + "node: {idle_timeout: 5s, workers: 3}\nstore: {keep: 1d}\n",
        (
            'sinks: {archive: {peer: "pacs", kind: dimse}}\n'
            'routes: [{send: [archive], name: head MR, run: ["mr-brain"]}]\n'
            "peers: {pacs: {address: 10.0.0.5:104, ae_title: PACS}}\n"
        ),
    ]
    others = [
        SMALL.replace("head MR", "head"),
        SMALL.replace("10.0.0.5", "10.0.0.6"),
        textwrap.dedent(SMALL) + "node: {ae_title: OTHER}\n",
        SMALL + "        when: {Modality: MR}\n",
        SMALL + "        when: {Modality: {not: MR}}\n",
        SMALL + "        when: {SliceThickness: {max: 5}}\n",
        SMALL + "        when: {SliceThickness: {max: 6}}\n",
        SMALL + "        expect: true\n",
        SMALL + "        otherwise: park\n",
        SMALL + "        short: run\n",
        SMALL + "        sample: 10%\n",
        SMALL + "        disabled: true\n",
        SMALL + "        prefer: [thinnest, {Modality: MR}]\n",
        SMALL + "        prefer: [{Modality: MR}, thinnest]\n",
        SMALL + "        longest: 1h\n",
        textwrap.dedent(SMALL + "        when: {is: MR}\n") + "define: {MR: {Modality: MR}}\n",
        textwrap.dedent(SMALL + "        when: {is: MR}\n") + "define: {MR: {Modality: MRI}}\n",
    ]
    (digest,) = {read(tmp_path, text).digest for text in same}
    assert len(digest) == 64
    assert len({digest, *(read(tmp_path, text).digest for text in others)}) == len(others) + 1
    defined, renamed = others[-2], others[-2].replace("is: MR", "is: magnet").replace("{MR:", "{magnet:")
    assert read(tmp_path, defined).digest == read(tmp_path, renamed).digest, "a definition is what it asks"


def test_the_same_conditions_in_another_order_are_the_same_meaning(tmp_path: Path) -> None:
    """All conditions of a route must hold: their order decides nothing."""
    first = read(tmp_path, SMALL + "        when: {Modality: MR, SliceThickness: {max: 5, min: 1}}\n")
    second = read(tmp_path, SMALL + "        when: {SliceThickness: {min: 1, max: 5}, Modality: MR}\n")
    assert first.digest == second.digest


@pytest.mark.parametrize(
    "path", [ROOT / "config/hilum.yaml", *sorted((ROOT / "config/examples").glob("*.yaml"))], ids=lambda path: path.stem
)
def test_every_configuration_that_comes_with_hilum_is_good(path: Path) -> None:
    """What a newcomer copies starts."""
    assert load(path, applications=APPLICATIONS).routes


def test_the_configuration_that_comes_with_hilum_admits_its_own_sender_alone() -> None:
    """Strangers are refused; what `hilum send` calls itself on this machine is a peer, and nothing listens on a network."""
    config = load(ROOT / "config/hilum.yaml", applications=APPLICATIONS)
    assert (config.node.host, config.node.strangers) == ("127.0.0.1", False)
    assert [(one.ae_title, one.host) for one in config.peers.values()] == [("HILUM-SEND", "127.0.0.1")]


def test_the_catalog_names_the_applications(tmp_path: Path) -> None:
    """Without a list of names the built-in applications are known, and so are those in the file's own folders."""
    (tmp_path / "mine" / "ct_bright").mkdir(parents=True)
    (tmp_path / "mine" / "ct_bright" / "__init__.py").write_text('"""An application."""\n')
    path = tmp_path / "hilum.yaml"
    path.write_text(textwrap.dedent(SMALL).replace("mr-brain", "[mr-brain, ct-bright]") + "models: {applications: [mine]}\n")
    assert load(path).routes[0].run == ("mr-brain", "ct-bright")


def test_a_configuration_is_found_where_the_command_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is named wins, then what the environment names, ./hilum.yaml and the installed one; nothing at all is an
    error that says where was looked."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HILUM_CONFIG", raising=False)
    installed = tmp_path / "etc" / "hilum.yaml"
    monkeypatch.setattr("node.settings.load.PLACES", (PLACES[0], installed))
    with pytest.raises(ConfigMissing, match=r"hilum\.yaml is not here"):
        find_config(None)
    installed.parent.mkdir()
    installed.touch()
    assert find_config(None) == installed
    (tmp_path / "hilum.yaml").touch()
    assert find_config(None) == Path("hilum.yaml")
    with pytest.raises(ConfigMissing, match=r"other\.yaml: there is no such file"):
        find_config(Path("other.yaml"))
    monkeypatch.setenv("HILUM_CONFIG", str(installed))
    assert find_config(None) == installed
    assert find_config(Path("hilum.yaml")) == Path("hilum.yaml")
    monkeypatch.setenv("HILUM_CONFIG", "gone.yaml")
    with pytest.raises(ConfigMissing, match=r"HILUM_CONFIG: gone\.yaml: there is no such file"):
        find_config(None)


def test_the_schema_names_every_key_of_every_class(tmp_path: Path) -> None:
    """JSON Schema is made from the declarations that decode; what a class can hold, an editor can complete."""
    made = schema()
    json.dumps(made)
    assert made["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    blocks = {
        "node",
        "peers",
        "store",
        "engines",
        "models",
        "profiles",
        "sinks",
        "applications",
        "define",
        "routes",
        "schedule",
        "audit",
        "console",
        "notify",
        "observe",
    }
    assert set(made["properties"]) == blocks
    spelt = {"ae_titles": "ae_title", "host": "listen", "port": "listen", "min_free_bytes": "min_free"}
    spelt |= {"metrics_host": "metrics", "metrics_port": "metrics", "plain": "listen", "ahead_bytes": "decode_ahead"}
    assert {spelt.get(one.name, one.name) for one in fields(Node)} == set(made["properties"]["node"]["properties"])
    assert {spelt.get(one.name, one.name) for one in fields(Store)} == set(made["properties"]["store"]["properties"])
    condition = made["$defs"]["condition"]["properties"]
    assert set(condition) == {"in", "matches", "min", "max", "exists", "within", "between", "weekday", "code", "not"}


def test_the_configuration_that_the_readme_builds_up_is_good(tmp_path: Path) -> None:
    """The blocks of the first hour, put together as a reader does, are one good file."""
    blocks = re.findall(r"^```yaml\n(.*?)^```", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    config = read(tmp_path, "".join(blocks))
    assert (list(config.peers), list(config.sinks), [route.run for route in config.routes]) == (
        ["pacs", "send"],
        ["archive"],
        [("mr-brain",)],
    )


def test_thousands_of_words_that_are_none_are_refused_without_a_guess_at_each(tmp_path: Path) -> None:
    """The nearest of 5,000 keywords takes milliseconds to find, and the console has routes checked that anybody typed."""
    words = ", ".join(f"Modalit{n}: MR" for n in range(60))
    with pytest.raises(ConfigRefused) as refused:
        read(tmp_path, f"routes:\n  - {{name: all, when: {{{words}}}, run: [x], send: [archive]}}\n")
    assert str(refused.value).count("unknown key") == 60
    assert str(refused.value).count('did you mean "Modality"') <= 50 <= str(refused.value).count("did you mean")
