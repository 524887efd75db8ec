#!/usr/bin/env python3
"""Seeded pictures of machine front panels, with everything that is on them, and of scenes without one.

    scenes.py --seed 1 --count 1000 --out DIR

writes DIR/00000.jpg ... and DIR/labels.jsonl. Picture i of a seed is the same whatever the count, on every machine
with the same Pillow and numpy. Each line of labels.jsonl is one picture:

    {"file": "00000.jpg",
     "scene": {"panel": true, "display": "-48.2", "lamps": [{"color": "red", "on": true}, ...],
               "gauge": 7, "word": "PUMP", "distance": 0.41},
     "questions": [{"type": "display", "question": "What does the display read?", "answer": "-48.2"}, ...],
     "objects": [{"kind": "digit", "x": 0.41, "y": 0.33, "value": 4, "slot": 0}, ...]}

`type` is one of caption, panel, display, lamp, count, gauge, word. `lamps` are left to right. `gauge` and `word` are
null where there is none. `distance` is the panel's width as a share of the picture's longer side. `objects` is for
training only: centres in 0...1 of the picture padded to a square, which is how the model sees it.
"""
import argparse, io, json, math, os

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 448  # longer side of a picture, in pixels
COLORS = ["green", "yellow", "red", "blue"]  # the order in which captions name the lamps
WORDS = ["AUTO", "DOOR", "FAN", "FLOW", "HEAT", "OIL", "PUMP", "RUN", "STOP", "TANK", "TEMP", "WATER"]
NO_PANEL = "There is no control panel."

ASK = {
    "caption": ["Describe the image.", "Describe the picture.", "What do you see?", "What is in this image?",
                "Write a caption."],
    "panel": ["Is there a panel?", "Is there a control panel?", "Does the picture show a control panel?",
              "Can you see a panel?"],
    "display": ["What does the display read?", "What does the display show?", "What number is on the display?",
                "Read the display."],
    "lamp": ["Is the {} lamp on?", "Is the {} lamp lit?", "Is the {} light on?", "Does the {} lamp shine?"],
    "count": ["How many lamps are lit?", "How many lamps are on?", "How many lights are on?", "Count the lit lamps."],
    "gauge": ["What does the gauge show?", "What does the gauge read?", "Where is the gauge's needle?",
              "Read the gauge."],
    "word": ["What word is on the panel?", "Which word is printed on the panel?", "What does the label say?",
             "Read the label."],
}

# Seven segments a...g as strokes between six points of a digit cell one unit wide and two high.
STROKES = {"a": (0, 1), "b": (1, 3), "c": (3, 5), "d": (4, 5), "e": (2, 4), "f": (0, 2), "g": (2, 3)}
POINTS = [(0, 0), (1, 0), (0, 1), (1, 1), (0, 2), (1, 2)]
SEGMENTS = ["abcdef", "bc", "abdeg", "abcdg", "bcfg", "acdfg", "acdefg", "abc", "abcdefg", "abcdfg"]

LAMP_ON = {"red": (255, 45, 35), "green": (40, 255, 80), "yellow": (255, 225, 40), "blue": (50, 110, 255)}
LAMP_OFF = {"red": (95, 18, 16), "green": (14, 80, 26), "yellow": (98, 84, 14), "blue": (16, 30, 100)}


# ---------------------------------------------------------------- what is on the panel

def invent(rng):
    """The facts of one scene."""
    if rng.random() < 0.16:
        return dict(panel=False, display=None, lamps=[], gauge=None, word=None)
    digits = int(rng.choice([2, 3, 4], p=[0.3, 0.4, 0.3]))
    text = "".join(str(rng.integers(10)) for _ in range(digits))
    if rng.random() < 0.5:
        point = int(rng.integers(1, digits))
        text = text[:point] + "." + text[point:]
    if rng.random() < 0.25:
        text = "-" + text
    count = int(rng.choice(6, p=[0.1, 0.16, 0.22, 0.24, 0.2, 0.08]))
    names = list(rng.permutation(COLORS))
    if count == 5:
        names = list(rng.permutation(names + [names[0]]))
    lamps = [dict(color=str(c), on=bool(rng.random() < 0.5)) for c in names[:count]]
    gauge = int(rng.integers(0, 11)) if rng.random() < 0.5 else None
    word = str(rng.choice(WORDS)) if rng.random() < 0.5 else None
    return dict(panel=True, display=text, lamps=lamps, gauge=gauge, word=word)


