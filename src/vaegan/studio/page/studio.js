"use strict";

/* ---- small helpers ------------------------------------------------------------------------------------------- */

const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

/* Replaces what a place holds; what the keyboard was on there, by its name, it is on again. */
function refill(place, ...children) {
  const nameOf = (one) => one.getAttribute("aria-label") ?? one.closest("label")?.textContent ?? one.textContent;
  const name = place.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  place.replaceChildren(...children);
  if (name) [...place.querySelectorAll("button, input, select")].find((one) => nameOf(one) === name)?.focus();
}

const round = (value, digits = 3) => (value == null ? "–" : String(Number(Number(value).toPrecision(digits))));
const grouped = (value) => Math.round(value).toLocaleString("en");
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let hush = 0;
function say(words) {
  $("said").textContent = words;
  $("said").classList.add("seen");
  clearTimeout(hush);
  hush = setTimeout(() => $("said").classList.remove("seen"), 2500);
}

function complain(error) {
  if (error.name === "AbortError") return;
  $("problem").textContent = error.message;
  $("problem").hidden = false;
}

function guarded(work) {
  return async (...given) => {
    try {
      return await work(...given);
    } catch (error) {
      complain(error);
    }
  };
}

/* Runs work again after it has ended if it was asked for meanwhile; what lies between is left out. */
function latest(work) {
  let running = false;
  let next = null;
  return async function run(...given) {
    next = given;
    if (running) return;
    running = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await guarded(work)(...now);
      }
    } finally {
      running = false;
    }
  };
}

/* ---- codes and bytes as text ------------------------------------------------------------------------------------ */

function toText(bytes) {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const toBytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const packCode = (code) => toText(new Uint8Array(new Float32Array(code).buffer));

function unpackCode(text) {
  try {
    const bytes = toBytes(text);
    const code = [...new Float32Array(bytes.buffer)];
    return code.length === model.latent_dim && code.every(Number.isFinite) ? code : null;
  } catch {
    return null;
  }
}

/* ---- the view, kept in the address so that a link brings it back -------------------------------------------- */

const DEFAULTS = {
  view: "samples", model: "", seed: "0", num: "36", prior: "", label: "", told: "{}",
  source: "", examples: "0", attributes: "", dimensions: "",
  corners: "", count: "4", how: "linear", x: "0.5", y: "0.5",
  place: "pca", colour: "labels", k: "10", by: "kmeans", points: "1000", split: "test", picked: "", box: "",
  kind: "samples", moment: "", cursor: "1", models: "",
};
let params = new URLSearchParams(location.hash.slice(1));
const get = (name) => params.get(name) ?? DEFAULTS[name];

function set(name, value) {
  if (String(value) === DEFAULTS[name]) params.delete(name);
  else params.set(name, value);
  history.replaceState(null, "", `#${params}`);
}

const pairs = (text) => Object.fromEntries(text.split(",").filter(Boolean).map((pair) => {
  const cut = pair.lastIndexOf(":");
  return [decodeURIComponent(pair.slice(0, cut)), Number(pair.slice(cut + 1))];
}));
const fromPairs = (values) => Object.entries(values).map(([name, value]) => `${encodeURIComponent(name)}:${value}`).join(",");

/* ---- asking the server ------------------------------------------------------------------------------------------- */

async function ask(path, body) {
  const options = {};
  if (body instanceof FormData) Object.assign(options, { method: "POST", body });
  else if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw new Error("The server does not answer; is it still running?", { cause: error });
  }
  if (answer.status === 401) {
    await askForToken();
    return ask(path, body);
  }
  if (!answer.ok) {
    const told = await answer.json().catch(() => ({}));
    throw new Error(told.error ?? `The server answered ${answer.status}.`);
  }
  return answer;
}

const of = (name) => `api/models/${encodeURIComponent(name)}`;
const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value != null));
const fetchJson = async (path, values = {}) => (await ask(`${path}?${query(values)}`)).json();
const postJson = async (path, body) => (await ask(path, body)).json();

let asking = null;
function askForToken() {
  asking ??= (async () => {
    const dialog = $("ask");
    for (;;) {
      dialog.showModal();
      await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
      if (await giveToken($("token").value)) break;
      $("ask-problem").textContent = "This is not the token.";
    }
    asking = null;
  })();
  return asking;
}

async function giveToken(token) {
  const body = JSON.stringify({ token });
  const answer = await fetch("api/token", { method: "POST", body, headers: { "Content-Type": "application/json" } });
  return answer.ok;
}

/* ---- saving what is seen ---------------------------------------------------------------------------------------- */

function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  say(`Saved ${name}`);
}

const saveArrays = (arrays, name) => download(new Blob([npz(arrays)], { type: "application/octet-stream" }), name);

async function saveAnswer(path, body, name) {
  download(await (await ask(path, body)).blob(), name);
}

const canvasBlob = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

