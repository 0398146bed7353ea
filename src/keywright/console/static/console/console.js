// The console: a page around <keywright-keys> that works with the session's cookie. Sign-in is on the server.
import { begin, language, link, show } from './page.js';

const WORDS = {
  en: { title: 'API keys', keys: 'Keys', audit: 'Audit', operator: 'Operator', welcome: 'API keys for your organization', welcomeText: 'Sign in to create, watch, rotate and revoke them.' },
  de: { title: 'API-Schlüssel', keys: 'Schlüssel', audit: 'Protokoll', operator: 'Betreiber', welcome: 'API-Schlüssel Ihrer Organisation', welcomeText: 'Melden Sie sich an, um sie zu erstellen, zu beobachten, zu erneuern und zu widerrufen.' },
};
const DETAIL = /^#\/keys\/([0-9a-f-]{36})(?:\/(\w+))?$/;
const words = WORDS[language];
const element = import(document.getElementById('element').href);
// Whoever is not signed in needs it later.
element.catch(() => {});

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
    const made = link(address, text, '');
    if (name === view) made.setAttribute('aria-current', 'page');
    return made;
  };
  const nav = document.getElementById('tabs');
  nav.replaceChildren(tab('keys', words.keys, '#/keys'), tab('events', words.audit, '#/audit'));
  nav.hidden = false;
}

async function showKeys(session) {
  const operator = document.getElementById('elsewhere');
  operator.textContent = words.operator;
  operator.hidden = !session.operates;
  await element;
  const keys = document.createElement('keywright-keys');
  keys.apiBase = '/console/api/v2';
  keys.headingLevel = 1;
  follow(keys);
  keys.addEventListener('keywright-selected', ({ detail }) => mirror(keys, detail));
  addEventListener('hashchange', () => follow(keys));
  show(keys, session);
}

begin(words, showKeys);
