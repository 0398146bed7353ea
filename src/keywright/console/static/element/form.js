// The fields of a key, for a new one and for a change: their values, rules, flaws and inputs.
import { html, nothing } from './vendor/lit-core.js';
import { radios } from './overlay.js';

const DAY = 86400000;
const LIVES = [30, 90, 365];
const NAME_MAX = 100;
const FILTERED_FROM = 9;
const lines = (text) => text.split(/\n/).map((line) => line.trim()).filter(Boolean);
const codePoints = (text) => [...text].length;

/** A moment as the value of an `<input type=datetime-local>`, in the zone of the browser. */
const localValue = (time) => {
  const date = new Date(time);
  const pad = (number) => String(number).padStart(2, '0');
  return `${date.getFullYear()}-${pad(date.getMonth() + 1)}-${pad(date.getDate())}T${pad(date.getHours())}:${pad(date.getMinutes())}`;
};

const catalogueOf = (el) => {
  const listed = el.options.scopes ?? el.scopeCatalog;
  return listed?.map(({ scope, description }) => ({ scope, description, allowed: grantable(el, scope) })) ?? null;
};

const covers = (pattern, scope) => {
  const [resource, action] = pattern.split(':');
  const [wanted, act] = scope.split(':');
  return (resource === '*' || resource === wanted) && (action === '*' || action === act);
};

const grantable = (el, scope) => el.options.grantable_scopes?.some((pattern) => covers(pattern, scope)) ?? true;

/** The values of an empty form: 90 days where the policy allows it, read access where the catalogue has any. */
export const emptyValues = (el, prefill = {}) => {
  const catalogue = catalogueOf(el);
  const readable = catalogue?.some((one) => one.allowed && one.scope.endsWith(':read'));
  const longest = el.options.policy.max_life_seconds;
  const fits = LIVES.filter((days) => !longest || days * 86400 <= longest);
  return {
    name: prefill.name ?? '',
    description: prefill.description ?? '',
    environment: el.environment || el.options.environments[0],
    life: fits.includes(90) ? '90' : fits.length ? String(fits.at(-1)) : 'date',
    date: localValue(el.now + Math.min(longest ? longest * 1000 - 60000 : 90 * DAY, 90 * DAY)),
    access: prefill.scopes ? 'choose' : readable ? 'read' : 'choose',
    scopes: new Set(prefill.scopes ?? []),
    scopesText: (prefill.scopes ?? []).join('\n'),
    scopeFilter: '',
    ips: '',
    limits: [],
    externalId: '',
    metadata: '',
  };
};

/** The values of a key's own form. */
export const valuesOf = (el, key) => ({
  ...emptyValues(el),
  name: key.name,
  description: key.description ?? '',
  environment: key.environment,
  life: key.expires_at ? 'date' : 'never',
  date: key.expires_at ? localValue(Date.parse(key.expires_at)) : '',
  access: 'choose',
  scopes: new Set(key.scopes),
  scopesText: key.scopes.join('\n'),
  ips: key.allowed_ips.join('\n'),
  limits: key.rate_limits.map((limit) => ({ ...limit })),
  externalId: key.external_id ?? '',
  metadata: Object.keys(key.metadata).length ? JSON.stringify(key.metadata, null, 2) : '',
});

const expiryOf = (values, now) => {
  if (values.life === 'never') return null;
  if (values.life === 'date') return values.date ? new Date(values.date).getTime() : NaN;
  return now + Number(values.life) * DAY;
};

const chosenScopes = (el, values) => {
  const catalogue = catalogueOf(el);
  if (!catalogue) return lines(values.scopesText);
  const allowed = catalogue.filter((one) => one.allowed).map((one) => one.scope);
  if (values.access === 'read') return allowed.filter((scope) => scope.endsWith(':read'));
  if (values.access === 'full') return allowed;
  return [...values.scopes];
};

/** The flaws that need no service, by field. */
export const flawsOf = (el, values) => {
  const found = {};
  if (!values.name.trim()) found.name = el.w.t('nameMissing');
  const expiry = expiryOf(values, el.now);
  if (Number.isNaN(expiry)) found.expires_at = el.w.t('dateMissing');
  try {
    const metadata = values.metadata.trim() ? JSON.parse(values.metadata) : {};
    if (metadata === null || typeof metadata !== 'object' || Array.isArray(metadata)) throw new Error('no object');
  } catch {
    found.metadata = el.w.t('notJson');
  }
  return found;
};

