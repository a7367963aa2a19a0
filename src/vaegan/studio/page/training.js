"use strict";

/* The Training view: curves, health, snapshots. */

let trained = null;
let charts = [];
let playing = null;  // the film that is shown
let poll = 0;

const showTraining = latest(async () => {
  clearTimeout(poll);
  const before = trained?.of === model.name ? trained.state : null;
  trained = { ...(await fetchJson(`${here()}/training`)), of: model.name };
  const { state, images, epoch, goal, images_per_second: speed } = trained;
  $("state").textContent = { "going on": "Training", finished: "Training finished", stopped: "Training stopped", starting: "Training is starting" }[state];
  if (before && before !== state) say($("state").textContent);
  // The run ends at whichever of its goals comes first.
  const [ofImages, ofEpochs] = [goal.images ? images / goal.images : 0, goal.epochs ? epoch / goal.epochs : 0];
  $("progress").value = state === "finished" ? 1 : Math.min(1, Math.max(ofImages, ofEpochs));
  const byImages = goal.images && ofImages >= ofEpochs;
  $("training-facts").replaceChildren(...facts(
    ["images seen", grouped(images) + (byImages ? ` of ${grouped(goal.images)}` : "")],
    ["epochs", round(epoch) + (goal.epochs && !byImages ? ` of ${round(goal.epochs)}` : "")],
    ["phase", trained.phase], ["images/s", speed ? grouped(speed) : null],
  ));
  $("health").replaceChildren(...trained.health.map(({ state: how, sentence, remedy }) =>
    make("li", { class: how === "ok" ? "" : "bad" }, sentence + (remedy ? `: ${remedy}` : ""))), ...Object.values(trained.not_checked).map((why) => make("li", { class: "none" }, `label coverage not checked: ${why}`)));
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

function drawCharts() {
  charts = trained.charts.map(drawChart);
  allowSaves("training", charts.length > 0, ["npz"]);
  $("charts").replaceChildren(...(charts.length ? charts.map(({ element }) => element) : [make("p", { class: "empty" }, "No records yet.")]));
  readCharts();
}

/* A chart as the server computed it. */
function drawChart({ title, caption, lines, points, marks, x_ticks: xTicks, y_ticks: yTicks, width, height, box: [left, top, right, bottom] }) {
  const svg = make("svg:svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": caption });
  for (const [y, text] of yTicks) {
    svg.append(make("svg:path", { class: "mark", d: `M${left} ${y}H${right}` }), make("svg:text", { x: left - 6, y: y + 4, "text-anchor": "end" }, text));
  }
  for (const [x, text] of xTicks) svg.append(make("svg:text", { x, y: bottom + 16, "text-anchor": x > right - 16 ? "end" : "middle" }, text));
  for (const [x, text] of marks) {
    const place = x > right - 90 ? { x: x - 4, "text-anchor": "end" } : { x: x + 4 };
    svg.append(make("svg:path", { class: "at", d: `M${x} ${top}V${bottom}` }), make("svg:text", { ...place, y: top + 10 }, text));
  }
  for (const [index, { colour, path, faint, is_dashed: isDashed }] of lines.entries()) {
    const stroke = `var(--c${colour % 10})`;
    if (faint) svg.append(make("svg:path", { class: "line faint", d: faint, stroke }));
    svg.append(make("svg:path", { class: `line${isDashed ? " dashed" : ""}${points[index].images.length === 1 ? " dot" : ""}`, d: path, stroke }));
  }
  const cursor = make("svg:path", { class: "at" });
  svg.append(cursor);
  const outputs = lines.map(() => make("output"));
  const legend = make("ul", { class: "legend" }, ...lines.map(({ name, colour, is_dashed: isDashed }, index) =>
    make("li", { class: isDashed ? "held-out" : "" }, make("i", { style: `--c: var(--c${colour % 10})` }), `${name} `, outputs[index])));
  const end = Math.max(...points.map(({ images }) => images.at(-1)));
  const read = (images) => {
    const x = left + (Math.min(images, end) / (end || 1)) * (right - left);
    cursor.setAttribute("d", `M${x} ${top}V${bottom}`);
    points.forEach((line, index) => {
      const distances = line.images.map((seen) => Math.abs(seen - images));
      outputs[index].textContent = line.values[distances.indexOf(Math.min(...distances))];
    });
  };
  const follow = (event) => {
    const area = svg.getBoundingClientRect();
    const share = ((event.clientX - area.left) * (width / area.width) - left) / (right - left);
    set("cursor", clamp((share * end) / lastImages(), 0, 1).toFixed(3));
    readCharts();
  };
  svg.addEventListener("pointermove", follow);
  svg.addEventListener("pointerdown", follow);
  return { element: make("figure", { "data-title": title }, make("h3", {}, title), svg, legend), read };
}

const lastImages = () => Math.max(1, ...trained.charts.flatMap(({ points }) => points.map(({ images }) => images.at(-1))));

function readCharts() {
  const at = Number(get("cursor"));
  $("cursor").value = at;
  $("cursor-at").textContent = `${grouped(at * lastImages())} images`;
  for (const { read } of charts) read(at * lastImages());
}

/* The chosen kind of snapshots if there are any, else another: an autoencoder has no samples. */
function shownKind() {
  const all = trained?.snapshots ?? {};
  const has = (kind) => all[kind]?.length > 0;
  return has(get("kind")) ? get("kind") : Object.keys(all).find(has) ?? get("kind");
}

const snapshotImages = () => trained?.snapshots[shownKind()] ?? [];

function showSnapshot() {
  $("kind").value = shownKind();
  for (const option of $("kind").options) option.disabled = option.value !== shownKind() && !trained.snapshots[option.value].length;
  const all = snapshotImages();
  const index = get("moment") === "" ? all.length - 1 : clamp(Number(get("moment")), 0, all.length - 1);
  allowSaves("training", all.length > 0, ["PNG", "GIF"]);
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
  const picture = $("snapshot").querySelector("img");
  const source = `${here()}/snapshots/${shownKind()}/${all[index]}`;
  if (picture.getAttribute("src") !== source) picture.src = source;
  picture.alt = `${capital(shownKind())} after ${grouped(all[index])} images`;
}

async function play() {
  if (playing) {
    playing = null;
    return;
  }
  const film = (playing = {});
  $("play").textContent = "Stop";
  const length = snapshotImages().length;
  for (let index = 0; index < length && playing === film; index += 1) {
    set("moment", index);
    showSnapshot();
    await $("snapshot").querySelector("img").decode().catch(() => {});
    await pause(250);
  }
  if (playing && playing !== film) return;  // it was stopped and started again
  playing = null;
  $("play").textContent = "Play";
}

function saveSnapshot() {
  const images = snapshotImages()[Number($("moment").value)];
  return saveAnswer(`${here()}/snapshots/${shownKind()}/${images}`, null, `${model.name}-${shownKind()}-${images}.png`);
}

const saveCurves = () => saveAnswer(`${here()}/training?form=npz`, null, `${model.name}-curves.npz`);
const saveAnimation = () => saveAnswer(`${here()}/snapshots/${shownKind()}`, null, `${model.name}-${shownKind()}.gif`);

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
