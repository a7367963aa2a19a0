"use strict";

/* Requests to the server, with a token if it needs one. */

async function ask(path, body) {
  const options = {};
  if (body instanceof FormData) Object.assign(options, { method: "POST", body });
  else if (body) Object.assign(options, { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json" } });
  let answer;
  try {
    answer = await fetch(path, options);
  } catch (error) {
    throw new Error("The server does not answer. Is it still running?", { cause: error });
  }
  if (answer.status === 401) {
    await askForToken();
    return ask(path, body);
  }
  if (!answer.ok) {
    const { error } = await answer.json().catch(() => ({}));
    throw Object.assign(new Error(error ?? `The server answered ${answer.status}.`), { status: answer.status });
  }
  return answer;
}

const of = (name) => `api/models/${encodeURIComponent(name)}`;
const query = (values) => new URLSearchParams(Object.entries(values).filter(([, value]) => value !== "" && value != null));
const fetchJson = (path, values = {}) => askJson(`${path}?${query(values)}`);

/* The value of an answer about a model; if another model has been selected meanwhile, nobody waits for it. */
async function askJson(path, body) {
  const asker = model.name;
  const answer = await ask(path, body).then((given) => given.json()).catch((error) => ({ error }));
  if (model.name !== asker) throw new DOMException("another model is selected", "AbortError");
  if (answer.error) throw answer.error;
  return answer;
}

/* An answer about a model's data, or null if its images, or the one that is asked for, are not here. */
const ifHere = (answer) => answer.catch((error) => {
  if ([404, 409].includes(error.status)) return null;
  throw error;
});

let asking = null;
function askForToken() {
  asking ??= (async () => {
    const dialog = $("ask");
    for (let problem = null; problem !== ""; problem = await giveToken($("token").value)) {
      $("ask-problem").textContent = problem ?? "";
      dialog.showModal();
      await new Promise((done) => dialog.addEventListener("close", done, { once: true }));
    }
  })().finally(() => {
    asking = null;
  });
  return asking;
}

/* Send the token, for which the server sets a cookie; what is wrong with it, or an empty text. */
async function giveToken(token) {
  const body = JSON.stringify({ token });
  const answer = await fetch("api/token", { method: "POST", body, headers: { "Content-Type": "application/json" } });
  if (answer.ok || answer.status === 401) return answer.ok ? "" : "Wrong token.";
  const { error } = await answer.json().catch(() => ({}));
  return sentence(error ?? `The server answered ${answer.status}`);
}
