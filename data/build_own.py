"""Write the small examples of own data in data/own/: leaves as images, support messages, short chats, sentences.

All but the sentences is made here, so it is free: CC0. `python data/build_own.py` writes the same files again: the
draws depend on the number of each image only. Three messages are imperfect on purpose (a duplicate, an empty text, a
missing label), so that the report of a task has something to say.

    leaves/<class>/…      72 images of three kinds of leaves: round, pointed, lobed; PNG and JPEG
    messages.csv          about 150 messages to a shop: delivery, billing, technical (see messages.txt)
    chats.jsonl           30 questions with an answer, in three common forms (see chats.txt)
    sentences.csv         160 sentences of ../sentiment.tsv.gz (MIT) with several labels: polarity, domain and rating

The words of messages and chats are in messages.txt and chats.txt, written by hand: `label: text` on each line, and
`question => answer`.
"""

import csv
import gzip
import hashlib
import io
import json
import math
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

HERE = Path(__file__).resolve().parent / "own"
SIDE, EACH = 112, 24  # pixels, images per class
CLEAR, SENTENCES = 0.5, 20  # |rating| of a polarity; sentences per domain and polarity
KINDS = ("lobed", "pointed", "round")
GROUNDS = ((196, 178, 150), (120, 128, 118), (222, 224, 226), (92, 84, 72), (168, 186, 200))  # sand, stone, paper, …


def outline(kind: str, rng: np.random.Generator) -> list[tuple[float, float]]:
    """The edge of a leaf, its length about 1, its tip above."""
    t = np.linspace(0, 2 * math.pi, 160, endpoint=False)
    width = rng.uniform(0.75, 1.05) if kind != "pointed" else rng.uniform(0.4, 0.55)
    r = 0.5 * np.ones_like(t)
    if kind == "lobed":  # as an oak's or a maple's
        r *= 1 + rng.uniform(0.2, 0.3) * np.cos(int(rng.integers(5, 8)) * t)
    r *= 1 + 0.03 * np.convolve(rng.normal(size=len(t)), np.ones(9) / 3, "same")
    x, y = width * r * np.sin(t), -r * np.cos(t)
    if kind == "pointed":  # narrow at both ends, as a willow's
        x *= np.abs(np.sin(t)) ** 0.5
    return list(zip(x, y))


def leaf(kind: str, number: int) -> Image.Image:
    """One photograph-like image: another place, size, turn, light and background each time."""
    rng = np.random.default_rng([KINDS.index(kind), number])
    big = 2 * SIDE  # drawn large and made smaller, so that edges are smooth
    ground = np.array(GROUNDS[int(rng.integers(len(GROUNDS)))], float)
    coarse = Image.fromarray(rng.normal(0, 1, (9, 9)).astype(np.float32)).resize((big, big), Image.Resampling.BICUBIC)
    canvas = ground + 14 * np.asarray(coarse)[..., None] + rng.normal(0, 5, (big, big, 1))
    image = Image.fromarray(canvas.clip(0, 255).astype(np.uint8))
    angle, scale = rng.uniform(0, 2 * math.pi), big * rng.uniform(0.55, 0.85)
    middle = big * (0.5 + rng.uniform(-0.1, 0.1, 2))
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])

    def place(points) -> list[tuple[float, float]]:
        return [tuple(middle + scale * turn @ np.array(point)) for point in points]

    colour = np.array([(74, 124, 52), (142, 150, 48), (170, 104, 40), (106, 140, 84)][int(rng.integers(4))], float)
    colour = tuple(int(c) for c in (colour * rng.uniform(0.75, 1.2)).clip(0, 255))
    edge = outline(kind, rng)
    shadow = Image.new("L", image.size, 0)
    ImageDraw.Draw(shadow).polygon([(x + 6, y + 8) for x, y in place(edge)], fill=110)
    image.paste((0, 0, 0), mask=shadow.filter(ImageFilter.GaussianBlur(6)))
    draw = ImageDraw.Draw(image)
    draw.line(place([(0, 0.45), (0, 0.68)]), fill=colour, width=6)
    draw.polygon(place(edge), fill=colour)
    vein = tuple(min(255, c + 38) for c in colour)
    draw.line(place([(0, 0.48), (0, -0.42)]), fill=vein, width=3)
    for y in np.linspace(-0.2, 0.3, 4):
        for side in (-1, 1):
            reach = 0.14 if kind == "pointed" else 0.26
            draw.line(place([(0, y), (side * reach, y - 0.12)]), fill=vein, width=2)
    image = image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)
    light = np.linspace(*rng.uniform(0.8, 1.15, 2), SIDE)[:, None, None]
    pixels = np.asarray(image) * light + rng.normal(0, 4, (SIDE, SIDE, 3))
    return Image.fromarray(pixels.clip(0, 255).astype(np.uint8))


