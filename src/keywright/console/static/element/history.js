// Who changed a key, what, when and from where; and the receipt of its revocation.
import { html, nothing } from './vendor/lit-core.js';
import { errorBox } from './overlay.js';
import { readOnce, receiptView } from './receipt.js';

export const open = (el, drawer) => {
  const part = { events: [], next: { limit: 50 }, busy: false, error: null, receipt: null };
  if (el.may('history')) read(el, drawer, part);
  showReceipt(el, drawer, part);
  return part;
};

/** The key was read again: it may have been changed. */
export const changed = (el, drawer) => {
  if (drawer.part) drawer.part = open(el, drawer);
};

const showReceipt = (el, drawer, part) => {
  if (drawer.key?.status !== 'revoked') return;
  part.receipt = { key: drawer.key, data: null, error: null };
  readOnce(el, part.receipt, drawer.ended.signal);
};

const read = async (el, drawer, part) => {
  part.busy = true;
  part.error = null;
  el.requestUpdate();
  try {
    const { data, next } = await el.api.get(`/api-keys/${drawer.id}/events`, part.next, { signal: drawer.ended.signal });
    part.events = [...part.events, ...data];
    part.next = next;
  } catch (error) {
    if (drawer.ended.signal.aborted) return;
    part.error = error;
    el.failed(error);
  }
  part.busy = false;
  el.requestUpdate();
};

export const view = (el, drawer, part) => {
  const { w } = el;
  const more = () => read(el, drawer, part);
  return html`
    ${part.receipt ? html`<div class="box"><p class="label">${w.t('receipt')}</p>${receiptView(el, part.receipt)}</div>` : nothing}
    ${el.may('history') ? nothing : html`<p class="muted">${w.t('mayNotHistory')}</p>`} ${errorBox(el, part.error, html`<button part="button" @click=${more}>${w.t('retry')}</button>`)}
    ${part.events.length ? html`<ol class="timeline">${part.events.map((event) => entry(el, event))}</ol>` : nothing}
    ${part.busy ? html`<p class="muted" role="status">${w.t('loading')}</p>` : nothing}
    ${part.next && !part.busy && part.events.length ? html`<div><button part="button" @click=${more}>${w.t('more')}</button></div>` : nothing}
  `;
};

/** One event; `more` stands at its end. */
export const entry = (el, event, more = nothing) => {
  const { w } = el;
  const who = event.actor.subject === 'keywright' ? w.t('byService') : html`<span class="mono">${event.actor.subject}</span>`;
  const word = w.messages[`event.${event.type}`] ?? event.type;
  const reason = event.type === 'api_key.revoked' && w.messages[`reason.${event.data.reason}`];
  return html`<li>
    <div>
      <p><span class="what">${word}</span>${reason ? html` · ${reason}` : nothing}</p>
      <p class="small muted">${w.at(event.occurred_at)} · ${who}${event.address ? html` · ${w.t('from', { address: event.address })}` : nothing}</p>
      ${event.data.after ? diff(el, event.data) : nothing}
      <p class="small muted">${w.t('requestId')} <code class="mono">${event.request_id}</code></p>
      ${more}
    </div>
  </li>`;
};

const NAMES = { name: 'name', description: 'description', expires_at: 'expires', scopes: 'scopes', allowed_ips: 'allowedIps', rate_limits: 'rateLimits', external_id: 'externalId', metadata: 'metadata', enabled: 'state.active' };

const diff = (el, { before, after }) => {
  const { w } = el;
  const shown = (value) => {
    if (value === null || value === undefined || value === '' || (Array.isArray(value) && !value.length)) return w.t('nothing');
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value.join(', ') : typeof value === 'string' ? value : JSON.stringify(value);
  };
  return html`<div class="diff">
    ${Object.keys(after).map((name) => html`<p>${NAMES[name] ? w.t(NAMES[name]) : name}: <del>${shown(before[name])}</del> → <ins>${shown(after[name])}</ins></p>`)}
  </div>`;
};
