// Who changed a key, what, when and from where; and the receipt of its revocation.
import { html, nothing } from './vendor/lit-core.js';
import { entry } from './event.js';
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
