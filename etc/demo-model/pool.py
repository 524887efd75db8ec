#!/usr/bin/env python3
"""Renders the training pictures once, as the model sees them, into shards that train.py maps into memory.

    pool.py --seed S --first A --last B --out DIR

Shard n holds pictures n * 512 ... of `scenes.py --seed S`, padded to a square and resized to 384 x 384 x 3 bytes
(NNNN.npy), and their labels (NNNN.json). A shard that is there is not rendered again.
"""
import argparse, io, json, os

import numpy as np
from PIL import Image

import scenes

PICTURES, SIDE = 512, 384


def squared(image, side):
    """Padded to a square with black, centred, then resized: what the engine does with every picture."""
    longer = max(image.size)
    square = Image.new("RGB", (longer, longer), (0, 0, 0))
    square.paste(image, ((longer - image.width) // 2, (longer - image.height) // 2))
    return square.resize((side, side), Image.BICUBIC)


def shard(seed, number, out):
    name = os.path.join(out, f"{number:04d}")
    if os.path.exists(name + ".json"): return
    pixels = np.empty((PICTURES, SIDE, SIDE, 3), np.uint8)
    labels = []
    for i in range(PICTURES):
        data, label = scenes.render(seed, number * PICTURES + i)
        pixels[i] = np.asarray(squared(Image.open(io.BytesIO(data)).convert("RGB"), SIDE))
        labels.append(label)
    np.save(name + ".part.npy", pixels)
    with open(name + ".part", "w") as f: json.dump(labels, f)
    os.rename(name + ".part.npy", name + ".npy")
    os.rename(name + ".part", name + ".json")


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--seed", type=int, default=1); p.add_argument("--out", required=True)
    p.add_argument("--first", type=int, default=0); p.add_argument("--last", type=int, required=True)
    p.add_argument("--step", type=int, default=1)
    a = p.parse_args()
    os.makedirs(a.out, exist_ok=True)
    for n in range(a.first, a.last + 1, a.step): shard(a.seed, n, a.out)
