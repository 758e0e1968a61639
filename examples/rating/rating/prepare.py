"""`python -m rating.prepare PAIRS OUTPUT`: rated answers from comparisons whose answers were scored.

Reads a parquet file with the columns prompt, response_a, response_b, score_a and score_b, and writes each answer once:
id, prompt, response, score, source (the model).
"""

import sys

import pyarrow as pa
import pyarrow.parquet as pq


def prepared(pairs: pa.Table) -> pa.Table:
    """One row for each answer with a score."""
    found: dict[tuple[str, str], dict] = {}
    for row in pairs.to_pylist():
        for side in ("a", "b"):
            if row[f"score_{side}"] is not None:
                key = (row["prompt"], row[f"response_{side}"])
                found.setdefault(key, {"score": float(row[f"score_{side}"]), "source": row.get(f"model_{side}")})
    rows = [
        {"id": str(number), "prompt": prompt, "response": response, **rest}
        for number, ((prompt, response), rest) in enumerate(found.items())
    ]
    return pa.Table.from_pylist(rows)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    made = prepared(pq.read_table(sys.argv[1]))
    pq.write_table(made, sys.argv[2])
    print(f"{made.num_rows} rated answers written to {sys.argv[2]}")
