// Organizations with their numbers of keys, and the ways from one to its keys and events.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { addressOf, field, filled, hasPrivateKey, readList, table, tail } from './paging.js';

const ID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/** Gives the id of the organization that a text names, by its own id or the issuer's; null for none. */
export const organizationId = async (el, text, signal) => {
  if (hasPrivateKey(text)) return null;
  const { data } = await el.api.get('/organizations', { external_id: text }, { signal });
  if (data.length) return data[0].id;
  return ID.test(text) ? text : null;
};

export const open = (el, page) => {
  const state = { query: page.query, list: readList(el, '/organizations', page.query.external_id ? { external_id: page.query.external_id } : {}, page.ended.signal) };
  return state;
};

export const view = (el, { list, query }) => {
  const { w } = el;
  const submit = (event) => {
    event.preventDefault();
    location.hash = addressOf('organizations', filled(event.currentTarget));
  };
  return html`
    <form class="grid" role="search" novalidate @submit=${submit}>
      ${field('external_id', w.t('organizationId'), html`<input id="in-external_id" name="external_id" maxlength="255" spellcheck="false" autocomplete="off" autocapitalize="off" .value=${query.external_id ?? ''} />`)}
      <div class="row"><button>${w.t('find')}</button>${query.external_id ? html`<a href="${'#/organizations'}">${w.t('allOrganizations')}</a>` : nothing}</div>
    </form>
    ${table(el, COLUMNS, list.items, row)} ${tail(el, list, 'noOrganizations')}
  `;
};

const COLUMNS = { organization: 'who', keysThatWork: 'end', firstKey: '', actions: 'links-column' };

const row = (el, one) => {
  const { w } = el;
  const of = { organization: one.id };
  return html`<tr role="row">
    <th role="rowheader" scope="row" class="who"><a href=${addressOf('keys', of)}><bdi class="mono wrap">${one.external_id}</bdi></a><p class="mono">${one.id}</p></th>
    <td role="cell" class="ends end" data-label=${w.t('keysThatWork')}>${w.number(one.active_keys)}</td>
    <td role="cell" class="used" data-label=${w.t('firstKey')}>${w.time(one.created_at, el.now)}</td>
    <td role="cell" class="code links-column end">
      <p class="links"><a href=${addressOf('keys', of)}>${w.t('keysOf')}</a><a href=${addressOf('events', of)}>${w.t('events')}</a>
        <button type="button" class="link risky" @click=${() => el.openPanel(() => import('./revocation.js'), { organization: one.external_id })}>${w.t('revokeAll')}</button></p>
    </td>
  </tr>`;
};
