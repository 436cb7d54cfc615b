"""Pictures of what was measured."""

from math import ceil, floor, log10

from report import number


class Plot:
    """Curves of rate over something, both axes logarithmic, as SVG."""

    WIDTH, HEIGHT, MARGIN = 640, 400, 60
    COLORS = ["#1f5fa8", "#b03a2e", "#2e7d32", "#8e5fa8", "#b07d2e", "#444444"]

    def __init__(self, title, x_label, y_label):
        self.title, self.x_label, self.y_label = title, x_label, y_label
        self.curves = []  # name, [(x, y)]

    def add(self, name, points):
        if points:
            self.curves.append((name, sorted(points)))

    def write(self, path):
        xs = [x for _, points in self.curves for x, _ in points]
        ys = [y for _, points in self.curves for _, y in points]
        if not xs:
            return
        low_x, high_x = log10(min(xs)), max(log10(max(xs)), log10(min(xs)) + 0.1)
        low_y, high_y = floor(log10(min(ys))), ceil(log10(max(ys)) + 0.01)

        def place(x, y):
            inner_x, inner_y = self.WIDTH - 2 * self.MARGIN, self.HEIGHT - 2 * self.MARGIN
            return (self.MARGIN + (log10(x) - low_x) / (high_x - low_x) * inner_x,
                    self.HEIGHT - self.MARGIN - (log10(y) - low_y) / (high_y - low_y) * inner_y)

        out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{self.WIDTH}" '
               f'height="{self.HEIGHT}" font-family="sans-serif" font-size="12">',
               '<rect width="100%" height="100%" fill="white"/>']

        def text(x, y, value, anchor="middle", color="black"):
            out.append(f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="{anchor}" fill="{color}">'
                       f'{value}</text>')

        text(self.WIDTH / 2, 24, self.title)
        text(self.WIDTH / 2, self.HEIGHT - 14, self.x_label)
        text(self.MARGIN - 6, self.MARGIN - 14, self.y_label, "start")
        for power in range(low_y, high_y + 1):
            _, y = place(10 ** low_x, 10 ** power)
            out.append(f'<line x1="{self.MARGIN}" x2="{self.WIDTH - self.MARGIN}" y1="{y:.0f}" '
                       f'y2="{y:.0f}" stroke="#ddd"/>')
            text(self.MARGIN - 6, y + 4, number(10 ** power), "end")
        for x in sorted(set(xs)):
            text(place(x, 10 ** low_y)[0], self.HEIGHT - self.MARGIN + 18, number(x))
        for i, (name, points) in enumerate(self.curves):
            color = self.COLORS[i % len(self.COLORS)]
            where = [place(x, y) for x, y in points]
            line = " ".join(f"{x:.1f},{y:.1f}" for x, y in where)
            out.append(f'<polyline points="{line}" fill="none" stroke="{color}" '
                       'stroke-width="2"/>')
            out += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{color}"/>' for x, y in where]
            text(self.WIDTH - self.MARGIN, self.MARGIN + 14 * i, name, "end", color)
        out.append("</svg>")
        with open(path, "w", encoding="utf-8") as file:
            file.write("\n".join(out) + "\n")
