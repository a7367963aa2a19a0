"use strict";

/* The Image view: the code, reconstruction and error of one image, and edits of it. */

let image = null;
let leading = [];
let lastFile = null;
let longest = 60_000;  // characters of an image in a link

/* A code, with the condition that it was decoded under if it has one. */
function openCode(code, told = null) {
  openSource(`z:${packCode(code)}${told ? `:${JSON.stringify(told)}` : ""}`);
}

function openSource(source) {
  set("source", source);
  set("attributes", "");
  set("dimensions", "");
  openView("image");
}

/* The answer to an upload is shown as it is, so that the file is sent once. */
async function sendFile(file) {
  if (!file) return;
  checkEncoder();
  const answer = await askJson(`${here()}/reconstruct`, uploadBody(file));
  const whole = `png:${toText(toBytes(answer.original.split(",")[1]))}`;
  const fits = whole.length <= longest && model.shows_all_channels;
  const source = fits ? whole : `z:${packCode(answer.code)}`;
  if (!fits) say("The link cannot hold this image (too large, or more channels than a picture can store), so it restores the code instead.");
  image = { ...answer, title: "Your image", key: imageKey(source) };
  lastFile = { file, source };
  openSource(source);
}

function checkEncoder() {
  if (!model.ready) throw new Error(model.reason);
  if (!hasEncoder()) throw new Error(`${model.name} has no encoder: it generates images, but cannot encode any.`);
}

/* A file is read as the model's data are; a picture that is shown has bytes, whatever these are. */
function uploadBody(file, conditions = condition(), isShown = false) {
  const body = new FormData();
  body.append("file", file);
  if (isShown) body.append("shown", "true");
  if (conditions) body.append("told", JSON.stringify(conditions));
  return body;
}

/* The image of a source: an example of the data, an uploaded file, or a code. */
async function fetchSource(source) {
  const cut = source.indexOf(":");
  const [kind, rest] = [source.slice(0, cut), source.slice(cut + 1)];
  if (kind === "test" || kind === "train") {
    const answer = await fetchJson(`${here()}/examples/${encodeURIComponent(rest)}`, { split: kind });
    return { original: answer.images[0], ...answer, title: `${kind === "test" ? "Held-out" : "Training"} image ${rest}${answer.label ? `, label ${answer.label}` : ""}` };
  }
  if (kind === "png" || lastFile?.source === source) {
    const isFile = lastFile?.source === source;
    const body = uploadBody(isFile ? lastFile.file : pngFile(rest), condition(), !isFile);
    return { ...(await askJson(`${here()}/reconstruct`, body)), title: "Your image" };
  }
  const [packed] = rest.split(":", 1);
  const [code, told] = [unpackCode(packed), conditionOf(readJson(rest.slice(packed.length + 1)))];
  if (!code) return null;
  const answer = await askJson(`${here()}/decode`, { codes: [code], told });
  return { code, told, reconstruction: answer.images[0], title: "A code" };
}

const pngFile = (text) => new Blob([toBytes(text)], { type: "image/png" });

/* What is shown before anything is chosen: the first held-out image or, without data, a sample. */
async function firstImage() {
  const example = model.data && hasEncoder() ? await ifHere(fetchSource("test:0")) : null;
  if (example || !model.default_prior) return example;
  const { codes, images } = await askJson(`${here()}/samples?${samplesQuery()}`);
  return { code: codes[0], reconstruction: images[0], title: `Sample of seed ${get("seed")}` };
}

const imageKey = (source) => `${version()} ${source} ${get("condition")}`;

/* The image that is chosen, fetched unless it is there; the first one if the model cannot take it. */
async function loadImage() {
  const source = get("source");
  const key = imageKey(source);
  if (image?.key === key) return;
  image = null;
  const chosen = source && (hasEncoder() || source.startsWith("z:")) ? await ifHere(fetchSource(source)) : null;
  image = chosen ?? (await firstImage());
  if (image) image.key = key;
}

