// The audit log of the organization, newest first: `view="events"`.
import { html, nothing } from './vendor/lit-core.js';
import { entry } from './event.js';
import { errorBox, heading, lens, refreshButton, sessionBanner } from './list.js';

const DAY = 86400000;
const PAGE = 50;
const TYPES = ['created', 'updated', 'rotated', 'rotation_changed', 'secret_retired', 'expiring', 'revoked', 'deleted'];
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const ANY = { keyText: '', key: '', actor: '', type: '', time: '', since: '', until: '' };

export const open = (el) => {
  const audit = { filters: { ...ANY }, events: null, next: null, busy: false, error: null, turn: 0, names: new Map(), typing: 0 };
  audit.read = () => Promise.all([read(el, audit), readNames(el, audit)]);
  audit.view = () => view(el, audit);
  return audit;
};

const moment = (text) => (text ? new Date(text).toISOString() : '');

const query = (el, { filters: { key, actor, type, time, since, until } }) => ({
  limit: PAGE,
  key_id: key,
  actor: actor.trim(),
  type: type && `api_key.${type}`,
  since: time === 'between' ? moment(since) : time && new Date(el.now - Number(time) * DAY).toISOString(),
  until: time === 'between' ? moment(until) : '',
});

const read = async (el, audit, from = null) => {
  const turn = ++audit.turn;
  audit.busy = true;
  el.requestUpdate();
  try {
    const { data, next } = await el.api.get('/api-key-events', from ?? query(el, audit));
    if (turn !== audit.turn) return;
    Object.assign(audit, { events: from ? [...audit.events, ...data] : data, next, error: null });
    for (const { key_id: id, data: { name, after } } of data) {
      if ((after?.name ?? name) && !audit.names.has(id)) audit.names.set(id, after?.name ?? name);
    }
    el.changed({ session: 'good' });
  } catch (error) {
    if (turn !== audit.turn) return;
    audit.error = error;
    el.failed(error);
  }
  audit.busy = false;
  el.requestUpdate();
};

// Names for the entries and for the choice of a key. Without them there are ids.
const readNames = async (el, audit) => {
  if (!el.may('read')) return;
  const { keyText } = audit.filters;
  try {
    const { data } = await el.api.get('/api-keys', { limit: 100, q: ID.test(keyText) ? '' : keyText.trim() });
    for (const key of data) audit.names.set(key.id, key.name);
    el.requestUpdate();
  } catch {
    // The events are shown all the same.
  }
};

const filter = (el, audit, patch) => {
  Object.assign(audit.filters, patch);
  return read(el, audit);
};

const later = (el, audit, act) => {
  clearTimeout(audit.typing);
  audit.typing = setTimeout(act, 250);
  el.requestUpdate();
};

const choice = (id, name) => `${name} (…${id.slice(-6)})`;

// What is typed counts once it is an id, or one of the names that were offered.
const typeKey = (el, audit, text) => {
  const known = [...audit.names].find(([id, name]) => choice(id, name) === text);
  const key = known?.[0] ?? (ID.test(text.trim()) ? text.trim() : '');
  audit.filters.keyText = text;
  later(el, audit, () => (key === audit.filters.key ? readNames(el, audit) : filter(el, audit, { key })));
};

const typeActor = (el, audit, actor) => {
  audit.filters.actor = actor;
  later(el, audit, () => read(el, audit));
};

const view = (el, audit) => html`
  <section part="list" aria-busy=${audit.busy ? 'true' : 'false'}>
    <slot name="header"></slot>
    <header part="toolbar">${heading(el, 0, el.w.t('audit'), 'title')}</header>
    ${sessionBanner(el)} ${filters(el, audit)} ${errorBox(el, audit.error, html`<button part="button" @click=${() => audit.read()}>${el.w.t('retry')}</button>`)}
    ${body(el, audit)}
  </section>
`;

const filters = (el, audit) => {
  const { w } = el;
  const now = audit.filters;
  const option = (value, text, chosen) => html`<option value=${value} ?selected=${value === chosen}>${text}</option>`;
  const when = (name, label) => html`<input type="datetime-local" class="narrow" part="filter input" aria-label=${w.t(label)} .value=${now[name]} @change=${(event) => filter(el, audit, { [name]: event.target.value })} />`;
  return html`<div class="toolbar" role="search">
    <div class="search">
      ${lens}
      <input type="search" part="search input" list="names" aria-label=${w.t('key')} placeholder=${w.t('filterKey')} maxlength="100" spellcheck="false" autocomplete="off" .value=${now.keyText} @input=${(event) => typeKey(el, audit, event.target.value)} />
      <datalist id="names">${[...audit.names].map(([id, name]) => html`<option value=${choice(id, name)}></option>`)}</datalist>
    </div>
    <input class="narrow" part="filter input" aria-label=${w.t('actor')} placeholder=${w.t('filterActor')} maxlength="255" spellcheck="false" autocomplete="off" .value=${now.actor} @input=${(event) => typeActor(el, audit, event.target.value)} />
    <select part="filter" aria-label=${w.t('action')} @change=${(event) => filter(el, audit, { type: event.target.value })}>
      ${option('', w.t('allActions'), now.type)} ${TYPES.map((type) => option(type, w.t(`event.api_key.${type}`), now.type))}
    </select>
    <select part="filter" aria-label=${w.t('time')} @change=${(event) => filter(el, audit, { time: event.target.value })}>
      ${option('', w.t('anyTime'), now.time)} ${option('1', w.t('day'), now.time)} ${option('7', w.t('week'), now.time)} ${option('30', w.t('month'), now.time)} ${option('between', w.t('between'), now.time)}
    </select>
    ${now.time === 'between' ? html`${when('since', 'since')} ${when('until', 'until')}` : nothing}
  </div>`;
};

const body = (el, audit) => {
  const { w } = el;
  const { events, next, busy } = audit;
  if (!events) return busy ? html`<p class="muted" role="status">${w.t('loading')}</p>` : nothing;
  const more = html`<footer>
    ${refreshButton(el, busy)} ${next ? html`<button class="push" part="button" ?disabled=${busy} @click=${() => read(el, audit, next)}>${w.t('more')}</button>` : nothing}
  </footer>`;
  // A page may be empty and have a next one: the service looks through a part of the log at a time.
  if (!events.length) return html`<div class="frame empty" part="empty"><p>${w.t(next ? 'noEventsYet' : 'noEvents')}</p>${clear(el, audit)}</div>${more}`;
  return html`<ol class="timeline">${events.map((event) => entry(el, event, subject(el, audit, event)))}</ol>${more}`;
};

const clear = (el, audit) => {
  const narrowed = Object.keys(ANY).some((name) => audit.filters[name]);
  return narrowed ? html`<div class="row"><button part="button" @click=${() => filter(el, audit, ANY)}>${el.w.t('clearFilters')}</button></div>` : nothing;
};

// An event about the log itself has no key.
const subject = (el, audit, event) => {
  if (!event.type.startsWith('api_key.')) return nothing;
  const name = audit.names.get(event.key_id) ?? `…${event.key_id.slice(-6)}`;
  return html`<button class="link" @click=${() => el.select(event.key_id, 'history')}><bdi>${name}</bdi></button>`;
};
