// An API server for Node without packages. An agent on the same machine checks the key of each request:
//
//     keywright agent --listen unix:/run/keywright/agent.sock
//     KEYWRIGHT_AGENT=/run/keywright/agent.sock node examples/agent/server.mjs
import http from 'node:http';

const AGENT = process.env.KEYWRIGHT_AGENT ?? '/run/keywright/agent.sock';
const PATIENCE_MS = 5000;
const connections = new http.Agent({ keepAlive: true });

const CHALLENGE = { 'WWW-Authenticate': 'Bearer' };
const STATUSES = { insufficient_scope: 403, wrong_environment: 403, ip_not_allowed: 403, rate_limited: 429 };

/** Asks the agent, and gives its verdict; an answer without one is an error. */
const verdictOn = (check) =>
  new Promise((resolve, reject) => {
    const options = { agent: connections, socketPath: AGENT, path: '/api/v2/api-keys/verify', method: 'POST', headers: { 'Content-Type': 'application/json' }, signal: AbortSignal.timeout(PATIENCE_MS) };
    const request = http.request(options, async (answer) => {
      try {
        let text = '';
        for await (const piece of answer.setEncoding('utf8')) text += piece;
        if (answer.statusCode !== 200) throw new Error(`the agent answered ${answer.statusCode}: ${text}`);
        resolve(JSON.parse(text));
      } catch (error) {
        reject(error);
      }
    });
    request.on('error', reject);
    request.end(JSON.stringify(check));
  });

const send = (response, status, body, headers = {}) => response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...headers }).end(JSON.stringify(body));

const server = http.createServer(async (request, response) => {
  if (request.url === '/healthz') return send(response, 200, { status: 'ok' });
  if (request.url !== '/reports') return send(response, 404, { code: 'not_found' });
  const key = /^Bearer (\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
  if (!key) return send(response, 401, { code: 'missing_key' }, CHALLENGE);
  try {
    const verdict = await verdictOn({ key, scopes: ['reports:read'], client_ip: request.socket.remoteAddress });
    if (verdict.valid) return send(response, 200, { organization: verdict.api_key.org_id, reports: [] });
    const status = STATUSES[verdict.code] ?? 401;
    const after = verdict.retry_after_seconds ? { 'Retry-After': String(verdict.retry_after_seconds) } : {};
    return send(response, status, { code: verdict.code }, status === 401 ? CHALLENGE : after);
  } catch (error) {
    // Never 401: the key is not to blame.
    console.error(error.message);
    return send(response, 503, { code: 'service_unavailable' }, { 'Retry-After': '1' });
  }
});

server.listen(Number(process.env.PORT ?? 8000), '127.0.0.1', () => console.log(`http://127.0.0.1:${server.address().port}`));
