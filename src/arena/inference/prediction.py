"""From the rows of a file to the averaged predictions of all members."""

from pathlib import Path
from typing import Any

import numpy as np

from arena.core.console import echo
from arena.core.errors import DataError, UsageError
from arena.core.heads import Heads, column
from arena.core.paths import quote_path
from arena.inference import formats, mixture, recipes, rules
from arena.inference.members import Member, check_finite, model_outputs, predict, read_rows, training_shares
from arena.inference.options import PredictOptions
from arena.inference.partial import Partial


def write_predictions(members: list[Member], options: PredictOptions, partial: Partial) -> None:
    """Read the rows, predict with every member, average, apply the rules, write.

    `partial` keeps the probabilities meanwhile. Raises DataError for a file with unusable records in a format that
    needs every row, and the errors of `read_rows` and `fitted_weights`.
    """
    labels = members[0].labels
    for member in members:
        if member.calibration:
            echo(f"{member.name}: calibrated {member.calibration}")
    weights = options.weights
    if weights == "validation":
        if Heads(labels).named:
            raise UsageError("weights=validation: with several heads give numbers, or weights=equal")
        weights = recipes.fitted_weights(members, labels)
    elif weights == "equal":
        weights = [1.0] * len(members)
    stands_in = options.on_bad_row == "prior"
    rows = read_rows(members, options.data, stands_in)
    if (lost := rows.statistics.rejected) and not stands_in:
        message = f"{lost} of {rows.statistics.read} records cannot be used ({', '.join(rows.statistics.codes)})"
        if options.format != "probabilities":
            raise DataError(
                f"{message}; format={options.format} needs every row: mend the file, or give "
                "these rows the class shares of the training with on_bad_row=prior"
            )
        echo(f"{message}: they are not in the output")
    heads = Heads(labels)
    mean = mixture.Mean(options.average, heads.sizes)
    for member, weight in zip(members, weights, strict=True):
        if weight == 0:
            echo(f"{member.name}: weight 0, left out")
            continue
        orders = predict(member, labels, rows, options.swap, partial)
        if options.swap:
            report_disagreement(member.name, *orders)
        for probabilities in orders:
            mean.add(probabilities, weight / len(orders))
    probabilities = mean.result()
    if options.rules and not heads.named:
        identical, empty = rules.apply(probabilities, labels, rows)
        echo(f"rules: {identical} rows with identical answers, {empty} with one empty answer overridden")
    if rows.stand_ins:
        shares = training_shares(members, weights, heads)
        probabilities[rows.stand_ins] = shares
        codes = ", ".join(f"{code} {count}" for code, count in rows.statistics.codes.items())
        numbers = ", ".join(f"{name} {share:.4f}" for name, share in zip(heads.columns, shares, strict=True))
        echo(
            f"{len(rows.stand_ins)} of {rows.num_rows} rows cannot be used ({codes}); on_bad_row=prior gives them the "
            f"class shares of the training: {numbers}"
        )
    if options.format == "kaggle" and "tie" not in heads.columns:
        echo(f"the run has no class for ties: winner_tie is {formats.NO_TIE} in every row (13.8 nats for each tie)")
    ids = rows.metadata["id"].to_pylist()
    texts = (likeliest(heads, probabilities) if heads.named else {}) | decided(members, probabilities)
    formats.write(Path(options.output), options.format, ids, probabilities, labels, texts | in_sample(members, rows))
    echo(f"{rows.num_rows} rows written to {quote_path(options.output)}")


def write_outputs(members: list[Member], options: PredictOptions, partial: Partial) -> None:
    """Write the id and each output of every row, averaged over runs that predict numbers instead of classes."""
    names = members[0].outputs
    weights: Any = None if options.weights == "equal" else options.weights
    rows = read_rows(members, options.data)
    values = [model_outputs(member, rows, (False,), partial, len(names))[0] for member in members]
    for member, each in zip(members, values, strict=True):
        check_finite(member, each)
    mean = np.average(values, axis=0, weights=weights)
    columns = dict(zip(names, mean.T, strict=True))
    formats.write_columns(Path(options.output), rows.metadata["id"].to_pylist(), columns)
    echo(f"{rows.num_rows} rows written to {quote_path(options.output)}")


def in_sample(members: list[Member], rows: Any) -> dict[str, list[str]]:
    """Mark rows that were training rows of one of the runs, as the column `in_sample`; nothing where none was."""
    from arena.data.split.provenance import IN_SAMPLE, contents, training_contents

    known = [training_contents(member.run.splits) or set() for member in members]
    if not any(known):
        return {}
    seen = [any(content in each for each in known) for content in contents(rows.texts(), rows.example)]
    if not any(seen):
        return {}
    count = f"{sum(seen)} of {len(seen)} rows"
    echo(f"{count} were training rows of these runs (column {IN_SAMPLE}): their probabilities are too good")
    return {IN_SAMPLE: [str(each).lower() for each in seen]}


def likeliest(heads: Heads, probabilities: Any) -> dict[str, list[str]]:
    """Return the likeliest class of each head for each row, by column (`predicted_<head>`)."""
    return {
        column("predicted", head): [heads.classes[head][index] for index in part.argmax(axis=1).tolist()]
        for head, part in heads.split(probabilities).items()
    }


def decided(members: list[Member], probabilities: Any) -> dict[str, list[str]]:
    """Return the class of each row by the decision rule of the one member, by column.

    Nothing for several members: their rules were tuned to their own probabilities and not to the average.
    """
    calibrations = [member.calibration for member in members if member.calibration]
    if len(members) == 1:
        return calibrations[0].decide(probabilities) if calibrations else {}
    if any(head.decision for each in calibrations for head in each.heads.values()):
        echo("the decision rules of single runs do not hold for their average: there is no column predicted")
    return {}


def report_disagreement(name: str, straight: Any, swapped: Any) -> None:
    """Print how much the order of the answers matters to a model: the average hides it."""
    other = (straight.argmax(1) != swapped.argmax(1)).mean()
    apart = abs(straight - swapped).mean()
    echo(
        f"{name}: the two orders disagree on the class of {100 * other:.1f}% of the rows; "
        f"their probabilities are {apart:.4f} apart on average"
    )
