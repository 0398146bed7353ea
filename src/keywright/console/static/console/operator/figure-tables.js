// Figures that are tables: the keys and organizations of most uses, keys that are still tried, verifiers.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { addressOf } from './paging.js';

const frame = (label, table) => html`<div class="frame scroll" tabindex="0" role="region" aria-label=${label}>${table}</div>`;

const ofKey = (one) => html`<th scope="row"><a class="wrap" href=${`#/keys/${one.key_id}`}><bdi>${one.name}</bdi></a><p class="mono muted small wrap">${one.org_external_id}</p></th>`;

const numbers = (w, one) => html`<td class="end">${w.number(one.uses)}</td><td class="end">${w.number(one.refusals)}</td>`;

const head = (w, first) => html`<thead><tr><th scope="col">${first}</th><th scope="col" class="end">${w.t('uses')}</th><th scope="col" class="end">${w.t('refused')}</th></tr></thead>`;

/** The keys and the organizations of most uses. */
export const mostUsed = (el, { keys, organizations }) => {
  const { w } = el;
  if (!keys.length) return html`<p class="muted">${w.t('noUses')}</p>`;
  return html`
    ${frame(w.t('topKeys'), html`<table class="plain slim">${head(w, w.t('key'))}<tbody>${keys.map((one) => html`<tr>${ofKey(one)}${numbers(w, one)}</tr>`)}</tbody></table>`)}
    ${frame(
      w.t('topOrganizations'),
      html`<table class="plain slim">${head(w, w.t('organization'))}<tbody>${organizations.map((one) => html`<tr><th scope="row"><a class="mono wrap" href=${addressOf('keys', { organization: one.org_id })}>${one.org_external_id}</a></th>${numbers(w, one)}</tr>`)}</tbody></table>`,
    )}
  `;
};

/** Keys that were refused most: somebody still tries them. */
export const keysRefused = (el, { refused_keys: keys }) => {
  const { w } = el;
  if (!keys.length) return html`<p class="muted">${w.t('noRefusals')}</p>`;
  return frame(w.t('refusedKeys'), html`<table class="plain slim">${head(w, w.t('key'))}<tbody>${keys.map((one) => html`<tr>${ofKey(one)}${numbers(w, one)}</tr>`)}</tbody></table>`);
};

/** The connected processes, with their versions and what they have not acknowledged. */
export const verifiers = (el, { sessions, more }) => {
  const { w } = el;
  if (!sessions.length) return html`<p class="muted">${w.t('noneConnected')}</p>`;
  return html`${frame(
    w.t('connected'),
    html`<table class="plain">
      <thead><tr><th scope="col">${w.t('process')}</th><th scope="col">${w.t('kind')}</th><th scope="col">${w.t('version')}</th><th scope="col">${w.t('connectedAt')}</th><th scope="col">${w.t('lastContact')}</th><th scope="col" class="end">${w.t('unacknowledged')}</th><th scope="col" class="end">${w.t('lag')}</th></tr></thead>
      <tbody>${sessions.map((one) => session(el, one))}</tbody>
    </table>`,
  )}${more ? html`<p class="muted small">${w.t('moreConnected', { n: sessions.length })}</p>` : nothing}`;
};

const session = (el, one) => {
  const { w, now } = el;
  return html`<tr>
    <th scope="row"><span class="mono">${one.name}</span>${one.verifier ? html`<p class="muted small">${w.t('credentialOf', { name: one.verifier })}</p>` : nothing}</th><td>${w.messages[`kind.${one.kind}`] ?? one.kind}</td><td>${one.version ?? '–'}</td>
    <td>${w.time(one.connected_at, now)}</td><td>${w.time(one.seen_at, now)}</td>
    <td class="end">${w.number(one.unacknowledged)}</td><td class="end">${w.number(one.lag_ms)} ms</td>
  </tr>`;
};
