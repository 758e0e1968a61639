"""`arena COMMAND [key=value] ...`, the same as `python -m arena.COMMAND`, and completion of its keys in a shell.

For bash: `eval "$(arena completion)"` (in ~/.bashrc); for zsh: `autoload -U bashcompinit; bashcompinit` before it.
"""

import runpy
import sys

COMMANDS = {
    "train": "train a model and evaluate it; -m sweeps",
    "evaluate": "evaluate a trained model, on its own rows or on another file",
    "predict": "write the probabilities of a model or of an ensemble",
    "compare": "show what one run is better at, with intervals",
    "calibrate": "scale a model's logits so that its probabilities are frequencies",
    "baseline": "fit what needs no pretrained weights",
    "explore": "show what a data set is like, on one page",
    "export": "write a folder that transformers loads, or the mean of several runs",
    "report": "show what a sweep found, on one page",
}
SCRIPT = """_arena_complete() {
  COMPREPLY=($(compgen -o nospace -o default -W "$(arena completion "$COMP_LINE" 2>/dev/null)" -- "${COMP_WORDS[COMP_CWORD]}"))
}
COMP_WORDBREAKS=${COMP_WORDBREAKS//=}
complete -o nospace -o default -F _arena_complete arena"""  # noqa: E501 - one command of the shell


def main() -> None:
    """Run the command that the first argument names."""
    command, arguments = (sys.argv[1:2] or ["--help"])[0], sys.argv[2:]
    if command == "completion":
        print("\n".join(completions(*arguments)) if arguments else SCRIPT)
    elif command in COMMANDS:
        sys.argv = [f"arena {command}", *arguments]
        runpy.run_module(f"arena.{command}", run_name="__main__", alter_sys=True)
    elif command in ("--help", "-h"):
        lines = [f"  {name:<11}{text}" for name, text in COMMANDS.items()]
        print("\n".join(["arena COMMAND [key=value] ...", "", *lines, "", "arena COMMAND --help lists its keys."]))
    else:
        from arena.core.closest import closest
        from arena.core.errors import UsageError, run_main

        def refuse() -> None:
            raise UsageError(f"{command}: no such command{closest(command, COMMANDS)}")

        run_main(refuse)


def completions(line: str) -> list[str]:
    """List what may follow on a command line, such as `arena train model=q`."""
    words = line.split(" ")
    if len(words) < 3:
        return [name for name in COMMANDS if name.startswith(words[-1])]
    if words[1] == "train":
        from arena.config.completion import completions as of_train

        return of_train(" ".join(words[2:]))
    from dataclasses import fields
    from importlib import import_module

    options = getattr(import_module(f"arena.{words[1]}"), f"{words[1].capitalize()}Options", None)
    known = [each for each in fields(options) if each.metadata["help"]] if options else []
    return [f"{each.name}{'.' if each.metadata['takes'] == 'dotted' else '='}" for each in known]


if __name__ == "__main__":
    main()