const showImage = latest(async () => {
  $("drop").hidden = $("file").disabled = !hasEncoder();
  $("no-encoder").hidden = hasEncoder();
  $("no-encoder-text").textContent = `${aKind()} has no encoder: it cannot encode your images. It only decodes codes: edit one of its samples instead.`;
  showExamples();
  const waits = image?.key !== imageKey(get("source"));
  $("image-wait").hidden = !waits;
  $("image-empty").hidden = true;
  if (waits) $("image-shown").hidden = true;
  try {
    await loadImage();
  } finally {
    $("image-wait").hidden = true;
    $("image-empty").hidden = Boolean(image);
    $("image-shown").hidden = $("sliders").hidden = $("code-part").hidden = !image;
    allowSaves("image", Boolean(image));
  }
  if (!image) return;
  $("image-title").textContent = image.title;
  $("image-note").textContent = image.title === "Your image" ? `Cropped and resized to ${sizeOf(model)}.` : "";
  for (const [part, uri] of [["original", image.original], ["reconstruction", image.reconstruction], ["error", image.error_map]]) {
    $(`figure-${part}`).hidden = !uri;
    if (uri) $(`figure-${part}`).querySelector("img").src = uri;
  }
  $("figure-reconstruction").querySelector("figcaption").textContent = image.original ? "Reconstruction" : "Decoded";
  const { kl, mean_squared_error: mse, mean_absolute_error: mae } = image;
  $("image-facts").replaceChildren(...facts(["KL, nats", kl], ["per-pixel MSE", mse], ["per-pixel MAE", mae]));
  await edit();
  await fillSliders();  // the first time it may take a while
});

let examplesShown = "";
const showExamples = latest(async () => {
  const wanted = `${model.name} ${get("examples")}`;
  if (examplesShown === wanted) return;
  examplesShown = "";
  $("examples-part").hidden = true;
  if (!model.data || !hasEncoder()) return;
  $("examples").replaceChildren(...placeholders(12));
  $("examples-part").hidden = false;
  const { images, indices, labels } = (await ifHere(fetchJson(`${here()}/examples`, { num: 12, seed: get("examples") }))) ?? { images: [] };
  await refill($("examples"), ...images.map((uri, index) =>
    make("button", { type: "button", onclick: () => openSource(`test:${indices[index]}`) },
      make("img", { src: uri, alt: `Image ${indices[index]}${labels[index] ? `: ${labels[index]}` : ""}` }))));
  $("examples-part").hidden = !images.length;
  examplesShown = wanted;
});

