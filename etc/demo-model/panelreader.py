"""The panel reader: a small FastVLM as it is trained, and its export in the public layout.

The encoder's modules are timm's own FastViTHD (`fastvit_mci3`) in their inference form; while training, a batch norm
stands behind every convolution of the stem, the downsamplings and the last expansion, and is folded on export.
The decoder is Qwen2's, written for many questions about one picture in one sequence.
"""
import json, os, re

import timm
import torch
import torch.nn.functional as F
from safetensors.torch import save_file
from timm.models.fastvit import ConvMlp
from torch import nn

VISION = dict(layers=(1, 2, 5, 3, 2), embed_dims=(16, 32, 64, 128, 256))
TEXT = dict(hidden_size=128, intermediate_size=384, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2)
MIXED = False  # matrix products in bfloat16: set while training, several times faster on a CPU that has them
LADDER = [128, 192, 256, 320, 384]
# What every cell of a feature map is asked about the things whose centres it holds (training only).
PARTS = dict(slots=44, digits=14, minus=1, points=3, lamps=8, gauge=12, word=13, panel=1)


class Normed(nn.Sequential):
    """A convolution and its batch norm, to be folded into one convolution."""

    def __init__(self, conv):
        conv = nn.Conv2d(conv.in_channels, conv.out_channels, conv.kernel_size, conv.stride, conv.padding,
                         groups=conv.groups, bias=False)
        nn.init.kaiming_normal_(conv.weight, nonlinearity="relu")
        super().__init__(conv, nn.BatchNorm2d(conv.out_channels, momentum=0.03))

    def folded(self):
        conv, norm = self
        scale = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return conv.weight * scale[:, None, None, None], norm.bias - norm.running_mean * scale


class Products(ConvMlp):
    """timm's ConvMlp with its 1x1 convolutions as matrix products, in bfloat16 where `MIXED` says so."""

    def forward(self, x):
        x = self.conv(x).permute(0, 2, 3, 1)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=MIXED):
            x = F.linear(x, self.fc1.weight.flatten(1), self.fc1.bias)
            x = F.linear(F.gelu(x), self.fc2.weight.flatten(1), self.fc2.bias)
        return x.float().permute(0, 3, 1, 2)


class Encoder(nn.Module):
    def __init__(self):
        super().__init__()
        m = timm.create_model("fastvit_mci3", pretrained=False, inference_mode=True, **VISION)
        self.stem, self.stages, self.final_conv = m.stem, m.stages, m.final_conv
        for name, module in list(self.named_modules()):
            conv = getattr(module, "reparam_conv", None)
            if isinstance(conv, nn.Conv2d):
                if "token_mixer" in name or "pos_emb" in name:  # starts as the identity
                    nn.init.normal_(conv.weight, std=0.05 if "token_mixer" in name else 0.02)
                    with torch.no_grad(): conv.weight[:, :, conv.kernel_size[0] // 2, conv.kernel_size[1] // 2] += 1
                    nn.init.zeros_(conv.bias)
                else:
                    module.reparam_conv = Normed(conv)
            if isinstance(module, ConvMlp): module.__class__ = Products
            if isinstance(module, nn.BatchNorm2d): module.momentum = 0.03
            if hasattr(module, "gamma"): nn.init.constant_(module.gamma, 0.4)
            if name.endswith(("fc1", "fc2")) and "final_conv" not in name:
                nn.init.kaiming_normal_(module.weight, nonlinearity="linear")
                nn.init.zeros_(module.bias)
            if name.endswith("conv.conv"): nn.init.kaiming_normal_(module.weight, nonlinearity="linear")

    def forward(self, x, shallow=False):
        """(B, 3, R, R) in 0...1 -> the outputs of stages 2 and 3 and of the last expansion (B, 512, R/64, R/64)."""
        x = self.stem(x)
        maps = []
        for i, stage in enumerate(self.stages):
            x = stage(x)
            if i in (2, 3): maps.append(x)
            if shallow and i == 2: return maps
        return maps + [self.final_conv(x)]


class Projector(nn.Module):
    def __init__(self, width, hidden):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(width, hidden), nn.Linear(hidden, hidden)

    def forward(self, x):
        return self.linear_2(F.gelu(self.linear_1(x)))


class RMSNorm(nn.Module):
    def __init__(self, n):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(n))

    def forward(self, x):
        return F.rms_norm(x, (x.shape[-1],), self.weight, 1e-6)


