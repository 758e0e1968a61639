"""Rows that belong together, by each reason; planted copies never cross a split."""

import numpy as np
import pyarrow as pa
import pytest
from test_duplicates import edited, runs, true_similarity, words

from arena.data.source.examples import PAIR
from arena.data.source.rows import IngestStatistics, Rows, RowWriter
from arena.data.split.assignment import assign_splits, digest_of, normalise
from arena.data.split.folding import fold
from arena.data.split.groups import PAIR_PROMPTS, REASONS, TextIndex, join_rows


def group_key(prompt: str | None) -> str:
    """The name of the prompts that equal this one."""
    return digest_of(normalise(prompt)).hex()


def table(rows, sessions=None):
    """Rows in memory from (prompt, answer A, answer B), each a text or a list of turns."""
    lists = [[turns if isinstance(turns, list) else [turns] for turns in row] for row in rows]
    columns = zip(*lists, strict=True)
    names = ["prompt", "response_a", "response_b"]
    content = dict(zip(names, (pa.array(column, pa.list_(pa.string())) for column in columns), strict=True))
    content["id"] = pa.array([str(i) for i in range(len(rows))])
    if sessions is not None:
        content["session"] = pa.array(sessions, pa.string())
    return Rows.from_table(pa.table(content), "test")


def join(rows, threshold: float | None = 0.8, sessions=None):
    return join_rows(table(rows, sessions), np.arange(len(rows)), threshold)


def reasons(**joined):
    return dict.fromkeys(REASONS, 0) | joined


def text(draw, count=60):
    return " ".join(words(count, draw))


def test_equal_prompts_keep_the_names_that_they_had():
    """Without other reasons a group is named by the key of its prompt, as a split of prompts alone would name it."""
    prompts = ["What is  it?", "what is it?", "Who?", "Who are you?"]
    found = join([(prompt, f"a{i}", f"b{i}") for i, prompt in enumerate(prompts)])
    assert found.group.tolist() == [group_key(prompt) for prompt in prompts]
    assert found.joined == reasons(prompt=1)
    assert found.largest == 2


def test_sessions_join_and_missing_ones_do_not():
    rows = [(f"prompt number {i} {'xyz'[i % 3] * 9}", f"a{i}", f"b{i}") for i in range(6)]
    found = join(rows, sessions=["s", None, "s", "", "", None])
    assert found.group[0] == found.group[2]
    assert len(set(found.group)) == 5
    assert found.joined == reasons(session=1)


def test_twins_join():
    """Two answers of any length; but short ones not twice, not without `threshold`, not if many say them."""
    draw = np.random.default_rng(0)
    a, b = text(draw, 40)[:100].strip().ljust(100, "x"), text(draw, 40)[:100].strip().ljust(100, "y")
    assert join([("one prompt", a, b), ("quite another", b.upper(), a)]).joined == reasons(same_answer_pair=1)
    assert join([("one prompt", a, b), ("quite another", b, a)], None).joined == reasons(same_answer_pair=1)
    assert join([("one prompt", a[:9], b), ("quite another", b, a[:9])]).joined == reasons(same_answer_pair=1)
    assert join([("one prompt", a[:9], b), ("quite another", b, a[:9])], None).joined == reasons()
    assert join([("one prompt", a, b), ("quite another", a, a)], None).joined == reasons()
    assert join([("one prompt", "no", "no"), ("quite another", "no", "no")]).joined == reasons()
    assert join([("one prompt", "no", ""), ("quite another", "no", "")]).joined == reasons()
    asked = [text(draw, 5) for _ in range(PAIR_PROMPTS + 1)]
    assert join([(each, "yes", "no") for each in asked[:-1]]).joined == reasons(same_answer_pair=PAIR_PROMPTS - 1)
    assert join([(each, "yes", "no") for each in asked]).joined == reasons()


DISGUISES = {
    "zero-width characters": lambda text: "\u200b".join(text) + "\ufeff",
    "full-width letters": lambda text: "".join(chr(ord(c) + 0xFEE0) if 33 <= ord(c) <= 126 else c for c in text),
    "removed blanks": lambda text: text.replace(" ", ""),
    "capitals and blanks around": lambda text: f"  {text.upper()} \n",
}


