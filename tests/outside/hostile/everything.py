"""The whole corpus against every command: python tests/outside/hostile/everything.py FOLDER RUN [RUN ...] [only=WORD]

FOLDER is where it works and must not exist; each RUN is a finished run of arena.train (comparisons, heads or replies),
of which a copy is attacked; `only` keeps the attacks whose name has the word. Each command runs in a process of its
own, forked after the imports, which a typed command would repeat. Prints what did harm, and the numbers at the end; the
exit code is 1 where something was executed, touched or read.
"""

import collections
import contextlib
import importlib
import os
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import corpus
import yaml

SECONDS = 120
"""Longest time of a command; a longer one is an error of its own."""


def run_command(module: str, arguments: list[str], folder: Path) -> tuple[int, str]:
    """Run a command in a process of its own; returns exit code and output."""
    with tempfile.TemporaryFile() as output:
        process = os.fork()
        if process == 0:
            _child(module, arguments, folder, output.fileno())
        ended, status, limit = 0, 0, time.monotonic() + SECONDS
        while not ended:
            ended, status = os.waitpid(process, os.WNOHANG)
            if time.monotonic() > limit:
                os.kill(process, signal.SIGKILL)
            time.sleep(0 if ended else 0.005)
        output.seek(0)
        return os.waitstatus_to_exitcode(status), output.read().decode(errors="replace")


def _child(module: str, arguments: list[str], folder: Path, output: int) -> None:
    code = 1
    try:
        for number in (1, 2):
            os.dup2(output, number)
        os.chdir(folder)
        sys.argv = [f"arena.{module}", *arguments]
        importlib.import_module(f"arena.{module}").main()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException as error:
        print(f"escaped: {error!r}", flush=True)
    finally:
        with contextlib.suppress(Exception):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def kind_of(settings: dict) -> str:
    """comparisons, heads or replies."""
    if settings["data"]["_target_"].endswith("ReplyData"):
        return "replies"
    return "heads" if isinstance(settings["data"]["labels"], dict) else "comparisons"


spent: dict[str, float] = collections.defaultdict(float)


def attack_all(ground: corpus.Ground, run: Path, only: str, codes: collections.Counter) -> tuple[int, list[str]]:
    """Attack copies of a run; returns how many there were, and what did harm."""
    settings = yaml.safe_load((run / "config.yaml").read_text())
    kind = kind_of(settings)
    rows = ground.work.parent / "rows.csv"
    rows.write_text("id,prompt,response_a,response_b,text\n1,a,b,c,d\n")
    found, number = [], 0
    for name, attack in corpus.attacks(settings, ground):
        if only not in name:
            continue
        number += 1
        place = corpus.hostile(run, name, attack, ground)
        clean = place.parent / "clean"
        shutil.copytree(run, clean, symlinks=True)
        chosen = corpus.commands(str(place), str(clean), kind, str(rows))
        for command, (module, *arguments) in chosen.items():
            if command in corpus.BUILD_NOTHING and not (name in corpus.FILES or name.endswith(("value", "sender"))):
                continue
            here = place.parent / "here" / command
            here.mkdir(parents=True)
            began = time.monotonic()
            code, said = run_command(module, arguments, here)
            codes[(command, code)] += 1
            spent[command] += time.monotonic() - began
            harm = ground.harm() + (["secret printed"] if corpus.SECRET in said else [])
            if "escaped:" in said or "Traceback" in said or code not in (0, 2, 65, 74, 76):
                codes["untidy"] += 1
                print(f"untidy: {kind} {name}: {command}: exit {code}: {said.strip()[-300:]}", flush=True)
            if harm:
                found.append(f"{kind} {name}: {command}: {', '.join(harm)}")
                print(found[-1], flush=True)
                ground.restore()
        shutil.rmtree(place.parent)
    return number, found


def main() -> None:
    """The command line."""
    folder = Path(sys.argv[1]).absolute()
    runs = [Path(each).absolute() for each in sys.argv[2:] if not each.startswith("only=")]
    only = next((each.removeprefix("only=") for each in sys.argv[2:] if each.startswith("only=")), "")
    ground = corpus.Ground.make(folder)
    os.environ |= ground.variables() | {"HF_HUB_OFFLINE": "1", "WANDB_MODE": "offline"}
    os.environ["ARENA_CACHE"] = str(folder / "cache")
    sys.path.append(str(ground.plug))
    for name in ("train", "evaluate", "predict", "calibrate", "export", "compare", "report"):
        importlib.import_module(f"arena.{name}")
    importlib.import_module("lightning.pytorch")
    codes: collections.Counter = collections.Counter()
    total, harm, started = 0, [], time.monotonic()
    for run in runs:
        number, found = attack_all(ground, run, only, codes)
        total, harm = total + number, harm + found
    typed = sum(count for key, count in codes.items() if key != "untidy")
    for command in dict.fromkeys(key[0] for key in codes if key != "untidy"):
        print(command, {key[1]: count for key, count in sorted(codes.items(), key=str) if key[0] == command})
    print("seconds", {command: round(seconds) for command, seconds in spent.items()})
    seen = {word: sum(word in each for each in harm) for word in ("executed", "touched", "read", "printed")}
    print(f"{total} folders, {typed} commands: {seen}, {codes['untidy']} untidy, {time.monotonic() - started:.0f} s")
    sys.exit(1 if harm else 0)


if __name__ == "__main__":
    main()
