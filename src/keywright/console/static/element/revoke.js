// Ending a key: disable, revoke, delete. Evidence of its use first, and after a revocation the receipt.
import { html, nothing } from './vendor/lit-core.js';
import { lastFour } from './format.js';
import { environment, shortDisplay } from './list.js';
import { busyText, errorBox, panelDialog, radios } from './overlay.js';
import { follow, receiptView } from './receipt.js';

const DAY = 86400000;
const REASONS = ['cessation_of_operation', 'superseded', 'privilege_withdrawn', 'key_compromise'];

export const open = (el, key, kind) => {
  const panel = { kind, key, usage: undefined, reason: REASONS[0], typed: '', wrong: false, error: null, busy: false, leaving: false, receipt: null, ended: new AbortController() };
  panel.gate = () => (panel.busy ? 'locked' : 'free');
  panel.view = () => (panel.receipt ? receiptPanel(el, panel) : view(el, panel));
  panel.end = () => panel.ended.abort();
  if (kind !== 'delete') look(el, panel);
  else panel.usage = null;
  return panel;
};

const look = async (el, panel) => {
  try {
    const { data } = await el.api.get(`/api-keys/${panel.key.id}/usage`, { period: 'hour', limit: 1 }, { signal: panel.ended.signal });
    panel.usage = { last: data.last_used_at, count: data.counts.reduce((sum, one) => sum + one.count, 0), source: data.sources[0] ?? null };
  } catch {
    panel.usage = null;
  }
  el.requestUpdate();
};

const idleFor = (el, { usage }) => (usage?.last ? el.now - Date.parse(usage.last) : Infinity);

// As much friction as the evidence asks for: none for an idle key, none where speed matters.
const mustType = (el, panel) => panel.kind === 'revoke' && panel.reason !== 'key_compromise' && panel.key.status !== 'expired' && (panel.usage === null || idleFor(el, panel) < 7 * DAY);

const evidence = (el, panel) => {
  const { w } = el;
  const { usage, kind } = panel;
  if (usage === undefined) return html`<div class="evidence unknown" role="status"><p>${w.t('looking')}</p></div>`;
  if (usage === null) return html`<div class="evidence used"><p><strong>${w.t('cannotTell')}</strong></p></div>`;
  const idle = idleFor(el, panel);
  if (idle === Infinity) return html`<div class="evidence"><p>${w.t('neverUsedSafe')}</p></div>`;
  const days = Math.floor(idle / DAY);
  if (days >= 7) return html`<div class="evidence"><p>${w.t(kind === 'revoke' ? 'idle' : 'idleDisable', { time: w.duration(days * 86400) })}</p></div>`;
  const ago = w.ago(Date.parse(usage.last), el.now);
  const source = usage.source && [usage.source.network, usage.source.agent && `(${usage.source.agent})`].filter(Boolean).join(' ');
  return html`<div class="evidence used">
    <p><strong>${source ? w.t('inUseFrom', { time: ago, source }) : w.t('inUse', { time: ago })}</strong></p>
    ${usage.count ? html`<p>${w.t('inUseCount', { n: usage.count })}</p>` : nothing}
    ${el.may('rotate') && panel.key.status === 'active' ? html`<p><button type="button" class="link" @click=${() => el.act('rotate', panel.key)}>${w.t('rotateInstead')}</button> <span class="muted">${w.t('rotateInsteadText')}</span></p>` : nothing}
  </div>`;
};

