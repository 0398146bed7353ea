// A page in TypeScript. Each `@ts-expect-error` is a mistake that the types must find.
import type { KeywrightKeys, TokenRequest } from './types';

const element = document.querySelector('keywright-keys')!;
const same: KeywrightKeys = element;
element.getAccessToken = async ({ reason, signal }: TokenRequest) => (signal.aborted ? '' : reason);
element.view = 'events';
element.overlay = 'inline';
element.pageSize = 20;
element.selected = '';
element.scopeCatalog = [{ scope: 'orders:read', description: 'Read orders' }];
element.messages = { title: 'Keys', shown: { one: '{n} key', other: '{n} keys' } };
element.addEventListener('keywright-created', (event) => event.detail.name.trim());
element.addEventListener('keywright-selected', ({ detail: { id, tab } }) => id + tab);
element.addEventListener('click', () => same.refresh());
export const closed: Promise<boolean> = element.close();
element.openCreate({ name: 'Staging', scopes: ['orders:read'] });

// @ts-expect-error There is no such view.
element.view = 'policy';
// @ts-expect-error A token is text.
element.getAccessToken = async () => 1;
// @ts-expect-error No event has a private key.
element.addEventListener('keywright-created', (event) => event.detail.private_key);
