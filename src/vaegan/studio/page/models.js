"use strict";

/* The selected model and its condition. */

let models = [];
let model = null;
const here = () => of(model.name);
const PROJECTIONS = { pca: "PCA", tsne: "t-SNE" };
const PRIORS = { normal: "N(0, I)", gaussian: "Gaussian", mixture: "Gaussian mixture", kde: "kernel density", flow: "flow" };
const priorTitle = (name) => PRIORS[name] ?? name;
const KINDS = {
  ae: "autoencoder", vae: "VAE", gan: "GAN", "vae-dis-l": "VAE with a discriminator layer as metric (VAE_Dis_l)", vaegan: "VAE/GAN",
};

const hasEncoder = (one = model) => "encoder" in (one.parts ?? {});
const article = (words) => `${/^[aeiou]/.test(words) ? "an" : "a"} ${words}`;
const aKind = (one = model) => capital(article(KINDS[one.kind]));
const sizeOf = ({ image: { width, height, channels } }) =>
  `${height} × ${width} ${{ 1: "grey", 3: "colour" }[channels] ?? `with ${channels} channels`}`;

/* Why a view has nothing to show of the selected model, and the views that do; null if it has something. */
function lackOf(view) {
  if (!model.ready) return NEEDS_MODEL.includes(view) ? [sentence(model.reason), ["training"]] : null;
  if (view === "samples" && !model.default_prior) {
    return [`${aKind()} has no prior to draw samples from. Fit one to its codes: vaegan priors ${model.source}`, ["image", "interpolate", "map"]];
  }
  if (view === "interpolate" && !model.default_prior && !model.data && !image?.edited) {
    return [`${aKind()} has no prior to draw corners from, and its data is not available. Open a file in Image first.`, ["image"]];
  }
  if (view === "map" && !hasEncoder()) {
    return [`${aKind()} has no encoder: it generates images, but cannot map them to codes.`, ["samples", "image", "interpolate"]];
  }
  if (view === "map" && !model.data) {
    return [`The map shows codes of the data, and ${model.name} has no data set. Start the studio with --data.`, ["samples", "image", "interpolate"]];
  }
  if (view === "training" && !model.run) return [`${model.name} is a saved model. Name its run folder to see its training.`, ["samples", "image"]];
  return null;
}

/* Shows why a view is empty in place of its content, with buttons to views that are not; null shows the content. */
function showLack(view, lack) {
  for (const one of document.querySelectorAll(".lacking")) one.classList.remove("lacking");
  $("lack").hidden = !lack;
  if (!lack) return;
  const offers = lack[1].filter((name) => !lackOf(name)).map((name) =>
    make("button", { type: "button", onclick: () => openView(name) }, $(`tab-${name}`).textContent));
  $("lack").replaceChildren(make("p", {}, lack[0]), make("p", { class: "offers" }, ...offers));
  $(view).prepend($("lack"));
  $(view).classList.add("lacking");
}

/* Identifies the saved weights; results of others are fetched again. */
const version = () => `${model.name} ${model.version}`;

async function loadModels() {
  models = (await (await ask("api/models")).json()).models;
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
  const before = model?.name;
  model = models.find(({ name }) => name === get("model")) ?? models[0];
  if (model.name !== before) leaveModel();
  $("model").value = model.name;
  document.title = `${model.name} – vaegan studio`;
  $("about").textContent = model.ready ? aboutModel(model) : `${model.name}: ${model.reason}.`;
  $("tab-compare").hidden = models.length < 2;
  if (!model.ready) return;
  document.documentElement.style.setProperty("--shape", `${model.image.width} / ${model.image.height}`);
  const priors = model.priors.map(({ name }) => make("option", { value: name }, priorTitle(name)));
  $("prior").replaceChildren(make("option", { value: "" }, model.default_prior ? `${priorTitle(model.default_prior)} (default)` : "none"), ...priors);
  $("label").replaceChildren(make("option", { value: "" }, "any"), ...model.labels.map((name) => make("option", {}, name)));
  $("label").disabled = !model.labels.length;
  $("label").parentElement.hidden = model.condition?.kind === "labels";  // the condition is the label
  $("label").title = model.labels.length ? "" : "Not label-conditional; `vaegan priors RUN --by-label` fits a prior for each label";
  $("k").placeholder = model.clusters;
  $("place").replaceChildren(...model.maps.map((name) => make("option", { value: name }, PROJECTIONS[name] ?? name)));
  fillCondition();
}

/* Codes of one model mean nothing to another. */
function leaveModel() {
  image = null;
  corners = [];
  $("image-shown").hidden = $("blend-edit").disabled = true;
  $("samples-grid").replaceChildren();
}

function aboutModel({ kind, image, latent_dim: dims, data, info, condition: given }) {
  const words = [
    `${capital(KINDS[kind])}, ${sizeOf({ image })}, ${dims} dimensions`,
    given && `conditional on ${given.kind}`, info.recipe && `recipe ${info.recipe}`, data && `data ${data}`, info.images && `${grouped(info.images)} images seen`,
  ];
  return words.filter(Boolean).join(" · ");
}

/* The condition of a conditional model: a label, or a value for each attribute; those left empty are filled in. */
function fillCondition() {
  const place = $("condition");
  const now = conditionNow();
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

function readJson(text) {
  try {
    return JSON.parse(text);
  } catch {
    return {};
  }
}

const conditionNow = () => readJson(get("condition"));

const condition = () => (model.condition ? conditionNow() : null);

/* The condition of an image: its own label or attributes, if it has any, but for those that are chosen. */
function conditionOf(own) {
  const chosen = conditionNow();
  return model.condition && { ...own, ...chosen, attributes: { ...own?.attributes, ...chosen.attributes } };
}
