/** `<keywright-keys>` in JSX of React 19: import this file once, for its types alone. */
import type { DetailedHTMLProps, HTMLAttributes } from 'react';
import type { KeywrightAttributes, KeywrightEvents, KeywrightKeys } from './types';

type Properties = Partial<KeywrightAttributes & Pick<KeywrightKeys, 'getAccessToken' | 'messages' | 'scopeCatalog'>>;
type Listeners = { [Name in keyof KeywrightEvents as `on${Name}`]?: (event: KeywrightEvents[Name]) => void };
type Attributes = {
  'api-base'?: string;
  'heading-level'?: number | string;
  'page-size'?: number | string;
  'env-name'?: string;
};

declare module 'react' {
  namespace JSX {
    interface IntrinsicElements {
      'keywright-keys': DetailedHTMLProps<HTMLAttributes<KeywrightKeys>, KeywrightKeys> & Properties & Listeners & Attributes;
    }
  }
}
