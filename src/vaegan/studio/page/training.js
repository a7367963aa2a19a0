"use strict";

/* The view Training: curves, health, snapshots. */

let trained = null;
let charts = [];
let playing = false;
let poll = 0;

const showTraining = latest(async () => {
  clearTimeout(poll);
  const before = trained?.of === model.name ? trained.state : null;
  trained = { ...(await fetchJson(`${here()}/training`)), of: model.name };
  const { state, images, epoch, goal, images_per_second: speed } = trained;
  $("state").textContent = { "going on": "Training goes on", finished: "Training is finished", stopped: "Training has stopped", starting: "Training starts" }[state];
  if (before && before !== state) say($("state").textContent);
  const share = goal.images ? images / goal.images : goal.epochs ? epoch / goal.epochs : 0;
  $("progress").value = state === "finished" ? 1 : Math.min(1, share);
  const facts = [["images seen", grouped(images)], ["epochs", `${round(epoch)}${goal.epochs ? ` of ${round(goal.epochs)}` : ""}`], ["images/s", speed && grouped(speed)]];
  $("training-facts").replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, value))));
  $("health").replaceChildren(...trained.health.map(({ state: how, sentence, remedy }) =>
    make("li", { class: how === "ok" ? "" : "bad" }, sentence + (remedy ? `: ${remedy}` : ""))));
  drawCharts();
  showSnapshot();
  if (state === "going on" || state === "starting") {
    poll = setTimeout(() => {
      if (get("view") !== "training") return;
      showTraining();
      lookAgain();
    }, 3000);
  }
});

function ticksOf(low, high, logarithmic) {
  if (logarithmic) {
    const decades = [];
    for (let power = Math.ceil(Math.log10(low)); power <= Math.log10(high); power += 1) decades.push(10 ** power);
    if (decades.length > 1) return decades;
  }
  const rough = (high - low) / 4 || 1;
  const unit = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((times) => times * unit).find((size) => size >= rough);
  const ticks = [];
  for (let tick = Math.ceil(low / step) * step; tick <= high + 1e-9; tick += step) ticks.push(Number(tick.toPrecision(6)));
  return ticks;
}

function drawCharts() {
  const parts = [...new Set(trained.curves.map(({ part }) => part))];
  charts = parts.map((part) => drawChart(part, trained.curves.filter((curve) => curve.part === part)));
  $("charts").replaceChildren(...(charts.length ? charts.map(({ element }) => element) : [make("p", { class: "empty" }, "No records yet.")]));
  readCharts();
}

function drawChart(part, curves) {
  const wide = 420, high = 220, left = 48, bottom = 24, top = 8, right = 10;
  const values = curves.flatMap(({ points }) => points.map(([, value]) => value)).filter((value) => value != null);
  const [low, most] = [Math.min(...values), Math.max(...values)];
  const logarithmic = low > 0 && most / low > 30;
  const bend = logarithmic ? Math.log10 : (value) => value;
  const [from, to] = low === most ? [bend(low) - 1, bend(low) + 1] : [bend(low), bend(most)];
  const last = Math.max(1, ...curves.flatMap(({ points }) => points.map(([images]) => images)));
  const x = (images) => left + (images / last) * (wide - left - right);
  const y = (value) => top + (1 - (bend(value) - from) / (to - from)) * (high - top - bottom);
  const svg = make("svg:svg", { viewBox: `0 0 ${wide} ${high}`, role: "img", "aria-label": `Losses of the ${part}` });
  for (const tick of ticksOf(low, most, logarithmic)) {
    svg.append(make("svg:line", { class: "mark", x1: left, x2: wide - right, y1: y(tick), y2: y(tick) }));
    svg.append(make("svg:text", { x: left - 6, y: y(tick) + 4, "text-anchor": "end" }, round(tick)));
  }
  for (const tick of ticksOf(0, last, false)) {
    const words = tick >= 1e6 ? `${tick / 1e6}M` : tick >= 1000 ? `${tick / 1000}k` : String(tick);
    svg.append(make("svg:text", { x: x(tick), y: high - 6, "text-anchor": tick ? "middle" : "start" }, words));
  }
  const losses = [...new Set(curves.map(({ loss }) => loss))];
  const legend = make("ul", { class: "legend" });
  const outputs = losses.map((loss, index) => {
    const output = make("output");
    const dot = make("i");
    dot.style.background = `var(--c${index % 10})`;
    legend.append(make("li", {}, dot, `${loss} `, output));
    return output;
  });
  for (const { split, loss, points } of curves) {
    const colour = `var(--c${losses.indexOf(loss) % 10})`;
    const known = points.filter(([, value]) => value != null);
    if (split === "train") {
      svg.append(make("svg:polyline", { points: known.map(([images, value]) => `${x(images).toFixed(1)},${y(value).toFixed(1)}`).join(" "), fill: "none", stroke: colour, "stroke-width": 1.7, "stroke-linejoin": "round" }));
    } else {
      for (const [images, value] of known) svg.append(make("svg:circle", { cx: x(images), cy: y(value), r: 2.6, fill: colour }));
    }
  }
  const line = make("svg:line", { class: "at", y1: top, y2: high - bottom });
  svg.append(line);
  const read = (images) => {
    line.setAttribute("x1", x(Math.min(images, last)));
    line.setAttribute("x2", x(Math.min(images, last)));
    losses.forEach((loss, index) => {
      const points = curves.find((curve) => curve.loss === loss && curve.split === "train")?.points ?? [];
      const nearest = points.reduce((best, point) => (Math.abs(point[0] - images) < Math.abs(best[0] - images) ? point : best), points[0] ?? [0, null]);
      outputs[index].textContent = round(nearest[1]);
    });
  };
  return { element: make("figure", { "data-part": part }, make("h3", {}, part), svg, legend), read };
}

