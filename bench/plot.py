"""A bar chart as SVG, for light and for dark pages."""
from html import escape

LEFT, WIDTH, STEP, BAR = 170, 640, 26, 16
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328; }
.title { font-weight: 600; }
.name { text-anchor: end; }
.ours { fill: #1a7f64; } .other { fill: #8c959f; }
line { stroke: #cf222e; stroke-dasharray: 4 3; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .ours { fill: #3fb992; } .other { fill: #6e7681; }
  line { stroke: #ff7b72; }
}
"""
OURS = ("shared", "round-robin", "reuse-port", "axum-shared", "axum-round-robin", "axum-reuse-port", "ours")


def plot(path, title, bars):
    """Writes a chart of named ratios, with a line at 1."""
    height = 44 + STEP * len(bars)
    scale = (WIDTH - LEFT - 60) / max(1, *(value for _, value in bars))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" role="img">',
        f"<title>{escape(title)}</title><style>{STYLE}</style>",
        f'<text class="title" x="8" y="20">{escape(title)}</text>',
    ]
    for index, (name, value) in enumerate(bars):
        top = 36 + STEP * index
        kind = "ours" if name.startswith(OURS) else "other"
        end = LEFT + value * scale
        parts += [
            f'<text class="name" x="{LEFT - 8}" y="{top + 13}">{escape(name)}</text>',
            f'<rect class="{kind}" x="{LEFT}" y="{top}" width="{value * scale:.1f}" height="{BAR}" rx="2"/>',
            f'<text x="{end + 6:.1f}" y="{top + 13}">{value:.2f}</text>',
        ]
    parts.append(f'<line x1="{LEFT + scale:.1f}" x2="{LEFT + scale:.1f}" y1="30" y2="{height - 6}"/></svg>')
    path.write_text("\n".join(parts) + "\n")
