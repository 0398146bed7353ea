// Drawings of numbers: columns over time, small columns, and bars in a table. Every drawing has its numbers in words.
// What differs, differs in form, too: accepted is filled, refused is hollow.
import { html, svg, nothing } from '../../element/vendor/lit-core.js';

const WIDTH = 600;
const HEIGHT = 120;
const TOP = 6;

const heightOf = (value, most, height) => (value ? Math.max(2, ((height - TOP) * value) / most) : 0);

const sum = (values) => values.reduce((total, one) => total + one, 0);

/**
 * Columns over time or over classes, series upon series.
 *
 * `labels`: one for each column. `series`: `[{name, values, form}]` with the form `solid` or `hollow`. `sentence`: what
 * there is to see. `first`: the head of the table's first column.
 */
export const columns = (el, { labels, series, sentence, first, id, ends = true }) => {
  const { w } = el;
  const totals = labels.map((_, at) => sum(series.map((one) => one.values[at])));
  const most = Math.max(1, ...totals);
  const step = WIDTH / Math.max(1, labels.length);
  return html`<figure>
    ${series.length > 1 ? html`<p class="legend">${series.map(({ name, form, values }) => html`<span>${key(form)}${name} <strong>${w.number(sum(values))}</strong></span>`)}</p>` : nothing}
    <p class="peak" aria-hidden="true">${w.number(most)}</p>
    <svg class="chart" viewBox="0 0 ${WIDTH} ${HEIGHT}" preserveAspectRatio="none" role="img" aria-label=${sentence}>
      <line class="grid-line" x1="0" x2=${WIDTH} y1=${TOP} y2=${TOP} /><line class="base" x1="0" x2=${WIDTH} y1=${HEIGHT} y2=${HEIGHT} />
      ${labels.map((label, at) => column(w, series, at, step, most, label))}
    </svg>
    ${ends ? html`<div class="axis" aria-hidden="true"><span>${labels[0] ?? ''}</span><span>${labels.at(-1) ?? ''}</span></div>` : html`<div class="axis each" aria-hidden="true">${labels.map((label) => html`<span>${label.replace('≤', '')}</span>`)}</div>`}
    <p class="small">${sentence}</p>
    <details>
      <summary>${w.t('asTable')}</summary>
      <div class="scroll tall frame" tabindex="0" role="region" aria-label=${w.t('tableOf', { name: w.t(id) })}>
        <table class="plain">
          <thead><tr><th scope="col">${first}</th>${series.map(({ name }) => html`<th scope="col" class="end">${name}</th>`)}</tr></thead>
          <tbody>${labels.map((label, at) => html`<tr><th scope="row">${label}</th>${series.map(({ values }) => html`<td class="end">${w.number(values[at])}</td>`)}</tr>`)}</tbody>
        </table>
      </div>
    </details>
  </figure>`;
};

const column = (w, series, at, step, most, label) => {
  const gap = Math.min(4, step * 0.25);
  let top = HEIGHT;
  return series.map(({ name, values, form }) => {
    const height = heightOf(values[at], most, HEIGHT);
    if (!height) return nothing;
    top -= height;
    // The border of a hollow one is drawn half outside.
    const inside = form === 'hollow' ? Math.min(1, height / 4) : 0;
    return svg`<rect class="bar ${form}" x=${at * step + gap / 2 + inside} y=${top + inside} width=${Math.max(1, step - gap - 2 * inside)} height=${height - 2 * inside}><title>${label}: ${name} ${w.number(values[at])}</title></rect>`;
  });
};

const key = (form) => html`<svg class="key" viewBox="0 0 12 12" aria-hidden="true">${svg`<rect class="bar ${form}" x="1.5" y="1.5" width="9" height="9"/>`}</svg>`;

/** A small drawing of one series, without numbers: they stand beside it. */
export const small = (values) => {
  const most = Math.max(1, ...values);
  const step = 120 / Math.max(1, values.length);
  return html`<svg class="small-chart" viewBox="0 0 120 24" preserveAspectRatio="none" aria-hidden="true">
    <line class="base" x1="0" x2="120" y1="24" y2="24" />
    ${values.map((value, at) => (value ? svg`<rect class="bar" x=${at * step} y=${24 - heightOf(value, most, 24)} width=${Math.max(0.6, step * 0.75)} height=${heightOf(value, most, 24)}/>` : nothing))}
  </svg>`;
};

/** A table with a bar in each row. `rows`: `[{name, value, form}]`; `heads`: of the names and of the numbers. */
export const bars = (el, { rows, heads, label }) => {
  const { w } = el;
  const most = Math.max(1, ...rows.map(({ value }) => value));
  return html`<table class="bars" aria-label=${label}>
    <thead class="visually-hidden"><tr><th scope="col">${heads[0]}</th><th scope="col">${heads[1]}</th><td></td></tr></thead>
    <tbody>
      ${rows.map(
        ({ name, value, form = 'solid' }) => html`<tr>
          <th scope="row">${name}</th><td class="end">${w.number(value)}</td>
          <td><svg viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">${value ? svg`<rect class="bar ${form}" x="0.3" y="1" width=${Math.max(0.8, (99.4 * value) / most)} height="8"/>` : nothing}</svg></td>
        </tr>`,
      )}
    </tbody>
  </table>`;
};
