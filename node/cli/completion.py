"""`hilum completion`: what lets a shell complete verbs and options."""

from typing import Literal


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

    print(build().generate_completion(shell=shell), end="")
