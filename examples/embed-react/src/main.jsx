import { StrictMode, useCallback, useState } from 'react';
import { createRoot } from 'react-dom/client';
import { ApiKeys } from './ApiKeys.jsx';

// A dashboard with Auth0's SPA SDK returns `auth0.getTokenSilently(…)` here.
async function accessToken({ signal }) {
  const answer = await fetch('/token', { method: 'POST', signal });
  return (await answer.json()).token;
}

function Settings() {
  const [last, setLast] = useState('');
  const onCreated = useCallback((key) => setLast(`Created ${key.name}.`), []);
  return (
    <main>
      <h1>Settings</h1>
      <p role="status">{last}</p>
      <ApiKeys getAccessToken={accessToken} onCreated={onCreated} />
    </main>
  );
}

createRoot(document.getElementById('root')).render(<StrictMode><Settings /></StrictMode>);
