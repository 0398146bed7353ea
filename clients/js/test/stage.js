/** What the tests share: the service that `tests/clients` started, and networks that fail on purpose. */

import { createServer, request as send } from 'node:http';

import { Management, Verifier } from 'keywright-client';

export const url = process.env.KEYWRIGHT_URL;
export const token = process.env.KEYWRIGHT_TOKEN;
export const reader = process.env.KEYWRIGHT_TEST_READER;
export const credential = process.env.KEYWRIGHT_VERIFIER;
export const expected = JSON.parse(process.env.KEYWRIGHT_TEST_EXPECTED);

export const keys = new Management(url, token);
export const verifier = new Verifier(url, credential);

/** Serve *handler* on a free port of loopback, and give the address; the server ends with the test. */
export async function serve(t, handler) {
  const server = createServer(handler);
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.after(() => server.close(() => {}).closeAllConnections());
  return `http://127.0.0.1:${server.address().port}`;
}

/** Give an address at which nothing listens any more. */
export async function closed() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return `http://127.0.0.1:${port}`;
}

/** Serve one answer for every request, and give the address and the number of requests so far. */
export async function answering(t, status, headers, body) {
  const seen = { requests: 0 };
  seen.url = await serve(t, (_request, response) => {
    seen.requests += 1;
    response.writeHead(status, { 'Content-Type': 'application/json', ...headers }).end(JSON.stringify(body));
  });
  return seen;
}

/** A network that delivers every request to the service, and loses the first *lost* answers on their way back. */
export async function losing(t, lost) {
  const seen = { delivered: 0, idempotencyKeys: new Set() };
  seen.url = await serve(t, (request, response) => {
    const { method, headers } = request;
    const onward = send(url + request.url, { method, headers }, (answer) => {
      answer.on('end', () => {
        seen.delivered += 1;
        seen.idempotencyKeys.add(headers['idempotency-key']);
        if (seen.delivered <= lost) response.socket.destroy();
      });
      if (seen.delivered < lost) answer.resume();
      else answer.pipe(response.writeHead(answer.statusCode, answer.headers));
    });
    request.pipe(onward);
  });
  return seen;
}

export async function collect(items) {
  const found = [];
  for await (const item of items) found.push(item);
  return found;
}
