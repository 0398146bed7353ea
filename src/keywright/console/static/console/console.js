// The console: a page around <keywright-keys> that works with the session's cookie. Sign-in is on the server.
const WORDS = {
  en: {
    title: 'API keys', keys: 'Keys', audit: 'Audit', signOut: 'Sign out', signIn: 'Sign in',
    signedOut: 'You are signed out', signedOutText: 'Your sessions here have ended, in every browser.',
    welcome: 'API keys for your organization', welcomeText: 'Sign in to create, watch, rotate and revoke them.',
    noCookies: 'This browser keeps no cookies here',
    noCookiesText: 'You have signed in, but the browser did not keep the session. Allow cookies for this site, then sign in again.',
    failed: 'The service cannot be reached', failedText: 'Check your connection, then try again.', again: 'Try again',
    ended: 'Your session has ended. What you have typed stays here: sign in again in another tab, then go on.',
    signInTab: 'Sign in in a new tab',
  },
  de: {
    title: 'API-Schlüssel', keys: 'Schlüssel', audit: 'Protokoll', signOut: 'Abmelden', signIn: 'Anmelden',
    signedOut: 'Sie sind abgemeldet', signedOutText: 'Ihre Sitzungen sind hier beendet, in jedem Browser.',
    welcome: 'API-Schlüssel Ihrer Organisation', welcomeText: 'Melden Sie sich an, um sie zu erstellen, zu beobachten, zu erneuern und zu widerrufen.',
    noCookies: 'Dieser Browser behält hier keine Cookies',
    noCookiesText: 'Sie haben sich angemeldet, aber der Browser hat die Sitzung nicht behalten. Erlauben Sie Cookies für diese Seite und melden Sie sich noch einmal an.',
    failed: 'Der Dienst ist nicht erreichbar', failedText: 'Prüfen Sie Ihre Verbindung und versuchen Sie es noch einmal.', again: 'Noch einmal versuchen',
    ended: 'Ihre Sitzung ist beendet. Was Sie eingegeben haben, bleibt hier: Melden Sie sich in einem anderen Tab an und machen Sie dann weiter.',
    signInTab: 'In neuem Tab anmelden',
  },
};
const language = navigator.language.toLowerCase().startsWith('de') ? 'de' : 'en';
const words = WORDS[language];
const main = document.getElementById('main');
const element = import(document.getElementById('element').href);
// Whoever is not signed in needs it later.
element.catch(() => {});
const query = new URLSearchParams(location.search);
const SIGNED_OUT = '/console/signed-out';
const DETAIL = /^#\/keys\/([0-9a-f-]{36})(?:\/(\w+))?$/;

/** Makes an element with properties and children; text is only ever text. */
const make = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

const ask = (path, method = 'GET') =>
  fetch(`/console/auth/${path}`, {
    method, headers: { 'X-Keywright-Console': '1' }, credentials: 'same-origin', cache: 'no-store', redirect: 'error',
  }).then((answer) => (answer.ok ? answer.json() : Promise.reject(new Error(String(answer.status)))));

const loginAddress = () => `/console/auth/login?${new URLSearchParams({ return_to: `/console${location.hash}` })}`;

const card = (title, text, action) => {
  const heading = make('h1', { textContent: title, tabIndex: -1 });
  main.replaceChildren(make('section', { className: 'card' }, heading, make('p', { textContent: text }), make('p', {}, action)));
};
const link = () => make('a', { className: 'button', href: loginAddress(), textContent: words.signIn });

function showEnded() {
  if (document.getElementById('ended')) return;
  const sign = make('a', { className: 'button', href: '/console/auth/login', target: '_blank', textContent: words.signInTab });
  const banner = make('div', { id: 'ended', className: 'banner', role: 'alert' }, make('p', { textContent: words.ended }), sign);
  main.prepend(banner);
}

async function signOut(keys) {
  // Not while a secret is unsaved: the element asks first.
  if (keys && (await keys.close?.()) === false) return;
  const { location: there } = await ask('logout', 'POST').catch(() => ({ location: null }));
  location.assign(there ?? SIGNED_OUT);
}

/** Brings the element to where the address points. */
function follow(keys) {
  const [, id = '', tab = ''] = DETAIL.exec(location.hash) ?? [];
  keys.view = location.hash === '#/audit' ? 'events' : 'keys';
  keys.tab = tab;
  keys.selected = id;
  showTabs(keys.view);
}

/** Writes into the address what the element shows; the way back out of the details of a key is the browser's, too. */
function mirror(keys, { id, tab }) {
  const list = keys.view === 'events' ? '#/audit' : '#/keys';
  const there = id ? `#/keys/${id}${tab === 'overview' ? '' : `/${tab}`}` : list;
  if (there === location.hash || (!id && !DETAIL.test(location.hash))) return;
  if (id && !DETAIL.test(location.hash)) history.pushState(null, '', there);
  else history.replaceState(null, '', there);
}

function showTabs(view) {
  const tab = (name, text, address) => {
    const made = make('a', { href: address, textContent: text });
    if (name === view) made.setAttribute('aria-current', 'page');
    return made;
  };
  const nav = document.getElementById('tabs');
  nav.replaceChildren(tab('keys', words.keys, '#/keys'), tab('events', words.audit, '#/audit'));
  nav.hidden = false;
}

async function showKeys(session) {
  document.getElementById('organization').textContent = session.organization;
  document.getElementById('name').textContent = session.name;
  document.getElementById('who').hidden = false;
  await element;
  const keys = document.createElement('keywright-keys');
  keys.apiBase = '/console/api/v2';
  keys.headingLevel = 1;
  follow(keys);
  keys.addEventListener('keywright-selected', ({ detail }) => mirror(keys, detail));
  keys.addEventListener('keywright-auth-required', showEnded);
  keys.addEventListener('keywright-ready', () => document.getElementById('ended')?.remove());
  addEventListener('hashchange', () => follow(keys));
  document.addEventListener('visibilitychange', async () => {
    const banner = document.getElementById('ended');
    if (document.hidden || !banner) return;
    const now = await ask('session').catch(() => ({}));
    // Somebody else may have signed in in the other tab.
    if (now.signed_in && now.subject === session.subject && now.organization_id === session.organization_id) {
      banner.remove();
      keys.refresh();
    } else if (now.signed_in) location.reload();
  });
  document.getElementById('sign-out').onclick = () => signOut(keys);
  main.replaceChildren(keys);
}

async function begin() {
  document.documentElement.lang = language;
  document.title = `${words.title} · Keywright`;
  document.getElementById('sign-out').textContent = words.signOut;
  // A session belongs to one address: localhost and 127.0.0.1 are two.
  const home = document.querySelector('meta[name=keywright-origin]').content;
  if (location.origin !== home) return location.replace(home + location.pathname + location.search + location.hash);
  const [signedIn, signedOut] = [query.has('signed-in'), location.pathname === SIGNED_OUT];
  if (signedIn || signedOut) history.replaceState(null, '', `/console${location.hash}`);
  let session;
  try {
    session = await ask('session');
  } catch {
    return card(words.failed, words.failedText, make('button', { type: 'button', textContent: words.again, onclick: () => location.reload() }));
  }
  if (session.signed_in) return showKeys(session);
  if (signedOut) return card(words.signedOut, words.signedOutText, link());
  // Only once: a browser that keeps no cookie would go round in circles.
  if (signedIn) return card(words.noCookies, words.noCookiesText, link());
  if (query.has('organization')) return location.replace(`/console/auth/login?${query}`);
  card(words.welcome, words.welcomeText, link());
  return location.replace(loginAddress());
}

begin();
