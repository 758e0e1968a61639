"""Write the made-up files that the pages use: python docs/data/make.py (from the root of a clone)."""

import csv
import json
import random
from pathlib import Path

HERE = Path(__file__).parent
SIGNS = {
    "billing": ["I was charged twice for order {n}", "invoice {n} is wrong", "please refund payment {n}"],
    "delivery": ["parcel {n} has not arrived", "the courier lost package {n}", "order {n} came to the wrong address"],
    "technical": ["the app crashes on screen {n}", "error {n} when I log in", "update {n} broke the search"],
    "praise": ["thank you for the help with case {n}", "great service, ticket {n} was solved quickly"],
}
URGENT = ["I need this today", "this is the third time I ask", "we cannot work like this"]
CALM = ["no hurry", "whenever you find time", "just letting you know"]
NEUTRAL = ["Regards, Kim.", "Sent from my phone.", "Best wishes.", "Hello,"]


def tickets(rows: int, draw: random.Random) -> list[list[str]]:
    """Support tickets with a topic, one class of which is rare, and an urgency.

    6% of the topics are drawn by lot, 8% of all labels are missing.
    """
    written = []
    for i in range(rows):
        topic = draw.choices(list(SIGNS), [0.45, 0.31, 0.2, 0.04])[0]
        urgency = "high" if draw.random() < (0.1 if topic == "praise" else 0.35) else "low"
        said = [draw.choice(SIGNS[topic]).format(n=draw.randrange(1000, 99999)), draw.choice(NEUTRAL)]
        if draw.random() < 0.85:
            said.append(draw.choice(URGENT if urgency == "high" else CALM))
        draw.shuffle(said)
        told = draw.choice(list(SIGNS)[:3]) if draw.random() < 0.06 else topic
        labels = [label if draw.random() > 0.08 else "" for label in (told, urgency)]
        written.append([f"t{i}", " ".join(said), *labels])
    return written


def votes(rows: int, draw: random.Random) -> list[list[str]]:
    """Questions with two answers and a vote; most voters prefer the answer that helps."""
    topics = ["volcanoes", "sourdough", "tides", "chess", "jet lag", "comets", "bees", "haiku", "glaciers", "rust"]
    helpful, lazy = ["Here is a clear answer.", "Let us go step by step."], ["It depends.", "Just look it up."]
    written = []
    for i in range(rows):
        topic = draw.choice(topics)
        good = [draw.random() < 0.5 for _ in range(2)]
        answers = [f"{draw.choice(helpful if each else lazy)} There is a lot to say about {topic}." for each in good]
        said = "tie" if good[0] == good[1] else ("first" if good[0] else "second")
        label = said if draw.random() < 0.8 else draw.choice(["first", "second", "tie"])
        names = {"first": "model_a", "second": "model_b", "tie": "tie"}
        written.append([f"v{i}", f"What should I know about {topic}? In {draw.randrange(20, 900)} words.", *answers,
                        names[label]])  # fmt: skip
    return written


def write(name: str, header: list[str], rows: list[list[str]]) -> None:
    """Write a csv file."""
    with open(HERE / name, "w", newline="", encoding="utf-8") as file:
        csv.writer(file, lineterminator="\n").writerows([header, *rows])


if __name__ == "__main__":
    draw = random.Random(0)
    write("tickets.csv", ["id", "text", "topic", "urgency"], tickets(1200, draw))
    every = votes(360, draw)
    write("votes.csv", ["id", "prompt", "response_a", "response_b", "winner"], every[:300])
    turns = [[row[0], *(json.dumps([text]) for text in row[1:4])] for row in every[300:]]  # as Kaggle's test.csv
    write("new.csv", ["id", "prompt", "response_a", "response_b"], turns)
    other_names = ["id", "question", "answer_1", "answer_2", "label"]
    write("broken.csv", other_names, [*every[:41], ["v900", "Why?", "Because.", "No idea.", "first"]])
    chats = [{"prompt": row[1], "reply": row[2]} for row in every[:120]]
    (HERE / "chats.jsonl").write_text("".join(json.dumps(chat) + "\n" for chat in chats))