def caption(scene):
    """The one sentence that describes a scene."""
    if not scene["panel"]:
        return NO_PANEL
    lamps = sorted(scene["lamps"], key=lambda l: (COLORS.index(l["color"]), not l["on"]))
    parts = ["display " + scene["display"]]
    parts += [f"{l['color']} lamp {'on' if l['on'] else 'off'}" for l in lamps]
    if scene["gauge"] is not None: parts.append(f"gauge at {scene['gauge']}")
    if scene["word"] is not None: parts.append(f"word {scene['word']}")
    return "A control panel: " + ", ".join(parts) + "."


def questions(scene, rng):
    """One question of every type, each colour asked once, in random wordings, with the only right answer."""
    out = []

    def ask(kind, answer, color=None):
        wording = ASK[kind][int(rng.integers(len(ASK[kind])))]
        out.append(dict(type=kind, question=wording.format(color), answer=answer))

    panel = scene["panel"]
    ask("caption", caption(scene))
    ask("panel", "yes" if panel else "no")
    ask("display", scene["display"] if panel else NO_PANEL)
    for color in COLORS:
        states = {l["on"] for l in scene["lamps"] if l["color"] == color}
        if len(states) < 2:  # two lamps of one colour that differ: no right answer
            ask("lamp", "yes" if states == {True} else "no", color)
    ask("count", str(sum(l["on"] for l in scene["lamps"])))
    gauge = str(scene["gauge"]) if scene["gauge"] is not None else "There is no gauge."
    ask("gauge", gauge if panel else NO_PANEL)
    ask("word", (scene["word"] or "There is no word.") if panel else NO_PANEL)
    return out


# ---------------------------------------------------------------- surroundings

def color(rng, low=0, high=256):
    return tuple(int(v) for v in rng.integers(low, high, 3))


def clouds(rng, w, h, octaves=5):
    """Smooth random colour with the falling spectrum of natural pictures."""
    total = np.zeros((h, w, 3), np.float32)
    fall = rng.uniform(0.45, 0.8)
    first = int(rng.integers(0, 3))
    tint = rng.random() < 0.5
    for o in range(first, first + octaves):
        n = 2 ** (o + 1)
        small = rng.integers(0, 256, (n, n, 1 if tint else 3)).astype(np.uint8)
        if tint: small = np.repeat(small, 3, 2)
        total += fall ** o * np.asarray(Image.fromarray(small).resize((w, h), Image.BILINEAR), np.float32)
    total = (total - total.mean()) / (total.std() + 1e-3)
    base = rng.uniform(30, 220, 3).astype(np.float32)
    amount = rng.uniform(8, 60) * rng.uniform(0.4, 1.2, 3).astype(np.float32)
    return Image.fromarray(np.clip(base + total * amount, 0, 255).astype(np.uint8))


def gradient(rng, w, h):
    corners = np.asarray([[color(rng), color(rng)], [color(rng), color(rng)]], np.uint8)
    return Image.fromarray(corners).resize((w, h), Image.BILINEAR)


