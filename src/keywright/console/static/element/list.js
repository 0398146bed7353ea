// The list: head, filters, rows, menus, and what stands in their place.
import { html, svg, nothing } from './vendor/lit-core.js';
import { badge, sentenceOf, stateOf } from './format.js';

const STATES = ['active', 'expiring', 'disabled', 'expired', 'revoked'];
const PLUS = svg`<path d="M8 3v10M3 8h10" stroke="currentColor" stroke-width="1.8" stroke-linecap="round"/>`;
const DOTS = svg`<g fill="currentColor"><circle cx="3" cy="8" r="1.4"/><circle cx="8" cy="8" r="1.4"/><circle cx="13" cy="8" r="1.4"/></g>`;
const LENS = svg`<path d="M7 2.5a4.5 4.5 0 1 0 0 9 4.5 4.5 0 0 0 0-9zM10.5 10.5 14 14" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round"/>`;
const ARROW = svg`<path d="M13.5 8a5.5 5.5 0 1 1-1.7-4M12 1.5V4.5H9" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round" stroke-linejoin="round"/>`;
const icon = (shape) => html`<svg viewBox="0 0 16 16" aria-hidden="true">${shape}</svg>`;

export const lens = icon(LENS);

/** The button that reads what is shown again. */
export const refreshButton = (el, busy) => html`<button class="icon quiet" part="button" aria-label=${el.w.t('refresh')} ?disabled=${busy} @click=${() => el.refresh()}>${icon(ARROW)}</button>`;

/** A heading, `below` levels under the element's own. */
export const heading = (el, below, content, id) => {
  const level = Math.min(6, (Number(el.headingLevel) || 2) + below);
  return html`<h2 role="heading" aria-level=${level} id=${id ?? nothing}>${content}</h2>`;
};

export const listView = (el) => html`
  <section part="list" aria-busy=${el.ui.loading ? 'true' : 'false'} @keydown=${(event) => shortcut(el, event)}>
    <slot name="header"></slot>
    ${head(el)} ${el.unsaved.map((one) => unsavedBanner(el, one))} ${sessionBanner(el)} ${filters(el)} ${body(el)} ${foot(el)}
  </section>
  ${menu(el)}
`;

const head = (el) => html`<header part="toolbar">
  ${heading(el, 0, el.w.t('title'), 'title')}
  ${el.may('create')
    ? html`<button class="primary push" part="button button-primary" id="create" ?disabled=${atLimit(el)} @click=${() => el.openCreate()}>${icon(PLUS)}${el.w.t('createKey')}</button>`
    : nothing}
</header>
${el.options && el.may('read') && !el.permitted('create') ? html`<p class="banner plain" part="banner"><span>${el.w.t('mayNotCreate')}</span></p>` : nothing}
${atLimit(el) ? html`<p class="banner plain" part="banner"><span>${el.w.t('limitReached', { n: el.options.policy.max_active_keys })} ${el.w.t('error.too_many_keys')}</span></p>` : nothing}`;

// Only with all active keys in sight: the service counts, and refuses in any case.
const atLimit = (el) => {
  const most = el.options?.policy.max_active_keys;
  const all = el.ui.keys && !el.ui.next && el.filters.status === 'active' && !narrowed(el);
  return !!most && !!all && el.ui.keys.length >= most;
};

const narrowed = (el) => el.filters.q || el.filters.environment || el.filters.unused;

const filters = (el) => {
  const { w, filters: now } = el;
  const environments = el.environment ? [] : el.options?.environments ?? [];
  if (el.ui.error && !el.ui.keys) return nothing;
  return html`<div class="toolbar" role="search">
    <div class="search">
      ${lens}
      <input type="search" part="search input" aria-label=${w.t('search')} placeholder=${w.t('searchHint')} maxlength="100" spellcheck="false" autocomplete="off" .value=${now.q} @input=${(event) => el.search(event.target.value)} />
    </div>
    <select part="filter" aria-label=${w.t('filterState')} @change=${(event) => el.filter({ status: event.target.value })}>
      <option value="" ?selected=${!now.status}>${w.t('allStates')}</option>
      ${STATES.map((state) => html`<option value=${state} ?selected=${now.status === state}>${w.t(`state.${state}`)}</option>`)}
    </select>
    ${environments.length > 1
      ? html`<select part="filter" aria-label=${w.t('filterEnvironment')} @change=${(event) => el.filter({ environment: event.target.value })}>
          <option value="" ?selected=${!now.environment}>${w.t('allEnvironments')}</option>
          ${environments.map((one) => html`<option value=${one} ?selected=${now.environment === one}>${one}</option>`)}
        </select>`
      : nothing}
    <label class="check" part="filter"><input type="checkbox" .checked=${now.unused} @change=${(event) => el.filter({ unused: event.target.checked })} />${w.t('unused')}</label>
  </div>`;
};