function readCharts() {
  const at = Number(get("cursor"));
  const last = Math.max(0, ...trained.curves.flatMap(({ points }) => points.map(([images]) => images)));
  $("cursor").value = at;
  $("cursor-at").textContent = `${grouped(at * last)} images`;
  for (const { read } of charts) read(at * last);
}

const moments = () => trained?.snapshots[get("kind")] ?? [];

function showSnapshot() {
  const all = moments();
  const index = get("moment") === "" ? all.length - 1 : clamp(Number(get("moment")), 0, all.length - 1);
  $("snapshot-empty").hidden = all.length > 0;
  $("snapshot").hidden = !all.length;
  $("play").disabled = all.length < 2;
  $("moment").disabled = all.length < 2;
  $("moment").max = Math.max(0, all.length - 1);
  if (!all.length) {
    $("moment-at").textContent = "";
    return;
  }
  $("moment").value = index;
  $("moment-at").textContent = `${grouped(all[index])} images`;
  $("moment").setAttribute("aria-valuetext", `${grouped(all[index])} images`);
  const shown = $("snapshot").querySelector("img");
  const source = `${here()}/snapshots/${get("kind")}/${all[index]}`;
  if (shown.getAttribute("src") !== source) shown.src = source;
  shown.alt = `${get("kind")[0].toUpperCase()}${get("kind").slice(1)} after ${grouped(all[index])} images`;
}

async function play() {
  if (playing) {
    playing = false;
    return;
  }
  playing = true;
  $("play").textContent = "Stop";
  const length = moments().length;
  for (let index = 0; index < length && playing; index += 1) {
    set("moment", index);
    showSnapshot();
    await $("snapshot").querySelector("img").decode().catch(() => {});
    await pause(250);
  }
  playing = false;
  $("play").textContent = "Play";
}

function saveSnapshot() {
  const images = moments()[Number($("moment").value)];
  return saveAnswer(`${here()}/snapshots/${get("kind")}/${images}`, null, `${model.name}-${get("kind")}-${images}.png`);
}

/* Each curve as pairs of images seen and loss. */
function saveCurves() {
  const arrays = trained.curves.map(({ split, part, loss, points }) =>
    [`${split}/${part}/${loss}`, { shape: [points.length, 2], values: Float64Array.from(points.flat(), (value) => value ?? NaN) }]);
  if (!arrays.length) throw new Error("There are no records to save yet.");
  saveArrays(Object.fromEntries(arrays), `${model.name}-curves.npz`);
}

const saveFilm = () => saveAnswer(`${here()}/snapshots/${get("kind")}`, null, `${model.name}-${get("kind")}.gif`);

function connectTraining() {
  $("cursor").addEventListener("input", () => {
    set("cursor", $("cursor").value);
    readCharts();
  });
  $("moment").addEventListener("input", () => {
    set("moment", $("moment").value);
    showSnapshot();
  });
  $("play").addEventListener("click", guarded(play));
}