class Attention(nn.Module):
    def __init__(self, n, heads, kv):
        super().__init__()
        self.heads, self.kv, self.dim = heads, kv, n // heads
        self.q_proj, self.o_proj = nn.Linear(n, n), nn.Linear(n, n, bias=False)
        self.k_proj, self.v_proj = nn.Linear(n, kv * self.dim), nn.Linear(n, kv * self.dim)

    def forward(self, x, mask, turn):
        b, t, n = x.shape
        cos, sin = turn

        def rotate(y):
            first, second = y.chunk(2, -1)
            return y * cos + torch.cat([-second, first], -1) * sin

        group = self.heads // self.kv
        q = rotate(self.q_proj(x).view(b, t, self.heads, self.dim).transpose(1, 2))
        k = rotate(self.k_proj(x).view(b, t, self.kv, self.dim).transpose(1, 2))
        v = self.v_proj(x).view(b, t, self.kv, self.dim).transpose(1, 2)
        # Written out: the fused kernel's backward pass is five times slower on a CPU at this size.
        score = q.reshape(b, self.kv, group * t, self.dim) @ k.transpose(-1, -2) * self.dim ** -0.5
        score = (score.view(b, self.heads, t, t).float() + mask).softmax(-1).to(v.dtype)
        y = (score.view(b, self.kv, group * t, t) @ v).view(b, self.heads, t, self.dim)
        return self.o_proj(y.transpose(1, 2).reshape(b, t, n))


class MLP(nn.Module):
    def __init__(self, n, inner):
        super().__init__()
        self.gate_proj, self.up_proj = nn.Linear(n, inner, bias=False), nn.Linear(n, inner, bias=False)
        self.down_proj = nn.Linear(inner, n, bias=False)

    def forward(self, x):
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, n, inner, heads, kv):
        super().__init__()
        self.input_layernorm, self.self_attn = RMSNorm(n), Attention(n, heads, kv)
        self.post_attention_layernorm, self.mlp = RMSNorm(n), MLP(n, inner)

    def forward(self, x, mask, turn):
        x = x + self.self_attn(self.input_layernorm(x), mask, turn)
        return x + self.mlp(self.post_attention_layernorm(x))


