// The start page: upload files and folders, and show each result when it is ready. Archives become a batch on the server.
(function () {
  "use strict";
  const { kept, keep, word } = globalThis.shared;
  const AT_ONCE = 3;
  const TRIES = 8; // while the server is busy; it says how long to wait
  const $ = (id) => document.getElementById(id);
  const drop = $("drop"), input = $("files"), section = $("progress"), results = $("results");
  const token = document.querySelector('meta[name="csrf-token"]').content;
  const limit = { file: Number(section.dataset.fileBytes), zip: Number(section.dataset.zipBytes) };
  const queue = [];
  const sent = new Map(); // row to bytes sent; a row that is done counts whole
  let working = 0, total = 0, done = 0, failed = 0, bytes = 0, passed = 0;

  const sleep = (seconds) => new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
  const key = () => [...crypto.getRandomValues(new Uint8Array(16))].map((b) => b.toString(16).padStart(2, "0")).join("");
  const template = (id) => $(id).content.firstElementChild.cloneNode(true);

  function add(files) {
    for (const file of files) {
      const item = template("sending");
      item.querySelector(".name").textContent = file.path || file.name;
      results.append(item);
      queue.push({ file, item, once: key() });
      total += 1;
      bytes += file.size;
    }
    section.hidden = total === 0;
    count();
    while (working < AT_ONCE && queue.length) next();
  }

  async function next() {
    const task = queue.shift();
    working += 1;
    try {
      await (await isArchive(task.file) ? sendArchive(task) : sendImage(task));
    } catch (problem) {
      refuse(task, problem);
    }
    sent.set(task.once, task.file.size);
    working -= 1;
    done += 1;
    count();
    if (queue.length) next();
  }

  /** Recognise zip and tar archives by their bytes, packed tars by their name. */
  async function isArchive(file) {
    if (/\.(tar|tgz|tbz2|txz|tar\.(gz|bz2|xz))$/i.test(file.name)) return true;
    const start = String.fromCharCode(...new Uint8Array(await file.slice(0, 262).arrayBuffer()));
    return start.startsWith("PK\x03\x04") || start.startsWith("PK\x05\x06") || start.slice(257) === "ustar";
  }

  async function sendImage(task) {
    if (task.file.size > limit.file) throw { code: "too-large" };
    const study = await send("/api/v1/predict", task);
    remember("studies", study.id);
    const row = await draw(`/studies/${study.id}/row`);
    if (row) replace(task.item, row);
    else stored(task, study.id); // it is stored; sending it again would not help
  }

  async function sendArchive(task) {
    if (task.file.size > limit.zip) throw { code: "too-large" };
    const job = await send("/api/v1/batch", task);
    remember("batches", job.id);
    const part = await draw(`/batches/${job.id}`);
    if (part) batch(task.item, part);
    else stored(task, job.id, "batches");
  }

  /** Fetch a part of a page; `null` where the server does not give it after some tries. */
  async function draw(url) {
    for (let turn = 1; turn <= 4; turn += 1) {
      try {
        const part = await fetch(url, { headers: { "HX-Request": "true" } });
        if (part.ok) return await part.text();
        if (part.status !== 429 && part.status < 500) return null;
        await sleep(Number(part.headers.get("Retry-After")) || turn);
      } catch { await sleep(turn); }
    }
    return null;
  }

  function batch(item, html) {
    // From here on its hx-get refreshes the batch.
    const holder = document.createElement("li");
    holder.className = "archive";
    holder.innerHTML = html;
    item.replaceWith(holder);
    htmx.process(holder);
  }

  async function send(url, task) {
    for (let turn = 1; ; turn += 1) { // a retry after a lost response gives the same study
      const answer = await post(url, task);
      if (answer.status < 300) return answer.body;
      if ((answer.status !== 429 && answer.status !== 503) || turn === TRIES) throw answer.body;
      say(task.item, word("busy"));
      await sleep(answer.retry || 1);
    }
  }

  function post(url, { file, item, once }) {
    return new Promise((resolve) => {
      const request = new XMLHttpRequest();
      const form = new FormData();
      form.append("file", file, file.path || file.name);
      request.open("POST", url);
      request.responseType = "json";
      request.setRequestHeader("X-CSRF-Token", token);
      request.setRequestHeader("Idempotency-Key", once);
      request.upload.onprogress = (event) => {
        if (!event.lengthComputable) return;
        if (event.loaded < event.total) say(item, word("sending", { percent: Math.round(100 * event.loaded / event.total) }));
        sent.set(once, Math.min(file.size, event.loaded));
        count();
      };
      request.upload.onload = () => say(item, word("classifying"));
      request.onload = () => resolve({ status: request.status, body: request.response || { code: "failed" }, retry: Number(request.getResponseHeader("Retry-After")) });
      request.onerror = () => resolve({ status: 599, body: { code: "offline" } });
      say(item, word("sending", { percent: 0 }));
      request.send(form);
    });
  }

  const say = (item, text) => { item.querySelector(".state").textContent = text; };
  /** Tell a screen reader what became of a file. */
  const announce = (name, text) => { $("said").textContent = `${name}: ${text}`; };

  function replace(item, html) {
    const holder = document.createElement("ol");
    holder.innerHTML = html;
    const row = holder.firstElementChild;
    item.replaceWith(row);
    announce(row.querySelector(".name").textContent, row.dataset.answer);
  }

  function stored({ file, item }, id, kind = "studies") {
    const row = template("stored"), link = row.querySelector(".name");
    link.textContent = file.name;
    link.href = `/${kind}/${id}`;
    item.replaceWith(row);
    announce(file.name, row.querySelector(".state").textContent);
  }

  function refuse(task, problem) {
    failed += 1;
    const known = $("advice").content.querySelector(`[data-code="${CSS.escape(problem?.code || "failed")}"]`);
    const row = template("refused"), again = row.querySelector(".retry");
    row.querySelector(".name").textContent = task.file.path || task.file.name;
    row.querySelector(".state").textContent = known ? known.textContent : problem.detail || word("refused-file");
    row.querySelector(".todo").textContent = known ? known.dataset.todo : "";
    again.hidden = !known || known.dataset.again === undefined;
    again.addEventListener("click", () => {
      const item = template("sending");
      item.querySelector(".name").textContent = task.file.path || task.file.name;
      row.replaceWith(item);
      sent.delete(task.once);
      failed -= 1;
      done -= 1;
      queue.push({ ...task, item });
      count();
      if (working < AT_ONCE) next();
    });
    task.item.replaceWith(row);
    announce(task.file.name, `${row.querySelector(".state").textContent} ${row.querySelector(".todo").textContent}`);
  }

  function count() {
    $("done").max = bytes || 1;
    $("done").value = [...sent.values()].reduce((sum, part) => sum + part, 0);
    const parts = [word("count", { done, total })];
    if (failed) parts.push(word("count-refused", { failed }));
    if (passed) parts.push(word("count-passed", { passed }));
    $("count").textContent = parts.join(", ");
    $("retry-all").hidden = !results.querySelector(".retry:not([hidden])");
  }

  /** List the files of what was dropped, those of folders with their path; hidden files are passed over. */
  async function dropped(transfer) {
    const entries = [...transfer.items].map((item) => item.webkitGetAsEntry?.());
    if (!entries.some((entry) => entry?.isDirectory)) return [...transfer.files];
    const found = [];
    const walk = async (entry) => {
      if (!entry) return;
      if (isPassedOver(entry.name)) { passed += 1; return; }
      if (entry.isFile) {
        const file = await new Promise((resolve, reject) => entry.file(resolve, reject));
        found.push(Object.assign(file, { path: entry.fullPath.slice(1) }));
        return;
      }
      const reader = entry.createReader();
      for (;;) { // a reader gives at most a hundred at a time
        const some = await new Promise((resolve, reject) => reader.readEntries(resolve, reject));
        if (!some.length) return;
        for (const one of some) await walk(one);
      }
    };
    for (const entry of entries) await walk(entry);
    return found;
  }

  const isPassedOver = (name) => name.startsWith(".") || name === "DICOMDIR";

  /** List the files of a chosen folder with their path. */
  function chosen(files) {
    const seen = [...files].filter((file) => !file.webkitRelativePath.split("/").some(isPassedOver));
    passed += files.length - seen.length;
    return seen.map((file) => Object.assign(file, { path: file.webkitRelativePath }));
  }

  // Results come back with the Back button, as long as the tab is open.
  function remember(kind, id) {
    const list = JSON.parse(kept("results", sessionStorage) || "[]");
    keep("results", JSON.stringify([...list, { kind, id }].slice(-100)), sessionStorage);
  }

  async function restore() {
    const list = JSON.parse(kept("results", sessionStorage) || "[]");
    const [navigation] = performance.getEntriesByType("navigation");
    if (!list.length || navigation?.type !== "back_forward") { keep("results", "[]", sessionStorage); return; }
    section.hidden = false;
    for (const { kind, id } of list) {
      const item = template("sending");
      results.append(item);
      const html = await draw(kind === "studies" ? `/studies/${id}/row` : `/batches/${id}`);
      if (!html) item.remove();
      else if (kind === "batches") batch(item, html);
      else {
        const holder = document.createElement("ol");
        holder.innerHTML = html;
        item.replaceWith(holder.firstElementChild);
      }
    }
    $("count").textContent = word("count", { done: list.length, total: list.length });
    $("done").value = $("done").max;
    scrollTo({ top: Number(kept("scroll", sessionStorage)), behavior: "instant" }); // where the reader left the list
  }

  input.addEventListener("change", () => { add([...input.files]); input.value = ""; });
  $("folder").addEventListener("change", (event) => { add(chosen(event.target.files)); event.target.value = ""; });
  drop.addEventListener("submit", (event) => event.preventDefault());
  $("retry-all").addEventListener("click", () => { for (const button of results.querySelectorAll(".retry:not([hidden])")) button.click(); });
  // The whole window accepts files, so that the browser does not open one dropped beside the box.
  addEventListener("dragover", (event) => { event.preventDefault(); drop.classList.add("over"); });
  addEventListener("dragleave", (event) => { if (!event.relatedTarget) drop.classList.remove("over"); });
  addEventListener("drop", async (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    if (event.dataTransfer?.items.length) add(await dropped(event.dataTransfer));
  });
  addEventListener("paste", (event) => { if (event.clipboardData?.files.length) add([...event.clipboardData.files]); });
  addEventListener("beforeunload", (event) => { if (working || queue.length) event.preventDefault(); });
  addEventListener("pagehide", () => keep("scroll", String(scrollY), sessionStorage));
  restore();
})();
