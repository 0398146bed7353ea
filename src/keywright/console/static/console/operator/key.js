// The drawer of one key of any organization: what was found, overview, usage, events.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { showTab, tabList } from '../../element/detail.js';
import { badge, stateOf } from '../../element/format.js';
import { environment, shortDisplay } from '../../element/list.js';
import { drawerDialog } from '../../element/overlay.js';
import { readOnce } from '../../element/receipt.js';
import { addressOf, trouble } from './paging.js';
import { receipt } from './receipt.js';

const TABS = {
  overview: () => import('../../element/overview.js'),
  usage: () => import('../../element/usage.js'),
  events: () => import('./events-of-key.js'),
};

/** Opens the drawer; `found` is what the search gave: by which text, and of which pair. */
export const open = (el, id, found) => {
  const drawer = { id, found, key: found?.api_key ?? null, tab: '', part: null, module: null, error: null, receipt: null, ended: new AbortController() };
  drawer.view = () => view(el, drawer);
  drawer.put = (key) => put(el, drawer, key);
  drawer.show = (tab) => showTab(el, drawer, tab, TABS[tab]);
  if (found) readReceipt(el, drawer);
  else read(el, drawer);
  drawer.show('overview');
  return drawer;
};

// By its id: a deleted key is found, too.
const read = async (el, drawer) => {
  try {
    const { data } = await el.api.send('POST', '/api-keys/find', { body: { text: drawer.id }, signal: drawer.ended.signal });
    Object.assign(drawer, { found: data, key: data.api_key, error: null });
    readReceipt(el, drawer);
  } catch (error) {
    if (drawer.ended.signal.aborted) return;
    drawer.error = error;
    el.failed(error);
  }
  el.requestUpdate();
};

const readReceipt = (el, drawer) => {
  const { key, found } = drawer;
  if (key.status !== 'revoked' && !found.deleted_at) return;
  drawer.receipt = { key, data: null, error: null };
  readOnce(el, drawer.receipt, drawer.ended.signal);
};

const put = (el, drawer, key) => {
  drawer.key = { ...drawer.key, ...key };
  drawer.found.api_key = drawer.key;
  readReceipt(el, drawer);
  el.requestUpdate();
};

const view = (el, drawer) => {
  const { w } = el;
  const { key, tab } = drawer;
  const content = html`
    ${tabList(w, drawer, Object.keys(TABS))}
    <div role="tabpanel" id="tab-panel" class="stack" aria-labelledby="tab-${tab}" tabindex="0">
      ${trouble(el, drawer.error, () => read(el, drawer))}
      ${key && drawer.module ? html`${tab === 'overview' ? summary(el, drawer) : nothing}${drawer.module.view(el, drawer, drawer.part)}` : drawer.error ? nothing : html`<p class="muted" role="status">${w.t('loading')}</p>`}
    </div>
  `;
  return drawerDialog(el, drawer, { title: key?.name ?? w.t('loading'), beside: key ? beside(el, drawer) : nothing, content });
};

const beside = (el, { key, found }) =>
  html`<span class="mono muted nowrap">${shortDisplay(key)}</span>${environment(key)}${found.deleted_at ? html`<span class="badge">${el.w.t('deleted')}</span>` : badge(el.w, stateOf(key, el.now))}`;

const summary = (el, drawer) => {
  const { w } = el;
  const { key, found, receipt: one } = drawer;
  return html`${pair(el, found)} ${found.deleted_at ? html`<p class="banner bad"><span>${w.t('deletedBy', { time: w.moment(Date.parse(found.deleted_at)), who: found.deleted_by ?? '' })}</span></p>` : nothing}
    ${one ? html`<div class="box"><p class="label">${w.t('receipt')}</p>${receipt(el, one)}</div>` : nothing}
    <div class="box owner">
      <p class="label">${w.t('organization')}</p>
      <p class="mono wrap">${key.org_external_id}</p>
      <p class="links"><a href=${addressOf('keys', { organization: key.org_id })}>${w.t('itsKeys')}</a><a href=${addressOf('events', { organization: key.org_id })}>${w.t('itsEvents')}</a><a href=${addressOf('keys', { created_by: key.created_by })}>${w.t('keysOfCreator')}</a>
        <button type="button" class="link" @click=${() => el.openPanel(() => import('./revocation.js'), { created_by: key.created_by })}>${w.t('revokeCreator')}</button></p>
    </div>`;
};

const pair = (el, { found_by: by, pair: one }) => {
  const { w } = el;
  if (!one) return nothing;
  const ended = one.status === 'ended';
  return html`<div class="evidence ${ended ? '' : 'used'}" role="status">
    <p><strong>${w.t(`foundBy.${by}`)}</strong> ${w.t(`pair.${one.status}`, { time: one.retires_at ? w.moment(Date.parse(one.retires_at)) : '' })}</p>
    <p class="mono small wrap">${one.private_key_display}</p>
  </div>`;
};
