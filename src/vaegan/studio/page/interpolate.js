"use strict";

/* The Interpolate view: images between two, three or four corners. */

let corners = [];
const NAMES = { 2: ["Left", "Right"], 3: ["Top left", "Top right", "Bottom"], 4: ["Top left", "Top right", "Bottom left", "Bottom right"] };
const count = () => Number(get("count"));

function saveCorners() {
  set("corners", corners.map(packCode).join("."));
}

/* The corners in the address; those that it lacks are drawn. It may have got some while they are drawn. */
async function readCorners() {
  const read = () => {
    const codes = get("corners").split(".").filter(Boolean).map(unpackCode);
    return codes.every(Boolean) ? codes : [];
  };
  corners = read();
  if (corners.length < count()) {
    const drawn = await firstCorners();
    corners = read();
    corners.push(...drawn.slice(corners.length));
    saveCorners();
  }
}

const randomOne = () => ({ num: 1, seed: Math.floor(Math.random() * 2 ** 31) });
const randomCode = async () => (await fetchJson(`${here()}/samples`, randomOne())).codes[0];
const randomExample = async () => (await fetchJson(`${here()}/examples`, randomOne())).indices[0];

/* What all images here are decoded under, in words: a corner is a code, without the condition of its image. */
function sharedCondition() {
  if (!model.condition) return "";
  if (model.condition.kind === "labels") return `All images have the label ${conditionNow().label ?? model.condition.names[0]}.`;
  return "All images have the attributes chosen in Condition, and else those of the first held-out image.";
}

/* Codes of samples; of a model without a prior, those of images or the one in Image. */
async function firstCorners() {
  const values = { num: 4, seed: get("seed") };
  if (!model.default_prior && !model.data) return Array(4).fill(image.edited);
  if (model.default_prior) return (await fetchJson(`${here()}/samples`, values)).codes;
  const { indices } = await fetchJson(`${here()}/examples`, values);
  return Promise.all(indices.map(async (index) => (await fetchJson(`${here()}/examples/${index}`)).code));
}

const showInterpolate = latest(async () => {
  if ($("corners").dataset.of !== model.name) {
    $("corners").replaceChildren(...placeholders(count()));
    $("pad-images").style.gridTemplateColumns = "repeat(7, 1fr)";
    $("pad-images").replaceChildren(...placeholders(count() === 2 ? 7 : 49));
    $("figure-blend").querySelector("img").removeAttribute("src");
    allowSaves("interpolate", false);
  }
  $("corners").dataset.of = model.name;
  await readCorners();
  $("down-part").hidden = count() === 2;
  $("corners-note").textContent = sharedCondition();
  const used = corners.slice(0, count());
  const { images } = await askJson(`${here()}/interpolate`, { codes: used, steps: 2, told: condition() });
  await refill($("corners"), ...used.map((_, index) => cornerRow(index, images[index])));
  await drawPad(used);
  await blend();
  allowSaves("interpolate", true);
});

function cornerRow(index, uri) {
  const name = NAMES[count()][index];
  const button = (words, work) => make("button", { type: "button", "aria-label": `${words}: ${name}`, onclick: guarded(work) }, words);
  return make("div", { class: "corner" }, make("img", { src: uri, alt: `Corner: ${name}` }),
    make("div", {}, make("strong", {}, name),
      model.default_prior ? button("Sample", async () => setCorner(index, await randomCode())) : null,
      model.data && hasEncoder() ? button("Example", async () => {
        setCorner(index, (await fetchJson(`${here()}/examples/${await randomExample()}`)).code);
      }) : null,
      hasEncoder() ? button("File", () => {
        $("corner-file").dataset.corner = index;
        $("corner-file").click();
      }) : null,
      image?.edited?.length === model.latent_dim ? button("From Image", async () => setCorner(index, image.edited)) : null));
}

async function sendCorner(index, file) {
  if (!file) return;
  checkEncoder();
  setCorner(index, (await askJson(`${here()}/encode`, uploadBody(file))).code);
}

function setCorner(index, code) {
  corners[index] = code;
  saveCorners();
  showInterpolate();
}

async function drawPad(used) {
  const steps = count() === 2 ? 9 : 7;
  const body = { codes: used, steps, how: get("how"), told: condition() };
  const { images } = await askJson(`${here()}/interpolate`, body);
  $("pad-images").style.gridTemplateColumns = `repeat(${steps}, 1fr)`;
  $("pad-images").replaceChildren(...images.map((uri) => make("img", { src: uri, alt: "" })));
}

const blend = latest(async () => {
  if (corners.length < count()) return;  // they are on their way
  const [x, y] = [Number(get("x")), count() === 2 ? 0.5 : Number(get("y"))];
  $("right").value = x;
  $("down").value = y;
  $("handle").style.left = `${100 * x}%`;
  $("handle").style.top = `${100 * y}%`;
  const body = { codes: corners.slice(0, count()), places: [[x, count() === 2 ? 0 : y]], how: get("how"), told: condition() };
  const { images, codes } = await askJson(`${here()}/interpolate`, body);
  $("figure-blend").dataset.code = JSON.stringify(codes[0]);
  $("blend-edit").disabled = false;
  const words = `${Math.round(100 * x)} % to the right${count() === 2 ? "" : `, ${Math.round(100 * y)} % down`}`;
  showFigure("figure-blend", images[0], words);
});

function moveTo(x, y) {
  set("x", clamp(x, 0, 1).toFixed(2));
  set("y", clamp(y, 0, 1).toFixed(2));
  blend();
}

function saveInterpolation(form) {
  const steps = count() === 2 ? 16 : form === "gif" ? 12 : 9;
  const body = { codes: corners.slice(0, count()), steps, how: get("how"), told: condition(), form };
  return saveAnswer(`${here()}/interpolate`, body, `${model.name}-interpolation.${form}`);
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
