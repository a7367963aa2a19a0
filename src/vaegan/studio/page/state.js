"use strict";

/* The state of the page, in the address so that a link restores it; codes and bytes as text. */

function toText(bytes) {
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

const toBytes = (text) => Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0));
const packCode = (code) => toText(new Uint8Array(new Float32Array(code).buffer));

function unpackCode(text) {
  try {
    const bytes = toBytes(text);
    const code = [...new Float32Array(bytes.buffer)];
    return code.length === model.latent_dim && code.every(Number.isFinite) ? code : null;
  } catch {
    return null;
  }
}

const DEFAULTS = {
  view: "samples", model: "", seed: "0", num: "36", prior: "", label: "", condition: "{}",
  source: "", examples: "0", attributes: "", dimensions: "",
  corners: "", count: "4", how: "linear", x: "0.5", y: "0.5",
  place: "pca", colour: "labels", k: "", by: "kmeans", points: "1000", split: "test", picked: "", box: "",
  kind: "samples", moment: "", cursor: "1", models: "",
};
let params = new URLSearchParams(location.hash.slice(1));
const get = (name) => params.get(name) ?? DEFAULTS[name];

function set(name, value) {
  if (String(value) === DEFAULTS[name]) params.delete(name);
  else params.set(name, value);
  history.replaceState(null, "", `#${params}`);
}

const pairs = (text) => Object.fromEntries(text.split(",").filter(Boolean).map((pair) => {
  const cut = pair.lastIndexOf(":");
  return [decodeURIComponent(pair.slice(0, cut)), Number(pair.slice(cut + 1))];
}));
const fromPairs = (values) => Object.entries(values).map(([name, value]) => `${encodeURIComponent(name)}:${value}`).join(",");
