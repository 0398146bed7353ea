// What is happening, drawn: verdicts, refusals, keys, revocations, verifiers. Each figure is read by itself.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { heading } from '../../element/list.js';
import { bars, columns, small } from './draw.js';
import { keysRefused, mostUsed, verifiers } from './figure-tables.js';
import { trouble } from './paging.js';

const REFRESH = 30000;
const PER = ['minute', 'hour', 'day'];
const FIGURES = {
  verdicts: { path: (per) => ['/figures/verdicts', { per }], view: (el, data) => verdicts(el, data) },
  top: { path: () => ['/figures/top', { hours: 24, limit: 10 }], view: (el, data) => mostUsed(el, data) },
  refusedKeys: { from: 'top', view: (el, data) => keysRefused(el, data) },
  connected: { path: () => ['/figures/verifiers', {}], view: (el, data) => verifiers(el, data) },
  delays: { path: () => ['/figures/revocations', { hours: 24 }], view: (el, data) => delays(el, data) },
  expiries: { from: 'states', view: (el, data) => expiries(el, data) },
  states: { path: () => ['/figures/keys', {}], view: (el, data) => states(el, data) },
  lastUses: { from: 'states', view: (el, data) => lastUses(el, data) },
};
const WIDE = ['verdicts', 'connected'];

export const open = (el, page) => {
  const { signal } = page.ended;
  const state = { per: 'minute', data: {}, errors: {}, at: 0, signal };
  readAll(el, state);
  const timer = setInterval(() => document.hidden || readAll(el, state), REFRESH);
  signal.addEventListener('abort', () => clearInterval(timer), { once: true });
  return state;
};

const readAll = async (el, state) => {
  await Promise.all(Object.keys(FIGURES).filter((name) => FIGURES[name].path).map((name) => read(el, state, name)));
  state.at = el.now;
  el.requestUpdate();
};

const read = async (el, state, name) => {
  const { per, signal } = state;
  try {
    const { data } = await el.api.get(...FIGURES[name].path(per), { signal });
    // Another period may have been chosen meanwhile.
    if (name === 'verdicts' && per !== state.per) return;
    state.data[name] = data;
    state.errors[name] = null;
  } catch (error) {
    if (signal.aborted) return;
    state.errors[name] = error;
    el.failed(error);
  }
  el.requestUpdate();
};

const choose = (el, state, per) => {
  state.per = per;
  read(el, state, 'verdicts');
  el.requestUpdate();
};

/** When the figures were read, and a button to read them again. */
export const actions = (el, state) => html`<span class="push small muted">${state.at ? el.w.t('updatedAt', { time: el.w.clock(state.at) }) : nothing}</span><button @click=${() => readAll(el, state)}>${el.w.t('refresh')}</button>`;

export const view = (el, state) => html`<div class="figures">${Object.keys(FIGURES).map((name) => figure(el, state, name))}</div>`;

const figure = (el, state, name) => {
  const { w } = el;
  const { from = name, view: draw } = FIGURES[name];
  const data = state.data[from];
  const error = state.errors[from];
  return html`<article class="figure ${WIDE.includes(name) ? 'wide' : ''}" aria-labelledby=${`figure-${name}`}>
    <div class="row">${heading(el, 1, w.t(name), `figure-${name}`)} ${name === 'verdicts' ? periods(el, state) : nothing}</div>
    ${trouble(el, error, () => read(el, state, from))} ${data ? draw(el, data) : error ? nothing : html`<p class="muted" role="status">${w.t('loading')}</p>`}
  </article>`;
};

const periods = (el, state) => html`<div class="segments push" role="group" aria-label=${el.w.t('period')}>
  ${PER.map((per) => html`<button aria-pressed=${state.per === per ? 'true' : 'false'} @click=${() => choose(el, state, per)}>${el.w.t(`per.${per}`)}</button>`)}
</div>`;

const LABELS = {
  minute: (w, at) => w.clock(at),
  hour: (w, at) => w.hour(at),
  day: (w, at) => w.dayUtc(at),
};

const total = (values) => values.reduce((sum, one) => sum + one, 0);

