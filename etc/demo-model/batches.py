"""Pictures, questions and per-cell truths of one training batch, from the rendered pool."""
import functools, json, os

import numpy as np
import torch
from PIL import Image

import scenes, vocabulary

PICTURES = 512


class Text:
    """Token ids of prompts and answers, and how much each answer token tells."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        ids = lambda s: tokenizer.encode(s).ids
        self.before, self.after = ids(vocabulary.BEFORE), ids(vocabulary.AFTER)
        self.stop = tokenizer.token_to_id("<|im_end|>")
        # Tokens that carry what was seen; the rest of a sentence is only its form.
        telling = (list("0123456789.-,") + ["yes", "no", "A", "There", " -", " on", " off", " gauge", " word"]
                   + [" " + c for c in scenes.COLORS] + scenes.WORDS + [" " + w for w in scenes.WORDS])
        self.telling = {i for t in telling for i in ids(t)} | {self.stop}

    @functools.lru_cache(100_000)
    def question(self, text):
        return self.tokenizer.encode("\n" + text).ids + self.after

    @functools.lru_cache(100_000)
    def answer(self, text):
        ids = self.tokenizer.encode(text).ids + [self.stop]
        return ids, [1.0 if i in self.telling else 0.15 for i in ids]


class Pool:
    """The shards that are rendered so far."""

    def __init__(self, directory):
        self.directory, self.pixels, self.labels = directory, [], []
        self.empty = []  # numbers of the pictures without a panel
        self.refresh()

    def refresh(self):
        while os.path.exists(name := os.path.join(self.directory, f"{len(self.pixels):04d}.json")):
            self.pixels.append(np.load(name.replace(".json", ".npy"), mmap_mode="r"))
            with open(name) as f: self.labels.append(json.load(f))
            first = PICTURES * (len(self.labels) - 1)
            self.empty += [first + i for i, l in enumerate(self.labels[-1]) if not l["scene"]["panel"]]

    def __len__(self):
        return len(self.pixels) * PICTURES

    def picture(self, i):
        return self.pixels[i // PICTURES][i % PICTURES], self.labels[i // PICTURES][i % PICTURES]

    def draw(self, rng, n, empty):
        """Numbers of n pictures, of which a share of `empty` more than the scenes have is without a panel."""
        drawn = rng.integers(0, len(self), n)
        other = rng.random(n) < empty
        if self.empty and other.any(): drawn[other] = rng.choice(self.empty, int(other.sum()))
        return drawn


def window(rng, label, wide):
    """A crop that keeps the whole panel: `wide` 0 is the panel alone, 1 the whole picture, -1 the number."""
    if not label["scene"]["panel"]:
        s = float(rng.uniform(0.3, 1)) ** (1 - max(wide, 0))
        return float(rng.uniform(0, 1 - s)), float(rng.uniform(0, 1 - s)), s, s
    if wide < 0:  # only the number
        places = np.asarray([(o["x"], o["y"]) for o in label["objects"] if o["kind"] in ("digit", "minus")])
        low, high = places.min(0), places.max(0)
        pitch = float((high - low).max()) / (len(places) - 1)
        s = min(1.0, float((high - low).max()) + pitch * float(rng.uniform(1.1, 2.2)))
        x, y = (low + high) / 2 + rng.uniform(-0.25, 0.25, 2) * pitch - s / 2
        return float(np.clip(x, 0, 1 - s)), float(np.clip(y, 0, 1 - s)), s, s
    x0, y0, x1, y1 = np.clip(label["box"], 0, 1)
    tight = min(1.0, max(x1 - x0, y1 - y0) * 1.04)
    s = tight ** (1 - wide)
    w, h = (min(1.0, max(tight, s * float(rng.uniform(0.94, 1.06)))) for _ in range(2))
    if wide >= 1: w = h = 1.0
    x = float(rng.uniform(max(0.0, x1 - w), max(0.0, x1 - w, min(x0, 1 - w))))
    y = float(rng.uniform(max(0.0, y1 - h), max(0.0, y1 - h, min(y0, 1 - h))))
    return min(x, 1 - w), min(y, 1 - h), w, h


def picture(pixels, view, resolution, smooth):
    side = pixels.shape[0]
    x, y, w, h = (v * side for v in view)
    if w >= side and h >= side and resolution == side: return np.asarray(pixels)
    # Only the rows in view are read from the mapped shard.
    top, bottom = int(y), min(side, int(np.ceil(y + h)))
    left, right = int(x), min(side, int(np.ceil(x + w)))
    part = Image.fromarray(np.ascontiguousarray(pixels[top:bottom, left:right]))
    box = (x - left, y - top, min(x - left + w, part.width), min(y - top + h, part.height))
    return np.asarray(part.resize((resolution, resolution), Image.BICUBIC if smooth else Image.BILINEAR, box=box))


def rosette(rng, pixels):
    """The picture folded around a point, as petals, spokes and wheels are: every sector shows the same one, mirrored."""
    side = pixels.shape[0]
    y, x = np.mgrid[:side, :side] - rng.uniform(0.2, 0.8, (2, 1, 1)) * side
    sector = 2 * np.pi / int(rng.integers(3, 14))
    angle = (np.arctan2(y, x) + rng.uniform(0, sector) + rng.uniform(0, 0.3) * np.hypot(x, y) / side) % sector
    angle, reach = np.minimum(angle, sector - angle) + rng.uniform(0, 2 * np.pi), np.hypot(x, y)
    fold = lambda v: np.abs((v.astype(int) + side) % (2 * side) - side).clip(0, side - 1)
    return pixels[fold(reach * np.sin(angle)), fold(reach * np.cos(angle))]


def before_a_haze(rng, near, far):
    """One picture in a blurred outline before another that is out of focus, as a lens close to a thing shows it."""
    side = near.shape[0]
    coarse = Image.fromarray(far).resize((int(rng.integers(2, 8)),) * 2, Image.BOX).resize((side, side), Image.BICUBIC)
    y, x = np.mgrid[:side, :side] / side - rng.uniform(0.3, 0.7, (2, 1, 1))
    lobes, depth = int(rng.integers(2, 9)), rng.uniform(0, 0.4)
    edge = rng.uniform(0.2, 0.6) * (1 + depth * np.cos(lobes * np.arctan2(y, x) + rng.uniform(0, 6)))
    mask = (1 / (1 + np.exp((np.hypot(x, y) - edge) * rng.uniform(20, 120))))[..., None]
    return (near * mask + np.asarray(coarse) * (1 - mask)).astype(np.uint8)


def mixed(rng, pixels, pool, resolution):
    """A picture without a panel, mixed with others without one: as full of edges as a photograph, and still no panel."""
    def other():
        raw, label = pool.picture(pool.empty[int(rng.integers(len(pool.empty)))])
        return picture(raw, window(rng, label, float(rng.random())), resolution, False)

    a = pixels
    for _ in range(int(rng.integers(1, 4))):
        kind, b = rng.random(), other()[:, :, rng.permutation(3)]
        if rng.random() < 0.5: b = np.rot90(b, int(rng.integers(4)))
        if kind < 0.25: a = np.maximum(a, b)
        elif kind < 0.5: a = np.minimum(a, b)
        elif kind < 0.65: a = np.abs(a.astype(np.int16) - b).astype(np.uint8)
        elif kind < 0.8:  # one in the other's light and dark
            a = np.where(b.mean(-1, keepdims=True) > rng.uniform(60, 190), a, b)
        else:  # smaller copies beside each other
            n = int(rng.integers(2, 5))
            small = np.asarray(Image.fromarray(np.ascontiguousarray(a)).resize((-(-resolution // n),) * 2, Image.BILINEAR))
            row = np.concatenate([small if rng.random() < 0.5 else small[:, ::-1] for _ in range(n)], 1)
            a = np.concatenate([row if rng.random() < 0.5 else row[::-1] for _ in range(n)], 0)[:resolution, :resolution]
    if rng.random() < 0.2: a = rosette(rng, a)
    if rng.random() < 0.2: a = before_a_haze(rng, np.ascontiguousarray(a), other())
    return np.ascontiguousarray(a)


def choose(rng, label, limit):
    """The questions asked in training: the caption, the display and some others."""
    asked = label["questions"]
    if limit is None: return asked
    first = [q for q in asked if q["type"] in ("caption", "display")]
    rest = [q for q in asked if q["type"] not in ("caption", "display")]
    # Lamps that are there are asked about most: their states are the hardest to learn, and "no" is the usual answer else.
    there = {l["color"] for l in label["scene"]["lamps"]}
    share = np.asarray([(3.0 if any(f" {c} " in q["question"] for c in there) else 0.7) if q["type"] == "lamp"
                        else dict(panel=0.7, count=2.5).get(q["type"], 1.5) for q in rest])
    order = rng.choice(len(rest), min(limit, len(rest)), replace=False, p=share / share.sum())
    return first + [rest[int(k)] for k in order]


def reworded(rng, q):
    """The same question in any of its wordings."""
    wordings = scenes.ASK[q["type"]]
    color = next((c for c in scenes.COLORS if f" {c} " in q["question"]), None)
    return wordings[int(rng.integers(len(wordings)))].format(color)


def sequence(asked, start, text, rng, train):
    """Questions and answers about one picture in one row: ids, segments, positions, next tokens and their weights."""
    ids, segment, position, target, weight = [], [], [], [], []
    for s, q in enumerate(asked):
        ask = text.question(reworded(rng, q) if train else q["question"])
        answer, worth = text.answer(q["answer"])
        n = len(ask) + len(answer) - 1
        ids += ask + answer[:-1]
        segment += [s + 1] * n
        position += range(start, start + n)
        target += [0] * (len(ask) - 1) + answer
        weight += [0.0] * (len(ask) - 1) + [2 * w if q["type"] == "display" else w for w in worth]
    return ids, segment, position, target, weight


def stacked(rows):
    longest = -(-max(len(r[0]) for r in rows) // 8) * 8

    def column(k, fill, kind):
        return torch.tensor([r[k] + [fill] * (longest - len(r[k])) for r in rows], dtype=kind)

    return dict(ids=column(0, 0, torch.long), segment=column(1, -1, torch.long), position=column(2, 0, torch.long),
                target=column(3, 0, torch.long), weight=column(4, 0.0, torch.float32))


def first_position(text, resolution):
    return len(text.before) + (-(-resolution // 64)) ** 2


def batch(pool, indices, resolution, widths, text, rng, limit=3, train=True):
    """Everything about one batch as tensors; `widths` are the crops, None for whole pictures; `limit` 0: no text."""
    pixels, labels, rows = [], [], []
    things = {k: [] for k in ("digits", "bits", "gauge", "word", "panel")}
    start = first_position(text, resolution)
    for b, i in enumerate(indices):
        raw, label = pool.picture(int(i))
        view = (0.0, 0.0, 1.0, 1.0) if widths is None else window(rng, label, widths[b])
        seen = picture(raw, view, resolution, not train or rng.random() < 0.5)
        if train and not label["scene"]["panel"] and rng.random() < 0.6: seen = mixed(rng, seen, pool, resolution)
        pixels.append(seen)
        pointed = {o["slot"] for o in label["objects"] if o["kind"] == "point"}
        for o in label["objects"]:
            x, y = (o["x"] - view[0]) / view[2], (o["y"] - view[1]) / view[3]
            if not (0 <= x < 1 and 0 <= y < 1): continue
            kind = o["kind"]
            if kind == "digit": things["digits"].append((b, x, y, o["slot"], o["value"], o["slot"] in pointed))
            elif kind == "minus": things["bits"].append((b, x, y, 0))
            elif kind == "lamp": things["bits"].append((b, x, y, 1 + 2 * o["color"] + o["on"]))
            elif kind == "gauge": things["gauge"].append((b, x, y, o["value"]))
            elif kind == "word": things["word"].append((b, x, y, o["value"]))
        if label["scene"]["panel"]:
            x0, y0, x1, y1 = label["box"]
            things["panel"].append((b, (x0 - view[0]) / view[2], (y0 - view[1]) / view[3],
                                    (x1 - view[0]) / view[2], (y1 - view[1]) / view[3]))
        asked = choose(rng, label, limit) if limit != 0 else []
        rows.append(sequence(asked, start, text, rng, train))
        labels.append((label, asked))
    out = dict(pixels=torch.from_numpy(np.stack(pixels)), **stacked(rows))
    for k, width in dict(digits=6, bits=4, gauge=4, word=4, panel=5).items():
        out[k] = torch.tensor(things[k], dtype=torch.float64).reshape(-1, width)
    return out, labels
