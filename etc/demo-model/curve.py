#!/usr/bin/env python3
"""Draws a training run's log as an SVG: what is read right, against pictures seen.

    curve.py --log RUN/log.jsonl --out training-curve.svg
"""
import argparse, json

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 760, 400, 52, 180, 30, 44
LINES = [("digits of stage 2", "#9aa5b1", lambda r: (r.get("digits") or [None] * 4)[0]),
         ("digits of stage 3", "#6b8fc9", lambda r: (r.get("digits") or [None] * 4)[1]),
         ("digits of the projector", "#2f5fa8", lambda r: (r.get("digits") or [None] * 4)[3]),
         ("answers' telling tokens", "#c9822b", lambda r: r.get("telling"))]
TYPES = [("display", "#b3261e"), ("lamp", "#2e7d32"), ("gauge", "#7b3fa0"), ("panel", "#444444")]


def draw(records):
    last = max((r["pictures"] for r in records), default=1)
    lines = [(name, color, [(r["pictures"], v) for r in records if "probe" not in r and (v := pick(r)) is not None], "")
             for name, color, pick in LINES]
    for size, dash in ((384, ""), (192, "4 3")):
        for kind, color in TYPES if size == 384 else TYPES[:1]:
            lines.append((f"{kind}, held out, {size} px", color,
                          [(r["pictures"], r[kind]) for r in records if r.get("probe") == size and kind in r], dash))
    x = lambda n: LEFT + n / last * (WIDTH - LEFT - RIGHT)
    y = lambda v: HEIGHT - BOTTOM - v * (HEIGHT - TOP - BOTTOM)
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="11">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="18" font-size="13">Panel reader: share read right while training</text>']
    for k in range(6):
        out.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(k / 5):.1f}" y2="{y(k / 5):.1f}" stroke="#e3e3e3"/>'
                   f'<text x="{LEFT - 6}" y="{y(k / 5) + 4:.1f}" text-anchor="end">{20 * k} %</text>')
    step = next(s for s in (20, 50, 100, 200, 500, 1000, 5000) if last / 1000 / s <= 9)
    for k in range(0, last // 1000 + 1, step):
        out.append(f'<text x="{x(k * 1000):.1f}" y="{HEIGHT - BOTTOM + 16}" text-anchor="middle">{k}</text>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 8}" text-anchor="middle">thousand pictures seen</text>')
    for i, (name, color, points, dash) in enumerate(lines):
        path = " ".join(f"{x(n):.1f},{y(v):.1f}" for n, v in points)
        style = f'stroke="{color}" stroke-width="1.6"' + (f' stroke-dasharray="{dash}"' if dash else "")
        if points: out.append(f'<polyline points="{path}" fill="none" {style}/>')
        if points and "held out" in name:
            out += [f'<circle cx="{x(n):.1f}" cy="{y(v):.1f}" r="2.2" fill="{color}"/>' for n, v in points]
        top = TOP + 8 + 18 * i
        out.append(f'<line x1="{WIDTH - RIGHT + 12}" x2="{WIDTH - RIGHT + 32}" y1="{top}" y2="{top}" {style}/>'
                   f'<text x="{WIDTH - RIGHT + 38}" y="{top + 4}">{name}</text>')
    return "\n".join(out + ["</svg>", ""])


if __name__ == "__main__":
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--log", required=True); p.add_argument("--out", required=True)
    a = p.parse_args()
    with open(a.log) as f: records = [json.loads(l) for l in f]
    with open(a.out, "w") as f: f.write(draw(records))
