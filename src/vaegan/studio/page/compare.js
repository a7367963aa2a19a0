"use strict";

/* The view Side by side. */

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
