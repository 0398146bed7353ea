// The dialogs of a verifier: a new one, whose credential the element's own reveal shows, and its revocation.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { busyText, errorBox, panelDialog } from '../../element/overlay.js';
import { open as reveal } from '../../element/reveal.js';

const NAME = /^[A-Za-z0-9._-]{1,64}$/;

/** Opens the dialog of a new verifier, or of the revocation of `verifier`. */
export const openPanel = (el, kind, verifier) => {
  const panel = { verifier, name: '', wrong: '', busy: false, error: null, leaving: false };
  panel.gate = () => (panel.busy ? 'locked' : 'free');
  panel.view = () => (kind === 'create' ? creating(el, panel) : revoking(el, panel));
  return panel;
};

const attempt = async (el, panel, act) => {
  if (panel.busy) return;
  panel.busy = true;
  panel.error = null;
  el.requestUpdate();
  try {
    await act();
  } catch (error) {
    panel.error = error;
    el.failed(error);
    // It may exist, and nobody has its credential: the list shows it.
    if (error.uncertain) el.again();
  }
  panel.busy = false;
  el.requestUpdate();
  // What was disabled has lost the focus.
  if (panel.error) el.updateComplete.then(() => el.renderRoot.querySelector('dialog.panel [data-focus]')?.focus());
};

const create = (el, panel) => {
  panel.wrong = NAME.test(panel.name) ? '' : 'nameOfVerifier';
  if (panel.wrong) {
    el.requestUpdate();
    el.updateComplete.then(() => el.renderRoot.getElementById('in-verifier')?.focus());
    return;
  }
  attempt(el, panel, async () => {
    const { data } = await el.api.send('POST', '/verifiers', { body: { name: panel.name } });
    const { credential, ...verifier } = data;
    // A credential cannot be asked for again, so there is nothing to keep but the mark that it is not saved.
    el.showPanel(reveal(el, { ...verifier, secrets: [] }, credential, {}, 'create'));
    el.announce(el.w.t('announceCreated', { name: verifier.name }));
    el.again();
  });
};

const creating = (el, panel) => {
  const { w } = el;
  const content = html`
    ${errorBox(el, panel.error, panel.error?.uncertain ? html`<span>${w.t('verifierUnknown')}</span>` : nothing)}
    <div class="field">
      <label for="in-verifier">${w.t('name')}</label>
      <input id="in-verifier" data-focus maxlength="64" spellcheck="false" autocomplete="off" autocapitalize="off" ?disabled=${panel.busy} aria-invalid=${panel.wrong ? 'true' : 'false'} aria-describedby="hint-verifier" .value=${panel.name} @input=${(event) => (panel.name = event.target.value.trim())} />
      <p class=${panel.wrong ? 'wrong' : 'hint'} id="hint-verifier" role=${panel.wrong ? 'alert' : nothing}>${w.t('nameOfVerifier')}</p>
    </div>
  `;
  const buttons = html`<button type="button" ?disabled=${panel.busy} @click=${() => el.dismissPanel()}>${w.t('cancel')}</button><button class="primary" ?disabled=${panel.busy}>${busyText(el, panel.busy, 'creating', w.t('createVerifier'))}</button>`;
  return panelDialog(el, panel, { title: w.t('newVerifier'), content, buttons, submit: () => create(el, panel) });
};

const revoke = (el, panel) =>
  attempt(el, panel, async () => {
    await el.api.send('PUT', `/verifiers/${panel.verifier.name}/revoke`);
    panel.busy = false;
    el.dismissPanel(true);
    el.announce(el.w.t('announceRevoked', { name: panel.verifier.name }));
    el.again();
  });

const revoking = (el, panel) => {
  const { w } = el;
  const content = html`${errorBox(el, panel.error)}<p>${w.t('revokeVerifierText')}</p>`;
  const buttons = html`<button type="button" data-focus ?disabled=${panel.busy} @click=${() => el.dismissPanel()}>${w.t('cancel')}</button><button class="danger" ?disabled=${panel.busy}>${busyText(el, panel.busy, 'revoking', w.t('revokeVerifier'))}</button>`;
  return panelDialog(el, panel, { title: w.t('revokeTitle', { name: panel.verifier.name }), role: 'alertdialog', content, buttons, submit: () => revoke(el, panel) });
};
