// Dialogs and the details of a key: opening, the gate, focus, and their styles.
import { css, html, nothing } from './vendor/lit-core.js';
import { heading, liveRegions } from './list.js';

export { errorBox } from './list.js';

const CROSS = html`<svg viewBox="0 0 16 16" aria-hidden="true"><path d="M4 4l8 8M12 4l-8 8" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" /></svg>`;

/** Opens every dialog that was rendered and is not open, and gives the marked element of what is new the focus. */
export const sync = (el) => {
  if (!el.renderRoot.adoptedStyleSheets.includes(styles.styleSheet)) {
    el.renderRoot.adoptedStyleSheets = [...el.renderRoot.adoptedStyleSheets, styles.styleSheet];
  }
  for (const box of el.renderRoot.querySelectorAll('dialog, .drawer')) {
    if (box.open === false) box.showModal();
    // Lit may use the dialog of one panel for the next.
    const shown = box.className === 'drawer' ? el.drawer : el.panel;
    if (box.shown === shown) continue;
    box.shown = shown;
    (box.querySelector('[data-focus]') ?? box).focus();
  }
};

/**
 * A dialog. `dismiss` closes it or does not. A browser closes a dialog at the second Escape whatever the page says; one
 * that is still wanted is opened again.
 */
const dialog = ({ className, part, label, role, dismiss, wanted, light, live }, content) => html`<dialog
  class=${className}
  part=${part}
  role=${role ?? nothing}
  aria-labelledby=${label}
  closedby="none"
  @cancel=${(event) => {
    event.preventDefault();
    event.stopPropagation();
    dismiss();
  }}
  @keydown=${(event) => {
    if (event.key !== 'Escape' || event.defaultPrevented) return;
    event.preventDefault();
    event.stopPropagation();
    dismiss();
  }}
  @close=${(event) => {
    const closed = event.target;
    if (!closed.isConnected || closed.open || !wanted()) return;
    closed.showModal();
    dismiss();
  }}
  @click=${(event) => {
    if (light && event.target === event.currentTarget) dismiss();
  }}
>
  <div class="sheet">${content} ${live}</div>
</dialog>`;

/** The dialog of a panel: a title, what is in it, and buttons; a form where `submit` is given. */
export const panelDialog = (el, panel, { title, content, buttons, submit, role, wide }) => {
  const inner = html`<div class="top">
      <div class="row" part="dialog-title">${heading(el, 1, title, 'panel-title')}</div>
      <button type="button" class="icon quiet" part="button" aria-label=${el.w.t('close')} @click=${() => el.dismissPanel()}>${CROSS}</button>
    </div>
    <div class="middle" tabindex="0">${content}</div>
    ${buttons ? html`<div class="bottom">${buttons}</div>` : nothing}`;
  const form = submit
    ? html`<form
        novalidate
        @submit=${(event) => {
          event.preventDefault();
          submit();
        }}
      >
        ${inner}
      </form>`
    : inner;
  return dialog({ className: wide ? 'panel wide' : 'panel', part: 'dialog', label: 'panel-title', role, dismiss: () => el.dismissPanel(), wanted: () => el.panel === panel, live: liveRegions(el, true) }, form);
};

/** The details of a key: at the side, full screen where there is no room; with `overlay="inline"` in place of the list. */
export const drawerDialog = (el, drawer, { title, beside, content }) => {
  const dismiss = () => el.select('');
  const inner = html`<div class="top">
      <div class="row" part="dialog-title">${heading(el, el.overlay === 'inline' ? 0 : 1, title, 'drawer-title')} ${beside}</div>
      <button class="icon quiet" part="button" data-focus aria-label=${el.w.t('close')} @click=${dismiss}>${CROSS}</button>
    </div>
    <div class="middle">${content}</div>`;
  if (el.overlay === 'inline') {
    return html`<section class="drawer" part="drawer" aria-labelledby="drawer-title" @keydown=${(event) => event.key === 'Escape' && !event.defaultPrevented && dismiss()}>
      <div class="sheet">${inner}</div>
    </section>`;
  }
  return dialog({ className: 'drawer', part: 'drawer', label: 'drawer-title', dismiss, wanted: () => el.drawer === drawer, light: true, live: el.panel ? nothing : liveRegions(el, true) }, inner);
};

/** Button texts while a request runs. */
export const busyText = (el, busy, working, idle) => (busy ? el.w.t(working) : idle);

/** A group of radio buttons: `choices` as `[value, text, disabled]`. */
export const radios = (name, now, choices, change, across = '') => html`<div class="choices ${across}">
  ${choices.map(
    ([value, text, disabled]) => html`<label class="check"><input type="radio" name=${name} value=${value} .checked=${now === value} ?disabled=${!!disabled} @change=${() => change(value)} /><span>${text}</span></label>`,
  )}
</div>`;

