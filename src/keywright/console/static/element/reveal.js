// The private key, shown once. It is in the value of one text field, and nowhere else.
import { html, nothing } from './vendor/lit-core.js';
import { panelDialog } from './overlay.js';

export const open = (el, key, secret, again, kind) => {
  const panel = { key, secret, again, kind, saved: false, how: '', failed: false, leaving: false, masked: el.reveal === 'masked' };
  panel.gate = () => (panel.saved ? 'free' : 'ask');
  panel.view = () => view(el, panel);
  panel.end = () => {
    const field = el.renderRoot.querySelector('.secret');
    if (field) field.value = '';
    panel.secret = '';
    if (!panel.saved) el.keepUnsaved(panel.again);
    panel.again = null;
  };
  return panel;
};

const view = (el, panel) => {
  const { w } = el;
  const content = panel.leaving ? leaving(el) : shown(el, panel);
  const buttons = panel.leaving
    ? html`<button class="danger" part="button button-danger" @click=${() => el.dismissPanel(true)}>${w.t('leave')}</button>
        <button class="primary" part="button button-primary" data-back @click=${() => stay(el, panel)}>${w.t('back')}</button>`
    : html`<label class="check"><input type="checkbox" .checked=${panel.saved} @change=${(event) => mark(el, panel, event.target.checked, '')} />${w.t('stored')}</label>
        <span class="push"></span>
        <button class="primary" part="button button-primary" ?disabled=${!panel.saved} aria-describedby="reveal-text" @click=${() => el.dismissPanel()}>${w.t('done')}</button>`;
  return panelDialog(el, panel, {
    title: w.t(panel.leaving ? 'leaveTitle' : 'revealTitle'),
    role: panel.leaving ? 'alertdialog' : undefined,
    content,
    buttons,
  });
};

const leaving = (el) => html`<p>${el.w.t('leaveText')}</p>`;

const stay = async (el, panel) => {
  panel.leaving = false;
  el.requestUpdate();
  await el.updateComplete;
  el.renderRoot.querySelector('[data-copy]')?.focus();
};

const shown = (el, panel) => {
  const { w } = el;
  const { key, secret } = panel;
  const variable = `$${el.envName}`;
  return html`
    <p id="reveal-text">${w.t('revealText')}${old(el, panel)}</p>
    <div class="field" part="secret">
      <div class="row">
        <label for="secret" class="label">${w.t('privateKey', { name: key.name, n: secret.length })}</label>
        <button type="button" class="link push" @click=${() => hide(el, panel)}>${w.t(panel.masked ? 'show' : 'hide')}</button>
      </div>
      <textarea
        id="secret"
        class="secret ${panel.masked ? 'masked' : ''} ph-no-capture fs-exclude"
        readonly
        rows="2"
        spellcheck="false"
        autocomplete="off"
        autocapitalize="off"
        translate="no"
        data-1p-ignore
        data-lpignore="true"
        data-sentry-mask
        data-dd-privacy="mask"
        data-clarity-mask="true"
        data-hj-suppress
        .value=${secret}
        @focus=${(event) => event.target.select()}
        @copy=${(event) => copiedByHand(el, panel, event)}
      ></textarea>
    </div>
    <div class="row">
      <button class="primary" part="button button-primary" data-focus data-copy @click=${() => copy(el, panel)}>${w.t('copy')}</button>
      ${el.downloads === 'off' ? nothing : html`<button part="button" @click=${() => download(el, panel)}>${w.t('download')}</button>`}
      <span role="status" class="state-active">${panel.how ? `✓ ${panel.how}` : ''}</span>
    </div>
    ${panel.failed ? html`<p class="wrong" role="alert">${w.t('copyFailed')}</p>` : nothing}
    <details>
      <summary>${w.t('useIt')}</summary>
      <pre class="mono">curl -H "Authorization: Bearer ${variable}" https://…</pre>
    </details>
  `;
};

const old = (el, { key, kind }) => {
  const { w } = el;
  const former = key.secrets[1];
  if (kind !== 'rotate') return nothing;
  if (!former) return html` ${w.t('revealRotatedNow')}`;
  const idle = former.retire_when_idle_seconds;
  return html` ${w.t('revealRotated', { time: w.both(Date.parse(former.retires_at)) })} ${idle ? w.t('revealIdle', { time: w.duration(idle) }) : nothing}`;
};

const mark = (el, panel, saved, how) => {
  panel.saved = saved;
  panel.how = how ? `${how} ${el.w.clock(el.now)}` : '';
  panel.failed = false;
  el.requestUpdate();
};

const hide = (el, panel) => {
  panel.masked = !panel.masked;
  el.requestUpdate();
};

const field = (el) => el.renderRoot.querySelector('.secret');

const copy = async (el, panel) => {
  try {
    await navigator.clipboard.writeText(panel.secret);
    mark(el, panel, true, el.w.t('copied'));
  } catch {
    copyByCommand(el, panel);
  }
};

// Without the permission, or on a page without TLS. The `copy` event of the field says whether it worked.
const copyByCommand = (el, panel) => {
  const before = panel.saved;
  panel.saved = false;
  field(el).focus();
  field(el).select();
  const worked = document.execCommand?.('copy') && panel.saved;
  if (worked) return;
  panel.saved = before;
  panel.failed = true;
  el.requestUpdate();
};

// Only with the whole key selected.
const copiedByHand = (el, panel, event) => {
  const { selectionStart, selectionEnd, value } = event.target;
  if (selectionStart !== 0 || selectionEnd !== value.length) return;
  // A masked field would give dots.
  event.preventDefault();
  event.clipboardData.setData('text/plain', value);
  mark(el, panel, true, el.w.t('copied'));
};

const download = (el, panel) => {
  const name = panel.key.name.toLowerCase().replace(/[^a-z0-9]+/g, '-').replace(/^-|-$/g, '') || 'key';
  const url = URL.createObjectURL(new Blob([`${el.envName}=${panel.secret}\n`], { type: 'text/plain' }));
  const link = document.createElement('a');
  link.href = url;
  link.download = `${name}.env`;
  link.click();
  URL.revokeObjectURL(url);
  mark(el, panel, true, el.w.t('downloaded'));
};