const body = (el) => {
  const { ui, w } = el;
  if (ui.error && !ui.keys) return failure(el, ui.error);
  if (!ui.keys) return table(el, [1, 2, 3].map(() => skeleton()));
  if (ui.keys.length) {
    return html`${errorBox(el, ui.error, retry(el))}${table(el, ui.keys.map((key) => row(el, key)))}`;
  }
  return narrowed(el) || (el.filters.status !== 'active' && el.filters.status !== '') || el.ui.any ? noMatch(el) : none(el);
};

const none = (el) => html`<div class="frame empty" part="empty">
  <slot name="empty">
    ${heading(el, 1, el.w.t('emptyTitle'))}
    <p>${el.w.t('emptyText')}</p>
  </slot>
  <div class="row">
    ${el.may('create') ? html`<button class="primary" part="button button-primary" @click=${() => el.openCreate()}>${icon(PLUS)}${el.w.t('createKey')}</button>` : nothing}
    <slot name="docs-link"></slot>
  </div>
</div>`;

const noMatch = (el) => html`<div class="frame empty" part="empty">
  ${heading(el, 1, el.w.t('noneTitle'))}
  <p>${el.w.t('noneText')}</p>
  <div class="row"><button part="button" @click=${() => el.filter({ q: '', status: '', environment: '', unused: false })}>${el.w.t('clearFilters')}</button></div>
</div>`;

const failure = (el, error) => {
  const mayNotRead = error.kind === 'forbidden' && error.permission;
  const text = mayNotRead ? el.w.t('mayNotRead', { permission: error.permission }) : sentenceOf(el.w, error);
  return html`<div class="frame empty" part="empty error" role="alert"><p>${text}${requestId(el, error)}</p>${mayNotRead ? nothing : html`<div class="row">${retry(el)}</div>`}</div>`;
};

const retry = (el) => html`<button part="button" @click=${() => el.refresh()}>${el.w.t('retry')}</button>`;

/** Where things are said to a screen reader; the topmost dialog has them, because what is behind it is inert. */
export const liveRegions = (el, inDialog = false) => html`<div role="status" class=${el.ui.polite && !inDialog ? 'toast' : 'visually-hidden'}>${el.ui.polite}</div>
  <div role="alert" class=${el.ui.assertive ? 'toast bad' : 'visually-hidden'}>${el.ui.assertive}</div>`;

/** What went wrong, in a box. */
export const errorBox = (el, error, more = nothing) =>
  error ? html`<div class="banner bad" part="banner error" role="alert"><span>${sentenceOf(el.w, error)}${requestId(el, error)}</span>${more}</div>` : nothing;

/** The id by which the operator finds a failed request. */
const requestId = (el, error) =>
  error.requestId ? html` <span class="muted small">${el.w.t('requestId')} <code class="mono">${error.requestId}</code></span>` : nothing;

/** What a page says whose session ended. */
export const sessionBanner = (el) =>
  el.ui.session === 'ended' && (el.ui.keys || el.audit)
    ? html`<div class="banner bad" part="banner" role="alert"><span>${el.w.t('sessionEnded')}</span><button part="button" @click=${() => el.refresh()}>${el.w.t('signedInAgain')}</button></div>`
    : nothing;

const unsavedBanner = (el, one) => html`<div class="banner" part="banner" role="alert">
  <span>${el.w.t(one.id ? 'unsaved' : 'unknownOne', { name: one.name })} ${one.error ? (one.error.uncertain ? sentenceOf(el.w, one.error) : el.w.t('tooLate')) : nothing}</span>
  <span class="row">
    <button part="button" ?disabled=${one.busy} @click=${() => el.showAgain(one)}>${el.w.t(one.id ? 'showAgain' : 'findOut')}</button>
    ${one.id && el.may('revoke') ? html`<button part="button" @click=${() => el.act('revoke', { id: one.id })}>${el.w.t('revokeIt')}</button>` : nothing}
    <button class="quiet" part="button" @click=${() => el.forget(one)}>${el.w.t('dismiss')}</button>
  </span>
</div>`;

