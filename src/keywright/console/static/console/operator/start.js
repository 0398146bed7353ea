// The operator's page: a page around <keywright-operator>, for those who are operators.
import { begin, card, language, link, show } from '../page.js';

const WORDS = {
  en: {
    title: 'Operator', keys: 'API keys', welcome: 'The operator’s view', welcomeText: 'Sign in to find and revoke keys of all organizations.',
    notYou: 'This page is for operators', notYouText: 'Your sign-in is not one of an operator: that takes the permission operate:api_keys in the organization of the operators. Sign out to come back as somebody else.',
    toKeys: 'To the keys of your organization',
  },
  de: {
    title: 'Betreiber', keys: 'API-Schlüssel', welcome: 'Die Sicht der Betreiber', welcomeText: 'Melden Sie sich an, um Schlüssel aller Organisationen zu finden und zu widerrufen.',
    notYou: 'Diese Seite ist für Betreiber', notYouText: 'Sie sind nicht als Betreiber angemeldet: Dazu gehört die Berechtigung operate:api_keys in der Organisation der Betreiber. Melden Sie sich ab, um als jemand anderes wiederzukommen.',
    toKeys: 'Zu den Schlüsseln Ihrer Organisation',
  },
};
const words = WORDS[language];

async function showOperator(session) {
  document.getElementById('elsewhere').textContent = words.keys;
  // The service refuses the others in any case.
  if (!session.operates) return card(words.notYou, words.notYouText, link('/console', words.toKeys));
  const [{ default: messages }] = await Promise.all([import(`./messages/${language}.js`), import('./keywright-operator.js')]);
  const operator = document.createElement('keywright-operator');
  operator.apiBase = '/console/api/v2/operator';
  operator.headingLevel = 1;
  operator.envName = 'KEYWRIGHT_VERIFIER';
  operator.messages = messages;
  show(operator, session);
}

begin(words, showOperator);
