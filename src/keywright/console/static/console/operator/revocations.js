// Revocations of many keys: earlier ones, their states, and a new one.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { readList, table, tail } from './paging.js';

export const open = (el, page) => ({ list: readList(el, '/bulk-revocations', {}, page.ended.signal) });

const panel = () => import('./revocation.js');

/** The button beside the title. */
export const actions = (el) => html`<button class="primary push" id="create" @click=${() => el.openPanel(panel, {})}>${el.w.t('newRevocation')}</button>`;

/** Whose keys a revocation is of, in words. */
export const targetOf = (w, { org_id: org, created_by: creator }) => {
  if (org && creator) return w.t('targetBoth', { org, creator });
  return org ? w.t('targetOrganization', { org }) : w.t('targetCreator', { creator });
};

/** Whether a preview can no longer be started. */
export const isOver = (el, one) => one.status === 'previewed' && Date.parse(one.start_before) <= el.now;

const COLUMNS = { target: 'who', status: '', keysOf: 'end number', reason: 'code', by: '', time: '' };

export const view = (el, { list }) => {
  const { w } = el;
  return html`<p class="lead muted">${w.t('revocationsText')}</p>
    ${table(el, COLUMNS, list.items, row)}
    ${tail(el, list, 'noRevocations')}`;
};

const row = (el, one) => {
  const { w } = el;
  const status = isOver(el, one) ? 'over' : one.status;
  return html`<tr role="row">
    <th role="rowheader" scope="row" class="who"><button class="link" @click=${() => el.openPanel(panel, { id: one.id })}><span class="wrap">${targetOf(w, one)}</span></button></th>
    <td role="cell" class="state"><span class="badge">${w.t(`bulk.${status}`)}</span></td>
    <td role="cell" class="ends end" data-label=${w.t('keysOf')}>${one.status === 'previewed' ? w.number(one.keys) : w.number(one.revoked)}</td>
    <td role="cell" class="used" data-label=${w.t('reason')}>${w.t(`reason.${one.reason}`)}</td>
    <td role="cell" class="used" data-label=${w.t('by')}><span class="mono wrap">${one.actor.subject}</span></td>
    <td role="cell" class="ends" data-label=${w.t('time')}>${w.time(one.started_at ?? one.previewed_at, el.now)}</td>
  </tr>`;
};
