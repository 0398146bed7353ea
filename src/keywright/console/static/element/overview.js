// What a key is, whether it is still tried after its end, and its edit under the version that was read.
import { html, nothing } from './vendor/lit-core.js';
import { bodyOf, fields, flawsIn, flawsOf, focusFlaw, valuesOf } from './form.js';
import { busyText, errorBox } from './overlay.js';

const DAY = 86400000;

export const open = (el, drawer) => {
  const part = { editing: null, refused: 0 };
  if (drawer.key) readRefused(el, drawer, part);
  return part;
};

/** The key was read again: it may have ended. */
export const changed = (el, drawer) => {
  if (drawer.part) readRefused(el, drawer, drawer.part);
};

export const view = (el, drawer, part) => (part.editing ? editor(el, drawer, part) : facts(el, drawer, part));

// Only what its end refused: the code is named as the status.
const readRefused = async (el, drawer, part) => {
  const { status } = drawer.key;
  part.refused = 0;
  if (status === 'active' || !el.may('usage')) return;
  const since = new Date(el.now - 6 * DAY).toISOString();
  try {
    const { data } = await el.api.get(`/api-keys/${drawer.id}/usage`, { period: 'day', since, limit: 1 }, { signal: drawer.ended.signal });
    part.refused = data.counts.reduce((sum, { refused }) => sum + (refused[status] ?? 0), 0);
  } catch {
    // The row is missing; the tab of the usage shows the error.
    return;
  }
  el.requestUpdate();
};

const showUsage = (el, drawer) => {
  drawer.show('usage');
  // The link is gone, and the focus with it.
  el.renderRoot.getElementById('tab-usage').focus();
};

const facts = (el, drawer, part) => {
  const { w } = el;
  const { key } = drawer;
  const chips = (list, none) => (list.length ? html`<ul class="chips">${list.map((one) => html`<li>${one}</li>`)}</ul>` : html`<span class="muted">${w.t(none)}</span>`);
  const who = (text, subject) => html`${w.at(text)} <span class="muted">· <span class="mono">${subject}</span></span>`;
  const limits = key.rate_limits.map(({ name, limit, window_seconds: seconds }) => w.t('limitText', { name, limit, time: w.duration(seconds) }));
  const rows = [
    [w.t('description'), key.description],
    [w.t('publicKey'), html`<span class="mono">${key.public_key}</span> <button class="link" @click=${() => el.copyPublicKey(key)}>${w.t('copy')}</button>`],
    [w.t('scopes'), chips(key.scopes, 'noScopes')],
    [w.t('allowedIps'), chips(key.allowed_ips, 'anyAddress')],
    [w.t('rateLimits'), chips(limits, 'noLimits')],
    [w.t('expires'), key.expires_at ? w.both(Date.parse(key.expires_at)) : html`<span class="muted">${w.t('noExpiry')}</span>`],
    [w.t('lastUsed'), key.last_used_at ? w.time(key.last_used_at, el.now) : html`<span class="muted">${w.t('neverUsed')}</span>`],
    [w.t('tried'), part.refused && html`${w.t('refusedInWeek', { n: part.refused })} <button class="link" @click=${() => showUsage(el, drawer)}>${w.t('usage')}</button>`],
    [w.t('externalId'), key.external_id],
    [w.t('metadata'), Object.keys(key.metadata).length ? html`<pre class="mono">${JSON.stringify(key.metadata, null, 2)}</pre>` : null],
    [w.t('createdBy'), who(key.created_at, key.created_by)],
    [w.t('revokedBy'), key.revoked_at && html`${who(key.revoked_at, key.revoked_by)} · ${w.t(`reason.${key.revocation_reason}`)}`],
    [w.t('id'), html`<span class="mono">${key.id}</span>`],
  ];
  return html`<div class="row">${actions(el, key, part)}</div>
    <dl class="facts">${rows.filter(([, value]) => value).map(([name, value]) => html`<div><dt>${name}</dt><dd>${value}</dd></div>`)}</dl>`;
};

const actions = (el, key, part) => {
  const { w } = el;
  const ended = key.status === 'revoked';
  const button = (may, text, act, name = '') => (may ? html`<button class=${name} part="button" @click=${act}>${w.t(text)}</button>` : nothing);
  return html`
    ${button(el.may('edit') && !ended, 'edit', () => edit(el, key, part))}
    ${button(el.may('rotate') && ['active', 'disabled'].includes(key.status), 'rotate', () => el.act('rotate', key))}
    ${button(el.may('edit') && key.status === 'disabled', 'enable', () => el.enable(key))}
    ${button(el.may('edit') && key.status === 'active', 'disable', () => el.act('disable', key))}
    ${button(el.may('revoke') && !ended, 'revoke', () => el.act('revoke', key))}
    ${button(el.may('delete') && ended, 'delete', () => el.act('delete', key))}
  `;
};

