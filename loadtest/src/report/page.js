"use strict";
// Draws every chart of the page from the JSON beside it. Texts reach the page as text nodes only.
(() => {
  const charts = JSON.parse(document.getElementById("charts").textContent);
  const SVG = "http://www.w3.org/2000/svg";
  const MARGIN = { top: 10, right: 14, bottom: 34, left: 62 };

  // Colors are set as properties: the page's policy allows no style attributes.
  const element = (name, { fill, stroke, ...attributes }, parent, text) => {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    if (fill) made.style.fill = fill;
    if (stroke) made.style.stroke = stroke;
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const html = (name, className, parent, text) => {
    const made = document.createElement(name);
    if (className) made.className = className;
    if (text !== undefined) made.textContent = text;
    parent.append(made);
    return made;
  };
  const color = (index) => `var(--s${index % 8})`;

  // Numbers as people read them: three figures, a unit that fits.
  const figures = (value) => {
    const size = Math.abs(value);
    if (size !== 0 && size < 0.01) return value.toPrecision(2);
    return value.toLocaleString("en", { maximumFractionDigits: size < 1 ? 3 : size < 10 ? 2 : size < 100 ? 1 : 0 });
  };
  const scaled = (value, steps) => {
    const [size, unit] = steps.find(([size]) => Math.abs(value) >= size) ?? steps[steps.length - 1];
    return `${figures(value / size)} ${unit}`.trim();
  };
  const count = (value) => scaled(value, Math.abs(value) < 1e4 ? [[1, ""]] : [[1e9, "G"], [1e6, "M"], [1e3, "k"]]);
  const UNITS = {
    us: (value) => scaled(value, [[1e6, "s"], [1e3, "ms"], [1, "µs"]]),
    bytes: (value) => scaled(value, [[2 ** 30, "GiB"], [2 ** 20, "MiB"], [2 ** 10, "KiB"], [1, "B"]]),
    percent: (value) => `${figures(value)} %`,
    per_s: (value) => `${count(value)}/s`,
    count,
  };
  const percentile = (x) => {
    const share = 100 * (1 - 10 ** -x);
    return `${Number(share.toFixed(Math.max(0, Math.ceil(x) - 1)))} %`;
  };
  const clock = (seconds) => {
    if (seconds < 120) return `${figures(seconds)} s`;
    const whole = Math.round(seconds);
    return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")} min`;
  };

  const niceStep = (range, wanted, base) => {
    const rough = range / wanted;
    const power = base ** Math.floor(Math.log(rough) / Math.log(base));
    const steps = base === 10 ? [1, 2, 5, 10] : [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
    return steps.map((step) => step * power).find((step) => range / step <= wanted) ?? power * base;
  };
  // Sizes stand where they were measured, on a logarithmic scale.
  const sizeAxis = (xs, width) => {
    const sizes = [...new Set(xs)].sort((a, b) => a - b);
    const [low, high] = [sizes[0], sizes[sizes.length - 1]];
    const share = (x) => (high > low ? Math.log(x / low) / Math.log(high / low) : 0.5);
    const at = (x) => MARGIN.left + 24 + share(x) * (width - 48);
    const value = (share) => low * (high / low) ** ((share * width - 24) / (width - 48));
    return { low, high, ticks: sizes.map((size) => [size, size.toLocaleString("en")]), at, value };
  };
  const xAxis = (chart, width) => {
    const xs = chart.series.flatMap((series) => series.points.map(([x]) => x));
    const high = Math.max(...xs, chart.x === "percentile" ? 1 : 0.001);
    const low = chart.x === "percentile" ? 0 : Math.min(...xs, 0);
    if (chart.x === "size") return sizeAxis(xs, width);
    const ticks = [];
    if (chart.x === "percentile") {
      for (const x of [0, Math.log10(2), 1, 2, 3, 4, 5, 6, 7]) if (x <= high + 1e-9) ticks.push([x, percentile(x)]);
    } else {
      const range = high - low;
      const wanted = Math.max(2, Math.floor(width / 90));
      const whole = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200];
      const step = whole.find((step) => range / step <= wanted) ?? niceStep(range, wanted, 10);
      for (let x = Math.ceil(low / step) * step; x <= high + 1e-9; x += step) ticks.push([x, clock(x)]);
    }
    const at = (x) => MARGIN.left + ((x - low) / (high - low || 1)) * width;
    return { low, high, ticks, at, value: (share) => low + share * (high - low) };
  };
  const yAxis = (chart, height) => {
    const values = chart.series.flatMap((series) => series.points.map(([, y]) => y));
    for (const limit of chart.limits ?? []) values.push(limit.y);
    const format = UNITS[chart.unit] ?? count;
    if (chart.log) {
      const positive = values.filter((value) => value > 0);
      const low = 10 ** Math.floor(Math.log10(Math.min(...positive, 1e12)));
      const high = Math.max(10 ** Math.ceil(Math.log10(Math.max(...positive, 1))), low * 10);
      const span = Math.log10(high / low);
      const ticks = [];
      for (let decade = low; decade <= high * 1.001; decade *= 10) {
        for (const digit of span <= 2 ? [1, 2, 5] : [1]) if (decade * digit <= high * 1.001) ticks.push([decade * digit, format(decade * digit)]);
      }
      const at = (y) => MARGIN.top + height * (1 - Math.log10(Math.max(y, low) / low) / span);
      return { ticks, at, format };
    }
    const top = Math.max(...values, 0);
    const step = niceStep(top || 1, 5, chart.unit === "bytes" ? 1024 : 10);
    const high = Math.max(step, Math.ceil(top / step - 1e-9) * step);
    const ticks = [];
    for (let y = 0; y <= high * 1.001; y += step) ticks.push([y, format(y)]);
    return { ticks, at: (y) => MARGIN.top + height * (1 - y / high), format };
  };

  const drawAxes = (chart, svg, x, y, width, height) => {
    const bottom = MARGIN.top + height;
    const right = MARGIN.left + width;
    for (const [value, label] of y.ticks) {
      element("line", { class: "grid", x1: MARGIN.left, x2: right, y1: y.at(value), y2: y.at(value) }, svg);
      element("text", { x: MARGIN.left - 8, y: y.at(value) + 4, "text-anchor": "end" }, svg, label);
    }
    element("line", { class: "axis", x1: MARGIN.left, x2: right, y1: bottom, y2: bottom }, svg);
    let free = -Infinity;
    for (const [value, label] of x.ticks) {
      const half = label.length * 3.1 + 4;
      const center = Math.min(Math.max(x.at(value), MARGIN.left + half - 12), right - half + 12);
      element("line", { class: "axis", x1: x.at(value), x2: x.at(value), y1: bottom, y2: bottom + 4 }, svg);
      if (center - half < free) continue;
      free = center + half;
      element("text", { x: center, y: bottom + 17, "text-anchor": "middle" }, svg, label);
    }
    const what = { percentile: "share of all that took at most this long", time: "time since the start", size: "connections" }[chart.x];
    element("text", { x: right, y: bottom + 31, "text-anchor": "end" }, svg, what);
  };
  const drawSeries = (chart, svg, x, y) => {
    chart.series.forEach((series, index) => {
      const points = series.points.map(([px, py]) => `${x.at(px).toFixed(1)},${y.at(py).toFixed(1)}`);
      if (points.length <= 12) {
        for (const [cx, cy] of points.map((point) => point.split(","))) element("circle", { cx, cy, r: 3, fill: color(index) }, svg);
      }
      element("polyline", { class: "curve", points: points.join(" "), stroke: color(index) }, svg);
    });
    for (const limit of chart.limits ?? []) {
      const level = y.at(limit.y);
      element("line", { class: "limit", x1: x.at(x.low), x2: x.at(x.high), y1: level, y2: level }, svg);
      element("text", { class: "limit-label", x: x.at(x.low) + 6, y: level - 5 }, svg, limit.label);
    }
  };

  const nearest = (points, x) => {
    let [low, high] = [0, points.length - 1];
    while (low < high) {
      const middle = (low + high) >> 1;
      if (points[middle][0] < x) low = middle + 1;
      else high = middle;
    }
    return low > 0 && x - points[low - 1][0] < points[low][0] - x ? points[low - 1] : points[low];
  };
  const hover = (chart, plot, svg, x, y, size) => {
    const marks = element("g", {}, svg);
    let tip = null;
    const clear = () => {
      marks.replaceChildren();
      tip?.remove();
      tip = null;
    };
    const show = (event) => {
      clear();
      const box = plot.getBoundingClientRect();
      const share = (event.clientX - box.left - MARGIN.left) / size.width;
      if (share < -0.02 || share > 1.02) return;
      const wanted = x.value(share);
      const hits = chart.series.map((series) => (series.points.length ? nearest(series.points, wanted) : null));
      const first = hits.filter(Boolean).sort((a, b) => Math.abs(a[0] - wanted) - Math.abs(b[0] - wanted))[0];
      if (!first) return;
      const cross = x.at(first[0]);
      element("line", { class: "cross", x1: cross, x2: cross, y1: MARGIN.top, y2: MARGIN.top + size.height }, marks);
      tip = html("div", "tip", plot);
      html("b", "", tip, { percentile, time: clock, size: (size) => `${size.toLocaleString("en")} connections` }[chart.x](first[0]));
      hits.forEach((hit, index) => {
        if (!hit || Math.abs(hit[0] - first[0]) > (x.high - x.low) / 20 + 1e-9) return;
        element("circle", { class: "dot", cx: x.at(hit[0]), cy: y.at(hit[1]), r: 4, fill: color(index) }, marks);
        const row = html("div", "", tip);
        const name = html("span", "", row);
        html("i", "swatch", name).style.background = color(index);
        name.append(chart.series[index].name);
        html("span", "", row, y.format(hit[1]));
      });
      const left = cross + 14 + tip.offsetWidth > box.width ? cross - 14 - tip.offsetWidth : cross + 14;
      tip.style.transform = `translate(${Math.max(0, left)}px, ${MARGIN.top}px)`;
    };
    plot.onpointermove = show;
    plot.onpointerdown = show;
    plot.onpointerleave = clear;
  };

  const draw = (chart, figure) => {
    const plot = figure.querySelector(".plot");
    const size = { width: plot.clientWidth - MARGIN.left - MARGIN.right, height: plot.clientHeight - MARGIN.top - MARGIN.bottom };
    if (size.width < 40) return;
    plot.replaceChildren();
    const svg = element("svg", { role: "img", "aria-label": chart.title }, plot);
    const [x, y] = [xAxis(chart, size.width), yAxis(chart, size.height)];
    drawAxes(chart, svg, x, y, size.width, size.height);
    drawSeries(chart, svg, x, y);
    hover(chart, plot, svg, x, y, size);
  };
  document.querySelectorAll(".chart").forEach((figure, index) => {
    const chart = charts[index];
    const legend = figure.querySelector(".legend");
    chart.series.forEach((series, place) => {
      const entry = html("span", "", legend);
      html("i", "swatch", entry).style.background = color(place);
      entry.append(series.name);
    });
    new ResizeObserver(() => draw(chart, figure)).observe(figure);
  });
})();