@pytest.mark.parametrize("disguise", DISGUISES)
@pytest.mark.parametrize("threshold", [0.8, None])
def test_texts_that_look_or_read_equal_are_equal(disguise, threshold):
    """20 of 20 prompts with new answers are joined, and as many answers with new prompts."""
    draw = np.random.default_rng(8)
    change = DISGUISES[disguise]
    prompts = ["How can I rob a casino?", *(text(draw, 6) for _ in range(19))]
    rows = [(prompt, text(draw, 9), text(draw, 9)) for prompt in prompts]
    again = [(change(prompt), text(draw, 9), text(draw, 9)) for prompt in prompts]
    found = join([*rows, *again], threshold)
    assert (found.group[:20] == found.group[20:]).all()
    assert len(set(found.group)) == 20
    twins = [(text(draw, 6), change(a), change(b)) for _, a, b in rows]
    found = join([*rows, *twins], threshold)
    assert (found.group[:20] == found.group[20:]).all() == (threshold is not None)


def test_near_prompts_are_seen_through_a_disguise():
    draw = np.random.default_rng(9)
    prompt = text(draw)
    near = DISGUISES["zero-width characters"](DISGUISES["full-width letters"](edited(prompt, 1, draw)))
    assert join([(prompt, "a", "b"), (near, "c", "d")]).joined == reasons(near_prompt=1)


def test_rows_without_a_prompt_join_by_their_answers_only():
    rows = [([], "yes", "no"), ([None], "no", "yes"), ("", "yes", "maybe"), (" ", [], [None]), ([], [], [])]
    rows.append(("", "x", "y"))
    found = join(rows)
    assert found.group[0] == found.group[1]
    assert found.group[3] == found.group[4]
    assert len(set(found.group)) == 4
    assert found.joined == reasons(same_answer_pair=2)


def test_near_prompts_join_and_null_turns_that_off():
    draw = np.random.default_rng(1)
    prompt = text(draw)
    near = edited(prompt, 1, draw)
    assert true_similarity(prompt, near) >= 0.8
    rows = [(prompt, "a", "b"), (near, "c", "d"), (text(draw), "e", "f")]
    found = join(rows)
    assert found.joined == reasons(near_prompt=1)
    assert found.group[0] == found.group[1] == min(group_key(prompt), group_key(near))
    assert len(set(join(rows, None).group)) == 3


def test_templated_prompts_stay_apart():
    """ "Translate to French: ..." shares its first words with 2,000 others and no more; the truth is computed here."""
    draw = np.random.default_rng(2)
    prompts = [f"Translate to French: {' '.join(words(3, draw))}" for _ in range(2000)]
    found = join([(prompt, f"a{i}", f"b{i}") for i, prompt in enumerate(prompts)])
    assert found.largest <= 3
    for name in np.unique(found.group[[np.count_nonzero(found.group == g) > 1 for g in found.group]]):
        members = np.flatnonzero(found.group == name)
        assert any(true_similarity(prompts[members[0]], prompts[i]) >= 0.8 for i in members[1:])


def test_the_long_template_with_short_fillings_is_one_group():
    """Where the template is nearly the whole prompt the prompts are near-duplicates, and the report says so."""
    draw = np.random.default_rng(3)
    template = text(draw, 100)
    found = join([(f"{template} {i}", f"a{i}", f"b{i}") for i in range(500)])
    assert found.largest == 500
    assert found.joined == reasons(near_prompt=499)


def test_near_rows_join_in_either_order():
    """Another prompt, but nearly the same two answers, exchanged; rows under 400 characters are left alone."""
    draw = np.random.default_rng(4)
    a, b = text(draw, 100), text(draw, 100)
    rows = [("short question", a, b), ("what now?", edited(b, 1, draw), edited(a, 1, draw))]
    assert join(rows).joined == reasons(near_row=1)
    rows = [(prompt, f"{i} {first[:90]}", f"{second[:90]} {i}") for i, (prompt, first, second) in enumerate(rows)]
    assert join(rows).joined == reasons()


