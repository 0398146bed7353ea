// The operator's own views; the element's styles come before.
import { css } from '../../element/vendor/lit-core.js';

export const styles = css`
  nav.views { display: flex; gap: 0.2em; margin-block-end: 1.6em; border-block-end: 1px solid var(--_border); overflow-x: auto; scrollbar-width: none; }
  nav.views a { flex: none; padding: 0.6em 0.85em; color: var(--_muted); font-weight: 500; text-decoration: none; border-block-end: 2px solid transparent; margin-block-end: -1px; }
  nav.views a:hover { color: var(--_text); }
  nav.views a[aria-current] { color: var(--_text); border-block-end-color: var(--_accent); }
  nav.views a:focus-visible { outline-offset: -3px; }
  a { color: var(--_accent); text-underline-offset: 0.2em; }
  .wrap { overflow-wrap: anywhere; white-space: normal; }
  .lead { max-inline-size: 46em; margin-block-end: 1em; }
  section > .banner, section > form, section > .filters { margin-block-end: 1em; }
  .find .row.fill { flex-wrap: nowrap; }
  .find .row.fill input { flex: 1 1 auto; min-inline-size: 0; }
  .find { padding: 1em 1.1em 1.1em; border: 1px solid var(--_border); border-radius: var(--_radius); background: var(--_surface); }
  .grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(15em, 100%), 1fr)); gap: 0.8em 1em; align-items: end; }
  .grid select { inline-size: 100%; }
  .grid .row { gap: 1em; min-block-size: 2.4em; }
  .who a { font-weight: 600; color: var(--_text); text-decoration: none; overflow-wrap: anywhere; }
  .who a:hover { text-decoration: underline; color: var(--_accent); }
  .links { display: flex; flex-wrap: wrap; gap: 0.3em 1.1em; align-items: center; }
  .end .links { justify-content: end; }
  .links a, .links button { min-block-size: 1.75em; display: inline-flex; align-items: center; text-align: start; }
  .timeline .links { display: inline-flex; font-size: 0.875em; gap: 0 1em; margin-inline: 0.4em; }
  button.link.risky { color: var(--_danger); }
  .owner { gap: 0.35em; }
  .keys .who { inline-size: 26%; }
  .keys .acts { inline-size: 9.5em; }
  .keys .number { inline-size: 6em; }
  .keys .links-column { inline-size: 24em; }
  .timeline.of-all { max-inline-size: 52em; }
  progress { display: block; inline-size: 100%; block-size: 0.7em; accent-color: var(--_ok); }

  .figures { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1em; }
  .figure { display: grid; gap: 0.9em; align-content: start; padding: 1.1em 1.2em 1.2em; border: 1px solid var(--_border); border-radius: var(--_radius); min-inline-size: 0; }
  .figure.wide { grid-column: 1 / -1; }
  .figure h2 { font-size: 1.05em; font-weight: 650; line-height: 1.3; }
  .figure > * { min-inline-size: 0; }
  .split { display: grid; grid-template-columns: minmax(0, 5fr) minmax(0, 3fr); gap: 2em; align-items: start; }
  .figures .chart { block-size: 8.5em; }
  .peak { font-size: 0.8125em; line-height: 1; color: var(--_muted); margin-block: 0.5em 0.2em; font-variant-numeric: tabular-nums; }
  .grid-line { stroke: var(--_border); stroke-width: 1; stroke-dasharray: 3 4; vector-effect: non-scaling-stroke; }
  .axis { margin-block-end: 0.6em; }
  .axis.each { display: grid; grid-auto-flow: column; grid-auto-columns: minmax(0, 1fr); font-size: 0.75em; text-align: center; gap: 0.2em; }
  .legend { display: flex; flex-wrap: wrap; gap: 0.2em 1.2em; font-size: 0.9375em; }
  .legend span { display: inline-flex; gap: 0.4em; align-items: center; }
  .key { inline-size: 0.85em; block-size: 0.85em; flex: none; }
  .bar.hollow { fill: color-mix(in srgb, var(--_danger) 18%, var(--_bg)); stroke: var(--_danger); stroke-width: 1.5; vector-effect: non-scaling-stroke; }
  .bars .bar.hollow { fill: none; stroke: var(--_control); }
  .bars, .reasons { table-layout: auto; }
  .bars td, .bars th, .reasons td, .reasons th { padding: 0.35em 0.6em 0.35em 0; border: 0 !important; font-variant-numeric: tabular-nums; background: none; }
  .bars tbody th, .reasons tbody th { font-weight: 400; font-size: 0.9375em; color: inherit; white-space: normal; }
  .bars td:last-child { inline-size: 55%; padding-inline-end: 0; }
  .bars svg { display: block; inline-size: 100%; block-size: 0.85em; overflow: visible; }
  .reasons td:nth-child(2) { inline-size: 45%; }
  .reasons thead th { background: none; border: 0; }
  .reasons .end { padding-inline-end: 0; }
  .reasons .bar { fill: var(--_danger); }
  .small-chart { display: block; inline-size: 100%; block-size: 1.6em; }
  .small-chart .base, .chart .base { stroke: var(--_control); stroke-width: 1; vector-effect: non-scaling-stroke; }
  .tall { max-block-size: 18em; overflow-y: auto; }
  .plain.slim th, .plain.slim td { vertical-align: top; }
  .plain.slim tbody th { white-space: normal; inline-size: 100%; }
  @container (max-width: 56em) { .split { grid-template-columns: minmax(0, 1fr); gap: 1em; } }
  @container (max-width: 44em) {
    .figures { grid-template-columns: minmax(0, 1fr); }
    .figure { padding: 0.9em; }
    .keys .end { text-align: start; }
    .axis.each span:nth-child(even) { display: none; }
    .plain.slim :is(th, td) { padding-inline: 0.5em; }
    .plain.slim tbody th { min-inline-size: 8em; }
    nav.views { padding-inline-end: 2.5em; mask-image: linear-gradient(to left, transparent, #000 2.5em); }
    nav.views:dir(rtl) { mask-image: linear-gradient(to right, transparent, #000 2.5em); }
    .end .links { justify-content: start; }
    .keys .state { grid-row: auto; }
    .of-view .primary { flex: 1 1 auto; }
  }
  @media (pointer: coarse) { nav.views a { padding-block: 0.9em; } .links a, .links button { min-block-size: 44px; } }
  @media (forced-colors: active) {
    .bar.hollow, .bars .bar.hollow { fill: Canvas; stroke: CanvasText; }
    .reasons .bar { fill: CanvasText; }
    nav.views a { border-block-end-color: Canvas; }
    nav.views a[aria-current] { border-block-end: 4px solid Highlight; }
    .segments button[aria-pressed='true'] { border-width: 3px; border-color: Highlight; }
  }
`;
