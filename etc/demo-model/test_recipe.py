#!/usr/bin/env python3
"""Checks what scenes.py promises, in seconds and without PyTorch: python3 test_recipe.py

The same pictures and labels for the same seed whatever the count; labels that agree with each other; and a point that
can be told from the digits beside it.
"""
import hashlib, itertools, json, os, subprocess, sys, tempfile, unittest

import numpy as np

import scenes

SCENES = 120  # of seed 77, whose facts and labels are compared


def written(out, seed, count):
    """What the command writes: the lines of labels.jsonl, and the other files' digests by name."""
    here = os.path.dirname(os.path.abspath(__file__))
    command = [sys.executable, os.path.join(here, "scenes.py"), "--seed", str(seed), "--count", str(count), "--out", out]
    subprocess.run(command, check=True)
    files = {}
    for name in os.listdir(out):
        with open(os.path.join(out, name), "rb") as f: data = f.read()
        files[name] = data.splitlines() if name == "labels.jsonl" else (data[:3], hashlib.sha256(data).hexdigest())
    return files


class Command(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        at = lambda name: os.path.join(cls.folder.name, name)
        cls.three, cls.six = written(at("a"), 77, 3), written(at("b"), 77, 6)
        cls.again, cls.other = written(at("c"), 77, 3), written(at("d"), 78, 3)

    @classmethod
    def tearDownClass(cls):
        cls.folder.cleanup()

    def test_the_same_seed_gives_the_same_bytes(self):
        self.assertEqual(sorted(self.three), sorted(self.again))
        for name in self.three: self.assertTrue(self.three[name] == self.again[name], name)

    def test_another_seed_gives_other_pictures(self):
        for name in ("00000.jpg", "00001.jpg", "00002.jpg", "labels.jsonl"):
            self.assertNotEqual(self.three[name], self.other[name], name)

    def test_a_smaller_count_is_the_beginning_of_a_larger_one(self):
        self.assertEqual(sorted(self.six), [f"{i:05d}.jpg" for i in range(6)] + ["labels.jsonl"])
        for name in ("00000.jpg", "00001.jpg", "00002.jpg"): self.assertEqual(self.three[name], self.six[name], name)
        self.assertTrue(self.three["labels.jsonl"] == self.six["labels.jsonl"][:3], "labels.jsonl")

    def test_each_picture_has_a_line_that_names_it(self):
        lines = [json.loads(l) for l in self.six["labels.jsonl"]]
        self.assertEqual([l["file"] for l in lines], [f"{i:05d}.jpg" for i in range(6)])
        for l in lines: self.assertEqual(self.six[l["file"]][0], b"\xff\xd8\xff", "not a JPEG")


class Labels(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.labels = [scenes.render(77, i)[1] for i in range(SCENES)]
        cls.panels = [l for l in cls.labels if l["scene"]["panel"]]

    def test_scenes_are_of_every_kind(self):
        facts = [l["scene"] for l in self.labels]
        self.assertTrue(0.7 < len(self.panels) / SCENES < 0.95, "share of panels")
        self.assertEqual({len(s["lamps"]) for s in facts}, set(range(6)))
        self.assertEqual({s["gauge"] for s in facts}, {None, *range(11)})
        self.assertEqual({s["word"] for s in facts}, {None, *scenes.WORDS})
        displays = "".join(s["display"] or "" for s in facts)
        self.assertEqual(set(displays), set("0123456789.-"))

    def test_the_objects_spell_the_display(self):
        for l in self.panels:
            digits = sorted((o for o in l["objects"] if o["kind"] == "digit"), key=lambda o: o["slot"])
            self.assertEqual([o["slot"] for o in digits], list(range(len(digits))))
            points = {o["slot"] for o in l["objects"] if o["kind"] == "point"}
            minus = any(o["kind"] == "minus" for o in l["objects"])
            text = "-" * minus + "".join(str(o["value"]) + "." * (o["slot"] in points) for o in digits)
            self.assertEqual(text, l["scene"]["display"], l["file"])

    def test_the_objects_are_the_scene_s(self):
        for l in self.labels:
            kind = lambda k: [o for o in l["objects"] if o["kind"] == k]
            lamps = [dict(color=scenes.COLORS[o["color"]], on=bool(o["on"])) for o in kind("lamp")]
            self.assertEqual(lamps, l["scene"]["lamps"], l["file"])
            gauge, word = l["scene"]["gauge"], l["scene"]["word"]
            self.assertEqual([o["value"] for o in kind("gauge")], [] if gauge is None else [gauge], l["file"])
            self.assertEqual([scenes.WORDS[o["value"]] for o in kind("word")], [word] if word else [], l["file"])
            if not l["scene"]["panel"]: self.assertEqual(l["objects"], [], l["file"])

    def test_the_objects_lie_on_the_panel_from_left_to_right(self):
        for l in self.panels:
            x0, y0, x1, y1 = l["box"]
            for o in l["objects"]:
                self.assertTrue(x0 < o["x"] < x1 and y0 < o["y"] < y1, (l["file"], o))
                self.assertTrue(0 <= o["x"] < 1 and 0 <= o["y"] < 1, (l["file"], o))
            for kinds in (("minus", "digit", "point"), ("lamp",)):
                row = [o["x"] for o in l["objects"] if o["kind"] in kinds]
                self.assertTrue(all(a < b for a, b in itertools.pairwise(row)), (l["file"], kinds))

    def test_the_answers_are_the_scene_s(self):
        for l in self.labels:
            s, asked = l["scene"], {}
            for q in l["questions"]: asked.setdefault(q["type"], []).append(q)
            self.assertEqual(set(asked), set(scenes.ASK), l["file"])
            for kind, some in asked.items():
                wordings = {w.format(c) for w in scenes.ASK[kind] for c in scenes.COLORS}
                self.assertTrue(all(q["question"] in wordings for q in some), (l["file"], some))
                if kind != "lamp": self.assertEqual(len(some), 1, (l["file"], kind))
            none = scenes.NO_PANEL
            right = dict(panel="yes" if s["panel"] else "no", display=s["display"] or none, caption=scenes.caption(s),
                         count=str(sum(x["on"] for x in s["lamps"])),
                         gauge=none if not s["panel"] else "There is no gauge." if s["gauge"] is None else str(s["gauge"]),
                         word=none if not s["panel"] else s["word"] or "There is no word.")
            for kind, answer in right.items(): self.assertEqual(asked[kind][0]["answer"], answer, (l["file"], kind))
            for q in asked["lamp"]:
                states = {x["on"] for x in s["lamps"] if f" {x['color']} " in q["question"]}
                self.assertLess(len(states), 2, (l["file"], q))
                self.assertEqual(q["answer"], "yes" if states == {True} else "no", (l["file"], q))

    def test_the_caption_says_everything_once(self):
        for l in self.panels:
            s, text = l["scene"], scenes.caption(l["scene"])
            parts = text.removeprefix("A control panel: ").removesuffix(".").split(", ")
            self.assertEqual(len(parts), 1 + len(s["lamps"]) + (s["gauge"] is not None) + bool(s["word"]), text)
            self.assertEqual(parts[0], "display " + s["display"])


class Display(unittest.TestCase):
    def test_a_point_touches_no_digit(self):
        """Drawn large: whatever a point adds is parted from every digit's strokes by unlit pixels."""
        for seed in range(60):
            lit = []
            for text in ("88", "8.8"):
                sheet = scenes.Sheet(0.4, 600, (0, 0, 0))
                scenes.draw_display(np.random.default_rng(seed), sheet, text, 0.1, 0.05, 0.9, 0.35)
                lit.append(np.asarray(sheet.image).astype(int))
            added = (lit[0] != lit[1]).any(-1)
            self.assertGreater(added.sum(), 100, f"no point, seed {seed}")
            y, x = (np.argwhere(added).min(0) + np.argwhere(added).max(0)) // 2
            color = lit[1][y, x]
            digits = (lit[0] == color).all(-1)
            grown = added.copy()
            for _ in range(2):  # two pixels of six hundred
                grown[1:] |= grown[:-1].copy(); grown[:-1] |= grown[1:].copy()
                grown[:, 1:] |= grown[:, :-1].copy(); grown[:, :-1] |= grown[:, 1:].copy()
            self.assertFalse((grown & digits).any(), f"the point touches a digit, seed {seed}")


if __name__ == "__main__":
    unittest.main()