const verdicts = (el, { per, periods: all }) => {
  const { w } = el;
  const labels = all.map(({ start }) => LABELS[per](w, Date.parse(start)));
  const codes = [...new Set(all.flatMap((one) => Object.keys(one.verdicts)))].filter((code) => code !== 'valid');
  const of = (code) => all.map((one) => one.verdicts[code] ?? 0);
  const accepted = of('valid');
  const refused = all.map((one) => total(codes.map((code) => one.verdicts[code] ?? 0)));
  const numbers = { accepted: total(accepted), refused: total(refused), time: w.t(`within.${per}`) };
  const byCode = codes.map((code) => ({ code, values: of(code) })).sort((a, b) => total(b.values) - total(a.values));
  return html`<div class="split">
    ${columns(el, {
      id: 'verdicts',
      labels,
      first: w.t('time'),
      sentence: w.t(numbers.accepted + numbers.refused ? 'verdictsSentence' : 'verdictsNone', numbers),
      series: [
        { name: w.t('accepted'), values: accepted, form: 'solid' },
        { name: w.t('refused'), values: refused, form: 'hollow' },
      ],
    })}
    ${reasons(el, byCode, per)}
  </div>`;
};

const reasons = (el, byCode, per) => {
  const { w } = el;
  if (!byCode.length) return html`<p class="muted">${w.t('noRefusals')}</p>`;
  return html`<table class="reasons" aria-label=${w.t('reasonsOf', { time: w.t(`within.${per}`) })}>
    <thead><tr><th scope="col">${w.t('reasonOfRefusal')}</th><td></td><th scope="col" class="end">${w.t('refused')}</th></tr></thead>
    <tbody>${byCode.map(({ code, values }) => html`<tr><th scope="row">${w.messages[`code.${code}`] ?? code}</th><td>${small(values)}</td><td class="end">${w.number(total(values))}</td></tr>`)}</tbody>
  </table>`;
};

const delays = (el, { histogram, acknowledgements, revocations, p50_ms: half, p99_ms: nearlyAll }) => {
  const { w } = el;
  if (!revocations) return html`<p class="muted">${w.t('noRevocationsToday')}</p>`;
  const labels = histogram.map(({ up_to_ms: bound }, at) => (bound === null ? `> ${seconds(w, histogram[at - 1]?.up_to_ms ?? 0)}` : `≤ ${seconds(w, bound)}`));
  const sentence = acknowledgements ? w.t('delaysSentence', { revocations: w.t('revocationsCount', { n: revocations }), n: acknowledgements, half: half ?? 0, most: nearlyAll ?? 0 }) : w.t('delaysNone', { revocations: w.t('revocationsCount', { n: revocations }) });
  return columns(el, { id: 'delays', labels, first: w.t('delay'), sentence, ends: false, series: [{ name: w.t('acknowledgements'), values: histogram.map((one) => one.acknowledgements), form: 'solid' }] });
};

const seconds = (w, milliseconds) => (milliseconds < 1000 ? `${w.number(milliseconds)} ms` : `${w.number(milliseconds / 1000)} s`);

const counted = (el, { counted_at: at }, drawing) => (at ? html`${drawing()}<p class="small muted">${el.w.t('countedAt', { time: el.w.ago(Date.parse(at), el.now) })}</p>` : html`<p class="muted">${el.w.t('notCounted')}</p>`);

const states = (el, data) =>
  counted(el, data, () => bars(el, { label: el.w.t('states'), heads: [el.w.t('status'), el.w.t('keysOf')], rows: Object.entries(data.states).map(([state, value]) => ({ name: el.w.t(`state.${state}`), value, form: state === 'active' ? 'solid' : 'hollow' })) }));

const lastUses = (el, data) => counted(el, data, () => bars(el, { label: el.w.t('lastUses'), heads: [el.w.t('lastUsed'), el.w.t('keysOf')], rows: data.since_last_use.map(({ bucket, keys }) => ({ name: el.w.t(`age.${bucket}`), value: keys })) }));

const expiries = (el, data) =>
  counted(el, data, () => {
    const { w } = el;
    const values = data.expiries.map(({ keys }) => keys);
    const labels = data.expiries.map(({ day }) => w.dayUtc(Date.parse(day)));
    return columns(el, { id: 'expiries', labels, first: w.t('day'), sentence: w.t('expiriesSentence', { n: total(values) }), series: [{ name: w.t('keysOf'), values, form: 'solid' }] });
  });
