// The app's service worker. It keeps the shell, which is the same for everybody,
// and never an answer of the module: what it does not know by name it does not
// touch.

export {}; // a module of its own for the type checker

const worker = self as unknown as ServiceWorkerGlobalScope;

const shell = "shell-v1";
const start = "/app/";

worker.addEventListener("install", (e) => {
  e.waitUntil(worker.skipWaiting());
});

worker.addEventListener("activate", (e) => {
  e.waitUntil(
    (async () => {
      for (const name of await caches.keys()) if (name !== shell) await caches.delete(name);
      await worker.clients.claim();
    })(),
  );
});

// hashed says whether a file carries its content's hash in its address.
function hashed(path: string): boolean {
  return path.startsWith("/assets/") || path.startsWith("/ui/");
}

worker.addEventListener("fetch", (e) => {
  const url = new URL(e.request.url);
  if (e.request.method !== "GET" || url.origin !== worker.location.origin) return;
  if (e.request.mode === "navigate" && url.search === "" && (url.pathname === start || url.pathname.startsWith("/app/r/"))) {
    e.respondWith(page(e.request));
  } else if (hashed(url.pathname)) {
    e.respondWith(file(e.request));
  }
});

// page is the shell from the network, or the last one that came.
async function page(request: Request): Promise<Response> {
  const cache = await caches.open(shell);
  try {
    const answer = await fetch(request);
    if (answer.ok) {
      await cache.put(start, answer.clone());
      await prune(cache, await answer.clone().text());
    }
    return answer;
  } catch (err) {
    const kept = await cache.match(start);
    if (kept) return kept;
    throw err;
  }
}

// prune drops the files of older builds: those that the page does not name.
async function prune(cache: Cache, page: string): Promise<void> {
  for (const kept of await cache.keys()) {
    const path = new URL(kept.url).pathname;
    if (hashed(path) && !page.includes(path)) await cache.delete(kept);
  }
}

async function file(request: Request): Promise<Response> {
  const cache = await caches.open(shell);
  const kept = await cache.match(request);
  if (kept) return kept;
  const answer = await fetch(request);
  if (answer.ok) await cache.put(request, answer.clone());
  return answer;
}
