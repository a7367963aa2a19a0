"use strict";

/* Saving the current view. */

function download(blob, name) {
  const link = make("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  say(`Saved ${name}`);
}

async function saveAnswer(path, body, name) {
  download(await (await ask(path, body)).blob(), name);
}

const canvasBlob = (canvas) => new Promise((done) => canvas.toBlob(done, "image/png"));

/* Rows of figures as on the page, [title, [[image element, caption], ...]], as one picture. */
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
      const place = [x, y + top, image.naturalWidth * scale, image.naturalHeight * scale];
      context.fillStyle = "#ffffff";  // behind what is transparent
      context.fillRect(...place);
      context.drawImage(image, ...place);
      context.fillStyle = style.getPropertyValue("--quiet");
      context.font = "12px system-ui, sans-serif";
      context.fillText(caption, x, y + top + side + 15, side);
    });
  });
  download(await canvasBlob(canvas), name);
}

/* In arrows, as these functions come from later scripts. */
const inAllForms = (save) => ({ PNG: () => save("png"), GIF: () => save("gif"), npz: () => save("npz") });
const SAVES = {
  samples: inAllForms((form) => saveSamples(form)),
  image: inAllForms((form) => saveImage(form)),
  interpolate: inAllForms((form) => saveInterpolation(form)),
  map: {
    PNG: async () => download(await canvasBlob($("map-canvas")), `${model.name}-map.png`),
    npz: () => saveAnswer(`${here()}/map?${query({ ...mapQuery(), form: "npz" })}`, null, `${model.name}-map.npz`),
  },
  clusters: inAllForms((form) => saveClusters(form)),
  training: { PNG: () => saveSnapshot(), GIF: () => saveAnimation(), npz: () => saveCurves() },
  compare: { PNG: () => saveCompared() },
};

const saveButton = (form, work) => make("button", { type: "button", "aria-label": `Save ${form}`, onclick: guarded(work) }, form);

function addSaves() {
  for (const place of document.querySelectorAll("[data-save]")) {
    place.append("Save", ...Object.entries(SAVES[place.dataset.save]).map(([form, work]) => saveButton(form, work)));
    allowSaves(place.dataset.save, false);
  }
}

/* Only what is shown can be saved; some forms may be named. */
function allowSaves(place, isAllowed, forms = Object.keys(SAVES[place])) {
  for (const button of document.querySelectorAll(`[data-save="${place}"] button`)) {
    if (forms.includes(button.textContent)) button.disabled = !isAllowed;
  }
}
