"""`hilum backup` and `hilum restore`: a whole copy of the store while the node runs, and the way back onto an empty place; `hilum unseal`:
encrypted files of the store, decrypted into a folder, for a person to look at.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from node.cli.opened import ConfigOption, JsonOption, configuration

if TYPE_CHECKING:
    from node.backup.manifest import Manifest


def backup(
    *,
    to: Path,
    check: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Back up a running node: journal, images, results, spool, configuration, models, applications of your own.

    Each call makes a folder of its own below --to, whole by itself; what an earlier one has is linked, not copied. Not in it: keys and
    passcodes in files, the audit trail, and blobs in a bucket.

    Parameters
    ----------
    to
        The folder of the backups; it is made if need be. On a disk of its own.
    check
        Read the new backup again, byte by byte.
    """
    import logging

    from node.assembly.backups import back_up
    from node.backup.restore import check as read_again
    from node.cli import screen
    from node.observe.events import start_events

    start_events("command", logging.WARNING)
    taken = back_up(configuration(config), to.absolute())
    if check:
        read_again(taken.folder)
    if as_json:
        inside = {"models": list(taken.models), "applications": list(taken.applications)}
        told = {"folder": str(taken.folder), "files": taken.files, **inside, "linked": taken.linked, "bytes_copied": taken.bytes_copied}
        screen.as_json({**told, "same_disk": taken.same_disk, "sealed": list(taken.sealed), "left_out": taken.left_out, "checked": check})
        return 0
    copied = screen.size(taken.bytes_copied)
    screen.say(
        f"{taken.folder}: {screen.plural(taken.files, 'file')}, {taken.linked} of them linked, {copied} copied"
        + (", all read again" if check else "")
    )
    screen.say(f"models: {', '.join(taken.models) or 'none'}; applications of your own: {', '.join(taken.applications) or 'none'}")
    for one in taken.left_out:
        screen.say(f"not in it: {one}")
    if taken.sealed:
        screen.say(
            f"encrypted with the key {', '.join(taken.sealed)}, which is not in it: nothing opens it without (the journal is not encrypted)"
        )
    if taken.same_disk:
        screen.say("it lies on the disk of the store: that guards against mistakes, not against the loss of the disk")
    return 0


def restore(
    backup: Path,
    /,
    *,
    check: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    keep_models: Annotated[bool, Parameter(negative="", show_default=False)] = False,
    config: ConfigOption = None,
    as_json: JsonOption = False,
) -> int:
    """Restore a backup to where the configuration's `store:` and `models:` say, which must be empty.

    Models that are there may be the same. Every byte is compared with the checksums first. The backup holds the configuration that it was
    made under, as `hilum.yaml`.

    Parameters
    ----------
    backup
        One folder that `hilum backup` made.
    check
        Only say whether the backup is whole.
    keep_models
        Leave models and applications as they are there, and bring none.
    """
    import logging

    from node.assembly.backups import configuration_of
    from node.assembly.backups import restore as bring_back
    from node.backup.restore import check as read_through
    from node.cli import screen
    from node.observe.events import start_events
    from node.settings.load import find_config

    start_events("command", logging.WARNING)
    folder = backup.absolute()
    if check:
        manifest = read_through(folder)
        if as_json:
            screen.as_json(_of(manifest))
        else:
            whole = f"{screen.plural(len(manifest.files), 'file')}, {screen.size(manifest.size)}"
            sealed = f"; to be opened with the key {', '.join(manifest.sealed)}" if manifest.sealed else ""
            screen.say(f"{folder} is whole: {whole}, of {manifest.taken_at[:19]}Z{sealed}")
        return 0
    done = bring_back(configuration_of(find_config(config), folder), folder, keep_models=keep_models)
    if as_json:
        going = {"files": done.files, "brought": done.models, "spooled": done.spooled, "jobs": done.jobs, "deliveries": done.deliveries}
        screen.as_json({**_of(done.manifest), **going})
        return 0
    screen.say(f"restored {screen.plural(done.files, 'file')} of {done.manifest.taken_at[:19]}Z (hilum {done.manifest.hilum})")
    screen.say(f"  {screen.plural(done.spooled, 'instance')} received and not yet in the journal")
    screen.say(f"  jobs: {_counts(done.jobs)}; deliveries: {_counts(done.deliveries)}")
    screen.say(f"  {screen.plural(done.models, 'file')} of models and applications")
    if done.manifest.bucket is not None:
        screen.say(f"  the blobs are those in {done.manifest.bucket}")
    screen.say(
        "What was delivered after the backup goes again under the same UIDs. Next: `hilum doctor`, `hilum models verify`, `hilum serve`."
    )
    return 0


def _of(manifest: "Manifest") -> dict[str, Any]:
    told = {"taken_at": manifest.taken_at, "hilum": manifest.hilum, "schema": manifest.schema, "journal": manifest.journal}
    return {
        **told,
        "bucket": manifest.bucket,
        "bytes": manifest.size,
        "sealed": list(manifest.sealed),
        "models": list(manifest.models),
        "applications": list(manifest.applications),
    }


def _counts(states: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(states.items())) or "none left to do"


def unseal(*paths: Path, to: Path, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Write encrypted files of the store decrypted into a folder: what was set aside, mostly.

    Nothing in the store changes. What is not encrypted is passed over. Exit code 1 when one could not be opened; nothing of it is written.

    Parameters
    ----------
    paths
        Files, or folders of them.
    to
        The folder to write to, which is made if need be. It is the only place that holds them decrypted on a disk: clean it up.
    """
    from inference.errors import HilumError
    from node.cli import screen
    from node.store.encryption import decrypt_to, demand_keys

    keys = demand_keys(configuration(config))
    written: list[str] = []
    failed: list[str] = []
    to.mkdir(parents=True, exist_ok=True, mode=0o700)
    for path, name in _files(paths):
        try:
            opened = decrypt_to(to / name, path, keys)
        except (HilumError, OSError) as broken:
            failed.append(f"{path}: {broken}" + (f" [{broken.code}]" if isinstance(broken, HilumError) else ""))
        else:
            written += [str(to / name)] if opened else []
    if as_json:
        screen.as_json({"written": written, "failed": failed})
    else:
        screen.say(f"{screen.plural(len(written), 'file')} decrypted into {to}")
        for one in failed:
            screen.say(one)
    return 1 if failed else 0


def _files(paths: tuple[Path, ...]) -> Iterator[tuple[Path, Path]]:
    """Each file, and its name below the target."""
    for path in paths:
        if path.is_dir():
            yield from ((file, file.relative_to(path)) for file in sorted(path.rglob("*")) if file.is_file())
        else:
            yield path, Path(path.name)
