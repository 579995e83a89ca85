"""Writes docs/reference/ from the source: `python -m docs.generate`. Tests compare the pages with what this would write."""

import ast
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from docs import man_page, objects, statements
from docs.event_meanings import HISTORY, LOGGED
from inference.codes import Code
from node.observe.security import SecurityEvent
from node.settings.blocks import Block

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs" / "reference"
_MADE = "<!-- Made by `python -m docs.generate` (make docs); edit the source, not this page. -->\n\n"
_ROOMS = {
    "0": "The root",
    "1": "Intake: an instance or association is refused",
    "2": "Configuration and command",
    "3": "Input: the series cannot be analysed as it is",
    "4": "Engine and model",
    "5": "Results",
    "6": "Delivery",
    "7": "Journal and storage",
    "8": "Training",
}


# ---- hilum.yaml


def configuration() -> str:
    """Every key of hilum.yaml, from the declarations that decode it."""
    from node.assembly.configuration import HILUM
    from node.settings.conditions import BLOCKS, DEFINED, DEFINED_SAYS, DERIVED_SAYS
    from node.settings.questions import QUESTIONS

    text = [
        "# hilum.yaml, every key\n\n",
        _MADE,
        "One file says what the node is. [hilum.yaml](../../config/hilum.yaml) is the annotated default; ",
        "[examples/](../../config/examples/) has more. `hilum config check` names every mistake with file, line, column and ",
        "what was meant; `hilum config schema` prints the JSON Schema for editors. Without `--config`, the file that ",
        "`HILUM_CONFIG` names is read, else `./hilum.yaml` or `/etc/hilum/hilum.yaml`; `hilum init` writes one to begin with. ",
        "Relative paths count from the file's folder. A running node reads the file when it starts, and when it is asked to: ",
        "`hilum config reload` takes up what *changes* live, whole or not at all; what needs a restart refuses the reload by its name.\n\n",
        "Text is never turned into something else: `NO` is an AE title, `0123` an accession number. An unknown key, a key that stands ",
        "twice, and a name that nothing bears (a peer, sink, engine or application) refuse to start.\n\n",
    ]
    for key in HILUM.whole.keys:
        text.append(f"## {key.name}\n\n{key.says}\n\n")
        text += _block_tables(key.name, key.kind, restart=key.restart) if key.name != "define" else [_DEFINED]
        if key.name == "profiles":
            text += _shipped_profiles()
    text += [
        "## when: conditions\n\n",
        "Keys are DICOM keywords of the data dictionary. All conditions of a route must hold. `Modality: CT` asks for equality; otherwise ",
        "a mapping, of which every entry must hold. A keyword that is absent or empty holds only `{exists: false}` and what `not` turns ",
        "around. A keyword with several values (its own, or those of a series' instances) holds when one of them does; `min` and `max` ",
        "ask for all, and `not` that what it turns around does not hold: `ImageType: {not: LOCALIZER}` that no value is that. Text ",
        'compares exactly. Private elements go by their creator, as `"(0019,xx0C) SIEMENS MR HEADER"`: group, `xx` for the block, which ',
        "differs from file to file, element, creator. Those that a route asks for are kept of headers from then on; numbers are compared ",
        "as numbers, whatever value representation the sender writes, and of a longer or unreadable value there is its size alone. What ",
        "cannot hold together whatever a header says (`{exists: false, in: [OMNIPAQUE]}`, `{min: 2, max: 1}`, `{in: [CHEST], ",
        "not: CHEST}`) is refused (HLM-2006).\n\n",
        "| condition | example | holds when | fits |\n|---|---|---|---|\n",
        "| a value | `Modality: CT` | Some value equals it. | all but codes and `age` |\n",
    ]
    for question in QUESTIONS:
        fits = ", ".join(sorted(_SORTS[sort.name] for sort in question.fits))
        text.append(f"| `{question.key}` | `{_cell(question.example)}` | {question.says} | {fits} |\n")
    text += [
        "| `not` | `{not: LOCALIZER}`, `{not: {in: [US, XA]}}` | The one condition in it does not hold. | all |\n\n",
        "Beside keywords there are blocks, each a list of such mappings, up to four deep and with up to 200 conditions together:\n\n",
        "| block | holds when |\n|---|---|\n",
        *(f"| `{junction.value}` | {says} |\n" for junction, says in BLOCKS.items()),
        f"| `{DEFINED}` | {DEFINED_SAYS} |\n",
        "\nAnd there are words for what no keyword says alone; explanations tell what each was taken from:\n\n",
        "| word | what it asks |\n|---|---|\n",
        *(f"| `{word.value}` | {says} |\n" for word, says in DERIVED_SAYS.items()),
        "\nA prior is not asked when it was taken: whatever could hold of a series without what `within`, `between`, `weekday` and ",
        "`age` ask holds of one.\n\n",
        "Patterns have RE2's syntax, which is Python's without look-around, back-references and possessive repetitions: the ",
        "search takes time in proportion to the text, whatever a sender writes. `hilum config check` refuses what does not fit ",
        "and says what to write instead. `\\d`, `\\w`, `\\s` and `\\b` know ASCII (`\\pL` is any letter, `\\pN` any digit), `$` is ",
        "the very end. Of a longer value the first 1,024 characters are searched, which explanations tell.\n\n",
        "Numbers are the keywords with VR DS, IS, FL, FD, SS, US, SL, UL, SV, UV; dates those with DA; times those with TM; text all ",
        "others but sequences and binary ones, on which there are no conditions. Three keywords count what was received: ",
        "`NumberOfSeriesRelatedInstances`, `NumberOfStudyRelatedInstances`, `NumberOfStudyRelatedSeries`. Of enhanced multi-frame images, ",
        "PixelSpacing, SliceThickness, ImageOrientationPatient and echo times are taken from the functional groups, where all frames say ",
        "the same. Of AnatomicRegionSequence, ContrastBolusAgentSequence, DerivationCodeSequence, PerformedProtocolCodeSequence, ",
        "ProcedureCodeSequence, RequestedProcedureCodeSequence, ScheduledProtocolCodeSequence and ViewCodeSequence there are the codes ",
        "(`code`), one level deep; ",
        "what RequestAttributesSequence has of them counts as well, and its RequestedProcedureDescription and ",
        "ScheduledProcedureStepDescription where the data set says none.\n",
    ]
    return "".join(text)