def clutter(rng, image, count):
    """Overlapping shapes with the size statistics of real things; lines, stripes, letters and coloured discs."""
    draw = ImageDraw.Draw(image)
    w, h = image.size
    for _ in range(count):
        r = min(0.5, 0.02 / (1 - rng.random()) ** 0.7) * w
        x, y = rng.uniform(-r, w + r), rng.uniform(-r, h + r)
        fill, kind = color(rng), rng.random()
        if kind < 0.3:
            draw.rectangle([x - r, y - r * rng.uniform(0.2, 1.5), x + r, y + r * rng.uniform(0.2, 1.5)], fill=fill)
        elif kind < 0.55:
            draw.ellipse([x - r, y - r * rng.uniform(0.3, 1.3), x + r, y + r * rng.uniform(0.3, 1.3)], fill=fill)
        elif kind < 0.8:
            n = int(rng.integers(3, 9))
            angles = np.sort(rng.uniform(0, 2 * math.pi, n))
            draw.polygon([(x + r * k * math.cos(t), y + r * k * math.sin(t))
                          for t, k in zip(angles, rng.uniform(0.4, 1.2, n))], fill=fill)
        elif kind < 0.9:
            draw.line([x, y, rng.uniform(0, w), rng.uniform(0, h)], fill=fill, width=int(rng.integers(1, 7)))
        elif kind < 0.96:
            step, along = rng.uniform(4, 24), rng.random() < 0.5
            for k in range(int(rng.integers(3, 12))):
                a = k * step
                box = [x + a, y, x + a + step / 2, y + r] if along else [x, y + a, x + r, y + a + step / 2]
                draw.rectangle(box, fill=fill)
        else:
            letters = "".join(chr(65 + int(c)) for c in rng.integers(0, 26, int(rng.integers(2, 7))))
            draw.text((x, y), letters, fill=fill, font=ImageFont.load_default(float(rng.uniform(10, 40))))


def surroundings(rng, w, h, alone):
    """What is behind a panel or, `alone`, a picture in its own right."""
    kind = rng.random()
    if kind < 0.2: image = Image.new("RGB", (w, h), color(rng))
    elif kind < 0.45: image = gradient(rng, w, h)
    else: image = clouds(rng, w, h)
    if rng.random() < 0.7:
        clutter(rng, image, int(rng.integers(2, 40)) if not alone or rng.random() < 0.5 else int(rng.integers(40, 250)))
    if rng.random() < 0.5:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.3, 5))))
    if alone and rng.random() < 0.5:
        image = Image.blend(image, clouds(rng, w, h, 6), float(rng.uniform(0.2, 0.7)))
    return image


# ---------------------------------------------------------------- the panel, drawn flat

class Sheet:
    """A flat panel in units of its own width, drawn at `scale` pixels a unit, with the things put on it."""

    def __init__(self, height, scale, fill):
        self.height, self.scale = height, scale
        self.image = Image.new("RGB", (round(scale), round(scale * height)), fill)
        self.draw = ImageDraw.Draw(self.image)
        self.objects = []

    def put(self, kind, x, y, **facts):
        self.objects.append(dict(kind=kind, x=x, y=y, **facts))

    def box(self, x0, y0, x1, y1, fill, radius=0.0, outline=None, width=0.0):
        s = self.scale
        self.draw.rounded_rectangle([x0 * s, y0 * s, x1 * s, y1 * s], radius * s, fill, outline, round(width * s))

    def disc(self, x, y, r, fill):
        s = self.scale
        self.draw.ellipse([(x - r) * s, (y - r) * s, (x + r) * s, (y + r) * s], fill=fill)

    def stroke(self, x0, y0, x1, y1, width, fill):
        """A straight bar with mitred ends."""
        s, n = self.scale, math.hypot(x1 - x0, y1 - y0)
        ux, uy = (x1 - x0) / n * width / 2, (y1 - y0) / n * width / 2
        self.draw.polygon([(a * s, b * s) for a, b in [
            (x0, y0), (x0 + ux - uy, y0 + uy + ux), (x1 - ux - uy, y1 - uy + ux), (x1, y1),
            (x1 - ux + uy, y1 - uy - ux), (x0 + ux + uy, y0 + uy - ux)]], fill=fill)


