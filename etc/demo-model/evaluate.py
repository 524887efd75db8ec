#!/usr/bin/env python3
"""Exact-match accuracy of an exported checkpoint, in PyTorch float32, by question type and resolution.

    evaluate.py --checkpoint DIR --dataset DIR [--resolutions 128,192,256,320,384] [--limit N] [--answers FILE]

The dataset is a folder that scenes.py wrote. The model is not the one that train.py trains but the public classes of
`transformers` (FastVlm, Qwen2) and `timm` (FastViTHD), loaded from the exported files, so this also checks the export.
Each row has the 95 % Wilson interval. --answers writes one JSON line a picture, resolution and question with the
greedy answer, to compare another engine with. --image F asks every kind of question about one picture instead.
"""
import argparse, json, math, os

import torch
from PIL import Image
from safetensors.torch import load_file
from tokenizers import Tokenizer

import panelreader, scenes, vocabulary
from pool import squared

TYPES = ["panel", "display", "lamp", "lamp on", "lamp off", "lamp absent", "count", "gauge", "word", "caption"]


def build(r):
    from transformers import FastVlmConfig, FastVlmForConditionalGeneration
    vision, text = r["vision"], r["text"]
    args = dict(inference_mode=True, layers=tuple(vision["layers"]), embed_dims=tuple(vision["embed_dims"]))
    config = FastVlmConfig(
        vision_config=dict(model_type="timm_wrapper", architecture="fastvit_mci3", do_pooling=True, global_pool="avg",
                           hidden_size=2 * vision["embed_dims"][-1], model_args=args),
        text_config=dict(model_type="qwen2", vocab_size=r["vocab"], max_position_embeddings=1024, rms_norm_eps=1e-6,
                         rope_theta=1e6, tie_word_embeddings=True, **text),
        tie_word_embeddings=True, image_token_index=r["vocab"] - 1)
    return FastVlmForConditionalGeneration(config).eval()


def load(directory):
    with open(os.path.join(directory, "reference.json")) as f: r = json.load(f)
    model = build(r)
    stored = load_file(os.path.join(directory, "model.safetensors"))
    wanted = model.state_dict()
    state = {k: stored[panelreader.apple_name(k)].to(v.dtype) for k, v in wanted.items() if panelreader.apple_name(k) in stored}
    missing = [k for k in wanted if k not in state and k != "lm_head.weight" and "head.fc" not in k]
    assert not missing, f"not in the checkpoint: {missing}"
    assert len(state) == len(stored), "the checkpoint holds tensors that the model does not have"
    model.load_state_dict(state, strict=False)
    model.tie_weights()
    return model.float().eval()


