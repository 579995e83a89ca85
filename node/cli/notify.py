"""`hilum notify`: whether those who are to be told can be told."""

import json

from node.cli.opened import ConfigOption, JsonOption, configuration


def notify(*, config: ConfigOption = None, as_json: JsonOption = False) -> int:
    """Send a trial message by mail and webhook, as `notify:` says; exit code 0 when each was taken.

    Parameters
    ----------
    config
        The configuration (default: ./hilum.yaml, else ./config/hilum.yaml).
    as_json
        JSON on stdout, for scripts.
    """
    from inference.errors import HilumError
    from node.assembly.notices import messengers, trial
    from node.cli.errors import NobodyToTell

    loaded = configuration(config)
    found = messengers(loaded)
    if not found:
        raise NobodyToTell("`notify:` names neither `mail` nor `webhook`")
    why: dict[str, HilumError | None] = {}
    for name, send in found.items():
        try:
            send(trial(loaded))
        except HilumError as failed:
            why[name] = failed
        else:
            why[name] = None
    if as_json:
        print(json.dumps({name: {"sent": one is None, "code": one and one.code, "reason": one and str(one)} for name, one in why.items()}))
    else:
        for name, one in why.items():
            print(f"{name}: sent" if one is None else f"{name}: not sent. {one} [{one.code}]\n  {one.remedy}")
    return 1 if any(why.values()) else 0