const table = (el, rows) => {
  const { w } = el;
  return html`<div class="frame">
    <table class="keys" role="table" part="table" aria-labelledby="title">
      <thead role="rowgroup">
        <tr role="row">
          <th role="columnheader" scope="col" class="who">${w.t('name')}</th>
          <th role="columnheader" scope="col" class="code">${w.t('key')}</th>
          <th role="columnheader" scope="col">${w.t('status')}</th>
          <th role="columnheader" scope="col" class="week">${w.t('week')}</th>
          <th role="columnheader" scope="col">${w.t('lastUsed')}</th>
          <th role="columnheader" scope="col">${w.t('expires')}</th>
          <th role="columnheader" scope="col" class="acts"><span class="visually-hidden">${w.t('actions')}</span></th>
        </tr>
      </thead>
      <tbody role="rowgroup">
        ${rows}
      </tbody>
    </table>
  </div>`;
};

const skeleton = () =>
  html`<tr class="skeleton" role="row" aria-hidden="true"><th class="who"><i></i></th><td><i></i></td><td><i></i></td><td class="week"><i></i></td><td><i></i></td><td><i></i></td><td class="acts"></td></tr>`;

// What is typed in a dialog renders the list as well: a row that nothing changed is not written again for a while.
const rows = new WeakMap();

const row = (el, key) => {
  const half = Math.floor(el.now / 30000);
  const open = el.ui.menu?.key.id === key.id;
  const known = rows.get(key);
  if (known && known.el === el && known.w === el.w && known.half === half && known.open === open) return known.row;
  const made = { el, w: el.w, half, open, row: writeRow(el, key, open) };
  rows.set(key, made);
  return made.row;
};

const writeRow = (el, key, open) => {
  const { w } = el;
  const now = el.now;
  return html`<tr role="row" part="row" data-id=${key.id}>
    <th role="rowheader" scope="row" class="who" part="cell">
      <button class="link" @click=${() => el.select(key.id)}><bdi>${key.name}</bdi></button>
      ${key.description ? html`<p><bdi>${key.description}</bdi></p>` : nothing}
    </th>
    <td role="cell" class="code" part="cell"><span class="mono nowrap">${shortDisplay(key)}</span> ${environment(key)}</td>
    <td role="cell" class="state" part="cell">${badge(w, stateOf(key, now))}</td>
    <td role="cell" class="week" part="cell">${spark(w, key.usage?.days ?? [])}</td>
    <td role="cell" class="used" part="cell" data-label=${w.t('lastUsed')}>${key.last_used_at ? w.time(key.last_used_at, now) : html`<span class="muted">${w.t('never')}</span>`}</td>
    <td role="cell" class="ends" part="cell" data-label=${w.t('expires')}>${key.expires_at ? w.time(key.expires_at, now) : html`<span class="muted">${w.t('never')}</span>`}</td>
    <td role="cell" class="acts end" part="cell">
      <button class="icon quiet" aria-haspopup="menu" aria-expanded=${open ? 'true' : 'false'} aria-label=${w.t('actionsFor', { name: key.name })} @click=${(event) => openMenu(el, key, event.currentTarget)} @keydown=${(event) => menuByArrow(el, key, event)}>${icon(DOTS)}</button>
    </td>
  </tr>`;
};

/** The display of a private key with a short mask: `kw_sk_live_…3fQz`. */
export const shortDisplay = (key) => key.private_key_display.replace(/[*•.…]+/, '…');

/** The environment as a word. */
export const environment = (key) => (key.environment ? html`<span class="env ${key.environment === 'live' ? 'live' : ''}">${key.environment}</span>` : nothing);

const spark = (w, days) => {
  const most = Math.max(1, ...days.map((day) => day.count));
  const total = days.reduce((sum, day) => sum + day.count, 0);
  const bar = ({ count }, index) => `M${index * 10 + 1} 20v-${count ? Math.max(3, (18 * count) / most) : 1.5}h8V20z`;
  const bars = (used) => days.map((day, index) => (!!day.count === used ? bar(day, index) : '')).join('');
  return html`<svg class="spark" viewBox="0 0 70 20" preserveAspectRatio="none" role="img" aria-label=${w.t('usesInWeek', { n: total })}>
    <path class="bar" d=${bars(true)} /><path class="bar none" d=${bars(false)} />
  </svg>`;
};

