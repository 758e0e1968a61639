"""Judging a language model on replies that people wrote: log loss per token with intervals, beside its baselines."""

import math
from pathlib import Path
from typing import Any, Literal

import numpy as np

from arena.core import tables
from arena.core.console import echo
from arena.core.files import read_parquet
from arena.core.run import write_atomically
from arena.core.schema import Count, NonNegative, Share, WholeNumber
from arena.evaluation import printing
from arena.evaluation.generation import command
from arena.stats.intervals import ratio

PRIOR = "prior_log_loss"
"""Column: what a unigram model of the training replies loses, nats a token."""
LENGTHS = (8, 16, 32, 64, 128, 256, 512)
"""Reply tokens at which the table by length begins a new line."""


class ReplyEvaluator:
    """As `arena.evaluation.classes.ClassEvaluator`, for replies.

    Everything is weighed by tokens: sums of nats over sums of tokens. Intervals are over whole groups. At the end of
    training `samples` replies to each of some held-out prompts are sampled from the best weights and evaluated as
    `arena.evaluate` does (0 for none), with the other keys of `arena.evaluation.generation.command.ReplyOptions`. A
    sweep chooses by them, so they answer validation prompts.
    """

    def __init__(
        self,
        samples: WholeNumber = 0,
        prompts: Count | None = 200,
        split: Literal["train", "val", "test"] = "val",
        max_new_tokens: Count = 64,
        temperature: NonNegative = 1.0,
        top_p: Share = 1.0,
        top_k: WholeNumber = 0,
        encoder: Literal["minilm", "hash"] | None = "minilm",
        batch_size: Count = 16,
        name: str = "default",
        checker: dict[str, Any] | None = None,
        success: Share = 0.5,
        seed: WholeNumber = 0,
    ) -> None:
        given = {
            "samples": samples, "prompts": prompts, "split": split, "max_new_tokens": max_new_tokens,
            "temperature": temperature, "top_p": top_p, "top_k": top_k, "encoder": encoder, "batch_size": batch_size,
            "name": name, "checker": checker, "success": success, "seed": seed,
        }  # fmt: skip
        options = command.ReplyOptions(**given) if samples else None
        self.chosen = (options, command.check(options)) if options else None

    def evaluate(
        self,
        path: Path,
        metrics: Any,
        counts: np.ndarray,
        resamples: int,
        seed: int,
        baselines: dict[str, np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """Compute log loss, perplexity and entropy of one predictions file; arguments as of `evaluate_predictions`.

        The prior's losses are in the file already; `baselines` are the log loss of each pair under other models, nats a
        token, `[N]`. Returns what `evaluate_predictions` does: `rows` (pairs), `groups`, `tokens`, `loss`, `metrics`,
        `baselines`, `gain_over_prior` (nats a token) and `skill`.
        """
        table = read_parquet(path)
        columns = {name: table[name].to_numpy().astype(np.float64) for name in metrics.required_outputs}
        known = columns["tokens"] > 0
        tokens, loss = columns["tokens"][known], columns["log_loss"][known]
        groups = np.array(table["group"].to_pylist())[known]
        values = {}
        for name in ("log_loss", "entropy"):
            total = columns[name][known] * tokens
            values[name] = ratio(total, tokens, groups, resamples, seed)._asdict()
        values["perplexity"] = {end: math.exp(each) for end, each in values["log_loss"].items()}
        others = {"prior": table[PRIOR].to_numpy().astype(np.float64)[known]}
        others |= {name: np.asarray(each)[known] for name, each in (baselines or {}).items()}
        found, skills = {}, {}
        for name, other in others.items():
            level = float((other * tokens).sum() / tokens.sum())
            found[name] = {"log_loss": level, "perplexity": math.exp(min(level, 700.0))}
            gain = (other - loss) * tokens
            saved = ratio(gain, tokens, groups, 10 * resamples, seed)._asdict()
            skills[name] = {"skill": saved["value"] / level, "gain": saved}
        return {
            "rows": int(known.sum()),
            "groups": len(np.unique(groups)),
            "tokens": int(tokens.sum()),
            "loss": float(np.nanmean(table["loss"].to_numpy().astype(np.float64))),
            "metrics": values,
            "baselines": found,
            "gain_over_prior": skills.pop("prior")["gain"],
            "skill": skills,
        }

    def write(self, path: Path, metrics: Any, folder: Path, counts: Any = None, figures: bool = True) -> None:
        """Write `by_length.csv`: pairs, tokens, log loss and that of the prior, by tokens of the reply."""
        table = read_parquet(path)
        tokens, loss, prior = (table[name].to_numpy().astype(np.float64) for name in ("tokens", "log_loss", PRIOR))
        place = np.digitize(tokens, LENGTHS)
        lines: list[list[Any]] = [["from_tokens", "to_tokens", "pairs", "tokens", "log_loss", PRIOR]]
        for number in range(len(LENGTHS) + 1):
            here = (place == number) & (tokens > 0)
            if here.any():
                total = tokens[here].sum()
                ends = (1, *LENGTHS, None)[number], (*(n - 1 for n in LENGTHS), "")[number]
                means = [f"{(each[here] * tokens[here]).sum() / total:.6f}" for each in (loss, prior)]
                lines.append([*ends, int(here.sum()), int(total), *means])
        write_atomically(folder / "by_length.csv", tables.text_of(lines))

    def generations(self, settings: dict[str, Any], task: Any, data: Any, run: Any) -> dict[str, Any]:
        """Sample and judge replies to held-out prompts: what `arena.evaluate` writes to `evaluation.json`, by split."""
        if self.chosen is None:
            return {}
        options, checker = self.chosen
        judged = command.sampled_and_judged(
            options, checker, settings, task, data, run, run.best, settings["resamples"]
        )
        return {options.split: judged}

    def show(self, title: str, results: dict[str, Any], folder: Path) -> None:
        """Print the final table."""
        title = f"{title}: {results['rows']} pairs, {results['groups']} groups, {results['tokens']} reply tokens"
        printing.print_table(title, printing.rows_of(results, ("log_loss", "perplexity", "entropy")))
        echo(f"gain over the prior: {printing.nats(results['gain_over_prior'], 'token')}")
        for name, skill in results["skill"].items():
            echo(f"gain over {name}: {printing.nats(skill['gain'], 'token')}, skill {skill['skill']:.1%}")
        echo(f"by length of the reply: {folder / 'by_length.csv'}")
