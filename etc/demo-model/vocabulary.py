#!/usr/bin/env python3
"""Trains the model's byte-level BPE on everything that scenes.py can say, and writes it in the public files' forms.

    vocabulary.py --out DIR      tokenizer.json, vocab.json, merges.txt, added_tokens.json, tokenizer_config.json
"""
import argparse, json, os

import numpy as np
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

import scenes

SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
BEFORE, AFTER = "<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"  # around the picture and the question
# The pre-tokenizer pattern of Qwen2 (tokenizer.json of the public files).
PATTERN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
           r"|\s+(?!\S)|\s+")


def corpus():
    for i in range(4000):
        rng = np.random.default_rng([0, i])
        for q in scenes.questions(scenes.invent(rng), rng):
            yield "user\n\n" + q["question"] + "\nassistant\n"
            yield q["answer"]


def train():
    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(PATTERN), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(corpus(), trainers.BpeTrainer(
        vocab_size=640, min_frequency=2, show_progress=False, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
    tokenizer.add_special_tokens(SPECIAL)
    return tokenizer


def save(tokenizer, out):
    os.makedirs(out, exist_ok=True)
    tokenizer.save(os.path.join(out, "tokenizer.json"))
    model = json.loads(tokenizer.to_str())["model"]
    ids = {t: tokenizer.token_to_id(t) for t in SPECIAL}

    def write(name, value):
        with open(os.path.join(out, name), "w") as f: json.dump(value, f, indent=2, ensure_ascii=False)

    write("vocab.json", model["vocab"])
    write("added_tokens.json", ids)
    plain = dict(lstrip=False, normalized=False, rstrip=False, single_word=False, special=True)
    write("tokenizer_config.json", dict(
        add_prefix_space=False, added_tokens_decoder={str(i): dict(content=t, **plain) for t, i in ids.items()},
        additional_special_tokens=SPECIAL[1:], bos_token=None, eos_token="<|im_end|>", pad_token="<|endoftext|>",
        unk_token=None, errors="replace", clean_up_tokenization_spaces=False, model_max_length=8192,
        split_special_tokens=False, tokenizer_class="Qwen2Tokenizer",
        chat_template="{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
                      "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
                      "{% endif %}"))
    with open(os.path.join(out, "merges.txt"), "w") as f:
        f.write("#version: 0.2\n")
        f.writelines((m if isinstance(m, str) else " ".join(m)) + "\n" for m in model["merges"])


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--out", required=True)
    a = p.parse_args()
    save(train(), a.out)