/* Rows of figures as they stand on the page, [title, [[image element, caption], ...]], as one picture. */
async function savePicture(rows, name) {
  const side = 168, gap = 16, top = 30, bottom = 24;
  const columns = Math.max(...rows.map(([, figures]) => figures.length));
  const canvas = make("canvas", { width: gap + columns * (side + gap), height: gap + rows.length * (top + side + bottom) });
  const context = canvas.getContext("2d");
  const style = getComputedStyle(document.documentElement);
  context.fillStyle = style.getPropertyValue("--card");
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.imageSmoothingEnabled = false;
  rows.forEach(([title, figures], row) => {
    const y = gap + row * (top + side + bottom);
    context.fillStyle = style.getPropertyValue("--ink");
    context.font = "600 14px system-ui, sans-serif";
    context.fillText(title, gap, y + 14);
    figures.forEach(([image, caption], column) => {
      const x = gap + column * (side + gap);
      const scale = Math.min(side / image.naturalWidth, side / image.naturalHeight);
      context.drawImage(image, x, y + top, image.naturalWidth * scale, image.naturalHeight * scale);
      context.fillStyle = style.getPropertyValue("--quiet");
      context.font = "12px system-ui, sans-serif";
      context.fillText(caption, x, y + top + side + 15, side);
    });
  });
  download(await canvasBlob(canvas), name);
}

const SAVES = {
  samples: {
    PNG: () => saveSamples("png"), GIF: () => saveSamples("gif"), npz: () => saveSamples("npz"),
  },
  image: { PNG: () => saveImage("png"), GIF: () => saveImage("gif"), npz: () => saveImage("npz") },
  between: { PNG: () => saveBetween("png"), GIF: () => saveBetween("gif"), npz: () => saveBetween("npz") },
  map: {
    PNG: async () => download(await canvasBlob($("map-canvas")), `${model.name}-map.png`),
    npz: () => saveAnswer(`${here()}/map?${query({ ...mapAsked(), form: "npz" })}`, null, `${model.name}-map.npz`),
  },
  clusters: {
    PNG: () => saveClusters("png"), GIF: () => saveClusters("gif"), npz: () => saveClusters("npz"),
  },
  training: { PNG: () => saveSnapshot(), GIF: () => saveFilm(), npz: () => saveCurves() },
  compare: { PNG: () => saveCompared(), npz: () => saveCodes() },
};

function addSaves() {
  for (const place of document.querySelectorAll("[data-save]")) {
    place.append("Save");
    for (const [form, work] of Object.entries(SAVES[place.dataset.save])) {
      place.append(make("button", { type: "button", "aria-label": `Save ${form}`, onclick: guarded(work) }, form));
    }
  }
}

/* ---- models --------------------------------------------------------------------------------------------------------- */

let models = [];
let model = null;
const here = () => of(model.name);
const KINDS = {
  ae: "autoencoder", vae: "VAE", gan: "GAN", "vae-dis-l": "VAE with a discriminator's layer as metric", vaegan: "VAE/GAN",
};

/* Which state of which model is shown; what is kept of another is fetched again. */
const version = () => `${model.name} ${model.version}`;

async function loadModels() {
  models = (await fetchJson("api/models")).models;
  $("model").replaceChildren(...models.map(({ name }) => make("option", { value: name }, name)));
}

/* A run that goes on may have its first model by now, or another, or other attribute vectors. */
const lookAgain = latest(async () => {
  const before = JSON.stringify(models);
  await loadModels();
  $("model").value = model.name;
  if (JSON.stringify(models) !== before) {
    chooseModel();
    if (get("view") === "training") fillControls();
    else showView();
  } else if (!model.ready && NEEDS_MODEL.includes(get("view"))) poll = setTimeout(lookAgain, 3000);
});

function chooseModel() {
  model = models.find(({ name }) => name === get("model")) ?? models[0];
  $("model").value = model.name;
  document.title = `${model.name} – vaegan studio`;
  $("about").textContent = model.ready ? aboutModel(model) : `${model.name}: ${model.reason}.`;
  $("tab-compare").hidden = models.length < 2;
  if (!model.ready) return;
  const priors = model.priors.map(({ name }) => make("option", { value: name }, name));
  $("prior").replaceChildren(make("option", { value: "" }, model.default_prior ? `best (${model.default_prior})` : "none"), ...priors);
  $("label").replaceChildren(make("option", { value: "" }, "any"), ...model.labels.map((name) => make("option", {}, name)));
  $("label").disabled = !model.labels.length;
  $("place").replaceChildren(...model.maps.map((name) => make("option", {}, name)));
  fillTold();
}

function aboutModel({ kind, image, latent_dim: dims, data, info }) {
  const words = [
    `${KINDS[kind]}, ${image.width} × ${image.height} ${image.channels === 1 ? "grey" : "colour"}, ${dims} dimensions`,
    info.recipe && `recipe ${info.recipe}`, data && `data ${data}`, info.images && `${grouped(info.images)} images seen`,
  ];
  return words.filter(Boolean).join(" · ");
}

/* What a conditional model is told: a label, or a value for each attribute; nothing where it is left empty. */
function fillTold() {
  const place = $("told");
  const told = toldNow();
  place.hidden = !model.condition;
  place.replaceChildren(place.querySelector("legend"));
  if (!model.condition) return;
  if (model.condition.kind === "labels") {
    const options = model.condition.names.map((name) => make("option", { selected: told.label === name }, name));
    const select = make("select", { onchange: () => tell(select.value ? { label: select.value } : {}) },
      make("option", { value: "" }, "in turn"), ...options);
    place.append(make("label", {}, "Label ", select));
    return;
  }
  for (const name of model.condition.names) {
    const input = make("input", {
      type: "number", step: "any", placeholder: "as data", value: told.attributes?.[name],
      onchange: () => {
        const attributes = { ...toldNow().attributes };
        if (input.value === "") delete attributes[name];
        else attributes[name] = Number(input.value);
        tell({ attributes });
      },
    });
    place.append(make("label", {}, `${name} `, input));
  }
}

