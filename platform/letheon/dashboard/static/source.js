// The pages' data: from the server, or in a report from the page itself.

const FAILED_SECONDS = 3;

export function openSource() {
  const embedded = document.getElementById("data");
  return embedded ? fromPage(JSON.parse(embedded.textContent)) : fromServer();
}

function fromServer() {
  const at = (key) => `/api/sweeps/${encodeURIComponent(key)}`;
  return {
    live: true,
    home: null,
    sweeps: () => get("/api/sweeps"),
    importance: (key) => get(`${at(key)}/importance`),
    trial: (key, trial) => get(`${at(key)}/trials/${encodeURIComponent(trial)}`),
    async sweep(key, before) {
      if (!before) return get(at(key));
      return merged(before, await get(`${at(key)}?since=${before.version}`));
    },
    watch: (key, changed, doing) => watch(() => get(`${at(key)}/stamp`), changed, doing),
  };
}

function fromPage(data) {
  return {
    live: false,
    home: data.sweep.key,
    sweeps: async () => ({ sweeps: [], store: "", problem: null }),
    sweep: async () => data.sweep,
    importance: async () => data.importance,
    async trial(_, trial) {
      if (!data.trials[trial]) throw new Error(`${trial}: this report has no page for this trial`);
      return data.trials[trial];
    },
    watch(_, changed) { changed(); return () => {}; },
  };
}

// Calls `changed` now and whenever the sweep changes or the server comes or goes, and `doing` at every poll with what
// the sweep does now (null: unknown); returns a function that ends this.
// Polls, because a stream would hold one of a browser's six connections, and the seventh open page would hang.
function watch(stamp, changed, doing = () => {}) {
  let last, timer, turn = 0, closed = false;
  async function poll() {
    if (document.hidden) return; // polls again when the page is visible
    const mine = ++turn;
    const { stamp: now, pause, activity } = await stamp().catch(() => ({ stamp: null, pause: FAILED_SECONDS, activity: null }));
    if (closed || mine !== turn) return;
    if (now !== last) changed();
    last = now;
    doing(activity);
    timer = setTimeout(poll, 1000 * pause);
  }
  const restart = () => { clearTimeout(timer); poll(); };
  document.addEventListener("visibilitychange", restart);
  poll();
  return () => { closed = true; clearTimeout(timer); document.removeEventListener("visibilitychange", restart); };
}

async function get(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } }).catch(() => {
    throw new Error("The dashboard's server does not answer; is `letheon dashboard` still running?");
  });
  const type = answer.headers.get("Content-Type") ?? "";
  const body = type.includes("json") ? await answer.json() : { error: (await answer.text()).trim() };
  if (!answer.ok) throw new Error(body.error ?? `${answer.status} ${answer.statusText}`);
  return body;
}

// The previous view updated with the changed trials; the new view itself if the journal was replaced.
export function merged(before, after) {
  if (!after.since || after.version < before.version) return after;
  const fresh = new Map(after.trials.map((trial) => [trial.id, trial]));
  const kept = before.trials.map((trial) => {
    const newer = fresh.get(trial.id) ?? trial;
    fresh.delete(trial.id);
    return newer;
  });
  return { ...after, trials: reranked([...kept, ...fresh.values()], after.ranks) };
}

// A new front point changes the ranks of other trials, which the server does not send again.
function reranked(trials, ranks) {
  return trials.map((trial, i) => (trial.rank === ranks[i] ? trial : { ...trial, rank: ranks[i] }));
}
