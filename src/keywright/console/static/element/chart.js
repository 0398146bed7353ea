// Bars of requests over time, accepted and refused, with a sentence for those who cannot see them and a table behind.
import { html, svg, nothing } from './vendor/lit-core.js';

const WIDTH = 600;
const HEIGHT = 120;

/** Draws `counts`, each `{start, count, refused}` with refusals by code, of hours or days (`period`). */
export const chart = (el, counts, period) => {
  const { w } = el;
  const label = (one) => (period === 'hour' ? w.hour(Date.parse(one.start)) : w.dayUtc(Date.parse(one.start)));
  const all = counts.map((one) => ({ ...one, refused: Object.values(one.refused ?? {}).reduce((sum, n) => sum + n, 0) }));
  const most = Math.max(1, ...all.map((one) => one.count + one.refused));
  const refused = all.reduce((sum, one) => sum + one.refused, 0);
  return html`<figure class="field" part="chart">
    <svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${sentence(w, all, period, label, refused)}>
      <line class="base" x1="0" x2=${WIDTH} y1=${HEIGHT} y2=${HEIGHT} />
      ${all.map((one, index) => bars(w, one, index, WIDTH / all.length, most, label(one)))}
    </svg>
    <div class="axis" aria-hidden="true"><span>${all.length ? label(all[0]) : ''}</span><span>${all.length ? label(all.at(-1)) : ''}</span></div>
    <p>${w.t('requests', { n: total(all) })}${refused ? html` · ${w.t('refusedCount', { n: refused })}` : nothing}</p>
    <details>
      <summary>${w.t('asTable')}</summary>
      ${table(w, all, label, refused)}
    </details>
  </figure>`;
};

const total = (counts) => counts.reduce((sum, one) => sum + one.count, 0);

const bars = (w, { count, refused }, index, step, most, text) => {
  const gap = Math.min(4, step * 0.25);
  const accepted = count ? Math.max(2, ((HEIGHT - 4) * count) / most) : 0;
  const bad = refused ? Math.max(2, ((HEIGHT - 4) * refused) / most) : 0;
  const bar = (name, y, height, words) => (height ? svg`<rect class="bar ${name}" part="bar" x=${index * step + gap / 2} y=${y} width=${step - gap} height=${height} rx="1"><title>${text}: ${words}</title></rect>` : nothing);
  return svg`${bar('', HEIGHT - accepted, accepted, w.t('requests', { n: count }))}${bar('refused', HEIGHT - accepted - bad, bad, w.t('refusedCount', { n: refused }))}`;
};

const sentence = (w, counts, period, label, refused) => {
  const accepted = acceptedSentence(w, counts, period, label);
  return refused ? `${accepted} ${w.t('chartRefused', { n: refused })}` : accepted;
};

const acceptedSentence = (w, counts, period, label) => {
  const sum = total(counts);
  if (!sum) return w.t('chartNone');
  const peak = counts.reduce((best, one) => (one.count > best.count ? one : best));
  return w.t(period === 'hour' ? 'chartDay' : 'chartMonth', { requests: w.t('requests', { n: sum }), time: label(peak), peak: peak.count });
};

const table = (w, counts, label, refused) => html`<div class="scroll" tabindex="0" role="region" aria-label=${w.t('usage')}>
  <table class="plain">
    <thead>
      <tr><th scope="col">${w.t('time')}</th><th scope="col" class="end">${w.t('count')}</th>${refused ? html`<th scope="col" class="end">${w.t('refused')}</th>` : nothing}</tr>
    </thead>
    <tbody>
      ${[...counts].reverse().map((one) => html`<tr><th scope="row">${label(one)}</th><td class="end">${w.number(one.count)}</td>${refused ? html`<td class="end">${w.number(one.refused)}</td>` : nothing}</tr>`)}
    </tbody>
  </table>
</div>`;
