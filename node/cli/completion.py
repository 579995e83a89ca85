"""`hilum completion`: what lets a shell complete verbs and options."""

import re
from typing import Literal

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
    from node.cli.main import build

    script = build().generate_completion(shell=shell)
    if shell == "fish":
        script = _OFFERED_WORDS.sub(r"\1 -f -a ", script)
    print(script, end=_ZSH_CALLS if shell == "zsh" else "")