def app_yaml() -> str:
    """Every key of app.yaml, from the declarations that decode it."""
    from node.settings.app_yaml import WHOLE

    text = [
        "# app.yaml, every key\n\n",
        _MADE,
        "It lies in a folder beside a model's file and makes an application of it, without code: `hilum models import FOLDER`. ",
        "[How, in ten minutes](../howto/describe-a-model.md). Every mistake is named with line, column and what was meant; ",
        "`hilum config schema app.yaml` prints the JSON Schema for editors.\n\n",
    ]
    text += _block_tables("app.yaml", WHOLE)
    return "".join(text)


def container_yaml() -> str:
    """Every key of container.yaml, from the declarations that decode it."""
    from node.settings.container_yaml import WHOLE

    text = [
        "# container.yaml, every key\n\n",
        _MADE,
        "It lies in a folder of its own and makes an application of a container: `hilum models import FOLDER`. ",
        "[How](../howto/run-a-container.md). Every mistake is named with line, column and what was meant; ",
        "`hilum config schema container.yaml` prints the JSON Schema for editors.\n\n",
    ]
    text += _block_tables("container.yaml", WHOLE)
    return "".join(text)


def measurements() -> str:
    """Every word of `measure:`, from the declarations of its families."""
    from inference.imaging.measures.measuring import KINDS
    from inference.imaging.measures.points import PointsOfSegments
    from inference.imaging.measures.quantity import OF_MODALITY

    text = [
        "# Measurements of segments, every one\n\n",
        _MADE,
        "`measure:` of [app.yaml](app-yaml.md) says what is measured of each segment of a described model; an application in Python ",
        "declares the same as `measures=`. Masks are those that are delivered, on the images as they were acquired. In the report ",
        "each number bears its concept, its unit (UCUM) and its method (370129005 SCT, Measurement Method). **What cannot be measured ",
        "is said in the report, with the reason**; a segment that is not there is reported as absent. Of a series of which images are ",
        "missing nothing is measured.\n\n",
        "| word | what | how | what it needs |\n|---|---|---|---|\n",
        "| `volume` | Volume, in cm³. | Voxels, each by the volume that it stands for. | nothing |\n",
    ]
    for kind in KINDS.values():
        word = f"{{{kind.word}: {'NUMBER' if kind.limit else 'VERTEBRA'}}}" if kind.limit or kind.tissue else kind.word
        number = f" The number is {kind.limit}." if kind.limit else ""
        text.append(f"| `{word}` | {kind.says}{number} | {kind.method} | {kind.needs} |\n")
    text.append("\n## Codes\n\n| word | concept | derivation | unit |\n|---|---|---|---|\n")
    for kind in KINDS.values():
        at = {"vertebra": "", "level": "L3"} if kind.tissue else {}
        measure = kind.make(segments=("",), **({"limit": 0} if kind.limit else {}), **at)
        for one in measure.concepts(tuple(OF_MODALITY)):
            derivation = "" if one.derivation is None else _coded(one.derivation)
            text.append(f"| `{kind.word}` | {_coded(one.name)} | {derivation} | {one.unit.value} |\n")
    text += [
        "\n## Points\n\n",
        "Each is a group of its own in the report of detections (TID 1410), under the code and the side of its segment: a point in the ",
        "frame of reference of the images (SCOORD3D), with its geometric purpose (130400 DCM) and method. OHIF shows it as a probe.\n\n",
        "| word | geometric purpose (CID 219) | method |\n|---|---|---|\n",
    ]
    for kind in KINDS.values():
        if issubclass(kind.make, PointsOfSegments):
            text.append(f"| `{kind.word}` | {_coded(kind.make.purpose)} | {_coded(kind.make.method)} |\n")
    return "".join(text)


