// Keys of all organizations: one field for anything that names a key, filters, and what was found.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { badge, stateOf } from '../../element/format.js';
import { environment, shortDisplay } from '../../element/list.js';
import { organizationId } from './organizations.js';
import { addressOf, field, filled, readList, table, tail, trouble } from './paging.js';

const STATES = ['active', 'expiring', 'disabled', 'expired', 'revoked'];
const FILTERS = ['organization', 'created_by', 'external_id', 'q', 'status'];
// The text of a key, also with something around it, such as the name of a variable.
const KEY = /[a-z][a-z0-9]*_[sp]k_[a-z0-9_]*[A-Za-z0-9]{8,}/i;
const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;
const MASK = /[*•.…]+/;
// Longer than names are: what may be a secret goes into a body, never into an address.
const MAY_BE_SECRET = /[\w-]{24,}/;

/** What a text is: `{text}` to be found by, or `{q}` to be searched for. A secret is never searched for. */
export const reading = (typed) => {
  const text = typed.trim();
  const key = KEY.exec(text)?.[0];
  if (key) return { text: key };
  if (ID.test(text)) return { text };
  const shown = text.split(MASK);
  if (shown.length > 1 && /^[A-Za-z0-9]{2,8}$/.test(shown.at(-1))) return { q: shown.at(-1) };
  return MAY_BE_SECRET.test(text) ? { text } : { q: text };
};

export const open = (el, page) => {
  const state = { filters: page.query, list: null, finding: false, error: null, missing: false, page };
  if (page.query.organization || page.query.created_by || page.query.external_id || page.query.q || page.query.status) search(el, state, page.query);
  else state.list = readList(el, '/api-keys', {}, page.ended.signal);
  return state;
};

/** Puts a changed key into its row. */
export const put = (el, { list }, key) => {
  if (list?.items) list.items = list.items.map((one) => (one.id === key.id ? { ...one, ...key } : one));
};

const search = async (el, state, { organization, ...rest }) => {
  state.missing = false;
  state.error = null;
  state.list = null;
  const { signal } = state.page.ended;
  try {
    const org = organization ? await organizationId(el, organization, signal) : '';
    state.list = org === null ? null : readList(el, '/api-keys', { ...rest, org_id: org }, signal);
    state.missing = org === null ? 'noOrganization' : false;
  } catch (error) {
    if (signal.aborted) return;
    state.error = error;
    el.failed(error);
  }
  el.requestUpdate();
};

const find = async (el, state, text) => {
  if (state.finding) return;
  Object.assign(state, { finding: true, missing: false, error: null });
  el.requestUpdate();
  try {
    const { data } = await el.api.send('POST', '/api-keys/find', { body: { text }, signal: state.page.ended.signal });
    el.found = data;
    el.announce(el.w.t('announceFound', { name: data.api_key.name }));
    el.select(data.api_key.id);
  } catch (error) {
    if (error.status === 404) state.missing = 'nothingFound';
    else {
      state.error = error;
      el.failed(error);
    }
    el.announce(el.w.t('nothingFound'), error.status === 404);
  }
  state.finding = false;
  el.requestUpdate();
};

const lookUp = (el, state, input, typed) => {
  const { text, q } = reading(typed);
  if (text) {
    input.value = '';
    find(el, state, text);
  } else if (q) refine(el, { q });
};

// Filters are in the address, so that what they find can be linked.
const refine = (el, filters) => {
  const address = addressOf('keys', filters);
  if (address === location.hash || (address === '#/keys' && !location.hash)) el.again();
  else location.hash = address;
};

// A pasted key never gets into the field.
const pasted = (el, state, event) => {
  const { text } = reading(event.clipboardData.getData('text/plain'));
  if (!text) return;
  event.preventDefault();
  lookUp(el, state, event.currentTarget, text);
};

const submitted = (el, state, event) => {
  event.preventDefault();
  const input = event.currentTarget.elements.find;
  lookUp(el, state, input, input.value);
};

export const view = (el, state) => {
  const { w } = el;
  return html`
    <form class="find" role="search" novalidate @submit=${(event) => submitted(el, state, event)}>
      ${field(
        'find',
        w.t('findLabel'),
        html`<div class="row fill"><input id="in-find" name="find" aria-describedby="hint-find" class="ph-no-capture" maxlength="500" spellcheck="false" autocomplete="off" autocapitalize="off" translate="no" data-1p-ignore data-lpignore="true" @paste=${(event) => pasted(el, state, event)} /><button class="primary" ?disabled=${state.finding}>${w.t(state.finding ? 'finding' : 'find')}</button></div>`,
        w.t('findHint'),
      )}
    </form>
    ${filters(el, state)}
    ${state.missing ? html`<p class="banner plain" role="status"><span>${w.t(state.missing)}</span></p>` : nothing}
    ${trouble(el, state.error, () => el.again())} ${table(el, COLUMNS, state.list?.items, row)}
    ${state.list ? tail(el, state.list, 'noKeys') : nothing}
  `;
};

const filters = (el, state) => {
  const { w } = el;
  const now = state.filters;
  const used = FILTERS.some((name) => now[name]);
  const input = (name) => html`<input id=${`in-${name}`} name=${name} maxlength="255" spellcheck="false" autocomplete="off" autocapitalize="off" .value=${now[name] ?? ''} />`;
  return html`<details class="filters" ?open=${used}>
    <summary>${w.t('filters')}</summary>
    <form
      class="grid"
      novalidate
      @submit=${(event) => {
        event.preventDefault();
        refine(el, filled(event.currentTarget));
      }}
    >
      ${field('organization', w.t('organization'), input('organization'))} ${field('created_by', w.t('creator'), input('created_by'))}
      ${field('external_id', w.t('externalId'), input('external_id'))} ${field('q', w.t('nameOrLast'), input('q'))}
      ${field(
        'status',
        w.t('status'),
        html`<select id="in-status" name="status">
          <option value="">${w.t('allStates')}</option>
          ${STATES.map((one) => html`<option value=${one} ?selected=${now.status === one}>${w.t(`state.${one}`)}</option>`)}
        </select>`,
      )}
      <div class="row"><button>${w.t('apply')}</button>${used ? html`<a href="${'#/keys'}">${w.t('clearFilters')}</a>` : nothing}</div>
    </form>
  </details>`;
};

const COLUMNS = { name: 'who', organization: 'code', key: 'code', status: '', lastUsed: '', created: '' };

const row = (el, key) => {
  const { w, now } = el;
  return html`<tr role="row">
    <th role="rowheader" scope="row" class="who"><a href=${`#/keys/${key.id}`}><bdi>${key.name}</bdi></a>${key.description ? html`<p><bdi>${key.description}</bdi></p>` : nothing}</th>
    <td role="cell" class="used" data-label=${w.t('organization')}><span class="mono wrap">${key.org_external_id}</span></td>
    <td role="cell" class="code"><span class="mono nowrap">${shortDisplay(key)}</span> ${environment(key)}</td>
    <td role="cell" class="state">${badge(w, stateOf(key, now))}</td>
    <td role="cell" class="used" data-label=${w.t('lastUsed')}>${key.last_used_at ? w.time(key.last_used_at, now) : html`<span class="muted">${w.t('never')}</span>`}</td>
    <td role="cell" class="ends" data-label=${w.t('created')}>${w.time(key.created_at, now)}</td>
  </tr>`;
};