const styles = css`
  dialog { position: fixed; padding: 0; border: 1px solid var(--_border); background: var(--_bg); color: var(--_text); box-shadow: var(--_shadow); font-size: max(1em, 14px); overflow: hidden; max-inline-size: none; max-block-size: none; }
  dialog::backdrop { background: rgb(10 12 18 / 0.5); }
  dialog.panel { margin: auto; inline-size: min(35em, calc(100vw - 2em)); max-block-size: min(56em, calc(100dvh - 2em)); border-radius: calc(var(--_radius) * 1.5); }
  dialog.panel.wide { inline-size: min(46em, calc(100vw - 2em)); }
  dialog.panel[open], dialog.drawer[open] { display: flex; }
  dialog.drawer { inset-block: 0; inset-inline: auto 0; margin: 0; block-size: 100dvh; inline-size: min(47em, 100vw); border-width: 0; border-inline-start-width: 1px; }
  section.drawer { border: 1px solid var(--_border); border-radius: var(--_radius); }
  .sheet, dialog form { display: flex; flex-direction: column; flex: 1; min-block-size: 0; min-inline-size: 0; }
  .sheet { container-type: inline-size; }
  .top { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0.75em; align-items: start; padding-block: 0.9em; padding-inline: 1.4em 0.9em; border-block-end: 1px solid var(--_border); }
  .top .row { min-block-size: 2.4em; gap: 0.3em 0.75em; }
  .top h2 { font-size: 1.15em; font-weight: 650; line-height: 1.3; overflow-wrap: anywhere; }
  .drawer .top h2 { font-size: 1.25em; }
  .middle { padding: 1.2em 1.4em; overflow-y: auto; flex: 1 1 auto; display: grid; grid-auto-rows: max-content; gap: 1.1em; align-content: start; min-block-size: 0; overscroll-behavior: contain; }
  .middle > *, .stack > * { min-inline-size: 0; }
  .middle .banner { margin: 0; }
  .bottom { display: flex; flex-wrap: wrap; gap: 0.6em; justify-content: end; align-items: center; padding: 0.9em 1.4em; border-block-start: 1px solid var(--_border); background: var(--_surface); }
  .stack { display: grid; gap: 1.1em; }
  .field { display: grid; gap: 0.35em; }
  .field > label, legend, .label { font-weight: 600; font-size: 0.9375em; }
  .field > label .muted, legend .muted { font-weight: 400; }
  fieldset .choices, .choices { display: grid; gap: 0.1em; }
  legend { margin-block-end: 0.3em; }
  .choices.across { display: flex; flex-wrap: wrap; gap: 0 1.5em; }
  .hint { color: var(--_muted); font-size: 0.875em; overflow-wrap: anywhere; }
  .wrong { color: var(--_danger); font-size: 0.875em; overflow-wrap: anywhere; }
  [aria-invalid='true'] { border-color: var(--_danger) !important; box-shadow: 0 0 0 1px var(--_danger); }
  .pair { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 1.1em; align-items: start; }
  .scopes { max-block-size: 15em; overflow-y: auto; border: 1px solid var(--_border); border-radius: var(--_radius); padding: 0.4em 0.8em; }
  .scopes h4 { margin-block: 0.5em 0.1em; font-size: 0.8125em; color: var(--_muted); font-weight: 600; }
  .scopes label { display: flex; align-items: baseline; padding-block: 0.15em; }
  .scopes label input { translate: 0 0.15em; }
  .limit { display: grid; grid-template-columns: minmax(0, 2fr) minmax(0, 1fr) minmax(0, 1fr) auto; gap: 0.5em; align-items: end; }
  .limit label { font-size: 0.8125em; color: var(--_muted); display: grid; gap: 0.2em; }
  .limit label input { color: var(--_text); font-size: 1.23em; }
  details > summary { cursor: pointer; font-weight: 600; font-size: 0.9375em; padding-block: 0.3em; }
  details[open] > summary { margin-block-end: 0.8em; }
  .secret { display: block; inline-size: 100%; font-family: var(--_mono); font-size: 1.0625em; line-height: 1.5; padding: 0.75em 0.9em; border: 2px solid var(--_accent); border-radius: var(--_radius); background: var(--_surface); overflow-wrap: anywhere; word-break: break-all; resize: none; field-sizing: content; min-block-size: 4.6em; }
  .secret.masked { -webkit-text-security: disc; }
  pre { margin: 0; padding: 0.75em 0.9em; border-radius: var(--_radius); background: var(--_surface); border: 1px solid var(--_border); overflow-x: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
  .evidence { padding: 0.75em 0.95em; border-radius: var(--_radius); border: 1px solid var(--_border); border-inline-start: 0.25em solid var(--_ok); background: var(--_surface); display: grid; gap: 0.25em; }
  .evidence.used { border-inline-start-color: var(--_warning); }
  .evidence.unknown { border-inline-start-color: var(--_control); }
  .tabs { display: flex; gap: 0.2em; border-block-end: 1px solid var(--_border); margin: -1.2em -1.4em 0; padding-inline: 1em; overflow-x: auto; }
  .tabs button { border: 0; border-radius: 0; background: none; padding-inline: 0.75em; min-block-size: 2.9em; font-weight: 500; color: var(--_muted); border-block-end: 2px solid transparent; flex: none; }
  .tabs button[aria-selected='true'] { color: var(--_text); border-block-end-color: var(--_accent); }
  .tabs button:focus-visible { outline-offset: -3px; }
  .facts { display: grid; grid-template-columns: minmax(7em, 11em) minmax(0, 1fr); gap: 0; }
  .facts > div { display: contents; }
  .facts dt { color: var(--_muted); padding-block: 0.55em; font-size: 0.9375em; }
  .facts dd { padding-block: 0.5em; overflow-wrap: anywhere; }
  .facts > div + div > * { border-block-start: 1px solid var(--_border); }
  .chips { display: flex; flex-wrap: wrap; gap: 0.35em; }
  .chips li { padding: 0.05em 0.55em; border-radius: 0.35em; border: 1px solid var(--_border); background: var(--_surface); font-family: var(--_mono); font-size: 0.8125em; overflow-wrap: anywhere; }
  .segments { display: inline-flex; }
  .segments button { border-radius: 0; margin-inline-start: -1px; }
  .segments button:first-child { border-start-start-radius: var(--_radius); border-end-start-radius: var(--_radius); }
  .segments button:last-child { border-start-end-radius: var(--_radius); border-end-end-radius: var(--_radius); }
  .segments button[aria-pressed='true'] { background: var(--_accent); color: var(--_on-accent); border-color: var(--_accent); position: relative; }
  .chart { display: block; inline-size: 100%; block-size: 9em; overflow: visible; }
  .chart .base { stroke: var(--_border); stroke-width: 1; vector-effect: non-scaling-stroke; }
  .axis { display: flex; justify-content: space-between; font-size: 0.8125em; color: var(--_muted); margin-block-start: 0.2em; }
  figure { margin: 0; }
  .plain th, .plain td { padding: 0.45em 0.75em; font-size: 0.9375em; white-space: nowrap; }
  .plain tbody th { font-weight: 400; color: inherit; }
  .scroll { overflow-x: auto; }
  .note { display: inline-block; color: var(--_warning); font-size: 0.8125em; font-weight: 600; }
  .timeline { display: grid; }
  .timeline li { display: grid; grid-template-columns: 1em minmax(0, 1fr); gap: 0 0.8em; padding-block-end: 1.2em; position: relative; }
  .timeline li::before { content: ''; inline-size: 0.75em; block-size: 0.75em; margin-block-start: 0.4em; border-radius: 50%; background: var(--_accent); border: 2px solid var(--_accent); z-index: 1; }
  .timeline li.ahead::before { background: var(--_bg); }
  .timeline li:not(:last-child)::after { content: ''; position: absolute; inset-inline-start: calc(0.375em - 1px); inset-block: 0.8em -0.4em; inline-size: 2px; background: var(--_border); }
  .timeline li:last-child { padding-block-end: 0; }
  .timeline .what { font-weight: 600; }
  .diff { display: grid; gap: 0.15em; margin-block-start: 0.3em; font-size: 0.875em; overflow-wrap: anywhere; }
  .diff del { color: var(--_muted); }
  .diff ins { text-decoration: none; }
  meter, .meter { display: block; inline-size: 100%; block-size: 0.6em; border-radius: 0.3em; overflow: hidden; background: var(--_border); }
  .meter rect { fill: var(--_ok); }
  .box { border: 1px solid var(--_border); border-radius: var(--_radius); padding: 0.9em 1.1em; display: grid; gap: 0.6em; }
  @container (max-width: 30em) {
    .pair { grid-template-columns: minmax(0, 1fr); }
    .facts { grid-template-columns: minmax(0, 1fr); }
    .facts dt { padding-block-end: 0; }
    .facts dd { padding-block-start: 0.1em; border: 0 !important; }
    .limit { grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); }
    .middle, .bottom { padding-inline: 1em; }
    .top { padding-inline: 1em 0.5em; }
    .tabs { margin-inline: -1em; padding-inline: 0.3em; }
    .tabs button { padding-inline: 0.6em; }
    .bottom > button { flex: 1 1 auto; }
  }
  @media (max-width: 40em) {
    dialog.panel, dialog.panel.wide { inline-size: 100vw; max-block-size: 100dvh; border-radius: calc(var(--_radius) * 1.5) calc(var(--_radius) * 1.5) 0 0; margin-block: auto 0; }
  }
`;
