// The board's numbers: means, paired differences and their 95 % t-intervals, as ftlib/evidence/compare.py has them.
// tests/browser/test_site.py compares the two.
"use strict";

const Stats = (() => {
  const LEVEL = 0.95;
  const SEEDS_FOR_A_VERDICT = 6; // with fewer, no exact test can reach p < 0.05

  const mean = (values) => values.reduce((sum, v) => sum + v, 0) / values.length;

  function deviation(values) {
    const m = mean(values);
    return Math.sqrt(values.reduce((sum, v) => sum + (v - m) ** 2, 0) / (values.length - 1));
  }

  // The logarithm of the gamma function, for x > 0: Stirling's series, far enough out.
  function logGamma(x) {
    let shift = 0;
    for (; x < 10; x += 1) shift += Math.log(x);
    const series = 1 / (12 * x) - 1 / (360 * x ** 3) + 1 / (1260 * x ** 5);
    return (x - 0.5) * Math.log(x) - x + 0.5 * Math.log(2 * Math.PI) + series - shift;
  }

  // The regularised incomplete beta function, by its continued fraction (Numerical Recipes, 6.4).
  function beta(x, a, b) {
    if (x <= 0 || x >= 1) return x <= 0 ? 0 : 1;
    if (x > (a + 1) / (a + b + 2)) return 1 - beta(1 - x, b, a);
    const front = Math.exp(logGamma(a + b) - logGamma(a) - logGamma(b) + a * Math.log(x) + b * Math.log(1 - x)) / a;
    let c = 1, d = 1 / (1 - ((a + b) * x) / (a + 1)), sum = d;
    for (let m = 1; m < 300; m++) {
      const even = (m * (b - m) * x) / ((a + 2 * m - 1) * (a + 2 * m));
      const odd = (-(a + m) * (a + b + m) * x) / ((a + 2 * m) * (a + 2 * m + 1));
      let factor = 1;
      for (const part of [even, odd]) {
        d = 1 / (1 + part * d);
        c = 1 + part / c;
        factor = c * d;
        sum *= factor;
      }
      if (Math.abs(factor - 1) < 1e-14) break;
    }
    return front * sum;
  }

  // How likely a t-value at least so far from 0 is by chance.
  const twoSided = (t, degrees) => (isFinite(t) ? beta(degrees / (degrees + t * t), degrees / 2, 0.5) : 0);

  // The t-value that belongs to a two-sided p: halving an interval that holds it.
  function quantile(p, degrees) {
    let low = 0, high = 1;
    while (twoSided(high, degrees) > p) high *= 2;
    for (let i = 0; i < 80; i++) {
      const middle = (low + high) / 2;
      if (twoSided(middle, degrees) > p) low = middle;
      else high = middle;
    }
    return (low + high) / 2;
  }

  // {seeds, mean, low, high, p} of some values; comparisons: by how many the level is divided.
  function interval(values, comparisons = 1) {
    const n = values.length, m = mean(values);
    if (n < 2) return { seeds: n, mean: m, low: -Infinity, high: Infinity, p: NaN };
    const error = deviation(values) / Math.sqrt(n);
    const half = quantile((1 - LEVEL) / comparisons, n - 1) * error;
    const p = error > 0 ? twoSided(m / error, n - 1) : Number(m === 0);
    return { seeds: n, mean: m, low: m - half, high: m + half, p };
  }

  // By what Holm's method multiplies each p. Those without a p are not tested.
  function holmFactors(ps) {
    const order = ps.map((_, i) => i).filter((i) => !isNaN(ps[i])).sort((a, b) => ps[a] - ps[b]);
    const factors = ps.map(() => 1);
    let stepped = 0;
    order.forEach((i, rank) => {
      stepped = Math.max(stepped, (order.length - rank) * ps[i]);
      factors[i] = ps[i] > 0 ? stepped / ps[i] : order.length - rank;
    });
    return factors;
  }

  // "higher", "lower" or "can't tell", for an interval of a difference.
  function words(found) {
    if (found.seeds < SEEDS_FOR_A_VERDICT) return "no verdict: fewer than six seeds";
    if (found.low > 0) return "higher";
    return found.high < 0 ? "lower" : "can't tell";
  }

  // The values of one arm: {seed: value}, where there is a number.
  function bySeed(setting, arm, column) {
    const values = new Map();
    setting.runs.arm.forEach((which, i) => {
      const value = (setting.runs[column] || [])[i];
      if (setting.arms[which] === arm && Number.isFinite(value)) values.set(setting.runs.seed[i], value);
    });
    return values;
  }

  // [[seed, value, baseline's value], ...] of the seeds that both have.
  function pairs(setting, column, arm, baseline) {
    const [ours, theirs] = [arm, baseline].map((name) => bySeed(setting, name, column));
    const both = [...ours.keys()].filter((seed) => theirs.has(seed)).sort((a, b) => a - b);
    return both.map((seed) => [seed, ours.get(seed), theirs.get(seed)]);
  }

  const differences = (found) => found.map(([, ours, theirs]) => ours - theirs);

  // One arm against another, this comparison alone.
  function paired(setting, column, arm, baseline) {
    return interval(differences(pairs(setting, column, arm, baseline)));
  }

  // All arms against one, with intervals that are corrected for looking at them all.
  function table(setting, column, baseline) {
    const rows = setting.arms
      .map((arm) => ({ arm, values: [...bySeed(setting, arm, column).values()] }))
      .filter((row) => row.values.length)
      .map((row) => ({ arm: row.arm, ...interval(row.values) }));
    const others = rows.filter((row) => row.arm !== baseline && pairs(setting, column, row.arm, baseline).length);
    const alone = others.map((row) => paired(setting, column, row.arm, baseline));
    const factors = holmFactors(alone.map((found) => found.p));
    others.forEach((row, i) => {
      const values = differences(pairs(setting, column, row.arm, baseline));
      row.difference = interval(values, factors[i]);
      row.difference.p = Math.min(1, alone[i].p * factors[i]);
      row.words = words(row.difference);
    });
    return rows;
  }

  return { interval, quantile, twoSided, bySeed, pairs, paired, table, words };
})();
