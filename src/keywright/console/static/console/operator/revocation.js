// The dialog of a revocation of many keys: whose and why, the preview with its counts, then progress and one receipt.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { busyText, errorBox, panelDialog, radios } from '../../element/overlay.js';
import { isOver as isEverywhere, pause } from '../../element/receipt.js';
import { organizationId } from './organizations.js';
import { field } from './paging.js';
import { receipt } from './receipt.js';
import { isOver, targetOf } from './revocations.js';

const REASONS = ['key_compromise', 'privilege_withdrawn', 'cessation_of_operation', 'superseded', 'unspecified'];
const PAUSES = [250, 500, 1000, 1000, 2000];

/** Opens it for a target, `{organization, created_by}`, or for a revocation that exists, `{id}`. */
export const openPanel = (el, { id, organization = '', created_by: creator = '' }) => {
  const panel = { id, organization, creator, reason: REASONS[0], one: null, typed: '', wrong: '', busy: false, error: null, leaving: false, ended: new AbortController() };
  panel.gate = () => (panel.busy ? 'locked' : 'free');
  panel.view = () => view(el, panel);
  panel.end = () => {
    panel.ended.abort();
    if (el.shownPage?.name === 'revocations') el.again();
  };
  if (id) watch(el, panel);
  return panel;
};

// Until all keys are revoked, and no process can accept one of them.
const watch = async (el, panel) => {
  const { signal } = panel.ended;
  for (let turn = 0; !signal.aborted; turn += 1) {
    try {
      panel.one = (await el.api.get(`/bulk-revocations/${panel.id}`, {}, { signal })).data;
      panel.error = null;
    } catch (error) {
      if (signal.aborted) return;
      panel.error = error;
      el.failed(error);
    }
    el.requestUpdate();
    if (panel.one?.status === 'previewed' || panel.error?.status === 404) return;
    if (panel.one?.status === 'done' && isSettled(el, panel.one)) {
      if (turn) el.announce(el.w.t('announceAllRevoked', { n: panel.one.revoked }));
      return;
    }
    await pause(PAUSES[Math.min(turn, PAUSES.length - 1)], signal);
  }
};

const isSettled = (el, { receipt: one }) => !one || isEverywhere(el, one);

const attempt = async (el, panel, act) => {
  if (panel.busy) return;
  panel.busy = true;
  panel.error = null;
  panel.wrong = '';
  el.requestUpdate();
  try {
    await act();
  } catch (error) {
    panel.error = error;
    el.failed(error);
  }
  panel.busy = false;
  el.requestUpdate();
  // What was disabled has lost the focus.
  await el.updateComplete;
  const sheet = el.renderRoot.querySelector('dialog.panel');
  (sheet?.querySelector('[data-next]') ?? sheet?.querySelector('[data-focus]'))?.focus();
};

const preview = (el, panel) =>
  attempt(el, panel, async () => {
    const org = panel.organization ? await organizationId(el, panel.organization) : undefined;
    if (org === null) panel.wrong = 'noOrganization';
    else if (!org && !panel.creator) panel.wrong = 'targetMissing';
    if (panel.wrong) return;
    const { data } = await el.api.send('POST', '/bulk-revocations', { body: { ...(org ? { org_id: org } : {}), ...(panel.creator ? { created_by: panel.creator } : {}), reason: panel.reason } });
    panel.one = data;
    panel.id = data.id;
    el.announce(counts(el.w, data));
  });

const start = (el, panel) => {
  if (panel.typed.trim() !== String(panel.one.keys)) {
    panel.wrong = 'typeCountWrong';
    el.requestUpdate();
    el.updateComplete.then(() => el.renderRoot.getElementById('in-count')?.focus());
    return;
  }
  attempt(el, panel, async () => {
    panel.one = (await el.api.send('PUT', `/bulk-revocations/${panel.id}/start`)).data;
    watch(el, panel);
  });
};

const counts = (w, { keys, organizations }) => `${w.t('keysCount', { n: keys })} ${w.t('inOrganizations', { n: organizations })}`;

const view = (el, panel) => {
  const { w } = el;
  if (!panel.one && panel.id) return panelDialog(el, panel, { title: w.t('revokeMany'), content: html`${errorBox(el, panel.error)}${panel.error ? nothing : html`<p class="muted" role="status">${w.t('loading')}</p>`}`, buttons: closing(el, 'close') });
  if (!panel.one) return asking(el, panel);
  return panel.one.status === 'previewed' ? confirming(el, panel) : progress(el, panel);
};

const closing = (el, word, type = '') => html`<button type="button" class=${type} data-focus data-next @click=${() => el.dismissPanel()}>${el.w.t(word)}</button>`;

