"use strict";

/* The selected model and its condition. */

let models = [];
let model = null;
const here = () => of(model.name);
const PROJECTIONS = { pca: "PCA", tsne: "t-SNE" };
const KINDS = {
  ae: "autoencoder", vae: "VAE", gan: "GAN", "vae-dis-l": "VAE with learned similarity (VAE_Dis-l)", vaegan: "VAE/GAN",
};

/* Identifies the saved weights; results of others are fetched again. */
const version = () => `${model.name} ${model.version}`;

async function loadModels() {
  models = (await fetchJson("api/models")).models;
  $("model").replaceChildren(...models.map(({ name }) => make("option", { value: name }, name)));
}

/* A run in training may have saved a new model or new attribute vectors. */
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
  $("prior").replaceChildren(make("option", { value: "" }, model.default_prior ? `default (${model.default_prior})` : "none"), ...priors);
  $("label").replaceChildren(make("option", { value: "" }, "any"), ...model.labels.map((name) => make("option", {}, name)));
  $("label").disabled = !model.labels.length;
  $("place").replaceChildren(...model.maps.map((name) => make("option", { value: name }, PROJECTIONS[name] ?? name)));
  fillCondition();
}

function aboutModel({ kind, image, latent_dim: dims, data, info }) {
  const words = [
    `${KINDS[kind]}, ${image.width} × ${image.height} ${image.channels === 1 ? "grey" : "colour"}, ${dims} dimensions`,
    info.recipe && `recipe ${info.recipe}`, data && `data ${data}`, info.images && `${grouped(info.images)} images seen`,
  ];
  return words.filter(Boolean).join(" · ");
}

/* The condition of a conditional model: a label, or a value for each attribute; those left empty are filled in. */
function fillCondition() {
  const place = $("condition");
  const now = conditionNow();
  place.hidden = !model.condition;
  place.replaceChildren(place.querySelector("legend"));
  if (!model.condition) return;
  if (model.condition.kind === "labels") {
    const options = model.condition.names.map((name) => make("option", { selected: now.label === name }, name));
    const select = make("select", { onchange: () => setCondition(select.value ? { label: select.value } : {}) },
      make("option", { value: "" }, "all in turn"), ...options);
    place.append(make("label", {}, "Label ", select));
    return;
  }
  for (const name of model.condition.names) {
    const input = make("input", {
      type: "number", step: "any", placeholder: "as data", value: now.attributes?.[name],
      onchange: () => {
        const attributes = { ...conditionNow().attributes };
        if (input.value === "") delete attributes[name];
        else attributes[name] = Number(input.value);
        setCondition({ attributes });
      },
    });
    place.append(make("label", {}, `${name} `, input));
  }
}

function setCondition(condition) {
  set("condition", JSON.stringify(condition));
  showView();
}

function conditionNow() {
  try {
    return JSON.parse(get("condition"));
  } catch {
    return {};
  }
}

const condition = () => (model.condition ? conditionNow() : null);

/* For an image of the data its own condition, until another is chosen. */
const conditionOfImage = () => (model.condition && !Object.keys(conditionNow()).length ? image.told ?? {} : condition());
