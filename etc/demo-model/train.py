#!/usr/bin/env python3
"""Trains the panel reader from nothing and exports it: one command.

    train.py --run DIR [--pictures N] [--ranks 2] [--shards 32]

DIR gets pool/ (rendered pictures), state.pt (everything needed to go on after an interruption: run the same command
again), log.jsonl, curve.svg and checkpoint/ (for `fastvlm model pack`). All schedules count pictures, not time.

What makes it learn in a few hundred thousand pictures:
- Every cell of the maps of stages 2, 3 and 4 and of the projector's output is asked, by a linear head that is dropped
  afterwards, what is in it: which digit in which place of the number and whether the point follows it, lamps, gauge
  value, word, panel. From the text alone the encoder finds nothing in this time.
- The encoder runs once a picture; caption and questions share its tokens in one sequence in which none sees another.
- The pictures begin small and cut to the panel, and end as they are, at every resolution of the ladder.
- What is exported is the mean of the weights before and after the last act.
"""
import argparse, datetime, json, os, signal, subprocess, sys, time, warnings

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F

import batches, curve, panelreader, vocabulary

# Until how many pictures each act goes on: stem to stage 2 alone, by stage 2's map; everything behind it, with that part
# fixed; all together; projector and decoder alone, many questions for each look ("speak" counts looks used).
ACTS = [(200_000, "shallow"), (300_000, "deep"), (500_000, "joint"), (560_000, "speak")]
# (until this many pictures, {resolution: weight}, widest crop, share of whole pictures, share of steps with text)
PHASES = [
    (100_000, {64: 6, 128: 1}, 0.25, 0.0, 0.0),
    (200_000, {64: 2, 128: 2, 192: 3, 256: 1, 384: 1}, 0.9, 0.1, 0.0),
    (230_000, {128: 3, 192: 2}, 0.4, 0.0, 0.5),
    (300_000, {128: 2, 192: 4, 256: 3}, 0.8, 0.25, 1.0),
    (560_000, {128: 1, 192: 5, 256: 3, 384: 2}, 0.9, 0.3, 1.0),
]
VIEWS, LESSONS = 300, 5  # batches that a rank's encoder sees before the decoder learns from them, so many times each
TELLING = 8.0  # weight of the text beside the maps' losses
# Share of pictures without a panel beyond those that the scenes have: where little can be made out, whatever is
# round, bright or edged has to be seen often without a panel about it.
EMPTY = {64: 0.0, 128: 0.2, 192: 0.06, 256: 0.04, 320: 0.04, 384: 0.04}
BATCH = {64: 32, 128: 24, 192: 16, 256: 12, 320: 8, 384: 6}  # pictures a rank and step
PEAK, WARM, LAST = 1.5e-3, 150, 40_000  # learning rate; steps of its rise in each act; pictures of its fall at the end


def rate(steps, left):
    return PEAK * min(1.0, (steps + 1) / WARM) * max(0.01, min(1.0, left / LAST))


def stretch(pictures):
    """The same schedule over another number of pictures."""
    global ACTS, PHASES, LAST
    k = pictures / ACTS[-1][0]
    ACTS = [(round(n * k), *rest) for n, *rest in ACTS]
    PHASES = [(round(n * k), *rest) for n, *rest in PHASES]
    LAST = round(LAST * k)


def plan(seed, step, seen):
    """Resolution of a step, its phase, and whether it trains the decoder: the same on every rank."""
    phase = next((p for p in PHASES if seen < p[0]), PHASES[-1])
    rng = np.random.default_rng([seed, step])
    sizes = list(phase[1])
    shares = np.asarray([phase[1][s] for s in sizes], float)
    return int(rng.choice(sizes, p=shares / shares.sum())), phase, bool(rng.random() < phase[4])


# ---------------------------------------------------------------- losses

def split_mean(loss, positive):
    """Mean over the cells that hold something plus mean over those that do not."""
    p = positive.float()
    return (loss * p).sum() / p.sum().clamp(min=1) + (loss * (1 - p)).sum() / (1 - p).sum().clamp(min=1)