def write_leaves() -> None:
    for kind in KINDS:
        (HERE / "leaves" / kind).mkdir(parents=True, exist_ok=True)
        for number in range(EACH):
            file = HERE / "leaves" / kind / f"{kind}-{number + 1:02}"
            if number % 8 == 0:
                leaf(kind, number).quantize(48).save(file.with_suffix(".png"), optimize=True)
            else:
                leaf(kind, number).save(file.with_suffix(".jpg"), quality=80)


def write_messages() -> None:
    out = io.StringIO(newline="")
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(["id", "text", "label"])
    lines = (HERE / "messages.txt").read_text(encoding="utf-8").splitlines()
    for number, line in enumerate(filter(None, lines), 1):
        label, _, text = line.partition(":")
        rows.writerow([number, text.strip(), label.strip()])
    (HERE / "messages.csv").write_text(out.getvalue(), encoding="utf-8", newline="\n")


def write_chats() -> None:
    lines = filter(None, (HERE / "chats.txt").read_text(encoding="utf-8").splitlines())
    chats = []
    for number, line in enumerate(lines):
        question, answer = (part.strip() for part in line.split("=>"))
        chats.append(
            (
                {"instruction": question, "input": "", "output": answer},
                {"messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]},
                {"conversations": [{"from": "human", "value": question}, {"from": "gpt", "value": answer}]},
            )[number % 3]
        )
    text = "".join(json.dumps(chat, ensure_ascii=False) + "\n" for chat in chats)
    (HERE / "chats.jsonl").write_text(text, encoding="utf-8", newline="\n")


def write_sentences() -> None:
    """The same number of each domain and polarity, in an order that the hash of their number draws."""
    with gzip.open(HERE.parent / "sentiment.tsv.gz", "rt", encoding="utf-8", newline="\n") as file:
        names, *rows = (line.rstrip("\n").split("\t") for line in file)
    rows = [dict(zip(names, row, strict=True)) for row in rows]
    rows.sort(key=lambda row: hashlib.sha256(f"{row['domain']} {row['id']}".encode()).hexdigest())
    left = {(d, p): SENTENCES for d in {row["domain"] for row in rows} for p in ("negative", "positive")}
    out, texts = io.StringIO(newline=""), set()
    table = csv.writer(out, lineterminator="\n")
    table.writerow(["text", "polarity", "domain", "rating", "review"])
    for row in rows:
        rating, text = float(row["rating"]), row["text"].strip()
        kind = row["domain"], "positive" if rating > 0 else "negative"
        if abs(rating) >= CLEAR and left[kind] and text.casefold() not in texts:
            left[kind] -= 1
            texts.add(text.casefold())
            table.writerow([text, kind[1], kind[0], row["rating"], f"{kind[0]} {row['review'] or row['id']}"])
    (HERE / "sentences.csv").write_text(out.getvalue(), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    write_leaves()
    write_messages()
    write_chats()
    write_sentences()
    size = sum(file.stat().st_size for file in (HERE / "leaves").rglob("*.*"))
    print(f"{3 * EACH} images of {size / 1000:.0f} kB, and three tables", file=sys.stderr)