const asking = (el, panel) => {
  const { w } = el;
  const input = (name, value, set) => html`<input id=${`in-${name}`} maxlength="255" spellcheck="false" autocomplete="off" autocapitalize="off" ?disabled=${panel.busy} .value=${value} @input=${(event) => set(event.target.value.trim())} />`;
  const content = html`
    ${errorBox(el, panel.error)} ${panel.wrong ? html`<p class="wrong" role="alert">${w.t(panel.wrong)}</p>` : nothing}
    <p>${w.t('revokeManyText')}</p>
    ${field('many-organization', w.t('organizationId'), input('many-organization', panel.organization, (value) => (panel.organization = value)))}
    ${field('many-creator', w.t('creator'), input('many-creator', panel.creator, (value) => (panel.creator = value)), w.t('creatorHint'))}
    <fieldset ?disabled=${panel.busy}><legend>${w.t('reason')}</legend>${radios('many-reason', panel.reason, REASONS.map((one) => [one, w.t(`reason.${one}`)]), (reason) => {
      panel.reason = reason;
      el.requestUpdate();
    })}</fieldset>
  `;
  const buttons = html`<button type="button" data-focus ?disabled=${panel.busy} @click=${() => el.dismissPanel()}>${w.t('cancel')}</button><button class="primary" ?disabled=${panel.busy}>${busyText(el, panel.busy, 'counting', w.t('preview'))}</button>`;
  return panelDialog(el, panel, { title: w.t('revokeMany'), content, buttons, submit: () => preview(el, panel) });
};

const confirming = (el, panel) => {
  const { w } = el;
  const { one } = panel;
  const over = isOver(el, one);
  const content = html`
    ${errorBox(el, panel.error)}
    <div class="evidence used"><p><strong>${counts(w, one)}</strong></p><p>${targetOf(w, one)}</p><p>${w.t('reason')}: ${w.t(`reason.${one.reason}`)}</p></div>
    <p>${over ? w.t('previewOver') : w.t('previewText', { time: w.clock(Date.parse(one.start_before)) })}</p>
    ${over || !one.keys
      ? nothing
      : html`<div class="field">
          <label for="in-count">${w.t('typeCount', { n: one.keys })}</label>
          <input id="in-count" data-next inputmode="numeric" autocomplete="off" ?disabled=${panel.busy} aria-invalid=${panel.wrong ? 'true' : 'false'} .value=${panel.typed} @input=${(event) => (panel.typed = event.target.value)} />
          ${panel.wrong ? html`<p class="wrong" role="alert">${w.t(panel.wrong, { n: one.keys })}</p>` : nothing}
        </div>`}
  `;
  const buttons = over || !one.keys ? closing(el, 'close') : html`<button type="button" data-focus ?disabled=${panel.busy} @click=${() => el.dismissPanel()}>${w.t('cancel')}</button><button class="danger" ?disabled=${panel.busy}>${busyText(el, panel.busy, 'revoking', w.t('revokeCount', { n: one.keys }))}</button>`;
  return panelDialog(el, panel, { title: w.t('revokeMany'), role: 'alertdialog', content, buttons, submit: () => (over || !one.keys ? el.dismissPanel() : start(el, panel)) });
};

const progress = (el, panel) => {
  const { w } = el;
  const { one } = panel;
  const done = one.status === 'done';
  const whole = Math.max(one.keys, one.revoked, 1);
  const content = html`
    ${errorBox(el, panel.error)}
    <p>${targetOf(w, one)} · ${w.t(`reason.${one.reason}`)}</p>
    <div class="field">
      <progress max=${whole} .value=${done ? whole : one.revoked} aria-label=${w.t('revokedSoFar')}></progress>
      <p role="status"><strong>${w.t(done ? 'revokedAll' : 'revokedSome', { n: one.revoked, keys: one.keys })}</strong></p>
      ${done ? nothing : html`<p class="muted">${w.t('goesOn')}</p>`}
    </div>
    <p class="small muted">${w.t('startedBy', { who: one.actor.subject, time: w.moment(Date.parse(one.started_at)) })}</p>
    ${one.receipt ? html`<div class="box"><p class="label">${w.t('receiptOfAll')}</p>${receipt(el, { key: { revoked_at: one.receipt.revoked_at, revocation_reason: one.reason }, data: one.receipt, error: null })}</div>` : nothing}
  `;
  return panelDialog(el, panel, { title: w.t(done ? 'revokedAll' : 'bulk.running', { n: one.revoked }), content, buttons: closing(el, 'close', 'primary') });
};
