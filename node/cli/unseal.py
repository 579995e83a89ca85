"""`hilum unseal`: encrypted files of the store, decrypted into a folder, for a person to look at."""

from collections.abc import Iterator
from pathlib import Path

from node.cli.opened import ConfigOption, JsonOption, configuration


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
    from node.assembly.encryption import demand_keys
    from node.cli import screen
    from node.store.decrypted_files import decrypt_to

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
