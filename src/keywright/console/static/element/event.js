// One event of the audit log: what was changed, when, by whom, from where.
import { html, nothing } from './vendor/lit-core.js';

const actor = (w, { actor: { subject }, data, erased }) => {
  if (data.operator) return w.t('byOperator');
  if (erased) return w.t('erased');
  return subject === 'keywright' ? w.t('byService') : html`<span class="mono">${subject}</span>`;
};

/** An item of a list; `key` names the key where the list has those of several. */
export const entry = (el, event, key = nothing) => {
  const { w } = el;
  const word = w.messages[`event.${event.type}`] ?? event.type;
  const reason = event.type === 'api_key.revoked' && w.messages[`reason.${event.data.reason}`];
  return html`<li>
    <div>
      <p><span class="what">${word}</span> ${key}${reason ? html` · ${reason}` : nothing}</p>
      <p class="small muted">${w.at(event.occurred_at)} · ${actor(w, event)}${event.address ? html` · ${w.t('from', { address: event.address })}` : nothing}</p>
      ${event.data.after ? diff(el, event.data) : nothing}
      <p class="small muted">${w.t('requestId')} <code class="mono">${event.request_id}</code>${event.position === null ? nothing : html` · ${w.t('position', { n: event.position })}`}</p>
    </div>
  </li>`;
};

const NAMES = { name: 'name', description: 'description', expires_at: 'expires', scopes: 'scopes', allowed_ips: 'allowedIps', rate_limits: 'rateLimits', external_id: 'externalId', metadata: 'metadata', enabled: 'state.active' };

const diff = (el, { before, after }) => {
  const { w } = el;
  const shown = (value) => {
    if (value === null || value === undefined || value === '' || (Array.isArray(value) && !value.length)) return w.t('nothing');
    return Array.isArray(value) && value.every((one) => typeof one === 'string') ? value.join(', ') : typeof value === 'string' ? value : JSON.stringify(value);
  };
  return html`<div class="diff">
    ${Object.keys(after).map((name) => html`<p>${NAMES[name] ? w.t(NAMES[name]) : name}: <del>${shown(before[name])}</del> → <ins>${shown(after[name])}</ins></p>`)}
  </div>`;
};
