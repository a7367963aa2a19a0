"use strict";

/* Small helpers: elements, numbers, messages, work that may fail or be repeated. */

const $ = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = tag.startsWith("svg:")
    ? document.createElementNS("http://www.w3.org/2000/svg", tag.slice(4))
    : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === true) element.setAttribute(name, "");
    else if (value !== false && value != null) element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child != null));
  return element;
}

let pressed = null;  // what the pointer was put down on, until its click is over
let released = Promise.resolve();
addEventListener("pointerdown", ({ target }) => {
  pressed = target;
  released = new Promise((done) => {
    const end = () => setTimeout(() => done(pressed = null));  // the click comes just after the pointer is up
    for (const name of ["pointerup", "pointercancel"]) addEventListener(name, end, { once: true, capture: true });
  });
}, true);

/* Replaces the children of a place; the control of the same name keeps the focus, and a click that has begun its button. */
async function refill(place, ...children) {
  if (place.contains(pressed)) await released;
  const nameOf = (control) => control.getAttribute("aria-label") ?? control.closest("label")?.textContent ?? control.textContent;
  const name = place.contains(document.activeElement) ? nameOf(document.activeElement) : null;
  place.replaceChildren(...children);
  if (name) [...place.querySelectorAll("button, input, select")].find((control) => nameOf(control) === name)?.focus();
}

const round = (value, digits = 3) => (value == null ? "–" : String(Number(Number(value).toPrecision(digits))));
const fixed = (value) => (Math.round(100 * value) / 100 || 0).toFixed(2);  // no -0.00
const grouped = (value) => Math.round(value).toLocaleString("en");
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const capital = (text) => text[0].toUpperCase() + text.slice(1);
const sentence = (text) => capital(text) + (/[.!?]$/.test(text) ? "" : ".");
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

let hush = 0;
function say(words) {
  $("said").textContent = words;
  $("said").classList.add("seen");
  clearTimeout(hush);
  hush = setTimeout(() => $("said").classList.remove("seen"), 2500);
}

function complain(error) {
  if (error.name === "AbortError") return;
  $("problem").textContent = error.message;
  $("problem").hidden = false;
}

/* Names and values of a list, numbers rounded; those without a value are left out. */
const facts = (...rows) => rows.filter(([, value]) => value != null).map(([name, value]) =>
  make("div", {}, make("dt", {}, name), make("dd", {}, typeof value === "number" ? round(value) : value)));

function showFigure(id, uri, words) {
  $(id).querySelector("img").src = uri;
  $(id).querySelector("figcaption").textContent = words;
}

/* Places for images that are still to come. */
const placeholders = (num) => Array.from({ length: num }, () => make("span", { class: "wait", "aria-hidden": true }));

function guarded(work) {
  return async (...args) => {
    try {
      return await work(...args);
    } catch (error) {
      complain(error);
    }
  };
}

/* Runs work one call at a time; of the calls that arrive meanwhile, only the last runs. */
function latest(work) {
  let running = false;
  let next = null;
  return async function run(...args) {
    next = args;
    if (running) return;
    running = true;
    try {
      while (next) {
        const now = next;
        next = null;
        await guarded(work)(...now);
      }
    } finally {
      running = false;
    }
  };
}
