// <keywright-keys>: API keys of an organization, for the people of it. One element, one shadow root; Lit renders it.
// Reactive properties are declared in `properties` and set in the constructor: a class field would hide them.
import { LitElement, html, nothing } from './vendor/lit-core.js';
import { Api, ApiError } from './api.js';
import { Words, sentenceOf } from './format.js';
import { listView, liveRegions } from './list.js';
import { styles } from './styles.js';

const PERMISSIONS = {
  create: 'create:api_keys',
  read: 'read:api_keys',
  usage: 'read:api_keys',
  edit: 'update:api_keys',
  rotate: 'update:api_keys',
  revoke: 'revoke:api_keys',
  delete: 'delete:api_keys',
  history: 'read:api_key_events',
};
const UNUSED_DAYS = 90;
const PANELS = {
  create: () => import('./create.js'),
  reveal: () => import('./reveal.js'),
  rotate: () => import('./rotate.js'),
  revoke: () => import('./revoke.js'),
  disable: () => import('./revoke.js'),
  delete: () => import('./revoke.js'),
};

// Secrets that nobody saved when their element was taken out of the page, for the next element of the same API.
const left = new Map();

export class KeywrightKeys extends LitElement {
  static properties = {
    apiBase: { attribute: 'api-base' },
    getAccessToken: { attribute: false },
    view: {},
    overlay: {},
    environment: {},
    features: {},
    headingLevel: { attribute: 'heading-level' },
    pageSize: { attribute: 'page-size', type: Number },
    reveal: {},
    downloads: {},
    envName: { attribute: 'env-name' },
    selected: { reflect: true },
    tab: {},
    messages: { attribute: false },
    scopeCatalog: { attribute: false },
    lang: {},
  };

  static styles = styles;

  constructor() {
    super();
    this.apiBase = new URL('../../api/v2', import.meta.url).href;
    this.getAccessToken = null;
    this.view = 'keys';
    this.overlay = 'drawer';
    this.environment = '';
    this.features = '';
    this.headingLevel = 2;
    this.pageSize = 50;
    this.reveal = 'shown';
    this.downloads = 'on';
    this.envName = 'API_KEY';
    this.selected = '';
    this.tab = '';
    this.messages = null;
    this.scopeCatalog = null;
    this.w = new Words();
    this.api = null;
    this.options = null;
    this.ui = { loading: true, keys: null, next: null, error: null, readAt: 0, menu: null, session: 'good', any: false, polite: '', assertive: '' };
    this.filters = { q: '', status: 'active', environment: '', unused: false };
    this.audit = null;
    this.unsaved = [];
    this.panel = null;
    this.drawer = null;
    this.opener = null;
    this.pending = false;
    this.sequence = 0;
    this.identity = Symbol('element');
    this.beforeUnload = (event) => event.preventDefault();
  }

  // --- life ------------------------------------------------------------------------------------------------------

  connectedCallback() {
    super.connectedCallback();
    left.delete(this.identity);
    this.clock = setInterval(() => document.hidden || this.requestUpdate(), 30000);
    if (this.hasUpdated) this.#guard();
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    clearInterval(this.clock);
    removeEventListener('beforeunload', this.beforeUnload);
    const entries = [...this.unsaved, this.panel?.again].filter(Boolean);
    if (entries.length) left.set(this.identity, { base: this.api?.base, entries });
  }

  firstUpdated() {
    this.#begin();
  }

  willUpdate(changed) {
    this.focused = this.renderRoot.activeElement;
    if (!this.hasUpdated) return;
    if (changed.has('apiBase') || changed.has('getAccessToken')) this.#begin();
    else if (changed.has('lang') || changed.has('messages')) this.#speak();
    if (changed.has('selected')) this.#showSelected();
    else if (changed.has('tab') && this.drawer && this.tab !== this.drawer.tab) this.drawer.show(this.tab);
    if (['environment', 'view'].some((name) => changed.get(name) !== undefined)) this.refresh();
  }

  updated() {
    this.overlays?.sync(this);
    this.#keepFocus();
    this.focused = null;
    this.#guard();
  }

