// The dialog of a new key. A request whose answer was lost is repeated with the same Idempotency-Key: one key, one secret.
import { html, nothing } from './vendor/lit-core.js';
import { newIdempotencyKey } from './api.js';
import { bodyOf, emptyValues, fields, flawsIn, flawsOf, focusFlaw } from './form.js';
import { busyText, errorBox, panelDialog } from './overlay.js';

export const open = (el, prefill) => {
  const panel = { values: emptyValues(el, prefill), flaws: {}, error: null, busy: false, unknown: false, leaving: false, again: null };
  panel.gate = () => (panel.busy ? 'locked' : 'free');
  panel.view = () => view(el, panel);
  // What may have happened is told in the list, with a way to find out.
  panel.end = () => panel.unknown && el.keepUnsaved(panel.again);
  return panel;
};

const view = (el, panel) => {
  const { w } = el;
  const { environments } = el.options;
  const action = environments.length > 1 || el.environment ? w.t('createIn', { environment: panel.values.environment }) : w.t('create');
  const content = html`
    ${panel.unknown ? unknown(el, panel, 'unknownTitle', 'unknownText') : errorBox(el, panel.error)}
    <fieldset class="stack" ?disabled=${panel.busy || panel.unknown}>${fields(el, panel)}</fieldset>
  `;
  const buttons = html`<button type="button" part="button" ?disabled=${panel.busy} @click=${() => el.dismissPanel()}>${w.t(panel.unknown ? 'close' : 'cancel')}</button>
    <button class="primary" part="button button-primary" ?disabled=${panel.busy}>${busyText(el, panel.busy, 'creating', panel.unknown ? w.t('retry') : action)}</button>`;
  return panelDialog(el, panel, { title: w.t('createKey'), content, buttons, submit: () => submit(el, panel) });
};

/** The box for an answer that was lost. */
export const unknown = (el, panel, title, text) => html`<div class="banner" part="banner" role="alert">
  <span><strong>${el.w.t(title)}</strong> ${el.w.t(text)}${panel.error?.requestId ? html` <code class="mono small">${panel.error.requestId}</code>` : nothing}</span>
</div>`;

const submit = async (el, panel) => {
  if (panel.busy) return;
  if (!panel.unknown) {
    panel.flaws = flawsOf(el, panel.values);
    if (Object.keys(panel.flaws).length) {
      showFlaws(el);
      return;
    }
    const body = bodyOf(el, panel.values);
    const once = newIdempotencyKey();
    panel.again = { id: null, kind: 'create', name: body.name, retry: (api) => api.send('POST', '/api-keys', { body, once }) };
  }
  await attempt(el, panel, (created) => {
    el.emit('created', { id: created.id, name: created.name });
    el.announce(el.w.t('announceCreated', { name: created.name }));
  });
};

const showFlaws = (el) => {
  el.requestUpdate();
  el.updateComplete.then(() => focusFlaw(el));
};

/** Sends the panel's request, and shows the secret of the answer; also for a rotation. */
export const attempt = async (el, panel, done) => {
  panel.busy = true;
  panel.error = null;
  el.requestUpdate();
  try {
    const { data } = await panel.again.retry(el.api);
    panel.busy = false;
    panel.unknown = false;
    await el.revealSecret(data, panel.again, panel.again.kind);
    done(data);
  } catch (error) {
    panel.busy = false;
    el.failed(error);
    panel.error = error;
    panel.unknown = !('uncertain' in error) || error.uncertain;
    if (!panel.unknown) {
      panel.flaws = flawsIn(el, error);
      // Refused for good: the next request is another one.
      panel.again = null;
    }
    showFlaws(el);
  }
};
