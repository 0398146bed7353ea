// Lists that are read page by page, and what stands in their place.
import { html, nothing } from '../../element/vendor/lit-core.js';
import { errorBox } from '../../element/list.js';

/** Begins to read a list: `{items, next, busy, error}`; `items` is null until the first page is there. */
export const readList = (el, path, query, signal) => {
  const list = { path, next: { limit: 50, ...query }, items: null, busy: false, error: null, signal };
  more(el, list);
  return list;
};

/** Reads the next page of a list. */
export const more = async (el, list) => {
  if (list.busy || !list.next) return;
  list.busy = true;
  list.error = null;
  el.requestUpdate();
  try {
    const { data, next } = await el.api.get(list.path, list.next, { signal: list.signal });
    list.items = [...(list.items ?? []), ...data];
    list.next = next;
  } catch (error) {
    if (list.signal.aborted) return;
    list.error = error;
    el.failed(error);
  }
  list.busy = false;
  el.requestUpdate();
};

/** What went wrong, and a way to try again. */
export const trouble = (el, error, again) => errorBox(el, error, html`<button type="button" @click=${again}>${el.w.t('retry')}</button>`);

/** The end of a list: what went wrong, that it is read, that it is empty, or a button for more of it. */
export const tail = (el, list, none) => {
  const { w } = el;
  const empty = list.items && !list.items.length;
  return html`${trouble(el, list.error, () => more(el, list))}
    ${list.busy ? html`<p class="muted" role="status">${w.t('loading')}</p>` : nothing}
    ${empty && !list.busy && !list.error ? html`<div class="frame empty"><p>${w.t(list.next ? 'noneSoFar' : none)}</p></div>` : nothing}
    ${list.next && list.items && !list.busy && !list.error ? html`<footer><button type="button" @click=${() => more(el, list)}>${w.t(empty ? 'searchOn' : 'more')}</button></footer>` : nothing}`;
};

/** A list as a table; `columns` has a class for each heading, and the one of `actions` is for screen readers. */
export const table = (el, columns, items, row) => {
  const { w } = el;
  if (!items?.length) return nothing;
  return html`<div class="frame">
    <table class="keys" role="table" aria-labelledby="title">
      <thead role="rowgroup">
        <tr role="row">${Object.entries(columns).map(([name, of]) => html`<th role="columnheader" scope="col" class=${of}>${name === 'actions' ? html`<span class="visually-hidden">${w.t(name)}</span>` : w.t(name)}</th>`)}</tr>
      </thead>
      <tbody role="rowgroup">
        ${items.map((one) => row(el, one))}
      </tbody>
    </table>
  </div>`;
};

/** A field with its label. */
export const field = (name, label, input, hint) => html`<div class="field"><label for=${`in-${name}`}>${label}</label>${input}${hint ? html`<p class="hint" id=${`hint-${name}`}>${hint}</p>` : nothing}</div>`;

// The text of a private key, also with something around it.
const PRIVATE = /_sk_\w{8,}/i;

/** Whether a text has a private key in it: it may not get into an address. */
export const hasPrivateKey = (text) => PRIVATE.test(text);

/** Reads the fields of a form that are filled; one with a private key in it is emptied. */
export const filled = (form) => {
  for (const input of form.elements) if (hasPrivateKey(input.value)) input.value = '';
  return Object.fromEntries([...new FormData(form)].map(([name, value]) => [name, value.trim()]).filter(([, value]) => value));
};

/** Gives a view's address with a query. */
export const addressOf = (name, query) => {
  const text = new URLSearchParams(Object.entries(query).filter(([, value]) => value)).toString();
  return `#/${name}${text ? `?${text}` : ''}`;
};