def cell_losses(logits, data, resolution, stride):
    """Losses of one supervised map (B, cells, channels) and how many of its digits are right."""
    b, cells, _ = logits.shape
    g = -(-resolution // stride)
    device = logits.device
    parts = logits.float().split(list(panelreader.PARTS.values()), -1)
    slots, digits, minus, points, lamps, gauge, word, panel = parts

    def cell(t):
        x, y = (t[:, 1] * g).long().clamp(0, g - 1), (t[:, 2] * g).long().clamp(0, g - 1)
        return t[:, 0].long(), y * g + x

    d = data["digits"]
    truth = torch.zeros(b, cells, 4, dtype=torch.long, device=device)
    at = (*cell(d), d[:, 3].long())
    truth[at] = d[:, 4].long() + 1
    slots = slots.reshape(b, cells, 4, 11)
    digit = split_mean(F.cross_entropy(slots.flatten(0, 2), truth.flatten(), reduction="none"), truth.flatten() > 0)
    right = (slots[at].argmax(-1) == truth[at]).float().mean() if len(d) else torch.ones(())

    # The same in two easier questions: which digits at all, and which places of the number.
    truth = torch.zeros_like(digits)
    truth[(*cell(d), d[:, 4].long())] = 1
    truth[(*cell(d), 10 + d[:, 3].long())] = 1
    digit = digit + 2 * split_mean(F.binary_cross_entropy_with_logits(digits, truth, reduction="none"), truth > 0)
    if len(d):  # which of them: the empty cells must not drown this
        digit = digit + F.binary_cross_entropy_with_logits(digits[cell(d)], truth[cell(d)])
    seen = digits[cell(d)][:, :10].argmax(-1) == d[:, 4] if len(d) else torch.ones(1)

    # The point is asked of the digit before it, in that digit's cell: elsewhere the decoder would have to look for it.
    d = d[d[:, 3] < 3]
    if len(d):
        asked = points[(*cell(d), d[:, 3].long())]
        digit = digit + 6 * F.binary_cross_entropy_with_logits(asked, d[:, 5].float(), pos_weight=torch.tensor(2.0, device=device))

    bits = torch.cat([minus, lamps], -1)
    t = data["bits"]
    truth = torch.zeros_like(bits)
    truth[(*cell(t), t[:, 3].long())] = 1
    bit = split_mean(F.binary_cross_entropy_with_logits(bits, truth, reduction="none"), truth > 0)
    if len(d): bit = bit + F.binary_cross_entropy_with_logits(bits[cell(d)][:, 0], truth[cell(d)][:, 0])
    t = t[t[:, 3] >= 1]
    if len(t): bit = bit + 3 * F.binary_cross_entropy_with_logits(bits[cell(t)][:, 1:], truth[cell(t)][:, 1:])

    def single(scores, name):
        t = data[name]
        truth = torch.zeros(b, cells, dtype=torch.long, device=device)
        truth[cell(t)] = t[:, 3].long() + 1
        return split_mean(F.cross_entropy(scores.flatten(0, 1), truth.flatten(), reduction="none"), truth.flatten() > 0)

    inside = torch.zeros(b, g, g, device=device)
    centers = (torch.arange(g, device=device) + 0.5) / g
    for n, x0, y0, x1, y1 in data["panel"].tolist():
        inside[int(n)] = ((centers > y0) & (centers < y1))[:, None] * ((centers > x0) & (centers < x1))
    area = F.binary_cross_entropy_with_logits(panel.squeeze(-1), inside.flatten(1))
    return digit + bit + 0.6 * single(gauge, "gauge") + 0.4 * single(word, "word") + 0.3 * area, (right.detach(), seen.float().mean())


def read(model, data, text, spoken=True, act="joint"):
    """Visual maps, and logits (n, vocabulary) with targets and weights at the answers' positions."""
    device = data["pixels"].device
    pixels = data["pixels"].permute(0, 3, 1, 2).float() / 255
    if "gain" in data: pixels = (pixels * data["gain"] + data["bias"]).clamp(0, 1)
    pixels = pixels.contiguous(memory_format=torch.channels_last)
    if act == "shallow":
        return [m.flatten(2).transpose(1, 2) for m in model.encoder(pixels, True)], None, None, None, None
    tokens, maps = model.see(pixels)
    if not spoken: return maps, None, None, None, None
    return maps, *answer(model, tokens, data, text)


def answer(model, tokens, data, text):
    """Logits (n, vocabulary), targets and weights at the answers' positions, and where these are in the rows."""
    device = tokens.device
    b, n = tokens.shape[:2]
    embed = model.decoder.embed_tokens
    before = torch.tensor(text.before, device=device).expand(b, -1)
    x = torch.cat([embed(before), tokens, embed(data["ids"])], 1)
    p = before.shape[1] + n
    segment = torch.cat([torch.zeros(b, p, dtype=torch.long, device=device), data["segment"]], 1)
    position = torch.cat([torch.arange(p, device=device).expand(b, -1), data["position"]], 1)
    order = torch.arange(x.shape[1], device=device)
    mask = (order[:, None] >= order) & ((segment[:, None] == 0) | (segment[:, None] == segment[:, :, None]))
    hidden = model.decoder(x, mask[:, None], position)[:, p:]
    asked = data["weight"] > 0
    return F.linear(hidden[asked], embed.weight), data["target"][asked], data["weight"][asked], asked


def losses(model, data, text, resolution, spoken, act):
    maps, logits, target, weight, _ = read(model, data, text, spoken, act)
    words, hit = torch.zeros(()), float("nan")
    if spoken:
        words = (F.cross_entropy(logits.float(), target, reduction="none") * weight).sum() / weight.sum()
        hit = float((logits.argmax(-1) == target)[weight >= 1].float().mean())
    total, digits = TELLING * words, []
    for scores, stride, share in zip(model.examine(maps), (16, 32, 64, 64), (act != "deep", 1.0, 0.7, 1.0)):
        loss, right = cell_losses(scores, data, resolution, stride)
        total = total + share * loss
        digits += [float(v) for v in right]
    digits += [float("nan")] * (8 - len(digits))
    return total, float(words.detach()) if spoken else float("nan"), hit, digits


def lesson(model, features, data, text):
    """The text's loss on what the encoder saw before: features (B, N, 512)."""
    logits, target, weight, _ = answer(model, model.projector(features), data, text)
    words = (F.cross_entropy(logits.float(), target, reduction="none") * weight).sum() / weight.sum()
    return words, float((logits.argmax(-1) == target)[weight >= 1].float().mean())


@torch.no_grad()
def look(model, pool, text, rng, rounds, device):
    """What the encoder, fixed, sees of many pictures: (features, labels) in batches of one resolution."""
    out = []
    for _ in range(rounds):
        resolution = int(rng.choice([128, 192, 256, 320, 384], p=[0.15, 0.25, 0.25, 0.15, 0.2]))
        n = 16 if resolution <= 256 else 8
        widths = np.where(rng.random(n) < 0.4, 1.0, rng.uniform(0, 0.3 if resolution == 128 else 0.9, n))
        data, labels = batches.batch(pool, pool.draw(rng, n, EMPTY[resolution]), resolution, widths, text, rng, 0)
        pixels = data["pixels"].to(device).permute(0, 3, 1, 2).float() / 255
        x = model.encoder(pixels.contiguous(memory_format=torch.channels_last))[-1]
        out.append((x.flatten(2).transpose(1, 2).contiguous(), [l for l, _ in labels], resolution))
    return out


@torch.no_grad()
def exact(model, pool, text, resolution, count, device="cpu", first=0, act="joint"):
    """Share of answers by type that greedy decoding would give exactly: every token right after the right ones."""
    model.eval()
    score = {}
    for k in range(first, first + count, 32):
        rng = np.random.default_rng(0)
        data, labels = batches.batch(pool, range(k, min(k + 32, first + count)), resolution, None, text, rng, None, False)
        data = {n: v.to(device) for n, v in data.items()}
        _, logits, target, _, asked = read(model, data, text)
        wrong = torch.zeros(asked.shape, dtype=torch.bool, device=asked.device)
        wrong[asked] = logits.argmax(-1) != target
        for b, (_, questions) in enumerate(labels):
            for s, q in enumerate(questions):
                bad = bool((wrong[b] & (data["segment"][b] == s + 1)).any())
                score.setdefault(q["type"], []).append(not bad)
    model.act(act)
    return {k: round(float(np.mean(v)), 4) for k, v in score.items()}


# ---------------------------------------------------------------- the run

def save(path, value):
    torch.save(value, path + ".part")
    os.replace(path + ".part", path)


def work(a, rank):
    torch.set_num_threads(a.threads)
    torch.set_flush_denormal(True)
    panelreader.MIXED = True
    torch.manual_seed(a.seed)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    tokenizer = vocabulary.train()
    text = batches.Text(tokenizer)
    size = -(-tokenizer.get_vocab_size() // 8) * 8
    model = panelreader.PanelReader(size).to(device, memory_format=torch.channels_last)
    pool = batches.Pool(os.path.join(a.run, "pool"))
    probe = batches.Pool(os.path.join(a.run, "probe")) if rank == 0 else None

    path = os.path.join(a.run, "state.pt")
    state = torch.load(path, map_location=device) if os.path.exists(path) else dict(seen=0, step=0)
    if state["seen"] >= ACTS[-1][0]:
        if rank == 0: print(f"already trained on {state['seen']} pictures; remove {path} to train anew", flush=True)
        return
    until, act = next(x for x in ACTS if state["seen"] < x[0])
    if a.ranks > 1:
        dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{a.port + ACTS.index((until, act))}", rank=rank, world_size=a.ranks,
                                timeout=datetime.timedelta(days=7))
    weights = model.act(act)
    flat = torch.zeros(1 + sum(p.numel() for p in weights), device=device)  # the last says whether a rank was told to stop
    place = 0
    for p in weights:  # gradients live in one buffer: one all-reduce a step
        p.grad = flat[place:place + p.numel()].view(p.shape) if p.dim() != 4 else \
            flat[place:place + p.numel()].view(p.shape[0], *p.shape[2:], p.shape[1]).permute(0, 3, 1, 2)
        place += p.numel()
    decay = [p for p in weights if p.dim() > 1]
    plain = [p for p in weights if p.dim() <= 1]
    optimizer = torch.optim.AdamW([dict(params=decay, weight_decay=0.03), dict(params=plain, weight_decay=0.0)],
                                  lr=PEAK, betas=(0.9, 0.98), fused=True)
    step, seen = state["step"], state["seen"]
    first = state.get("first", step) if state.get("act") == act else step
    if seen:
        model.load_state_dict(state["model"])
        if state["act"] == act and not a.fresh_optimizer: optimizer.load_state_dict(state["optimizer"])
    until = min(until, a.pictures)
    if rank == 0:
        if first == step: save(os.path.join(a.run, "before.pt"), model.state_dict())  # as the last act found it
        print(f"{sum(p.numel() for p in weights) / 1e6:.2f} M parameters in training, vocabulary {size}, "
              f"{len(pool)} pictures, from {seen}", flush=True)
    log = open(os.path.join(a.run, "log.jsonl"), "a") if rank == 0 else None
    stop = []
    for s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, lambda *_: stop.append(True))
    views, lessons = [], 0
    seen_values, begun = [], time.time()
    mark, saved, probed = seen, time.time(), seen
    while seen < until:
        resolution, phase, spoken = plan(a.seed, step, seen)
        n = BATCH[resolution]
        rng = np.random.default_rng([a.seed, step, rank + 1])
        if act == "speak":
            if not views or lessons >= LESSONS * len(views):
                rounds = min(VIEWS, -(-(until - seen) // (16 * a.ranks * LESSONS)))
                views, lessons = look(model, pool, text, rng, rounds, device), 0
            pick = [views[int(k)] for k in rng.integers(0, len(views), 1)][0]
            features, labels, resolution = pick
            n, lessons, spoken = len(labels), lessons + 1, True
            start = batches.first_position(text, resolution)
            data = batches.stacked([batches.sequence(batches.choose(rng, l, 3), start, text, rng, True) for l in labels])
            data = {k: v.to(device) for k, v in data.items()}
            flat.zero_()
            loss, hit = lesson(model, features, data, text)
            words, digits = float(loss.detach()), [float("nan")] * 8
            n = 16  # counted alike on every rank
        else:
            if step % 50 == 0: pool.refresh()
            indices = pool.draw(rng, n, EMPTY[resolution])
            widths = np.where(rng.random(n) < phase[3], 1.0, rng.uniform(0, phase[2], n))
            if resolution == 128: widths = np.where(rng.random(n) < 0.5, widths, rng.uniform(0, min(0.3, phase[2]), n))
            if resolution == 64: widths = np.where(rng.random(n) < 0.8, -1.0, 0.0)  # digits, large
            data, _ = batches.batch(pool, indices, resolution, widths, text, rng, a.questions if spoken else 0)
            data["gain"] = torch.from_numpy((rng.uniform(0.8, 1.15, (n, 1, 1, 1)) * rng.uniform(0.95, 1.05, (n, 3, 1, 1))).astype(np.float32))
            data["bias"] = torch.from_numpy(rng.uniform(-0.04, 0.04, (n, 1, 1, 1)).astype(np.float32))
            data = {k: v.to(device) for k, v in data.items()}
            flat.zero_()
            loss, words, hit, digits = losses(model, data, text, resolution, spoken, act)
        for group in optimizer.param_groups: group["lr"] = rate(step - first, until - seen) * a.rate
        loss.backward()
        flat[-1] = len(stop)
        if a.ranks > 1:
            dist.all_reduce(flat)
            flat /= a.ranks
        stopping = bool(flat[-1] > 0)
        flat[-1] = 0
        norm = float(flat.norm())
        if not np.isfinite(norm):
            step += 1
            continue
        if norm > 3: flat *= 3 / norm
        optimizer.step()
        step += 1
        seen += n * a.ranks
        seen_values.append([float(loss.detach()), words, hit, *digits, norm])
        if rank == 0 and len(seen_values) == 50:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # no text yet
                m = [None if np.isnan(v) else round(float(v), 4) for v in np.nanmean(seen_values, 0)]
            line = dict(pictures=seen, loss=m[0], text=m[1], telling=m[2], digits=m[3:11:2], kinds=m[4:11:2], norm=m[11],
                        act=act, rate=round(optimizer.param_groups[0]["lr"], 6), speed=round((seen - mark) / (time.time() - begun), 1),
                        resolution=resolution, pool=len(pool), time=time.strftime("%H:%M:%S"))
            log.write(json.dumps(line) + "\n"); log.flush()
            print(json.dumps(line), flush=True)
            seen_values, begun, mark = [], time.time(), seen
        if rank == 0 and len(probe) and spoken and seen - probed >= a.probe:
            probed = seen
            for r in (192, 384):
                line = dict(pictures=seen, probe=r, **exact(model, probe, text, r, 128, device, act=act))
                log.write(json.dumps(line) + "\n"); log.flush()
                print(json.dumps(line), flush=True)
            begun, mark = time.time(), seen
        if rank == 0 and (stopping or time.time() - saved > 100 or seen >= until):
            save(path, dict(model=model.state_dict(), optimizer=optimizer.state_dict(), step=step, seen=seen, act=act, first=first))
            saved = time.time()
        if stopping:
            if rank == 0: print(f"stopped after {seen} pictures; the same command goes on from there", flush=True)
            return
    if a.ranks > 1:
        dist.barrier()
        dist.destroy_process_group()
    if seen < a.pictures: return work(a, rank)
    if rank == 0: finish(model, tokenizer, a.run)


def finish(model, tokenizer, run):
    """Exports the mean of the weights before and after the last act, which reads better than either."""
    before = torch.load(os.path.join(run, "before.pt"), map_location="cpu")
    after = model.cpu().state_dict()
    model.load_state_dict({k: (v + before[k]) / 2 if v.is_floating_point() else v for k, v in after.items()})
    model.eval()
    out = os.path.join(run, "checkpoint")
    vocabulary.save(tokenizer, out)
    special = {t: tokenizer.token_to_id(t) for t in vocabulary.SPECIAL}
    values = panelreader.export(model, out, special)
    with open(os.path.join(run, "log.jsonl")) as f: records = [json.loads(l) for l in f]
    with open(os.path.join(run, "curve.svg"), "w") as f: f.write(curve.draw(records))
    print(f"{out}: {values / 1e6:.2f} M values", flush=True)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--run", required=True)
    p.add_argument("--pictures", type=int, default=ACTS[-1][0], help="stretches the whole schedule")
    p.add_argument("--ranks", type=int, default=2, help="processes that share the work; 1 on a GPU")
    p.add_argument("--threads", type=int, default=1, help="threads of each")
    p.add_argument("--shards", type=int, default=32, help="rendered shards of 512 pictures")
    p.add_argument("--questions", type=int, default=3, help="questions a picture beside caption and display")
    p.add_argument("--probe", type=int, default=20_000, help="pictures between two measurements")
    p.add_argument("--rate", type=float, default=1.0, help="factor on the learning rate")
    p.add_argument("--fresh-optimizer", action="store_true")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--port", type=int, default=29471)
    p.add_argument("--rank", type=int, default=0, help=argparse.SUPPRESS)
    p.add_argument("--early", action="store_true", help="begin while the pool is still being rendered elsewhere")
    a = p.parse_args()
    stretch(a.pictures)
    here = os.path.dirname(os.path.abspath(__file__))
    others = []
    if a.rank == 0:
        if not a.early: render(a, here)
        with open(os.path.join(a.run, "train.pid"), "w") as f: f.write(str(os.getpid()))
        others = [subprocess.Popen([sys.executable, os.path.abspath(__file__), *sys.argv[1:], "--rank", str(r)])
                  for r in range(1, a.ranks)]
    work(a, a.rank)
    if any(o.wait() for o in others): sys.exit("another rank failed")


def render(a, here):
    """The pictures to train on and those to probe with; a shard that is there is kept."""
    for name, seed, last in (("pool", 1, a.shards - 1), ("probe", 2, 0)):
        jobs = [subprocess.Popen([sys.executable, os.path.join(here, "pool.py"), "--seed", str(seed), "--first", str(k),
                                  "--last", str(last), "--step", str(a.ranks), "--out", os.path.join(a.run, name)])
                for k in range(a.ranks)]

        def quit(*_):
            for j in jobs: j.terminate()
            sys.exit("stopped while rendering; the same command goes on from there")

        for s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, quit)
        if any(j.wait() for j in jobs): sys.exit("rendering failed")


if __name__ == "__main__":
    main()