function tell(told) {
  set("told", JSON.stringify(told));
  showView();
}

function toldNow() {
  try {
    return JSON.parse(get("told"));
  } catch {
    return {};
  }
}

const told = () => (model.condition ? toldNow() : null);

/* Of an image of the data what is known of it, until something else is told. */
const toldOfImage = () => (model.condition && !Object.keys(toldNow()).length ? image.told ?? {} : told());

/* ---- samples ------------------------------------------------------------------------------------------------------- */

function samplesAsked(name = model.name) {
  const values = query({ num: get("num"), seed: get("seed") });
  if (name === model.name) {
    const label = get("label") || told()?.label;
    if (get("prior") && !(get("label") && !knowsLabels(get("prior")))) values.set("prior", get("prior"));
    if (label) values.set("label", label);
    for (const [attribute, value] of Object.entries(told()?.attributes ?? {})) values.append("attribute", `${attribute}=${value}`);
  }
  return values;
}

const knowsLabels = (prior) => model.condition || model.priors.some((one) => one.name === prior && one.knows_labels);

const showSamples = latest(async () => {
  const grid = $("samples-grid");
  grid.classList.add("busy");
  const seed = get("seed");
  try {
    const { images, codes, prior } = await (await ask(`${here()}/samples?${samplesAsked()}`)).json();
    const label = get("label");
    $("samples-note").textContent = `Codes drawn from ${prior}${label ? ` ${label}` : ""}, seed ${seed}. Click an image to edit it.`;
    grid.replaceChildren(...images.map((uri, index) =>
      make("button", { type: "button", onclick: () => openCode(codes[index]) },
        make("img", { src: uri, alt: `Sample ${index + 1} of seed ${seed}${label ? `, ${label}` : ""}` }))));
  } catch (error) {
    grid.replaceChildren(make("p", { class: "empty" }, "No samples."));
    throw error;
  } finally {
    grid.classList.remove("busy");
  }
});

function saveSamples(form) {
  const values = samplesAsked();
  values.set("form", form);
  return saveAnswer(`${here()}/samples?${values}`, null, `${model.name}-samples-${get("seed")}.${form}`);
}

/* ---- one image: code, reconstruction, error; edits --------------------------------------------------------------- */

let image = null;
let leading = [];
let lastFile = null;
let longest = 60_000;  // characters of an image in a link

function openCode(code) {
  openSource(`z:${packCode(code)}`);
}

function openSource(source) {
  set("source", source);
  set("attributes", "");
  set("dimensions", "");
  openView("image");
}

async function sendFile(file) {
  if (!file) return;
  checkEncoder();
  const answer = await postJson(`${here()}/reconstruct`, uploadBody(file));
  const whole = `png:${toText(toBytes(answer.original.split(",")[1]))}`;
  const source = whole.length > longest ? `z:${packCode(answer.code)}` : whole;
  lastFile = { file, source };
  if (source !== whole) say("The image is too large for a link; a link brings its code back.");
  openSource(source);
}

function checkEncoder() {
  if (!model.ready) throw new Error(model.reason);
  if (!("encoder" in model.parts)) throw new Error(`${model.name} has no encoder: it makes images, but takes none.`);
}

function uploadBody(file) {
  const body = new FormData();
  body.append("file", file);
  if (told()) body.append("told", JSON.stringify(told()));
  return body;
}

async function fetchSource(name, source) {
  const cut = source.indexOf(":");
  const [kind, rest] = [source.slice(0, cut), source.slice(cut + 1)];
  if (kind === "test" || kind === "train") {
    const answer = await fetchJson(`${of(name)}/examples/${encodeURIComponent(rest)}`, { split: kind });
    return { ...answer, title: `${kind === "test" ? "Held-out" : "Training"} image ${rest}${answer.label ? `: ${answer.label}` : ""}` };
  }
  if (kind === "png" || lastFile?.source === source) {
    const file = lastFile?.source === source ? lastFile.file : new Blob([toBytes(rest)], { type: "image/png" });
    return { ...(await postJson(`${of(name)}/reconstruct`, uploadBody(file))), title: "Your image" };
  }
  const code = unpackCode(rest);
  if (!code) return null;
  const answer = await postJson(`${of(name)}/decode`, { codes: [code], told: told() });
  return { code, reconstruction: answer.images[0], title: "A code" };
}

