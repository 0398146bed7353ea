// <keywright-operator>: the view of operators on the keys of all organizations. It is the element of one organization
// with other views: the same dialogs, drawer, words and rules for secrets, on the operator's operations.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { KeywrightKeys } from '../../element/keywright-keys.js';
import { heading, liveRegions } from '../../element/list.js';
import * as overlays from '../../element/overlay.js';
import { hasPrivateKey } from './paging.js';
import { follow } from './receipt.js';
import { styles } from './styles.js';

const VIEWS = {
  keys: () => import('./keys.js'),
  organizations: () => import('./organizations.js'),
  revocations: () => import('./revocations.js'),
  verifiers: () => import('./verifiers.js'),
  events: () => import('./events.js'),
  figures: () => import('./figures.js'),
};
const ROUTE = /^#\/(\w+)(?:\/([0-9a-f-]{36}))?(?:\?(.*))?$/;
// An operator reads and revokes.
const MAY = ['read', 'usage', 'revoke', 'history'];

const NO_VIEW = { name: 'keys', id: '', query: {} };

// Whoever wrote a private key into an address: it gets no further, and does not stay there.
const routeOf = (hash) => {
  const [, name, id = '', query = ''] = ROUTE.exec(hash) ?? [];
  const parts = [...new URLSearchParams(query)];
  if ([hash, ...parts.flat()].some(hasPrivateKey)) {
    history.replaceState(null, '', '#/keys');
    return NO_VIEW;
  }
  return name in VIEWS ? { name, id, query: Object.fromEntries(parts) } : NO_VIEW;
};

export class KeywrightOperator extends KeywrightKeys {
  static styles = [KeywrightKeys.styles, styles];

  constructor() {
    super();
    this.overlays = overlays;
    this.shownPage = null;
    this.turn = 0;
    this.found = null;
    this.onHash = () => this.refresh();
  }

  connectedCallback() {
    super.connectedCallback();
    addEventListener('hashchange', this.onHash);
  }

  disconnectedCallback() {
    super.disconnectedCallback();
    removeEventListener('hashchange', this.onHash);
    this.shownPage?.ended.abort();
  }

  may(feature) {
    return MAY.includes(feature);
  }

  /** Shows what the address names: a view, and above it the drawer of a key. */
  async refresh() {
    if (!this.api) return;
    this.changed({ session: 'good' });
    const { name, id, query } = routeOf(location.hash);
    const isKey = name === 'keys' && !!id;
    if (!isKey || !this.shownPage) await this.#showPage(name, query, isKey ? '#/keys' : location.hash);
    if (isKey) await this.#showKey(id);
    else this.#closeKey();
  }

  /** Reads the shown view again. */
  async again() {
    const page = this.shownPage;
    this.shownPage = null;
    page?.ended.abort();
    if (page) await this.#showPage(page.name, page.query, page.address);
  }

  async #showPage(name, query, address) {
    const turn = ++this.turn;
    if (this.shownPage?.address === address) return;
    let module;
    try {
      module = await VIEWS[name]();
    } catch (error) {
      this.failed(error);
      return;
    }
    // Another view was chosen meanwhile.
    if (turn !== this.turn) return;
    this.shownPage?.ended.abort();
    const page = (this.shownPage = { name, query, address, module, ended: new AbortController(), state: null });
    page.state = module.open(this, page);
    document.title = `${this.w.t(`view.${name}`)} · Keywright`;
    this.requestUpdate();
    // On a narrow screen the row of views is wider than the screen.
    this.updateComplete.then(() => this.renderRoot.querySelector('nav [aria-current]')?.scrollIntoView({ block: 'nearest', inline: 'center' }));
  }

  async #showKey(id) {
    if (this.drawer?.id === id) return;
    this.opener ??= this.renderRoot.activeElement;
    try {
      const module = await import('./key.js');
      this.drawer?.ended.abort();
      this.drawer = module.open(this, id, this.found?.api_key.id === id ? this.found : null);
    } catch (error) {
      this.failed(error);
    }
    this.requestUpdate();
  }

  #closeKey() {
    if (!this.drawer) return;
    const { opener } = this;
    this.drawer.ended.abort();
    this.drawer = null;
    this.opener = null;
    this.requestUpdate();
    this.updateComplete.then(() => this.panel || (opener?.isConnected ? opener : this.renderRoot.querySelector('h2'))?.focus());
  }

  // --- what the parts of the element call --------------------------------------------------------------------------

  /** Opens the drawer of a key by its id, or closes it. */
  select(id) {
    if (id) location.hash = `#/keys/${id}`;
    else {
      history.replaceState(null, '', this.shownPage?.address || '#/keys');
      this.#closeKey();
    }
  }

  /** Opens a dialog that one of the views made. */
  async openPanel(load, ...what) {
    if (this.panel && this.panel.gate(this.panel) !== 'free') return;
    const opener = this.renderRoot.activeElement;
    try {
      const module = await load();
      this.showPanel(module.openPanel(this, ...what), opener);
    } catch (error) {
      this.failed(error);
    }
  }

  showPanel(panel, opener = this.panel?.opener) {
    super.showPanel(panel.kind === 'revoke' ? follow(this, panel) : panel, opener);
  }

  /** Puts a changed key where it is shown. */
  put(key) {
    if (this.drawer?.id === key.id) this.drawer.put(key);
    this.shownPage?.module.put?.(this, this.shownPage.state, key);
    this.requestUpdate();
  }

  // A credential that was not saved cannot be asked for again.
  keepUnsaved() {}

  render() {
    const { w, shownPage: page } = this;
    return html`<div class="root" part="root">
      <nav class="views" aria-label=${w.t('views')}>
        ${Object.keys(VIEWS).map((name) => html`<a href=${`#/${name}`} aria-current=${page?.name === name ? 'page' : nothing}>${w.t(`view.${name}`)}</a>`)}
      </nav>
      <section aria-labelledby="title">
        <header class="of-view">${heading(this, 0, page ? w.t(`title.${page.name}`) : w.t('loading'), 'title')} ${page?.module.actions?.(this, page.state) ?? nothing}</header>
        ${this.ui.session === 'ended' ? html`<div class="banner bad" role="alert"><span>${w.t('sessionEnded')}</span><button @click=${() => this.again()}>${w.t('signedInAgain')}</button></div>` : nothing}
        ${page ? page.module.view(this, page.state, page) : nothing}
      </section>
      ${this.drawer ? this.drawer.view() : nothing} ${this.panel ? this.panel.view() : nothing}
      <span class="probe" hidden></span>
      ${this.panel || this.drawer ? nothing : liveRegions(this)}
    </div>`;
  }
}

if (!customElements.get('keywright-operator')) customElements.define('keywright-operator', KeywrightOperator);
