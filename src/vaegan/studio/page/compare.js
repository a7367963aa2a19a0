"use strict";

/* The Compare view: several models with the same seed and image. */

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
  await loadImage();
  $("compared").replaceChildren(...(await Promise.all(chosenModels().map(comparedCard))));
  if (!chosenModels().length) $("compared").append(make("p", { class: "empty" }, "Choose a model."));
});

const comparedSamples = () => ({ num: 10, seed: get("seed") });

async function comparedCard(one) {
  const card = make("article", { class: "card", "aria-label": one.name },
    make("div", { class: "heading" }, make("h2", {}, one.name), make("span", { class: "save" }, "Save ", saveButton("npz", () => saveComparedSamples(one)))),
    make("p", { class: "quiet" }, aboutModel(one)));
  const { images, prior } = await fetchJson(`${of(one.name)}/samples`, comparedSamples()).catch((error) => ({ images: [], prior: error.message }));
  card.append(make("h3", {}, `Samples, ${prior}`), make("div", { class: "tiles" }, ...images.map((uri, index) => make("img", { src: uri, alt: `Sample ${index + 1} of ${one.name}` }))));
  const reconstruction = await comparedImage(one).catch((error) => ({ problem: error.message }));
  card.append(make("h3", {}, "Reconstruction"));
  if (!reconstruction || reconstruction.problem) {
    card.append(make("p", { class: "empty" }, reconstruction?.problem ?? ("encoder" in one.parts ? "No image chosen; choose one in Image." : "This model has no encoder.")));
    return card;
  }
  const figure = (uri, name) => make("figure", {}, make("img", { src: uri, alt: `${name}, ${one.name}` }), make("figcaption", {}, name));
  card.append(make("div", { class: "figures" }, figure(reconstruction.original, "Original"), figure(reconstruction.reconstruction, "Reconstruction"), figure(reconstruction.error_map, "Absolute error")));
  const facts = [["per-pixel MSE", reconstruction.mean_squared_error], ["KL, nats", reconstruction.kl]].filter(([, value]) => value != null);
  card.append(make("dl", { class: "facts" }, ...facts.map(([name, value]) => make("div", {}, make("dt", {}, name), make("dd", {}, round(value))))));
  return card;
}

/* The chosen image as a model reconstructs it; other models get the file. */
async function comparedImage(one) {
  const source = get("source");
  if (!image?.original || !("encoder" in one.parts)) return null;
  if (one.name === model.name) return image;
  const file = lastFile?.source === source ? lastFile.file : pngFile(image.original.split(",")[1]);
  return postJson(`${of(one.name)}/reconstruct`, uploadBody(file, null));
}

async function anotherImage() {
  if (!model.data) throw new Error(`The data of ${model.name} is not available; choose an image in Image.`);
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
  return savePicture(rows, "compare.png");
}

/* The samples of one model and their codes. */
function saveComparedSamples(one) {
  const path = `${of(one.name)}/samples?${query({ ...comparedSamples(), form: "npz" })}`;
  return saveAnswer(path, null, `${one.name}-samples-${get("seed")}.npz`);
}
