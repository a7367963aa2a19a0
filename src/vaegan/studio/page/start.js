"use strict";

/* The views, their shared parts, and start-up. Loaded last. */

const VIEWS = { samples: showSamples, image: showImage, interpolate: showInterpolate, map: showMap, training: showTraining, compare: showCompare };
const TAKES_CONDITION = ["samples", "image", "interpolate"];
const NEEDS_MODEL = ["samples", "image", "interpolate", "map"];

function openView(name) {
  set("view", name);
  showView();
  lookAgain();
}

function showView() {
  const wanted = get("view") in VIEWS ? get("view") : "samples";
  $("problem").hidden = true;
  clearTimeout(poll);
  playing = null;
  for (const name of Object.keys(VIEWS)) {
    const chosen = name === wanted;
    $(name).hidden = !chosen;
    $(`tab-${name}`).setAttribute("aria-selected", chosen);
    $(`tab-${name}`).tabIndex = chosen ? 0 : -1;
    if (chosen) $(`tab-${name}`).scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  fillControls();
  $("condition").hidden = !model.condition || !TAKES_CONDITION.includes(wanted);
  const lack = lackOf(wanted);
  showLack(wanted, lack);
  if (!lack) VIEWS[wanted]();
  else if (!model.ready) poll = setTimeout(lookAgain, 3000);
}

function fillControls() {
  for (const control of document.querySelectorAll("[data-state]")) {
    control.value = get(control.dataset.state);
    if (control.tagName === "SELECT" && control.selectedIndex < 0) control.selectedIndex = 0;
  }
}

function start() {
  chooseModel();
  showView();
}

function onTabKey(event) {
  const tabs = [...document.querySelectorAll("[role=tab]")].filter((tab) => !tab.hidden);
  const at = tabs.indexOf(event.target);
  const to = { ArrowRight: at + 1, ArrowLeft: at - 1 + tabs.length, Home: 0, End: tabs.length - 1 }[event.key];
  if (to === undefined || at < 0) return;
  event.preventDefault();
  const tab = tabs[to % tabs.length];
  openView(tab.id.slice(4));
  tab.focus();
}

function setTheme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  $("theme").setAttribute("aria-pressed", dark);
  if (model) drawMap();
}

function connect() {
  for (const tab of document.querySelectorAll("[role=tab]")) tab.addEventListener("click", () => openView(tab.id.slice(4)));
  document.querySelector("[role=tablist]").addEventListener("keydown", onTabKey);
  for (const form of document.querySelectorAll("form.controls")) form.addEventListener("submit", (event) => event.preventDefault());
  for (const control of document.querySelectorAll("[data-state]")) {
    control.addEventListener("change", () => {
      if (!control.reportValidity()) return;
      set(control.dataset.state, control.value);
      if (control.id === "kind") set("moment", "");
      if (["points", "split", "place"].includes(control.dataset.state)) set("box", "");
      if (control.dataset.state === "split") set("picked", "");
      showView();
    });
  }
  $("model").addEventListener("change", () => {
    for (const name of ["prior", "label", "condition", "attributes", "dimensions", "corners", "box", "picked", "moment"]) set(name, DEFAULTS[name]);
    set("model", $("model").value);
    if (get("source").startsWith("z:")) set("source", "");  // a code means something to its own model only
    start();
  });
  $("link").addEventListener("click", guarded(async () => {
    try {
      await navigator.clipboard.writeText(location.href);
      say("Link copied");
    } catch {
      prompt("The link to this view:", location.href);
    }
  }));
  document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();  // the address belongs to the view
    $("main-part").focus();
  });
  const system = matchMedia("(prefers-color-scheme: dark)");
  setTheme(system.matches);
  system.addEventListener("change", () => setTheme(system.matches));
  $("theme").addEventListener("click", () => setTheme(document.documentElement.dataset.theme !== "dark"));
  $("draw").addEventListener("click", () => {
    set("seed", (Number(get("seed")) + 1) % 2 ** 31);
    showView();
  });
  connectImage();
  connectPad();
  connectMap();
  connectTraining();
  $("another").addEventListener("click", guarded(anotherImage));
  addEventListener("hashchange", () => {
    params = new URLSearchParams(location.hash.slice(1));
    box = null;
    start();
  });
  addEventListener("resize", drawMap);
}

guarded(async () => {
  connect();
  addSaves();
  const token = params.get("token");
  if (token) {
    params.delete("token");
    history.replaceState(null, "", `#${params}`);
    await giveToken(token);
  }
  await loadModels();
  start();
})();
