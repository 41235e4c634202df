// The start page: upload files and show each result when it is ready. Archives become a batch on the server.
(function () {
  "use strict";
  const AT_ONCE = 3;
  const TRIES = 8; // while the server is busy; it says how long to wait
  const drop = document.getElementById("drop");
  const input = document.getElementById("files");
  const section = document.getElementById("progress");
  const results = document.getElementById("results");
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const limit = { file: Number(section.dataset.fileBytes), zip: Number(section.dataset.zipBytes) };
  const queue = [];
  let working = 0, total = 0, done = 0, failed = 0;

  const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  const key = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");

  function add(files) {
    for (const file of files) {
      const item = document.getElementById("sending").content.firstElementChild.cloneNode(true);
      item.querySelector(".name").textContent = file.name;
      results.append(item);
      queue.push({ file, item });
      total += 1;
    }
    section.hidden = total === 0;
    count();
    while (working < AT_ONCE && queue.length) next();
  }

  async function next() {
    const { file, item } = queue.shift();
    working += 1;
    try {
      await (await isZip(file) ? sendArchive(file, item) : sendImage(file, item));
    } catch (problem) {
      refuse(item, file.name, problem);
    }
    working -= 1;
    done += 1;
    count();
    if (queue.length) next();
  }

  async function isZip(file) {
    const start = new Uint8Array(await file.slice(0, 4).arrayBuffer());
    return start[0] === 0x50 && start[1] === 0x4b && (start[2] === 3 || start[2] === 5);
  }

  async function sendImage(file, item) {
    if (file.size > limit.file) throw { code: "too-large" };
    const study = await send("/api/v1/predict", file, item);
    const row = await fetch(`/studies/${study.id}/row`, { headers: { "HX-Request": "true" } });
    if (!row.ok) throw { code: "failed" };
    replace(item, await row.text());
  }

  async function sendArchive(file, item) {
    if (file.size > limit.zip) throw { code: "too-large" };
    const job = await send("/api/v1/batch", file, item);
    const url = `/batches/${job.id}`;
    for (;;) {
      const part = await fetch(url, { headers: { "HX-Request": "true" } });
      if (part.ok) {
        // From here on its hx-get refreshes the batch.
        const holder = document.createElement("li");
        holder.className = "archive";
        holder.innerHTML = await part.text();
        item.replaceWith(holder);
        htmx.process(holder);
        return;
      }
      if (part.status !== 429 && part.status !== 503) throw { code: "failed" };
      await sleep(Number(part.headers.get("Retry-After")) || 1);
    }
  }

  async function send(url, file, item) {
    const once = key(); // a retry after a lost response gives the same study
    for (let turn = 1; ; turn += 1) {
      const answer = await post(url, file, item, once);
      if (answer.status < 300) return answer.body;
      if ((answer.status !== 429 && answer.status !== 503) || turn === TRIES) throw answer.body;
      say(item, "The server is busy; waiting");
      await sleep(answer.retry || 1);
    }
  }

  function post(url, file, item, once) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      const form = new FormData();
      form.append("file", file, file.name);
      request.open("POST", url);
      request.responseType = "json";
      request.setRequestHeader("X-CSRF-Token", token);
      request.setRequestHeader("Idempotency-Key", once);
      request.upload.onprogress = (event) => {
        if (event.lengthComputable && event.loaded < event.total) say(item, `Sending, ${Math.round(100 * event.loaded / event.total)} %`);
      };
      request.upload.onload = () => say(item, "Classifying");
      request.onload = () => resolve({ status: request.status, body: request.response || { code: "failed" }, retry: Number(request.getResponseHeader("Retry-After")) });
      request.onerror = () => resolve({ status: 599, body: { code: "offline" } });
      say(item, "Sending");
      request.send(form);
    });
  }

  function say(item, text) {
    item.querySelector(".state").textContent = text;
  }

  function replace(item, html) {
    const holder = document.createElement("ol");
    holder.innerHTML = html;
    item.replaceWith(holder.firstElementChild);
  }

  function refuse(item, name, problem) {
    failed += 1;
    const known = document.getElementById("advice").content.querySelector(`[data-code="${CSS.escape(problem?.code || "failed")}"]`);
    const row = document.getElementById("refused").content.firstElementChild.cloneNode(true);
    row.querySelector(".name").textContent = name;
    row.querySelector(".state").textContent = known ? known.textContent : problem.detail || "The server refused the file.";
    row.querySelector(".todo").textContent = known ? known.dataset.todo : "";
    item.replaceWith(row);
  }

  function count() {
    const bar = document.getElementById("done");
    bar.max = total || 1;
    bar.value = done;
    document.getElementById("count").textContent = `${done} of ${total} done${failed ? `, ${failed} refused` : ""}`;
  }

  input.addEventListener("change", () => { add([...input.files]); input.value = ""; });
  drop.addEventListener("submit", (event) => event.preventDefault());
  // The whole window accepts files, so that the browser does not open one dropped beside the box.
  addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer?.files.length) add([...event.dataTransfer.files]);
  });
  addEventListener("paste", (event) => { if (event.clipboardData?.files.length) add([...event.clipboardData.files]); });
  addEventListener("beforeunload", (event) => { if (working || queue.length) event.preventDefault(); });
})();
