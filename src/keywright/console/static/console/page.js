// What the pages of the console share: who is signed in, signing in and out, and cards in place of the page.
const WORDS = {
  en: {
    signOut: 'Sign out', signIn: 'Sign in',
    signedOut: 'You are signed out', signedOutText: 'Your sessions here have ended, in every browser.',
    noCookies: 'This browser keeps no cookies here',
    noCookiesText: 'You have signed in, but the browser did not keep the session. Allow cookies for this site, then sign in again.',
    failed: 'The service cannot be reached', failedText: 'Check your connection, then try again.', again: 'Try again',
    ended: 'Your session has ended. What you have typed stays here: sign in again in another tab, then go on.',
    signInTab: 'Sign in in a new tab',
  },
  de: {
    signOut: 'Abmelden', signIn: 'Anmelden',
    signedOut: 'Sie sind abgemeldet', signedOutText: 'Ihre Sitzungen sind hier beendet, in jedem Browser.',
    noCookies: 'Dieser Browser behält hier keine Cookies',
    noCookiesText: 'Sie haben sich angemeldet, aber der Browser hat die Sitzung nicht behalten. Erlauben Sie Cookies für diese Seite und melden Sie sich noch einmal an.',
    failed: 'Der Dienst ist nicht erreichbar', failedText: 'Prüfen Sie Ihre Verbindung und versuchen Sie es noch einmal.', again: 'Noch einmal versuchen',
    ended: 'Ihre Sitzung ist beendet. Was Sie eingegeben haben, bleibt hier: Melden Sie sich in einem anderen Tab an und machen Sie dann weiter.',
    signInTab: 'In neuem Tab anmelden',
  },
};
const SIGNED_OUT = '/console/signed-out';
const main = document.getElementById('main');
const query = new URLSearchParams(location.search);

export const language = navigator.language.toLowerCase().startsWith('de') ? 'de' : 'en';
const words = WORDS[language];

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

const loginAddress = () => `/console/auth/login?${new URLSearchParams({ return_to: `${location.pathname}${location.hash}` })}`;

/** Shows a card in place of the page. */
export const card = (title, text, action) => {
  const heading = make('h1', { textContent: title, tabIndex: -1 });
  main.replaceChildren(make('section', { className: 'card' }, heading, make('p', { textContent: text }), make('p', {}, action)));
};

/** A link, in the form of a button unless another class is given. */
export const link = (href = loginAddress(), textContent = words.signIn, className = 'button') => make('a', { className, href, textContent });

function showEnded() {
  if (document.getElementById('ended')) return;
  const sign = make('a', { className: 'button', href: '/console/auth/login', target: '_blank', textContent: words.signInTab });
  const banner = make('div', { id: 'ended', className: 'banner', role: 'alert' }, make('p', { textContent: words.ended }), sign);
  main.prepend(banner);
}

async function signOut(element) {
  // Not while a secret is unsaved: the element asks first.
  if (element && (await element.close?.()) === false) return;
  const { location: there } = await ask('logout', 'POST').catch(() => ({ location: null }));
  location.assign(there ?? SIGNED_OUT);
}

/** Shows an element that works with the session's cookie, and a banner once the session has ended. */
export function show(element, session) {
  element.addEventListener('keywright-auth-required', showEnded);
  element.addEventListener('keywright-ready', () => document.getElementById('ended')?.remove());
  document.addEventListener('visibilitychange', async () => {
    const banner = document.getElementById('ended');
    if (document.hidden || !banner) return;
    const now = await ask('session').catch(() => ({}));
    // Somebody else may have signed in in the other tab.
    if (now.signed_in && now.subject === session.subject && now.organization_id === session.organization_id) {
      banner.remove();
      element.refresh();
    } else if (now.signed_in) location.reload();
  });
  main.replaceChildren(element);
}

function greet(session) {
  document.getElementById('organization').textContent = session.organization;
  document.getElementById('name').textContent = session.name;
  document.getElementById('who').hidden = false;
  document.getElementById('sign-out').onclick = () => signOut(main.lastElementChild);
}

/** Begins a page: `own` are its title and its welcome, and `showPage` is called once somebody is signed in. */
export async function begin(own, showPage) {
  document.documentElement.lang = language;
  document.title = `${own.title} · Keywright`;
  document.getElementById('sign-out').textContent = words.signOut;
  // A session belongs to one address: localhost and 127.0.0.1 are two.
  const home = document.querySelector('meta[name=keywright-origin]').content;
  if (location.origin !== home) return location.replace(home + location.pathname + location.search + location.hash);
  const [signedIn, signedOut] = [query.has('signed-in'), location.pathname === SIGNED_OUT];
  if (signedIn || signedOut) history.replaceState(null, '', `${signedOut ? '/console' : location.pathname}${location.hash}`);
  let session;
  try {
    session = await ask('session');
  } catch {
    return card(words.failed, words.failedText, make('button', { type: 'button', textContent: words.again, onclick: () => location.reload() }));
  }
  if (session.signed_in) {
    greet(session);
    return showPage(session);
  }
  if (signedOut) return card(words.signedOut, words.signedOutText, link());
  // Only once: a browser that keeps no cookie would go round in circles.
  if (signedIn) return card(words.noCookies, words.noCookiesText, link());
  if (query.has('organization')) return location.replace(`/console/auth/login?${query}`);
  card(own.welcome, own.welcomeText, link());
  return location.replace(loginAddress());
}