/** The body of a request. A date that was not touched stays as exact as it was. */
export const bodyOf = (el, values, former = null) => {
  const expiry = expiryOf(values, el.now);
  const untouched = former?.expires_at && values.life === 'date' && values.date === localValue(Date.parse(former.expires_at));
  return {
    name: values.name.trim(),
    description: values.description.trim() || null,
    ...(former ? {} : { environment: values.environment }),
    expires_at: untouched ? former.expires_at : expiry === null ? null : new Date(expiry).toISOString(),
    scopes: chosenScopes(el, values),
    allowed_ips: lines(values.ips),
    rate_limits: values.limits.map(({ name, limit, window_seconds: seconds }) => ({ name, limit: Number(limit), window_seconds: Number(seconds) })),
    external_id: values.externalId.trim() || null,
    metadata: values.metadata.trim() ? JSON.parse(values.metadata) : {},
  };
};

/** The flaws that the service named, by field: of a 422 those with a place, of a refused scope that field. */
export const flawsIn = (el, error) => {
  const found = {};
  for (const { loc, msg } of error.flaws) {
    if (loc[0] !== 'body' || !loc[1]) continue;
    const which = Number.isInteger(loc[2]) ? `${loc[2] + 1}: ` : '';
    found[loc[1]] = found[loc[1]] ? `${found[loc[1]]} ${which}${msg}` : `${which}${msg}`;
  }
  if (error.missingScopes.length) found.scopes = `${el.w.t('error.scopes_not_grantable')} ${error.missingScopes.join(', ')}`;
  return found;
};

/** Moves the focus to the first field with a flaw, out of a closed group if need be; without one, to the button. */
export const focusFlaw = (el) => {
  const field = el.renderRoot.querySelector('.sheet [aria-invalid="true"]');
  const group = field?.closest('details');
  if (group) group.open = true;
  (field ?? el.renderRoot.querySelector('.sheet form .primary'))?.focus();
};

const wrong = (flaws, field) => (flaws[field] ? html`<p class="wrong" id="wrong-${field}" part="error">${flaws[field]}</p>` : nothing);
const invalid = (flaws, field) => (flaws[field] ? 'true' : 'false');
const describedBy = (flaws, field, hint) => [flaws[field] && `wrong-${field}`, hint].filter(Boolean).join(' ') || nothing;

/** The inputs. `state` has `values` and `flaws`; `fixed` leaves out what cannot be changed later. */
export const fields = (el, state, { fixed = false } = {}) => {
  const { w } = el;
  const { values, flaws } = state;
  const set = (patch) => {
    Object.assign(values, patch);
    for (const name of Object.keys(patch)) delete flaws[{ ips: 'allowed_ips', externalId: 'external_id', life: 'expires_at', date: 'expires_at', limits: 'rate_limits', access: 'scopes', scopesText: 'scopes' }[name] ?? name];
    el.requestUpdate();
  };
  const environments = el.options.environments;
  return html`
    <div class="field">
      <label for="f-name">${w.t('name')} <span class="muted small">· ${codePoints(values.name)}/${NAME_MAX}</span></label>
      <input id="f-name" part="input" data-focus required autocomplete="off" spellcheck="false" placeholder=${w.t('whatUses')} aria-invalid=${invalid(flaws, 'name')} aria-describedby=${describedBy(flaws, 'name')} .value=${values.name} @input=${(event) => set({ name: event.target.value })} />
      ${wrong(flaws, 'name')}
    </div>
    <div class="field">
      <label for="f-description">${w.t('description')} <span class="muted small">· ${w.t('optional')}</span></label>
      <input id="f-description" part="input" autocomplete="off" aria-invalid=${invalid(flaws, 'description')} aria-describedby=${describedBy(flaws, 'description')} .value=${values.description} @input=${(event) => set({ description: event.target.value })} />
      ${wrong(flaws, 'description')}
    </div>
    <slot name="create-help"></slot>
    ${fixed || el.environment || environments.length < 2
      ? nothing
      : html`<fieldset part="field">
          <legend>${w.t('environment')}</legend>
          ${radios('environment', values.environment, environments.map((one) => [one, one]), (environment) => set({ environment }), 'across')}
          ${wrong(flaws, 'environment')}
        </fieldset>`}
    ${expiry(el, state, set)} ${access(el, state, set)}
    <details ?open=${fixed || state.more}>
      <summary @click=${() => (state.more = !state.more)}>${w.t('limits')}</summary>
      <div class="stack">${restrictions(el, state, set)}</div>
    </details>
  `;
};

