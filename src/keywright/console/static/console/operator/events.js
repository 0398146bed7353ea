// The audit log of all organizations.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { entry } from '../../element/event.js';
import { organizationId } from './organizations.js';
import { addressOf, field, filled, readList, tail, trouble } from './paging.js';

const TYPES = ['created', 'updated', 'rotated', 'rotation_changed', 'secret_retired', 'expiring', 'revoked', 'deleted'].map((name) => `api_key.${name}`).concat('audit_log.sealed', 'audit_log.erased');
const MOMENTS = ['since', 'until'];

export const open = (el, page) => {
  const state = { query: page.query, list: null, error: null, missing: false, page };
  read(el, state);
  return state;
};

const momentOf = (text) => {
  const at = Date.parse(text ?? '');
  return at ? new Date(at).toISOString() : '';
};

const read = async (el, state) => {
  const { organization, ...rest } = state.query;
  const { signal } = state.page.ended;
  state.error = null;
  for (const name of MOMENTS) rest[name] = momentOf(rest[name]);
  try {
    const org = organization ? await organizationId(el, organization, signal) : '';
    state.missing = org === null;
    state.list = org === null ? null : readList(el, '/api-key-events', { ...rest, org_id: org }, signal);
  } catch (error) {
    if (signal.aborted) return;
    state.error = error;
    el.failed(error);
  }
  el.requestUpdate();
};

export const view = (el, state) => {
  const { w } = el;
  const { list, query } = state;
  return html`
    ${filters(el, query)} ${state.missing ? html`<p class="banner plain" role="status"><span>${w.t('noOrganization')}</span></p>` : nothing}
    ${trouble(el, state.error, () => read(el, state))} ${list?.items?.length ? html`<ol class="timeline of-all">${list.items.map((event) => ofAll(el, event))}</ol>` : nothing}
    ${list ? tail(el, list, 'noEvents') : nothing}
  `;
};

const filters = (el, query) => {
  const { w } = el;
  const input = (name, type = 'text') => html`<input id=${`in-${name}`} name=${name} type=${type} maxlength="255" spellcheck="false" autocomplete="off" autocapitalize="off" .value=${query[name] ?? ''} />`;
  const submit = (event) => {
    event.preventDefault();
    location.hash = addressOf('events', filled(event.currentTarget));
  };
  return html`<form class="grid" role="search" novalidate @submit=${submit}>
    ${field(
      'type',
      w.t('action'),
      html`<select id="in-type" name="type">
        <option value="">${w.t('allActions')}</option>
        ${TYPES.map((one) => html`<option value=${one} ?selected=${query.type === one}>${w.t(`event.${one}`)}</option>`)}
      </select>`,
    )}
    ${field('actor', w.t('actor'), input('actor'))} ${field('organization', w.t('organization'), input('organization'))} ${field('key_id', w.t('id'), input('key_id'))}
    ${field('since', w.t('since'), input('since', 'datetime-local'))} ${field('until', w.t('until'), input('until', 'datetime-local'))}
    <div class="row"><button>${w.t('apply')}</button>${Object.keys(query).length ? html`<a href="${'#/events'}">${w.t('clearFilters')}</a>` : nothing}</div>
  </form>`;
};

// The element's own entry, and where it belongs.
const ofAll = (el, event) => {
  const { w } = el;
  const where = html`<span class="links small">
    ${event.key_id === event.org_id ? nothing : html`<a href=${`#/keys/${event.key_id}`}>${w.t('keyOf', { id: event.key_id.slice(-8) })}</a>`}
    <a href=${addressOf('events', { organization: event.org_id })}>${w.t('organizationOf', { id: event.org_id.slice(0, 8) })}</a>
    ${event.data.operator ? html`<span class="mono muted">${event.actor.subject}</span>` : nothing}
  </span>`;
  return entry(el, event, where);
};
