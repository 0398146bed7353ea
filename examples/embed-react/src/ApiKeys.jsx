import { useEffect, useRef } from 'react';

const SERVICE = import.meta.env.VITE_KEYWRIGHT_URL ?? 'http://127.0.0.1:8080';

// A bundler leaves it alone, so that the element always fits the service.
import(/* @vite-ignore */ `${SERVICE}/element/v1/keywright-keys.js`);

/** The element, with its callback and an event as properties of React. */
export function ApiKeys({ getAccessToken, onCreated, ...attributes }) {
  const element = useRef(null);
  // Until the module has arrived React does not know the property, so it would drop the function.
  useEffect(() => {
    element.current.getAccessToken = getAccessToken;
  }, [getAccessToken]);
  useEffect(() => {
    const { current } = element;
    const created = (event) => onCreated?.(event.detail);
    current.addEventListener('keywright-created', created);
    return () => current.removeEventListener('keywright-created', created);
  }, [onCreated]);
  return <keywright-keys ref={element} {...attributes} />;
}
