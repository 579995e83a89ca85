"""The command `hilum`: which verb lives in which file, what lets a shell complete them, and the one place where an error becomes an exit
code.
"""

import os
import re
import signal
import sys
from collections.abc import Sequence
from importlib import metadata
from typing import Literal

from cyclopts import App, CycloptsError, Group

from inference.errors import HilumError

_OFFERED_WORDS = re.compile(r"^(complete -c hilum -n (?:'[^']*'|\S+)) -a ", re.MULTILINE)
"""Lines of fish's script that offer verbs, and files beside them unless `-f` says that none belong there."""
_ZSH_CALLS = """
if [[ ${funcstack[1]} == _hilum ]]; then _cyclopts_hilum "$@"; else compdef _cyclopts_hilum hilum; fi
"""
"""The script of zsh defines a function: found as `_hilum` on fpath it has to call it, too, and read by `source` to name it."""


def completion(shell: Literal["bash", "zsh", "fish"], /) -> None:
    """Print what lets a shell complete verbs and options: bash, zsh or fish.

    Written to where the shell looks for it, it is read when a shell is begun:

    - bash: `hilum completion bash > ~/.local/share/bash-completion/completions/hilum`
    - zsh: `hilum completion zsh > ~/.zfunc/_hilum`, with `fpath+=~/.zfunc` before `compinit` in ~/.zshrc
    - fish: `hilum completion fish > ~/.config/fish/completions/hilum.fish`

    Parameters
    ----------
    shell
        The shell that it is for.
    """
    script = build().generate_completion(shell=shell)
    if shell == "fish":
        script = _OFFERED_WORDS.sub(r"\1 -f -a ", script)
    print(script, end=_ZSH_CALLS if shell == "zsh" else "")


GOOD, BAD, USAGE = 0, 1, 2
"""The exit codes."""
_INTERRUPTED = 128 + signal.SIGINT
"""What shells take for ended by ^C."""

_NODE = Group.create_ordered("The node")
_LOOK = Group.create_ordered("What happened, and what would")
_MEND = Group.create_ordered("Set up and mend")
_MAKE = Group.create_ordered("Training")

SUMMARY = "A DICOM-network AI node: studies come in over DIMSE, segmentations and structured reports go back."
EPILOGUE = "Every reading verb takes --json. Exit codes: 0 good, 1 bad, 2 usage."


def _version() -> str:
    return metadata.version("hilum")


