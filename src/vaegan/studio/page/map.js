"use strict";

/* The Map view: codes on a plane, and clusters. */

let codeMap = null;
let box = null;  // the visible part of the map: centre x, centre y, units per pixel

const mapQuery = () => ({ how: get("place"), num: get("points"), split: get("split"), k: get("k"), by: get("by") });
const clustersQuery = () => ({ k: get("k"), how: get("by"), num: get("points"), split: get("split") });

const showMap = latest(async () => {
  const wanted = `${version()} ${JSON.stringify(mapQuery())}`;
  if (codeMap?.wanted !== wanted) {
    $("map-canvas").classList.add("busy");
    if (codeMap?.of !== model.name) {
      codeMap = null;
      $("map-wait").hidden = false;
      $("galleries").replaceChildren(...Array.from({ length: 3 }, () => make("div", { class: "tiles" }, ...placeholders(12))));
      $("legend").replaceChildren();
    }
    for (const place of ["map", "clusters"]) allowSaves(place, false);
    try {
      const answer = await fetchJson(`${here()}/map`, mapQuery());
      codeMap = { ...answer, of: model.name, total: answer.of };
      codeMap.wanted = wanted;
      codeMap.rows = new Map(codeMap.indices.map((index, row) => [index, row]));
      box = null;
      showClusters();
    } catch (error) {
      codeMap = null;
      if (error.status !== 409) throw error;
      if (get("view") !== "map") return;
      return showLack("map", [sentence(error.message), ["samples", "image", "interpolate"]]);  // its data is not available
    } finally {
      $("map-canvas").classList.remove("busy");
      $("map-wait").hidden = true;
    }
  }
  countImages();
  $("colour").disabled = !codeMap.labels;
  $("colour").value = codeMap.labels ? get("colour") : "clusters";
  drawMap();
  allowSaves("map", true);
  if (get("picked") !== "") await pick(Number(get("picked")));
});

/* Of fewer images than an option names, it says how many there are. */
function countImages() {
  const { total, indices } = codeMap;
  $("map-title").textContent = `Map of ${grouped(indices.length)}${indices.length < total ? ` of ${grouped(total)}` : ""} codes`;
  const all = [...$("points").options].find((option) => Number(option.value) >= total);
  for (const option of $("points").options) {
    const isAll = Number(option.value) >= total;
    option.textContent = isAll ? `all ${grouped(total)}` : grouped(Number(option.value));
    option.hidden = isAll && option !== all && !option.selected;
  }
}

const showClusters = latest(async () => {
  const { clusters, split } = await fetchJson(`${here()}/clusters`, clustersQuery());
  allowSaves("clusters", true);
  await refill($("galleries"), ...clusters.map(({ name, images, indices }) => make("div", {},
    make("h3", {}, `Cluster ${name}`),
    make("div", { class: "tiles" }, ...images.map((uri, index) =>
      make("button", { type: "button", onclick: guarded(() => pick(indices[index])) },
        make("img", { src: uri, alt: `Image ${indices[index]} of ${split === "test" ? "held-out" : "training"} data` })))))));
});

function colours() {
  const byLabel = get("colour") === "labels" && codeMap.labels;
  return { groups: byLabel ? codeMap.labels : codeMap.clusters, names: byLabel ? codeMap.label_names : codeMap.cluster_names };
}

function colourOf(group, style) {
  return group < 10 ? style.getPropertyValue(`--c${Math.max(group, 0)}`) : `hsl(${(group * 137.5) % 360} 60% 55%)`;
}