const edit = (el, key, part) => {
  part.editing = { values: valuesOf(el, key), flaws: {}, error: null, busy: false, former: key, conflict: null };
  el.requestUpdate();
  el.updateComplete.then(() => el.renderRoot.getElementById('f-name')?.focus());
};

const stop = (el, part) => {
  part.editing = null;
  el.requestUpdate();
  // The form had the focus, and a field that was disabled meanwhile has lost it.
  el.updateComplete.then(() => el.renderRoot.querySelector('.drawer .middle .row button')?.focus());
};

const editor = (el, drawer, part) => {
  const { w } = el;
  const state = part.editing;
  return html`<form
    class="stack"
    novalidate
    @submit=${(event) => {
      event.preventDefault();
      save(el, drawer, part, drawer.etag);
    }}
  >
    ${state.conflict ? conflict(el, drawer, part) : errorBox(el, state.error)}
    <fieldset class="stack" ?disabled=${state.busy}>${fields(el, state, { fixed: true })}</fieldset>
    <div class="row">
      <span class="push"></span>
      <button type="button" part="button" ?disabled=${state.busy} @click=${() => stop(el, part)}>${w.t('cancel')}</button>
      <button class="primary" part="button button-primary" ?disabled=${state.busy || !!state.conflict}>${busyText(el, state.busy, 'saving', w.t('save'))}</button>
    </div>
  </form>`;
};

// Only what was changed here: what somebody else changed in another field stays.
const changesOf = (el, { values, former }) => {
  const body = bodyOf(el, values, former);
  return Object.fromEntries(Object.entries(body).filter(([name, value]) => JSON.stringify(value) !== JSON.stringify(former[name] ?? null)));
};

const save = async (el, drawer, part, etag) => {
  const state = part.editing;
  if (state.busy) return;
  state.flaws = flawsOf(el, state.values);
  if (Object.keys(state.flaws).length) {
    el.requestUpdate();
    el.updateComplete.then(() => focusFlaw(el));
    return;
  }
  const body = changesOf(el, state);
  if (!Object.keys(body).length) {
    stop(el, part);
    return;
  }
  state.busy = true;
  state.error = null;
  el.requestUpdate();
  try {
    const { data, etag: next } = await el.api.send('PATCH', `/api-keys/${drawer.id}`, { body, ifMatch: etag });
    drawer.key = data;
    drawer.etag = next;
    stop(el, part);
    el.emit('updated', { id: data.id, name: data.name });
    el.announce(el.w.t('saved'));
    el.put(data);
  } catch (error) {
    state.busy = false;
    await failed(el, drawer, state, error);
  }
  el.requestUpdate();
};

const failed = async (el, drawer, state, error) => {
  el.failed(error);
  state.error = error;
  state.flaws = error.flaws ? flawsIn(el, error) : {};
  if (error.code === 'precondition_failed') state.conflict = await whoChanged(el, drawer);
  el.requestUpdate();
  await el.updateComplete;
  focusFlaw(el);
};

// The event of the change names the person, where the token may read events.
const whoChanged = async (el, drawer) => {
  if (!el.may('history')) return {};
  try {
    const { data } = await el.api.get(`/api-keys/${drawer.id}/events`, { limit: 1 });
    return { event: data[0] };
  } catch {
    return {};
  }
};

const conflict = (el, drawer, part) => {
  const { w } = el;
  const { event } = part.editing.conflict;
  return html`<div class="banner bad" part="banner" role="alert">
    <span><strong>${w.t('conflictTitle')}</strong> ${event ? w.t('conflictBy', { who: event.actor.subject, time: w.ago(Date.parse(event.occurred_at), el.now) }) : nothing}</span>
    <span class="row">
      <button type="button" part="button" @click=${() => reload(el, drawer, part)}>${w.t('reload')}</button>
      <button type="button" part="button" @click=${() => overwrite(el, drawer, part)}>${w.t('overwrite')}</button>
    </span>
  </div>`;
};

const reload = async (el, drawer, part) => {
  stop(el, part);
  await drawer.read();
};

const overwrite = async (el, drawer, part) => {
  part.editing.conflict = null;
  await drawer.read();
  await save(el, drawer, part, drawer.etag);
};
