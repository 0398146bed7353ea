// The drawer of one key: overview and edit, usage, rotation, history.
import { html, nothing } from './vendor/lit-core.js';
import { badge, stateOf } from './format.js';
import { environment, shortDisplay } from './list.js';
import { drawerDialog, errorBox } from './overlay.js';

const TABS = {
  overview: () => import('./overview.js'),
  usage: () => import('./usage.js'),
  rotation: () => import('./rotation.js'),
  history: () => import('./history.js'),
};
const NEEDS = { usage: 'usage', history: 'history' };

export const open = (el, id) => {
  const drawer = { id, key: null, etag: null, tab: '', part: null, module: null, error: null, ended: new AbortController() };
  drawer.view = () => view(el, drawer);
  drawer.put = (key) => put(el, drawer, key);
  drawer.read = () => read(el, drawer);
  drawer.show = (tab) => {
    show(el, drawer, tab);
    el.emit('selected', { id, tab: drawer.tab });
  };
  read(el, drawer);
  show(el, drawer, el.tab);
  return drawer;
};

const read = async (el, drawer) => {
  try {
    const { data, etag } = await el.api.get(`/api-keys/${drawer.id}`);
    drawer.error = null;
    drawer.key = data;
    drawer.etag = etag;
    drawer.module?.changed?.(el, drawer);
  } catch (error) {
    drawer.error = error;
    el.failed(error);
  }
  el.requestUpdate();
};

// An answer of a change has no tag here: the next edit needs the present one.
const put = (el, drawer, key) => {
  drawer.key = { ...drawer.key, ...key };
  read(el, drawer);
};

const show = (el, drawer, name) => {
  const tab = Object.hasOwn(TABS, name) ? name : 'overview';
  el.tab = tab;
  drawer.ended.abort();
  drawer.ended = new AbortController();
  showTab(el, drawer, tab, TABS[tab]);
};

/** Shows a tab of a drawer once its module is loaded, unless another one was chosen meanwhile. */
export const showTab = async (el, drawer, tab, load) => {
  drawer.tab = tab;
  drawer.part = null;
  drawer.module = null;
  try {
    const module = await load();
    if (drawer.tab !== tab) return;
    drawer.module = module;
    drawer.part = module.open(el, drawer);
  } catch (error) {
    el.failed(error);
  }
  el.requestUpdate();
};

const view = (el, drawer) => {
  const { w } = el;
  const { key, tab } = drawer;
  const tabs = Object.keys(TABS).filter((one) => !NEEDS[one] || el.may(NEEDS[one]) || one === 'history');
  const content = html`
    ${tabList(w, drawer, tabs)}
    <div role="tabpanel" id="tab-panel" part="panel" class="stack" aria-labelledby="tab-${tab}" tabindex="0">
      ${errorBox(el, drawer.error, html`<button part="button" @click=${() => drawer.read()}>${w.t('retry')}</button>`)}
      ${key && drawer.module ? drawer.module.view(el, drawer, drawer.part) : drawer.error ? nothing : html`<p class="muted" role="status">${w.t('loading')}</p>`}
    </div>
  `;
  return drawerDialog(el, drawer, { title: key?.name ?? w.t('loading'), beside: key ? beside(el, key) : nothing, content });
};

const beside = (el, key) => html`<span class="mono muted nowrap">${shortDisplay(key)}</span>${environment(key)}${badge(el.w, stateOf(key, el.now))}`;

/** The tabs of a drawer. */
export const tabList = (w, drawer, tabs) => html`<div class="tabs" role="tablist" aria-label=${drawer.key ? w.t('detailsOf', { name: drawer.key.name }) : w.t('loading')} @keydown=${(event) => byArrow(event, drawer, tabs)}>
  ${tabs.map((one) => html`<button role="tab" part="tab" id="tab-${one}" aria-controls="tab-panel" aria-selected=${one === drawer.tab ? 'true' : 'false'} tabindex=${one === drawer.tab ? 0 : -1} @click=${() => drawer.show(one)}>${w.t(one)}</button>`)}
</div>`;

// Moves between tabs by the keys that people expect.
const byArrow = (event, drawer, tabs) => {
  const rtl = getComputedStyle(event.currentTarget).direction === 'rtl';
  const at = tabs.indexOf(drawer.tab);
  const steps = { ArrowRight: rtl ? -1 : 1, ArrowLeft: rtl ? 1 : -1 };
  const to = event.key === 'Home' ? 0 : event.key === 'End' ? tabs.length - 1 : event.key in steps ? (at + steps[event.key] + tabs.length) % tabs.length : -1;
  if (to < 0) return;
  event.preventDefault();
  event.currentTarget.children[to].focus();
  drawer.show(tabs[to]);
};