def draw_display(rng, sheet, text, x0, y0, x1, y1):
    lcd = rng.random() < 0.25
    if lcd:
        back = np.asarray([150, 165, 140]) + rng.integers(-25, 40, 3)
        lit = np.asarray(color(rng, 10, 50))
    else:
        back = np.asarray(color(rng, 4, 34))
        lit = np.asarray([(255, 50, 35), (60, 255, 90), (255, 170, 40), (80, 170, 255), (240, 245, 250)]
                         [int(rng.integers(5))])
    ghost = float(rng.uniform(0.03, 0.13)) if rng.random() < 0.5 else 0.0
    dim = tuple(int(v) for v in back + (lit - back) * ghost)
    back, lit = tuple(int(v) for v in back), tuple(int(v) for v in lit)
    sheet.box(x0, y0, x1, y1, back, 0.012, color(rng, 20, 190), float(rng.uniform(0, 0.014)))

    cells = [c for c in text if c != "."]
    room_w, room_h = (x1 - x0) * 0.9, (y1 - y0) * 0.8
    spare = int(rng.integers(0, 2)) if len(cells) < 4 else 0
    pitch = min(room_w / (len(cells) + spare), room_h * 0.72)
    width = pitch * float(rng.uniform(0.52, 0.6))
    tall = min(room_h, width * float(rng.uniform(1.7, 2.1)))
    thick = width * float(rng.uniform(0.2, 0.28))
    slant = float(rng.uniform(0, 0.12)) if rng.random() < 0.5 else 0.0
    free = x1 - x0 - pitch * len(cells)
    left = x0 + free * float(rng.choice([0.5, 0.5, 0.88]) if spare else 0.5)
    top = (y0 + y1) / 2 - tall / 2
    slot, i = 0, 0
    for c in text:
        if c == ".":
            # In the middle of the gap, leaning with the digits and clear of both: touching one, it could not be told
            # from a stroke's end.
            px, py = left + pitch * i - slant * tall / 2, top + tall
            sheet.disc(px, py, thick * 0.6, lit)
            sheet.put("point", px, py, slot=slot - 1)
            continue
        cx = left + pitch * i + (pitch - width) / 2
        place = lambda k: (cx + POINTS[k][0] * width + slant * tall * (0.5 - POINTS[k][1] / 2), top + POINTS[k][1] * tall / 2)
        shown = "g" if c == "-" else SEGMENTS[int(c)]
        for on in (False, True):
            for name, (p, q) in STROKES.items():
                if (name in shown) == on and (on or ghost):
                    sheet.stroke(*place(p), *place(q), thick, lit if on else dim)
        if c == "-":
            sheet.put("minus", cx + width / 2, top + tall / 2)
        else:
            sheet.put("digit", cx + width / 2, top + tall / 2, value=int(c), slot=slot)
            slot += 1
        i += 1


def draw_lamps(rng, sheet, lamps, x0, y0, x1, y1):
    r = min((y1 - y0) * 0.42, (x1 - x0) / 5 * 0.34) * float(rng.uniform(0.85, 1.1))
    ring = color(rng, 30, 200)
    pitch = min((x1 - x0) / len(lamps), r * float(rng.uniform(2.6, 5)))
    start = (x0 + x1) / 2 - pitch * (len(lamps) - 1) / 2
    square = rng.random() < 0.2
    for k, lamp in enumerate(lamps):
        x, y = start + pitch * k, (y0 + y1) / 2
        fill = np.asarray((LAMP_ON if lamp["on"] else LAMP_OFF)[lamp["color"]]) + rng.integers(-12, 13, 3)
        fill = tuple(int(v) for v in np.clip(fill, 0, 255))
        if square:
            sheet.box(x - r * 1.1, y - r * 1.1, x + r * 1.1, y + r * 1.1, ring, r * 0.2)
            sheet.box(x - r * 0.85, y - r * 0.85, x + r * 0.85, y + r * 0.85, fill, r * 0.2)
        else:
            sheet.disc(x, y, r * 1.18, ring)
            sheet.disc(x, y, r * 0.92, fill)
        if lamp["on"]:
            core = tuple(int(v + (255 - v) * 0.65) for v in fill)
            sheet.disc(x, y, r * 0.42, core)
        else:
            sheet.disc(x - r * 0.3, y - r * 0.3, r * 0.14, tuple(int(v + (255 - v) * 0.3) for v in fill))
        sheet.put("lamp", x, y, color=COLORS.index(lamp["color"]), on=int(lamp["on"]), r=r)