const expiry = (el, { values, flaws }, set) => {
  const { w } = el;
  const { max_life_seconds: longest, expiry_required: required } = el.options.policy;
  const at = expiryOf(values, el.now);
  const tooLong = (days) => !!longest && days * 86400 > longest;
  const rules = [longest && w.t('policyLongest', { time: w.duration(longest) }), required && w.t('policyRequired')].filter(Boolean).join(' ');
  return html`<div class="field">
    <label for="f-expiry">${w.t('expiry')}</label>
    <div class="row">
      <select id="f-expiry" part="input" aria-describedby="expiry-at expiry-rules" @change=${(event) => set({ life: event.target.value, date: values.date || localValue(el.now + 90 * DAY) })}>
        ${LIVES.map((days) => html`<option value=${days} ?selected=${values.life === String(days)} ?disabled=${tooLong(days)}>${w.inDays(days)}</option>`)}
        <option value="date" ?selected=${values.life === 'date'}>${w.t('onDate')}</option>
        <option value="never" ?selected=${values.life === 'never'} ?disabled=${required || !!longest}>${w.t('never')}</option>
      </select>
      ${values.life === 'date'
        ? html`<input type="datetime-local" part="input" aria-label=${w.t('expiryDate')} aria-invalid=${invalid(flaws, 'expires_at')} aria-describedby=${describedBy(flaws, 'expires_at', 'expiry-rules')} .value=${values.date} @input=${(event) => set({ date: event.target.value })} />`
        : nothing}
    </div>
    <p class="hint" id="expiry-at">${at ? w.t('expiresAt', { time: w.both(at) }) : values.life === 'never' ? w.t('noExpiry') : ''}</p>
    <p class="hint" id="expiry-rules">${rules}</p>
    ${wrong(flaws, 'expires_at')}
  </div>`;
};

const access = (el, state, set) => {
  const { values, flaws } = state;
  const { w } = el;
  const catalogue = catalogueOf(el);
  if (!catalogue) {
    return html`<div class="field">
      <label for="f-scopes">${w.t('scopes')}</label>
      <textarea id="f-scopes" part="input" class="mono" rows="2" spellcheck="false" autocomplete="off" aria-invalid=${invalid(flaws, 'scopes')} aria-describedby=${describedBy(flaws, 'scopes', 'scopes-hint')} .value=${values.scopesText} @input=${(event) => set({ scopesText: event.target.value })}></textarea>
      <p class="hint" id="scopes-hint">${w.t('scopesHint')}</p>
      ${wrong(flaws, 'scopes')}
    </div>`;
  }
  const kinds = [['read', w.t('readOnly'), !catalogue.some((one) => one.allowed && one.scope.endsWith(':read'))], ['full', w.t('fullAccess')], ['choose', w.t('choose')]];
  return html`<fieldset part="field">
    <legend>${w.t('access')}</legend>
    ${radios('access', values.access, kinds, (kind) => set({ access: kind, scopes: values.scopes.size ? values.scopes : new Set(chosenScopes(el, values)) }), 'across')}
    ${values.access === 'choose' ? chooser(el, catalogue, state, set) : html`<p class="hint">${chosenScopes(el, values).join(', ')}</p>`}
    ${catalogue.some((one) => !one.allowed) ? html`<p class="hint">${w.t('notGrantable')}</p>` : nothing} ${wrong(flaws, 'scopes')}
  </fieldset>`;
};

