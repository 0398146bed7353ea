// A page in TypeScript with React 19.
import type {} from './react';
import type { JSX } from 'react';

export const Keys = (): JSX.Element => (
  <keywright-keys
    api-base="https://keys.acme.example/api/v2"
    view="events"
    lang="de"
    getAccessToken={async ({ reason }) => reason}
    onkeywright-created={(event) => event.detail.name.trim()}
    ref={(element) => void element?.refresh()}
  />
);

export const Wrong = (): JSX.Element => (
  // @ts-expect-error There is no such overlay.
  <keywright-keys overlay="popup" />
);