def build() -> App:
    """The command with all its verbs; each help text is the first line of the verb's docstring (a test compares)."""
    app = App(
        name="hilum",
        help=SUMMARY,
        help_epilogue=EPILOGUE,
        version=_version,
        help_format="markdown",
    )
    app["--help"].group = app["--version"].group = Group("Options", sort_key=99)
    verbs = (
        ("serve", "node.cli.serve:serve", "Run the node: receive, decide, analyse, deliver. SIGTERM drains and ends it.", _NODE),
        (
            "init",
            "node.cli.init:init",
            "Begin a node: write a commented configuration, examples, dashboards, a systemd unit, and its folders.",
            _NODE,
        ),
        ("demo", "node.cli.demo:demo", "Send a real head MR through a node on this machine and show what comes back.", _NODE),
        ("send", "node.cli.send:send", "Send DICOM files as a PACS would.", _NODE),
        (
            "health",
            "node.cli.health:health",
            "Ask the running node whether it takes studies in; exit code 0 when it does, 1 when it does not or does not answer.",
            _NODE,
        ),
        (
            "events",
            "node.cli.events:events",
            "Tell what happened, line by line, the newest last: studies, jobs, deliveries, commitments.",
            _LOOK,
        ),
        (
            "associations",
            "node.cli.events:associations",
            "Tell who called this node, and what was accepted or turned away and why; of the last hour unless you say otherwise.",
            _LOOK,
        ),
        (
            "peers",
            "node.cli.peers:peers",
            "Tell of every peer when it sent last, and its quiet window: in force, learned, and what that rests on.",
            _LOOK,
        ),
        ("pause", "node.cli.pause:pause", "Hold back a route, a sink or an engine while intake goes on.", _MEND),
        ("resume", "node.cli.pause:resume", "Let a paused route, sink or engine go on.", _MEND),
        (
            "backup",
            "node.cli.backup:backup",
            "Back up a running node: journal, images, results, spool, configuration, models, applications of your own.",
            _MEND,
        ),
        (
            "restore",
            "node.cli.backup:restore",
            "Restore a backup to where the configuration's `store:` and `models:` say, which must be empty.",
            _MEND,
        ),
        (
            "unseal",
            "node.cli.backup:unseal",
            "Write encrypted files of the store decrypted into a folder: what was set aside, mostly.",
            _MEND,
        ),
        (
            "doctor",
            "node.cli.doctor.command:doctor",
            "Look at disk, journal, node, peers, sinks, engines and models; say what is wrong and what to do.",
            _MEND,
        ),
        (
            "notify",
            "node.cli.health:notify",
            "Send a trial message by mail and webhook, as `notify:` says; exit code 0 when each was taken.",
            _MEND,
        ),
        (
            "completion",
            "node.cli.main:completion",
            "Print what lets a shell complete verbs and options: bash, zsh or fish.",
            _MEND,
        ),
        # by string alone, as an entry point would: the node imports nothing of training (ADR-0024)
        (
            "train",
            "training.cli:train",
            "Train a recipe's model, or go on with a training that was ended; several processes with torchrun.",
            _MAKE,
        ),
        (
            "federate",
            "training.federated.cli:federate",
            "Train a recipe's network over several sites, whose images stay where they are: each learns, and the weights are averaged.",
            _MAKE,
        ),
        (
            "evaluate",
            "node.cli.evaluate:evaluate",
            "Score an application on labelled studies, or a trained model on the cases that were held out, as they are served.",
            _MAKE,
        ),
        (
            "compress",
            "training.compressing.cli:compress",
            "Make a thinner network of a trained one, fine-tune it, and say whether it may take its place.",
            _MAKE,
        ),
        (
            "choose",
            "training.choosing.cli:choose",
            "Name the patients of an archive who should be labelled next, by a network of those who are labelled (active learning).",
            _MAKE,
        ),
        (
            "export",
            "training.cli:export",
            "Enter an evaluated model into the model repository as its next version, with its card; it is served from now on.",
            _MAKE,
        ),
    )
    for name, target, says, group in verbs:
        app.command(target, name=name, help=says, group=group)
    app.command(_config())
    app.command(_routes())
    app.command(_studies())
    app.command(_jobs())
    app.command(_patients())
    app.command(_models())
    app.command(_console())
    return app


def _config() -> App:
    app = App(
        name="config",
        help="Check the configuration; have it taken up; what was in force, and back to it; JSON Schema for editors.",
        group=_MEND,
    )
    app.command("node.cli.config:check", name="check", help="Refuse a bad configuration before it runs, with every mistake in it.")
    app.command(
        "node.cli.config:schema",
        name="schema",
        help="Print the JSON Schema of hilum.yaml, of the app.yaml that describes a model, or of a container's container.yaml, for "
        "editors.",
    )
    app.command(
        "node.cli.config:reload",
        name="reload",
        help="Have the running node take up its configuration file: checked, and taken whole or refused with the reason.",
    )
    app.command("node.cli.config:history", name="history", help="List the configurations that came into force: who, when, why.")
    app.command("node.cli.config:diff", name="diff", help="Show in what two of them differ, or one and the file.")
    app.command(
        "node.cli.config:rollback",
        name="rollback",
        help="Put an earlier configuration into the file and in force: checked, and taken whole or refused with the reason.",
    )
    return app


