import { defineConfig } from 'vite';

export default defineConfig({
  // The backend of the dashboard; here the example beside this one.
  server: { host: '127.0.0.1', proxy: { '/token': 'http://127.0.0.1:8000' } },
});