def _coded(code: Code) -> str:
    return f"{code.meaning} ({code.value}, {code.scheme})"


def catalogue() -> str:
    """Every key of a list of published models, from the declarations that decode it."""
    from node.catalogue.published import WHOLE

    text = [
        "# A list of published models, every key\n\n",
        _MADE,
        "The list that comes with hilum, and one of a hospital's own (`models: {catalogue: {list: FILE}}`): where `hilum models fetch` ",
        "takes addresses and digests from ([how](../howto/bring-a-model.md#a-published-model)). Every mistake is named with line, column ",
        "and what was meant.\n\n",
    ]
    text += _block_tables("the list", WHOLE)
    return "".join(text)


_DEFINED = """\
```yaml
define:
  native head CT: {Modality: CT, BodyPartExamined: HEAD, ContrastBolusAgent: {exists: false}}
  thin native head CT: {is: native head CT, SliceThickness: {max: 1.5}}
```

A name is any text but a DICOM keyword or a word of conditions. Definitions stand in each other up to four deep, and none in itself. What
a route asks is unfolded when the file is read: the digest is that of what it asks, whatever that is called. `hilum config check` warns of
a definition that no route asks for.

"""
_SORTS = {"NUMBER": "numbers", "DATE": "dates", "TIME": "times", "TEXT": "text", "CODES": "codes"}
_SORTS |= {"AGE": "`age`", "WORD": "`plane`, `contrast`", "PRIVATE": "private elements"}


def _block_tables(path: str, kind: Any, *, restart: bool | None = None) -> Iterator[str]:
    """The keys of a block as a table; blocks inside it follow under their own headings. `restart`: whether all of it
    waits for one; None: of a file that no node reads while it runs."""
    block = getattr(kind, "of", kind)
    if hasattr(kind, "noun"):
        path = f"{path}[]" if type(kind).__name__ == "Items" else f"{path}.NAME"
    head, rule = ("", "") if restart is None else (" changes |", "---|")
    yield f"| key of `{path}` | what it does | takes | default |{head}\n|---|---|---|---|{rule}\n"
    inner = []
    for key in block.keys:
        nested = hasattr(key.kind, "keys") or isinstance(getattr(key.kind, "of", None), Block)
        default = "required" if key.required else "" if key.default in (None, "{}", "[]") else f"`{key.default}`"
        takes = "a mapping, below" if nested else key.kind.wants
        changes = "" if restart is None else " restart |" if restart or key.restart else " live |"
        yield f"| `{key.name}` | {_cell(key.says)} | {_cell(takes)} | {default} |{changes}\n"
        if nested:
            inner.append((f"{path}.{key.name}", key))
    yield "\n"
    for name, key in inner:
        yield from _block_tables(name, key.kind, restart=None if restart is None else restart or key.restart)