class Reader:
    def __init__(self, directory):
        self.model = load(directory)
        self.tokenizer = Tokenizer.from_file(os.path.join(directory, "tokenizer.json"))
        self.stop = self.tokenizer.token_to_id("<|im_end|>")
        self.before = self.tokenizer.encode(vocabulary.BEFORE).ids
        self.after = self.tokenizer.encode(vocabulary.AFTER).ids

    def see(self, image, resolution):
        """The shared beginning of every prompt about a picture, as embeddings (n, hidden)."""
        pixels = torch.frombuffer(bytearray(squared(image.convert("RGB"), resolution).tobytes()), dtype=torch.uint8)
        pixels = pixels.view(1, resolution, resolution, 3).permute(0, 3, 1, 2).float() / 255
        tower = self.model.model.vision_tower.timm_model
        x = tower.stem(pixels)
        for stage in tower.stages: x = stage(x)
        x = tower.final_conv(x)
        image = self.model.model.multi_modal_projector(x.flatten(2).permute(0, 2, 1))[0]
        return torch.cat([self.embed(self.before), image])

    def embed(self, ids):
        return self.model.model.language_model.embed_tokens(torch.tensor(ids))

    def prompt(self, question):
        self.tokenizer.encode_special_tokens = True  # a question's text is only text
        asked = self.tokenizer.encode("\n" + question).ids
        self.tokenizer.encode_special_tokens = False
        return asked + self.after

    def logits(self, sequences):
        hidden = self.model.model.language_model(inputs_embeds=sequences, use_cache=False).last_hidden_state
        return self.model.lm_head(hidden)

    def greedy(self, start, prompt, limit=80):
        ids = []
        while len(ids) < limit:
            token = int(self.logits(torch.cat([start, self.embed(prompt + ids)])[None])[0, -1].argmax())
            if token == self.stop: break
            ids.append(token)
        return self.tokenizer.decode(ids)

    def expected(self, start, questions):
        """For each question, whether greedy decoding gives exactly its answer: each token right after the right ones."""
        prompts = [self.prompt(q["question"]) for q in questions]
        answers = [self.tokenizer.encode(q["answer"]).ids + [self.stop] for q in questions]
        length = max(len(p) + len(a) for p, a in zip(prompts, answers)) - 1
        rows = [p + a[:-1] + [0] * (length - len(p) - len(a) + 1) for p, a in zip(prompts, answers)]
        x = torch.cat([start.expand(len(rows), -1, -1), self.embed(rows)], 1)
        best = self.logits(x)[:, start.shape[0]:].argmax(-1)
        return [best[i, len(p) - 1:len(p) - 1 + len(a)].tolist() == a for i, (p, a) in enumerate(zip(prompts, answers))]


def wilson(right, n, z=1.96):
    p = right / n
    middle, half = p + z * z / (2 * n), z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return (middle - half) / (1 + z * z / n), (middle + half) / (1 + z * z / n)


def kinds(q, scene):
    if q["type"] != "lamp": return [q["type"]]
    states = {l["on"] for l in scene["lamps"] if f" {l['color']} " in q["question"]}
    return ["lamp", "lamp " + ("absent" if not states else "on" if True in states else "off")]


@torch.no_grad()
def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--checkpoint", required=True)
    p.add_argument("--dataset"); p.add_argument("--image")
    p.add_argument("--resolutions", default=",".join(map(str, panelreader.LADDER)))
    p.add_argument("--limit", type=int); p.add_argument("--answers"); p.add_argument("--json", action="store_true")
    p.add_argument("--threads", type=int, default=2)
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    reader = Reader(a.checkpoint)
    sizes = [int(r) for r in a.resolutions.split(",")]
    if a.image:
        image = Image.open(a.image)
        for r in sizes:
            start = reader.see(image, r)
            for wordings in scenes.ASK.values():
                question = wordings[0].format("red")
                print(f"{r:4d}  {question:32s} {reader.greedy(start, reader.prompt(question))}")
        return
    with open(os.path.join(a.dataset, "labels.jsonl")) as f: labels = [json.loads(l) for l in f][:a.limit]
    out = open(a.answers, "w") if a.answers else None
    for r in sizes:
        score = {t: [0, 0] for t in TYPES}
        for label in labels:
            start = reader.see(Image.open(os.path.join(a.dataset, label["file"])), r)
            for q, right in zip(label["questions"], reader.expected(start, label["questions"])):
                for kind in kinds(q, label["scene"]):
                    score[kind][0] += right
                    score[kind][1] += 1
                if out:
                    said = q["answer"] if right else reader.greedy(start, reader.prompt(q["question"]))
                    out.write(json.dumps(dict(file=label["file"], resolution=r, type=q["type"], question=q["question"],
                                              answer=said, right=right)) + "\n")
        for kind, (right, n) in score.items():
            if not n: continue
            low, high = wilson(right, n)
            if a.json:
                print(json.dumps(dict(resolution=r, type=kind, right=right, count=n, accuracy=round(right / n, 4),
                                      low=round(low, 4), high=round(high, 4))), flush=True)
            else:
                print(f"{r:4d}  {kind:12s} {right:5d}/{n:<5d} {100 * right / n:5.1f} %  ({100 * low:.1f} to {100 * high:.1f})", flush=True)


if __name__ == "__main__":
    main()