class Decoder(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        n = TEXT["hidden_size"]
        self.embed_tokens = nn.Embedding(vocabulary, n)
        nn.init.normal_(self.embed_tokens.weight, std=n ** -0.5)
        self.layers = nn.ModuleList(Layer(n, TEXT["intermediate_size"], TEXT["num_attention_heads"],
                                          TEXT["num_key_value_heads"]) for _ in range(TEXT["num_hidden_layers"]))
        self.norm = RMSNorm(n)

    def forward(self, x, attended, positions):
        """x (B, T, n), attended (B, 1, T, T) true or false, positions (B, T) -> (B, T, n); head is the embedding."""
        mask = torch.zeros(attended.shape, device=x.device).masked_fill_(~attended, -1e9)
        dim = TEXT["hidden_size"] // TEXT["num_attention_heads"]
        rate = 1e6 ** (-torch.arange(0, dim, 2, device=x.device, dtype=torch.float32) / dim)
        angle = positions[:, None, :, None].float() * rate
        angle = torch.cat([angle, angle], -1)
        turn = angle.cos(), angle.sin()
        with torch.autocast(x.device.type, torch.bfloat16, enabled=MIXED):
            for layer in self.layers: x = layer(x, mask, turn)
        return self.norm(x.float())


class PanelReader(nn.Module):
    def __init__(self, vocabulary):
        super().__init__()
        width = 2 * VISION["embed_dims"][-1]
        self.encoder = Encoder()
        self.projector = Projector(width, TEXT["hidden_size"])
        self.decoder = Decoder(vocabulary)
        widths = [VISION["embed_dims"][2], VISION["embed_dims"][3], width, TEXT["hidden_size"]]
        self.heads = nn.ModuleList(nn.Linear(w, sum(PARTS.values())) for w in widths)

    def act(self, name):
        """Readies one act of the training and returns its parameters: first up to stage 2, then the rest, then all."""
        e = self.encoder
        early = [e.stem, e.stages[:3], self.heads[0]]
        first = {id(p) for m in early for p in m.parameters()}
        self.train()
        if name == "deep":
            for m in early: m.eval()
        spoken = {id(p) for m in (self.projector, self.decoder) for p in m.parameters()}
        if name == "speak":
            e.eval()
            for p in self.parameters(): p.requires_grad_(id(p) in spoken)
            return [p for p in self.parameters() if id(p) in spoken]
        chosen = [p for p in self.parameters() if name == "joint" or (id(p) in first) == (name == "shallow")]
        for p in self.parameters(): p.requires_grad_(False)
        for p in chosen: p.requires_grad_(True)
        return chosen

    def see(self, pixels):
        """Visual tokens (B, N, n) and the four supervised maps, each (B, cells, channels) row-major."""
        maps = [m.flatten(2).transpose(1, 2) for m in self.encoder(pixels)]
        tokens = self.projector(maps[-1])
        return tokens, maps + [tokens]

    def examine(self, maps):
        return [head(m) for head, m in zip(self.heads, maps)]


# ---------------------------------------------------------------- export in the public layout

def public_state(model):
    """Tensors under the names of the `fast_vlm` layout, batch norms folded where the public files have none."""
    out = {}
    folded = {n: m for n, m in model.encoder.named_modules() if isinstance(m, Normed)}
    vision = "model.vision_tower.timm_model."
    for name, value in model.encoder.state_dict().items():
        if not any(name.startswith(f + ".") for f in folded): out[vision + name] = value
    for name, module in folded.items():
        out[vision + name + ".weight"], out[vision + name + ".bias"] = module.folded()
    out.update({"model.multi_modal_projector." + n: v for n, v in model.projector.state_dict().items()})
    out.update({"model.language_model." + n: v for n, v in model.decoder.state_dict().items()})
    return {k: v.detach() for k, v in out.items()}


def apple_name(name):
    """The name in Apple's `llava_qwen2` files of a tensor of the `fast_vlm` layout."""
    name = name.replace("model.language_model.", "model.")
    name = name.replace("model.multi_modal_projector.linear_1", "model.mm_projector.0")
    name = name.replace("model.multi_modal_projector.linear_2", "model.mm_projector.2")
    prefix = "model.vision_tower.timm_model."
    if not name.startswith(prefix): return name
    n = name[len(prefix):]
    n = re.sub(r"^stem\.", "patch_embed.", n)
    n = re.sub(r"^final_conv\.", "conv_exp.", n).replace("se.fc1", "se.reduce").replace("se.fc2", "se.expand")
    m = re.match(r"stages\.(\d)\.(blocks|downsample|pos_emb)\.(.*)", n)
    if m:
        place = {"blocks": [0, 2, 4, 7, 10], "downsample": [None, 1, 3, 5, 8], "pos_emb": [None, None, None, 6, 9]}
        n = f"network.{place[m[2]][int(m[1])]}.{m[3]}"
        n = n.replace("proj.0.reparam_conv", "proj.0.lkb_reparam").replace(".mlp.", ".convffn.")
        n = re.sub(r"(layer_scale(_\d)?)\.gamma$", r"\1", n)
    return "model.vision_tower.vision_tower.model." + n


def export(model, out, special, dtype=torch.bfloat16):
    """Writes config.json and model.safetensors in Apple's layout; the embedding is the head, so it is not stored."""
    os.makedirs(out, exist_ok=True)
    vocabulary = model.decoder.embed_tokens.num_embeddings
    state = {apple_name(k): (v if v.dtype == torch.int64 else v.to(dtype)).contiguous().clone().cpu()
             for k, v in public_state(model).items()}
    save_file(state, os.path.join(out, "model.safetensors"), metadata={"format": "pt"})
    config = dict(
        architectures=["LlavaQwen2ForCausalLM"], model_type="llava_qwen2", attention_dropout=0.0,
        bos_token_id=special["<|endoftext|>"], eos_token_id=special["<|im_end|>"], hidden_act="silu",
        image_aspect_ratio="pad", image_grid_pinpoints=None, initializer_range=0.02, max_position_embeddings=1024,
        mm_hidden_size=2 * VISION["embed_dims"][-1], mm_patch_merge_type="flat", mm_projector_type="mlp2x_gelu",
        mm_use_im_patch_token=False, mm_use_im_start_end=False, mm_vision_select_feature="patch",
        mm_vision_select_layer=-2, mm_vision_tower="mobileclip_l_384", rms_norm_eps=1e-6, rope_theta=1000000.0,
        tie_word_embeddings=True, tokenizer_model_max_length=1024, tokenizer_padding_side="right",
        torch_dtype=str(dtype).removeprefix("torch."), use_cache=True, use_mm_proj=True, use_sliding_window=False,
        vocab_size=vocabulary, **TEXT)
    with open(os.path.join(out, "config.json"), "w") as f: json.dump(config, f, indent=2)
    with open(os.path.join(out, "reference.json"), "w") as f:
        json.dump(dict(vision=VISION, text=TEXT, vocab=vocabulary, tied=True, layout="apple", ladder=LADDER), f)
    return sum(v.numel() for v in state.values())