def _routes() -> App:
    app = App(name="routes", help="Why a route takes a series, or does not; edited routes tried.", group=_LOOK)
    app.command("node.cli.routes:explain", name="explain", help="Say of every route and series why it did, or would, or would not match.")
    app.command(
        "node.cli.routes_cases:run_cases",
        name="test",
        help="Try the routes on the cases of a file: headers, a folder of DICOM or a received study; and which routes are to run on it.",
    )
    app.command(
        "node.cli.routes_replay:replay",
        name="replay",
        help="Say what an edited configuration would have done to the studies that were received: exactly what it would decide otherwise.",
    )
    return app


def _studies() -> App:
    app = App(name="studies", help="What was received, and what became of it.", group=_LOOK)
    app.command("node.cli.studies:list_studies", name="list", help="List the studies that were received, the newest first.")
    app.command("node.cli.studies:show", name="show", help="Show a study's passport: what came, what was decided, what ran, what left.")
    app.command("node.cli.studies:complete", name="complete", help="Declare a study complete, without waiting for the quiet window.")
    app.command("node.cli.studies:retry", name="retry", help="Route a parked study again.")
    app.command("node.cli.studies:accept_held", name="accept-held", help="Let what is held of a study count, and analyse it anew.")
    app.command("node.cli.studies:refuse_held", name="refuse-held", help="Never use what is held of a study.")
    return app


def _jobs() -> App:
    app = App(name="jobs", help="The analyses: state, reason, retry.", group=_LOOK)
    app.command("node.cli.jobs:list_jobs", name="list", help="List jobs, the newest first.")
    app.command("node.cli.jobs:show", name="show", help="Show one job: state, reason, what to do, objects, deliveries, history.")
    app.command("node.cli.jobs:retry", name="retry", help="Go on with a parked, failed or cancelled job from what is already on disk.")
    app.command("node.cli.jobs:cancel", name="cancel", help="Cancel a job; what was delivered stays where it is.")
    app.command("node.cli.jobs:resend", name="resend", help="Send a job's frozen objects again: the same bytes.")
    return app


def _patients() -> App:
    app = App(name="patients", help="Patients: erase one on request.", group=_MEND)
    app.command(
        "node.cli.patients:erase",
        name="erase",
        help="Erase everything that the node holds of a patient: images, results, findings, headers, history.",
    )
    return app


def _models() -> App:
    app = App(name="models", help="Models: list, verify, fetch, import, tune, roll back, load, unload, convert, compare.", group=_MEND)
    app.command(
        "node.cli.models:list_models",
        name="list",
        help="List the models of the repository: version, which one is served, grade, format, digest, licences, where they came from.",
    )
    app.command(
        "node.cli.models:verify",
        name="verify",
        help="Recompute the digests, and run a known input through each model; exit code 1 when anything differs.",
    )
    app.command(
        "node.cli.tune:tune",
        name="tune",
        help="Measure in which way this machine computes models best, and enter it: engines that are opened from now on go by it.",
    )
    app.command(
        "node.cli.model_import:import_",
        name="import",
        help="Bring a model into the repository: an application's weights, or a model of yours, which then is an application; "
        "entered whole.",
    )
    app.command(
        "node.cli.model_fetch:fetch",
        name="fetch",
        help="Fetch a published model of the catalogue, compare its digest, and import it; one that broke off is gone on with.",
    )
    app.command(
        "node.cli.models:rollback",
        name="rollback",
        help="Serve another version of a model from now on: the one before, or --to; a second rollback undoes the first.",
    )
    app.command(
        "node.cli.accept:accept",
        name="accept",
        help="Accept an application as it was tested on studies of this hospital, for routes that ask for it; or take that back.",
    )
    app.command(
        "node.cli.models:load",
        name="load",
        help="Have a Triton server load a model from its repository, or load it anew; calls under way are answered by what it held.",
    )
    app.command(
        "node.cli.models:unload",
        name="unload",
        help="Have a Triton server let go of a model; calls under way are answered first. Jobs that need it wait, or load it again.",
    )
    app.command(
        "node.cli.models:convert",
        name="convert",
        help="Write a model in another format: the file, a config.pbtxt for it, and how far its answers are from the original's.",
    )
    app.command(
        "training.evaluation.cli:compare",
        name="compare",
        help="Compare two models' evaluations over the same held-out cases: paired differences with intervals and a test.",
    )
    return app


