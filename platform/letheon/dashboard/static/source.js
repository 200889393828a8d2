// Where pages get their data: from the server that sent them, or, in a report, from the page itself.

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
    watch: (key, changed) => watch(() => get(`${at(key)}/stamp`), changed),
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
      if (!data.trials[trial]) throw new Error(`${trial}: this report has no such trial`);
      return data.trials[trial];
    },
    watch(_, changed) { changed(); return () => {}; },
  };
}

// Calls `changed` at once, and again whenever the sweep has or the server comes or goes; returns how to end that. It asks
// instead of being told: a stream would hold a connection, of which a browser has six, and the seventh page would hang.
function watch(stamp, changed) {
  let told, timer, turn = 0, over = false;
  async function ask() {
    if (document.hidden) return; // who comes back to the page asks again
    const mine = ++turn;
    const { stamp: now, pause } = await stamp().catch(() => ({ stamp: null, pause: FAILED_SECONDS }));
    if (over || mine !== turn) return;
    if (now !== told) changed();
    told = now;
    timer = setTimeout(ask, 1000 * pause);
  }
  const back = () => { clearTimeout(timer); ask(); };
  document.addEventListener("visibilitychange", back);
  ask();
  return () => { over = true; clearTimeout(timer); document.removeEventListener("visibilitychange", back); };
}

async function get(address) {
  const answer = await fetch(address, { headers: { Accept: "application/json" } }).catch(() => {
    throw new Error("the dashboard's server does not answer; is `letheon dashboard` still running?");
  });
  const type = answer.headers.get("Content-Type") ?? "";
  const body = type.includes("json") ? await answer.json() : { error: (await answer.text()).trim() };
  if (!answer.ok) throw new Error(body.error ?? `${answer.status} ${answer.statusText}`);
  return body;
}

// The trials that changed, put among those that did not. A journal that was replaced is taken as it is.
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

// A new front point pushes others back without a word about them.
function reranked(trials, ranks) {
  return trials.map((trial, i) => (trial.rank === ranks[i] ? trial : { ...trial, rank: ranks[i] }));
}
