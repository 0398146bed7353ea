// Receipts with the names of processes, which operators may read.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { panelDialog } from '../../element/overlay.js';
import { receiptView } from '../../element/receipt.js';

/** Adds the names to the receipt of the element's own dialog of a revocation. */
export const follow = (el, panel) => {
  const plain = panel.view;
  panel.view = () => (panel.receipt ? named(el, panel) : plain());
  return panel;
};

const named = (el, panel) =>
  panelDialog(el, panel, {
    title: el.w.t('revokedTitle', { name: panel.key.name }),
    content: receipt(el, panel.receipt),
    buttons: html`<button class="primary" data-done part="button button-primary" @click=${() => el.dismissPanel()}>${el.w.t('done')}</button>`,
  });

/** A receipt, and each process of it. `one` is that of the element: `{key, data, error}`. */
export const receipt = (el, one) => html`<div class="stack">${receiptView(el, one)}${processes(el, one.data)}</div>`;

const processes = (el, data) => {
  const { w } = el;
  if (!data?.verifiers.length) return nothing;
  return html`<details open>
    <summary>${w.t('processes')}</summary>
    <div class="frame scroll" tabindex="0" role="group" aria-label=${w.t('processes')}>
      <table class="plain">
        <thead><tr><th scope="col">${w.t('process')}</th><th scope="col">${w.t('kind')}</th><th scope="col" class="end">${w.t('acknowledged')}</th></tr></thead>
        <tbody>
          ${data.verifiers.map((one) => html`<tr><th scope="row" class="mono">${one.name}</th><td>${w.t(`kind.${one.kind}`)}</td><td class="end">${acknowledged(w, data, one)}</td></tr>`)}
        </tbody>
      </table>
    </div>
  </details>`;
};

const acknowledged = (w, { revoked_at: at }, one) => {
  if (one.confirmed_at) return w.t('afterMs', { n: Math.max(0, Date.parse(one.confirmed_at) - Date.parse(at)) });
  return one.may_accept_until ? w.t('notYetUntil', { time: w.clock(Date.parse(one.may_accept_until)) }) : w.t('notYet');
};