const showImage = latest(async () => {
  const wanted = `${version()} ${get("source")} ${get("told")}`;
  const hasEncoder = "encoder" in model.parts;
  $("drop").classList.toggle("off", !hasEncoder);
  $("file").disabled = !hasEncoder;
  showExamples();
  if (image?.wanted !== wanted) {
    image = get("source") ? await fetchSource(model.name, get("source")) : null;
    if (image && !image.code) image = null;  // a model without an encoder shows images of the data, but has no codes of them
    if (image) image.wanted = wanted;
  }
  $("image-empty").hidden = Boolean(image);
  $("image-shown").hidden = $("sliders").hidden = $("code-part").hidden = !image;
  if (!image) return;
  $("image-title").textContent = image.title;
  for (const [part, uri] of [["original", image.original], ["reconstruction", image.reconstruction], ["error", image.error_map]]) {
    $(`figure-${part}`).hidden = !uri;
    if (uri) $(`figure-${part}`).querySelector("img").src = uri;
  }
  $("figure-reconstruction").querySelector("figcaption").textContent = image.original ? "Reconstruction" : "Decoded";
  const facts = [["KL, nats", image.kl], ["mean squared error", image.mean_squared_error], ["mean absolute error", image.mean_absolute_error]];
  $("image-facts").replaceChildren(...facts.filter(([, value]) => value != null).map(([name, value]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, round(value)))));
  await edit();
  await fillSliders();  // the first time it may take a while
});

let examplesShown = "";
const showExamples = guarded(async () => {
  const wanted = `${model.name} ${get("examples")}`;
  if (examplesShown === wanted) return;
  examplesShown = wanted;
  $("examples-part").hidden = true;
  if (!model.data || !("encoder" in model.parts)) return;
  const { images, indices, labels } = await fetchJson(`${here()}/examples`, { num: 12, seed: get("examples") }).catch(() => ({ images: [] }));
  $("examples").replaceChildren(...images.map((uri, index) =>
    make("button", { type: "button", onclick: () => openSource(`test:${indices[index]}`) },
      make("img", { src: uri, alt: `Image ${indices[index]}${labels[index] ? `: ${labels[index]}` : ""}` }))));
  $("examples-part").hidden = !images.length;
});

function range(name, detail, value, change, reach = 4) {
  const output = make("output", {}, value.toFixed(2));
  const input = make("input", { type: "range", min: -reach, max: reach, step: reach / 80, "aria-label": `${name}${detail ? `, ${detail}` : ""}` });
  input.value = value;
  input.addEventListener("input", () => {
    output.textContent = Number(input.value).toFixed(2);
    change(Number(input.value));
  });
  return make("label", {}, make("span", {}, name, detail ? make("small", {}, detail) : null), input, output);
}

function moved(state, name, value) {
  const values = pairs(get(state));
  if (value === null) delete values[name];
  else values[name] = value;
  set(state, fromPairs(values));
  edit();
}

/* How far a slider goes: past the value and four deviations, at least as far as codes of N(0, 1) do. */
function reachOf(value, deviation) {
  const usual = model.kind === "ae" ? deviation || 1 : Math.max(1, deviation ?? 1);
  return 2 ** Math.ceil(Math.log2(Math.max(4 * usual, Math.abs(value))));
}

async function fillSliders() {
  if (leading.of !== version()) {
    leading = (await fetchJson(`${here()}/dimensions`, { num: 12 })).dimensions;
    leading.of = version();
  }
  const strengths = pairs(get("attributes"));
  $("attributes-note").textContent = model.attributes.length
    ? "1 goes from the mean without to the mean with; less than 0 takes away."
    : `None are saved with this model. Make them: vaegan attributes ${model.source}`;
  $("attributes").replaceChildren(...model.attributes.map((name) =>
    range(name.replaceAll("_", " "), "", strengths[name] ?? 0, (value) => moved("attributes", name, value || null))));
  const values = pairs(get("dimensions"));
  const known = leading.some(({ kl }) => kl != null);
  $("dimensions-note").textContent = known ? "Those that say most about images, by their mean KL." : "The first dimensions of the code.";
  $("dimensions").replaceChildren(...leading.map(({ dimension, kl, deviation }) => {
    const value = values[dimension] ?? image.code[dimension];
    const change = (to) => moved("dimensions", dimension, to);
    return range(`z${dimension}`, kl == null ? "" : `${round(kl)} nats`, value, change, reachOf(value, deviation));
  }));
}

const edit = latest(async () => {
  const body = { codes: [image.code], attributes: pairs(get("attributes")), dimensions: pairs(get("dimensions")), told: toldOfImage() };
  const { images, codes } = await postJson(`${here()}/decode`, body);
  image.edited = codes[0];
  $("figure-edited").querySelector("img").src = images[0];
  const changes = { ...body.attributes, ...Object.fromEntries(Object.entries(body.dimensions).map(([d, v]) => [`z${d}`, v])) };
  const words = Object.entries(changes).map(([name, value]) => `${name.replaceAll("_", " ")} ${round(value, 2)}`).join(", ");
  $("figure-edited").querySelector("figcaption").textContent = words ? `Edited: ${words}` : "Edited: nothing yet";
  $("preview").querySelector("img").src = images[0];
  $("preview").querySelector("span").textContent = words || "Nothing edited yet";
  drawCode();
});