def draw_gauge(rng, sheet, value, x, y, r):
    dark = rng.random() < 0.35
    face = color(rng, 15, 55) if dark else color(rng, 215, 256)
    ink = color(rng, 200, 256) if dark else color(rng, 0, 60)
    needle = (225, 40, 30) if rng.random() < 0.6 else ink
    sheet.disc(x, y, r, color(rng, 40, 180))
    sheet.disc(x, y, r * 0.92, face)
    at = lambda v, k: (x + r * k * math.cos(math.radians(135 + 27 * v)), y + r * k * math.sin(math.radians(135 + 27 * v)))
    for v in range(11):
        sheet.stroke(*at(v, 0.66 if v % 5 == 0 else 0.74), *at(v, 0.88), r * (0.075 if v % 5 == 0 else 0.05), ink)
    exact = value + float(rng.uniform(-0.25, 0.25))
    sheet.stroke(*at(exact + 5 / 27 * 36, 0.16), *at(exact, 0.74), r * float(rng.uniform(0.09, 0.14)), needle)
    sheet.disc(x, y, r * 0.13, ink)
    sheet.put("gauge", x, y, value=value, r=r)


def draw_word(rng, sheet, word, x0, y0, x1, y1):
    plate = color(rng, 190, 256) if rng.random() < 0.5 else color(rng, 5, 70)
    ink = color(rng, 0, 60) if sum(plate) > 400 else color(rng, 205, 256)
    size = min((y1 - y0) * 0.95, (x1 - x0) / len(word) * 1.15)
    font = ImageFont.load_default(max(6.0, size * sheet.scale))
    l, t, r, b = font.getbbox(word)
    w, h = (r - l) / sheet.scale, (b - t) / sheet.scale
    cx = float(rng.uniform(x0 + w / 2 + 0.02, max(x0 + w / 2 + 0.021, x1 - w / 2 - 0.02)))
    cy = (y0 + y1) / 2
    sheet.box(cx - w / 2 - 0.02, cy - h / 2 - 0.018, cx + w / 2 + 0.02, cy + h / 2 + 0.018, plate, 0.008)
    sheet.draw.text(((cx - w / 2) * sheet.scale - l, (cy - h / 2) * sheet.scale - t), word, fill=ink, font=font)
    sheet.put("word", cx, cy, value=WORDS.index(word))


def draw_panel(rng, scene, scale):
    """The whole panel, flat: rows of display and gauge, lamps, word, in random order."""
    rows = [("top", float(rng.uniform(0.32, 0.42)) if scene["gauge"] is not None else float(rng.uniform(0.26, 0.36)))]
    if scene["lamps"]: rows.append(("lamps", float(rng.uniform(0.15, 0.2))))
    if scene["word"]: rows.append(("word", float(rng.uniform(0.12, 0.16))))
    if rng.random() < 0.4: rows.append(("spare", float(rng.uniform(0.05, 0.2))))
    rows = [rows[int(k)] for k in rng.permutation(len(rows))]
    gap = 0.035
    height = max(0.5, sum(h for _, h in rows) + gap * (len(rows) + 1))
    gap = (height - sum(h for _, h in rows)) / (len(rows) + 1)
    base = color(rng, 30, 235) if rng.random() < 0.3 else (int(rng.integers(40, 235)),) * 3
    base = tuple(int(np.clip(v + rng.integers(-14, 15), 0, 255)) for v in base)
    sheet = Sheet(height, scale, base)
    edge = tuple(int(v * rng.uniform(0.4, 0.8)) for v in base)
    sheet.box(0, 0, 0.999, height - 0.001, base, 0, edge, float(rng.uniform(0, 0.02)))
    if rng.random() < 0.6:
        for sx in (0.03, 0.97):
            for sy in (0.03, height - 0.03): sheet.disc(sx, sy, 0.012, color(rng, 60, 200))
    y = gap
    for kind, h in rows:
        if kind == "top":
            if scene["gauge"] is not None:
                r = min(h / 2, 0.19)
                right = rng.random() < 0.5
                draw_gauge(rng, sheet, scene["gauge"], 0.95 - r if right else 0.05 + r, y + h / 2, r)
                x0, x1 = (0.05, 0.92 - 2 * r) if right else (0.08 + 2 * r, 0.95)
                inset = h * float(rng.uniform(0.05, 0.15))
            else:
                w = float(rng.uniform(0.62, 0.9))
                x0 = float(rng.uniform(0.05, 0.95 - w)); x1 = x0 + w
                inset = 0.0
            draw_display(rng, sheet, scene["display"], x0, y + inset, x1, y + h - inset)
        elif kind == "lamps": draw_lamps(rng, sheet, scene["lamps"], 0.06, y, 0.94, y + h)
        elif kind == "word": draw_word(rng, sheet, scene["word"], 0.05, y, 0.95, y + h)
        else:
            n = int(rng.integers(2, 7))
            for k in range(n):  # vents and blank push buttons
                gray = int(rng.integers(25, 150)) + rng.integers(-9, 10, 3)
                sheet.box(0.08 + 0.84 * k / n, y, 0.08 + 0.84 * (k + 0.7) / n, y + h, tuple(int(v) for v in gray), 0.01)
        y += h + gap
    return sheet