def _shipped_profiles() -> Iterator[str]:
    """What the profiles that come with hilum say, key by key."""
    from node.assembly.configuration import HILUM
    from node.domain.profile import SHIPPED, Profile
    from node.results.kinds import KINDS

    switches = {one.switch: one.kind for one in KINDS if one.switch}

    def said(profile: Profile, key: str) -> str:
        if key in switches:
            return "true" if switches[key] in profile.kinds else "false"
        value = getattr(profile, key)
        if isinstance(value, bool):
            return str(value).lower()
        return f"[{', '.join(value)}]" if isinstance(value, tuple) else str(value)

    yield (
        "`viewer` is for a modern viewer and holds where a sink names none; `pacs` for a conservative PACS; `archive` for a research "
        "archive; `triage` for a worklist, which sorts studies by one report.\n\n"
    )
    yield f"| | {' | '.join(f'`{name}`' for name in SHIPPED)} |\n|---|{'---|' * len(SHIPPED)}\n"
    for key in HILUM.profile.keys:
        if key.name != "like":
            yield f"| `{key.name}` | {' | '.join(f'`{said(profile, key.name)}`' for profile in SHIPPED.values())} |\n"
    yield "\n"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


# ---- the command


def commands() -> str:
    """Every verb with its options, from the verbs' own signatures and docstrings."""
    from node.cli.main import EPILOGUE, build, tell_all

    app = build()
    for name in app.resolved_commands():
        for verb in app[name].resolved_commands() if not name.startswith("-") else ():
            tell_all(app, (name, verb))
        tell_all(app, (name,))
    made = app.generate_docs(output_format="markdown", recursive=True, include_hidden=False, heading_level=1)
    _, _, after = made.partition("\n")
    return f"# The command `hilum`\n\n{_MADE}{EPILOGUE}\n{after.replace(EPILOGUE, '')}".rstrip() + "\n"


# ---- errors


def errors() -> str:
    """Every error code with what it means and what to do."""
    import training.errors  # noqa: F401 (those of training; the node knows none of them)
    from node.records.remedies import every_error

    text = [
        "# Error codes\n\n",
        _MADE,
        "A code never changes its meaning. It stands in the command's messages, in `hilum jobs show`, in events and in the journal. ",
        "*Tried again* says whether the node does so by itself.\n\n",
    ]
    room = ""
    for code, error in every_error().items():
        if code[4] != room:
            room = code[4]
            text.append(f"## {_ROOMS[room]}\n\n| code | what happened | what to do | tried again |\n|---|---|---|---|\n")
        happened = " ".join((error.__doc__ or "").split("\n\n")[0].split())
        text.append(f"| {code} | {_cell(happened)} | {_cell(error.remedy)} | {'yes' if error.retry else 'no'} |\n")
        if code == max(one for one in every_error() if one[4] == room):
            text.append("\n")
    return "".join(text).rstrip() + "\n"


# ---- events


