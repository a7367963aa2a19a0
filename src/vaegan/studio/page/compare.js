"use strict";

/* The Compare view: several models with the same seed and image. */

const chosenModels = () => models.filter(({ name, ready }) => ready && (get("models") === "" || get("models").split("/").includes(name)));

const showCompare = latest(async () => {
  await refill($("chosen-models"), ...models.filter(({ ready }) => ready).map(({ name }) => {
    const box = make("input", { type: "checkbox", value: name, checked: chosenModels().some((one) => one.name === name) });
    box.addEventListener("change", () => {
      set("models", [...$("chosen-models").querySelectorAll(":checked")].map(({ value }) => value).join("/") || "-");
      showCompare();
    });
    return make("label", {}, box, name);
  }));
  $("another").disabled = !model.data;
  const chosen = chosenModels();
  const cards = chosen.map((one) => cardOf(one.name) ?? waitingCard(one));
  $("compared").replaceChildren(...cards);
  allowSaves("compare", false);
  if (!chosen.length) $("compared").append(make("p", { class: "empty" }, "Choose a model."));
  const picture = chosen.length ? await comparedPicture() : null;
  $("compared-note").textContent = picture ? `All models use the same seed and the same image: ${picture.title}.` : "All models use the same seed.";
  await Promise.all(chosen.map(async (one, index) => cards[index].replaceWith(await comparedCard(one, picture))));
  allowSaves("compare", chosen.length > 0);
});

const cardOf = (name) => [...$("compared").querySelectorAll("article")].find((card) => card.getAttribute("aria-label") === name);
const comparedSamples = () => ({ num: 10, seed: get("seed") });

function emptyCard(one, ...tools) {
  return make("article", { class: "card", "aria-label": one.name },
    make("div", { class: "heading" }, make("h2", {}, one.name), ...tools), make("p", { class: "quiet" }, aboutModel(one)));
}

function waitingCard(one) {
  const card = emptyCard(one);
  card.append(make("h3", {}, "Samples"), make("div", { class: "tiles" }, ...placeholders(10)),
    make("h3", {}, "Reconstruction"), make("div", { class: "figures" }, ...placeholders(3)));
  return card;
}

async function comparedCard(one, picture) {
  const save = saveButton("npz", () => saveComparedSamples(one));
  const card = emptyCard(one, make("span", { class: "save" }, "Save ", save));
  save.disabled = !one.default_prior;
  card.append(...(await samplesOf(one)));
  const reconstruction = await comparedImage(one, picture).catch((error) => ({ problem: error.message }));
  card.append(make("h3", {}, "Reconstruction"));
  const lack = hasEncoder(one) ? reconstruction?.problem ?? (reconstruction ? "" : "No image; choose one in Image.") : `${aKind(one)} has no encoder: it cannot reconstruct images.`;
  if (lack) {
    card.append(make("p", { class: "quiet" }, sentence(lack)));
    return card;
  }
  const figure = (uri, name) => make("figure", {}, make("img", { src: uri, alt: `${name}, ${one.name}` }), make("figcaption", {}, name));
  card.append(make("div", { class: "figures" }, figure(reconstruction.original, "Original"), figure(reconstruction.reconstruction, "Reconstruction"), figure(reconstruction.error_map, "Absolute error")));
  if (picture.isFile || sizeOf(one) !== sizeOf(model)) {
    const from = picture.isFile ? "Cropped and resized" : `Resized from ${sizeOf(model)}`;
    card.append(make("p", { class: "quiet resized" }, `${from} to ${sizeOf(one)}.`));
  }
  card.append(make("dl", { class: "facts" }, ...facts(["per-pixel MSE", reconstruction.mean_squared_error], ["KL, nats", reconstruction.kl])));
  return card;
}

async function samplesOf(one) {
  if (!one.default_prior) return [make("h3", {}, "Samples"), make("p", { class: "quiet" }, `${aKind(one)} has no prior to draw samples from.`)];
  const { images, prior } = await fetchJson(`${of(one.name)}/samples`, comparedSamples());
  return [
    make("h3", {}, `Samples, prior ${prior.replace(/^\w+/, priorTitle)}`),
    make("div", { class: "tiles" }, ...images.map((uri, index) => make("img", { src: uri, alt: `Sample ${index + 1} of ${one.name}` }))),
  ];
}

/* What all models reconstruct: the image in Image; if the model cannot encode it, the image of the data itself. */
async function comparedPicture() {
  const source = get("source") || (model.data ? "test:0" : "");
  await loadImage();
  const told = condition();
  if (lastFile?.source === source) return { title: "your image", file: lastFile.file, isFile: true, told };
  if (source.startsWith("png:")) return { title: "your image", file: pngFile(source.slice(4)), isFile: true, isShown: true, told };
  const example = !hasEncoder() && /^(test|train):/.test(source) ? await ifHere(fetchSource(source)) : null;
  const { title, original, reconstruction, label, told: own } = example ?? image ?? {};
  const uri = original ?? reconstruction;
  return uri ? { title: `${title}, from ${model.name}`, file: pngFile(uri.split(",")[1]), isShown: true, told: { label, ...(own ?? told) } } : null;
}

/* What a model takes of an image's condition; null if it takes none, or knows nothing of it. */
function conditionFor(one, { label, attributes = {} }) {
  const names = one.condition?.names ?? [];
  if (one.condition?.kind === "labels") return names.includes(label) ? { label } : null;
  const known = Object.entries(attributes).filter(([name]) => names.includes(name));
  return known.length ? { attributes: Object.fromEntries(known) } : null;
}

/* The reconstruction of that image; a model of another size or number of channels resizes it. */
async function comparedImage(one, picture) {
  if (!picture || !hasEncoder(one)) return null;
  if (one.name === model.name && image?.original) return image;
  return askJson(`${of(one.name)}/reconstruct`, uploadBody(picture.file, conditionFor(one, picture.told ?? {}), picture.isShown));
}

async function anotherImage() {
  set("source", `test:${await randomExample()}`);
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
  return savePicture(rows, "compare.png");
}

/* The samples of one model and their codes. */
function saveComparedSamples(one) {
  const path = `${of(one.name)}/samples?${query({ ...comparedSamples(), form: "npz" })}`;
  return saveAnswer(path, null, `${one.name}-samples-${get("seed")}.npz`);
}