# ---------------------------------------------------------------- camera

def homography(source, target):
    """The eight coefficients with which Pillow's PERSPECTIVE takes a target point to its source point."""
    rows, right = [], []
    for (u, v), (x, y) in zip(source, target):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
        right += [u, v]
    return np.linalg.solve(np.asarray(rows, float), np.asarray(right, float))


def photograph(rng, image, scene, distance):
    """Puts a panel into the picture, as seen from somewhere in front of it, and returns its objects in pixels."""
    w, h = image.size
    width = distance * max(w, h)
    sheet = draw_panel(rng, scene, 2 * width)
    if width * sheet.height > 0.94 * h:
        width = 0.94 * h / sheet.height
    tall = width * sheet.height
    turn = math.radians(float(rng.normal(0, 3.5)))
    corners = []
    for x, y in [(-0.5, -0.5), (0.5, -0.5), (0.5, 0.5), (-0.5, 0.5)]:
        x, y = x * width + rng.normal(0, 0.016) * width, y * tall + rng.normal(0, 0.016) * width
        corners.append([x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)])
    corners = np.asarray(corners)
    low, high = corners.min(0), corners.max(0)
    shrink = min(1.0, 0.98 * w / (high[0] - low[0]), 0.98 * h / (high[1] - low[1]))
    corners, low, high = corners * shrink, low * shrink, high * shrink
    corners += np.asarray([rng.uniform(-low[0], max(-low[0] + 1e-3, w - high[0])), rng.uniform(-low[1], max(-low[1] + 1e-3, h - high[1]))])

    flat = sheet.image.reduce(2)
    fw, fh = flat.size
    source = [(0, 0), (fw, 0), (fw, fh), (0, fh)]
    x0, y0 = np.floor(corners.min(0)).astype(int) - 1
    x1, y1 = np.ceil(corners.max(0)).astype(int) + 1
    local = homography(source, corners - [x0, y0])
    size = (int(x1 - x0), int(y1 - y0))
    seen = flat.transform(size, Image.PERSPECTIVE, local, Image.BICUBIC)
    mask = Image.new("L", (size[0] * 2, size[1] * 2), 0)
    ImageDraw.Draw(mask).polygon([tuple((c - [x0, y0]) * 2) for c in corners], fill=255)
    mask = mask.reduce(2)
    if rng.random() < 0.5:  # the panel's own shadow
        dark = Image.new("RGB", size, (0, 0, 0))
        offset = rng.integers(2, 12, 2)
        image.paste(dark, (int(x0 + offset[0]), int(y0 + offset[1])),
                    mask.filter(ImageFilter.GaussianBlur(4)).point(lambda v: int(v * 0.5)))
    image.paste(seen, (int(x0), int(y0)), mask)

    back = homography(corners, source)
    to = lambda x, y: ((back[0] * x + back[1] * y + back[2]) / (back[6] * x + back[7] * y + 1),
                       (back[3] * x + back[4] * y + back[5]) / (back[6] * x + back[7] * y + 1))
    objects = []
    for o in sheet.objects:
        x, y = to(o["x"] * fw, o["y"] * fw)
        objects.append(dict(o, x=x, y=y))
    scene["distance"] = round(float((corners[:, 0].max() - corners[:, 0].min()) / max(w, h)), 4)
    return objects, corners


