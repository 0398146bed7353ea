// The tab with the events of one key.
import { entry } from '../../element/event.js';
import { html, nothing } from '../../element/vendor/lit-core.js';
import { readList, tail } from './paging.js';

export const open = (el, { id, ended }) => readList(el, '/api-key-events', { key_id: id }, ended.signal);

export const view = (el, drawer, list) => html`${list.items?.length ? html`<ol class="timeline">${list.items.map((event) => entry(el, event))}</ol>` : nothing} ${tail(el, list, 'noEvents')}`;