def planted_rows(draw, count):
    """`count` rows, then an edit of each prompt, an edit of each row, and each row with its answers exchanged."""
    words_of = ((50, 100), (100, 200), (100, 150))
    rows = [tuple(text(draw, draw.integers(*limits)) for limits in words_of) for _ in range(count)]
    prompts = [(edited(p, draw.integers(1, 3), draw), text(draw, 5), text(draw, 5)) for p, _, _ in rows]
    # Too much of the prompt is gone for the prompt to betray the row.
    edits = [(p[: len(p) * 2 // 3], b, edited(a, draw.integers(1, 3), draw)) for p, a, b in rows]
    twins = [(f"{i} {text(draw, 3)}", b, a) for i, (_, a, b) in enumerate(rows)]
    return rows, prompts, edits, twins


def similarity_of_rows(left, right):
    """Of the union of the runs of all three texts."""
    left, right = (set().union(*map(runs, row)) for row in (left, right))
    return len(left & right) / len(left | right)


@pytest.mark.slow
def test_planted_copies_never_cross_a_split():
    """Twins and copies: all. At a similarity of 0.9 or more: 99% of over 1,000 prompts, 99% of over 1,000 rows."""
    draw = np.random.default_rng(5)
    count = 1300
    rows, prompts, edits, twins = planted_rows(draw, count)
    copies = [tuple(f"  {part.upper()}\n" for part in row) for row in rows]
    parts = {"near_prompt": prompts, "near_row": edits}
    truth = {
        "near_prompt": [true_similarity(row[0], new[0]) for row, new in zip(rows, prompts, strict=True)],
        "near_row": [similarity_of_rows(row, new) for row, new in zip(rows, edits, strict=True)],
    }
    for kind, planted in (*parts.items(), ("same_answer_pair", twins), ("prompt", copies)):
        found = join([*rows, *planted])
        labels = draw.integers(0, 3, 2 * count)
        splits = assign_splits(found.group, labels, 0.15, 0.15, 0)
        together = found.group[:count] == found.group[count:]
        assert (splits[:count] == splits[count:])[together].all()
        if kind in truth:
            wanted = np.array(truth[kind]) >= 0.9
            assert wanted.sum() >= 1000
            assert together[wanted].mean() >= 0.99
            assert found.joined[kind] == together.sum()
            assert not together[np.array(truth[kind]) < 0.8].any()
        else:
            assert together.all()
            assert found.joined == reasons(**{kind: count})


def test_neither_order_nor_new_rows_change_the_names():
    draw = np.random.default_rng(6)
    rows = [row for part in planted_rows(draw, 60) for row in part]
    sessions = [f"s{i % 200}" if i % 3 == 0 else None for i in range(len(rows))]
    straight = join(rows, sessions=sessions).group
    order = draw.permutation(len(rows))
    mixed = join([rows[i] for i in order], sessions=[sessions[i] for i in order]).group
    assert (mixed == straight[order]).all()
    more = [(text(draw), text(draw), text(draw)) for _ in range(30)]
    longer = join(rows + more, sessions=sessions + [None] * 30)
    assert (longer.group[: len(rows)] == straight).all()
    assert len(rows) + 30 == len(set(longer.group)) + sum(longer.joined.values())


def test_some_rows_of_a_folder(tmp_path):
    """Streamed from disk, positions chosen: the same names as of the chosen rows alone."""
    draw = np.random.default_rng(7)
    rows = [row for part in planted_rows(draw, 40) for row in part]
    with RowWriter(tmp_path, PAIR) as writer:
        for start in range(0, len(rows), 50):
            writer.write([record(row) for row in rows[start : start + 50]])
        writer.finish(IngestStatistics(read=len(rows), kept=len(rows)))
    positions = np.sort(draw.choice(len(rows), 90, replace=False))
    found = join_rows(Rows.open(tmp_path, "test"), positions, 0.8)
    expected = join([rows[i] for i in positions])
    assert (found.group == expected.group).all()
    assert found.joined == expected.joined
    nothing = join_rows(Rows.open(tmp_path, "test"), positions[:0], 0.8)
    assert len(nothing.group) == nothing.largest == 0


def record(row):
    facts = dict.fromkeys(["winner", "probability", "model_a", "model_b", "language", "session", "source"])
    prompt, a, b = row
    return facts | {"id": "x", "weight": 1.0, "prompt": [prompt], "response_a": [a, None], "response_b": [b]}


def test_folding_twice_changes_nothing():
    texts = [
        "  Is this\n\ta STRASSE?",
        "cafe\u0301",
        "\u1e9e \u0130 \ufb03",
        "\u0345\u0301\u03b1",
        "e\u200b\u0301 \u3164x",
    ]
    for each in texts:
        assert fold(fold(each)) == fold(each)
    assert fold("\uff21\u200b B\u00ad\u3000c\ufe0f") == "a b c"
    assert fold("e\u200b\u0301") == fold("\u00c9")
    assert fold(None) == fold(" \u200b") == ""


def test_scan_finds_exchanged_answers():
    scan = TextIndex(table([("p", "a", "b"), ("P ", "B", "a"), ("p", "a", "a"), ("q", "b", "a")]), np.arange(4), False)
    assert scan.swapped.tolist() == [scan.row[1], scan.row[0], scan.row[2], -1]
    assert scan.prompt.number.tolist() == [0, 0, 0, 1]
    assert (scan.answers == -1).all()
    assert (scan.either.number == -1).all()