def _console() -> App:
    app = App(name="console", help="Who may use the console: people, their sessions, and tokens for programs.", group=_MEND)
    users = App(name="users", help="People who may log in.")
    users.command("node.cli.console:add_user", name="add", help="Let a person in; the password is asked for, or read from standard input.")
    users.command("node.cli.console:list_users", name="list", help="List who may log in.")
    users.command("node.cli.console:change_role", name="role", help="Give a person another role; sessions and tokens have it at once.")
    users.command(
        "node.cli.console:change_password",
        name="password",
        help="Give a person another password, which is asked for, or read from standard input; ends sessions, not tokens.",
    )
    users.command("node.cli.console:remove_user", name="remove", help="Let a person in no more, and end their sessions and tokens at once.")
    users.command(
        "node.cli.console:disable_user",
        name="disable",
        help="Let a person in no more, and end their sessions at once; their tokens open nothing until they are enabled again.",
    )
    users.command("node.cli.console:enable_user", name="enable", help="Let a person in again who was disabled.")
    users.command(
        "node.cli.console:unlock", name="unlock", help="Let an address try to log in again at once, that failed too often and waits."
    )
    sessions = App(name="sessions", help="Who is logged in.")
    sessions.command("node.cli.console:list_sessions", name="list", help="List who is logged in, since when, and from where.")
    sessions.command("node.cli.console:end_session", name="end", help="End a session at once.")
    tokens = App(name="tokens", help="Tokens of programs that use the API.")
    tokens.command("node.cli.console:add_token", name="add", help="Make a token with a user's role; it is printed once.")
    tokens.command("node.cli.console:list_tokens", name="list", help="List the tokens that are good.")
    tokens.command("node.cli.console:remove_token", name="remove", help="End a token at once.")
    app.command(users)
    app.command(sessions)
    app.command(tokens)
    return app


def tell_all(app: App, path: Sequence[str]) -> None:
    """Let the verb at `path` speak with its whole docstring where others speak of it with the first line; imports that verb alone."""
    verb = app
    for word in path:
        verb = verb[word]
    if verb.default_command is not None:
        verb.help = None


def verb_path(app: App, words: Sequence[str]) -> tuple[str, ...]:
    """The words that name the verb, without its arguments: these may name a patient."""
    verb, path = app, []
    for word in words:
        if word.startswith("-") or word not in verb:
            break
        verb = verb[word]
        path.append(word)
    return tuple(path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb; returns the exit code, whatever happens: nothing but the verb's own SystemExit passes."""
    from node.cli import ending

    given = list(sys.argv[1:] if arguments is None else arguments)
    # whatever a verb or a process of the node writes is about patients: no file of it is anybody else's to read
    os.umask(0o077)
    ending.open_streams()
    as_json = "--json" in given
    path: tuple[str, ...] = ()
    code: object = GOOD
    try:
        try:
            app = build()
            path = verb_path(app, given)
            tell_all(app, path)
            code = app(given, result_action="return_value", exit_on_error=False, print_error=False)
        except CycloptsError as misused:
            ending.say(*ending.misused(misused, path), as_json=as_json)
            code = USAGE
        except HilumError as error:
            ending.say(error, as_json=as_json)
            code = BAD
        sys.stdout.flush()
    except KeyboardInterrupt:  # whoever presses ^C knows why it ends
        ending.end_stdout()
        return _INTERRUPTED
    except BrokenPipeError:  # `hilum jobs list | head` is no mistake
        ending.nobody_reads()
    except Exception as defect:  # noqa: BLE001  (the last net: whatever a verb meets, a person reads a sentence and what to do)
        ending.say(ending.unforeseen(defect, path), as_json=as_json)
        ending.end_stdout()
        return BAD
    return code if isinstance(code, int) else GOOD


if __name__ == "__main__":
    sys.exit(main())
