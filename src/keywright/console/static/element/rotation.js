// The secrets of a key over time, and the end of the one that a rotation replaced.
import { html, nothing } from './vendor/lit-core.js';
import { errorBox } from './overlay.js';

export const open = (el, drawer) => {
  const part = { former: null, error: null, busy: false };
  read(el, drawer, part);
  return part;
};

const read = async (el, drawer, part) => {
  try {
    const { data } = await el.api.get(`/api-keys/${drawer.id}/usage`, { limit: 100 }, { signal: drawer.ended.signal });
    part.former = data.secrets.filter((one) => one.retires_at && Date.parse(one.retires_at) <= el.now);
  } catch {
    part.former = [];
  }
  el.requestUpdate();
};

export const changed = (el, drawer) => drawer.part && read(el, drawer, drawer.part);

const last = (secret) => secret.private_key_display.slice(-4);

export const view = (el, drawer, part) => {
  const { key } = drawer;
  const { w } = el;
  const [current, old] = key.secrets;
  return html`
    ${errorBox(el, part.error)}
    ${el.may('rotate') && !old && ['active', 'disabled'].includes(key.status) ? html`<div><button part="button" @click=${() => el.act('rotate', key)}>${w.t('rotate')}</button></div>` : nothing}
    ${old ? pair(el, drawer, part, current, old) : html`<p class="muted">${w.t('noRotation')}</p>`}
    <ol class="timeline">${steps(el, key, current, old, part).map(([what, time, ahead]) => html`<li class=${ahead ? 'ahead' : ''}><div><p class="what">${what}</p><p class="muted small">${w.at(time)}</p></div></li>`)}</ol>
  `;
};

const steps = (el, key, current, old, part) => {
  const { w } = el;
  const ended = [...(part.former ?? [])].reverse().map((one) => [`${w.t('oldSecret', { last: last(one) })} · ${w.t('endedAt')}`, one.retires_at]);
  const rotated = current.created_at === key.created_at ? [] : [[w.t('rotated'), current.created_at]];
  const ahead = old ? [[w.t('oldEnds'), old.retires_at, true]] : [];
  const past = [[w.t('created'), key.created_at], ...rotated, ...ended].sort((a, b) => Date.parse(a[1]) - Date.parse(b[1]));
  return [...past, ...ahead];
};

const used = (el, secret) => {
  const { w } = el;
  if (!secret.last_used_at) return w.t('notUsedYet');
  return w.t('lastUsedAt', { time: w.ago(Date.parse(secret.last_used_at), el.now) });
};

const pair = (el, drawer, part, current, old) => {
  const { w } = el;
  const set = (seconds) => setOverlap(el, drawer, part, seconds);
  const later = Math.max(0, Math.round((Date.parse(old.retires_at) - el.now) / 1000)) + 86400;
  return html`<div class="box">
      <p><strong>${w.t('newSecret', { last: last(current) })}</strong> <span class="muted">· ${used(el, current)}</span></p>
      ${current.first_used_at ? html`<p class="small muted">${w.t('firstUsed', { time: w.moment(Date.parse(current.first_used_at)) })}</p>` : nothing}
    </div>
    <div class="box">
      <p><strong>${w.t('oldSecret', { last: last(old) })}</strong> <span class="muted">· ${used(el, old)}</span></p>
      <p class="small">${w.t('revealRotated', { time: w.both(Date.parse(old.retires_at)) })} ${old.retire_when_idle_seconds ? w.t('revealIdle', { time: w.duration(old.retire_when_idle_seconds) }) : nothing}</p>
      ${el.may('rotate')
        ? html`<div class="row">
            <button part="button" ?disabled=${part.busy} @click=${() => set(0)}>${w.t('endNow')}</button>
            <button part="button" ?disabled=${part.busy || later > 30 * 86400} @click=${() => set(later)}>${w.t('extend')}</button>
          </div>`
        : nothing}
    </div>`;
};

const setOverlap = async (el, drawer, part, seconds) => {
  if (part.busy) return;
  part.busy = true;
  part.error = null;
  el.requestUpdate();
  try {
    const { data } = await el.api.send('PUT', `/api-keys/${drawer.id}/rotation`, { body: { overlap_seconds: seconds } });
    el.emit('updated', { id: data.id, name: data.name });
    el.announce(el.w.t('saved'));
    await el.put(data);
  } catch (error) {
    part.error = error;
    el.failed(error);
  }
  part.busy = false;
  el.requestUpdate();
};
