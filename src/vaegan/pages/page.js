"use strict";

// Snapshots: the slider shows one frame of each pane; the button plays them.
for (const block of document.querySelectorAll(".slider")) {
  const slider = block.querySelector("input");
  const button = block.querySelector(".play");
  const output = block.querySelector("output");
  const labels = JSON.parse(slider.dataset.labels);
  let timer = null;

  const show = () => {
    const index = Number(slider.value);
    output.textContent = labels[index];
    slider.setAttribute("aria-valuetext", labels[index]);
    for (const pane of block.querySelectorAll(".frames")) {
      [...pane.children].forEach((frame, number) => { frame.hidden = number !== index; });
    }
  };
  const stop = () => {
    clearInterval(timer);
    timer = null;
    button.textContent = "Play";
    button.setAttribute("aria-pressed", "false");
  };
  const step = () => {
    slider.value = Number(slider.value) + 1;
    show();
    if (Number(slider.value) === labels.length - 1) stop();
  };
  const play = () => {
    if (Number(slider.value) === labels.length - 1) slider.value = 0;
    show();
    timer = setInterval(step, Math.max(150, 4000 / labels.length));
    button.textContent = "Stop";
    button.setAttribute("aria-pressed", "true");
  };

  slider.addEventListener("input", () => { stop(); show(); });
  button.addEventListener("click", () => (timer === null ? play() : stop()));
  button.hidden = labels.length < 2;
  slider.value = labels.length - 1;
}

// Charts: values at the pointer, or where the arrow keys move; else the last ones.
for (const chart of document.querySelectorAll(".chart")) {
  const lines = JSON.parse(chart.dataset.points);
  const plot = chart.querySelector(".plot");
  const drawing = plot.querySelector("svg");
  const cursor = plot.querySelector(".cursor");
  const spots = [...plot.querySelectorAll(".spot")];
  const values = [...chart.querySelectorAll(".legend b")];
  const where = chart.querySelector(".where");
  const initial = where.innerHTML;
  const last = lines.map((line) => line.values[line.values.length - 1]);
  const first = lines[0];
  let chosen = first.x.length - 1;

  const nearest = (line, x) => {
    let best = 0;
    line.x.forEach((place, index) => { if (Math.abs(place - x) < Math.abs(line.x[best] - x)) best = index; });
    return best;
  };
  const show = (index) => {
    chosen = Math.max(0, Math.min(first.x.length - 1, index));
    const x = first.x[chosen];
    cursor.toggleAttribute("hidden", false);
    cursor.setAttribute("transform", `translate(${x} 0)`);
    lines.forEach((line, number) => {
      const at = nearest(line, x);
      values[number].textContent = line.values[at];
      spots[number].toggleAttribute("hidden", false);
      spots[number].setAttribute("cx", line.x[at]);
      spots[number].setAttribute("cy", line.y[at]);
    });
    const seen = first.images[chosen].toLocaleString("en");
    where.textContent = `at ${seen} images`;
    const names = values.map((value) => value.parentElement.textContent.trim()).join(", ");
    plot.setAttribute("aria-valuenow", chosen);
    plot.setAttribute("aria-valuetext", `at ${seen} images: ${names}`);
  };
  const clear = () => {
    chosen = first.x.length - 1;
    for (const mark of [cursor, ...spots]) mark.toggleAttribute("hidden", true);
    values.forEach((value, number) => { value.textContent = last[number]; });
    where.innerHTML = initial;
  };
  const follow = (event) => {
    const box = drawing.getBoundingClientRect();
    show(nearest(first, (event.clientX - box.left) * drawing.viewBox.baseVal.width / box.width));
  };
  const moves = new Map([
    ["ArrowLeft", () => chosen - 1], ["ArrowDown", () => chosen - 1],
    ["ArrowRight", () => chosen + 1], ["ArrowUp", () => chosen + 1],
    ["PageDown", () => chosen - 10], ["PageUp", () => chosen + 10],
    ["Home", () => 0], ["End", () => first.x.length - 1],
  ]);

  plot.addEventListener("pointermove", follow);
  plot.addEventListener("pointerdown", follow);
  plot.addEventListener("pointerleave", clear);
  plot.addEventListener("blur", clear);
  plot.addEventListener("keydown", (event) => {
    if (event.key === "Escape") clear();
    if (!moves.has(event.key)) return;
    event.preventDefault();
    show(moves.get(event.key)());
  });
}