function drawCode() {
  const code = image.edited;
  const wide = 640, high = 120, reach = Math.max(3, ...code.map(Math.abs));
  const step = wide / code.length, middle = high / 2;
  const svg = make("svg:svg", { viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(make("svg:line", { x1: 0, x2: wide, y1: middle, y2: middle, stroke: "var(--line)", "stroke-width": 1 }));
  code.forEach((value, index) => {
    const height = (Math.abs(value) / reach) * (middle - 2);
    const changed = Math.abs(value - image.code[index]) > 1e-4;
    svg.append(make("svg:rect", {
      x: index * step + step * 0.12, width: step * 0.76, y: value > 0 ? middle - height : middle, height: Math.max(height, 0.5),
      fill: changed ? "var(--c1)" : "var(--c0)",
    }));
  });
  const largest = code.reduce((best, value, index) => (Math.abs(value) > Math.abs(code[best]) ? index : best), 0);
  $("code-chart").setAttribute("aria-label", `Code of ${code.length} numbers, the largest ${round(code[largest])} in dimension ${largest}`);
  $("code-chart").replaceChildren(svg);
  $("code-numbers").textContent = code.map((value) => round(value)).join("  ");
}

function saveImage(form) {
  const name = `${model.name}-image.${form}`;
  if (!image) throw new Error("There is no image to save yet.");
  if (form === "npz") return saveAnswer(`${here()}/decode`, { codes: [image.code, image.edited], told: toldOfImage(), form }, name);
  if (form === "gif") return saveAnswer(`${here()}/interpolate`, { codes: [image.code, image.edited], steps: 16, told: toldOfImage(), form }, name);
  const shown = [...document.querySelectorAll("#image-shown .figures figure")].filter((figure) => !figure.hidden);
  return savePicture([[`${model.name}: ${image.title}`, shown.map((figure) => [figure.querySelector("img"), figure.textContent])]], name);
}

/* ---- between images ------------------------------------------------------------------------------------------------- */

let corners = [];
const NAMES = { 2: ["Left", "Right"], 3: ["Left above", "Right above", "Below"], 4: ["Left above", "Right above", "Left below", "Right below"] };
const count = () => Number(get("count"));

function keepCorners() {
  set("corners", corners.map(packCode).join("."));
}

async function readCorners() {
  const kept = get("corners").split(".").filter(Boolean).map(unpackCode);
  corners = kept.every(Boolean) ? kept : [];
  if (corners.length < count()) {
    corners = [...corners, ...(await firstCorners()).slice(corners.length)];
    keepCorners();
  }
}

/* Codes of samples; of a model that has no prior to draw from, those of images. */
async function firstCorners() {
  const asked = { num: 4, seed: get("seed") };
  if (model.default_prior || !model.data) return (await fetchJson(`${here()}/samples`, asked)).codes;
  const { indices } = await fetchJson(`${here()}/examples`, asked);
  return Promise.all(indices.map(async (index) => (await fetchJson(`${here()}/examples/${index}`)).code));
}

const showBetween = latest(async () => {
  await readCorners();
  $("down-part").hidden = count() === 2;
  const used = corners.slice(0, count());
  const { images } = await postJson(`${here()}/decode`, { codes: used, told: told() });
  refill($("corners"), ...used.map((_, index) => cornerRow(index, images[index])));
  await drawPad(used);
  await blend();
});

function cornerRow(index, uri) {
  const name = NAMES[count()][index];
  const button = (words, work) => make("button", { type: "button", "aria-label": `${words}: ${name}`, onclick: guarded(work) }, words);
  return make("div", { class: "corner" }, make("img", { src: uri, alt: `Corner: ${name}` }),
    make("div", {}, make("strong", {}, name),
      button("Sample", async () => setCorner(index, (await fetchJson(`${here()}/samples`, { num: 1, seed: Math.floor(Math.random() * 2 ** 31) })).codes[0])),
      model.data && "encoder" in model.parts ? button("Example", async () => {
        const { indices } = await fetchJson(`${here()}/examples`, { num: 1, seed: Math.floor(Math.random() * 2 ** 31) });
        setCorner(index, (await fetchJson(`${here()}/examples/${indices[0]}`)).code);
      }) : null,
      "encoder" in model.parts ? button("File", () => {
        $("corner-file").dataset.corner = index;
        $("corner-file").click();
      }) : null,
      image?.edited?.length === model.latent_dim ? button("From Image", async () => setCorner(index, image.edited)) : null));
}

async function sendCorner(index, file) {
  if (!file) return;
  checkEncoder();
  setCorner(index, (await postJson(`${here()}/encode`, uploadBody(file))).code);
}

function setCorner(index, code) {
  corners[index] = code;
  keepCorners();
  showBetween();
}

async function drawPad(used) {
  const steps = count() === 2 ? 9 : 7;
  const body = { codes: used, steps, how: get("how"), told: told() };
  const { images } = await postJson(`${here()}/interpolate`, body);
  $("pad-images").style.gridTemplateColumns = `repeat(${steps}, 1fr)`;
  $("pad-images").replaceChildren(...images.map((uri) => make("img", { src: uri, alt: "" })));
}

const blend = latest(async () => {
  const [x, y] = [Number(get("x")), count() === 2 ? 0.5 : Number(get("y"))];
  $("right").value = x;
  $("down").value = y;
  $("handle").style.left = `${100 * x}%`;
  $("handle").style.top = `${100 * y}%`;
  const body = { codes: corners.slice(0, count()), places: [[x, count() === 2 ? 0 : y]], how: get("how"), told: told() };
  const { images, codes } = await postJson(`${here()}/interpolate`, body);
  $("figure-blend").dataset.code = JSON.stringify(codes[0]);
  $("figure-blend").querySelector("img").src = images[0];
  const words = `${Math.round(100 * x)} % to the right${count() === 2 ? "" : `, ${Math.round(100 * y)} % down`}`;
  $("figure-blend").querySelector("figcaption").textContent = words;
});

function moveTo(x, y) {
  set("x", clamp(x, 0, 1).toFixed(2));
  set("y", clamp(y, 0, 1).toFixed(2));
  blend();
}

function saveBetween(form) {
  const steps = count() === 2 ? 16 : form === "gif" ? 12 : 9;
  const body = { codes: corners.slice(0, count()), steps, how: get("how"), told: told(), form };
  return saveAnswer(`${here()}/interpolate`, body, `${model.name}-between.${form}`);
}

/* ---- map and clusters ----------------------------------------------------------------------------------------------- */

let codeMap = null;
let box = null;  // what is seen of the map: middle x, middle y, units per pixel

function mapAsked() {
  return { how: get("place"), num: get("points"), split: get("split"), k: get("k"), by: get("by") };
}

const clustersAsked = () => ({ k: get("k"), how: get("by"), num: get("points"), split: get("split") });

const showMap = latest(async () => {
  const wanted = `${version()} ${JSON.stringify(mapAsked())}`;
  if (codeMap?.wanted !== wanted) {
    $("map-canvas").classList.add("busy");
    try {
      codeMap = await fetchJson(`${here()}/map`, mapAsked());
      codeMap.wanted = wanted;
      codeMap.rows = new Map(codeMap.indices.map((index, row) => [index, row]));
      box = null;
      showClusters();
    } catch (error) {
      codeMap = null;
      $("galleries").replaceChildren();
      throw error;
    } finally {
      $("map-canvas").classList.remove("busy");
    }
  }
  $("colour").disabled = !codeMap.labels;
  $("colour").value = codeMap.labels ? get("colour") : "clusters";
  drawMap();
  if (get("picked") !== "") await pick(Number(get("picked")));
});

const showClusters = guarded(async () => {
  const { clusters, split } = await fetchJson(`${here()}/clusters`, clustersAsked());
  $("galleries").replaceChildren(...clusters.map(({ name, images, indices }) => make("div", {},
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
  const kept = get("box").split(",").map(Number);
  if (kept.length === 3 && kept.every(Number.isFinite) && kept[2] > 0) return { x: kept[0], y: kept[1], unit: kept[2] };
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

/* One of two fingers goes from a place to another: what is under the fingers stays there. */
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
  $("picked-original").querySelector("img").src = answer.original;
  $("picked-reconstruction").querySelector("img").src = answer.reconstruction;
  for (const part of ["original", "reconstruction"]) $(`picked-${part}`).querySelector("figcaption").textContent = part[0].toUpperCase() + part.slice(1);
  const row = codeMap.rows.get(index);
  const words = [answer.label && `label ${answer.label}`, row !== undefined && `cluster ${codeMap.clusters[row]}`];
  $("picked-text").textContent = `Image ${index}: ${words.filter(Boolean).join(", ")}`;
}

function saveClusters(form) {
  return saveAnswer(`${here()}/clusters?${query({ ...clustersAsked(), form })}`, null, `${model.name}-clusters.${form}`);
}

/* ---- training ------------------------------------------------------------------------------------------------------ */

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

/* ---- side by side --------------------------------------------------------------------------------------------------- */

const compared = new Map();  // codes of what is shown, by model

const chosenModels = () => models.filter(({ name, ready }) => ready && (get("models") === "" || get("models").split("/").includes(name)));

const showCompare = latest(async () => {
  refill($("chosen-models"), ...models.filter(({ ready }) => ready).map(({ name }) => {
    const box = make("input", { type: "checkbox", checked: chosenModels().some((one) => one.name === name) });
    box.addEventListener("change", () => {
      const names = [...$("chosen-models").querySelectorAll("input")].map((one, index) => [one.checked, models.filter(({ ready }) => ready)[index].name]);
      set("models", names.filter(([checked]) => checked).map(([, one]) => one).join("/") || "-");
      showCompare();
    });
    return make("label", {}, box, name);
  }));
  compared.clear();
  $("compared").replaceChildren(...(await Promise.all(chosenModels().map(comparedCard))));
  if (!chosenModels().length) $("compared").append(make("p", { class: "empty" }, "Choose a model."));
});

async function comparedCard(one) {
  const card = make("article", { class: "card", "aria-label": one.name }, make("h2", {}, one.name), make("p", { class: "quiet" }, aboutModel(one)));
  const { images, codes, prior } = await fetchJson(`${of(one.name)}/samples`, { num: 10, seed: get("seed") }).catch((error) => ({ images: [], prior: error.message }));
  compared.set(one.name, { samples: codes });
  card.append(make("h3", {}, `Samples, ${prior}`), make("div", { class: "tiles" }, ...images.map((uri, index) => make("img", { src: uri, alt: `Sample ${index + 1} of ${one.name}` }))));
  const shown = await comparedImage(one).catch((error) => ({ problem: error.message }));
  card.append(make("h3", {}, "The same image"));
  if (!shown || shown.problem) {
    card.append(make("p", { class: "empty" }, shown?.problem ?? "No image chosen yet; choose one in Image, or take another image here."));
    return card;
  }
  compared.get(one.name).image = [shown.code];
  const figure = (uri, name) => make("figure", {}, make("img", { src: uri, alt: `${name}, ${one.name}` }), make("figcaption", {}, name));
  card.append(make("div", { class: "figures" }, figure(shown.original, "Original"), figure(shown.reconstruction, "Reconstruction"), figure(shown.error_map, "Error")));
  const facts = [["mean squared error", shown.mean_squared_error], ["KL, nats", shown.kl]].filter(([, value]) => value != null);
  card.append(make("dl", { class: "facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, round(value))))));
  return card;
}

/* The chosen image as this model sees it; one of the data is sent to models of other data as a file. */
async function comparedImage(one) {
  const source = get("source");
  const file = lastFile?.source === source ? lastFile.file : null;
  if (!source || (source.startsWith("z:") && !file) || !("encoder" in one.parts)) return null;
  const conditions = told() && one.name === model.name ? { told: JSON.stringify(told()) } : {};
  const body = new FormData();
  for (const [name, value] of Object.entries(conditions)) body.append(name, value);
  if (file) body.append("file", file);
  else if (source.startsWith("png:")) body.append("file", new Blob([toBytes(source.slice(4))], { type: "image/png" }));
  else {
    const answer = await fetchSource(model.name, source);
    body.append("file", new Blob([toBytes(answer.original.split(",")[1])], { type: "image/png" }));
  }
  return postJson(`${of(one.name)}/reconstruct`, body);
}

async function anotherImage() {
  if (!model.data) throw new Error(`${model.name} has no data here; choose an image in Image.`);
  const { indices } = await fetchJson(`${here()}/examples`, { num: 1, seed: Math.floor(Math.random() * 2 ** 31) });
  set("source", `test:${indices[0]}`);
  set("attributes", "");
  set("dimensions", "");
  await showCompare();
}

function saveCompared() {
  const rows = [...document.querySelectorAll("#compared article")].map((card) => [
    card.getAttribute("aria-label"),
    [...card.querySelectorAll("figure")].map((figure) => [figure.querySelector("img"), figure.textContent])
      .concat([...card.querySelectorAll(".tiles img")].slice(0, 5).map((one) => [one, "sample"])),
  ]);
  return savePicture(rows, "side-by-side.png");
}

/* Of each model the codes of its samples, and that of the image if there is one. */
function saveCodes() {
  const arrays = [...compared].flatMap(([name, { samples, image: code }]) =>
    [["samples", samples], ["image", code]].filter(([, codes]) => codes).map(([what, codes]) =>
      [`${name}/${what}`, { shape: [codes.length, codes[0].length], values: Float32Array.from(codes.flat()) }]));
  if (!arrays.length) throw new Error("There are no codes to save; choose a model.");
  saveArrays(Object.fromEntries(arrays), "side-by-side.npz");
}

/* ---- views ---------------------------------------------------------------------------------------------------------- */

const VIEWS = { samples: showSamples, image: showImage, between: showBetween, map: showMap, training: showTraining, compare: showCompare };
const NEEDS_MODEL = ["samples", "image", "between", "map"];

function openView(name) {
  set("view", name);
  showView();
  lookAgain();
}

function showView() {
  const wanted = get("view") in VIEWS ? get("view") : "samples";
  $("problem").hidden = true;
  clearTimeout(poll);
  playing = false;
  for (const name of Object.keys(VIEWS)) {
    const chosen = name === wanted;
    $(name).hidden = !chosen;
    $(`tab-${name}`).setAttribute("aria-selected", chosen);
    $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
    if (chosen) $(`tab-${name}`).scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  fillControls();
  if (!model.ready && NEEDS_MODEL.includes(wanted)) {
    complain(new Error(model.reason));
    poll = setTimeout(lookAgain, 3000);
    return;
  }
  VIEWS[wanted]();
}

function fillControls() {
  for (const control of document.querySelectorAll("[data-state]")) {
    control.value = get(control.dataset.state);
    if (control.tagName === "SELECT" && control.selectedIndex < 0) control.selectedIndex = 0;
  }
}

function start() {
  chooseModel();
  showView();
}

function onTabKey(event) {
  const tabs = [...document.querySelectorAll("[role=tab]")].filter((tab) => !tab.hidden);
  const at = tabs.indexOf(event.target);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  const tab = tabs[to % tabs.length];
  openView(tab.id.slice(4));
  tab.focus();
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").setAttribute("aria-pressed", dark);
  if (model) drawMap();
}

function connect() {
  for (const tab of document.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => openView(tab.id.slice(4)));
  document.querySelector("[role=tablist]").addEventListener("keydown", onTabKey);
  for (const form of document.querySelectorAll("form.controls")) form.addEventListener("submit", (event) => event.preventDefault());
  for (const control of document.querySelectorAll("[data-state]")) {
    control.addEventListener("change", () => {
      if (!control.reportValidity()) return;
      set(control.dataset.state, control.value);
      if (control.id === "kind") set("moment", "");
      if (["points", "split", "place"].includes(control.dataset.state)) set("box", "");
      if (control.dataset.state === "split") set("picked", "");
      showView();
    });
  }
  $("model").addEventListener("change", () => {
    for (const name of ["prior", "label", "told", "attributes", "dimensions", "corners", "box", "picked", "moment"]) set(name, DEFAULTS[name]);
    set("model", $("model").value);
    start();
  });
  $("link").addEventListener("click", guarded(async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      say("Link copied");
    } catch {
      prompt("The link to this view:", location.href);
    }
  }));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();  // the address is the view's
    $("main-part").focus();
  });
  const system = matchMedia("(prefers-color-scheme: dark)");
  setTheme(system.matches);
  system.addEventListener("change", () => setTheme(system.matches));
  $("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  $("draw").addEventListener("click", () => {
    set("seed", (Number(get("seed")) + 1) % 2 ** 31);
    showView();
  });
  connectImage();
  connectPad();
  connectMap();
  $("cursor").addEventListener("input", () => {
    set("cursor", $("cursor").value);
    readCharts();
  });
  $("moment").addEventListener("input", () => {
    set("moment", $("moment").value);
    showSnapshot();
  });
  $("play").addEventListener("click", guarded(play));
  $("another").addEventListener("click", guarded(anotherImage));
  addEventListener("hashchange", () => {
    params = new URLSearchParams(location.hash.slice(1));
    box = null;
    start();
  });
  addEventListener("resize", drawMap);
}

function connectImage() {
  $("file").addEventListener("change", guarded(async () => {
    await sendFile($("file").files[0]);
    $("file").value = "";
  }));
  $("corner-file").addEventListener("change", guarded(async () => {
    await sendCorner(Number($("corner-file").dataset.corner), $("corner-file").files[0]);
    $("corner-file").value = "";
  }));
  connectDrops();
  addEventListener("paste", guarded(async (event) => {
    if (get("view") === "image") await sendFile([...(event.clipboardData?.files ?? [])][0]);
  }));
  $("more").addEventListener("click", () => {
    set("examples", Number(get("examples")) + 1);
    showExamples();
  });
  $("reset").addEventListener("click", () => {
    set("attributes", "");
    set("dimensions", "");
    showView();
  });
  $("to-between").addEventListener("click", guarded(async () => {
    if (!corners.length) await readCorners();
    const slot = Number($("to-between").dataset.next ?? 0) % count();
    $("to-between").dataset.next = slot + 1;
    corners[slot] = image.edited;
    keepCorners();
    say(`Taken as corner: ${NAMES[count()][slot]}`);
  }));
}

/* A file may be dropped anywhere: the browser would leave the page for it. On a corner of Between it becomes that. */
function connectDrops() {
  const bringsFile = (event) => event.dataTransfer?.types.includes("Files");
  addEventListener("dragover", (event) => {
    if (!bringsFile(event)) return;
    event.preventDefault();
    $("drop").classList.add("over");
  });
  addEventListener("dragleave", (event) => event.relatedTarget || $("drop").classList.remove("over"));
  addEventListener("drop", guarded(async (event) => {
    if (!bringsFile(event)) return;
    event.preventDefault();
    $("drop").classList.remove("over");
    const row = event.target.closest?.(".corner");
    const file = event.dataTransfer.files[0];
    await (row ? sendCorner([...row.parentElement.children].indexOf(row), file) : sendFile(file));
  }));
}

function connectPad() {
  const pad = $("pad");
  const follow = (event) => {
    const area = pad.getBoundingClientRect();
    moveTo((event.clientX - area.left) / area.width, (event.clientY - area.top) / area.height);
  };
  pad.addEventListener("pointerdown", (event) => {
    pad.setPointerCapture(event.pointerId);
    follow(event);
  });
  pad.addEventListener("pointermove", (event) => {
    if (pad.hasPointerCapture(event.pointerId)) follow(event);
  });
  pad.addEventListener("keydown", (event) => {
    const step = { ArrowRight: [0.05, 0], ArrowLeft: [-0.05, 0], ArrowDown: [0, 0.05], ArrowUp: [0, -0.05] }[event.key];
    if (!step) return;
    event.preventDefault();
    moveTo(Number(get("x")) + step[0], Number(get("y")) + step[1]);
  });
  $("right").addEventListener("input", () => moveTo(Number($("right").value), Number(get("y"))));
  $("down").addEventListener("input", () => moveTo(Number(get("x")), Number($("down").value)));
  $("blend-edit").addEventListener("click", () => openCode(JSON.parse($("figure-blend").dataset.code)));
}

function connectMap() {
  const canvas = $("map-canvas");
  const fingers = new Map();  // where each is, and the mouse, while it is down
  let far = false;
  const place = (event) => [event.offsetX, event.offsetY];
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    far = fingers.size > 0;
    fingers.set(event.pointerId, place(event));
  });
  canvas.addEventListener("pointermove", (event) => {
    const from = fingers.get(event.pointerId);
    if (!from || !codeMap) return;
    const [x, y] = place(event);
    if (!far && Math.hypot(x - from[0], y - from[1]) < 5) return;
    far = true;
    fingers.set(event.pointerId, [x, y]);
    const other = [...fingers].find(([id]) => id !== event.pointerId)?.[1];
    if (!other) moveBox(from[0] - x, y - from[1]);
    else pinch(from, [x, y], other);
  });
  const lifted = (event) => fingers.delete(event.pointerId);
  canvas.addEventListener("pointercancel", lifted);
  canvas.addEventListener("pointerup", guarded(async (event) => {
    if (lifted(event) && !far && codeMap) await pick(nearestTo(...place(event)));
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

guarded(async () => {
  connect();
  addSaves();
  const token = params.get("token");
  if (token) {
    params.delete("token");
    history.replaceState(null, "", `#${params}`);
    await giveToken(token);
  }
  await loadModels();
  start();
})();