const view = (el, panel) => {
  const { w } = el;
  const { kind, key, busy } = panel;
  const set = (patch) => {
    Object.assign(panel, patch);
    el.requestUpdate();
  };
  const content = html`
    ${errorBox(el, panel.error)}
    <p class="row"><span class="mono">${shortDisplay(key)}</span> ${environment(key)}</p>
    ${kind === 'delete' ? nothing : evidence(el, panel)}
    <p>${w.t({ revoke: 'revokeFinal', disable: 'disableText', delete: 'deleteText' }[kind])}</p>
    ${kind === 'revoke'
      ? html`<fieldset ?disabled=${busy} part="field">
            <legend>${w.t('reason')}</legend>
            ${radios('reason', panel.reason, REASONS.map((one) => [one, w.t(`reason.${one}`)]), (reason) => set({ reason, wrong: false }))}
          </fieldset>
          ${mustType(el, panel) ? confirmation(el, panel, set) : nothing}`
      : nothing}
  `;
  const [working, idle] = { revoke: ['revoking', 'revokeKey'], disable: ['disabling', 'disableKey'], delete: ['deleting', 'deleteKey'] }[kind];
  const buttons = html`<button type="button" part="button" data-focus ?disabled=${busy} @click=${() => el.dismissPanel()}>${w.t('cancel')}</button>
    <button class=${kind === 'disable' ? 'primary' : 'danger'} part="button button-danger" ?disabled=${busy || panel.usage === undefined}>${busyText(el, busy, working, w.t(idle))}</button>`;
  return panelDialog(el, panel, { title: w.t(`${kind}Title`, { name: key.name }), role: 'alertdialog', content, buttons, submit: () => submit(el, panel) });
};

const confirmation = (el, panel, set) => {
  const { w } = el;
  return html`<div class="field">
    <label for="four">${w.t('typeFour')}</label>
    <input id="four" part="input" class="mono" autocomplete="off" autocapitalize="off" spellcheck="false" translate="no" ?disabled=${panel.busy} aria-invalid=${panel.wrong ? 'true' : 'false'} aria-describedby="four-hint" .value=${panel.typed} @input=${(event) => set({ typed: event.target.value, wrong: false })} />
    <p class=${panel.wrong ? 'wrong' : 'hint'} id="four-hint" role=${panel.wrong ? 'alert' : nothing}>${panel.wrong ? `${w.t('typeFourWrong')} ` : ''}${w.t('typeFourHint', { last: lastFour(panel.key) })}</p>
  </div>`;
};

const submit = async (el, panel) => {
  if (panel.busy || panel.usage === undefined) return;
  if (mustType(el, panel) && panel.typed.trim() !== lastFour(panel.key)) {
    panel.wrong = true;
    el.requestUpdate();
    el.updateComplete.then(() => el.renderRoot.getElementById('four')?.focus());
    return;
  }
  panel.busy = true;
  panel.error = null;
  el.requestUpdate();
  try {
    await ACTS[panel.kind](el, panel);
  } catch (error) {
    panel.error = error;
    el.failed(error);
    // A disabled button has lost the focus.
    el.updateComplete.then(() => el.renderRoot.querySelector('dialog.panel [data-focus]')?.focus());
  } finally {
    panel.busy = false;
    el.requestUpdate();
  }
};

const closed = (el, panel) => {
  panel.busy = false;
  el.dismissPanel(true);
};

const ACTS = {
  async revoke(el, panel) {
    const { data } = await el.api.send('PUT', `/api-keys/${panel.key.id}/revoke`, { body: { reason: panel.reason } });
    panel.receipt = { key: data, data: null, error: null };
    el.emit('revoked', { id: data.id, name: data.name });
    el.announce(el.w.t('announceRevoked', { name: data.name }));
    el.updateComplete.then(() => el.renderRoot.querySelector('[data-done]')?.focus());
    follow(el, panel.receipt, panel.ended.signal);
    el.put(data);
  },
  async disable(el, panel) {
    const { data } = await el.api.send('PATCH', `/api-keys/${panel.key.id}`, { body: { enabled: false } });
    el.emit('updated', { id: data.id, name: data.name });
    closed(el, panel);
    el.announce(el.w.t('announceDisabled', { name: data.name }));
    el.put(data);
  },
  async delete(el, panel) {
    const { id, name } = panel.key;
    await el.api.send('DELETE', `/api-keys/${id}`);
    el.emit('deleted', { id, name });
    closed(el, panel);
    el.announce(el.w.t('announceDeleted', { name }));
    el.drop(id);
  },
};

const receiptPanel = (el, panel) =>
  panelDialog(el, panel, {
    title: el.w.t('revokedTitle', { name: panel.key.name }),
    content: receiptView(el, panel.receipt),
    buttons: html`<button class="primary" data-done part="button button-primary" @click=${() => el.dismissPanel()}>${el.w.t('done')}</button>`,
  });
