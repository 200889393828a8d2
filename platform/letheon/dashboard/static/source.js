// Where pages get their data: from the server that sent them, or, in a report, from the page itself.

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
    // Calls `changed` whenever the sweep has; returns how to end that.
    watch(key, changed) {
      const stream = new EventSource(`${at(key)}/events`);
      stream.addEventListener("changed", changed);
      return () => stream.close();
    },
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
    watch: () => () => {},
  };
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
