// How much a key is used and refused, over time and from where.
import { html, nothing } from './vendor/lit-core.js';
import { chart } from './chart.js';
import { errorBox } from './overlay.js';

const DAY = 86400000;
const SHOWN = 10;
const PERIODS = { day: { period: 'hour' }, month: { period: 'day' } };

export const open = (el, drawer) => {
  const part = { range: 'day', data: null, error: null, all: new Set() };
  read(el, drawer, part);
  return part;
};

const read = async (el, drawer, part) => {
  const { range } = part;
  part.error = null;
  el.requestUpdate();
  try {
    const since = range === 'month' ? new Date(el.now - 29 * DAY).toISOString() : '';
    const { data } = await el.api.get(`/api-keys/${drawer.id}/usage`, { ...PERIODS[range], since }, { signal: drawer.ended.signal });
    if (part.range === range) part.data = data;
  } catch (error) {
    if (drawer.ended.signal.aborted) return;
    part.error = error;
    el.failed(error);
  }
  el.requestUpdate();
};

const choose = (el, drawer, part, range) => {
  part.range = range;
  read(el, drawer, part);
};

export const view = (el, drawer, part) => {
  const { w } = el;
  const { data, range } = part;
  const retry = html`<button part="button" @click=${() => read(el, drawer, part)}>${w.t('retry')}</button>`;
  return html`
    <div class="segments" role="group" aria-label=${w.t('period')}>
      ${Object.keys(PERIODS).map((one) => html`<button part="button" aria-pressed=${range === one ? 'true' : 'false'} @click=${() => choose(el, drawer, part, one)}>${w.t(one)}</button>`)}
    </div>
    ${errorBox(el, part.error, retry)} ${data ? html`${stillTried(el, drawer, part)}${chart(el, data.counts, data.period)}${sources(el, drawer, part)}${refusals(el, part)}` : part.error ? nothing : html`<p class="muted" role="status">${w.t('loading')}</p>`}
  `;
};

// Whoever still presents a revoked key has not heard of it, or has stolen it.
const stillTried = (el, { key }, part) => {
  const { w } = el;
  const last = refused(part).find(({ code }) => code === 'revoked');
  if (key.status !== 'revoked' || !last) return nothing;
  const source = [last.network ?? w.t('unknownNetwork'), last.agent && `(${last.agent})`].filter(Boolean).join(' ');
  return html`<div class="evidence used"><p><strong>${w.t('stillTried', { time: w.ago(Date.parse(last.last_seen), el.now), source })}</strong></p></div>`;
};

const refused = (part) => part.data.refusals ?? [];

const sources = (el, { key }, part) => {
  const { w } = el;
  const { sources: all } = part.data;
  if (!all.length) return html`<p class="muted">${w.t('noSources')}</p>`;
  const heads = [w.t('network'), w.t('agent'), w.t('firstSeen'), w.t('lastUsed')];
  return table(el, part, 'sources', all, heads, (source) => html`
    <th scope="row"><span class="mono">${source.network ?? w.t('unknownNetwork')}</span> ${isNew(el, key, source) ? html`<span class="note">${w.t('newSource')}</span>` : nothing}</th>
    <td>${source.agent ?? w.t('unknownNetwork')}</td>
  `);
};

const refusals = (el, part) => {
  const { w } = el;
  const all = refused(part);
  if (!all.length) return nothing;
  const heads = [w.t('network'), w.t('agent'), w.t('refusedWhy'), w.t('firstSeen'), w.t('lastRefused')];
  return table(el, part, 'refusals', all, heads, ({ network, agent, code }) => html`
    <th scope="row"><span class="mono">${network ?? w.t('unknownNetwork')}</span></th>
    <td>${agent ?? w.t('unknownNetwork')}</td>
    <td>${w.messages[`refused.${code}`] ?? code}</td>
  `);
};

const table = (el, part, name, all, heads, cells) => {
  const { w } = el;
  const shown = part.all.has(name) ? all : all.slice(0, SHOWN);
  const more = () => {
    part.all.add(name);
    el.requestUpdate();
  };
  return html`<div class="field">
    <p class="label" id=${name}>${w.t(name)}</p>
    <div class="frame scroll" tabindex="0" role="region" aria-labelledby=${name}>
      <table class="plain" aria-labelledby=${name}>
        <thead>
          <tr>${heads.map((head) => html`<th scope="col">${head}</th>`)}<th scope="col" class="end">${w.t('count')}</th></tr>
        </thead>
        <tbody>
          ${shown.map((source) => html`<tr>
            ${cells(source)}
            <td>${w.time(source.first_seen, el.now)}</td>
            <td>${w.time(source.last_seen, el.now)}</td>
            <td class="end">${w.number(source.count)}</td>
          </tr>`)}
        </tbody>
      </table>
    </div>
    ${shown.length < all.length ? html`<button class="link" @click=${more}>${w.t('moreSources', { n: all.length })}</button>` : nothing}
  </div>`;
};

// A source is news only for a key that has been used for longer.
const isNew = (el, key, source) => {
  const week = el.now - 7 * DAY;
  return Date.parse(key.created_at) < week && Date.parse(source.first_seen) > week;
};
