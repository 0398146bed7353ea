// The dialog of a rotation: when does the old secret end?
import { html } from './vendor/lit-core.js';
import { newIdempotencyKey } from './api.js';
import { attempt, unknown } from './create.js';
import { busyText, errorBox, panelDialog, radios } from './overlay.js';
import { environment, shortDisplay } from './list.js';

const HOUR = 3600;
const CHOICES = {
  quiet: { retire_when_idle_seconds: HOUR },
  86400: { overlap_seconds: 86400 },
  604800: { overlap_seconds: 604800 },
  0: { overlap_seconds: 0 },
};

export const open = (el, key) => {
  const panel = { key, choice: 'quiet', error: null, busy: false, unknown: false, leaving: false, again: null };
  panel.gate = () => (panel.busy ? 'locked' : 'free');
  panel.view = () => view(el, panel);
  panel.end = () => panel.unknown && el.keepUnsaved(panel.again);
  return panel;
};

const view = (el, panel) => {
  const { w } = el;
  const { key } = panel;
  const choices = [['quiet', w.t('overlapQuiet')], ['86400', w.inDays(1)], ['604800', w.inDays(7)], ['0', w.t('overlapNow')]];
  const choose = (choice) => {
    panel.choice = choice;
    el.requestUpdate();
  };
  const content = html`
    ${panel.unknown ? unknown(el, panel, 'unknownRotation', 'unknownRotationText') : errorBox(el, panel.error)}
    <p class="row"><span class="mono">${shortDisplay(key)}</span> ${environment(key)}</p>
    <p>${w.t('rotateText')}</p>
    <fieldset ?disabled=${panel.busy || panel.unknown} part="field">
      <legend>${w.t('overlap')}</legend>
      ${radios('overlap', panel.choice, choices, choose)}
    </fieldset>
  `;
  const buttons = html`<button type="button" part="button" ?disabled=${panel.busy} @click=${() => el.dismissPanel()}>${w.t(panel.unknown ? 'close' : 'cancel')}</button>
    <button class="primary" data-focus part="button button-primary" ?disabled=${panel.busy}>${busyText(el, panel.busy, 'rotating', w.t(panel.unknown ? 'retry' : 'rotateKey'))}</button>`;
  return panelDialog(el, panel, { title: w.t('rotateTitle', { name: key.name }), content, buttons, submit: () => submit(el, panel) });
};

const submit = async (el, panel) => {
  if (panel.busy) return;
  const { key } = panel;
  if (!panel.unknown) {
    const body = CHOICES[panel.choice];
    const once = newIdempotencyKey();
    panel.again = { id: null, kind: 'rotate', name: key.name, org: key.org_external_id, retry: (api) => api.send('POST', `/api-keys/${key.id}/rotate`, { body, once }) };
  }
  await attempt(el, panel, () => el.emit('rotated', { id: key.id, name: key.name }));
};
