// The console: a page around <keywright-keys> that works with the session's cookie. Sign-in is on the server.
import { begin, language, show } from './page.js';

const WORDS = {
  en: { title: 'API keys', operator: 'Operator', welcome: 'API keys for your organization', welcomeText: 'Sign in to create, watch, rotate and revoke them.' },
  de: { title: 'API-Schlüssel', operator: 'Betreiber', welcome: 'API-Schlüssel Ihrer Organisation', welcomeText: 'Melden Sie sich an, um sie zu erstellen, zu beobachten, zu erneuern und zu widerrufen.' },
};
const DETAIL = /^#\/keys\/([0-9a-f-]{36})$/;
const words = WORDS[language];

async function showKeys(session) {
  const operator = document.getElementById('elsewhere');
  operator.textContent = words.operator;
  operator.hidden = !session.operates;
  await import(document.getElementById('element').href);
  const keys = document.createElement('keywright-keys');
  keys.apiBase = '/console/api/v2';
  keys.headingLevel = 1;
  keys.selected = DETAIL.exec(location.hash)?.[1] ?? '';
  keys.addEventListener('keywright-selected', (event) => {
    const id = event.detail.id;
    history.replaceState(null, '', id ? `#/keys/${id}` : location.pathname);
  });
  addEventListener('hashchange', () => { keys.selected = DETAIL.exec(location.hash)?.[1] ?? ''; });
  show(keys, session);
}

begin(words, showKeys);