function fitBox(canvas) {
  const [x, y, size] = get("box").split(",").map(Number);
  if ([x, y, size].every(Number.isFinite) && size > 0) return { x, y, unit: size };
  const [xs, ys] = [0, 1].map((axis) => codeMap.places.map((place) => place[axis]));
  const [left, right, low, high] = [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
  const unit = 1.08 * Math.max((right - left) / canvas.clientWidth, (high - low) / canvas.clientHeight) || 1;
  return { x: (left + right) / 2, y: (low + high) / 2, unit };
}

const toScreen = ([x, y], canvas) => [(x - box.x) / box.unit + canvas.clientWidth / 2, (box.y - y) / box.unit + canvas.clientHeight / 2];

function drawMap() {
  const canvas = $("map-canvas");
  if (!codeMap || !canvas.clientWidth) return;
  box ??= fitBox(canvas);
  const dense = window.devicePixelRatio || 1;
  canvas.width = canvas.clientWidth * dense;
  canvas.height = canvas.clientHeight * dense;
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  context.scale(dense, dense);
  context.fillStyle = style.getPropertyValue("--card");
  context.fillRect(0, 0, canvas.clientWidth, canvas.clientHeight);
  const { groups, names } = colours();
  const size = codeMap.places.length > 1500 ? 2.6 : 3.6;
  codeMap.places.forEach((place, row) => {
    const [x, y] = toScreen(place, canvas);
    context.fillStyle = colourOf(groups[row], style);
    context.beginPath();
    context.arc(x, y, size, 0, 7);
    context.fill();
  });
  const row = codeMap.rows.get(Number(get("picked") || NaN));
  if (row !== undefined) {
    const [x, y] = toScreen(codeMap.places[row], canvas);
    context.strokeStyle = style.getPropertyValue("--ink");
    context.lineWidth = 2.5;
    context.beginPath();
    context.arc(x, y, 8, 0, 7);
    context.stroke();
  }
  const used = [...new Set(groups)].filter((group) => group >= 0).sort((a, b) => a - b).slice(0, 50);
  $("legend").replaceChildren(...used.map((group) => {
    const dot = make("i");
    dot.style.background = colourOf(group, style);
    return make("li", {}, dot, names[group] ?? String(group));
  }));
}

function moveBox(dx, dy, zoom = 1, about = null) {
  const canvas = $("map-canvas");
  const [px, py] = about ?? [canvas.clientWidth / 2, canvas.clientHeight / 2];
  const [ox, oy] = [(px - canvas.clientWidth / 2) * box.unit, (canvas.clientHeight / 2 - py) * box.unit];
  box = { x: box.x + ox * (1 - zoom) + dx * box.unit, y: box.y + oy * (1 - zoom) + dy * box.unit, unit: box.unit * zoom };
  set("box", [box.x, box.y, box.unit].map((value) => value.toPrecision(6)).join(","));
  drawMap();
}

/* One of two fingers moves from a place to another: the points under the fingers stay under them. */
function pinch(from, to, other) {
  const apart = ([x, y]) => Math.max(1, Math.hypot(x - other[0], y - other[1]));
  moveBox((from[0] - to[0]) / 2, (to[1] - from[1]) / 2, apart(from) / apart(to), [(to[0] + other[0]) / 2, (to[1] + other[1]) / 2]);
}

function showAll() {
  set("box", "");
  box = null;
  drawMap();
}

function nearestTo(px, py) {
  const canvas = $("map-canvas");
  const distances = codeMap.places.map((place) => Math.hypot(...toScreen(place, canvas).map((at, axis) => at - [px, py][axis])));
  return codeMap.indices[distances.indexOf(Math.min(...distances))];
}

async function pick(index) {
  set("picked", index);
  $("pick").value = index;
  drawMap();
  const split = get("split");
  const answer = await fetchJson(`${here()}/examples/${index}`, { split });
  if (get("picked") !== String(index)) return;
  $("picked-empty").hidden = true;
  $("picked-shown").hidden = false;
  for (const part of ["original", "reconstruction"]) showFigure(`picked-${part}`, answer[part], capital(part));
  const row = codeMap.rows.get(index);
  const words = [answer.label && `label ${answer.label}`, row !== undefined && `cluster ${codeMap.clusters[row]}`];
  $("picked-text").textContent = `Image ${index}: ${words.filter(Boolean).join(", ")}`;
}

function saveClusters(form) {
  return saveAnswer(`${here()}/clusters?${query({ ...clustersQuery(), form })}`, null, `${model.name}-clusters.${form}`);
}

function connectMap() {
  const canvas = $("map-canvas");
  const fingers = new Map();  // position of each, and of the mouse, while it is down
  let dragged = false;
  const place = (event) => [event.offsetX, event.offsetY];
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    dragged = fingers.size > 0;
    fingers.set(event.pointerId, place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const from = fingers.get(event.pointerId);
    if (!from || !codeMap) return;
    const [x, y] = place(event);
    if (!dragged && Math.hypot(x - from[0], y - from[1]) < 5) return;
    dragged = true;
    fingers.set(event.pointerId, [x, y]);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) moveBox(from[0] - x, y - from[1]);
    else pinch(from, [x, y], other);
  });
  const lifted = (event) => fingers.delete(event.pointerId);
  canvas.addEventListener("pointercancel", lifted);
  canvas.addEventListener("pointerup", guarded(async (event) => {
    if (lifted(event) && !dragged && codeMap) await pick(nearestTo(...place(event)));
  }));
  canvas.addEventListener("wheel", (event) => {
    if (!codeMap) return;
    event.preventDefault();
    moveBox(0, 0, Math.exp(clamp(event.deltaY, -200, 200) / 400), place(event));
  }, { passive: false });
  canvas.addEventListener("keydown", guarded(async (event) => {
    const work = {
      "+": () => moveBox(0, 0, 0.8), "=": () => moveBox(0, 0, 0.8), "-": () => moveBox(0, 0, 1.25), Home: showAll,
      ArrowRight: () => moveBox(40, 0), ArrowLeft: () => moveBox(-40, 0), ArrowUp: () => moveBox(0, 40), ArrowDown: () => moveBox(0, -40),
      Enter: () => pick(nearestTo(canvas.clientWidth / 2, canvas.clientHeight / 2)),
    }[event.key];
    if (!work || !codeMap) return;
    event.preventDefault();
    await work();
  }));
  $("zoom-in").addEventListener("click", () => codeMap && moveBox(0, 0, 0.7));
  $("zoom-out").addEventListener("click", () => codeMap && moveBox(0, 0, 1 / 0.7));
  $("zoom-all").addEventListener("click", showAll);
  $("pick").addEventListener("change", guarded(() => pick(Number($("pick").value))));
  $("picked-open").addEventListener("click", () => openSource(`${get("split")}:${get("picked")}`));
}