  async #begin() {
    // A setter of the page may come in the same task as the element.
    await Promise.resolve();
    try {
      this.api = new Api(this.apiBase, this.getAccessToken);
    } catch (error) {
      console.error(error.message);
      this.changed({ error: new ApiError('refused'), loading: false });
      return;
    }
    this.options = null;
    this.audit = null;
    await Promise.all([this.#speak(), this.refresh()]);
    this.#fitAccent();
    this.emit('ready', {});
    if (this.selected) this.#showSelected();
  }

  async #speak() {
    const tag = this.lang || this.closest('[lang]')?.lang || document.documentElement.lang;
    this.w = await Words.load(tag, this.messages);
    this.requestUpdate();
  }

  // Text on the page's own accent is black or white, whichever is easier to read.
  #fitAccent() {
    const style = getComputedStyle(this);
    if (!style.getPropertyValue('--kw-accent') || style.getPropertyValue('--kw-on-accent')) return;
    const probe = this.renderRoot.querySelector('.probe');
    const parts = getComputedStyle(probe).color.match(/[\d.]+/g)?.map(Number) ?? [];
    const linear = parts.slice(0, 3).map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
    const luminance = 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    this.style.setProperty('--_readable', luminance > 0.179 ? '#000' : '#fff');
  }

  // A private key that nobody has saved: the page is asked to stay, and a router can listen.
  #guard() {
    const pending = !!this.panel?.again && this.panel.gate(this.panel) !== 'free';
    if (pending) addEventListener('beforeunload', this.beforeUnload);
    else removeEventListener('beforeunload', this.beforeUnload);
    if (pending === this.pending) return;
    this.pending = pending;
    this.emit('secret-pending', { pending });
  }

  // --- what pages use --------------------------------------------------------------------------------------------

  /** Reads the list, or the audit log, again. */
  async refresh() {
    if (!this.api) return;
    if (this.view === 'events') {
      await this.#readAudit();
      return;
    }
    const turn = ++this.sequence;
    this.changed({ loading: true });
    try {
      const [options, page] = await Promise.all([this.options ?? this.#readOptions(), this.api.get('/api-keys', this.#query())]);
      if (turn !== this.sequence) return;
      this.options = options;
      this.#adopt(page.data);
      this.#read(page.data, page.next);
    } catch (error) {
      if (turn !== this.sequence) return;
      this.failed(error);
      this.changed({ loading: false, error });
    }
  }

  async #readAudit() {
    try {
      const [module, , options] = await Promise.all([import('./events.js'), this.#loadOverlays(), this.options ?? this.#readOptions().catch(() => null)]);
      this.options = options;
      this.audit ??= module.open(this);
      await this.audit.read();
    } catch (error) {
      this.failed(error);
    }
  }

  /** Opens the dialog of a new key; `prefill` only fills fields: `{name, description, scopes}`. */
  openCreate(prefill = {}) {
    return this.act('create', prefill);
  }

  /** Closes what is open. Resolves to false while a private key is not saved, or a request for one is under way. */
  async close() {
    if (this.panel && !this.dismissPanel()) return false;
    this.select('');
    return true;
  }

  // --- state -----------------------------------------------------------------------------------------------------

  get now() {
    return this.api?.now() ?? Date.now();
  }

  changed(patch) {
    Object.assign(this.ui, patch);
    this.requestUpdate();
  }

  permitted(feature) {
    return !!this.options?.permissions.includes(PERMISSIONS[feature]);
  }

  /** Whether the token permits a feature and the page wants it. */
  may(feature) {
    const wanted = this.features ? this.features.split(/[\s,]+/).includes(feature) || feature === 'read' : true;
    return wanted && this.permitted(feature);
  }

  emit(name, detail) {
    this.dispatchEvent(new CustomEvent(`keywright-${name}`, { detail, bubbles: true, composed: true }));
  }

  /** Says something to a screen reader, and shows it for a moment. */
  announce(text, urgent = false) {
    this.changed(urgent ? { assertive: text } : { polite: text });
    clearTimeout(this.toast);
    this.toast = setTimeout(() => this.changed({ polite: '', assertive: '' }), 6000);
  }

  failed(error) {
    if (!(error instanceof ApiError)) {
      // A module that could not be fetched.
      this.announce(this.w.t('error.load'), true);
      return;
    }
    if (error.kind === 'session') {
      this.changed({ session: 'ended' });
      this.emit('auth-required', {});
    }
    this.emit('error', { code: error.code, status: error.status, requestId: error.requestId });
  }

  // --- list ------------------------------------------------------------------------------------------------------

  async #readOptions() {
    const { data } = await this.api.get('/api-key-options');
    // A service from before it named them refuses what may not be.
    return { grantable_scopes: null, ...data, permissions: data.permissions ?? Object.values(PERMISSIONS) };
  }

  #query() {
    const { q, status, environment, unused } = this.filters;
    return {
      limit: this.pageSize,
      include: 'usage',
      q: q.trim(),
      status,
      environment: this.environment || environment,
      unused_since: unused ? new Date(this.now - UNUSED_DAYS * 86400000).toISOString() : '',
    };
  }

  #read(keys, next) {
    this.changed({ keys, next, loading: false, error: null, session: 'good', readAt: this.now, any: this.ui.any || keys.length > 0 });
  }

  async loadMore() {
    const turn = ++this.sequence;
    this.changed({ loading: true });
    try {
      const page = await this.api.get('/api-keys', this.ui.next);
      if (turn === this.sequence) this.#read([...this.ui.keys, ...page.data], page.next);
    } catch (error) {
      this.failed(error);
      if (turn === this.sequence) this.changed({ loading: false, error });
    }
  }

  filter(patch) {
    Object.assign(this.filters, patch);
    return this.refresh();
  }

  search(text) {
    this.filters.q = text;
    clearTimeout(this.typing);
    this.typing = setTimeout(() => this.refresh(), 250);
    this.requestUpdate();
  }

  /** Puts a changed key into its row at once, and reads the list again. */
  put(key) {
    const keys = this.ui.keys?.map((one) => (one.id === key.id ? { ...one, ...key, usage: one.usage } : one));
    this.changed({ keys: keys ?? null });
    if (this.drawer?.key?.id === key.id) this.drawer.put(key);
    return this.refresh();
  }

  /** Takes a deleted key out of the list. */
  drop(id) {
    this.changed({ keys: this.ui.keys?.filter((key) => key.id !== id) ?? null });
    if (this.selected === id) this.select('');
    return this.refresh();
  }

  async copyPublicKey(key) {
    try {
      await navigator.clipboard.writeText(key.public_key);
      this.announce(this.w.t('publicCopied'));
    } catch {
      this.announce(this.w.t('notCopied'), true);
    }
  }

  async enable(key) {
    try {
      const { data } = await this.api.send('PATCH', `/api-keys/${key.id}`, { body: { enabled: true } });
      this.emit('updated', { id: key.id, name: key.name });
      this.announce(this.w.t('announceEnabled', { name: key.name }));
      await this.put(data);
    } catch (error) {
      this.failed(error);
      this.announce(sentenceOf(this.w, error), true);
    }
  }

  // --- panels ----------------------------------------------------------------------------------------------------

  select(id, tab = '') {
    this.opener ??= this.renderRoot.activeElement;
    this.tab = tab;
    this.selected = id ?? '';
  }

  async #showSelected() {
    const id = this.selected;
    if (this.drawer?.id === id || (!id && !this.drawer)) return;
    this.emit('selected', { id, tab: id && (this.tab || 'overview') });
    if (!id) {
      this.drawer = null;
      await this.updateComplete;
      this.#returnFocus();
      return;
    }
    if (!this.api) return;
    try {
      const [module] = await Promise.all([import('./detail.js'), this.#loadOverlays()]);
      if (this.selected !== id) return;
      this.drawer = module.open(this, id);
      this.requestUpdate();
    } catch (error) {
      this.selected = '';
      this.failed(error);
    }
  }

  async #loadOverlays() {
    this.overlays ??= await import('./overlay.js');
  }

  /** Opens a dialog for `key`. One that must not be lost stays. */
  async act(kind, key) {
    if (this.panel && this.panel.gate(this.panel) !== 'free') return false;
    const opener = this.panel?.opener ?? this.renderRoot.activeElement;
    try {
      const [module, known] = await Promise.all([PANELS[kind](), this.#known(kind, key), this.#loadOverlays()]);
      this.showPanel(module.open(this, known, kind), opener);
    } catch (error) {
      this.failed(error);
      if (error instanceof ApiError) this.announce(sentenceOf(this.w, error), true);
    }
    return true;
  }

  async #known(kind, key) {
    return kind === 'create' || key.public_key ? key : (await this.api.get(`/api-keys/${key.id}`)).data;
  }

  showPanel(panel, opener = this.panel?.opener) {
    this.panel = panel;
    panel.opener = opener;
    this.requestUpdate();
  }

  /** Closes the dialog if it may be closed; asks first where a private key would be lost. */
  dismissPanel(force = false) {
    const { panel } = this;
    if (!panel) return true;
    const gate = force ? 'free' : panel.gate(panel);
    if (gate === 'locked') {
      this.announce(this.w.t('pendingWait'), true);
      return false;
    }
    if (gate === 'ask') {
      panel.leaving = true;
      this.requestUpdate();
      this.updateComplete.then(() => this.renderRoot.querySelector('[data-back]')?.focus());
      return false;
    }
    panel.end?.();
    this.panel = null;
    this.requestUpdate();
    this.updateComplete.then(() => this.#returnFocus(panel.opener));
    return true;
  }

  // A row that had the focus left the list. Dialogs give the focus back themselves.
  #keepFocus() {
    const { focused } = this;
    if (focused && !focused.isConnected && !focused.closest('dialog, .drawer')) this.#returnFocus();
  }

  #returnFocus(opener = this.opener) {
    if (this.panel) return;
    if (!this.drawer) this.opener = null;
    const there = opener?.isConnected && !opener.closest('[popover]') ? opener : null;
    const next = this.drawer ? this.renderRoot.querySelector('.drawer [data-focus]') : this.renderRoot.querySelector('#create, .search input, .who button');
    (there ?? next)?.focus();
  }

  // --- private keys that were not saved --------------------------------------------------------------------------

  /** Shows a created or rotated key's private key. `again` asks for the same answer once more. */
  async revealSecret(created, again, kind, opener) {
    const { private_key: secret, ...key } = created;
    again.id = key.id;
    again.org = key.org_external_id;
    const [module] = await Promise.all([PANELS.reveal(), this.#loadOverlays()]);
    this.showPanel(module.open(this, key, secret, again, kind), opener);
    this.put(key);
  }

  keepUnsaved(again) {
    if (!this.unsaved.includes(again)) this.unsaved = [...this.unsaved, again];
    this.requestUpdate();
  }

  forget(again) {
    this.unsaved = this.unsaved.filter((one) => one !== again);
    this.requestUpdate();
  }

  async showAgain(one) {
    if (one.busy || this.panel) return;
    const opener = this.renderRoot.activeElement;
    one.busy = true;
    one.error = null;
    this.requestUpdate();
    try {
      const { data } = await one.retry(this.api);
      this.forget(one);
      await this.revealSecret(data, one, one.kind, opener);
    } catch (error) {
      one.error = error;
      this.failed(error);
    } finally {
      one.busy = false;
      this.requestUpdate();
    }
  }

  // Of another organization, not even the name is shown. An element that was removed while it read the list takes
  // nothing: what it leaves is for the next one.
  #adopt(keys) {
    if (!this.isConnected) return;
    const org = keys[0]?.org_external_id;
    for (const [identity, { base, entries }] of left) {
      const ours = entries.filter((one) => base === this.api.base && (!one.org || one.org === org));
      if (!ours.length) continue;
      left.delete(identity);
      for (const one of ours) this.keepUnsaved(one);
    }
  }

  render() {
    const inline = this.overlay === 'inline';
    const dialog = this.panel || (this.drawer && !inline);
    return html`<div class="root" part="root">
      <div ?hidden=${inline && this.drawer}>${this.view === 'events' ? this.audit?.view() : listView(this)}</div>
      ${this.drawer ? this.drawer.view() : nothing} ${this.panel ? this.panel.view() : nothing}
      <span class="probe" hidden></span>
      ${dialog ? nothing : liveRegions(this)}
    </div>`;
  }
}

if (!customElements.get('keywright-keys')) customElements.define('keywright-keys', KeywrightKeys);
