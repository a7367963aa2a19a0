"use strict";

/* The Samples view. */

function samplesQuery() {
  const values = query({ num: get("num"), seed: get("seed") });
  const label = get("label") || condition()?.label;
  if (get("prior") && (!get("label") || isByLabel(get("prior")))) values.set("prior", get("prior"));
  if (label) values.set("label", label);
  for (const [attribute, value] of Object.entries(condition()?.attributes ?? {})) values.append("attribute", `${attribute}=${value}`);
  return values;
}

const isByLabel = (prior) => model.condition || model.priors.some((one) => one.name === prior && one.knows_labels);

const showSamples = latest(async () => {
  const grid = $("samples-grid");
  if (grid.dataset.of !== model.name) grid.replaceChildren(...placeholders(Number(get("num"))));
  grid.dataset.of = model.name;
  grid.classList.add("busy");
  const seed = get("seed");
  try {
    const { images, codes, told, prior } = await askJson(`${here()}/samples?${samplesQuery()}`);
    const label = get("label");
    $("samples-note").textContent = `Prior: ${prior.replace(/^\w+/, priorTitle)}${label ? ` ${label}` : ""}; seed ${seed}. Click an image to edit it.`;
    await refill(grid, ...images.map((uri, index) =>
      make("button", { type: "button", onclick: () => openCode(codes[index], told?.[index]) },
        make("img", { src: uri, alt: `Sample ${index + 1} of seed ${seed}${label ? `, ${label}` : ""}` }))));
    allowSaves("samples", true);
  } catch (error) {
    allowSaves("samples", false);
    grid.replaceChildren(make("p", { class: "empty" }, "No samples."));
    throw error;
  } finally {
    grid.classList.remove("busy");
  }
});

function saveSamples(form) {
  const values = samplesQuery();
  values.set("form", form);
  return saveAnswer(`${here()}/samples?${values}`, null, `${model.name}-samples-${get("seed")}.${form}`);
}
