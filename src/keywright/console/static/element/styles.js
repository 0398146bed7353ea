// What the list needs to be painted; overlay.js has the rest.
import { css } from './vendor/lit-core.js';

export const styles = css`
  :host {
    display: block !important;
    --_accent: var(--kw-accent, light-dark(#2f54c8, #9db4ff));
    --_on-accent: var(--kw-on-accent, var(--_readable, light-dark(#fff, #0c1330)));
    --_bg: var(--kw-bg, light-dark(#fff, #14161b));
    --_surface: var(--kw-surface, light-dark(#f6f7f9, #1c1f26));
    --_text: var(--kw-text, light-dark(#1a1d24, #e8eaef));
    --_muted: var(--kw-muted, light-dark(#5a6170, #a3abbb));
    --_border: var(--kw-border, light-dark(#dfe2e8, #31363f));
    --_control: light-dark(#868d9b, #6f7787);
    --_danger: var(--kw-danger, light-dark(#b3261e, #ff9a8f));
    --_on-danger: light-dark(#fff, #2d0703);
    --_warning: var(--kw-warning, light-dark(#855200, #f0b95a));
    --_ok: var(--kw-ok, light-dark(#1b6e3c, #74d39a));
    --_radius: var(--kw-radius, 0.5em);
    --_mono: var(--kw-font-mono, ui-monospace, SFMono-Regular, Menlo, Consolas, 'Liberation Mono', monospace);
    --_space: var(--kw-space, 1em);
    --_focus: var(--kw-focus, var(--_accent));
    --_shadow: var(--kw-shadow, 0 0.6em 2em rgb(0 0 0 / 0.22));
    color: var(--_text);
    font-family: var(--kw-font, inherit);
    text-align: start;
  }
  :host([hidden]) { display: none !important; }
  .root { container-type: inline-size; font-size: max(1em, 14px); line-height: 1.5; color: var(--_text); background: var(--_bg); }
  *, *::before { box-sizing: border-box; }
  h2, h3, h4, p, ul, ol, dl, dd, fieldset, legend { margin: 0; padding: 0; border: 0; min-width: 0; list-style: none; }
  button, input, select, textarea { font: inherit; color: inherit; letter-spacing: inherit; margin: 0; }
  [hidden] { display: none !important; }
  :focus-visible { outline: 2px solid var(--_focus); outline-offset: 2px; }
  .visually-hidden { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); white-space: nowrap; }
  .muted { color: var(--_muted); }
  .small { font-size: 0.875em; }
  .mono { font-family: var(--_mono); font-size: 0.875em; overflow-wrap: anywhere; }
  .nowrap { white-space: nowrap; }
  .row { display: flex; flex-wrap: wrap; gap: 0.5em; align-items: center; }
  .push { margin-inline-start: auto; }

  button { display: inline-flex; align-items: center; justify-content: center; gap: 0.4em; min-block-size: 2.4em; padding: 0.25em 0.9em; border: 1px solid var(--_control); border-radius: var(--_radius); background: var(--_bg); font-weight: 500; cursor: pointer; }
  button:hover:not(:disabled, .primary, .danger) { background: var(--_surface); }
  button:disabled { cursor: not-allowed; color: var(--_muted); border-color: var(--_border); background: var(--_surface); }
  button.primary { background: var(--_accent); border-color: var(--_accent); color: var(--_on-accent); }
  button.danger { background: var(--_danger); border-color: var(--_danger); color: var(--_on-danger); }
  button.primary:hover:not(:disabled), button.danger:hover:not(:disabled) { filter: brightness(1.08); }
  button.primary:disabled, button.danger:disabled { background: var(--_surface); color: var(--_muted); border-color: var(--_border); }
  button.quiet { border-color: transparent; background: none; }
  button.quiet:hover:not(:disabled) { background: var(--_surface); }
  button.link { min-block-size: 1.7em; padding: 0; border: 0; background: none; color: var(--_accent); text-decoration: underline; text-underline-offset: 0.2em; }
  button.icon { inline-size: 2.4em; padding: 0; }
  button svg { inline-size: 1.1em; block-size: 1.1em; flex: none; }

  input:not([type='checkbox'], [type='radio']), select, textarea { inline-size: 100%; min-block-size: 2.4em; padding: 0.3em 0.65em; border: 1px solid var(--_control); border-radius: var(--_radius); background: var(--_bg); }
  select { inline-size: auto; max-inline-size: 100%; padding-inline-end: 0.3em; }
  textarea { resize: vertical; line-height: 1.45; }
  ::placeholder { color: var(--_muted); opacity: 1; }
  input[type='checkbox'], input[type='radio'] { inline-size: 1.1em; block-size: 1.1em; accent-color: var(--_accent); flex: none; margin: 0; }
  label.check { display: inline-flex; align-items: center; gap: 0.5em; min-block-size: 2em; cursor: pointer; }

  header { display: flex; flex-wrap: wrap; gap: 0.75em; align-items: center; margin-block-end: var(--_space); }
  header h2 { font-size: 1.35em; font-weight: 650; line-height: 1.25; letter-spacing: -0.01em; }
  .toolbar { display: flex; flex-wrap: wrap; gap: 0.6em 0.75em; align-items: center; margin-block-end: 0.75em; }
  .search { position: relative; flex: 1 1 14em; max-inline-size: 24em; }
  .search svg { position: absolute; inset-inline-start: 0.7em; inset-block-start: 50%; translate: 0 -50%; inline-size: 1em; color: var(--_muted); pointer-events: none; }
  .search input { padding-inline-start: 2.1em; }
  .search input::-webkit-search-cancel-button { cursor: pointer; }

  .narrow:not([type='checkbox']) { inline-size: 14em; flex: 0 1 auto; max-inline-size: 100%; }

  .frame { border: 1px solid var(--_border); border-radius: var(--_radius); overflow: hidden; }
  table { inline-size: 100%; border-collapse: collapse; }
  th { font-weight: 500; font-size: 0.8125em; color: var(--_muted); text-align: start; white-space: nowrap; }
  thead th { background: var(--_surface); border-block-end: 1px solid var(--_border); }
  th, td { padding: 0.6em 0.75em; vertical-align: middle; }
  tbody tr + tr td, tbody tr + tr th { border-block-start: 1px solid var(--_border); }
  /* With fixed columns a long list is laid out in one pass, and nothing moves when it comes. */
  .keys { table-layout: fixed; }
  .keys .who { inline-size: 28%; }
  .keys .code { inline-size: 22%; }
  .keys .week { inline-size: 9.4em; }
  .keys .acts { inline-size: 5em; }
  .keys tbody tr:hover { background: var(--_surface); }
  .keys td { font-variant-numeric: tabular-nums; }
  .keys tbody .who { font-weight: 400; font-size: 1em; color: inherit; white-space: normal; }
  .who button { justify-content: start; text-align: start; font-weight: 600; color: var(--_text); text-decoration: none; overflow-wrap: anywhere; white-space: normal; }
  .who button:hover { text-decoration: underline; color: var(--_accent); }
  .who p { color: var(--_muted); font-size: 0.875em; overflow-wrap: anywhere; display: -webkit-box; -webkit-box-orient: vertical; -webkit-line-clamp: 2; overflow: hidden; }
  .end { text-align: end; }
  .env { display: inline-block; padding: 0 0.5em; border: 1px solid var(--_border); border-radius: 0.35em; background: var(--_surface); font-size: 0.75em; font-weight: 600; line-height: 1.6; color: var(--_muted); letter-spacing: 0.02em; vertical-align: 0.1em; }
  .env.live { border-color: currentColor; color: var(--_accent); background: none; }
  .badge { display: inline-flex; align-items: center; gap: 0.4em; white-space: nowrap; font-size: 0.9375em; }
  .badge svg { inline-size: 0.8em; block-size: 0.8em; flex: none; }
  .state-active { color: var(--_ok); }
  .state-expiring, .state-rotating { color: var(--_warning); }
  .state-revoked { color: var(--_danger); }
  .state-disabled, .state-expired { color: var(--_muted); }
  .spark { display: block; inline-size: 5.6em; block-size: 1.8em; overflow: visible; }
  .bar { fill: var(--_accent); }
  .bar.none { fill: var(--_border); }
  .bar.refused { fill: var(--_danger); }

  .menu { position: fixed; inset: auto; margin: 0; padding: 0.3em; min-inline-size: 12em; border: 1px solid var(--_border); border-radius: var(--_radius); background: var(--_bg); color: var(--_text); box-shadow: var(--_shadow); font-size: max(1em, 14px); }
  .menu button { display: flex; inline-size: 100%; justify-content: start; border: 0; font-weight: 400; background: none; }
  .menu button:is(:hover, :focus-visible) { background: var(--_surface); outline-offset: -2px; }
  .menu .risky { color: var(--_danger); }
  .menu hr { border: 0; border-block-start: 1px solid var(--_border); margin: 0.3em 0; }

  footer { display: flex; flex-wrap: wrap; gap: 0.5em 1em; align-items: center; margin-block-start: 0.6em; color: var(--_muted); font-size: 0.875em; min-block-size: 2.4em; }
  .empty { display: grid; justify-items: center; gap: 0.4em; padding: 3em 1.5em; text-align: center; }
  .empty h3 { font-size: 1.1em; font-weight: 600; }
  .empty p { max-inline-size: 34em; color: var(--_muted); }
  .empty .row { margin-block-start: 0.75em; justify-content: center; }
  .banner { display: flex; flex-wrap: wrap; gap: 0.5em 1em; align-items: center; padding: 0.65em 0.9em; margin-block-end: 0.75em; border: 1px solid var(--_border); border-inline-start: 0.25em solid var(--_warning); border-radius: var(--_radius); background: var(--_surface); overflow-wrap: anywhere; }
  .banner.bad { border-inline-start-color: var(--_danger); }
  .banner.good { border-inline-start-color: var(--_ok); }
  .banner.plain { border-inline-start-color: var(--_accent); }
  .banner > :first-child { flex: 1 1 16em; }
  .skeleton td, .skeleton th { block-size: 3.9em; }
  .skeleton i { display: block; block-size: 0.8em; inline-size: 70%; border-radius: 0.3em; background: var(--_border); animation: breathe 1.6s ease-in-out infinite alternate; }
  @keyframes breathe { to { opacity: 0.45; } }

  .probe { color: var(--_accent); }
  .toast { position: fixed; inset-block-end: 1.2em; inset-inline-start: 50%; translate: -50% 0; z-index: 2; max-inline-size: calc(100vw - 2em); padding: 0.6em 1.1em; border-radius: var(--_radius); background: var(--_text); color: var(--_bg); box-shadow: var(--_shadow); }
  .toast.bad { background: var(--_danger); color: var(--_on-danger); }

  @container (max-width: 56em) { .keys .week { display: none; } }
  @container (max-width: 44em) {
    .keys, .keys tbody { display: block; }
    .keys thead { position: absolute; inline-size: 1px; block-size: 1px; overflow: hidden; clip-path: inset(50%); }
    .keys tr { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0.15em 0.75em; padding: 0.75em 0.9em; align-items: center; }
    .keys tr + tr { border-block-start: 1px solid var(--_border); }
    .keys :is(td, th) { display: block; padding: 0; border: 0 !important; inline-size: auto !important; block-size: auto; }
    .keys .who { grid-column: 1; }
    .keys .acts { grid-column: 2; grid-row: 1; }
    .keys .code { grid-column: 1 / -1; overflow-wrap: anywhere; }
    .keys .state { grid-column: 1; grid-row: 3; }
    .keys .week { display: block; grid-column: 2; grid-row: 3; }
    .keys :is(.used, .ends) { grid-column: 1 / -1; font-size: 0.875em; }
    .keys [data-label]::before { content: attr(data-label) ': '; color: var(--_muted); }
    .search { max-inline-size: none; flex-basis: 100%; }
    header .primary { flex: 1 1 auto; }
    .toolbar select { flex: 1 1 7em; min-inline-size: 0; }
    .toolbar .check { flex-basis: 100%; }
    .skeleton .week, .skeleton .acts { display: none !important; }
    .skeleton i { margin-block: 0.35em; }
  }
  @media (pointer: coarse) {
    button:not(.link), select, label.check, input:not([type='checkbox'], [type='radio']) { min-block-size: 44px; }
    button.icon { min-inline-size: 44px; }
    .link { padding-block: 0.6em; }
  }
  @media (prefers-reduced-motion: reduce) { * { animation: none !important; transition: none !important; } }
  @media (forced-colors: active) {
    .bar { fill: CanvasText; }
    .bar.refused { fill: Mark; }
    .bar.none { fill: GrayText; }
    button.primary, button.danger { border-width: 2px; }
  }
`;
