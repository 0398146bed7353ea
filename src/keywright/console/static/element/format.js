// Words, numbers, times and states, in the language of the element.
import { html, svg, nothing } from './vendor/lit-core.js';
import en from './messages/en.js';

const DAY = 86400000;
const UNITS = [['year', 365 * DAY], ['month', 30 * DAY], ['day', DAY], ['hour', 3600000], ['minute', 60000], ['second', 1000]];
const LANGUAGES = { de: () => import('./messages/de.js') };

/** The messages of one language, and formats of the same. */
export class Words {
  constructor(language = 'en', messages = en, own = {}) {
    this.language = language;
    this.messages = { ...en, ...messages, ...own };
    this.plural = new Intl.PluralRules(language);
    this.numbers = new Intl.NumberFormat(language);
    this.relative = new Intl.RelativeTimeFormat(language, { numeric: 'auto', style: 'short' });
  }

  /** Loads the words of a language tag; English where there are none of it. Formats follow the tag in any case. */
  static async load(tag, own) {
    let language = 'en';
    try {
      [language] = Intl.getCanonicalLocales(tag || 'en');
    } catch {
      // No language tag.
    }
    const load = LANGUAGES[language.split('-')[0]];
    return new Words(language, load ? (await load()).default : en, own);
  }

  /** Gives a message; `{name}` is filled from `values`, and `n` chooses the plural form. */
  t(key, values = {}) {
    let text = this.messages[key] ?? key;
    if (typeof text === 'object') text = text[this.plural.select(values.n)] ?? text.other;
    return text.replace(/\{(\w+)\}/g, (_, name) => (typeof values[name] === 'number' ? this.number(values[name]) : values[name] ?? ''));
  }

  number(value) {
    return this.numbers.format(value);
  }


  #format(name, options) {
    this.formats ??= {};
    return (this.formats[name] ??= new Intl.DateTimeFormat(this.language, options));
  }
  clock(time) {
    return this.#format('clock', { hour: '2-digit', minute: '2-digit' }).format(time);
  }

  moment(time) {
    return this.#format('moment', { dateStyle: 'medium', timeStyle: 'medium' }).format(time);
  }

  /** A moment in this zone and in UTC. */
  both(time) {
    const zone = this.#format('zone', { dateStyle: 'medium', timeStyle: 'short' }).format(time);
    const short = this.#format('short', { hour: 'numeric', timeZoneName: 'short' }).formatToParts(time).find((part) => part.type === 'timeZoneName');
    const utc = this.#format('utc', { dateStyle: 'medium', timeStyle: 'short', timeZone: 'UTC' }).format(time);
    return short?.value === 'UTC' ? `${zone} UTC` : `${zone} ${short?.value ?? ''} (${utc} UTC)`;
  }

  hour(time) {
    return this.#format('hour', { weekday: 'short', hour: '2-digit', minute: '2-digit' }).format(time);
  }

  dayUtc(time) {
    return this.#format('dayUtc', { month: 'short', day: 'numeric', timeZone: 'UTC' }).format(time);
  }

  /** How long before or after `now`: "4 min. ago". */
  ago(time, now) {
    const difference = time - now;
    const [unit, size] = UNITS.find(([, each]) => Math.abs(difference) >= each) ?? ['second', 1000];
    if (unit === 'second') return this.t(difference > 0 ? 'soon' : 'justNow');
    return this.relative.format(Math.trunc(difference / size), unit);
  }

  /** A length of time in its largest whole unit. */
  duration(seconds) {
    const whole = UNITS.filter(([unit]) => unit !== 'month').find(([, each]) => seconds * 1000 >= each && (seconds * 1000) % each === 0);
    const [unit, size] = whole ?? ['second', 1000];
    return new Intl.NumberFormat(this.language, { style: 'unit', unit, unitDisplay: 'long' }).format((seconds * 1000) / size);
  }

  /** A number of days from now, as a choice: "In 90 days". */
  inDays(days) {
    const format = new Intl.RelativeTimeFormat(this.language);
    const text = days === 365 ? format.format(1, 'year') : format.format(days, 'day');
    return text.charAt(0).toLocaleUpperCase(this.language) + text.slice(1);
  }

  /** A `<time>`: relative in the text, absolute in the title. */
  time(text, now) {
    if (!text) return nothing;
    const at = Date.parse(text);
    return html`<time datetime=${text} title=${this.moment(at)}>${this.ago(at, now)}</time>`;
  }

  /** A `<time>` with the absolute moment. */
  at(text) {
    return html`<time datetime=${text}>${this.moment(Date.parse(text))}</time>`;
  }
}

/** The states of a key as people see them: the API's, and `expiring` and `rotating` for active ones. */
export const stateOf = (key, now) => {
  if (key.status !== 'active') return key.status;
  if (key.secrets.length > 1) return 'rotating';
  return key.expires_at && Date.parse(key.expires_at) - now < 14 * DAY ? 'expiring' : 'active';
};

const SHAPES = {
  active: svg`<circle cx="6" cy="6" r="4.5" fill="currentColor"/>`,
  expiring: svg`<circle cx="6" cy="6" r="4.5" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M6 3.5V6l1.8 1.2" fill="none" stroke="currentColor" stroke-width="1.5" stroke-linecap="round"/>`,
  rotating: svg`<circle cx="6" cy="6" r="4.5" fill="none" stroke="currentColor" stroke-width="1.5"/><path d="M6 1.5a4.5 4.5 0 0 1 0 9z" fill="currentColor"/>`,
  disabled: svg`<path d="M3.5 2.5v7M8.5 2.5v7" stroke="currentColor" stroke-width="2" stroke-linecap="round"/>`,
  expired: svg`<circle cx="6" cy="6" r="4.5" fill="none" stroke="currentColor" stroke-width="1.5"/>`,
  revoked: svg`<path d="M2.5 2.5l7 7M9.5 2.5l-7 7" stroke="currentColor" stroke-width="2" stroke-linecap="round"/>`,
};

/** A state as a shape and a word. */
export const badge = (w, state) =>
  html`<span class="badge state-${state}" part="badge status"><svg viewBox="0 0 12 12" aria-hidden="true">${SHAPES[state]}</svg>${w.t(`state.${state}`)}</span>`;

/** The last four characters of the private key, as its display has them. */
export const lastFour = (key) => key.private_key_display.slice(-4);

/** Sentences for what went wrong: `{title, text}`. */
export const sentenceOf = (w, error) => {
  const own = w.messages[`error.${error.code}`] ? `error.${error.code}` : `error.${error.kind ?? 'server'}`;
  return w.t(w.messages[own] ? own : 'error.server', { permission: error.permission, n: error.retryAfter || 1 });
};
