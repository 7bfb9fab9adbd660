//! Copies code and sends requests. Pages are complete without it.
"use strict";

const said = document.getElementById("said");

/** Copies a text. Without a secure context only the older API works, which selects the text. */
async function copy(code) {
  if (navigator.clipboard) {
    await navigator.clipboard.writeText(code.textContent);
    return;
  }
  getSelection().selectAllChildren(code);
  if (!document.execCommand("copy")) throw new Error("the browser cannot copy");
}

let silence;
for (const button of document.querySelectorAll("button.copy")) {
  const label = button.firstChild;
  button.hidden = false;
  button.addEventListener("click", async () => {
    let outcome = "Copied";
    try {
      await copy(button.parentElement.querySelector("code"));
    } catch {
      outcome = "Not copied";
    }
    label.data = outcome;
    said.textContent = outcome;
    setTimeout(() => {
      label.data = "Copy";
    }, 2000);
    // The announcement belongs to the button pressed last, so the earlier timer is cancelled.
    clearTimeout(silence);
    silence = setTimeout(() => {
      said.textContent = "";
    }, 2000);
  });
}

/** Builds the request of the form. Parameters go to the path, the query or a header; empty ones are omitted. */
function request(form) {
  const { method, path, accept, contentType } = form.dataset;
  const headers = new Headers({ accept });
  const query = new URLSearchParams();
  let target = path;
  for (const { name, value, dataset } of form.querySelectorAll("[data-location]")) {
    if (dataset.location === "path") target = target.replace(`{${name}}`, encodeURIComponent(value));
    else if (value === "") continue;
    else if (dataset.location === "query") query.append(name, value);
    else headers.set(name, value);
  }
  const token = form.querySelector("#token");
  if (token) headers.set("authorization", `Bearer ${token.value.trim()}`);
  if (contentType) headers.set("content-type", contentType);
  if (String(query)) target += `?${query}`;
  // Credentials are omitted, so that the browser does not ask for a password when the token is wrong.
  const options = { method, headers, credentials: "omit", cache: "no-store" };
  if (contentType) options.body = form.querySelector("#body").value;
  return [target, options];
}

const form = document.querySelector("#send form");
if (form) {
  const button = form.querySelector("button");
  const outcome = document.getElementById("outcome");
  const answer = document.getElementById("answer");
  for (const part of document.querySelectorAll(".scripted")) part.hidden = false;
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    button.disabled = true;
    answer.hidden = true;
    outcome.textContent = "Sending …";
    const started = performance.now();
    try {
      const response = await fetch(...request(form));
      const text = await response.text();
      const took = Math.round(performance.now() - started);
      outcome.textContent = `${response.status} ${response.statusText} in ${took} ms`;
      answer.firstChild.textContent = text;
      answer.hidden = text === "";
    } catch (error) {
      outcome.textContent = `No response: ${error.message}`;
    }
    button.disabled = false;
  });
}
