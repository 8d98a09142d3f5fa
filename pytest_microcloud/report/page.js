// Draws a page's plots in the colours of the page, and converts the tables below the plots to CSV.
(() => {
  "use strict";
  const NARROW = 560;
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const plots = JSON.parse(document.getElementById("mc-plots").textContent);
  const linear = new Set();
  let printing = false;

  const colours = () =>
    dark.matches && !printing
      ? { ink: "#d7dbe0", grid: "#31373f", line: "#59616c", paper: "#16191d" }
      : { ink: "#2b3036", grid: "#e4e7ea", line: "#9aa1a9", paper: "#ffffff" };

  const axis = (own, plot, c) => ({
    gridcolor: c.grid,
    linecolor: c.line,
    zeroline: false,
    ticks: "outside",
    tickcolor: c.line,
    showline: true,
    ...own,
    ...(own.type === "log" && linear.has(plot.id) ? { type: "linear", dtick: null, rangemode: "tozero" } : {}),
  });

  // Our own legend, instead of plotly's: each curve is a check box that can be reached by keyboard, and long names wrap.
  const SVG = "http://www.w3.org/2000/svg";
  const SHAPES = {
    square: "M-4-4H4V4H-4Z",
    diamond: "M0-5L5 0L0 5L-5 0Z",
    "triangle-up": "M0-5L5 4H-5Z",
    "triangle-down": "M0 5L5-4H-5Z",
    star: "M0-6L1.8-2L6-2L2.6 .8L4 5.4L0 2.6L-4 5.4L-2.6 .8L-6-2L-1.8-2Z",
    hexagon: "M-5 0L-2.5-4.4H2.5L5 0L2.5 4.4H-2.5Z",
    "x-thin": "M-4-4L4 4M4-4L-4 4",
    "line-ns": "M0-6V6",
    "line-ew": "M-5 0H5",
  };
  const DASHES = { dash: "6 4", dot: "2 3", dashdot: "7 3 2 3", longdash: "11 4", longdashdot: "11 3 2 3" };

  const shape = (tag, attributes) => {
    const made = document.createElementNS(SVG, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };

  const swatch = (trace) => {
    const svg = shape("svg", { width: 34, height: 14, viewBox: "-17 -7 34 14", "aria-hidden": "true" });
    const colour = trace.marker?.color ?? trace.line?.color;
    if (trace.type === "bar") {
      const opacity = trace.marker.opacity;
      svg.append(shape("rect", { x: -11, y: -6, width: 22, height: 12, fill: colour, "fill-opacity": opacity }));
      if (trace.marker.pattern) svg.append(shape("path", { d: "M-6 6L2-6M2 6L10-6", stroke: "#0005" }));
      return svg;
    }
    if (trace.mode.includes("lines")) {
      const dash = DASHES[trace.line.dash] ?? (trace.line.dash ?? "").replace("solid", "").replaceAll(/px|,/g, " ");
      const line = { d: "M-17 0H17", stroke: colour, "stroke-width": trace.line.width, "stroke-dasharray": dash };
      svg.append(shape("path", line));
    }
    const symbol = trace.marker?.symbol ?? "circle";
    const name = symbol.replace("-open", "");
    const open = symbol.endsWith("-open");
    const look = { stroke: colour, "stroke-width": 1.5, fill: open ? "var(--paper)" : colour };
    svg.append(SHAPES[name] ? shape("path", { d: SHAPES[name], ...look }) : shape("circle", { r: 4, ...look }));
    return svg;
  };

  const plain = (escaped) => new DOMParser().parseFromString(escaped, "text/html").documentElement.textContent;

  const addLegend = (plot) => {
    const place = document.getElementById(`plot-${plot.id}`);
    const entries = new Map(); // one for each curve, and one for each group
    plot.data.forEach((trace, number) => {
      const key = trace.meta?.group ?? trace.meta?.curve ?? number;
      const entry = entries.get(key) ?? { trace, name: trace.meta?.group ?? plain(trace.name), numbers: [] };
      entry.numbers.push(number);
      entries.set(key, entry);
    });
    const legendItem = ({ trace, name, numbers }) => {
      const box = Object.assign(document.createElement("input"), { type: "checkbox" });
      box.checked = trace.visible !== "legendonly";
      box.addEventListener("change", () => {
        for (const number of numbers) plot.data[number].visible = box.checked;
        draw(plot);
      });
      const label = document.createElement("label");
      label.append(box, swatch(trace), document.createElement("span"));
      label.lastChild.textContent = name;
      const item = document.createElement("li");
      item.append(label);
      return item;
    };
    const list = (chosen) => {
      const ul = Object.assign(document.createElement("ul"), { className: "mc-legend" });
      ul.append(...chosen.map(legendItem));
      return ul;
    };
    const all = [...entries.values()];
    const older = all.filter(({ trace }) => trace.meta?.older);
    const marks = all.filter(({ trace }) => trace.meta?.mark || trace.meta?.group);
    const parts = [list(all.filter((entry) => !older.includes(entry) && !marks.includes(entry)))];
    if (marks.length) parts.push(list(marks));
    if (older.length) {
      const details = document.createElement("details");
      const summary = document.createElement("summary");
      summary.textContent = `Older OS releases, altered boards (${older.length})`;
      details.append(summary, list(older));
      parts.push(details);
    }
    place.after(...parts);
  };

  const draw = (plot) => {
    const place = document.getElementById(`plot-${plot.id}`);
    if (!place) return;
    const c = colours();
    const width = place.clientWidth || 640;
    const narrow = width < NARROW;
    const layout = {
      ...plot.layout,
      width,
      height: plot.height,
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: "system-ui, sans-serif", size: narrow ? 11 : 12.5, color: c.ink },
      margin: { l: narrow ? 48 : 64, r: 14, t: 12, b: 48 },
      hovermode: "closest",
      hoverlabel: { bgcolor: c.paper, bordercolor: c.line, font: { color: c.ink }, namelength: -1 },
      modebar: { bgcolor: "rgba(0,0,0,0)", color: c.line, activecolor: c.ink },
      showlegend: false,
    };
    for (const key of Object.keys(plot.layout)) {
      if (/^[xy]axis\d?$/.test(key)) layout[key] = axis(plot.layout[key], plot, c);
    }
    const withInk = (trace) => (trace.error_x ? { ...trace, error_x: { ...trace.error_x, color: c.ink } } : trace);
    const data = plot.data.map((trace) => ({ ...withInk(trace) }));
    const buttons = [["toImage", "zoom2d", "pan2d", "zoomIn2d", "zoomOut2d", "resetScale2d"]];
    const config = { displaylogo: false, modeBarButtons: buttons, displayModeBar: narrow ? false : "hover" };
    Plotly.react(place, data, layout, config);
  };

  const drawAll = () => plots.forEach(draw);

  const nameAxes = (button) => {
    button.textContent = linear.has(button.dataset.plot) ? "Logarithmic axes" : "Linear axes";
  };

  for (const button of document.querySelectorAll(".mc-axes")) {
    const plot = plots.find((one) => one.id === button.dataset.plot);
    const logs = plot && Object.values(plot.layout).some((part) => part && part.type === "log");
    if (!logs) continue;
    button.hidden = false;
    nameAxes(button);
    button.addEventListener("click", () => {
      linear.has(plot.id) ? linear.delete(plot.id) : linear.add(plot.id);
      nameAxes(button);
      draw(plot);
    });
  }

  const quoted = (text) => (/[",\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text);
  // Prevents a spreadsheet from reading a text as a formula.
  const harmless = (text) => (/^[=@\t\r]|^[+-](?![\d.])/.test(text) ? `'${text}` : text);
  const csv = (table) =>
    [...table.rows]
      .map((row) =>
        [...row.cells]
          .map((cell) => quoted(cell.querySelector("data")?.value ?? harmless(cell.textContent)))
          .join(","),
      )
      .join("\n");

  for (const details of document.querySelectorAll(".mc-csv")) {
    const area = details.querySelector("textarea");
    const status = details.querySelector("[role=status]");
    const table = details.parentElement.querySelector(".mc-numbers");
    details.addEventListener("toggle", () => {
      if (details.open && !area.value) area.value = csv(table);
    });
    details.querySelector(".mc-copy").addEventListener("click", async () => {
      area.value ||= csv(table);
      area.select();
      try {
        await navigator.clipboard.writeText(area.value);
        status.textContent = "copied";
      } catch {
        status.textContent = document.execCommand("copy") ? "copied" : "press Ctrl+C";
      }
    });
  }

  let later;
  window.addEventListener("resize", () => {
    clearTimeout(later);
    later = setTimeout(drawAll, 120);
  });
  dark.addEventListener("change", drawAll);
  window.addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll(".mc-data, .mc-all")) details.open = true;
    printing = true;
    drawAll();
  });
  window.addEventListener("afterprint", () => {
    printing = false;
    drawAll();
  });
  plots.filter((plot) => document.getElementById(`plot-${plot.id}`)).forEach(addLegend);
  drawAll();
  document.documentElement.dataset.drawn = String(plots.length);
})();