const chooser = (el, catalogue, { values, flaws }, set) => {
  const { w } = el;
  const known = new Set(catalogue.map((one) => one.scope));
  // What the key has and the catalogue no longer lists stays, until somebody takes it away.
  const all = [...catalogue, ...[...values.scopes].filter((scope) => !known.has(scope)).map((scope) => ({ scope, description: '', allowed: true }))];
  const filter = values.scopeFilter.toLowerCase();
  const shown = all.filter((one) => `${one.scope} ${one.description}`.toLowerCase().includes(filter));
  const groups = Map.groupBy(shown, (one) => one.scope.split(':')[0]);
  const toggle = (scope, on) => {
    const scopes = new Set(values.scopes);
    if (on) scopes.add(scope);
    else scopes.delete(scope);
    set({ scopes });
  };
  return html`<div class="field">
    ${all.length >= FILTERED_FROM ? html`<input type="search" part="input" aria-label=${w.t('filterScopes')} placeholder=${w.t('filterScopes')} .value=${values.scopeFilter} @input=${(event) => set({ scopeFilter: event.target.value })} />` : nothing}
    <div class="scopes" role="group" aria-label=${w.t('scopes')} tabindex="0">
      ${[...groups].map(
        ([resource, ones]) => html`<h4 role="presentation">${resource}</h4>
          ${ones.map(
            (one) => html`<label class="check"
              ><input type="checkbox" aria-invalid=${invalid(flaws, 'scopes')} .checked=${values.scopes.has(one.scope)} ?disabled=${!one.allowed && !values.scopes.has(one.scope)} @change=${(event) => toggle(one.scope, event.target.checked)} /><span><span class="mono">${one.scope}</span> <span class="hint">${one.description}</span></span></label
            >`,
          )}`,
      )}
    </div>
    <p class="hint">${w.t('scopesChosen', { n: values.scopes.size, all: all.length })}</p>
  </div>`;
};

const restrictions = (el, { values, flaws }, set) => {
  const { w } = el;
  const area = (id, field, name, hint, rows = 2) => html`<div class="field">
    <label for="f-${id}">${w.t(name)}</label>
    <textarea id="f-${id}" part="input" class="mono" rows=${rows} spellcheck="false" autocomplete="off" aria-invalid=${invalid(flaws, field)} aria-describedby=${describedBy(flaws, field, `hint-${id}`)} .value=${values[id]} @input=${(event) => set({ [id]: event.target.value })}></textarea>
    <p class="hint" id="hint-${id}">${w.t(hint)}</p>
    ${wrong(flaws, field)}
  </div>`;
  const { client_ip: here } = el.options;
  const known = !here || lines(values.ips).includes(here);
  return html`${area('ips', 'allowed_ips', 'allowedIps', 'allowedIpsHint')}
    ${known ? nothing : html`<div><button type="button" class="link" part="button" @click=${() => set({ ips: [...lines(values.ips), here].join('\n') })}>${w.t('useAddress', { address: here })}</button></div>`}
    <fieldset part="field">
      <legend>${w.t('rateLimits')}</legend>
      <div class="stack">
        ${values.limits.map((limit, index) => limitRow(el, values, index, limit, flaws, set))}
        <div><button type="button" part="button" @click=${() => set({ limits: [...values.limits, { name: values.limits.length ? `limit${values.limits.length + 1}` : 'minute', limit: 100, window_seconds: 60 }] })}>${w.t('addLimit')}</button></div>
      </div>
      ${wrong(flaws, 'rate_limits')}
    </fieldset>
    <div class="field">
      <label for="f-external">${w.t('externalId')}</label>
      <input id="f-external" part="input" autocomplete="off" spellcheck="false" aria-invalid=${invalid(flaws, 'external_id')} aria-describedby=${describedBy(flaws, 'external_id')} .value=${values.externalId} @input=${(event) => set({ externalId: event.target.value })} />
      ${wrong(flaws, 'external_id')}
    </div>
    ${area('metadata', 'metadata', 'metadata', 'metadataHint', 3)}`;
};

const limitRow = (el, values, index, limit, flaws, set) => {
  const { w } = el;
  const change = (patch) => set({ limits: values.limits.map((one, at) => (at === index ? { ...one, ...patch } : one)) });
  const input = (name, label, type) => html`<label>${w.t(label)}<input part="input" type=${type} min="1" autocomplete="off" aria-invalid=${invalid(flaws, 'rate_limits')} .value=${String(limit[name])} @input=${(event) => change({ [name]: event.target.value })} /></label>`;
  return html`<div class="limit">
    ${input('name', 'limitName', 'text')} ${input('limit', 'limitCount', 'number')} ${input('window_seconds', 'limitWindow', 'number')}
    <button type="button" class="icon" part="button" aria-label=${w.t('removeLimit', { name: limit.name })} @click=${() => set({ limits: values.limits.filter((_, at) => at !== index) })}><svg viewBox="0 0 16 16" aria-hidden="true"><path d="M4 8h8" stroke="currentColor" stroke-width="1.6" stroke-linecap="round" /></svg></button>
  </div>`;
};