const foot = (el) => {
  const { ui, w } = el;
  if (!ui.keys) return html`<footer></footer>`;
  return html`<footer>
    ${ui.keys.length ? html`<span>${w.t(ui.next ? 'shownMore' : 'shown', { n: ui.keys.length })}</span>` : nothing}
    <span>${w.t('updatedAt', { time: w.clock(ui.readAt) })}</span>
    ${refreshButton(el, ui.loading)}
    ${ui.next ? html`<button class="push" part="button" ?disabled=${ui.loading} @click=${() => el.loadMore()}>${w.t('more')}</button>` : nothing}
  </footer>`;
};

// --- the menu of a row -------------------------------------------------------------------------------------------

const actionsOf = (el, key) => {
  const live = key.status === 'active' || key.status === 'disabled';
  return [
    ['open', () => el.select(key.id)],
    ['copyPublic', () => el.copyPublicKey(key)],
    el.may('rotate') && key.status !== 'revoked' && key.status !== 'expired' && ['rotate', () => el.act('rotate', key)],
    el.may('edit') && key.status === 'disabled' && ['enable', () => el.enable(key)],
    el.may('edit') && key.status === 'active' && ['disable', () => el.act('disable', key)],
    el.may('revoke') && (live || key.status === 'expired') && ['revoke', () => el.act('revoke', key), true],
    el.may('delete') && key.status === 'revoked' && ['delete', () => el.act('delete', key), true],
  ].filter(Boolean);
};

const menu = (el) => {
  const open = el.ui.menu;
  return html`<div id="menu" class="menu" popover="auto" role="menu" part="menu" aria-label=${open ? el.w.t('actionsFor', { name: open.key.name }) : nothing} @keydown=${(event) => inMenu(event)} @toggle=${(event) => toggled(el, event)}>
    ${open
      ? actionsOf(el, open.key).map(
          ([name, act, risky]) => html`<button role="menuitem" tabindex="-1" part="menu-item" class=${risky ? 'risky' : ''} @click=${() => choose(el, act)}>${el.w.t(name)}</button>`,
        )
      : nothing}
  </div>`;
};

const openMenu = async (el, key, button) => {
  if (el.ui.menu?.key.id === key.id) return;
  el.changed({ menu: { key, button } });
  await el.updateComplete;
  const box = el.renderRoot.getElementById('menu');
  box.showPopover();
  place(box, button);
  box.querySelector('button').focus();
};

// In the top layer, so that no scrolled container of the page cuts it off.
const place = (box, button) => {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = box;
  const below = at.bottom + height + 8 < innerHeight || at.top < height + 8;
  const rtl = getComputedStyle(box).direction === 'rtl';
  const left = rtl ? at.left : at.right - width;
  box.style.setProperty('left', `${Math.max(8, Math.min(left, innerWidth - width - 8))}px`);
  box.style.setProperty('top', `${Math.max(8, below ? at.bottom + 4 : at.top - height - 4)}px`);
};

const toggled = (el, event) => {
  if (event.newState !== 'closed' || !el.ui.menu) return;
  const { button } = el.ui.menu;
  // A dialog that the menu opened has the focus by now.
  const inside = event.target.contains(el.renderRoot.activeElement) || !el.renderRoot.activeElement;
  el.changed({ menu: null });
  if (inside && !el.panel && !el.drawer) button.focus();
};

const choose = (el, act) => {
  el.opener = el.ui.menu?.button;
  el.renderRoot.getElementById('menu').hidePopover();
  el.opener?.focus();
  act();
};

const menuByArrow = (el, key, event) => {
  if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
  event.preventDefault();
  openMenu(el, key, event.currentTarget);
};

const inMenu = (event) => {
  const items = [...event.currentTarget.querySelectorAll('button')];
  const at = items.indexOf(event.target);
  const moves = { ArrowDown: at + 1, ArrowUp: at - 1 + items.length, Home: 0, End: items.length - 1 };
  let to = moves[event.key];
  if (event.key === 'Tab') event.currentTarget.hidePopover();
  else if (to === undefined && event.key.length === 1 && event.key !== ' ') {
    const wanted = event.key.toLowerCase();
    to = items.findIndex((item, index) => index > at && item.textContent.toLowerCase().startsWith(wanted));
    if (to < 0) to = items.findIndex((item) => item.textContent.toLowerCase().startsWith(wanted));
    if (to < 0) return;
  }
  if (to === undefined) return;
  event.preventDefault();
  items[to % items.length].focus();
};

const shortcut = (el, event) => {
  if (event.key !== '/' || event.composedPath()[0].matches?.('input, textarea, select')) return;
  event.preventDefault();
  el.renderRoot.querySelector('.search input')?.focus();
};
