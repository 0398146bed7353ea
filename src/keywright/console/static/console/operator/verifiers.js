// Verifiers: the API servers that may check keys. A credential is shown once, as a private key is.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { readList, table, tail } from './paging.js';

const panel = () => import('./verifier.js');

export const open = (el, page) => ({ list: readList(el, '/verifiers', { limit: undefined }, page.ended.signal) });

/** The button beside the title. */
export const actions = (el) => html`<button class="primary push" id="create" @click=${() => el.openPanel(panel, 'create')}>${el.w.t('newVerifier')}</button>`;

const COLUMNS = { name: 'who', credential: '', status: '', created: '', actions: 'acts' };

export const view = (el, { list }) => {
  const { w } = el;
  return html`<p class="lead muted">${w.t('verifiersText')}</p>
    ${table(el, COLUMNS, list.items, row)}
    ${tail(el, list, 'noVerifiersYet')}`;
};

const row = (el, one) => {
  const { w } = el;
  return html`<tr role="row">
    <th role="rowheader" scope="row" class="who"><strong class="wrap">${one.name}</strong></th>
    <td role="cell" class="code"><span class="mono wrap">${one.credential_display}</span></td>
    <td role="cell" class="state">${one.revoked_at ? html`${w.t('state.revoked')} ${w.time(one.revoked_at, el.now)}` : w.t('state.active')}</td>
    <td role="cell" class="ends" data-label=${w.t('created')}>${w.time(one.created_at, el.now)}</td>
    <td role="cell" class="acts end">${one.revoked_at ? nothing : html`<button aria-label=${w.t('revokeVerifierNamed', { name: one.name })} @click=${() => el.openPanel(panel, 'revoke', one)}>${w.t('revoke')}</button>`}</td>
  </tr>`;
};
