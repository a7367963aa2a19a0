"use strict";

/* Which model is looked at, and what it is told. */

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