def light(rng, image, objects):
    """Glow of lit lamps, shadow, glare, blur and noise."""
    w, h = image.size
    a = np.asarray(image, np.float32)
    for o in objects:
        if o["kind"] == "lamp" and o["on"]:
            reach = o["pixels"] * 2.4
            x0, x1 = max(0, int(o["x"] - reach)), min(w, int(o["x"] + reach) + 1)
            y0, y1 = max(0, int(o["y"] - reach)), min(h, int(o["y"] + reach) + 1)
            if x1 > x0 and y1 > y0:
                yy, xx = np.mgrid[y0:y1, x0:x1]
                d = np.hypot(xx - o["x"], yy - o["y"]) / reach
                glow = np.clip(1 - d, 0, 1)[..., None] ** 2 * np.asarray(LAMP_ON[COLORS[o["color"]]], np.float32)
                a[y0:y1, x0:x1] += glow * 0.45
    gain = np.full((h, w), rng.uniform(0.7, 1.12), np.float32)
    if rng.random() < 0.4:  # soft shadow across
        t = rng.uniform(0, 2 * math.pi)
        yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
        ramp = ((xx / w - rng.uniform(0.2, 0.8)) * math.cos(t) + (yy / h - rng.uniform(0.2, 0.8)) * math.sin(t)) * rng.uniform(2, 25)
        gain *= 1 - rng.uniform(0.15, 0.5) / (1 + np.exp(-ramp))
    a *= gain[..., None] * rng.uniform(0.93, 1.07, 3).astype(np.float32)
    if rng.random() < 0.2:  # glare
        yy, xx = np.mgrid[0:h, 0:w].astype(np.float32)
        cx, cy, sx, sy = rng.uniform(0, w), rng.uniform(0, h), rng.uniform(15, 90), rng.uniform(15, 90)
        a += (rng.uniform(25, 95) * np.exp(-((xx - cx) / sx) ** 2 - ((yy - cy) / sy) ** 2))[..., None]
    image = Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))
    if rng.random() < 0.6:
        image = image.filter(ImageFilter.GaussianBlur(float(rng.uniform(0.2, 0.9))))
    a = np.asarray(image, np.float32)
    sigma = float(rng.uniform(0, 9))
    a = a + (rng.standard_normal((h, w, 1), np.float32) * np.asarray([1, 0.9, 1.1], np.float32) * sigma)
    return Image.fromarray(np.clip(a, 0, 255).astype(np.uint8))


def render(seed, index):
    """Picture `index` of `seed`: JPEG bytes and its label."""
    rng = np.random.default_rng([seed, index])
    scene = invent(rng)
    shape = rng.random()
    w, h = (SIDE, SIDE) if shape < 0.6 else (SIDE, SIDE * 3 // 4) if shape < 0.9 else (SIDE * 3 // 4, SIDE)
    image = surroundings(rng, w, h, alone=not scene["panel"])
    objects = []
    if scene["panel"]:
        objects, corners = photograph(rng, image, scene, float(rng.uniform(0.28, 0.95)))
        for o in objects:
            if "r" in o: o["pixels"] = o.pop("r") * scene["distance"] * max(w, h)
    elif rng.random() < 0.25:  # a blank plate is not a panel
        plate = Sheet(float(rng.uniform(0.4, 1)), float(rng.uniform(0.2, 0.8)) * w, color(rng))
        image.paste(plate.image, (int(rng.integers(0, w // 2)), int(rng.integers(0, h // 2))))
    image = light(rng, image, objects)
    data = io.BytesIO()
    image.save(data, "JPEG", quality=int(rng.integers(50, 96)))
    side = max(w, h)
    shown = []
    for o in objects:
        o = {k: v for k, v in o.items() if k != "pixels"}
        o["x"] = round(float(o["x"] + (side - w) // 2) / side, 5)
        o["y"] = round(float(o["y"] + (side - h) // 2) / side, 5)
        shown.append(o)
    label = dict(file=f"{index:05d}.jpg", scene=scene, questions=questions(scene, rng), objects=shown)
    if scene["panel"]:
        c = (corners + [(side - w) // 2, (side - h) // 2]) / side
        label["box"] = [round(float(v), 5) for v in (*c.min(0), *c.max(0))]
    return data.getvalue(), label


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, required=True); p.add_argument("--count", type=int, required=True)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    with open(os.path.join(a.out, "labels.jsonl"), "w") as labels:
        for i in range(a.count):
            data, label = render(a.seed, i)
            with open(os.path.join(a.out, label["file"]), "wb") as f: f.write(data)
            labels.write(json.dumps(label) + "\n")
