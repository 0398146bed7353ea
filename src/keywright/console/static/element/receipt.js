// The receipt of a revocation: which verifiers confirmed it, as the service says, until all did or the bound passed.
import { html, svg, nothing } from './vendor/lit-core.js';
import { sentenceOf } from './format.js';

const PAUSES = [250, 250, 500, 1000, 1000, 2000, 5000];

/** Reads the receipt again and again into `receipt.data`, until it is complete, its bound has passed, or `signal`. */
export const follow = async (el, receipt, signal) => {
  for (let turn = 0; !signal.aborted; turn += 1) {
    try {
      receipt.data = (await el.api.get(`/api-keys/${receipt.key.id}/revocation`, {}, { signal })).data;
      receipt.error = null;
    } catch (error) {
      if (signal.aborted) return;
      receipt.error = error;
      if (error.status === 410) return;
    }
    el.requestUpdate();
    if (receipt.data && isOver(el, receipt.data)) {
      el.announce(el.w.t('allConfirmed'));
      return;
    }
    await pause(PAUSES[Math.min(turn, PAUSES.length - 1)], signal);
  }
};

/** Reads the receipt once. */
export const readOnce = async (el, receipt, signal) => {
  try {
    receipt.data = (await el.api.get(`/api-keys/${receipt.key.id}/revocation`, {}, { signal })).data;
  } catch (error) {
    receipt.error = error;
  }
  el.requestUpdate();
};

/** Waits, at the longest until `signal`. */
export const pause = (milliseconds, signal) =>
  new Promise((resolve) => {
    const timer = setTimeout(resolve, milliseconds);
    signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
  });

/** Whether no process can accept the key any more, as far as the receipt `{pending, may_accept_until}` says. */
export const isOver = (el, { pending, may_accept_until: until }) => pending === 0 || (!!until && Date.parse(until) < el.now);

const slowest = ({ revoked_at: at, verifiers }) => {
  const confirmed = verifiers.filter((one) => one.confirmed_at);
  return confirmed.length ? Math.max(0, ...confirmed.map((one) => Date.parse(one.confirmed_at) - Date.parse(at))) : null;
};

/** What the receipt says, and no more. */
export const receiptView = (el, receipt) => {
  const { w } = el;
  const { key, data, error } = receipt;
  return html`<div class="stack" part="receipt">
    <p>${key.revoked_at ? w.t('revokedAt', { time: w.moment(Date.parse(key.revoked_at)) }) : nothing}${key.revocation_reason ? html` · ${w.t(`reason.${key.revocation_reason}`)}` : nothing}</p>
    ${error ? html`<p class="muted">${error.status === 410 ? w.t('receiptGone') : `${w.t('receiptUnknown')} ${sentenceOf(w, error)}`}</p>` : nothing} ${data ? counts(el, receipt) : nothing}
  </div>`;
};

const counts = (el, receipt) => {
  const { w } = el;
  const { data } = receipt;
  const total = data.confirmed + data.pending;
  const over = isOver(el, data);
  const until = data.may_accept_until && Date.parse(data.may_accept_until);
  const slow = slowest(data);
  return html`
    ${total
      ? html`<div class="field">
          <svg class="meter" viewBox="0 0 100 10" preserveAspectRatio="none" aria-hidden="true">${svg`<rect width=${(100 * data.confirmed) / total} height="10"/>`}</svg>
          <p>${w.t('confirmed', { done: data.confirmed, n: total })}${slow === null ? nothing : html` <span class="muted">· ${w.t('slowest', { n: slow })}</span>`}</p>
        </div>`
      : html`<p>${w.t('noVerifiers')}</p>`}
    ${data.pending && until && !over ? html`<p class="banner" part="banner"><span>${w.t('pendingVerifiers', { n: data.pending, time: w.moment(until) })}</span></p>` : nothing}
    ${over ? html`<p class="banner good" part="banner"><span>${w.t('allConfirmed')}</span></p>` : nothing}
    <p><button type="button" part="button" @click=${() => copyReceipt(el, receipt)}>${w.t('copyReceipt')}</button></p>
  `;
};

const copyReceipt = async (el, { data }) => {
  try {
    await navigator.clipboard.writeText(JSON.stringify(data, null, 2));
    el.announce(el.w.t('receiptCopied'));
  } catch {
    el.announce(el.w.t('notCopied'), true);
  }
};
