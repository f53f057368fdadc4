// Draws the page's charts from the data beside it. Reads nothing else, requests nothing, keeps nothing.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const root = document.documentElement;
  const select = document.getElementById("treatment");
  const figures = document.getElementById("figures");
  const asked = new URLSearchParams(location.hash.slice(1)); // #dark, #light, #arm=NAME
  let printing = false;

  // Plotly reads some markup in labels: names are shown as they are written.
  const plain = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const narrow = () => innerWidth < 640 && !printing;
  const last = (list) => list[list.length - 1];

  // --- theme -------------------------------------------------------------------------------------------------
  const system = matchMedia("(prefers-color-scheme: dark)");
  let chosen = ["dark", "light"].find((name) => asked.has(name)) || null;
  const theme = () => (printing ? "light" : chosen || (system.matches ? "dark" : "light"));
  const colour = (name) => getComputedStyle(root).getPropertyValue("--" + name).trim();
  const faint = (hex, alpha) => {
    const part = (at) => parseInt(hex.slice(at, at + 2), 16);
    return `rgba(${part(1)},${part(3)},${part(5)},${alpha})`;
  };

  const config = { displaylogo: false, displayModeBar: false, responsive: false };
  const layout = (height, more) => Object.assign({
    height, width: printing ? 690 : undefined, autosize: !printing,
    paper_bgcolor: colour("page"), plot_bgcolor: colour("page"),
    font: { color: colour("ink"), size: 12, family: "system-ui, -apple-system, Segoe UI, Roboto, sans-serif" },
    showlegend: false, dragmode: narrow() ? false : "zoom",
    hoverlabel: { bgcolor: colour("panel"), bordercolor: colour("line"), font: { color: colour("ink") } },
  }, more);
  const axis = (more) => Object.assign({
    gridcolor: colour("line"), zeroline: false, linecolor: colour("line"), tickcolor: colour("line"), automargin: false,
  }, more);

  // --- the ladder --------------------------------------------------------------------------------------------
  // Where a word of the lesson would lie on the axis of measured change, in percent. A reading, said so on the page.
  const PLACE = { prevents: -100, ends: -85, eases: -40, delays: 0, masks: 0, "no effect": 0, worsens: 50 };
  const CAP = 150;

  function rungs() {
    const rows = [];
    for (const rung of data.ladder) {
      let row = rows.find((r) => r.lever === rung.lever);
      if (!row) rows.push(row = { lever: rung.lever, level: rung.level, ours: rung.ours, lesson: rung.lesson, modes: {} });
      row.modes[rung.mode] = rung;
    }
    return rows.sort((a, b) => (b.level || 0) - (a.level || 0)); // 12 first, at the bottom: the axis grows upwards
  }

  function effects(rows, mode, symbol, offset) {
    const there = rows.map((row, at) => ({ at, rung: row.modes[mode] })).filter((m) => m.rung && m.rung.change);
    const cut = (value) => Math.min(value, CAP);
    return {
      name: mode === "pulled" ? "pulled" : "in place from the start", type: "scatter", mode: "markers",
      x: there.map((m) => cut(m.rung.change[0])), y: there.map((m) => m.at + offset),
      error_x: {
        type: "data", symmetric: false, thickness: 2, width: 4, color: colour("treatment"),
        array: there.map((m) => cut(m.rung.change[2]) - cut(m.rung.change[0])),
        arrayminus: there.map((m) => cut(m.rung.change[0]) - cut(m.rung.change[1])),
      },
      marker: {
        symbol: there.map((m) => (m.rung.change[0] > CAP ? "triangle-right" : symbol)), size: 12, color: colour("treatment"),
        line: { width: 1, color: colour("page") },
      },
      text: there.map((m) => {
        const [mean, low, high] = m.rung.change;
        return `${plain(m.rung.lever)} ${mode}: ${plain(m.rung.verdict)}, ${mean} % [${low}, ${high}]`;
      }),
      hovertemplate: "%{text}<extra></extra>",
    };
  }

  function ladder() {
    const at = document.getElementById("ladder");
    if (!at) return;
    const rows = rungs();
    const both = rows.some((r) => r.modes.pulled) && rows.some((r) => r.modes.standing);
    const off = both ? 0.2 : 0;
    const told = rows.map((row, i) => ({ i, row })).filter((m) => m.row.lesson in PLACE);
    const traces = [
      {
        name: "what the lesson says", type: "scatter", mode: "markers", x: told.map((m) => PLACE[m.row.lesson]), y: told.map((m) => m.i),
        marker: { symbol: "square-open", size: both ? 32 : 22, color: colour("soft"), line: { width: 2 } },
        text: told.map((m) => `the lesson says of ${plain(m.row.lever)}: ${plain(m.row.lesson)}`), hovertemplate: "%{text}<extra></extra>",
      },
      effects(rows, "pulled", "circle", off), effects(rows, "standing", "diamond", -off),
    ].filter((trace) => trace.x.length);
    const high = Math.max(25, ...traces.flatMap((t) => t.x.map((x, i) => x + (t.error_x ? t.error_x.array[i] : 0))));
    const name = (row) => `${plain(row.lever)}  <b>${row.level ? (row.ours ? `[${row.level}]` : row.level) : "-"}</b>`;
    const words = (row) => ["pulled", "standing"].map((m) => row.modes[m]).filter(Boolean).map((r) => plain(`${r.verdict} ${r.mark}`.trim())).join(" · ");
    const note = (i, row) => ({ xref: "paper", x: 1.01, xanchor: "left", y: i, text: words(row), showarrow: false, font: { size: 12 } });
    const shapes = [
      { type: "rect", yref: "paper", y0: 0, y1: 1, x0: -10, x1: 10, fillcolor: faint(colour("soft"), 0.16), line: { width: 0 }, layer: "below" },
      { type: "line", yref: "paper", y0: 0, y1: 1, x0: 0, x1: 0, line: { color: colour("soft"), width: 1 }, layer: "below" },
    ];
    const heads = narrow() ? [] : [{ xref: "paper", yref: "paper", x: 1.01, xanchor: "left", y: 1, yanchor: "bottom", text: both ? "pulled · from the start" : "measured", showarrow: false, font: { size: 12, color: colour("soft") } }];
    Plotly.react(at, traces, layout(90 + 44 * rows.length, {
      margin: { l: 20, r: narrow() ? 12 : 170, t: narrow() ? 64 : 36, b: 46 },
      xaxis: axis({ title: { text: narrow() ? "harm against control, %" : "← less harm      change of harm against the control, %      more harm →" }, range: [-112, high * 1.08], zeroline: false }),
      yaxis: axis({ tickvals: rows.map((_, i) => i), ticktext: rows.map(name), range: [-0.6, rows.length - 0.4], showgrid: true, fixedrange: true, automargin: true, tickfont: { size: narrow() ? 11 : 12 } }),
      shapes, annotations: narrow() ? [] : rows.map((row, i) => note(i, row)).concat(heads),
      showlegend: true, legend: { orientation: "h", x: narrow() ? -0.5 : 0, y: 1, yanchor: "bottom", bgcolor: "rgba(0,0,0,0)" }, hovermode: "closest",
    }), config);
  }

  // --- control and treatment ---------------------------------------------------------------------------------
  const zero = (line) => !line || line.every((value) => !value);
  const times = (line) => line.map((_, i) => (i + 0.5) * data.step);

  // A line of one arm. The control is thin, the treatment thick: not told apart by colour alone.
  function line(who, values, more) {
    const treatment = who !== "control";
    return Object.assign({
      type: "scatter", mode: "lines", x: times(values), y: values, name: plain(who), connectgaps: false,
      line: { color: colour(treatment ? "treatment" : "control"), width: treatment ? 3.4 : 1.4, dash: (more && more.dash) || "solid", shape: "linear" },
      hovertemplate: `%{y}<extra>${plain(who)}${more && more.what ? ", " + more.what : ""}</extra>`,
    });
  }

  function band(who, arm) {
    const edge = (values, fill) => ({
      type: "scatter", mode: "lines", x: times(values), y: values, line: { width: 0 }, hoverinfo: "skip",
      fill: fill ? "tonexty" : "none", fillcolor: faint(colour(who === "control" ? "control" : "treatment"), 0.2),
    });
    return [edge(arm.low, false), edge(arm.high, true)];
  }

  function users(arms) {
    const panels = [];
    const good = arms.flatMap(([who, arm]) => band(who, arm)).concat(arms.map(([who, arm]) => line(who, arm.good)));
    const arrivals = Object.assign(line("control", data.arms.control.arrivals), { name: "arrivals", hovertemplate: "%{y}<extra>arrivals</extra>" });
    arrivals.line = { color: colour("soft"), width: 1, dash: "dot" };
    panels.push({ title: `good answers, ${data.per}` + (narrow() ? "" : " (dotted: arrivals; band: middle 90 % of seeds)"), height: 170, traces: [arrivals].concat(good) });
    if (arms.some(([, arm]) => arm.degraded)) {
      panels.push({ title: `degraded answers, ${data.per}`, height: 90, traces: arms.filter(([, arm]) => arm.degraded).map(([who, arm]) => line(who, arm.degraded)) });
    }
    panels.push({
      title: "latency, ms, log axis (solid: p50; dotted: p99)", height: 150, log: true, limit: data.slo_ms, limitName: "SLO",
      traces: arms.flatMap(([who, arm]) => [line(who, arm.p50, { what: "p50" }), line(who, arm.p99, { what: "p99", dash: "dot" })]),
    });
    panels.push({ title: "attempts per arrival", height: 100, traces: arms.map(([who, arm]) => line(who, arm.attempts)) });
    return panels;
  }

  function service(name, arms, undrawn) {
    const panels = [];
    const of = arms.filter(([, arm]) => arm.services[name]).map(([who, arm]) => [who, arm.services[name]]);
    const stocks = [...new Set(of.flatMap(([, s]) => Object.keys(s.stocks)))];
    for (const stock of stocks) {
      const has = of.filter(([, s]) => s.stocks[stock]).map(([who, s]) => [who, s.stocks[stock]]);
      if (has.every(([, s]) => zero(s.level))) { undrawn.push(`${name}.${stock}`); continue; }
      const limit = has[0][1].limit;
      const top = Math.max(...has.flatMap(([, s]) => s.level));
      panels.push({
        title: `<b>${plain(stock)}</b>, level${limit === null ? "" : ` (limit ${limit})`}`, height: 110, traces: has.map(([who, s]) => line(who, s.level)),
        limit: limit !== null && top > limit * 0.4 ? limit : null, limitName: "limit",
      });
      panels.push({
        title: `${plain(stock)}, ${data.per} (solid: in; dotted: out)`, height: 80,
        traces: has.flatMap(([who, s]) => [line(who, s.inflow, { what: "in" }), line(who, s.outflow || s.inflow, { what: "out", dash: "dot" })]),
      });
    }
    const breaker = of.filter(([, s]) => s.breaker);
    if (breaker.length) panels.push(states("breaker not closed, share of seeds", breaker.map(([who, s]) => [who, s.breaker])));
    const replicas = of.filter(([, s]) => s.replicas);
    if (replicas.length) panels.push({ title: "replicas", height: 90, traces: replicas.map(([who, s]) => line(who, s.replicas)) });
    return panels;
  }

  // States as a band per arm: the share of seeds fills it.
  function states(title, lines) {
    const traces = lines.map(([who, values]) => ({
      type: "heatmap", x: times(values), y: [plain(who)], z: [values], zmin: 0, zmax: 1, showscale: false, name: plain(who),
      colorscale: [[0, colour("panel")], [1, colour(who === "control" ? "control" : "treatment")]], hovertemplate: `%{z}<extra>${plain(who)}</extra>`,
    }));
    if (lines.length > 1) title += ` (from below: ${lines.map(([who]) => plain(who)).join(", ")})`;
    return { title, height: 24 * lines.length + 6, traces, category: true };
  }

  function marks() {
    const shapes = [], notes = [];
    for (const trigger of data.triggers) {
      const to = trigger.to === null ? data.end : trigger.to;
      shapes.push({ type: "rect", yref: "paper", y0: 0, y1: 1, x0: trigger.from, x1: to, fillcolor: faint(colour("trigger"), 0.22), line: { width: 0 }, layer: "below" });
      notes.push({ x: trigger.from, text: plain(trigger.name) });
    }
    const arm = data.arms[select.value];
    if (arm && arm.mode === "pulled" && data.pull !== null) {
      shapes.push({ type: "line", yref: "paper", y0: 0, y1: 1, x0: data.pull, x1: data.pull, line: { color: colour("ink"), width: 1.5, dash: "dash" } });
      notes.push({ x: data.pull, text: `${plain(arm.lever)} pulled` });
    }
    return [shapes, notes];
  }

  // Panels below one another in one figure, with one time axis.
  function figure(at, panels) {
    const GAP = 30, TOP = 46, BOTTOM = 40;
    const inner = panels.reduce((sum, panel) => sum + panel.height + GAP, -GAP);
    const [shapes, notes] = marks();
    const traces = [], axes = {}, annotations = [];
    let above = 0;
    panels.forEach((panel, i) => {
      const key = i ? String(i + 1) : "";
      const domain = [1 - (above + panel.height) / inner, 1 - above / inner].map((v) => Math.min(1, Math.max(0, v)));
      above += panel.height + GAP;
      axes["yaxis" + key] = axis(Object.assign({ domain, fixedrange: true, nticks: panel.height < 100 ? 3 : 5 },
        panel.log ? { type: "log", dtick: 1, tickformat: "~s" } : panel.category ? { type: "category", showgrid: false, showticklabels: false } : { rangemode: "tozero" }));
      panel.traces.forEach((trace) => traces.push(Object.assign(trace, { yaxis: "y" + key })));
      annotations.push({ xref: "paper", yref: "paper", x: 0, xanchor: "left", y: domain[1], yanchor: "bottom", text: panel.title, showarrow: false, font: { size: narrow() ? 11 : 12, color: colour("ink") }, align: "left" });
      if (panel.limit) {
        shapes.push({ type: "line", xref: "paper", x0: 0, x1: 1, yref: "y" + key, y0: panel.limit, y1: panel.limit, line: { color: colour("ink"), width: 1, dash: "longdash" } });
        annotations.push({ xref: "paper", x: 1, xanchor: "right", yref: "y" + key, y: panel.log ? Math.log10(panel.limit) : panel.limit, yanchor: "bottom", text: panel.limitName, showarrow: false, font: { size: 11 } });
      }
    });
    for (const note of notes) annotations.push(Object.assign(note, { yref: "paper", y: 1, yanchor: "bottom", yshift: 18, xanchor: "left", showarrow: false, font: { size: 11, color: colour("soft") } }));
    Plotly.react(at, traces, layout(inner + TOP + BOTTOM, Object.assign(axes, {
      margin: { l: 46, r: 10, t: TOP, b: BOTTOM }, shapes, annotations, hovermode: "x unified",
      xaxis: axis({ title: { text: data.units + " since the start" + (data.means ? ` (points are means of ${data.means})` : ""), standoff: 6 }, range: zoomed || [0, data.end], anchor: panels.length > 1 ? "y" + panels.length : "y", showspikes: true, spikemode: "across", spikethickness: 1, spikecolor: colour("soft"), spikedash: "dot", hoverformat: data.units === "days" ? ".1f" : ".0f" }),
    })), config);
    if (!at.synced) { at.synced = true; at.on("plotly_relayout", (change) => follow(change)); }
  }

  // Zooming one figure zooms all.
  let zoomed = null;
  let following = false;
  function follow(change) {
    if (following) return;
    if (change["xaxis.autorange"]) zoomed = null;
    else if ("xaxis.range[0]" in change) zoomed = [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    else return;
    following = true;
    const all = [...figures.querySelectorAll(".chart")].map((at) => Plotly.relayout(at, { "xaxis.range": zoomed || [0, data.end] }));
    Promise.all(all).finally(() => { following = false; });
  }

  function twins() {
    if (!figures || !data.arms.control) return;
    const treatment = data.arms[select.value];
    // The thin control is drawn over the thick treatment: where they are the same, both are seen.
    const arms = (treatment ? [[select.value, treatment]] : []).concat([["control", data.arms.control]]);
    const names = [...new Set(arms.flatMap(([, arm]) => Object.keys(arm.services)))];
    const undrawn = [];
    const groups = [["What users saw", users(arms)]].concat(names.map((name) => ["Service " + name, service(name, arms, undrawn)])).filter(([, panels]) => panels.length);
    groups.forEach(([title, panels], i) => {
      let at = figures.children[2 * i + 1];
      if (!at) {
        figures.append(document.createElement("h3"));
        figures.append(at = Object.assign(document.createElement("div"), { className: "chart" }));
      }
      figures.children[2 * i].textContent = title;
      figure(at, panels);
    });
    while (figures.children.length > 2 * groups.length) { const at = last(figures.children); if (at.synced) Plotly.purge(at); at.remove(); }
    document.getElementById("undrawn").textContent = undrawn.length ? "At zero throughout in both arms, not drawn: " + undrawn.join(", ") + "." : "";
    const lever = treatment && treatment.lever;
    document.querySelectorAll(".change").forEach((change) => change.classList.toggle("chosen", change.dataset.lever === lever));
  }

  function draw() {
    root.dataset.theme = theme();
    ladder();
    twins();
  }

  if (select) {
    const wanted = asked.get("arm") in data.arms ? asked.get("arm") : data.selected;
    if (wanted) select.value = wanted;
    select.addEventListener("change", twins);
  }
  document.getElementById("theme").addEventListener("click", () => { chosen = theme() === "dark" ? "light" : "dark"; draw(); });
  system.addEventListener("change", draw);
  let waiting = 0;
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width || printing) return; // a phone's address bar changes the height only
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(draw, 120);
  });
  addEventListener("beforeprint", () => { printing = true; draw(); });
  addEventListener("afterprint", () => { printing = false; draw(); });
  draw();
})();