function range(name, detail, value, change, reach = 4) {
  const output = make("output", {}, fixed(value));
  const input = make("input", { type: "range", min: -reach, max: reach, step: reach / 80, "aria-label": `${name}${detail ? `, ${detail}` : ""}` });
  input.value = value;
  input.addEventListener("input", () => {
    output.textContent = fixed(Number(input.value));
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

/* The range of a slider: it includes the value and four standard deviations of the codes, at least those of N(0, 1). */
function reachOf(value, deviation) {
  const usual = model.kind === "ae" ? deviation || 1 : Math.max(1, deviation ?? 1);
  return 2 ** Math.ceil(Math.log2(Math.max(4 * usual, Math.abs(value))));
}

async function fillSliders() {
  const wanted = version();
  if (leading.of !== wanted) {
    leading = (await fetchJson(`${here()}/dimensions`, { num: 12 })).dimensions;
    leading.of = wanted;
  }
  if (!image) return;
  const strengths = pairs(get("attributes"));
  $("attributes-note").textContent = model.attributes.length
    ? "1 adds the attribute's mean difference; negative values remove it."
    : hasEncoder() ? `This model has no attribute vectors; create them with \`vaegan attributes ${model.source}\`.`
    : "Attribute vectors are differences between codes of images, which a model without an encoder does not have.";
  $("attributes").replaceChildren(...model.attributes.map((name) =>
    range(name.replaceAll("_", " "), "", strengths[name] ?? 0, (value) => moved("attributes", name, value || null))));
  const values = pairs(get("dimensions"));
  const isRanked = leading.some(({ kl }) => kl != null);
  $("dimensions-note").textContent = isRanked ? "The dimensions with the highest mean KL."
    : hasEncoder() && (model.data || model.default_prior) ? "The dimensions in which codes vary most."
    : "The first dimensions of the code.";
  $("dimensions").replaceChildren(...leading.map(({ dimension, kl, deviation }) => {
    const value = values[dimension] ?? image.code[dimension];
    const change = (to) => moved("dimensions", dimension, to);
    return range(`z${dimension}`, kl == null ? "" : `${round(kl)} nats`, value, change, reachOf(value, deviation));
  }));
}

const edit = latest(async () => {
  const edited = image;
  if (!edited) return;
  const body = { codes: [edited.code], attributes: pairs(get("attributes")), dimensions: pairs(get("dimensions")), told: conditionOf(edited.told) };
  const { images, codes } = await askJson(`${here()}/decode`, body);
  if (image !== edited) return;  // another is on its way, and is edited then
  image.edited = codes[0];
  const changes = { ...body.attributes, ...Object.fromEntries(Object.entries(body.dimensions).map(([d, v]) => [`z${d}`, v])) };
  const words = Object.entries(changes).map(([name, value]) => `${name.replaceAll("_", " ")} ${round(value, 2)}`).join(", ");
  showFigure("figure-edited", images[0], `Edited: ${words || "no changes"}`);
  $("preview").querySelector("img").src = images[0];
  $("preview").querySelector("span").textContent = words || "No changes";
  drawCode();
});

/* The code as bars. Of a long one each bar stands for several numbers, and shows the one that is farthest from 0. */
function drawCode() {
  const code = image.edited;
  const farthest = (from, to) => {
    let best = from;
    for (let at = from; at < to; at++) if (Math.abs(code[at]) > Math.abs(code[best])) best = at;
    return best;
  };
  const largest = farthest(0, code.length), each = Math.ceil(code.length / 320), bars = Math.ceil(code.length / each);
  const wide = 640, high = 120, reach = Math.max(3, Math.abs(code[largest]));
  const step = wide / bars, middle = high / 2;
  const svg = make("svg:svg", { viewBox: `0 0 ${wide} ${high}`, preserveAspectRatio: "none", "aria-hidden": "true" });
  svg.append(make("svg:line", { x1: 0, x2: wide, y1: middle, y2: middle, stroke: "var(--line)", "stroke-width": 1 }));
  for (let index = 0; index < bars; index++) {
    const [from, to] = [index * each, Math.min((index + 1) * each, code.length)];
    const value = code[farthest(from, to)];
    const height = (Math.abs(value) / reach) * (middle - 2);
    const changed = code.slice(from, to).some((one, at) => Math.abs(one - image.code[from + at]) > 1e-4);
    svg.append(make("svg:rect", {
      x: index * step + step * 0.12, width: step * 0.76, y: value > 0 ? middle - height : middle, height: Math.max(height, 0.5),
      fill: changed ? "var(--c1)" : "var(--c0)",
    }));
  }
  $("code-chart").setAttribute("aria-label", `Code of ${code.length} numbers, the largest ${round(code[largest])} in dimension ${largest}`);
  $("code-chart").replaceChildren(svg);
  $("code-numbers").textContent = code.map((value) => round(value)).join("  ");
}

function saveImage(form) {
  const name = `${model.name}-image.${form}`;
  if (form !== "png") {
    const body = { codes: [image.code, image.edited], steps: form === "gif" ? 16 : 2, told: conditionOf(image.told), form };
    return saveAnswer(`${here()}/interpolate`, body, name);
  }
  const shown = [...document.querySelectorAll("#image-shown .figures figure")].filter((figure) => !figure.hidden);
  return savePicture([[`${model.name}: ${image.title}`, shown.map((figure) => [figure.querySelector("img"), figure.textContent])]], name);
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
  $("another-sample").addEventListener("click", guarded(async () => openCode(await randomCode())));
  $("more").addEventListener("click", () => {
    set("examples", Number(get("examples")) + 1);
    showExamples();
  });
  $("reset").addEventListener("click", () => {
    set("attributes", "");
    set("dimensions", "");
    showView();
  });
  $("to-corner").addEventListener("click", guarded(async () => {
    const code = image?.edited;
    if (!code) return;
    await readCorners();
    const slot = Number($("to-corner").dataset.next ?? 0) % count();
    $("to-corner").dataset.next = slot + 1;
    corners[slot] = code;
    saveCorners();
    if (get("view") === "interpolate") showInterpolate();
    say(`Corner set: ${NAMES[count()][slot]}`);
  }));
}

/* A file may be dropped anywhere, or the browser would open it instead of the page; on a corner of Interpolate it sets it. */
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
