/* The explorer of the first page: one classic script, without any other file.

   1. The pure part: what a workload is, what an allocation costs, the best one with its certified
      gap, percentiles, and the texts that a workload is written in. It knows of no page; Node and
      the tests call it and hold it to the Python library.
   2. The page: inputs, numbers, and the line as moving dots.

   Names follow the library (arrival_rate, accuracy_weight, ...); letters follow the formulas. */

(function (root) {
  "use strict";

  // ------------------------------------------------------------------------------------------
  // 1. The pure part
  // ------------------------------------------------------------------------------------------

  const LARGEST = 1e30, SMALLEST = 1e-30;
  const MOST_TYPES = 200, MOST_TEXT = 100000, MOST_NAME = 200, MOST_SAID = 400;
  const TINY = 1e-150;        // the logarithm of worth over price where they are equal
  const RESOLUTION = 1e-13;   // of J, what comparing two objectives is trusted to resolve

  /** A text as a sentence may show it: what is no letter as its code, and not too much of it. */
  function shown(text) {
    const plain = text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Cs}]/gu, (c) => "\\u" + c.codePointAt(0).toString(16).padStart(4, "0"));
    return plain.length > MOST_SAID ? plain.slice(0, MOST_SAID / 2) + "…" + plain.slice(-MOST_SAID / 2) : plain;
  }

  /** Something that is wrong with a workload, in a sentence for its owner. */
  class WorkloadError extends Error {
    constructor(sentence) { super(shown(sentence)); }
  }

  /** More work than time, with the load and the largest arrival rate that would do. */
  class UnstableError extends Error {
    constructor(utilization, arrivalRate, where) {
      const limit = arrivalRate / utilization;
      super("The queue is unstable " + where + ": the load is " + short(utilization) +
        " and must be below 1. Any arrival rate below " + short(limit) + "/s is stable; it is " +
        short(arrivalRate) + "/s.");
      this.utilization = utilization;
      this.maxArrivalRate = limit;
    }
  }

  function short(x) { return String(Number(x.toPrecision(6))); }

  // field, smallest, largest: the ranges of the library
  const FIELDS = [
    ["share", 0, 1], ["gain", 0, 1], ["rate", SMALLEST, LARGEST], ["baseline", 0, 1],
    ["base_time", 0, LARGEST], ["time_per_token", SMALLEST, LARGEST],
    ["answer_tokens", 0, LARGEST], ["prompt_time", 0, LARGEST], ["prompt_tokens", 0, LARGEST],
    ["max_tokens", 0, LARGEST], ["weight", 0, LARGEST],
  ];
  const DEFAULTS = { prompt_time: 0, prompt_tokens: 0, max_tokens: 32768, weight: 1 };

  /** Which fields a type has at a server. */
  function fieldsOf(kind) {
    const times = kind === "batching" ? ["answer_tokens", "prompt_time", "prompt_tokens"]
      : ["base_time", "time_per_token"];
    return ["share", "gain", "rate", "baseline", ...times, "max_tokens", "weight"];
  }

  function checkNumber(name, value, low, high, of) {
    if (typeof value !== "number" || !(value >= low && value <= high)) {
      const least = low === SMALLEST ? "positive" : "at least " + low;
      const given = typeof value === "object" ? JSON.stringify(value) : value;
      throw new WorkloadError(name + of + " is " + given + "; it must be a number, " + least +
        " and at most " + high + ".");
    }
  }

  /** Refuse what is no workload; return it. */
  function check(w) {
    checkNumber("arrival_rate", w.arrival_rate, SMALLEST, LARGEST, "");
    checkNumber("accuracy_weight", w.accuracy_weight, 0, LARGEST, "");
    if (w.server.kind === "batching") {
      checkNumber("base", w.server.base, 0, LARGEST, " of the server's token_time");
      checkNumber("per_query", w.server.per_query, 0, LARGEST, " of the server's token_time");
      if (!(w.server.base + w.server.per_query > 0)) {
        throw new WorkloadError("A token takes no time at this server; give base or per_query.");
      }
    } else if (w.server.kind !== "fifo") {
      throw new WorkloadError("This page knows servers of kind fifo and batching, and not " +
        JSON.stringify(w.server.kind) + ".");
    }
    if (!w.tasks.length) throw new WorkloadError("There is no [[task]]; give at least one.");
    if (w.tasks.length > MOST_TYPES) {
      throw new WorkloadError("There are " + w.tasks.length + " task types; this page takes " +
        MOST_TYPES + ", the library a million.");
    }
    const names = new Set();
    let mass = 0;
    w.tasks.forEach((task, k) => {
      if (typeof task.name !== "string" || !task.name.trim()) {
        throw new WorkloadError("Task type " + (k + 1) + " has no name; give it one.");
      }
      if (task.name.length > MOST_NAME) {
        throw new WorkloadError("The name of task type " + (k + 1) + " has " + task.name.length +
          " letters; this page takes " + MOST_NAME + ".");
      }
      if (names.has(task.name)) {
        throw new WorkloadError("Two task types are called " + JSON.stringify(task.name) +
          "; give each its own name.");
      }
      names.add(task.name);
      const of = " of task type " + JSON.stringify(task.name);
      const wanted = fieldsOf(w.server.kind);
      for (const [field, low, high] of FIELDS) {
        if (wanted.includes(field)) checkNumber(field, task[field], low, high, of);
      }
      if (task.gain + task.baseline > 1 + 1e-12) {
        throw new WorkloadError("gain + baseline" + of + " is " + short(task.gain + task.baseline) +
          "; it must be at most 1, as an accuracy must be.");
      }
      mass += task.share;
    });
    if (Math.abs(mass - 1) > 1e-9) {
      throw new WorkloadError("The shares add up to " + short(mass) + " and not to 1" +
        (mass > 0 ? "; divide each by " + short(mass) : "") + ".");
    }
    return w;
  }

  function column(w, field) { return Float64Array.from(w.tasks, (task) => task[field]); }

  function dot(a, b) {
    let sum = 0;
    for (let k = 0; k < a.length; k++) sum += a[k] * b[k];
    return sum;
  }

  /** A workload as arrays, with what does not change while tokens do. */
  function problemOf(w) {
    const n = w.tasks.length, share = column(w, "share"), rate = column(w, "rate");
    const gain = column(w, "gain"), weight = column(w, "weight"), cap = column(w, "max_tokens");
    const batching = w.server.kind === "batching";
    const p = {
      n, share, rate, gain, cap, lambda: w.arrival_rate, alpha: w.accuracy_weight, batching,
      logValue: new Float64Array(n), stakeGain: new Float64Array(n), idle: 0,
      baseline: column(w, "baseline"), weight,
      base: column(w, batching ? "answer_tokens" : "base_time"),
      cost: batching ? new Float64Array(n).fill(1) : column(w, "time_per_token"),
      prompt: batching ? dot(share, column(w, "prompt_time")) : 0,
      a: w.server.base, b: w.server.per_query,
    };
    for (let k = 0; k < n; k++) {
      p.logValue[k] = Math.log(p.alpha * weight[k] * gain[k]) + Math.log(rate[k]);
      p.stakeGain[k] = p.alpha * weight[k] * share[k] * gain[k];
      p.idle += p.alpha * weight[k] * share[k] * p.baseline[k];
    }
    return p;
  }

  /** Mean time, prices and slack. One at a time: Pollaczek and Khinchine. */
  function stateOf(p, tokens) {
    const { n, share, lambda } = p, s = new Float64Array(n), price = new Float64Array(n);
    let m = 0, M = 0;
    for (let k = 0; k < n; k++) {
      s[k] = p.base[k] + p.cost[k] * tokens[k];
      m += share[k] * s[k];
      M += share[k] * s[k] * s[k];
    }
    if (p.batching) {
      const u = 1 - lambda * p.prompt, slack = u - lambda * m * p.b, one = p.a + p.b;
      const y = slack > 0 ? slack : NaN;
      const time = (one * m + p.prompt) / y;
      price.fill((one * u + lambda * p.b * p.prompt) / (y * y));
      return { s, m, M, slack, time, price, magnified: time / y };
    }
    const slack = 1 - lambda * m, nu = lambda / (slack > 0 ? slack : NaN);
    const f = nu / 2, f1 = nu * nu / 2, wait = f * M;
    for (let k = 0; k < n; k++) price[k] = 2 * p.cost[k] * s[k] * f + p.cost[k] * (1 + f1 * M);
    return { s, m, M, slack, f, f1, wait, time: m + wait, price, magnified: wait / slack };
  }

  function worthOf(p, tokens) {
    let worth = p.idle;
    for (let k = 0; k < p.n; k++) worth -= p.stakeGain[k] * Math.expm1(-p.rate[k] * tokens[k]);
    return worth;
  }

  /** What one look at an allocation tells: prices, replies to them, and the gap of the tangent. */
  function look(p, tokens) {
    const state = stateOf(p, tokens), n = p.n;
    const step = new Float64Array(n), slope = new Float64Array(n), bend = new Float64Array(n);
    let gap = 0;
    for (let k = 0; k < n; k++) {
      const b = p.rate[k], least = -b * tokens[k], price = state.price[k];
      const u = p.logValue[k] + least - Math.log(price) + TINY;
      const surplus = Math.expm1(u);      // worth of a token over its price, less 1
      slope[k] = surplus * price;
      bend[k] = slope[k] / u * b;
      const v = Math.min(Math.max(u, least), b * p.cap[k] + least);
      // e^u (1 - e^-v) - v, in the form that neither overflows nor cancels
      gap += p.share[k] * ((v === u ? surplus : Math.expm1(v)) * Math.exp(u - v) - v) * price / b;
      step[k] = v / b;
    }
    return {
      tokens, state, step, slope, bend, gap: Math.max(gap, 0),
      objective: worthOf(p, tokens) - state.time,
    };
  }

  function clip(x, low, high) { return Math.min(Math.max(x, low), high); }

  /** The model of a Newton step, two unknowns whatever the number of types; see the library. */
  function direction(p, at) {
    const { n, share, cost } = p, { f, f1, s } = at.state;
    const own = new Float64Array(n), cross = new Float64Array(n), square = new Float64Array(n);
    const diagonal = new Float64Array(n), free = new Uint8Array(n);
    for (let k = 0; k < n; k++) {
      own[k] = 2 * cost[k] * cost[k] * f;
      cross[k] = 2 * cost[k] * s[k] * f1;
      square[k] = cross[k] * cross[k] / own[k];
      diagonal[k] = at.bend[k] + own[k] + 1e-300;
      free[k] = at.step[k] !== 0 ? 1 : 0;
    }
    const d = new Float64Array(n), held = new Float64Array(n);
    for (let round = 0; round < 20; round++) {
      let mix = 1, g0 = 0, g1 = 0, z00 = 0, left = 0;
      for (let k = 0; k < n; k++) {
        const weighted = share[k] * cost[k], crossed = share[k] * cross[k];
        if (free[k]) {
          const one = weighted / diagonal[k], two = crossed / diagonal[k];
          mix += two * cost[k];
          z00 += one * cost[k];
          g0 += one * at.slope[k];
          g1 += two * at.slope[k];
          left += share[k] * square[k] * (at.bend[k] / diagonal[k]);
        } else {
          g0 += weighted * held[k];
          g1 += crossed * held[k];
          left += share[k] * square[k];
        }
      }
      const determinant = mix * mix + z00 * left;
      const a = (mix * g0 - z00 * g1) / determinant, eta = (mix * g1 + left * g0) / determinant;
      let settled = true;
      for (let k = 0; k < n; k++) {
        const top = (at.slope[k] - eta * cost[k] - cross[k] * a) / diagonal[k];
        d[k] = clip(top, -at.tokens[k], p.cap[k] - at.tokens[k]);
        const now = top === d[k] ? 1 : 0, hold = now ? 0 : d[k];
        settled = settled && now === free[k] && (now === 1 || held[k] === hold);
        free[k] = now;
        held[k] = hold;
      }
      if (settled) return { d, a };
    }
    return cautious(p, at, own, square);
  }

  /** A larger curvature with one unknown: a step that cannot cycle. */
  function cautious(p, at, own, square) {
    const { n, share, cost } = p, d = new Float64Array(n);
    const beta = 2 * dot(share, square);
    function move(price) {
      let a = 0;
      for (let k = 0; k < n; k++) {
        d[k] = clip((at.slope[k] - cost[k] * price) / (at.bend[k] + 2 * own[k] + 1e-300),
          -at.tokens[k], p.cap[k] - at.tokens[k]);
        a += share[k] * cost[k] * d[k];
      }
      return a;
    }
    const most = beta * move(0);
    let below = Math.min(most, 0), above = Math.max(most, 0);
    for (let i = 0; i < 100; i++) {
      const middle = (below + above) / 2;
      if (beta * move(middle) > middle) below = middle; else above = middle;
    }
    return { a: move(above), d };
  }

  function blur(at) {
    return RESOLUTION * Math.abs(at.objective) + Number.EPSILON * at.state.magnified;
  }

  /** Go along a direction of ascent as far as is stable, better and not far beyond the top. */
  function climb(p, here) {
    const { d, a } = direction(p, here), drift = p.lambda * a, edge = 0.99 * here.state.slack;
    let t = drift > edge ? edge / drift : 1, rise = 0;
    for (let k = 0; k < p.n; k++) rise += p.share[k] * d[k] * here.slope[k];
    for (let halvings = 0; halvings <= 60; halvings++, t /= 2) {
      const there = look(p, d.map((x, k) => clip(here.tokens[k] + t * x, 0, p.cap[k])));
      if (!(there.state.slack > 0)) continue;
      let beyond = 0;
      for (let k = 0; k < p.n; k++) beyond += p.share[k] * d[k] * there.slope[k];
      if (there.objective >= here.objective + 1e-4 * t * rise - blur(here) &&
          !(beyond < -0.5 * rise - blur(here))) return there;
    }
    return here;
  }

  /** Newton's method, from no tokens, until the certificate is good or nothing more can be had. */
  function newton(p, goal) {
    let here = look(p, new Float64Array(p.n)), best = here, fruitless = 0, steps = 0;
    while (best.gap > goal && fruitless < 3 && steps < 500) {
      const there = climb(p, here);
      steps++;
      fruitless = there.objective - here.objective > blur(here) || there.gap < best.gap / 2
        ? 0 : fruitless + 1;
      here = there;
      if (here.gap < best.gap) best = here;
    }
    return { best, steps };
  }

  /** w with w + ln w = z, Wright's function: Newton in ln w, which cannot miss, then in w. */
  function wrightOmega(z) {
    let v = z > 1 ? Math.log(z) : z;
    for (let i = 0; i < 40; i++) {
      const e = Math.exp(v), next = v - (e + v - z) / (e + 1);
      if (next === v) break;
      v = next;
    }
    let w = Math.exp(v);
    for (let i = 0; i < 2 && w > 1e-290; i++) w *= (1 + z - Math.log(w)) / (1 + w);
    return w;
  }

  /** The best budgets at a batching server, a + b n a step: sort, bisect, one Wright omega. */
  function closedForm(p) {
    const { n, share, rate, cap, lambda } = p, b = lambda * p.b, u = 1 - lambda * p.prompt;
    const least = dot(share, p.base), kappa = (p.a + p.b) * u + b * p.prompt;
    const floor = p.logValue.map((x, k) => x - rate[k] * cap[k]);
    const wish = (k, price) => (p.logValue[k] - price) / rate[k];
    function room(price) {
      let m = least;
      for (let k = 0; k < n; k++) m += share[k] * clip(wish(k, price), 0, cap[k]);
      return u - b * m - Math.exp(Math.min((Math.log(kappa) - price) / 2, 700));
    }
    const edges = Float64Array.from([...p.logValue, ...floor].filter(Number.isFinite)).sort();
    let low = -1, high = edges.length;
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (room(edges[middle]) >= 0) high = middle; else low = middle;
    }
    const above = high < edges.length ? edges[high] : Infinity, below = low >= 0 ? edges[low] : -Infinity;
    let spread = 0, mean = least;
    for (let k = 0; k < n; k++) {
      if (p.logValue[k] >= above && floor[k] <= below) {
        spread += share[k] / rate[k];
        mean += share[k] * wish(k, 0);
      } else if (floor[k] >= above) mean += share[k] * cap[k];
    }
    const K = 2 * b * spread;
    let y = u - b * (mean - spread * Math.log(kappa));
    if (K > 0) y = K * wrightOmega(y / K - Math.log(K));
    const price = Math.log(kappa) - 2 * Math.log(y);
    return p.logValue.map((_, k) => clip(wish(k, price), 0, cap[k]));
  }

  /** The best budgets, with the gap that certifies them: no budgets whatever gain more than it.
      Throws UnstableError where no allocation is stable. */
  function solve(w, goal) {
    const p = problemOf(w), idle = stateOf(p, new Float64Array(p.n));
    if (!(idle.slack > 0)) {
      throw new UnstableError(1 - idle.slack, w.arrival_rate, "even with no thinking tokens at all");
    }
    const found = p.batching ? { best: look(p, closedForm(p)), steps: 1 } : newton(p, goal || 1e-9);
    const { tokens, state, objective, gap } = found.best;
    return Object.assign(measure(w, tokens), {
      objective, gap, upper_bound: objective + gap, steps: found.steps,
      utilization: 1 - state.slack, mean_system_time: state.time,
      converged: gap <= (goal || 1e-9) * Math.max(1, Math.abs(objective)),
    });
  }

  /** What an allocation gives; where it is unstable, infinite times and an objective of -∞. */
  function measure(w, tokens) {
    const p = problemOf(w), state = stateOf(p, tokens), stable = state.slack > 0;
    const right = Float64Array.from(w.tasks, (task, k) =>
      task.baseline - task.gain * Math.expm1(-task.rate * tokens[k]));
    const time = stable ? state.time : Infinity;
    return {
      tokens: Array.from(tokens), accuracy: Array.from(right),
      right: dot(p.share, right), utilization: 1 - state.slack, mean_system_time: time,
      mean_waiting_time: stable ? state.time - (p.batching ? (p.a + p.b) * state.m : state.m) : Infinity,
      objective: stable ? worthOf(p, tokens) - time : -Infinity,
      service: Array.from(state.s),
      // what one more token of each type costs: for its own query, and for all who come behind
      price: Array.from(state.price),
    };
  }

  /** The best budget that is the same for all, as far as caps allow: a grid, then finer ones. */
  function bestAlike(w) {
    const p = problemOf(w), at = (x) => p.cap.map((cap) => Math.min(x, cap));
    const value = (x) => {
      const tokens = at(x), state = stateOf(p, tokens);
      return state.slack > 0 ? worthOf(p, tokens) - state.time : -Infinity;
    };
    const stable = (x) => stateOf(p, at(x)).slack > 0;
    let most = Math.max(...p.cap), least = 0, best = 0;
    // nobody gains beyond where the last curve is flat, and nothing is stable beyond load 1
    most = Math.min(most, 50 / Math.min(...p.rate));
    if (!stable(most)) {
      for (let i = 0; i < 200 && most - least > 1e-9 * most; i++) {
        const middle = least > most / 4 ? (least + most) / 2 : least > 0 ? Math.sqrt(least * most) : most / 16;
        if (stable(middle)) least = middle; else most = middle;
        if (most < 1e-12) break;
      }
    }
    const better = (x) => { if (value(x) > value(best)) best = x; };
    for (let i = 0; i <= 64; i++) better(most * Math.pow(10, -i / 8));
    let step = best / 3;
    for (let round = 0; round < 5; round++, step /= 24) {
      const middle = best;
      for (let i = -24; i <= 24; i++) better(clip(middle + i * step / 24, 0, most));
    }
    return { tokens: best, objective: value(best) };
  }

  // -- percentiles ----------------------------------------------------------------------------

  /** (e^x - 1 - x) / x², without cancellation. */
  function secondPart(x) {
    if (x > 0.2) return (Math.expm1(x) - x) / (x * x);
    let term = 0.5, sum = 0.5;
    for (let n = 3; n < 16; n++) { term *= x / n; sum += term; }
    return sum;
  }

  /** ((x - 1) e^x + 1) / x², without cancellation. */
  function slopePart(x) {
    if (x > 0.2) return ((x - 1) * Math.expm1(x) + x) / (x * x);
    let power = 1, sum = 0.5;   // sum of x^(n-2) (n-1) / n!
    for (let n = 3; n < 16; n++) { power *= x / n; sum += power * (n - 1) / 2; }
    return sum;
  }

  /** P(W > t), one at a time, from its renewal equation: by level crossing
        q(t) = λ Σ π_k ∫_{t - s_k}^t q(u) du,   q(u) = 1 for u < 0,
      on a grid, q linear in each cell, until e^{θt} q has settled on its asymptote. */
  function waitingTail(lambda, share, service, reach, work) {
    const s = [], pi = [];
    let rate = 0;
    for (let k = 0; k < share.length; k++) {
      if (share[k] > 0 && service[k] > 0) { s.push(service[k]); pi.push(lambda * share[k]); rate += lambda * share[k]; }
    }
    if (!s.length) return { tail: (t) => (t < 0 ? 1 : 0), decay: Infinity, longest: 0 };
    let load = 0, M = 0, longest = 0;
    for (let k = 0; k < s.length; k++) {
      load += pi[k] * s[k];
      M += pi[k] * s[k] * s[k];
      longest = Math.max(longest, s[k]);
    }
    const y = 1 - load;
    // θ > 0 with Σ λπ (e^{θs} - 1 - θs) = θ (1 - ρ): bisection of its logarithm
    const excess = (theta) => {
      let sum = 0;
      for (let k = 0; k < s.length; k++) sum += pi[k] * s[k] * s[k] * secondPart(theta * s[k]);
      return theta * sum - y;
    };
    let high = 2 * y / M * (1 + 1e-9), low = high;
    while (excess(low) > 0) low /= 4;
    for (let i = 0; i < 80; i++) {
      const middle = Math.sqrt(low * high);
      if (middle <= low || middle >= high) break;
      if (excess(middle) > 0) high = middle; else low = middle;
    }
    const theta = (low + high) / 2;
    let slope = 0;
    for (let k = 0; k < s.length; k++) slope += pi[k] * s[k] * s[k] * slopePart(theta * s[k]);
    const constant = y / (theta * slope);
    // the grid
    const end = reach === undefined ? longest + Math.log(20) / theta : reach;
    const most = Math.floor((work || 1e6) / (s.length + 2));
    let h = Math.min(longest / 1000, 0.02 / rate, end / 50);
    h = Math.max(h, 4 * longest / most, Math.min(end, 12 * longest) / most);
    const block = Math.ceil(longest / h), steps = Math.min(most, Math.ceil(end / h));
    const q = new Float64Array(steps + 1), Q = new Float64Array(steps + 1);
    const back = s.map((x) => Math.floor(x / h));
    const part = s.map((x, k) => 1 - (x / h - back[k]));   // how far into its cell t - s_k lies
    q[0] = load;
    let n = 0, settled = false, least = Infinity, largest = 0;
    while (n < steps && !settled) {
      n++;
      const t = n * h, before = Q[n - 1] + h * q[n - 1] / 2;
      let known = 0, own = 0;
      for (let k = 0; k < s.length; k++) {
        const j = n - back[k] - 1, x = part[k];
        if (j < 0) {
          // the window reaches back before 0, where q = 1 and Q(t) = t
          known += pi[k] * (before - (t - s[k]));
          own += pi[k] * h / 2;
        } else if (j === n - 1) {
          known += pi[k] * (h * q[n - 1] / 2 - h * q[n - 1] * (x - x * x / 2));
          own += pi[k] * h * (1 - x * x) / 2;
        } else {
          known += pi[k] * (before - Q[j] - h * (q[j] * x + (q[j + 1] - q[j]) * x * x / 2));
          own += pi[k] * h / 2;
        }
      }
      q[n] = known / (1 - own);
      Q[n] = before + h * q[n] / 2;
      const tilted = Math.exp(theta * t) * q[n];
      least = Math.min(least, tilted);
      largest = Math.max(largest, tilted);
      if (n % block === 0) {
        settled = n > block && largest - least < 1e-6 * least;
        least = Infinity;
        largest = 0;
      }
    }
    const horizon = n * h;
    function tail(t) {
      if (t < 0) return 1;
      if (t >= horizon) return Math.min(1, constant * Math.exp(-theta * t));
      const x = t / h, j = Math.floor(x);
      return q[j] + (q[j + 1] - q[j]) * (x - j);
    }
    return { tail, decay: theta, longest, h, n, q, Q };
  }

  /** The least t at which a falling function is at most a level, between two bounds. */
  function leastTime(tail, level, high) {
    let low = 0;
    if (tail(0) <= level) return 0;
    for (let i = 0; i < 60 && high - low > 1e-12 * high; i++) {
      const middle = (low + high) / 2;
      if (tail(middle) <= level) high = middle; else low = middle;
    }
    return high;
  }

  /** ln Γ(x), Lanczos. */
  function logGamma(x) {
    const g = [0.99999999999980993, 676.5203681218851, -1259.1392167224028, 771.32342877765313,
      -176.61502916214059, 12.507343278686905, -0.13857109526572012, 9.9843695780195716e-6,
      1.5056327351493116e-7];
    if (x < 0.5) return Math.log(Math.PI / Math.sin(Math.PI * x)) - logGamma(1 - x);
    let sum = g[0];
    for (let i = 1; i < 9; i++) sum += g[i] / (x - 1 + i);
    const t = x + 6.5;
    return 0.5 * Math.log(2 * Math.PI) + (x - 0.5) * Math.log(t) - t + Math.log(sum);
  }

  /** P(X > x) for a gamma law of this shape and scale 1: series, or continued fraction. */
  function gammaTail(shape, x) {
    if (x <= 0) return 1;
    const front = Math.exp(shape * Math.log(x) - x - logGamma(shape));
    if (x < shape + 1) {
      let term = 1 / shape, sum = term;
      for (let n = 1; n < 100000 && term > 1e-16 * sum; n++) { term *= x / (shape + n); sum += term; }
      return Math.min(1, Math.max(0, 1 - front * sum));
    }
    let b = x + 1 - shape, c = 1e300, d = 1 / b, h = d;
    for (let i = 1; i < 100000; i++) {
      const a = -i * (i - shape);
      b += 2;
      d = 1 / (a * d + b);
      c = b + a / c;
      const factor = d * c;
      h *= factor;
      if (Math.abs(factor - 1) < 1e-15) break;
    }
    return Math.min(1, front * h);
  }

  /** The time within which a part `level` of all answers comes. One at a time it is that of the
      model; batching, a gamma law with the right mean and variance stands for each type, and where
      prompts take time nothing is known (NaN). */
  function percentile(w, tokens, level, work) {
    const p = problemOf(w), state = stateOf(p, tokens), late = 1 - level;
    if (!(state.slack > 0)) return Infinity;
    const share = p.share;
    if (!p.batching) {
      const wait = waitingTail(p.lambda, share, state.s, undefined, work);
      let longest = 0;
      for (let k = 0; k < p.n; k++) if (share[k] > 0) longest = Math.max(longest, state.s[k]);
      const high = longest + (wait.decay < Infinity ? Math.log(1 / late) / wait.decay : 0);
      return leastTime((t) => {
        let sum = 0;
        for (let k = 0; k < p.n; k++) if (share[k] > 0) sum += share[k] * wait.tail(t - state.s[k]);
        return sum;
      }, late, high);
    }
    if (p.prompt > 0) return NaN;
    const one = p.a + p.b, y = state.slack, r = p.a / p.b;
    const own = state.s.map((x) => p.b * x);
    let longest = 0;
    for (let k = 0; k < p.n; k++) longest = Math.max(longest, own[k]);
    const wait = p.b > 0 && state.m > 0
      ? waitingTail(p.lambda, share, own, longest * 1.001, work) : null;
    // ∫∫ of the tail of the wait of the same queries, one at a time, each token taking b
    let twice = null;
    if (wait && wait.Q) {
      twice = new Float64Array(wait.n + 1);
      for (let i = 1; i <= wait.n; i++) {
        twice[i] = twice[i - 1] + wait.h * wait.Q[i - 1] +
          wait.h * wait.h * (wait.q[i - 1] / 3 + wait.q[i] / 6);
      }
    }
    const laws = Array.from(state.s, (x, k) => {
      const least = one * x, mean = least / y;
      let variance = 0;
      if (twice) {
        const at = own[k] / wait.h, j = Math.min(Math.floor(at), wait.n - 1), f = at - j;
        const q0 = wait.q[j], q1 = wait.q[j + 1];
        variance = 2 * (1 + r) / (y * y) * (twice[j] + wait.h * wait.Q[j] * f +
          wait.h * wait.h * (q0 * f * f / 2 + (q1 - q0) * f * f * f / 6));
      }
      const extra = mean - least;
      return extra > 0 && variance > 0
        ? { least, shape: extra * extra / variance, scale: variance / extra } : { least, shape: 0 };
    });
    let high = 0;
    for (const law of laws) {
      high = Math.max(high, law.least + (law.shape ? law.scale * (law.shape + 12 * Math.sqrt(law.shape) + 40) : 0));
    }
    return leastTime((t) => {
      let sum = 0;
      laws.forEach((law, k) => {
        if (!(share[k] > 0)) return;
        sum += share[k] * (t < law.least ? 1
          : law.shape ? gammaTail(law.shape, (t - law.least) / law.scale) : 0);
      });
      return sum;
    }, late, high);
  }

  // -- the texts of a workload ----------------------------------------------------------------

  /** Read the TOML of a workload: the part of the language that workloads are written in. */
  function parseToml(text) {
    if (text.length > MOST_TEXT) {
      throw new WorkloadError("The text has " + text.length + " letters; this page takes " + MOST_TEXT + ".");
    }
    const document = Object.create(null);
    let table = document;
    text.split(/\r\n|\n/).forEach((raw, number) => {
      const fail = (what) => { throw new WorkloadError("Line " + (number + 1) + ": " + what + "."); };
      const reader = { text: raw, at: 0, fail };
      skip(reader);
      if (reader.at >= raw.length || raw[reader.at] === "#") return;
      if (raw[reader.at] === "[") {
        const many = raw.startsWith("[[", reader.at);
        reader.at += many ? 2 : 1;
        const path = keyPath(reader);
        const close = many ? "]]" : "]";
        if (!raw.startsWith(close, reader.at)) fail("a heading must end in " + close);
        reader.at += close.length;
        ended(reader);
        table = document;
        path.forEach((key, i) => {
          const last = i === path.length - 1;
          if (last && many) {
            if (table[key] === undefined) table[key] = [];
            if (!Array.isArray(table[key])) fail(JSON.stringify(key) + " is there already");
            if (table[key].length >= MOST_TYPES) fail("this page takes " + MOST_TYPES + " task types, the library a million");
            table[key].push(Object.create(null));
            table = table[key][table[key].length - 1];
          } else {
            if (last && table[key] !== undefined) fail(JSON.stringify(key) + " is there already");
            if (table[key] === undefined) table[key] = Object.create(null);
            table = Array.isArray(table[key]) ? table[key][table[key].length - 1] : table[key];
            if (typeof table !== "object") fail(JSON.stringify(key) + " is no table");
          }
        });
        return;
      }
      pair(reader, table, 0);
      ended(reader);
    });
    return workloadOf(document);
  }

  function skip(r) { while (r.text[r.at] === " " || r.text[r.at] === "\t") r.at++; }

  function ended(r) {
    skip(r);
    if (r.at < r.text.length && r.text[r.at] !== "#") r.fail("nothing may follow here: " + r.text.slice(r.at, r.at + 20));
  }

  function keyPath(r) {
    const path = [];
    for (;;) {
      skip(r);
      if (r.text[r.at] === '"' || r.text[r.at] === "'") path.push(quoted(r));
      else {
        const bare = /^[A-Za-z0-9_-]+/.exec(r.text.slice(r.at, r.at + 100));
        if (!bare) r.fail("a name is missing");
        r.at += bare[0].length;
        path.push(bare[0]);
      }
      skip(r);
      if (r.text[r.at] !== ".") return path;
      r.at++;
      if (path.length > 4) r.fail("a name with so many parts is not known here");
    }
  }

  function pair(r, table, depth) {
    const path = keyPath(r), key = path.pop();
    for (const outer of path) {
      if (table[outer] === undefined) table[outer] = Object.create(null);
      table = table[outer];
      if (typeof table !== "object") r.fail(JSON.stringify(outer) + " is no table");
    }
    if (r.text[r.at] !== "=") r.fail("there is no = after " + JSON.stringify(key));
    r.at++;
    if (table[key] !== undefined) r.fail(JSON.stringify(key) + " is given twice");
    table[key] = value(r, depth);
  }

  function value(r, depth) {
    skip(r);
    const c = r.text[r.at];
    if (depth > 3) r.fail("its brackets nest too deep");
    if (c === '"' || c === "'") return quoted(r);
    if (c === "{" || c === "[") {
      const close = c === "{" ? "}" : "]", made = c === "{" ? Object.create(null) : [];
      r.at++;
      skip(r);
      while (r.text[r.at] !== close) {
        if (c === "{") pair(r, made, depth + 1); else made.push(value(r, depth + 1));
        skip(r);
        if (r.text[r.at] === ",") { r.at++; skip(r); } else if (r.text[r.at] !== close) {
          r.fail("a bracket is not closed; this page reads lists of one line");
        }
      }
      r.at++;
      return made;
    }
    const word = /^[^\s,\]}#]+/.exec(r.text.slice(r.at, r.at + 400));
    if (!word) r.fail("a value is missing");
    r.at += word[0].length;
    if (word[0] === "true") return true;
    if (word[0] === "false") return false;
    if (!/^[+-]?(0|[1-9](_?\d)*)(\.\d(_?\d)*)?([eE][+-]?\d(_?\d)*)?$/.test(word[0])) {
      r.fail(word[0].slice(0, 40) + " is neither a number nor a text in quotes");
    }
    return Number(word[0].replace(/_/g, ""));
  }

  function quoted(r) {
    const quote = r.text[r.at], escapes = { b: "\b", t: "\t", n: "\n", f: "\f", r: "\r", '"': '"', "\\": "\\" };
    if (r.text.startsWith(quote + quote + quote, r.at)) r.fail("a text of several lines is not read here");
    let made = "";
    for (r.at++; r.at < r.text.length; r.at++) {
      const c = r.text[r.at];
      if (c === quote) { r.at++; return made; }
      if (c !== "\\" || quote === "'") { made += c; continue; }
      const e = r.text[++r.at];
      if (e === "u" || e === "U") {
        const size = e === "u" ? 4 : 8, digits = r.text.slice(r.at + 1, r.at + 1 + size);
        const code = /^[0-9a-fA-F]+$/.test(digits) && digits.length === size ? parseInt(digits, 16) : -1;
        if (code < 0 || code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) r.fail("\\" + e + digits + " is no letter");
        made += String.fromCodePoint(code);
        r.at += size;
      } else if (e in escapes) made += escapes[e];
      else r.fail("\\" + e + " means nothing in a text");
    }
    return r.fail("a text is not closed");
  }

  function only(table, called, required, optional) {
    for (const key of required) {
      if (table[key] === undefined) throw new WorkloadError(called + " has no " + JSON.stringify(key) + ".");
    }
    for (const key of Object.keys(table)) {
      if (!required.includes(key) && !optional.includes(key)) {
        throw new WorkloadError(called + " has " + JSON.stringify(key) + ", which this page does not know" +
          (key === "accuracy" ? "; the library does." : ". Known are " +
          [...required, ...optional].join(", ") + "."));
      }
    }
  }

  /** The workload of a parsed document, checked. What only the library knows is refused. */
  function workloadOf(document) {
    only(document, "The text", ["arrival_rate", "accuracy_weight", "task"], ["server"]);
    const table = document.server || { kind: "fifo" };
    let server = { kind: "fifo" };
    if (table.kind === "batching") {
      only(table, "The server", ["kind", "token_time"], ["overflow"]);
      only(Object(table.token_time), "token_time", ["base", "per_query"], ["per_context"]);
      if (table.token_time.per_context) {
        throw new WorkloadError("token_time has a cost of context, which this page does not know; the library does.");
      }
      server = { kind: "batching", base: table.token_time.base, per_query: table.token_time.per_query };
    } else {
      if (table.kind !== "fifo" || (table.servers !== undefined && table.servers !== 1)) {
        throw new WorkloadError("This page knows one server at a time and batching; the library knows more.");
      }
      only(table, "The server", ["kind"], ["servers"]);
    }
    if (!Array.isArray(document.task)) throw new WorkloadError("Each task type is headed [[task]].");
    const fields = fieldsOf(server.kind);
    const optional = fields.filter((field) => field in DEFAULTS);
    const tasks = document.task.map((t, k) => {
      const called = t.name === undefined ? "[[task]] number " + (k + 1) : "Task type " + JSON.stringify(t.name);
      only(t, called, ["name", ...fields.filter((f) => !optional.includes(f))], optional);
      const task = { name: t.name };
      for (const field of fields) task[field] = t[field] === undefined ? DEFAULTS[field] : t[field];
      return task;
    });
    return check({ arrival_rate: document.arrival_rate, accuracy_weight: document.accuracy_weight, server, tasks });
  }

  function tomlText(text) {
    const whole = typeof text.toWellFormed === "function" ? text.toWellFormed() : text.replace(/[\ud800-\udfff]/g, (c, i) =>
      /[\ud800-\udbff][\udc00-\udfff]/.test(text.slice(Math.max(i - 1, 0), i + 2)) ? c : "\ufffd");
    return JSON.stringify(whole).replace(/\u007f/g, "\\u007f");
  }

  /** Write a workload as the file that the library reads. */
  function toToml(w) {
    const lines = ["arrival_rate = " + w.arrival_rate + "    # 1/s", "accuracy_weight = " + w.accuracy_weight + "    # s"];
    if (w.server.kind === "batching") {
      lines.push("", "[server]", 'kind = "batching"',
        "token_time = { base = " + w.server.base + ", per_query = " + w.server.per_query + " }    # s, s/query");
    }
    for (const task of w.tasks) {
      lines.push("", "[[task]]", "name = " + tomlText(task.name));
      for (const field of fieldsOf(w.server.kind)) {
        if (task[field] !== DEFAULTS[field] || field === "max_tokens") lines.push(field + " = " + task[field]);
      }
    }
    return lines.join("\n") + "\n";
  }

  // how serving systems spell a thinking budget; see the sources in the book
  const SYSTEMS = {
    "vLLM": (n) => ({ thinking_token_budget: n }),
    "SGLang": (n) => ({ custom_params: { thinking_budget: n } }),
    "llama.cpp": (n) => ({ thinking_budget_tokens: n }),
    "NVIDIA NIM": (n) => ({ nvext: { max_thinking_tokens: n } }),
    "Qwen API": (n) => ({ enable_thinking: n > 0, thinking_budget: n }),
    "Gemini 2.5": (n) => ({ generationConfig: { thinkingConfig: { thinkingBudget: n } } }),
    "OpenRouter": (n) => ({ reasoning: { max_tokens: n } }),
  };

  /** Budgets as the parameters of a request, one line a type, in whole tokens. */
  function toRequests(w, tokens, system) {
    const lines = w.tasks.map((task, k) =>
      "  " + JSON.stringify(task.name) + ": " + JSON.stringify(SYSTEMS[system](Math.round(tokens[k]))));
    return "{\n" + lines.join(",\n") + "\n}\n";
  }

  /** The same queries at the other kind of server, where a query alone takes as long as before.
      `slowing` is the part of a step that each query adds. */
  function served(w, kind, slowing) {
    if (w.server.kind === kind) return w;
    const copy = (task, times) => {
      const { name, share, gain, rate, baseline, max_tokens, weight } = task;
      return Object.assign({ name, share, gain, rate, baseline }, times, { max_tokens, weight });
    };
    if (kind === "batching") {
      let one = 0;
      for (const task of w.tasks) one += task.share * task.time_per_token;
      return Object.assign({}, w, {
        server: { kind, base: (1 - slowing) * one, per_query: slowing * one },
        tasks: w.tasks.map((t) => copy(t, { answer_tokens: t.base_time / t.time_per_token, prompt_time: 0, prompt_tokens: 0 })),
      });
    }
    const one = Number((w.server.base + w.server.per_query).toPrecision(12));
    return Object.assign({}, w, {
      server: { kind },
      // there and back again leaves 0.0663, and not 0.06629999999999998
      tasks: w.tasks.map((t) => copy(t, { base_time: Number((t.answer_tokens * one + t.prompt_time).toPrecision(12)), time_per_token: one })),
    });
  }

  // -- the state as a fragment of the address --------------------------------------------------

  const LISTS = ["name", ...FIELDS.map((field) => field[0])];

  /** Only what differs from what the page opens with, in words: lambda=0.3&tokens=best. */
  function toFragment(state, opening, presets) {
    const parts = [], put = (key, text) => parts.push(key + "=" + text);
    const base = presets[state.preset];
    const start = state.preset === opening.preset ? opening.workload : base;
    const w = state.workload, same = served(start, w.server.kind, state.slowing);
    if (state.preset !== opening.preset) put("preset", encodeURIComponent(state.preset));
    if (w.server.kind !== start.server.kind) put("server", w.server.kind);
    if (w.arrival_rate !== start.arrival_rate) put("lambda", w.arrival_rate);
    if (w.accuracy_weight !== start.accuracy_weight) put("alpha", w.accuracy_weight);
    if (w.server.kind === "batching" &&
        (w.server.base !== same.server.base || w.server.per_query !== same.server.per_query)) {
      put("token_time", w.server.base + "," + w.server.per_query);
    }
    const fields = ["name", ...fieldsOf(w.server.kind)], resized = w.tasks.length !== same.tasks.length;
    for (const field of fields) {
      const now = w.tasks.map((t) => t[field]);
      if (resized || now.some((x, k) => x !== same.tasks[k][field])) put(field, now.map(encodeURIComponent).join(","));
    }
    if (state.mode !== opening.mode) {
      put("tokens", state.mode === "own" ? state.tokens.map((x) => Math.round(x)).join(",") : state.mode);
    }
    return parts.join("&");
  }

  /** The state that a fragment tells, or null where it tells none. */
  function fromFragment(text, opening, presets, slowing) {
    if (!text.includes("=") || text.length > 20000) return null;
    const given = new Map();
    for (const part of text.split("&")) {
      const at = part.indexOf("=");
      if (at > 0) given.set(part.slice(0, at), part.slice(at + 1));
    }
    const known = ["preset", "server", "lambda", "alpha", "token_time", "tokens", ...LISTS];
    if (![...given.keys()].some((key) => known.includes(key))) return null;
    const preset = given.has("preset") ? decodeURIComponent(given.get("preset")) : opening.preset;
    if (!Object.prototype.hasOwnProperty.call(presets, preset)) throw new WorkloadError("There is no preset " + JSON.stringify(preset) + ".");
    const start = preset === opening.preset ? opening.workload : presets[preset];
    const w = Object.assign({}, served(start, given.get("server") || start.server.kind, slowing));
    if (given.has("lambda")) w.arrival_rate = Number(given.get("lambda"));
    if (given.has("alpha")) w.accuracy_weight = Number(given.get("alpha"));
    if (given.has("token_time") && w.server.kind === "batching") {
      const [base, per_query] = given.get("token_time").split(",").map(Number);
      w.server = { kind: "batching", base, per_query };
    }
    let tasks = w.tasks.map((t) => Object.assign({}, t));
    const lists = LISTS.filter((field) => given.has(field)).map((field) =>
      [field, given.get(field).split(",").map((x) => (field === "name" ? decodeURIComponent(x) : Number(x)))]);
    if (lists.length && lists[0][1].length !== tasks.length) {
      tasks = lists[0][1].map(() => Object.assign({}, DEFAULTS));
    }
    for (const [field, values] of lists) {
      if (values.length !== tasks.length) throw new WorkloadError("The address gives " + values.length + " values of " + field + " for " + tasks.length + " types.");
      values.forEach((x, k) => { tasks[k][field] = x; });
    }
    w.tasks = tasks;
    check(w);
    const said = given.has("tokens") ? given.get("tokens") : opening.mode;
    let mode = said, tokens = null;
    if (said !== "best" && !/^\d{1,9}$/.test(said)) {
      tokens = said.split(",").map(Number);
      mode = "own";
      if (tokens.length !== w.tasks.length || tokens.some((x) => !(x >= 0))) throw new WorkloadError("The address gives " + tokens.length + " budgets for " + w.tasks.length + " types.");
      tokens = tokens.map((x, k) => Math.min(x, w.tasks[k].max_tokens));
    }
    return { preset, workload: w, mode, tokens, slowing };
  }

  const pure = {
    WorkloadError, UnstableError, check, solve, measure, bestAlike, percentile, waitingTail, parseToml, toToml,
    toRequests, SYSTEMS, served, toFragment, fromFragment, wrightOmega, gammaTail, fieldsOf, FIELDS,
    DEFAULTS, MOST_TYPES,
  };
  root.thinkqueue = pure;
  if (typeof module === "object" && module.exports) module.exports = pure;
  if (typeof document === "undefined") return;

  // ------------------------------------------------------------------------------------------
  // 2. The page
  // ------------------------------------------------------------------------------------------

  const SLOWING = 0.0000359 / 0.0073859;  // of a step, per query: measured, see the batching preset
  const EACH = 3.6;                       // questions an hour of one person
  const TOP_TOKENS = 32768;
  const DEBOUNCE = 250;

  /** An element with attributes and children; whatever is a text goes in as text. */
  function h(tag, attributes, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes || {})) {
      if (value === true) element.setAttribute(key, "");
      else if (value !== false && value !== null) element.setAttribute(key, value);
    }
    element.append(...children.filter((child) => child !== null));
    return element;
  }

  function svg(tag, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes || {})) element.setAttribute(key, value);
    return element;
  }

  // -- numbers in words ------------------------------------------------------------------------

  const count = (x) => Math.round(x).toLocaleString("en-US");

  function digits(x) {
    return x >= 99.5 ? count(x) : x >= 9.95 ? x.toFixed(x < 30 ? 1 : 0) : x >= 0.095 ? x.toFixed(1) : x > 0 ? x.toPrecision(1) : "0";
  }

  function seconds(t) {
    if (t === Infinity) return "∞";
    if (Number.isNaN(t)) return "–";
    if (t < 1e-9) return t > 1e-12 ? digits(t * 1e12) + " ps" : "1 ps";
    if (t < 1e-6) return digits(t * 1e9) + " ns";
    if (t < 1e-3) return digits(t * 1e6) + " µs";
    if (t < 0.095) return digits(t * 1e3) + " ms";
    if (t < 600) return digits(t) + " s";
    if (t < 7200) return digits(t / 60) + " min";
    return t < 172800 ? digits(t / 3600) + " h" : t < 1e13 ? count(t / 86400) + " days" : "ages";
  }

  function percent(x) { return (100 * x).toFixed(1) + "%"; }

  function loadText(x) {
    if (x > 0.995 && x < 1) return "1 − " + Number((1 - x).toPrecision(1));
    return x >= 9.5 ? count(x) : x.toFixed(2);
  }

  /** The certified gap, and no less than what rounding leaves certain. */
  function sure(best) {
    const spare = 1 - best.utilization;
    return Math.max(best.gap, 1e-12, Number.EPSILON * best.mean_system_time / spare);
  }

  const cubeRoot = (tokens, top) => Math.cbrt(tokens / top);

  // -- the line as it is at one moment ----------------------------------------------------------

  /** A number in [0, 1) that belongs to a whole number: the same arrivals whatever is changed. */
  function unit(index, stream) {
    let x = (Math.imul(index + 1, 0x9e3779b1) ^ Math.imul(stream + 1, 0x85ebca6b)) >>> 0;
    x = Math.imul(x ^ (x >>> 16), 0x21f0aaad);
    x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
    return ((x ^ (x >>> 15)) >>> 0) / 4294967296;
  }

  const HISTORY = 3000, AHEAD = 60, START = HISTORY + 62;   // when some are there, whatever is set
  const clock = [0];   // arrivals, in mean times between two of them

  function arrival(n) {
    while (clock.length <= n) clock.push(clock[clock.length - 1] - Math.log(1 - unit(clock.length, 0)));
    return clock[n];
  }

  /** When each of the queries around a moment came, was begun and was done. */
  function history(w, now, moment) {
    let first = 0, last = 0;
    while (arrival(last) < moment + AHEAD) last++;
    first = Math.max(0, last - HISTORY - AHEAD);
    const size = last - first, lambda = w.arrival_rate, shares = [];
    w.tasks.reduce((sum, task) => (shares.push(sum + task.share), sum + task.share), 0);
    const kind = new Int16Array(size), came = new Float64Array(size);
    const begun = new Float64Array(size), done = new Float64Array(size).fill(Infinity);
    for (let i = 0; i < size; i++) {
      came[i] = arrival(first + i) / lambda;
      const u = unit(first + i, 1);
      let k = 0;
      while (k < shares.length - 1 && u >= shares[k]) k++;
      kind[i] = k;
    }
    const over = now.utilization >= 1;
    if (w.server.kind === "fifo") {
      let mean = 0;
      w.tasks.forEach((task, k) => { mean += task.share * now.service[k]; });
      let free = came[0] + (over ? 400 * mean : 0);
      for (let i = 0; i < size; i++) {
        begun[i] = Math.max(came[i], free);
        free = done[i] = begun[i] + now.service[kind[i]];
      }
    } else {
      // everybody present gets a token at each step of a + b n seconds
      const { base, per_query } = w.server, heap = [];
      let t = came[0], tokens = 0;
      const step = () => base + per_query * heap.length;
      const leave = () => { const i = pop(heap); done[i[1]] = t; };
      for (let i = 0; i <= size; i++) {
        const next = i < size ? came[i] : Infinity;
        while (heap.length && t + (heap[0][0] - tokens) * step() <= next) {
          t += (heap[0][0] - tokens) * step();
          tokens = heap[0][0];
          leave();
        }
        if (i === size) break;
        if (heap.length) tokens += (next - t) / step();
        t = next;
        begun[i] = t;
        push(heap, [tokens + now.service[kind[i]], i]);
      }
    }
    return { first, kind, came, begun, done, until: moment + AHEAD - 10, lambda };
  }

  function push(heap, item) {
    let i = heap.push(item) - 1;
    while (i > 0 && heap[(i - 1) >> 1][0] > heap[i][0]) {
      const up = (i - 1) >> 1;
      [heap[i], heap[up]] = [heap[up], heap[i]];
      i = up;
    }
  }

  function pop(heap) {
    const top = heap[0], end = heap.pop();
    if (!heap.length) return top;
    heap[0] = end;
    for (let i = 0; ;) {
      let least = i;
      for (const j of [2 * i + 1, 2 * i + 2]) if (j < heap.length && heap[j][0] < heap[least][0]) least = j;
      if (least === i) return top;
      [heap[i], heap[least]] = [heap[least], heap[i]];
      i = least;
    }
  }

  // -- colours: those of the figures, in inks that reach 4.5:1 on either ground ------------------

  const LIGHT = ["#0072b2", "#b84a00", "#00775a", "#a8467b", "#8a6100", "#23718f"];
  const DARK = ["#5cb4ea", "#ff8f57", "#3fc79c", "#eba3c8", "#eab440", "#94d5f5"];

  function inked(element, k, n) {
    const hue = Math.round(360 * k / n);
    element.classList.add("xp-ink");
    element.style.setProperty("--ink-light", n <= LIGHT.length ? LIGHT[k] : "hsl(" + hue + " 70% 32%)");
    element.style.setProperty("--ink-dark", n <= DARK.length ? DARK[k] : "hsl(" + hue + " 70% 70%)");
    return element;
  }

  // -- the explorer -----------------------------------------------------------------------------

  function start(place) {
    const given = JSON.parse(place.querySelector("script[type='application/json']").textContent);
    const presets = Object.create(null);
    for (const [name, text] of Object.entries(given.presets)) {
      try {
        presets[name] = parseToml(text);
      } catch (error) {
        // what only the library knows is not offered here
        if (!(error instanceof WorkloadError) || name === given.opening) throw error;
      }
    }
    const opening = {
      preset: given.opening, mode: "1000",
      workload: Object.assign({}, presets[given.opening], given.arrival_rate ? { arrival_rate: given.arrival_rate } : {}),
    };
    const still = window.matchMedia("(prefers-reduced-motion: reduce)");
    const phone = window.matchMedia("(max-width: 600px)");
    let state, best = null, refusal = null, now = null, late = {}, guessing = false, verdict = "";

    function reset() {
      state = { preset: opening.preset, workload: opening.workload, mode: opening.mode, tokens: [], slowing: SLOWING };
    }

    // what is on the page once
    const id = (name) => "explorer-" + name;
    const number = (name, label, title) => {
      const value = h("span", { class: "xp-value" }), other = h("span", { class: "xp-best" });
      return { value, other, box: h("div", { class: "xp-number xp-" + name, title }, h("span", { class: "xp-label" }, label), value, other) };
    };
    const numbers = {
      right: number("right", "right answers", "Of all queries, in the mean"),
      wait: number("wait", "mean wait", "From asking to the answer, in the mean"),
      late: number("late", "95% within", "The 95th percentile of the time from asking to the answer"),
      load: number("load", "load", "Seconds of work that come in a second"),
    };
    const gap = h("p", { class: "xp-gap" });
    const bars = h("div", { class: "xp-rows" });
    const axis = h("div", { class: "xp-axis", "aria-hidden": "true" });
    const named = h("span", { class: "xp-named" }, " · a tick marks the best");
    const picture = svg("svg", { role: "img", class: "xp-picture" });
    const lineText = h("p", { class: "xp-line-text" });
    const pause = h("button", { type: "button", class: "xp-button xp-pause" }, "Pause");
    const live = h("p", { class: "xp-live", role: "status", "aria-live": "polite" });
    const buttons = [["0", "Nobody thinks"], ["1000", "Everyone 1,000"], ["4096", "Everyone 4,096"], ["best", "Best"]].map(([mode, text]) => {
      const button = h("button", { type: "button", class: "xp-button xp-mode", "aria-pressed": "false" }, text);
      button.addEventListener("click", () => {
        verdict = "";
        state.mode = mode;
        release();
      });
      return { mode, button };
    });
    const guess = h("button", { type: "button", class: "xp-button xp-guess" }, "Guess first");
    guess.addEventListener("click", () => {
      if (guessing) {
        guessing = false;
        const lost = best && now ? best.objective - now.objective : 0;
        verdict = !best ? "" : lost === Infinity
          ? "That is too much. "
          : lost < 0.05 ? "You found it: nothing was left on the table. " : "";  // else the next sentence says how much
      } else {
        guessing = true;
        verdict = "";
        if (state.mode === "best") state.mode = "0";
      }
      release();
    });

    function slider(name, label, least, most, title) {
      const input = h("input", { type: "range", id: id(name), min: least, max: most, step: 1, class: "xp-slider" });
      const output = h("output", { for: id(name), class: "xp-output" });
      const box = h("div", { class: "xp-control" }, h("label", { for: id(name), title: title || null }, label), output, input);
      return { input, output, box };
    }
    const rate = slider("rate", "Arrivals", 0, 600);
    const worth = slider("worth", "A point of accuracy is worth", 0, 400, "Seconds of everybody’s waiting that one more right answer in a hundred is worth");
    const mix = slider("mix", "", 0, 100);
    const servers = ["fifo", "batching"].map((kind) => {
      const input = h("input", { type: "radio", name: id("server"), id: id(kind), value: kind });
      input.addEventListener("change", () => {
        if (!input.checked) return;
        const remembered = served(presets[state.preset], kind, SLOWING);
        const same = JSON.stringify(served(state.workload, presets[state.preset].server.kind, SLOWING).tasks) === JSON.stringify(presets[state.preset].tasks);
        const scalars = { arrival_rate: state.workload.arrival_rate, accuracy_weight: state.workload.accuracy_weight };
        change(same ? Object.assign({}, remembered, scalars) : served(state.workload, kind, SLOWING));
        release();
      });
      return { kind, input, label: h("label", { for: id(kind) }, input, " " + (kind === "fifo" ? "one query at a time" : "many at once, in a batch")) };
    });
    const assumed = h("p", { class: "xp-line-text" });
    const server = h("fieldset", { class: "xp-control xp-server" }, h("legend", {}, "The server answers"), ...servers.map((s) => s.label), assumed);

    // the table, and what goes in and out as text
    const select = h("select", { id: id("preset") }, ...Object.keys(presets).map((name) => h("option", { value: name }, name)));
    const again = h("button", { type: "button", class: "xp-button" }, "Start again");
    const table = h("div", { class: "xp-table", role: "group", "aria-label": "The types of queries" });
    const fault = h("p", { class: "xp-fault", role: "alert" });
    const add = h("button", { type: "button", class: "xp-button" }, "Add a type");
    const area = h("textarea", { id: id("toml"), rows: 8, spellcheck: "false", maxlength: MOST_TEXT, autocomplete: "off" });
    const read = h("button", { type: "button", class: "xp-button" }, "Use this text");
    const copyToml = h("button", { type: "button", class: "xp-button" }, "Copy as TOML");
    const system = h("select", { id: id("system") }, ...Object.keys(SYSTEMS).map((name) => h("option", {}, name)));
    const copyRequest = h("button", { type: "button", class: "xp-button" }, "Copy as request parameters");
    const copied = h("p", { class: "xp-copied", role: "status" });

    const numbersBox = h("div", { class: "xp-numbers", role: "group", "aria-label": "What these budgets give" }, ...Object.values(numbers).map((x) => x.box));
    const queue = h("div", { class: "xp-queue" }, h("p", { class: "xp-title" }, "The line, now"), picture, lineText, pause);
    const more = h("details", { class: "xp-more" }, h("summary", {}, "Your own queries: a table, and files in and out"),
      h("div", { class: "xp-more-body" },
        h("div", { class: "xp-row" }, h("label", { for: id("preset") }, "Start from"), select, again),
        table, fault, add,
        h("label", { for: id("toml"), class: "xp-block" }, "A workload file (TOML): paste yours, or take this one to the library"),
        area, h("div", { class: "xp-row" }, read, copyToml),
        h("div", { class: "xp-row" }, h("label", { for: id("system") }, "Budgets for"), system, copyRequest), copied));
    place.append(h("div", { class: "xp-grid" },
      h("div", { class: "xp-head" }, numbersBox),
      h("div", { class: "xp-bars" }, h("p", { class: "xp-title", id: id("bars") }, "Thinking tokens for each type", named), bars, axis),
      queue, gap,
      h("div", { class: "xp-buttons", role: "group", "aria-label": "Budgets to try" }, ...buttons.map((b) => b.button), guess),
      h("div", { class: "xp-sliders" }, rate.box, worth.box, mix.box, server), more, live));

    // -- from inputs to the state --------------------------------------------------------------

    const w = () => state.workload;
    const top = () => { let t = 0; for (const task of w().tasks) t = Math.max(t, Math.min(task.max_tokens, 1e7)); return Math.max(1, t > TOP_TOKENS ? Math.max(TOP_TOKENS, 1.5 * Math.max(0, ...(best ? best.tokens.filter((x) => x <= 1e7) : []))) : t); };
    const idleLoad = () => measure(w(), w().tasks.map(() => 0)).utilization;
    const mostRate = () => { const load = idleLoad(); return load > 0 ? 1.1 * w().arrival_rate / load : 1e6; };
    const leastRate = () => Math.min(1 / 3600, mostRate() / 1e4);
    const rounded = (x) => Number(x.toPrecision(3));

    function change(changed) {
      fault.textContent = ""; // what was wrong with a text before does not concern this
      state.workload = changed;
      best = null;
      refusal = null;
      verdict = "";
      if (state.mode === "own" && state.tokens.length !== changed.tasks.length) state.mode = "best";
    }

    rate.input.addEventListener("input", () => {
      const low = leastRate();
      change(Object.assign({}, w(), { arrival_rate: rounded(low * Math.pow(mostRate() / low, rate.input.value / 600)) }));
      drag();
    });
    worth.input.addEventListener("input", () => {
      const x = Number(worth.input.value);
      change(Object.assign({}, w(), { accuracy_weight: x ? rounded(100 * 0.01 * Math.pow(1e5, x / 400)) : 0 }));
      drag();
    });
    mix.input.addEventListener("input", () => {
      const part = mix.input.value / 100, tasks = w().tasks, rest = 1 - tasks[0].share, others = tasks.length - 1;
      const start = presets[state.preset].tasks, known = start.length === tasks.length && start[0].share < 1;
      change(Object.assign({}, w(), {
        tasks: tasks.map((task, k) => Object.assign({}, task, {
          share: k === 0 ? part : Math.max(0, (1 - part) * (rest > 1e-9 ? task.share / rest : known ? start[k].share / (1 - start[0].share) : 1 / others)),
        })),
      }));
      drag();
    });
    for (const input of [rate.input, worth.input, mix.input]) input.addEventListener("change", release);

    function moved(k, input) {
      if (state.mode !== "own") state.tokens = Array.from(now.tokens);
      state.mode = "own";
      verdict = "";
      state.tokens[k] = Math.min(Math.round(top() * Math.pow(input.value / 1000, 3)), w().tasks[k].max_tokens);
      drag();
    }

    // -- from the state to what is shown -------------------------------------------------------

    let pending = 0, rows = [], shape = "";

    function drag() {
      if (!pending) pending = requestAnimationFrame(() => { pending = 0; show(w().tasks.length > 20 ? 4e4 : 2e5); });
    }

    function release() {
      if (pending) cancelAnimationFrame(pending);
      pending = 0;
      show(1e6);
      remember();
      say();
    }

    function compute(work) {
      if (!best && !refusal) {
        try {
          best = solve(w());
          late.best = percentile(w(), best.tokens, 0.95, work);
          late.alike = bestAlike(w());
        } catch (error) {
          if (!(error instanceof UnstableError)) throw error;
          refusal = error;
        }
      }
      const same = Number(state.mode);
      const tokens = state.mode === "best" ? (best ? best.tokens : w().tasks.map(() => 0))
        : state.mode === "own" ? state.tokens : w().tasks.map((task) => Math.min(same, task.max_tokens));
      now = measure(w(), tokens.map((x, k) => Math.min(x, w().tasks[k].max_tokens)));
      late.now = state.mode === "best" && best ? late.best : percentile(w(), now.tokens, 0.95, work);
    }

    function show(work) {
      compute(work);
      const tasks = w().tasks, key = JSON.stringify([tasks.map((t) => t.name), w().server.kind]);
      if (key !== shape) { shape = key; build(); }
      const scale = top(), hide = guessing || !best;
      named.hidden = hide || state.mode === "best";
      rows.forEach((row, k) => {
        const at = cubeRoot(now.tokens[k], scale);
        row.input.value = Math.round(1000 * Math.min(at, 1));
        row.input.setAttribute("aria-valuetext", count(now.tokens[k]) + " tokens, " + Math.round(100 * now.accuracy[k]) + "% right");
        row.output.textContent = count(now.tokens[k]);
        row.right.textContent = Math.round(100 * now.accuracy[k]) + "% right";
        row.track.style.setProperty("--at", Math.min(at, 1).toFixed(4));
        row.ghost.hidden = hide || state.mode === "best";
        if (!hide) row.track.style.setProperty("--best", Math.min(cubeRoot(best.tokens[k], scale), 1).toFixed(4));
      });
      axis.replaceChildren(...[0, 100, 1000, 4096, 10000, scale].filter((x, i, all) => i === all.length - 1 || x < 0.7 * scale).map((x) => {
        const tick = h("span", {}, count(x));
        tick.style.setProperty("--at", cubeRoot(x, scale).toFixed(4));
        return tick;
      }));
      for (const { mode, button } of buttons) {
        button.setAttribute("aria-pressed", String(state.mode === mode));
        if (mode !== "best") continue;
        button.disabled = !best;
        button.hidden = guessing;  // the guess is judged before it is gone
      }
      guess.textContent = guessing ? "Show the best" : "Guess first";
      guess.disabled = !best;
      // numbers
      const over = !(now.utilization < 1);
      place.classList.toggle("xp-over", over);
      numbers.right.value.textContent = percent(now.right);
      numbers.wait.value.textContent = seconds(now.mean_system_time);
      numbers.late.value.textContent = seconds(late.now);
      numbers.load.value.textContent = loadText(now.utilization);
      const beside = hide || state.mode === "best" ? null : [percent(best.right), seconds(best.mean_system_time), seconds(late.best), loadText(best.utilization)];
      Object.values(numbers).forEach((x, i) => { x.other.textContent = beside ? "best " + beside[i] : "\u00a0"; });
      gap.textContent = verdict + gapText();
      // sliders
      const low = leastRate(), hour = 3600 * w().arrival_rate;
      rate.input.value = Math.round(600 * Math.log(w().arrival_rate / low) / Math.log(mostRate() / low));
      rate.output.textContent = digits(hour) + " an hour: " + (hour / EACH < 1.5 ? "one person" : count(hour / EACH) + " people");
      rate.input.setAttribute("aria-valuetext", rate.output.textContent);
      const point = w().accuracy_weight / 100;
      worth.input.value = point > 0 ? Math.max(1, Math.round(400 * Math.log(point / 0.01) / Math.log(1e5))) : 0;
      worth.output.textContent = point > 0 ? seconds(point) : "nothing";
      worth.input.setAttribute("aria-valuetext", worth.output.textContent + (point > 0 ? " of everybody’s time" : ""));
      mix.box.hidden = tasks.length < 2;
      mix.box.firstChild.textContent = shortName(tasks[0].name, 24) + " is";
      mix.input.value = Math.round(100 * tasks[0].share);
      mix.output.textContent = Math.round(100 * tasks[0].share) + "% of the queries";
      mix.input.setAttribute("aria-valuetext", mix.output.textContent);
      for (const s of servers) s.input.checked = s.kind === w().server.kind;
      assumed.textContent = assumption();
      assumed.hidden = !assumed.textContent;
      select.value = state.preset;
      if (more.open) fill();
      past = null;
      if (!running()) drawLine(1);
    }

    /** What a batch is taken to be: nothing here says how fast yours is, nor what it has room for. */
    function assumption() {
      const { kind, base, per_query: each } = w().server;
      if (kind !== "batching") return "";
      const part = each / (base + each);
      return "Assumed: each further query in the batch makes a token " + (100 * part).toPrecision(2) + "% slower" +
        (Math.abs(part - SLOWING) < 1e-3 * SLOWING ? " (measured on an H100, short contexts)" : "") + ", and there is room for all.";
    }

    function gapText() {
      if (refusal) {
        return "Even if nobody thinks this server cannot keep up: " + digits(3600 * refusal.maxArrivalRate) + " queries an hour are the most that it can take.";
      }
      if (guessing) return "Drag the bars to what you think best, then press “Show the best”.";
      if (state.mode === "best") {
        const lost = best.objective - late.alike.objective;
        return (lost >= 0.05 && w().tasks.length > 1 ? "One budget for all, " + count(late.alike.tokens) + " tokens, would lose " + seconds(lost) + " a query. " : "") +
          "No budgets whatever gain more than " + (sure(best) < 1e-9 ? "a billionth of a second" : seconds(sure(best))) + ": solved and certified in your browser just now." +
          (w().server.kind === "batching" && late.now === late.now ? " (Percentiles of a batching server are approximate, within about 1%.)" : "");
      }
      if (!(now.utilization < 1)) {
        return "The server never catches up: work comes in " + loadText(now.utilization) + " times as fast as it can be done. The best budgets give " + percent(best.right) + " right answers after " + seconds(best.mean_system_time) + ".";
      }
      const lost = best.objective - now.objective, points = w().accuracy_weight > 0 ? 100 * lost / w().accuracy_weight : 0;
      if (lost < 0.005) return "As good as the best: " + seconds(Math.max(lost, 1e-12)) + " a query is lost.";
      return "Left on the table: as much as if every answer came " + seconds(lost) + " later" + (points >= 0.05 && points < 100 ? ", or " + digits(points) + (digits(points) === "1.0" ? " point" : " points") + " of accuracy were lost." : ".");
    }

    function shortName(name, most) {
      const letters = Array.from(name.replace(/[\u0000-\u001f\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g, "\ufffd"));
      return letters.length > most ? letters.slice(0, most - 1).join("") + "…" : letters.join("");
    }

    /** The bars, one a type. */
    function build() {
      const tasks = w().tasks, n = tasks.length;
      rows = tasks.map((task, k) => {
        const own = id("bar-" + k), name = shortName(task.name, 40);
        const input = h("input", { type: "range", id: own, min: 0, max: 1000, step: 1, class: "xp-bar" });
        const output = h("output", { for: own, class: "xp-tokens" }), right = h("span", { class: "xp-right-part" });
        const ghost = h("span", { class: "xp-ghost", "aria-hidden": "true" });
        const track = h("div", { class: "xp-track" }, input, ghost);
        input.addEventListener("input", () => moved(k, input));
        input.addEventListener("change", release);
        const box = h("div", { class: "xp-type" }, h("label", { for: own }, h("span", { class: "xp-dot", "aria-hidden": "true" }), name), right, output, track);
        inked(box, k, n);
        return { input, output, right, ghost, track, box };
      });
      bars.replaceChildren(...rows.map((row) => row.box));
      const long = n > 8;
      bars.classList.toggle("xp-many", long);
      if (long) { bars.tabIndex = 0; bars.setAttribute("role", "region"); bars.setAttribute("aria-labelledby", id("bars")); } else {
        bars.removeAttribute("tabindex"); bars.removeAttribute("role"); bars.removeAttribute("aria-labelledby");
      }
      circles.clear();
      dots.replaceChildren();
    }

    const HEADS = {
      name: "name", share: "share", gain: "gain", rate: "rate, 1/token", baseline: "right without thinking",
      base_time: "time without thinking, s", time_per_token: "time per token, s", answer_tokens: "answer, tokens",
      prompt_time: "prompt, s", max_tokens: "cap, tokens", weight: "weight",
    };

    /** The table and the text, as the state has them. */
    function fill() {
      if (table.contains(document.activeElement)) return;
      // the length of a prompt goes with the file and matters to nothing on this page
      const fields = ["name", ...fieldsOf(w().server.kind).filter((field) => field !== "prompt_tokens")];
      const head = h("div", { class: "xp-tr xp-th", "aria-hidden": "true" }, ...fields.map((f) => h("span", {}, HEADS[f])), h("span", {}));
      table.replaceChildren(head, ...w().tasks.map((task, k) => h("div", { class: "xp-tr", role: "group", "aria-label": "Type " + (k + 1) },
        ...fields.map((field) => {
          const input = h("input", field === "name" ? { type: "text", maxlength: MOST_NAME } : { type: "text", inputmode: "decimal", autocomplete: "off" });
          input.setAttribute("aria-label", HEADS[field] + " of type " + (k + 1));
          input.value = field === "name" ? task.name : String(Number(task[field].toPrecision(6)));
          input.addEventListener("change", () => edit(k, field, input));
          return h("label", { class: "xp-td" }, h("span", { class: "xp-card-head", "aria-hidden": "true" }, HEADS[field]), input);
        }), remover(k))));
      if (document.activeElement !== area) area.value = toToml(w());
    }

    function remover(k) {
      const button = h("button", { type: "button", class: "xp-button xp-remove", "aria-label": "Remove type " + (k + 1) }, "×");
      button.disabled = w().tasks.length < 2;
      button.addEventListener("click", () => attempt(() => normalised(w().tasks.filter((_, j) => j !== k))));
      return button;
    }

    function normalised(tasks) {
      let mass = 0;
      for (const task of tasks) mass += task.share;
      if (!(mass > 0)) throw new WorkloadError("Every share is 0; give some type a share.");
      if (Math.abs(mass - 1) < 1e-9) return Object.assign({}, w(), { tasks });
      return Object.assign({}, w(), { tasks: tasks.map((task) => Object.assign({}, task, { share: task.share / mass })) });
    }

    /** Take a change, or say below its field what is wrong with it and leave everything as it was. */
    function attempt(make, field = table) {
      try {
        change(check(make()));
        release();
        fill();
        return true;
      } catch (error) {
        if (!(error instanceof WorkloadError)) throw error;
        field.after(fault);
        fault.textContent = error.message;
        return false;
      }
    }

    function edit(k, field, input) {
      const text = input.value.trim(), value = field === "name" ? input.value : text === "" ? NaN : Number(text);
      const good = attempt(() => {
        if (field === "share") checkNumber("share", value, 0, 1, " of type " + (k + 1));
        const tasks = w().tasks.map((task, j) => (j === k ? Object.assign({}, task, { [field]: value }) : task));
        return field === "share" ? normalised(tasks) : Object.assign({}, w(), { tasks });
      });
      input.setAttribute("aria-invalid", String(!good));
    }

    add.addEventListener("click", () => attempt(() => {
      const tasks = w().tasks, taken = new Set(tasks.map((t) => t.name));
      let n = tasks.length + 1;
      while (taken.has("type " + n)) n++;
      return normalised([...tasks, Object.assign({}, tasks[tasks.length - 1], { name: "type " + n, share: 1 / tasks.length })]);
    }));
    read.addEventListener("click", () => attempt(() => parseToml(area.value), area));
    more.addEventListener("toggle", () => { if (more.open) fill(); });
    select.addEventListener("change", () => {
      const name = select.value, mode = state.mode === "own" ? "best" : state.mode;
      reset();
      state.preset = name;
      state.mode = mode;
      change(name === opening.preset ? opening.workload : presets[name]);
      release();
      fill();
    });
    again.addEventListener("click", () => {
      reset();
      guessing = false;
      change(opening.workload);
      release();
      fill();
    });

    function copy(text, what) {
      const told = () => { copied.textContent = what + " copied."; };
      const byHand = () => {
        area.value = text;
        area.focus();
        area.select();
        let done = false;
        try { done = document.execCommand("copy"); } catch (error) { done = false; }
        copied.textContent = done ? what + " copied." : what + " stand in the box above, selected: copy them from there.";
      };
      if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).then(told, byHand);
      else byHand();
    }
    copyToml.addEventListener("click", () => copy(toToml(w()), "The workload’s lines"));
    copyRequest.addEventListener("click", () => copy(toRequests(w(), now.tokens, system.value), "Request parameters"));

    // -- the address and the voice -------------------------------------------------------------

    let ours = false;

    function remember() {
      let text = toFragment(state, opening, presets);
      if (text.length > 6000) text = "";   // too much for an address; TOML carries it
      const bare = window.location.href.split("#")[0];
      if (!text && !ours) return;
      ours = true;
      try { window.history.replaceState(window.history.state, "", bare + (text ? "#" + text : "")); } catch (error) { /* a page that may not say where it is */ }
    }

    function recall() {
      reset();
      best = null;
      refusal = null;
      try {
        const told = fromFragment(window.location.hash.slice(1), opening, presets, SLOWING);
        if (!told) return false;
        ours = true;
        state = Object.assign(told, { tokens: told.tokens || [] });
        return true;
      } catch (error) {
        if (!(error instanceof WorkloadError) && !(error instanceof URIError)) throw error;
        fault.textContent = "The address was not understood. " + error.message;
        more.open = true;
        reset();
        return false;
      }
    }
    window.addEventListener("hashchange", () => { if (recall()) show(1e6); else if (!now) show(1e6); });

    let speaking = 0;
    function say() {
      clearTimeout(speaking);
      speaking = setTimeout(() => {
        live.textContent = "Right answers " + percent(now.right) + ", mean wait " + (now.mean_system_time === Infinity ? "without end" : seconds(now.mean_system_time)) + ", load " + loadText(now.utilization) + ". " + gap.textContent;
      }, DEBOUNCE);
    }

    // -- the line as moving dots -----------------------------------------------------------------

    const back = svg("g"), dots = svg("g"), front = svg("g"), circles = new Map();
    const serverBox = svg("rect", { class: "xp-server-box", rx: 6 }), ring = svg("circle", { class: "xp-progress", fill: "none" });
    const rest = svg("text", { class: "xp-rest", "text-anchor": "end" });
    back.append(serverBox);
    front.append(ring, rest);
    picture.append(back, dots, front);
    let past = null, moment = START, size = { width: 300, height: 180 }, paused = false, seen = true, frame = 0, last = 0;

    /** Arrivals a second on the page; in a batch, so many that one stays for some twelve seconds. */
    function pace() {
      const together = w().server.kind === "batching" && now.utilization < 1;
      return together ? clip(w().arrival_rate * now.mean_system_time / 12, 1.2, 25) : 1.2;
    }

    function running() { return !paused && !still.matches && seen && !document.hidden; }

    function slots() {
      const gapWide = phone.matches ? 13 : 15, left = phone.matches ? 38 : 52, right = size.width - 10;
      const columns = Math.max(4, Math.floor((right - left) / gapWide)), lines = phone.matches ? 1 : Math.max(1, Math.floor((size.height - 16) / 22));
      return { gapWide, left, columns, lines, most: columns * lines };
    }

    const speed = (times) => times >= 1.5 ? count(times) + " times as fast." : times > 0.7 ? "as it is." : count(1 / times) + " times as slow.";

    /** Where the i-th of those who wait stands: the line winds. */
    function spot(i, s) {
      const row = Math.floor(i / s.columns), column = i % s.columns;
      return [s.left + s.gapWide * (row % 2 ? s.columns - 1 - column : column) + 6, (phone.matches ? size.height / 2 : 18 + 22 * row)];
    }

    /** Where the i-th place in a batch is. */
    function place2(i, s) {
      return [16 + s.gapWide * (i % (s.columns + 1)), phone.matches ? size.height / 2 : 18 + 22 * Math.floor(i / (s.columns + 1))];
    }

    function drawLine(ease) {
      if (!now) return;
      if (!past || moment > past.until) past = history(w(), now, moment);
      const t = moment / past.lambda, { came, begun, done, kind, first } = past, s = slots();
      const batch = w().server.kind === "batching", present = [], over = !(now.utilization < 1);
      let waiting = 0;
      for (let i = 0; i < came.length && came[i] <= t; i++) if (done[i] > t) { present.push(i); if (begun[i] > t) waiting++; }
      const n = w().tasks.length, shown = new Set(), full = batch ? s.most : s.most + 1;
      // on a phone the words at the end take the place of the last dots
      const most = phone.matches && (over || present.length > full) ? Math.max(1, full - 8) : full;
      present.slice(0, most).forEach((i, place) => {
        const key = first + i;
        shown.add(key);
        const served = begun[i] <= t || (over && !batch && place === 0);
        const [x, y] = batch ? place2(place, s) : served ? [phone.matches ? 18 : 24, phone.matches ? size.height / 2 : 18] : spot(place - (over || present.length > waiting ? 1 : 0), s);
        let dot = circles.get(key);
        if (!dot) {
          dot = { element: inked(svg("circle", { class: "xp-query" }), kind[i], n), x: ease < 1 ? size.width + 10 : x, y };
          circles.set(key, dot);
          dots.append(dot.element);
        }
        dot.x += (x - dot.x) * ease;
        dot.y += (y - dot.y) * ease;
        const part = Math.min(1, Math.max(0, (t - begun[i]) / (done[i] - begun[i])));
        dot.element.setAttribute("cx", dot.x.toFixed(1));
        dot.element.setAttribute("cy", dot.y.toFixed(1));
        dot.element.setAttribute("r", batch ? (2.5 + 3 * (1 - part)).toFixed(1) : served ? 6.5 : 5);
        if (!batch && served) {
          const r = phone.matches ? 10.5 : 12, round = 2 * Math.PI * r;
          ring.setAttribute("cx", x);
          ring.setAttribute("cy", y);
          ring.setAttribute("r", r);
          ring.setAttribute("stroke-dasharray", (round * part).toFixed(1) + " " + round.toFixed(1));
          ring.setAttribute("transform", "rotate(-90 " + x + " " + y + ")");
        }
      });
      for (const [key, dot] of circles) if (!shown.has(key)) { dot.element.remove(); circles.delete(key); }
      ring.style.display = !batch && (over || present.length > waiting) ? "" : "none";
      serverBox.style.display = batch ? "none" : "";
      const hidden = present.length - most;
      rest.textContent = over ? "… and no end" : hidden > 0 ? "… and " + count(hidden) + " more" : "";
      rest.setAttribute("x", size.width - 6);
      rest.setAttribute("y", phone.matches ? size.height / 2 + 5 : size.height - 6);
      const text = batch ? count(present.length) + (present.length === 1 ? " query is" : " queries are") + " being answered together"
        : (waiting ? count(waiting) + (waiting === 1 ? " waits" : " wait") : "nobody waits") + (present.length > waiting ? ", one is being answered" : ", the server rests");
      const told = (over ? "The line grows without end." : text[0].toUpperCase() + text.slice(1) + ".") + (still.matches ? "" : " Time runs " + speed(pace() / past.lambda));
      if (lineText.textContent !== told) lineText.textContent = told;
      picture.setAttribute("aria-label", over ? "The line grows without end." : "Queries in the line as dots, coloured by type.");
    }

    function tick(time) {
      frame = 0;
      if (!running()) return;
      const passed = Math.min(0.1, (time - last) / 1000);
      last = time;
      moment += pace() * passed;
      drawLine(1 - Math.exp(-8 * passed));
      frame = requestAnimationFrame(tick);
    }

    function run() {
      if (running() && !frame) { last = performance.now(); frame = requestAnimationFrame(tick); }
      pause.hidden = still.matches;
      pause.textContent = paused ? "Go on" : "Pause";
    }

    pause.addEventListener("click", () => { paused = !paused; run(); });
    document.addEventListener("visibilitychange", run);
    still.addEventListener("change", run);
    if ("IntersectionObserver" in window) new IntersectionObserver((found) => { seen = found[0].isIntersecting; run(); }).observe(picture);

    function measurePicture() {
      const box = picture.getBoundingClientRect();
      if (!(box.width > 0)) return;
      size = { width: box.width, height: box.height };
      picture.setAttribute("viewBox", "0 0 " + size.width + " " + size.height);
      const r = phone.matches ? 14 : 16, x = phone.matches ? 18 : 24, y = phone.matches ? size.height / 2 : 18;
      serverBox.setAttribute("x", x - r);
      serverBox.setAttribute("y", y - r);
      serverBox.setAttribute("width", 2 * r);
      serverBox.setAttribute("height", 2 * r);
      if (now) drawLine(1);
    }

    /** On a phone the numbers and the line are pinned together under the page's own bar. */
    function arrange() {
      const head = place.querySelector(".xp-head");
      if (phone.matches) head.append(queue); else bars.parentNode.after(queue);
      const bar = document.querySelector(".bd-header-article");
      const pinned = bar && ["sticky", "fixed"].includes(getComputedStyle(bar).position) ? bar.offsetHeight : 0;
      place.style.setProperty("--bar", pinned + "px");
      measurePicture();
    }
    phone.addEventListener("change", arrange);
    if ("ResizeObserver" in window) new ResizeObserver(measurePicture).observe(picture);

    recall();
    show(1e6);
    arrange();
    run();
    place.classList.add("xp-ready");
  }

  function ready() {
    const place = document.getElementById("explorer");
    if (place) start(place);
  }
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", ready);
  else ready();
})(typeof globalThis === "object" ? globalThis : this);