def logged_events() -> dict[str, tuple[str, list[str]]]:
    """Event name → (level, fields), from the calls of `event` and `alarm` in the source, and from the security events."""
    found: dict[str, tuple[str, set[str]]] = {}
    for kind in _security_events():
        found[kind.line] = ("alarm" if kind.is_alarm else "event", {field.name for field in dataclasses.fields(kind)})
    for path in sorted((ROOT / "node").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(call, ast.Call) and call.args and (level := _level(call.func)):
                name = call.args[0]
                if isinstance(name, ast.Constant) and isinstance(name.value, str):
                    fields = found.setdefault(name.value, (level, set()))[1]
                    fields |= {word.arg for word in call.keywords if word.arg is not None}
    return {name: (level, sorted(fields)) for name, (level, fields) in sorted(found.items())}


def _security_events(base: type[SecurityEvent] = SecurityEvent) -> Iterator[type[SecurityEvent]]:
    for kind in base.__subclasses__():
        if "line" in vars(kind):
            yield kind
        yield from _security_events(kind)


def _level(called: ast.expr) -> str:
    """ "event" or "alarm" for the functions of these names; else nothing."""
    name = called.id if isinstance(called, ast.Name) else ""
    return name if name in ("event", "alarm") else ""


def events() -> str:
    """The events of the log and of the journal."""
    text = [
        "# Events\n\n",
        _MADE,
        "## On stdout\n\n",
        "`hilum serve` prints one JSON line when it accepts associations: `event` (`node.ready`), `port`, `ae_title`, `pid`, and ",
        "`metrics_port` when `node: {metrics: …}` is on.\n\n",
        "## The log\n\n",
        "One JSON line each on stderr, with `event`, `level`, `timestamp` (UTC) and `process`, and these fields. Names are stable. ",
        "On a terminal it is a line in words, unless `node: {log: json}` says otherwise. `hilum events` tells the history, ",
        "`hilum associations` who called. ",
        "There is no patient data in them unless `node: {patient_data_in_logs: true}`.\n\n",
        "| event | level | means | fields |\n|---|---|---|---|\n",
    ]
    for name, (level, fields) in logged_events().items():
        said = "warning" if level == "alarm" else "info"
        text.append(f"| `{name}` | {said} | {_cell(LOGGED.get(name, '(no sentence)'))} | {', '.join(f'`{one}`' for one in fields)} |\n")
    text += [
        "\n## The history\n\n",
        "Written in the same transaction as the change that it tells; `hilum studies show` and `hilum jobs show` print it.\n\n",
        "| event | means |\n|---|---|\n",
    ]
    text += [f"| `{name}` | {_cell(sentence)} |\n" for name, sentence in HISTORY.items()]
    return "".join(text)


# ---- metrics


def metrics() -> str:
    """Every metric with its labels, from the declarations; a heading for each comment that divides them there."""
    from node.observe import metrics as declarations
    from node.observe.instruments import Histogram, Metric

    text = [
        "# Metrics\n\n",
        _MADE,
        '`node: {metrics: "127.0.0.1:9464"}` has the node answer on `/metrics` (Prometheus text format 0.0.4), `/health/live` (the ',
        "supervisor turns) and `/health/ready` (studies are taken in; JSON names the part that is not ready, and why; 503 when it is ",
        "not). One address for all processes of the node: what its processes count is added up, and outlives each of them. Counters ",
        "begin at 0 when `hilum serve` starts. [dashboards/](../../config/dashboards/) has a Grafana dashboard and alert rules.\n\n",
        "There is no patient data in them, no UID, and no title that a stranger gave itself: `peer` is a name under `peers:`, or `",
        f"{declarations.STRANGER}`. `code` is one of the [error codes](errors.md). Of histograms, the upper bounds (s) are given.\n\n",
    ]
    for heading, names in _headed(Path(declarations.__file__)):
        text.append(f"## {heading}\n\n| metric | type | labels | what it is |\n|---|---|---|---|\n")
        for name in names:
            metric: Metric = getattr(declarations, name)
            bounds = f" Bounds: {', '.join(f'{bound:g}' for bound in metric.buckets)}." if isinstance(metric, Histogram) else ""
            labels = ", ".join(f"`{label}`" for label in metric.labels)
            text.append(f"| `{metric.name}` | {metric.kind} | {labels} | {_cell(metric.help)}{bounds} |\n")
        text.append("\n")
    return "".join(text).rstrip() + "\n"


def api() -> str:
    """Every call of the console, from the routes that answer."""
    from docs import api_calls  # what the console is made of takes a second to import

    return api_calls.page(_MADE)


def _headed(path: Path) -> list[tuple[str, list[str]]]:
    """The names that a module assigns in capitals, under the comments `# ---- heading`."""
    found: list[tuple[str, list[str]]] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        if line.startswith("# ---- "):
            heading = line.removeprefix("# ---- ")
            found.append((heading[0].upper() + heading[1:], []))
        elif found and line[:1].isupper() and " = " in line:
            found[-1][1].append(line.partition(" = ")[0])
    return found


PAGES: Mapping[str, Callable[[], str]] = {
    "configuration.md": configuration,
    "app-yaml.md": app_yaml,
    "container-yaml.md": container_yaml,
    "measurements.md": measurements,
    "catalogue.md": catalogue,
    "commands.md": commands,
    "hilum.1": lambda: man_page.page(commands()),
    "errors.md": errors,
    "events.md": events,
    "metrics.md": metrics,
    "objects.md": lambda: objects.page(_MADE),
    "api.md": api,
    "contexts.md": lambda: statements.contexts(_MADE),
    "ihe-integration-statement.md": lambda: statements.integration(_MADE),
}
"""What writes each page."""


def main() -> None:
    """Write every page."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for name, text in PAGES.items():
        (FOLDER / name).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
